"""Meaning of GPS103 (Coban) frames: positions, alarms, states, cells, OBD, photos, results of commands.

The date and time of a frame is local, the time of day beside a fix is UTC: see gps103_clock. A frame with a bad date is
still a report; only a fix whose place cannot be read rejects one.
"""

from __future__ import annotations

import re

from processors.decoders.fields import KNOT_KMH, ddmm_degrees, hex_or_none, number_or_none
from processors.decoders.gps103_clock import device_time_ms, fix_time_ms, utc_clock_ms
from processors.decoders.gps103_vehicle import (
    ALTERNATIVE_FIELDS,
    TROUBLE_CODE,
    odometer_m,
    read_alternative,
    read_obd,
    read_photo,
)
from schemas.errors import DecodeError, Reason
from schemas.records import Frame, Position

NAME = "gps103"
REVISION = 1

_ALARMS: dict[bytes, str] = {
    b"help me": "sos",
    b"low battery": "low_battery",
    b"move": "movement",
    b"speed": "overspeed",
    b"stockade": "geofence",
    b"door alarm": "door",
    b"ac alarm": "power_cut",
    b"acc alarm": "general",
    b"accident alarm": "accident",
    b"collision": "accident",
    b"bonnet alarm": "bonnet",
    b"footbrake alarm": "foot_brake",
    b"sensor alarm": "vibration",
    b"oil1": "fuel_leak",
    b"oil2": "fuel_leak",
    b"brake": "hard_braking",
    b"brake alarm": "hard_braking",
    b"accelerate": "hard_acceleration",
    b"sharp turn": "hard_cornering",
}
"""Keywords that are alarms, each an event of its frame. `ac` is the mains, `acc` the ignition of an armed vehicle."""
_NOTHING_MORE = frozenset((b"", b"tracker", b"001", b"101", b"103", b"rfid"))
"""Keywords of plain positions."""
_IGNITION = {b"acc on": True, b"acc off": False}
_STATES = {
    b"jt": ("blocked", True),
    b"109": ("blocked", True),
    b"kt": ("blocked", False),
    b"110": ("blocked", False),
    b"lt": ("armed", True),
    b"111": ("armed", True),
    b"mt": ("armed", False),
    b"112": ("armed", False),
}
"""What the result of a command says of the vehicle."""
_LETTER_RESULT = re.compile(rb"[a-q][tf]")
_NUMBER_RESULT = re.compile(rb"[15](?:0\d|1[0-6]|22|60)")
_PHONE = re.compile(rb"\+?\d[\d ]{4,}")
_PERCENT = re.compile(rb" *(\d{1,3}(?:\.\d*)?)%")

_ENDS = b";*\r\n"
_STANDING_KMH = 3.0
"""Below this a receiver knows no course; most firmwares then send 0, the others leave the field empty or out."""
_FIRST_SIGN = frozenset((b"N", b"S", b"n", b"s"))
_SHORTEST_FIX = 11
_LONGEST = 19


def decode(frame: Frame) -> list[Position]:
    """Decode one frame. Raises DecodeError (short, bad_coordinates, bad_format) for a report that cannot be read."""
    payload = frame.payload
    if payload[:5] != b"imei:":
        return []  # logins and heartbeats report nothing
    fields = payload.rstrip(_ENDS).split(b",")
    if len(fields) < 3:
        return []
    keyword = fields[1].strip(b" !").lower()
    if keyword == b"obd":
        return [read_obd(fields, frame.received_ms)]
    if keyword == b"vr":
        return [read_photo(fields)]
    if len(fields) < 5:
        return []  # a keep-alive
    mark = fields[4].strip(b" ")
    if mark == b"F":
        report = _read_fix(fields, frame.received_ms)
    elif mark != b"L" and payload[-1:] == b"*" and len(fields) >= ALTERNATIVE_FIELDS:
        return [read_alternative(fields, frame.received_ms)]
    else:
        report = Position(clock="local", device_time_ms=device_time_ms(fields[2], frame.received_ms))
        if mark == b"L":
            _read_cell(report, fields)
    if len(fields) > 14:
        _read_inputs(report, fields)
    if fields[3]:
        _read_third(report, fields[3], keyword)
    if keyword not in _NOTHING_MORE:
        _read_keyword(report, keyword, fields)
    return [report]


def content(frame: Frame) -> bytes:
    """The frame without what ends it: it has no serial number, checksum or mark of its own."""
    return frame.payload.rstrip(_ENDS)


# -- the block of the fix -------------------------------------------------------------------------------


def _read_fix(fields: list[bytes], received_ms: int | None) -> Position:
    """Fields 5 to 13: UTC time of day, validity, place, speed in knots, course, altitude in metres."""
    if len(fields) < _SHORTEST_FIX:
        raise DecodeError(Reason.SHORT, f"fix of {len(fields)} fields")
    report = Position()
    report.device_time_ms = local_ms = device_time_ms(fields[2], received_ms)
    _read_place(report, fields)
    if report.latitude is None:
        report.clock = "local"
        return report
    time_of_day_ms = utc_clock_ms(fields[5])
    if time_of_day_ms is not None:
        report.fix_time_ms, live = fix_time_ms(local_ms, time_of_day_ms, received_ms)
        report.valid = report.valid and live
    elif local_ms is not None:
        report.fix_time_ms, report.clock = local_ms, "local"
    if report.fix_time_ms is None:
        report.fix_time_ms = received_ms
    return report


