"""Meaning of TK103 frames: positions, alarms, cells, Wi-Fi, batteries, command results. Times are UTC.

A frame with a bad date is still a report (the device clock is then unknown); only unreadable coordinates reject one.
"""

from __future__ import annotations

import re

from gateway.protocols.tk103 import Head, head_of
from processors.decoders import tk103_vehicle
from processors.decoders.fields import add_cell, hex_or_none, number_or_none, whole_or_none
from processors.decoders.tk103_block import BLOCK, STATE, apply_state, read_block
from processors.decoders.tk103_comma import decode_comma
from schemas.errors import DecodeError, Reason
from schemas.records import Frame, Position

NAME = "tk103"
REVISION = 1

_DECIMAL_CELL = re.compile(rb"\{(\d{1,3}),(\d{1,3}),(\d{1,10}),(\d{1,10})(?:,(-?\d{1,3}))?\}")
_LOGIN_CELL = re.compile(
    rb"\d{6}J([0-9A-Fa-f]{1,8})\|([0-9A-Fa-f]{1,8})\|(\d{3})(\d{1,3})\|[^L]*?([0-9A-Fa-f]{8})L([0-9A-Fa-f]{1,8})"
)
_HANDSHAKE = re.compile(rb"HSO(?:P(\d{1,3})|([0-9A-Fa-f]{3,4}))?")

_ALARMS = {
    0x30: "power_cut",
    0x31: "accident",
    0x32: "sos",
    0x33: "vibration",
    0x34: "low_speed",
    0x35: "overspeed",
    0x36: "geofence_exit",
    0x37: "movement",
}
_VEHICLE_ALARMS = ("low_battery", "overspeed", "idle", "hard_acceleration", "hard_braking", "temperature")
_BLOCK_COMMANDS = frozenset((b"BR00", b"BR01", b"BR02", b"BP04"))


def decode(frame: Frame) -> list[Position]:
    """Decode one frame `(...)`. Raises DecodeError (bad_format, bad_coordinates) for a position that cannot be read."""
    head = head_of(frame.payload)
    if head is None:
        return []
    if head.comma:
        return decode_comma(head, frame.received_ms)
    if head.command in _BLOCK_COMMANDS:
        return [read_block(head.body, frame.received_ms)]
    reader = _READERS.get(head.command)
    if reader is not None:
        return reader(head, frame.received_ms)
    if head.command in _ANSWERS:
        return [_result(head)]
    # a command we do not know may still carry a position
    return [read_block(head.body, frame.received_ms)] if BLOCK.match(head.body) else []


def content(frame: Frame) -> bytes:
    """The whole frame: it has no serial number, checksum or mark of its own."""
    return frame.payload


# -- grammar A: fixed widths ----------------------------------------------------------------------------


def _login(head: Head, received_ms: int | None) -> list[Position]:
    """BP05: the second identity, then a position block, cells, or nothing."""
    body = head.body[15:] if head.body[:15].isdigit() or BLOCK.match(head.body, 15) else head.body
    if BLOCK.match(body):
        return [read_block(body, received_ms)]
    report = Position()
    match = _LOGIN_CELL.match(body)
    if match:
        add_cell(report.cells, int(match[3]), int(match[4]), int(match[1], 16), int(match[2], 16))
        apply_state(report, match[5])
        report.odometer_m = int(match[6], 16)
        return [report]
    if not body.startswith(b","):
        return [read_block(body, received_ms)] if body else []
    _decimal_cells(report, body)
    return [report]


def _decimal_cells(report: Position, body: bytes) -> None:
    """Cells `{mcc,mnc,lac,cid}` in decimal, and the IO state behind the last comma."""
    for match in _DECIMAL_CELL.finditer(body):
        mcc, mnc, lac, cid, rssi = match.groups()
        add_cell(report.cells, int(mcc), int(mnc), int(lac), int(cid), int(rssi) if rssi else None)
    apply_state(report, body.rpartition(b",")[2])


