"""Meaning of GT06 frames. Parts: gt06_blocks (time, fix, cell, status, alarms), gt06_position (places and alarms),
gt06_cells (cells, Wi-Fi), gt06_reports (login, heartbeats, answers, information), gt06_modules, gt06_models.

The clock is UTC by the vendor's rule, but many devices send local time: positions say clock `unknown`, and the zone in
the login proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.protocols.gt06_wire import Unit, unit_of
from processors.decoders import gt06_cells, gt06_models, gt06_modules, gt06_position, gt06_reports
from processors.decoders.gt06_blocks import FIX_BYTES
from processors.decoders.gt06_cursor import Cursor
from processors.decoders.gt06_position import MODE_BYTES, mode_at
from schemas.records import Frame, Position

NAME = "gt06"
REVISION = 1

Reader = Callable[[Cursor, Unit, int | None], list[Position]]

_READERS: dict[int, Reader] = {
    0x01: gt06_reports.login,
    0x10: gt06_position.fix_only,
    0x11: gt06_position.cell_only,
    0x12: gt06_position.place,
    0x13: gt06_reports.heartbeat,
    0x15: gt06_reports.command_answer,
    0x16: gt06_position.alarm,
    0x17: gt06_cells.scan,
    0x19: gt06_cells.cell_status,
    0x1A: gt06_position.address_request,
    0x1E: gt06_position.fix_only,
    0x21: gt06_reports.online_answer,
    0x22: gt06_models.xt40_or_moded,
    0x23: gt06_reports.battery_heartbeat,
    0x25: gt06_models.xt40,
    0x26: gt06_position.alarm,
    0x27: gt06_position.alarm,
    0x2A: gt06_position.address_request,
    0x2D: gt06_position.moded_place,
    0x31: gt06_position.moded_place,
    0x32: gt06_position.alarm,
    0x34: gt06_models.x1,
    0x35: gt06_reports.photo,
    0x36: gt06_models.status_or_place,
    0x37: gt06_position.moded_place,
    0x38: gt06_position.extended_place,
    0x39: gt06_models.alarm_with_modules,
    0x61: gt06_models.ibutton_place,
    0x65: gt06_models.obd,
    0x66: gt06_models.obd,
    0x69: gt06_cells.scan,
    0x70: gt06_modules.information,
    0x8B: gt06_cells.one_cell,
    0x8C: gt06_models.obd,
    0x94: gt06_reports.information,
    0x95: gt06_models.camera_alarm,
    0x9B: gt06_reports.serial_data,
    0xA0: gt06_position.moded_place,
    0xA3: gt06_position.alarm,
    0xA4: gt06_position.alarm,
    0xA5: gt06_cells.wide_cell,
    0xA7: gt06_cells.wide_cell,
    0xF1: gt06_modules.state,
    0xF2: gt06_modules.state,
    0xF3: gt06_cells.access_points,
    **dict.fromkeys((0x18, 0x24, 0x28, 0x2C, 0x2E, 0x33, 0xA1, 0xA2, 0xA9), gt06_cells.cells),
}
_EXTENDED_READERS: dict[int, Reader] = {
    0x32: gt06_cells.sized_blocks,
    0x33: gt06_cells.sized_blocks,
    0x36: gt06_reports.photo_part,
}
_MODED = frozenset((0x12, 0x22, 0x2D, 0x31, 0x37, 0xA0))


def decode(frame: Frame) -> list[Position]:
    """Decode one frame. Raises DecodeError (short, bad_coordinates) for a report of a known type that is unreadable."""
    unit = unit_of(frame.payload)
    if unit is None:
        return []
    reader = _EXTENDED_READERS.get(unit.type) if unit.extended else None
    reader = reader or _READERS.get(unit.type)
    return reader(Cursor(frame.payload, unit.begin, unit.end), unit, frame.received_ms) if reader else []


def content(frame: Frame) -> bytes:
    """Type and content, without the mark of a stored report, serial number and CRC."""
    payload = frame.payload
    unit = unit_of(payload)
    if unit is None:
        return payload
    body = payload[unit.begin - 1 : unit.end]
    if unit.type == 0x38:
        return body[: FIX_BYTES + 2] + body[FIX_BYTES + 3 :]
    at = mode_at(unit.type, body[1:]) if unit.type in _MODED else -1
    return body[: at + 3] + body[at + MODE_BYTES + 1 :] if at >= 0 else body