def _read_place(report: Position, fields: list[bytes]) -> None:
    """Set coordinates, speed, course and altitude. Zeros are what clones send for "nowhere": never valid."""
    latitude_text, north, longitude_text, east = fields[7:11]
    if latitude_text in _FIRST_SIGN:
        north, latitude_text, east, longitude_text = latitude_text, north, longitude_text, east
    valid = fields[6] == b"A"
    try:
        latitude = ddmm_degrees(latitude_text, north)
        longitude = ddmm_degrees(longitude_text, east or b"E")
    except DecodeError:
        if valid:
            raise
        return
    report.latitude, report.longitude = latitude, longitude
    report.valid = valid and not latitude == longitude == 0
    if not east:
        report.attributes["hemisphere_unknown"] = True
    knots = number_or_none(fields[11]) if len(fields) > 11 else None
    course = number_or_none(fields[12]) if len(fields) > 12 else None
    if knots is not None and knots >= 0:
        report.speed_kmh = knots * KNOT_KMH
        if course is None and report.speed_kmh < _STANDING_KMH:
            course = 0.0
    report.course_deg = course if course is not None and 0 <= course <= 360 else None
    report.altitude_m = number_or_none(fields[13]) if len(fields) > 13 else None


def _read_cell(report: Position, fields: list[bytes]) -> None:
    """Without a fix: location area at 7 and cell at 9, in hex. Country and network are not sent: 0, which is none."""
    if len(fields) < 10:
        return
    lac, cid = hex_or_none(fields[7]), hex_or_none(fields[9])
    if lac is not None and cid is not None and (lac or cid):
        report.cells.append({"mcc": 0, "mnc": 0, "lac": lac, "cid": cid})


# -- what stands around it ------------------------------------------------------------------------------


def _read_inputs(report: Position, fields: list[bytes]) -> None:
    """Fields 14 to 18: ignition, door, two fuel levels, temperature; each may be empty or missing."""
    if fields[14] in (b"0", b"1"):
        report.ignition = fields[14] == b"1"
    door, fuel, second, temperature = [*fields[15:_LONGEST], b"", b"", b"", b""][:4]
    if door in (b"0", b"1"):
        report.attributes["door"] = door == b"1"
    if fuel:
        report.fuel_percent = _percent(fuel)
    if second:
        _read_second_fuel(report, second)
    if temperature:
        celsius = number_or_none(temperature)
        if celsius is not None:
            report.attributes["temperature_c"] = celsius


def _read_second_fuel(report: Position, field: bytes) -> None:
    """The second fuel level; OBD devices put a whole number of kilometres or a trouble code there."""
    percent = _percent(field)
    if percent is not None:
        report.attributes["fuel_2_percent"] = percent
    elif field.isdigit() and len(field) <= 9:
        report.odometer_m = odometer_m(float(field))
    elif TROUBLE_CODE.fullmatch(field):
        report.attributes["dtcs"] = field.decode("ascii")


def _percent(field: bytes) -> float | None:
    value = number_or_none(field.removesuffix(b"%"))
    return value if value is not None and 0 <= value <= 100 else None


def _read_third(report: Position, field: bytes, keyword: bytes) -> None:
    """Field 3: a tag, the battery of 4G devices, or the authorised phone number; other numbers mean nothing known."""
    text = field.strip()
    if keyword == b"rfid" and text:
        report.attributes["rfid"] = text.decode("latin-1")
    elif match := _PERCENT.fullmatch(text):
        report.battery_percent = _percent(match[1])
    elif _PHONE.fullmatch(text):
        report.attributes["phone"] = text.decode("ascii")


def _read_keyword(report: Position, keyword: bytes, fields: list[bytes]) -> None:
    """What the keyword says: an alarm, a state, a value, the result of a command; else it is kept as the event."""
    text = fields[1].strip().decode("latin-1")
    if keyword in _ALARMS:
        report.alarms.append(_ALARMS[keyword])
    elif keyword in _IGNITION:
        if report.ignition is None:
            report.ignition = _IGNITION[keyword]
    elif keyword.startswith(b"t:"):
        report.alarms.append("temperature")
        celsius = number_or_none(keyword[2:])
        if celsius is not None:
            report.attributes["temperature_c"] = celsius
    elif keyword.startswith(b"oil "):
        report.alarms.append("fuel_leak")
        percent = _percent(keyword[4:])
        report.fuel_percent = report.fuel_percent if percent is None else percent
    elif keyword.startswith(b"dtc"):
        report.alarms.append("fault")
        code = keyword[3:].strip().upper()
        if TROUBLE_CODE.fullmatch(code):
            report.attributes["dtcs"] = code.decode("ascii")
    elif keyword.startswith(b"vt") and keyword[2:].isdigit() and len(keyword) <= 6:
        report.attributes["photo_packets"] = int(keyword[2:])
    elif _LETTER_RESULT.fullmatch(keyword) or _NUMBER_RESULT.fullmatch(keyword):
        report.attributes["command_result"] = text
        if keyword in _STATES:
            name, state = _STATES[keyword]
            report.attributes[name] = state
    else:
        report.attributes["event"] = text
