"""The fixed-width position block of TK103 frames, its IO state and its trailer."""

from __future__ import annotations

import re

from processors.decoders.fields import ddmm_degrees, hms_ms, number_or_none, unroll_ms, ymd_ms
from schemas.errors import DecodeError, Reason
from schemas.records import Position

_FACTORY_DATE = b"111213"
"""Date of a clock that was never set."""

BLOCK = re.compile(rb"(.{6})([AV]) *(\d{1,4}\.\d*)([NS]) *(\d{1,5}\.\d*)([EW])", re.DOTALL)
_BLOCK_WITHOUT_FIX = re.compile(rb".{6}V", re.DOTALL)
STATE = re.compile(rb"[0-9A-Fa-f]{8}")
_TRAILER = re.compile(rb"([+-]\d{1,3}\.\d+)|T([0-9A-Fa-f]{3})|(P[0-9A-Z]{2,})|F(\d{1,4})|,(\d{6}),(\d{6})")
_ODOMETER = re.compile(rb"[0-9A-Fa-f]{1,8}")


def read_block(block: bytes, received_ms: int | None) -> Position:
    """The fixed-width position block, from its date on."""
    match = BLOCK.match(block)
    if match is None:
        if _BLOCK_WITHOUT_FIX.match(block):
            return Position()
        raise DecodeError(Reason.BAD_FORMAT, "no position block")
    day, validity, latitude, north, longitude, east = match.groups()
    tail = block[match.end() :]
    mark = tail.find(b"L")
    part = tail if mark < 0 else tail[:mark]
    head, _, rest = part.partition(b",")
    digits = head + rest.replace(b",", b"")
    wide = 1 if len(digits) == 27 else 0
    speed, clock = digits[: 5 + wide], digits[5 + wide : 11 + wide]
    if rest and not wide:
        course, state = head[11:], rest
    elif len(digits) == 21 and b"." not in digits[11:17]:
        course, state = digits[11:13], digits[13:]
    else:
        course, state = digits[11 + wide : 17 + 2 * wide], digits[17 + 2 * wide :]
    report = Position()
    apply_place(report, validity == b"A", (latitude, north, longitude, east), (speed, course))
    nowhere = report.latitude == report.longitude == 0
    if not (nowhere and validity == b"V" and day == _FACTORY_DATE):
        report.device_time_ms = _time(day, clock, received_ms)
    apply_fix_time(report, received_ms)
    apply_state(report, state)
    if mark >= 0:
        read_trailer(report, tail[mark + 1 :])
    return report


def apply_place(
    report: Position, valid: bool, place: tuple[bytes, bytes, bytes, bytes], movement: tuple[bytes, bytes]
) -> None:
    """Set coordinates, speed (sent in km/h) and course. Zeros are what the device sends for "nowhere": never valid."""
    latitude = ddmm_degrees(place[0], place[1])
    longitude = ddmm_degrees(place[2], place[3])
    report.latitude, report.longitude = latitude, longitude
    report.valid = valid and not latitude == longitude == 0
    report.speed_kmh = number_or_none(movement[0])
    course = number_or_none(movement[1])
    report.course_deg = course if course is not None and 0 <= course <= 360 else None


def apply_fix_time(report: Position, received_ms: int | None) -> None:
    if report.latitude is not None:
        report.fix_time_ms = report.device_time_ms if report.device_time_ms is not None else received_ms


def _time(day: bytes, clock: bytes, received_ms: int | None) -> int | None:
    """Time of `yymmdd` and `hhmmss`; None when there is no such time: the device then has no clock."""
    try:
        return unroll_ms(ymd_ms(day) + hms_ms(clock), received_ms)
    except DecodeError:
        return None


def apply_state(report: Position, state: bytes) -> None:
    """IO state, 8 characters: the first two mean the same everywhere, the others depend on the model: kept raw too."""
    if not STATE.fullmatch(state):
        return
    if state[0] in b"01":
        report.attributes["external_power"] = state[0] == 0x30
    if state[1] in b"01":
        report.ignition = state[1] == 0x31
    report.attributes["io_state"] = state.decode("ascii")
    if state[2:4] == b"00":
        return
    bits = int(state[2:3], 16)
    for bit, name in enumerate(("input2", "panic", "output2", "blocked")):
        if bits >> bit & 1:
            report.attributes[name] = True
    if int(state[3:4], 16) & 8:
        report.attributes["door"] = True


def read_trailer(report: Position, trailer: bytes) -> None:
    """What follows `L`: the odometer in hex metres, then optional sensors."""
    odometer = _ODOMETER.match(trailer)
    if odometer:
        report.odometer_m = float(int(odometer[0], 16))
    for match in _TRAILER.finditer(trailer, odometer.end() if odometer else 0):
        celsius, scaled, sensor, fuel, day, clock = match.groups()
        if celsius:
            report.attributes["temperature_c"] = float(celsius)
        elif scaled:
            report.attributes["temperature_raw"] = int(scaled, 16)
        elif sensor:
            report.attributes["sensor_raw"] = sensor.decode("ascii")
        elif fuel:
            report.attributes["fuel_raw"] = int(fuel)
        else:
            report.attributes["device_clock"] = (day + clock).decode("ascii")
