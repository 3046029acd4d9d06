"""GT06 types of single models: cameras, OBD readers, X1, XT40, trackers with an iButton, alarms with modules."""

from __future__ import annotations

from gateway.protocols.gt06 import imei_at
from gateway.protocols.gt06_wire import Unit
from processors.decoders.gt06_blocks import (
    FIX_BYTES,
    STATUS_BYTES,
    add_alarm,
    apply_info,
    apply_place,
    apply_time,
    is_dated,
    new_report,
    packet_time_ms,
    read_alarm_status,
    read_cell,
    read_fix,
    visible_text,
)
from processors.decoders.gt06_cells import cells
from processors.decoders.gt06_cursor import Cursor, Layout
from processors.decoders.gt06_modules import are_modules, read_modules
from processors.decoders.gt06_position import (
    CELL_BYTES,
    WIDE_CELL_BYTES,
    moded_place,
    read_mode,
    read_typed_cell,
)
from processors.decoders.gt06_reports import status_with_modules
from schemas.records import Position

Reports = list[Position]

_PLACE = Layout(("I", "latitude"), ("I", "longitude"), ("H", "flags"))
_MOVING_PLACE = Layout(("B", "satellites"), ("I", "latitude"), ("I", "longitude"), ("B", "speed_kmh"), ("H", "flags"))
_CAMERA_MARK = b"\xff\xff"
_CAMERA_ALARMS = {
    0x01: "sos",
    0x0E: "low_power",
    0x76: "temperature",
    0x80: "vibration",
    0x87: "overspeed",
    0x88: "power_cut",
    0x90: "hard_acceleration",
    0x91: "hard_braking",
    0x92: "hard_cornering",
    0x93: "accident",
}
_OBD_IGNITION = 0x8C


