"""Golden frames: how a case file `<protocol>/<what>.toml` is read and run.

    source = "where the layout is from"
    transport = "tcp"                       # or "udp": each chunk is a datagram
    received = "2026-01-15T10:11:12Z"       # optional: arrival, and the server's clock
    setup = ["hex"]                         # optional: fed first in the same session, not judged
    chunks = ["hex"]                        # what the socket delivers, in order
    [expect]
    protocol = "h02"                        # "": nobody's; then detection is all that is tested
    detected = ""                           # optional: when the first bytes alone are detected as something else
    device_id = "..."                       # of every frame, or a list, one a frame
    frames = 1
    replies = [""]                          # one a frame: hex, "re:pattern", "" for none
    rejected = true
    rejected_for = ["bad_date"]             # the reasons
    [[expect.positions]]                    # all positions of all frames; times in ISO, "" for none

A field that a position does not name must be absent, except times, clock, level_alarms and silent_alarms. Bytes go
through the modules alone (split, identify, reply, decode), without a session or a socket.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.protocols.base import Facts, Identity, ProtocolModule, Status
from gateway.protocols.registry import PROTOCOLS
from processors.decoders.registry import DECODERS
from schemas.errors import DecodeError, FrameError
from schemas.records import Frame, Position

FOLDER = Path(__file__).parent
CASES = sorted(FOLDER.glob("*/*.toml"))
SILENCE_LATER_MS = 1_790_000_000_000
"""Clock of the server in a case that says nothing of arrival."""
TOLERANCES = {"latitude": 3e-6, "longitude": 3e-6, "speed_kmh": 0.01, "course_deg": 0.01}
TIMES = {"fix_time": "fix_time_ms", "device_time": "device_time_ms"}
NOT_COMPARED = {"fix_time_ms", "device_time_ms", "clock", "level_alarms", "silent_alarms"}
DEFAULTS = {field.name: getattr(Position(), field.name) for field in fields(Position)}


@dataclass(slots=True)
class Seen:
    """One frame of a case and what the modules made of it."""

    payload: bytes
    identity: Identity
    device_id: str
    reply: bytes
    positions: list[Position]
    rejected: str


def load(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8"))


def milliseconds(iso: str) -> int:
    return int(datetime.fromisoformat(iso.replace("Z", "+00:00")).timestamp() * 1000)


def split_all(module: ProtocolModule, chunks: Iterable[bytes], facts: Facts, datagrams: bool) -> Iterator[bytes]:
    """The frames of chunks, as a session cuts them; after the last chunk of a stream comes silence."""
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        for begin, end in _split_buffer(module, buffer, facts, datagrams):
            if end:
                yield buffer[begin:end]
            else:
                buffer = b"" if datagrams else buffer[begin:]
    for begin, end in _split_buffer(module, buffer, facts, True):
        if end:
            yield buffer[begin:end]


def _split_buffer(module: ProtocolModule, buffer: bytes, facts: Facts, quiet: bool) -> Iterator[tuple[int, int]]:
    """(begin, end) of each frame, then (where the rest begins, 0)."""
    at = 0
    while at < len(buffer):
        try:
            status, begin, end = module.split(buffer, at, facts, quiet)
        except FrameError:
            at = max(module.resync(buffer, at + 1), at + 1)
            continue
        if status is Status.FRAME:
            yield begin, end
            at = end
        elif status is Status.FOREIGN and begin < len(buffer):
            at = max(module.resync(buffer, begin + 1), begin + 1)
        else:
            at = begin
            break
    yield at, 0


def run(case: dict[str, Any], chunks: list[bytes] | None = None) -> list[Seen]:
    """Run a case's setup and chunks; the frames of the setup are not in the answer."""
    name = case["expect"]["protocol"]
    module, decoder = PROTOCOLS[name], DECODERS[name]
    datagrams = case["transport"] == "udp"
    facts = Facts(transport=case["transport"])
    received_ms = milliseconds(case["received"]) if "received" in case else None
    known: dict[str, str] = {}
    setup = [bytes.fromhex(chunk) for chunk in case.get("setup", [])]
    before = len(list(split_all(module, setup, Facts(transport=case["transport"]), datagrams)))
    chunks = [bytes.fromhex(chunk) for chunk in case["chunks"]] if chunks is None else chunks
    seen = []
    for payload in split_all(module, setup + chunks, facts, datagrams):
        identity = module.identify(payload, facts)
        if identity.imei and identity.id:
            known[identity.id] = identity.imei
        device_id = identity.imei or known.get(identity.id, identity.id) or facts.device_id
        if identity.binds and device_id:
            facts.device_id = device_id
        reply = module.reply(payload, facts, received_ms or SILENCE_LATER_MS)
        frame = Frame(payload, name, device_id, received_ms, facts.transport, facts.dialect, facts.login)
        positions, rejected = [], ""
        try:
            positions = decoder.decode(frame)
        except DecodeError as error:
            rejected = error.reason
        decoder.content(frame)
        seen.append(Seen(payload, identity, device_id, reply.data if reply else b"", positions, rejected))
    return seen[before:]


def wrong_fields(wanted: dict[str, Any], position: Position) -> list[str]:
    """What of a position differs from what a case wants; a field that is not named must be absent (times excepted)."""
    wrong = []
    for name, attribute in TIMES.items():
        if name in wanted:
            want = milliseconds(wanted[name]) if wanted[name] else None
            if getattr(position, attribute) != want:
                wrong.append(f"{name}: {getattr(position, attribute)} is not {wanted[name]!r}")
    for name, default in DEFAULTS.items():
        want, got = wanted.get(name, default), getattr(position, name)
        if name in NOT_COMPARED:
            if name not in wanted or got == (frozenset(want) if name == "level_alarms" else want):
                continue
        elif name in TOLERANCES and want is not None and got is not None:
            if abs(got - want) <= TOLERANCES[name]:
                continue
        elif name == "attributes":
            if {key: _plain(value) for key, value in got.items()} == {
                key: _plain(value) for key, value in want.items()
            }:
                continue
        elif name == "alarms":
            if sorted(got) == sorted(want):
                continue
        elif got == want:
            continue
        wrong.append(f"{name}: {got!r} is not {want!r}")
    return wrong + [f"{name}: no such field" for name in wanted if name not in DEFAULTS and name not in TIMES]


def _plain(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def reply_right(wanted: str, reply: bytes) -> bool:
    """wanted: hex, `re:` and a pattern of latin-1 text, or "" for no reply."""
    if wanted.startswith("re:"):
        return re.fullmatch(wanted[3:], reply.decode("latin-1"), re.DOTALL) is not None
    return reply == bytes.fromhex(wanted)
