"""Meaning of H02 frames, text `*HQ,id,type,...#` and binary `$`.

The clock is documented as UTC, but some firmwares send local time: positions say clock `unknown`. Parts: h02_position
(the core of text positions), h02_reports (the other text types), h02_binary, h02_common (status word, battery, clock).
"""

from __future__ import annotations

from processors.decoders.h02_binary import binary_content, decode_binary
from processors.decoders.h02_position import core_stands, read_position
from processors.decoders.h02_reports import REPORTS
from schemas.errors import DecodeError, Reason
from schemas.records import Frame, Position

NAME = "h02"
REVISION = 1

_POSITION_TYPES = frozenset((b"V1", b"V2", b"V5", b"V6", b"V8", b"V9", b"V19", b"VI1"))
_TIME_AT = 3


def decode(frame: Frame) -> list[Position]:
    """Decode one frame. Raises DecodeError for a position that cannot be read (short, bad_coordinates, bad_date)."""
    payload = frame.payload
    if payload[:1] != b"*":
        return [decode_binary(payload, frame.received_ms)]
    fields = payload[1 : -1 if payload.endswith(b"#") else None].split(b",")
    kind = fields[2] if len(fields) > 2 else b""
    reader = REPORTS.get(kind)
    if reader is not None:
        return reader(fields, frame.received_ms)
    known = kind in _POSITION_TYPES
    if core_stands(fields, _TIME_AT, loose=known):
        report = read_position(fields, _TIME_AT, frame.received_ms)
        # an unknown type whose core only looks like one tells nothing
        return [report] if known or report.latitude is not None else []
    if known:
        raise DecodeError(Reason.SHORT if len(fields) < _TIME_AT + 7 else Reason.BAD_FORMAT, kind.decode("latin-1"))
    return []


def content(frame: Frame) -> bytes:
    """The whole text; binary without its first byte and its running number."""
    payload = frame.payload
    return payload if payload[:1] == b"*" else binary_content(payload)
