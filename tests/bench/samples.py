"""Frames to measure with: the common position report of each protocol."""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Callable
from pathlib import Path

from gateway.aliases import Aliases
from gateway.session import Session
from processors.decoders.registry import DECODERS
from schemas.records import Frame

START = dt.datetime(2026, 1, 15, 10, 11, 12, tzinfo=dt.UTC)
ID = "8800123456"
FRAMES = Path(__file__).parent.parent / "frames"


def _tk103(when: dt.datetime, n: int) -> bytes:
    place = f"A{5130 + n % 20}.25{n % 100:02}N00007.6500W036.5"
    return f"(088012345678BR00{when:%y%m%d}{place}{when:%H%M%S}045.5001000000L00001A2B)".encode()


def _h02(when: dt.datetime, n: int) -> bytes:
    place = f"A,5130.25{n % 100:02},N,00007.6500,W,019.71,045,{when:%d%m%y}"
    return f"*HQ,{ID},V1,{when:%H%M%S},{place},FFFFFFFF,234,10,1794,40076,6#".encode()


def _golden(path: str) -> Callable[[dt.datetime, int], bytes]:
    """The first frame with a place of a golden case, the same each time: enough to measure framing and decoding."""
    case = tomllib.loads((FRAMES / path).read_text())
    session = Session("sample", "", "tcp", 0, Aliases())
    outs = [o for c in [*case.get("setup", []), *case["chunks"]] for o in session.receive(bytes.fromhex(c), 0).frames]
    outs += session.finish(0).frames
    for out in outs:
        frame = Frame(out.payload, out.protocol, out.device_id, login=out.row.login, dialect=out.row.dialect)
        if any(position.latitude is not None for position in DECODERS[out.protocol].decode(frame)):
            return lambda _when, _n: out.payload
    raise ValueError(f"{path} has no frame with a place")


VARIED = {"tk103": _tk103, "h02": _h02}
"""Made with a time and place of their own each: also fit to measure derivation."""
SAMPLES: dict[str, Callable[[dt.datetime, int], bytes]] = VARIED | {
    "gps103": _golden("gps103/position.toml"),
    "xexun": _golden("xexun/full.toml"),
    "gt06": _golden("gt06/place_12.toml"),
    "watch": _golden("watch/ud.toml"),
    "jt808": _golden("jt808/location.toml"),
    "meiligao": _golden("meiligao/position.toml"),
}


def samples(protocol: str, count: int) -> list[bytes]:
    """count frames of one device, a second apart where the protocol is one of VARIED."""
    make = SAMPLES[protocol]
    return [make(START + dt.timedelta(seconds=n), n) for n in range(count)]
