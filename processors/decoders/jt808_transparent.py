"""0900 of JT/T 808: data that devices pass through, by its type: text and RFID (40, FF), OBD (41, F0, F3).

Types 53, 54 and unknown ones are vendor blocks whose layout depends on the model: kept, not decoded.
"""

from __future__ import annotations

from processors.decoders.jt808_blocks import numbered_items, read_numbered_obd
from processors.decoders.jt808_location import read_short_location, time_or_none
from processors.decoders.jt808_values import MILLIVOLTS, Reader, by_length, field, number, text
from schemas.records import Position

_WORDS, _OBD_TEXT, _OBD, _NUMBERED, _RESULT = 0x40, 0x41, 0xF0, 0xF3, 0xFF
_VALUES, _CODES, _EVENTS, _VIN = 0x01, 0x02, 0x03, 0x0B
_HEAD_BYTES = 9
_PLACE_BYTES = (12, 18)
_CARD_HEAD, _CARD_FIELD = "GTSL|", 4


def read_transparent(body: bytes, received_ms: int | None) -> list[Position]:
    """The report in a transparent message; none for types that are not known."""
    if len(body) < 2:
        return []
    kind, data = body[0], body[1:]
    if kind in (_WORDS, _OBD_TEXT):
        return _read_words(kind, data[2:])
    if kind == _OBD and len(data) >= _HEAD_BYTES:
        return [_read_obd(data, received_ms)]
    if kind == _NUMBERED and numbered_items(data):
        report = Position(clock="unknown")
        read_numbered_obd(report, data)
        return [report]
    if kind == _RESULT:
        words = text(data)
        if words.isprintable() and words:
            return [Position(attributes={"command_result": words})]
    return []


def _read_words(kind: int, data: bytes) -> list[Position]:
    """Text behind a length u16: a card reader's `GTSL|..|..|..|card|..`, or OBD values whose order is the vendor's."""
    words = text(data)
    if not words:
        return []
    report = Position(attributes={"obd_text" if kind == _OBD_TEXT else "transparent_text": words})
    fields = words.split("|")
    if words.startswith(_CARD_HEAD) and len(fields) > _CARD_FIELD and fields[_CARD_FIELD]:
        report.attributes["driver_id"] = fields[_CARD_FIELD]
    return [report]


def _read_obd(data: bytes, received_ms: int | None) -> Position:
    """F0: time, stored u8, vehicle u8, kind u8, data by kind, then status, latitude, longitude and perhaps a time.

    The first time is that of the event, the second one that of the place.
    """
    report = Position(clock="unknown", device_time_ms=time_or_none(data[:6]))
    if data[6]:
        report.attributes["archive"] = True
    end = _READERS.get(data[8], _read_nothing)(report, data, _HEAD_BYTES)
    rest = data[end:]
    if len(rest) in _PLACE_BYTES:
        event_ms = report.device_time_ms
        read_short_location(report, rest, received_ms, data[:6])
        if report.latitude is None:
            report.device_time_ms = event_ms
    return report


def _read_nothing(report: Position, data: bytes, at: int) -> int:
    return at


def _read_values(report: Position, data: bytes, at: int) -> int:
    """Count u8, then id u16, length u8, value."""
    if at >= len(data):
        return at
    count, at = data[at], at + 1
    for _ in range(count):
        if at + 3 > len(data):
            return len(data)
        stop = at + 3 + data[at + 2]
        reader = VALUES.get(int.from_bytes(data[at : at + 2]))
        if reader is not None and stop <= len(data):
            reader(report, data[at + 3 : stop])
        at = stop
    return at


def _read_codes(report: Position, data: bytes, at: int) -> int:
    """Systems: count u16; each id u32 and count u16 of trouble codes; each code u32, status u32, length u16, text."""
    codes: list[str] = []
    systems, at = int.from_bytes(data[at : at + 2]), at + 2
    for _ in range(systems):
        if at + 6 > len(data):
            return len(data)
        count, at = int.from_bytes(data[at + 4 : at + 6]), at + 6
        for _ in range(count):
            if at + 10 > len(data):
                return len(data)
            begin, at = at + 10, at + 10 + int.from_bytes(data[at + 8 : at + 10])
            codes.append(text(data[begin:at]))
    report.attributes["dtcs"] = ",".join(filter(None, codes))
    return at


def _read_events(report: Position, data: bytes, at: int) -> int:
    """Count u8, then id u8, length u8, value; what the ids mean is the vendor's."""
    if at >= len(data):
        return at
    count, at = data[at], at + 1
    events: list[str] = []
    for _ in range(count):
        if at + 2 > len(data):
            return len(data)
        events.append(f"{data[at]:02x}")
        at += 2 + data[at + 1]
    report.attributes["obd_events"] = ",".join(events)
    return at


def _read_vin(report: Position, data: bytes, at: int) -> int:
    """Flag u8, then 17 characters when it is not 0."""
    if at < len(data) and data[at]:
        words = text(data[at + 1 : at + 18])
        if len(words) == 17:
            report.attributes["vin"] = words
    return len(data)


_READERS = {_VALUES: _read_values, _CODES: _read_codes, _EVENTS: _read_events, _VIN: _read_vin}

VALUES: dict[int, Reader] = {
    0x0102: by_length({4: field("odometer_m", times=100)}),
    0x0528: by_length({4: field("odometer_m", times=100)}),
    0x0546: by_length({4: field("odometer_m", times=100)}),
    0x052B: by_length({1: field("fuel_percent")}),
    0x052C: by_length({4: number("fuel_used_l", over=100)}),
    0x052D: by_length({1: number("coolant_temperature_c", plus=-40)}),
    0x052E: by_length({1: number("air_temperature_c", plus=-40)}),
    0x0530: by_length({2: field("power_v", over=MILLIVOLTS)}),
    0x0535: by_length({2: number("obd_speed_kmh", over=10)}),
    0x0536: by_length({2: number("engine_rpm")}),
}
"""Values of the engine, by id."""
