"""Frames to measure with: the common position report of each protocol, moving, one a second."""

from __future__ import annotations

import datetime as dt

START = dt.datetime(2026, 1, 15, 10, 11, 12, tzinfo=dt.UTC)
ID = "8800123456"


def _tk103(when: dt.datetime, n: int) -> bytes:
    place = f"A{5130 + n % 20}.25{n % 100:02}N00007.6500W036.5"
    return f"(088012345678BR00{when:%y%m%d}{place}{when:%H%M%S}045.5001000000L00001A2B)".encode()


def _h02(when: dt.datetime, n: int) -> bytes:
    place = f"A,5130.25{n % 100:02},N,00007.6500,W,019.71,045,{when:%d%m%y}"
    return f"*HQ,{ID},V1,{when:%H%M%S},{place},FFFFFFFF,234,10,1794,40076,6#".encode()


SAMPLES = {"tk103": _tk103, "h02": _h02}


def samples(protocol: str, count: int) -> list[bytes]:
    """count frames of one device, a second apart."""
    make = SAMPLES[protocol]
    return [make(START + dt.timedelta(seconds=n), n) for n in range(count)]
