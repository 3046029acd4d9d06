"""GT06 frames made of modules: {id u16, length, data}, the length of one byte or of two."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.protocols.gt06_wire import Unit
from processors.decoders.fields import add_cell
from processors.decoders.gt06_blocks import apply_place, apply_time
from processors.decoders.gt06_cursor import Cursor, Layout
from schemas.records import Position

Reports = list[Position]

_PLACE = Layout(
    ("I", "time"),
    ("B", "satellites"),
    ("h", "altitude_m"),
    ("I", "latitude"),
    ("I", "longitude"),
    ("B", "speed_kmh"),
    ("H", "flags"),
)
_CELL = Layout(("H", "mcc"), ("H", "mnc"), ("H", "lac"), ("B", "cid_high"), ("H", "cid_low"), ("B", "rssi"))
_HEAD_BYTES = 5


def _modules(cursor: Cursor, length_bytes: int) -> Iterator[tuple[int, Cursor]]:
    """Id and data of each module up to the end, or up to one that is not whole."""
    while cursor.left() >= 2 + length_bytes:
        number = cursor.number(2, "module")
        size = cursor.number(length_bytes, "module_bytes")
        if size > cursor.left():
            return
        begin = cursor.at
        cursor.at = begin + size
        yield number, Cursor(cursor.data, begin, begin + size)


def are_modules(data: bytes, length_bytes: int) -> bool:
    """True when modules fill data exactly."""
    at = 0
    while at + 2 + length_bytes <= len(data):
        at += 2 + length_bytes + int.from_bytes(data[at + 2 : at + 2 + length_bytes])
    return at == len(data) and at > 0


def read_modules(cursor: Cursor, report: Position, length_bytes: int) -> None:
    """The modules of short frames, when they fill what is left exactly: batteries and the start of the engine."""
    if not are_modules(cursor.rest(), length_bytes):
        return
    for number, data in _modules(cursor, length_bytes):
        if number == 0x18 and data.left() == 2:
            report.battery_v = data.number(2, "battery_v") / 100
        elif number == 0x27 and data.left() == 2:
            report.power_v = data.number(2, "power_v") / 100
        elif number == 0x6A and data.left() == 1:
            report.battery_percent = float(data.number(1, "battery_percent"))
        elif number == 0x32 and data.left() == 1:
            report.attributes["started"] = data.number(1, "started") == 1


# -- F1, F2 -----------------------------------------------------------------------------------------------


def state(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """F1: time since the epoch, then modules of the state; F2: the same of peripherals, kept raw."""
    report = Position(device_time_ms=_epoch_ms(cursor.number(4, "time")))
    for number, data in _modules(cursor, 1):
        if not data.left():
            continue
        if unit.type == 0xF2 or number not in _STATES:
            if unit.type == 0xF2:
                report.attributes[f"module_{number:04x}"] = data.rest().hex()
        elif number == 0x0005:
            report.power_v = data.number(data.left(), "power_v") / 100
        elif number == 0x0004:
            report.ignition = data.number(1, "ignition") != 0
        else:
            report.attributes[_STATES[number]] = data.number(1, _STATES[number]) != 0
    return [report]


_STATES = {0x0001: "motion", 0x0002: "armed", 0x0004: "ignition", 0x0005: "power_v", 0x0007: "charging"}


def _epoch_ms(seconds: int) -> int | None:
    return seconds * 1000 or None


# -- 70 ---------------------------------------------------------------------------------------------------


def information(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """70: 5 bytes, then modules with a length of two bytes; times are UTC."""
    report = Position()
    cursor.take(_HEAD_BYTES, "head")
    for number, data in _modules(cursor, 2):
        reader = _INFORMATION.get(number)
        if reader is not None and data.left():
            reader(data, report, received_ms)
    return [report]


def _iccid(data: Cursor, report: Position, received_ms: int | None) -> None:
    report.attributes["iccid"] = data.take(data.left(), "iccid").hex().rstrip("f")


def _satellites(data: Cursor, report: Position, received_ms: int | None) -> None:
    report.satellites = data.number(1, "satellites")


def _cell(data: Cursor, report: Position, received_ms: int | None) -> None:
    if data.left() == _CELL.size:
        mcc, mnc, lac, high, low, rssi = data.fields(_CELL)
        add_cell(report.cells, mcc & 0x7FFF, mnc, lac, high << 16 | low, rssi)


def _battery(data: Cursor, report: Position, received_ms: int | None) -> None:
    report.battery_v = data.number(data.left(), "battery_v") / 100


def _hdop(data: Cursor, report: Position, received_ms: int | None) -> None:
    report.hdop = data.number(data.left(), "hdop") / 10


def _door(data: Cursor, report: Position, received_ms: int | None) -> None:
    report.attributes["door_status"] = data.number(1, "door_status")


def _odometer(data: Cursor, report: Position, received_ms: int | None) -> None:
    report.odometer_m = float(int.from_bytes(data.take(data.left(), "odometer_m"), "little"))


def _place(data: Cursor, report: Position, received_ms: int | None) -> None:
    if data.left() != _PLACE.size:
        return
    seconds, satellites, altitude, latitude, longitude, speed, flags = data.fields(_PLACE)
    apply_place(report, latitude, longitude, flags)
    report.satellites = satellites
    if report.latitude is not None:
        report.speed_kmh = float(speed)
        if latitude or longitude:
            report.altitude_m = float(altitude)
    apply_time(report, _epoch_ms(seconds), received_ms)


def _event(data: Cursor, report: Position, received_ms: int | None) -> None:
    report.attributes["event"] = data.number(1, "event")


def _tag(data: Cursor, report: Position, received_ms: int | None) -> None:
    report.attributes["ble_tag"] = data.take(data.left(), "ble_tag").hex()


_INFORMATION = {
    0x03: _iccid,
    0x09: _satellites,
    0x11: _cell,
    0x18: _battery,
    0x28: _hdop,
    0x2A: _door,
    0x2E: _odometer,
    0x33: _place,
    0x34: _event,
    0x7F: _tag,
}
