"""GT06 reports of a place: the plain ones, with their many tails, and the alarms. Raise DecodeError (short,
bad_coordinates)."""

from __future__ import annotations

from gateway.protocols.gt06 import imei_at
from gateway.protocols.gt06_wire import Unit
from processors.decoders.gt06_blocks import (
    FIX_BYTES,
    STATUS_BYTES,
    apply_time,
    has_wide_network,
    new_report,
    packet_time_ms,
    read_alarm_status,
    read_cell,
    read_fix,
    read_voltage_status,
    visible_text,
)
from processors.decoders.gt06_cursor import Cursor
from processors.decoders.gt06_modules import read_modules
from schemas.records import Position

Reports = list[Position]

CELL_BYTES, WIDE_CELL_BYTES = 8, 15
"""L with a 2G cell, and with a 4G one (area u32, cell u64); one more when the network code has two bytes."""
MODE_BYTES = 3
_CARD_BYTES, _CARD_LENGTH = 10, 0x71
_SENSOR_BYTES = 12
_PHONE_BYTES = 21
_SL4X_CELL_BYTES, _SL4X_TAIL_BYTES = 10, 9
_FENCED = frozenset((0x27, 0xA4))
_VXT01_BYTES = 13
_EMPTY_BYTES = 9


def fix_only(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """10, 1E: a fix; 1E of some models goes on with cells."""
    report = new_report()
    read_fix(cursor, report, received_ms)
    return [report]


def cell_only(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """11: time and cell in the short form; a fix and a cell (network u16, cell u32) in the long one."""
    report = new_report()
    if cursor.left() >= FIX_BYTES:
        read_fix(cursor, report, received_ms)
        if cursor.left() >= _SL4X_CELL_BYTES - has_wide_network(cursor):
            read_cell(cursor, report, 2, 4, 2)
        return [report]
    apply_time(report, packet_time_ms(cursor.take(6, "time"), received_ms), received_ms)
    read_cell(cursor, report)
    return [report]


# -- 12: fix, cell, and a tail whose length tells the model -----------------------------------------------


def place(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    report = new_report()
    if cursor.left() > FIX_BYTES + CELL_BYTES:
        at = imei_at(unit, cursor.rest())
        if at >= 0:
            cursor.take(at + 8, "imei")
    read_fix(cursor, report, received_ms)
    if cursor.left() < CELL_BYTES:
        return [report]
    length = cursor.end - unit.begin + 5
    read_cell(cursor, report)
    left = cursor.left()
    if left == _CARD_BYTES or length >= _CARD_LENGTH:
        _read_card(cursor, report)
    else:
        reader = _TAILS.get(left)
        if reader is not None:
            reader(cursor, report)
    return [report]


def read_mode(cursor: Cursor, report: Position) -> None:
    """Ignition, reason of the upload, whether it is a stored report."""
    ignition = cursor.number(1, "ignition")
    if ignition <= 1:
        report.ignition = ignition == 1
    report.attributes["upload_reason"] = cursor.number(1, "upload_reason")
    if cursor.number(1, "archive") == 1:
        report.attributes["archive"] = True


def _read_odometer(cursor: Cursor, report: Position) -> None:
    report.odometer_m = float(cursor.number(4, "odometer_m"))


def _read_mode_and_odometer(cursor: Cursor, report: Position) -> None:
    read_mode(cursor, report)
    _read_odometer(cursor, report)


def _read_mask(cursor: Cursor, report: Position) -> None:
    """BENWAY: ignition, input 2, then what the rest is."""
    mask = cursor.number(2, "input_mask")
    report.ignition = mask & 0x8000 != 0
    report.attributes["input2"] = mask & 0x4000 != 0
    if mask & 0x1000:
        report.attributes["temperature_raw"] = mask & 0x0FFF
    elif mask & 0x2000:
        report.attributes["adc_raw"] = mask & 0x0FFF


def _read_s5(cursor: Cursor, report: Position) -> None:
    read_voltage_status(cursor, report)
    report.attributes["oil_raw"] = cursor.number(2, "oil_raw")
    report.attributes["temperature_c"] = cursor.number(1, "temperature_c")
    report.odometer_m = cursor.number(4, "odometer_10m") * 10.0


def _read_card(cursor: Cursor, report: Position) -> None:
    """Odometer and the text of a card reader."""
    _read_odometer(cursor, report)
    card = visible_text(cursor.take(cursor.number(1, "card_bytes"), "card"))
    if card:
        report.attributes["card"] = card


_TAILS = {
    2: _read_mask,
    3: read_mode,
    4: _read_odometer,
    5: read_voltage_status,
    7: _read_mode_and_odometer,
    12: _read_s5,
}


# -- 22 and its relatives: fix, cell, mode ----------------------------------------------------------------


def mode_at(kind: int, content: bytes) -> int:
    """Where the mode begins in the content of a frame of that type, -1 when it has none.

    In front of it are a fix and a cell, which has an id of 4 bytes in some models: then the length is one more.
    """
    left = len(content) - FIX_BYTES
    if left < CELL_BYTES + MODE_BYTES:
        return -1
    two = content[FIX_BYTES] >> 7
    if kind == 0x31 and left == _SL4X_CELL_BYTES + _SL4X_TAIL_BYTES:
        return FIX_BYTES + _SL4X_CELL_BYTES
    if kind == 0xA0:
        size = WIDE_CELL_BYTES + two
    else:
        size = CELL_BYTES + two
        tail = left - size
        if kind == 0x12:
            return FIX_BYTES + size if tail in (MODE_BYTES, MODE_BYTES + 4) else -1
        if tail - 1 in (MODE_BYTES, MODE_BYTES + 4, MODE_BYTES + _SENSOR_BYTES):
            size += 1
    return FIX_BYTES + size if left >= size + MODE_BYTES else -1


def moded_place(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """22, 2D, 31, 37, A0: what stands behind the mode is told by the length."""
    report = new_report()
    at = mode_at(unit.type, cursor.rest())
    read_fix(cursor, report, received_ms)
    if at < 0:
        if cursor.left() >= CELL_BYTES + has_wide_network(cursor):
            read_cell(cursor, report)
        return [report]
    if unit.type == 0xA0:
        read_cell(cursor, report, 4, 8)
    elif unit.type == 0x31 and at == FIX_BYTES + _SL4X_CELL_BYTES:
        read_cell(cursor, report, 2, 4, 2)
    else:
        read_cell(cursor, report, 2, at - FIX_BYTES - 5 - has_wide_network(cursor))
    read_mode(cursor, report)
    _read_behind_mode(cursor, report, unit.type)
    return [report]


def _read_behind_mode(cursor: Cursor, report: Position, kind: int) -> None:
    left = cursor.left()
    if left == 4:
        _read_odometer(cursor, report)
    elif left == 6 and kind == 0x31:
        _read_odometer(cursor, report)
        report.altitude_m = float(cursor.signed(2, "altitude_m"))
    elif left == _SENSOR_BYTES:
        _read_odometer(cursor, report)
        report.attributes["travel_time"] = cursor.number(4, "travel_time")
        report.attributes["temperature_c"] = cursor.signed(2, "temperature_c") / 100
        report.attributes["humidity_percent"] = cursor.number(2, "humidity_percent") / 100
    elif left:
        read_modules(cursor, report, 1)


def multiple(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """24 of length 2E: fix, cell, ignition, external and internal voltage in hundredths."""
    report = new_report()
    read_fix(cursor, report, received_ms)
    read_cell(cursor, report)
    ignition = cursor.number(1, "ignition")
    report.ignition = ignition == 1 if ignition <= 1 else None
    report.power_v = cursor.number(2, "power_v") / 100
    report.battery_v = cursor.number(2, "battery_v") / 100
    return [report]


def extended_place(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """38: fix, upload reason, whether stored, kind of cell (3 and above: 4G), cell."""
    report = new_report()
    read_fix(cursor, report, received_ms)
    report.attributes["upload_reason"] = cursor.number(1, "upload_reason")
    if cursor.number(1, "archive") == 1:
        report.attributes["archive"] = True
    read_typed_cell(cursor, report)
    return [report]


def read_typed_cell(cursor: Cursor, report: Position) -> None:
    wide = cursor.number(1, "cell_type") >= 3
    read_cell(cursor, report, 4 if wide else 2, 8 if wide else 3)


def lw_place(cursor: Cursor, received_ms: int | None) -> Reports:
    """A2 with a fix in front: 4G cell, event, information, external voltage, level, GSM, alarm, language, odometer."""
    report = new_report()
    read_fix(cursor, report, received_ms)
    read_cell(cursor, report, 4, 8)
    cursor.take(1, "event")
    info = cursor.number(1, "terminal_info")
    power = cursor.number(2, "power_v")
    status = bytes((info, *cursor.take(4, "status")))
    read_alarm_status(Cursor(status, 0, STATUS_BYTES), report)
    report.power_v = power / 100
    _read_odometer(cursor, report)
    return [report]


# -- alarms -----------------------------------------------------------------------------------------------


def alarm(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """16, 26, 27, A3, A4, short 32: fix, length of the cell block, cell, status; A3 may be the status alone."""
    report = new_report()
    if unit.type == 0xA3 and cursor.left() < FIX_BYTES:
        read_alarm_status(cursor, report)
        return [report]
    read_fix(cursor, report, received_ms)
    if unit.type == 0x16 and cursor.left() == _VXT01_BYTES:
        read_cell(cursor, report)
        read_voltage_status(cursor, report)
        return [report]
    _read_sized_cell(cursor, report, STATUS_BYTES + (unit.type in _FENCED))
    read_alarm_status(cursor, report, wide_code=unit.type in _FENCED)
    if unit.type in _FENCED and cursor.left():
        fence = cursor.number(1, "fence")
        if fence != 0xFF:
            report.attributes["geofence_number"] = fence
    elif unit.type == 0x32 and cursor.left() == 2:
        report.altitude_m = float(cursor.signed(2, "altitude_m"))
    return [report]


def _read_sized_cell(cursor: Cursor, report: Position, tail: int) -> None:
    """The cell of an alarm behind its length, which may count itself, or be nonsense: then the frame's length decides.

    Without it (0) the status follows, in some models behind a block that is filled with zeros after 9 bytes.
    """
    declared = cursor.number(1, "cell_bytes")
    left = cursor.left() - tail
    if not declared:
        if left > _EMPTY_BYTES and not any(cursor.data[cursor.at + _EMPTY_BYTES : cursor.at + left]):
            cursor.take(left, "empty_cells")
        return
    two = has_wide_network(cursor)
    if declared == _SL4X_CELL_BYTES and not two:
        read_cell(cursor, report, 2, 4, 2)
    elif declared - two in (WIDE_CELL_BYTES, WIDE_CELL_BYTES + 1) or (declared > 20 and left == WIDE_CELL_BYTES + two):
        read_cell(cursor, report, 4, 8)
    else:
        read_cell(cursor, report, 2, 4 if declared == 9 + two and left == 9 + two else 3)


def address_request(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """1A, 2A: a fix and the telephone number that asks for its address."""
    report = new_report()
    read_fix(cursor, report, received_ms)
    read_phone(cursor, report)
    return [report]


def read_phone(cursor: Cursor, report: Position) -> None:
    phone = visible_text(cursor.take(min(_PHONE_BYTES, cursor.left()), "phone"))
    if phone.strip("0"):
        report.attributes["phone"] = phone
