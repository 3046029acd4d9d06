"""Which bytes of a frame mean what, found by asking the decoder itself: change a byte and see what it reads differently.

There is no second description of any layout that could drift from the code: every row is what decode() and identify() did
when the byte was another one. A byte whose change alters one field belongs to that field; one that breaks the reading, or
alters many fields at once, is structure (marks, separators, lengths, types); one that alters nothing is not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

from gateway.protocols.base import Facts, Status
from gateway.protocols.registry import PROTOCOLS
from processors.decoders.registry import DECODERS
from schemas.errors import DeviceError
from schemas.records import Frame, Position

LONGEST_BYTES = 4096
"""Bytes of a frame that are looked at: photos and voice have their meaning in the head."""
MANY_FIELDS = 4
"""A byte that changes more fields than a date does is no value of its own."""
UNITS = {
    "ms": "ms since 1970, UTC",
    "m": "m",
    "kmh": "km/h",
    "deg": "degrees",
    "v": "V",
    "percent": "%",
    "c": "degrees C",
    "s": "s",
    "bytes": "bytes",
    "mv": "mV",
    "a": "A",
}
DIGITS = b"0123456789"
PAIRS = {a: b for x in ("AV", "NS", "EW", "FL", "TF", "av", "ns", "ew") for a, b in (x.encode(), x[::-1].encode())}

Reading = dict[str, Any]


def explain(frame: Frame) -> list[dict[str, Any]]:
    """Rows (offset, bytes, field, value, unit) that cover the frame from its first byte to its last (or the 4096th)."""
    base = _read(frame)
    if base is None:
        return [_row(0, frame.payload, "unreadable", None)]
    meanings = [_meaning(frame, at, base) for at in range(min(len(frame.payload), LONGEST_BYTES))]
    rows, at = [], 0
    for meaning, run in groupby(meanings):
        size = len(list(run))
        rows.append(_row(at, frame.payload[at : at + size], meaning, base))
        at += size
    if at < len(frame.payload):
        rows.append(_row(at, frame.payload[at:], "not looked at", base))
    return rows


def _meaning(frame: Frame, at: int, base: Reading) -> str:
    """The fields that the byte at `at` alone changes, joined by ", "; else "structure" or "not used"."""
    smallest: frozenset[str] | None = None
    broke = False
    for variant in _variants(frame.payload[at]):
        payload = frame.payload[:at] + bytes((variant,)) + frame.payload[at + 1 :]
        reading = _read(replace(frame, payload=payload))
        if reading is None or (base["id"] and not reading["id"]):
            broke = True
            continue
        changed = frozenset(k for k in base.keys() | reading.keys() if base.get(k) != reading.get(k))
        if changed and (smallest is None or len(changed) < len(smallest)):
            smallest = changed
    if smallest is not None and len(smallest) <= MANY_FIELDS:
        return ", ".join(sorted(smallest))
    return "structure" if broke or smallest else "not used"


def _variants(byte: int) -> Iterator[int]:
    """Other values of a byte: its pair (A and V, N and S), other digits, and each bit flipped."""
    if byte in PAIRS:
        yield PAIRS[byte]
    if byte in DIGITS:
        yield from (digit for digit in DIGITS if digit != byte)
    yield from (byte ^ 1 << bit for bit in range(8))


def _read(frame: Frame) -> Reading | None:
    """Everything that the wire module and the decoder read, flat; None when it is no whole frame or cannot be read."""
    module, decoder = PROTOCOLS[frame.protocol], DECODERS[frame.protocol]
    facts = Facts(transport=frame.transport, device_id=frame.device_id or "", dialect=frame.dialect, login=frame.login)
    try:
        split = module.split(frame.payload, 0, facts, True)
        if split != (Status.FRAME, 0, len(frame.payload)):
            return None
        identity = module.identify(frame.payload, facts)
        positions = decoder.decode(frame)
    except DeviceError:
        return None
    reading: Reading = {"id": identity.id, "imei": identity.imei}
    for number, position in enumerate(positions):
        prefix = f"{number}." if len(positions) > 1 else ""
        for name in Position.__slots__:
            value = getattr(position, name)
            if name == "attributes":
                reading.update((prefix + key, item) for key, item in value.items())
            elif name not in ("clock", "level_alarms", "silent_alarms") and value not in (None, [], {}):
                reading[prefix + name] = value
    return reading


def _row(offset: int, data: bytes, field: str, base: Reading | None) -> dict[str, Any]:
    names = [name for name in field.split(", ") if base and base.get(name) not in (None, "")]
    values = {name: base[name] for name in names} if base else {}
    value = next(iter(values.values())) if len(values) == 1 else values or None
    row = {"offset": offset, "hex": data.hex(), "field": field, "value": value}
    if data.isascii() and data.decode().isprintable():
        row["text"] = data.decode()
    units = {UNITS[suffix] for name in names if (suffix := name.rsplit("_", 1)[-1]) in UNITS and "_" in name}
    if len(units) == 1:
        row["unit"] = units.pop()
    elif field in ("latitude", "longitude"):
        row["unit"] = "degrees, WGS-84"
    return row
