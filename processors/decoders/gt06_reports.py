"""GT06 reports without a place of their own: login, heartbeats, answers to commands, transmitted information, media."""

from __future__ import annotations

import re

from gateway.protocols.gt06_wire import Unit, packed_imei
from processors.decoders.fields import DAY_MS, clock_ms, day_ms
from processors.decoders.gt06_blocks import (
    ALARMS,
    LEVEL_ALARMS,
    add_info_alarm,
    apply_info,
    apply_level,
    apply_time,
    new_report,
    packet_time_ms,
    visible_text,
)
from processors.decoders.gt06_cursor import Cursor
from processors.decoders.gt06_modules import read_modules
from schemas.errors import DecodeError
from schemas.records import Position

Reports = list[Position]

_WEST = 8
_OBD_BYTES = 0x13 - 5
_LANGUAGES = frozenset((0, 1, 2))
_UTF_16 = 2
_ICCID = re.compile(r"ICCID:([0-9A-Fa-f]{18,20})")
_ANSWERED_PLACE = re.compile(
    r"Lat:([NS])(\d{1,2}\.\d+),Lon:([EW])(\d{1,3}\.\d+),Course:(\d{1,3}(?:\.\d+)?),Speed:(\d{1,4}(?:\.\d+)?)"
    r",DateTime:(\d{4})-(\d\d)-(\d\d) +(\d\d):(\d\d):(\d\d)"
)