def camera_alarm(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """95: time, a place without speed unless it is absent, event, value, names of files; another order behind FFFF."""
    report = new_report()
    marked = cursor.rest()[:2] == _CAMERA_MARK
    if marked:
        cursor.take(3, "mark_version")
    raw = cursor.take(6, "time")
    if marked:
        report.satellites = cursor.number(1, "satellites") & 0x0F
    if cursor.left() > _PLACE.size:
        apply_place(report, *cursor.fields(_PLACE))
    if marked:
        speed = cursor.number(2, "speed_kmh")
        report.speed_kmh = float(speed) if report.latitude is not None else None
        report.power_v = cursor.number(2, "power_v") / 10
    apply_time(report, packet_time_ms(raw, received_ms), received_ms)
    event = cursor.number(1, "event")
    name = _CAMERA_ALARMS.get(event)
    if name:
        report.alarms.append(name)
    else:
        report.attributes["event"] = event
    if cursor.left() >= 2:
        report.attributes["event_value"] = cursor.number(2, "event_value")
    files = visible_text(cursor.take(cursor.left(), "files"))
    if files:
        report.attributes["files"] = files
    return [report]


# -- 65, 66, 8C: OBD ----------------------------------------------------------------------------------------


def obd(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """65, 66, 8C: time, ignition (8C), `key=hex` text, and a fix without a time. Known keys only in 8C."""
    report = new_report()
    raw = cursor.take(6, "time")
    ignition = cursor.number(1, "ignition")
    text_bytes = cursor.left()
    if text_bytes >= _MOVING_PLACE.size and not _is_text(cursor.data[cursor.end - _MOVING_PLACE.size : cursor.end]):
        text_bytes -= _MOVING_PLACE.size
    text = cursor.take(text_bytes, "obd").decode("latin-1").strip("\x00,")
    if cursor.left():
        satellites, latitude, longitude, speed, flags = cursor.fields(_MOVING_PLACE)
        report.satellites = satellites & 0x0F
        apply_place(report, latitude, longitude, flags)
        report.speed_kmh = float(speed) if report.latitude is not None else None
    apply_time(report, packet_time_ms(raw, received_ms), received_ms)
    if text:
        report.attributes["obd"] = text
    if unit.type == _OBD_IGNITION:
        report.ignition = ignition != 0
        _read_values(report, text)
    return [report]


def _is_text(data: bytes) -> bool:
    return data.isascii() and data.decode("ascii").isprintable()


def _read_values(report: Position, text: str) -> None:
    """The first two digits of a key say what it is, in hex; values are hex hundredths."""
    for pair in text.split(","):
        key, _, value = pair.partition("=")
        if key[:2] == "28" and value.isalnum() and len(value) <= 8:
            try:
                report.odometer_m = int(value, 16) / 100
            except ValueError:
                continue


# -- 34: X1, or cells -----------------------------------------------------------------------------------------


def x1(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """34: 4 bytes, fix, 2 bytes, odometer, cell, driver, battery and power in hundredths, inputs; else cells."""
    if is_dated(cursor.rest()) and not is_dated(cursor.rest()[4:]):
        return cells(cursor, unit, received_ms)
    report = new_report()
    cursor.take(4, "head")
    read_fix(cursor, report, received_ms)
    cursor.take(2, "unknown")
    report.odometer_m = float(cursor.number(4, "odometer_m"))
    read_cell(cursor, report, 2, 4)
    driver = cursor.take(4, "driver_id")
    if any(driver):
        report.attributes["driver_id"] = driver.hex()
    report.battery_v = cursor.number(2, "battery_v") / 100
    report.power_v = cursor.number(2, "power_v") / 100
    if cursor.left():
        report.attributes["inputs"] = cursor.number(1, "inputs")
    return [report]


# -- 36, 39: with modules -------------------------------------------------------------------------------------


def status_or_place(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """36: status and modules; in TRX models fix, cell of 4 bytes, mode, odometer, external and battery voltage."""
    data = cursor.rest()
    status = len(data) == STATUS_BYTES or are_modules(data[STATUS_BYTES:], 1)
    if status or len(data) < FIX_BYTES or not is_dated(data):
        return status_with_modules(cursor, unit, received_ms)
    report = new_report()
    read_fix(cursor, report, received_ms)
    read_cell(cursor, report, 2, 4)
    read_mode(cursor, report)
    report.odometer_m = float(cursor.number(4, "odometer_m"))
    report.power_v = cursor.number(2, "power_v") / 100
    report.battery_v = cursor.number(1, "battery_v") / 10
    return [report]


def alarm_with_modules(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """39: fix, kind of cell, cell, signal, status, modules. Where that does not come out, the fix alone is sure."""
    report = new_report()
    read_fix(cursor, report, received_ms)
    data = cursor.rest()
    if len(data) < 2:
        return [report]
    cell_bytes = (WIDE_CELL_BYTES if data[0] >= 3 else CELL_BYTES) + (data[1] >> 7)
    behind = data[1 + cell_bytes + 1 + STATUS_BYTES :]
    if len(data) < 1 + cell_bytes + 1 + STATUS_BYTES or (behind and not are_modules(behind, 1)):
        return [report]
    read_typed_cell(cursor, report)
    cursor.take(1, "cell_rssi")
    read_alarm_status(cursor, report, wide_code=True)
    read_modules(cursor, report, 1)
    return [report]


# -- with an IMEI ---------------------------------------------------------------------------------------------


def ibutton_place(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """61: IMEI, fix, cell of 4 bytes, iButton."""
    report = new_report()
    cursor.take(8, "imei")
    read_fix(cursor, report, received_ms)
    read_cell(cursor, report, 2, 4)
    if cursor.left() >= 6:
        button = cursor.take(6, "ibutton")
        if any(button):
            report.attributes["ibutton"] = button.hex()
    return [report]


def xt40_or_moded(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """22: of XT40 models when it has an IMEI."""
    read = xt40 if imei_at(unit, cursor.rest()) >= 0 else moded_place
    return read(cursor, unit, received_ms)


def xt40(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """25, and 22 of XT40: source, IMEI, time, fix, cell behind its length, status with voltages, odometer, driver."""
    report = new_report()
    cursor.take(9, "source_imei")
    cursor.take(6, "time")
    read_fix(cursor, report, received_ms)
    size = cursor.number(1, "cell_bytes")
    end = cursor.at + size
    if size:
        read_cell(cursor, report, 2, 4 if size >= 9 else 3)
        cursor.at = max(end, cursor.at)
    info = cursor.number(1, "terminal_info")
    apply_info(report, info)
    report.power_v = cursor.number(2, "power_v") / 100
    report.battery_v = cursor.number(1, "battery_v") / 10
    report.rssi = cursor.number(1, "gsm_level")
    add_alarm(report, cursor.number(1, "alarm"), info)
    cursor.take(1, "language")
    report.odometer_m = float(cursor.number(3, "odometer_m"))
    report.attributes["hours_min"] = cursor.number(3, "hours_min")
    if cursor.left() > 1:
        driver = cursor.take(min(cursor.number(1, "driver_bytes"), cursor.left()), "driver_id")
        text = visible_text(driver[2:].strip(b"\x02\x03") if driver[1:2] == b"\x02" else driver)
        if text:
            report.attributes["driver_id"] = text
    return [report]