def _handshake(head: Head, received_ms: int | None) -> list[Position]:
    """BP00: perhaps the battery, in hex units of 10 mV or in percent."""
    match = _HANDSHAKE.search(head.body)
    if match is None or not (match[1] or match[2]):
        return []
    report = Position()
    if match[1]:
        report.battery_percent = float(min(int(match[1]), 100))
    else:
        report.battery_v = int(match[2], 16) / 100
    return [report]


def _alarm(head: Head, received_ms: int | None) -> list[Position]:
    """BO01: alarm character and block."""
    report = read_block(head.body[1:], received_ms)
    name = _ALARMS.get(head.body[0]) if head.body else None
    if name:
        report.alarms.append(name)
    return [report]


def _vehicle_alarm(head: Head, received_ms: int | None) -> list[Position]:
    """BQ81: `,ALARM,code,value,` and block."""
    parts = head.body.split(b",", 4)
    if len(parts) < 5:
        raise DecodeError(Reason.SHORT, "vehicle alarm")
    report = read_block(parts[4], received_ms)
    code, value = whole_or_none(parts[2]), number_or_none(parts[3])
    if code is not None and code < len(_VEHICLE_ALARMS):
        report.alarms.append(_VEHICLE_ALARMS[code])
    if value is not None:
        report.attributes["alarm_value"] = value
    return [report]


def _answered_position(head: Head, received_ms: int | None) -> list[Position]:
    """BP02: `,G,2,` block, the number of satellites at the end."""
    start = re.match(rb",[A-Z],\d+,", head.body)
    if start is None:
        return [_result(head)]
    block, _, satellites = head.body[start.end() :].rpartition(b",")
    if not satellites.isdigit() or len(satellites) > 2:
        block, satellites = head.body[start.end() :], b""
    report = read_block(block, received_ms)
    report.satellites = whole_or_none(satellites)
    return [report]


def _cells(head: Head, received_ms: int | None) -> list[Position]:
    """BZ00: country and network in decimal, then hex pairs or triples; or decimal cells in braces."""
    report = Position()
    if b"{" in head.body:
        _decimal_cells(report, head.body)
        return [report]
    parts = head.body.strip(b",").split(b",")
    if len(parts) < 4:
        return []
    if STATE.fullmatch(parts[-1]) and len(parts) > 4:
        apply_state(report, parts.pop())
    mcc, mnc, rest = whole_or_none(parts[0]), whole_or_none(parts[1]), parts[2:]
    triples = len(rest) % 3 == 0 and (len(rest) % 2 or all(len(part) <= 2 for part in rest[2::3]))
    width = 3 if triples else 2
    for at in range(0, len(rest) - width + 1, width):
        rssi = hex_or_none(rest[at + 2]) if triples else None
        add_cell(report.cells, mcc, mnc, hex_or_none(rest[at]), hex_or_none(rest[at + 1]), rssi)
    return [report]


def _identification(head: Head, received_ms: int | None) -> list[Position]:
    """BV00: a VIN, or the result of an engine command."""
    if len(head.body) != 17 or not head.body.isalnum():
        return [_result(head)]
    return [Position(attributes={"vin": head.body.decode("ascii")})]


def _result(head: Head) -> Position:
    text = head.command + (b"," + head.body.lstrip(b",") if head.body else b"")
    return Position(attributes={"command_result": text.decode("latin-1")})


_ANSWERS = frozenset((b"BS08", b"BP12", b"BR05", b"BR06", b"BT00", b"BU00", b"BV01"))
_READERS = {
    b"BP05": _login,
    b"BP00": _handshake,
    b"BO01": _alarm,
    b"BQ81": _vehicle_alarm,
    b"BP02": _answered_position,
    b"BZ00": _cells,
    b"BV00": _identification,
    b"BQ86": tk103_vehicle.obd,
    b"BS50": tk103_vehicle.battery_dump,
    b"BS51": tk103_vehicle.battery_words,
}