def login(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """01: what stands behind the IMEI: the device's type, and the zone that it believes to be in (proves nothing)."""
    cursor.take(8, "imei")
    if cursor.left() < 2:
        return []
    report = new_report()
    report.attributes["device_type"] = cursor.take(2, "device_type").hex()
    if cursor.left() >= 2:
        zone = cursor.number(2, "zone_language")
        minutes = (zone >> 4) // 100 * 60 + (zone >> 4) % 100
        report.attributes["utc_offset_min"] = -minutes if zone & _WEST else minutes
    return [report]


# -- heartbeats -----------------------------------------------------------------------------------------


def heartbeat(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """13: information, level, GSM, then alarm and language, or language and extension."""
    report = new_report()
    if cursor.left() == _OBD_BYTES:
        return [_obd_heartbeat(cursor, report)]
    _read_beat(cursor, report)
    return [report]


def status_with_modules(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """36: a heartbeat, then modules."""
    report = new_report()
    _read_beat(cursor, report)
    read_modules(cursor, report, 1)
    return [report]


def _read_beat(cursor: Cursor, report: Position) -> None:
    """The alarm is that of the information. The byte for it counts only where it cannot be a language, and is known.

    All of it may stand for days, so it is a level.
    """
    info = cursor.number(1, "terminal_info")
    apply_info(report, info)
    apply_level(report, cursor.number(1, "voltage_level"))
    report.rssi = cursor.number(1, "gsm_level")
    report.level_alarms = LEVEL_ALARMS
    add_info_alarm(report, info)
    if cursor.left() < 2:
        return
    code, language = cursor.number(1, "alarm"), cursor.number(1, "language")
    name = ALARMS.get(code)
    if name and code > 2 and language in _LANGUAGES and not info >> 3 & 7:
        report.alarms.append(name)
        report.level_alarms |= {name}


def _obd_heartbeat(cursor: Cursor, report: Position) -> Position:
    """13 of OBD6: information, a word of satellites and GSM level, 2 bytes, battery, 1 byte, voltage in hundredths."""
    info = cursor.number(1, "terminal_info")
    apply_info(report, info)
    signal = cursor.number(2, "signal")
    report.satellites = (signal >> 10 & 0x1F) + (signal >> 5 & 0x1F)
    report.rssi = signal & 0x1F
    cursor.take(2, "unknown")
    percent = cursor.number(1, "battery_percent")
    if percent <= 100:
        report.battery_percent = float(percent)
    cursor.take(1, "unknown")
    report.power_v = cursor.number(2, "power_v") / 100
    return report


def battery_heartbeat(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """23: information, battery in hundredths of a volt, GSM, alarm and language."""
    report = new_report()
    apply_info(report, cursor.number(1, "terminal_info"))
    report.battery_v = cursor.number(2, "battery_v") / 100
    report.rssi = cursor.number(1, "gsm_level")
    return [report]


# -- answers to commands ----------------------------------------------------------------------------------


def command_answer(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """15: length, flag of the command, text, language. A length of 0: text up to the language, padded with NUL."""
    size = cursor.number(1, "text_bytes")
    cursor.take(4, "flag")
    left = cursor.left()
    text = cursor.take(size - 4 if 4 < size <= left + 4 else max(left - 2, 0), "text")
    return _answer(text.replace(b"\x00", b"").decode("latin-1"), received_ms)


def online_answer(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """21: flag of the command, coding, text."""
    cursor.take(4, "flag")
    coding = cursor.number(1, "coding")
    data = cursor.take(cursor.left(), "text")
    text = data.decode("utf-16-be", "replace") if coding == _UTF_16 else data.decode("latin-1")
    return _answer(text.strip("\x00"), received_ms)


def _answer(text: str, received_ms: int | None) -> Reports:
    """The answer, and the SIM card's number or the place that it tells."""
    if not text:
        return []
    report = new_report()
    report.attributes["command_result"] = text
    iccid = _ICCID.search(text)
    if iccid:
        report.attributes["iccid"] = iccid[1]
    match = _ANSWERED_PLACE.search(text)
    if match:
        _apply_answered_place(report, match, received_ms)
    return [report]


def _apply_answered_place(report: Position, match: re.Match[str], received_ms: int | None) -> None:
    north, latitude, east, longitude, course, speed = match.groups()[:6]
    if float(latitude) > 90 or float(longitude) > 180:
        return
    report.latitude = float(latitude) if north == "N" else -float(latitude)
    report.longitude = float(longitude) if east == "E" else -float(longitude)
    report.valid = bool(report.latitude or report.longitude)
    report.speed_kmh = float(speed)
    report.course_deg = float(course) if float(course) <= 360 else None
    year, month, day, hour, minute, second = (int(number) for number in match.groups()[6:])
    try:
        time_ms = day_ms(year, month, day) + clock_ms(hour, minute, second)
    except DecodeError:
        time_ms = 0
    apply_time(report, time_ms if time_ms > DAY_MS else None, received_ms)


# -- 94: transmitted information ----------------------------------------------------------------------------


def information(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """94: the short form is the external voltage; the extended one has a sub-type; unknown ones report nothing."""
    report = new_report()
    if not unit.extended:
        report.power_v = cursor.signed(2, "power_v") / 100
        return [report]
    reader = _INFORMATION.get(cursor.number(1, "sub_type"))
    if reader is None:
        return []
    reader(cursor, report, received_ms)
    return [report]


def _voltage(cursor: Cursor, report: Position, received_ms: int | None) -> None:
    report.power_v = cursor.number(2, "power_v") / 100


def _settings(cursor: Cursor, report: Position, received_ms: int | None) -> None:
    text = cursor.take(cursor.left(), "settings").strip(b"\x00").decode("latin-1")
    report.attributes["settings"] = text
    iccid = _ICCID.search(text)
    if iccid:
        report.attributes["iccid"] = iccid[1]


def _door(cursor: Cursor, report: Position, received_ms: int | None) -> None:
    """Perhaps the time, then the door."""
    if cursor.left() >= 7:
        apply_time(report, packet_time_ms(cursor.take(6, "time"), received_ms), received_ms)
    report.attributes["door"] = cursor.number(1, "door") & 1 != 0


def _identities(cursor: Cursor, report: Position, received_ms: int | None) -> None:
    """IMEI, IMSI and the number of the SIM card."""
    for name in ("imei", "imsi"):
        digits = packed_imei(cursor.take(8, name))
        if digits:
            report.attributes[name] = digits
    report.attributes["iccid"] = cursor.take(10, "iccid").hex().rstrip("f")


def _network_or_voltage(cursor: Cursor, report: Position, received_ms: int | None) -> None:
    if cursor.left() == 1:
        report.attributes["network_type"] = cursor.number(1, "network_type")
    else:
        _voltage(cursor, report, received_ms)


def _fuel(cursor: Cursor, report: Position, received_ms: int | None) -> None:
    """Text of a fuel sensor, perhaps behind the time."""
    if cursor.rest()[:1] != b"!" and cursor.left() > 6:
        apply_time(report, packet_time_ms(cursor.take(6, "time"), received_ms), received_ms)
    report.attributes["fuel_sensor"] = cursor.take(cursor.left(), "fuel_sensor").decode("latin-1").strip("\x00")


def _card(cursor: Cursor, report: Position, received_ms: int | None) -> None:
    """Text, or bytes, with 02 and 03 around them in some models."""
    data = cursor.take(cursor.left(), "rfid")
    text = visible_text(data)
    report.attributes["rfid"] = text.removeprefix("RFID:") if text else data.hex()


def _climate(cursor: Cursor, report: Position, received_ms: int | None) -> None:
    report.attributes["temperature_c"] = cursor.signed(4, "temperature_c") / 10
    report.attributes["humidity_percent"] = cursor.signed(4, "humidity_percent") / 10


_INFORMATION = {
    0x00: _voltage,
    0x04: _settings,
    0x05: _door,
    0x0A: _identities,
    0x0B: _network_or_voltage,
    0x0D: _fuel,
    0x1B: _card,
    0x1E: _climate,
}


def serial_data(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """9B: what came in at the serial port, as text when it is text."""
    report = new_report()
    report.attributes["serial_port"] = cursor.number(1, "serial_port")
    data = cursor.take(cursor.left(), "serial_data")
    report.attributes["serial_data"] = visible_text(data) or data.hex()
    return [report]


# -- photos -------------------------------------------------------------------------------------------------


def photo(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """35: time, a place without hemispheres (left out), camera, source, format, size and id of a photo."""
    report = new_report()
    apply_time(report, packet_time_ms(cursor.take(6, "time"), received_ms), received_ms)
    cursor.take(9, "place")
    report.attributes["media"] = "image"
    report.attributes["camera"] = cursor.number(1, "camera")
    cursor.take(2, "source_format")
    report.attributes["media_bytes"] = cursor.number(4, "media_bytes")
    report.attributes["media_id"] = cursor.number(4, "media_id")
    return [report]


def photo_part(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """36 extended: id, offset, length, bytes, which stay in the frame."""
    report = new_report()
    report.attributes["media"] = "image"
    report.attributes["media_id"] = cursor.number(4, "media_id")
    report.attributes["media_offset"] = cursor.number(4, "media_offset")
    report.attributes["media_bytes"] = cursor.number(2, "media_bytes")
    return [report]
