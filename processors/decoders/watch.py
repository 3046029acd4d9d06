"""Meaning of watch frames `[3G*ID*LEN*TYPE,field,...]`: positions, alarms, cells, Wi-Fi, health, voice, answers.

Times are UTC. Parts: watch_position (the fields that UD, UD2, AL and their kin share), watch_reports (all other types).
"""

from __future__ import annotations

from gateway.protocols.watch import head_of
from processors.decoders.watch_position import position_stands, read_position, read_status
from processors.decoders.watch_reports import BINARY, COMMANDS, REPORTS, command_answer
from schemas.errors import DecodeError, Reason
from schemas.records import Frame, Position

NAME = "watch"
REVISION = 1

_STORED = b"UD2"
_ALARMS = (b"AL,", b"AL_", b"ALCUSTOMER")
"""Kinds of alarm (with the comma that may follow) that are known to be one even without a place."""


def decode(frame: Frame) -> list[Position]:
    """Decode one frame.

    Raises DecodeError (short, bad_format, bad_date, bad_coordinates) for a report of a place that cannot be read; an
    alarm is never rejected, what of its place is unreadable is left out.
    """
    head = head_of(frame.payload)
    if head is None:
        return []
    kind, _, body = head.content.partition(b",")
    if kind in BINARY:
        return BINARY[kind](head, body)
    fields = body.split(b",")
    is_alarm = kind.startswith(b"AL")
    reports_place = is_alarm or kind == b"WT" or kind.startswith(b"UD")
    if position_stands(fields, loose=reports_place):
        return _position(kind, fields, frame.received_ms, is_alarm)
    if (kind + b",").startswith(_ALARMS):
        report = Position()
        read_status(report, fields[15] if len(fields) > 15 else b"", is_alarm)
        return [report]
    if kind.startswith(b"UD"):
        raise DecodeError(Reason.SHORT if len(fields) < 7 else Reason.BAD_FORMAT, head.content[:80].decode("latin-1"))
    if kind in REPORTS:
        return REPORTS[kind](fields)
    return command_answer(head.content) if kind in COMMANDS else []


def content(frame: Frame) -> bytes:
    """The frame without index and LEN, and without the mark of a position that was stored."""
    head = head_of(frame.payload)
    if head is None:
        return frame.payload
    text = head.content
    if text.startswith(b"UD2,"):
        text = b"UD" + text[3:]
    return b"%b*%b*%b" % (head.vendor, head.id, text)


def _position(kind: bytes, fields: list[bytes], received_ms: int | None, is_alarm: bool) -> list[Position]:
    report = read_position(fields, received_ms, is_alarm)
    if kind == _STORED:
        report.attributes["archive"] = True
    return [report]
