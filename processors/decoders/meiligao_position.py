"""The position text of Meiligao frames: `hhmmss.sss,A,ddmm.mmmm,N,dddmm.mmmm,E,speed,course,ddmmyy...*CS|hdop|...`.

It may stop after the date and after each `|` group. Times are UTC.
"""

from __future__ import annotations

import re
from functools import lru_cache

from processors.decoders.fields import (
    DAY_MS,
    KNOT_KMH,
    add_cell,
    clock_ms,
    day_ms,
    ddmm_degrees,
    dmy_ms,
    number_or_none,
    unroll_ms,
)
from schemas.errors import DecodeError, Reason
from schemas.records import Attribute, Position

_CORE_FIELDS = 9
_EARLIEST_MS = day_ms(2006, 1, 1)
"""No such device is older: a clock before that was never set."""
_STANDING_KMH = 1.0
"""Below this a receiver knows no course: most firmwares then send 0, the others leave the field empty."""
_ALTITUDE_M = -500.0, 10_000.0
"""Outside of these the field is garbage (`-859117376`)."""

_CLOCK = re.compile(rb"(\d{5,6})(?:\.(\d{0,3})\d*)?")
_STATE = re.compile(rb"[0-9A-Fa-f]{4}")
_ANALOG = re.compile(rb"[0-9A-Fa-f]{4}(?:,[0-9A-Fa-f]{4}){1,15}")
_CELL = re.compile(rb"([0-9A-Fa-f]{4})([0-9A-Fa-f]{4})([0-9A-Fa-f]{4})([0-9A-Fa-f]{4}|[0-9A-Fa-f]{8})")
_BYTE = re.compile(rb"[0-9A-Fa-f]{1,2}")
_HEX_ODOMETER = re.compile(rb"[0-9A-Fa-f]{8}")
_DECIMAL_ODOMETER = re.compile(rb"\d{1,9}")
_TAG = re.compile(rb"[0-9A-Fa-f]{5,32}")
_OUTPUTS = _INPUTS = range(1, 6)
_FIRST_INPUT_BIT = 8


def read_position(text: bytes, received_ms: int | None) -> Position:
    """Read a position text. Raises DecodeError (short, bad_format, bad_coordinates)."""
    groups = text.split(b"|")
    fields = groups[0].split(b",")
    if len(fields) < _CORE_FIELDS:
        raise DecodeError(Reason.SHORT, f"position of {len(fields)} fields")
    validity = fields[1]
    if validity not in (b"A", b"V"):
        raise DecodeError(Reason.BAD_FORMAT, f"validity {validity.decode('latin-1')!r}")
    report = Position()
    valid = validity == b"A"
    apply_place(report, valid, fields[2:6])
    _apply_movement(report, fields[6], fields[7])
    apply_time(report, fields[8][:6], fields[0], valid, received_ms)
    if len(groups) > 1:
        _read_groups(report, groups)
    return report


def apply_place(report: Position, valid: bool, fields: list[bytes]) -> None:
    """Set latitude and longitude of `ddmm.mmmm`, letter, `dddmm.mmmm`, letter; without a fix they are the last known.

    Zeros are what the device sends for "nowhere": never valid. Raises DecodeError (bad_coordinates) for a fix.
    """
    try:
        latitude = ddmm_degrees(fields[0], fields[1])
        longitude = ddmm_degrees(fields[2], fields[3])
    except DecodeError:
        if valid:
            raise
        return
    report.latitude, report.longitude = latitude or 0.0, longitude or 0.0  # no negative zero
    report.valid = valid and not latitude == longitude == 0


def _apply_movement(report: Position, speed: bytes, course: bytes) -> None:
    """Speed in knots and course in degrees; an empty speed is unknown."""
    knots, degrees = number_or_none(speed), number_or_none(course)
    if knots is not None and knots >= 0:
        report.speed_kmh = knots * KNOT_KMH
        if not course and report.speed_kmh < _STANDING_KMH:
            degrees = 0.0
    if degrees is not None and 0 <= degrees <= 360:
        report.course_deg = degrees


def apply_time(report: Position, day: bytes, clock: bytes, valid: bool, received_ms: int | None) -> None:
    """Device time of `ddmmyy` and `hhmmss.sss`, and the time of the fix; without a clock that is arrival."""
    report.device_time_ms = _time_ms(day, clock, valid, received_ms)
    if report.latitude is not None:
        report.fix_time_ms = report.device_time_ms if report.device_time_ms is not None else received_ms


def _time_ms(day: bytes, clock: bytes, valid: bool, received_ms: int | None) -> int | None:
    """None when there is no such time, and when the clock of a device without a fix was never set.

    Such a clock runs from the date at which the GNSS week began anew (`220899`, here 2099) or another one of the factory:
    before there were such devices, or after arrival. The hour may have one digit.
    """
    match = _CLOCK.fullmatch(clock)
    if match is None:
        return None
    number, fraction = int(match[1]), match[2]
    try:
        time_ms = dmy_ms(day) + clock_ms(number // 10_000, number // 100 % 100, number % 100)
    except DecodeError:
        return None
    if fraction:
        time_ms += int(fraction.ljust(3, b"0"))
    time_ms = unroll_ms(time_ms, received_ms)
    if not valid and (time_ms < _EARLIEST_MS or (received_ms is not None and time_ms > received_ms + DAY_MS)):
        return None
    return time_ms


# -- groups behind the date -----------------------------------------------------------------------------


def _read_groups(report: Position, groups: list[bytes]) -> None:
    """`|hdop|altitude|state|analog inputs|...`, each possibly empty or missing; groups[0] is the sentence itself."""
    count = len(groups)
    report.hdop = number_or_none(groups[1])
    if count > 2:
        altitude = number_or_none(groups[2])
        if altitude is not None and _ALTITUDE_M[0] <= altitude <= _ALTITUDE_M[1]:
            report.altitude_m = altitude
    if count <= 3:
        return
    rest = groups[4:]
    state = groups[3]
    if _STATE.fullmatch(state):
        report.attributes.update(_state(state))
    elif state:
        # raw bytes, and more of them behind: only the analog inputs tell themselves
        report.attributes["status_hex"] = state.hex()
        rest = next(([group] for group in rest if _ANALOG.fullmatch(group)), [])
    if rest:
        _read_inputs(report, rest)


@lru_cache(maxsize=256)
def _state(field: bytes) -> dict[str, Attribute]:
    """The state word: bits 0-4 are outputs 1 to 5, bits 8-12 inputs 1 to 5, named where active; their wiring is unknown."""
    word = int(field, 16)
    found: dict[str, Attribute] = {"status": word}
    for number in _OUTPUTS:
        if word >> (number - 1) & 1:
            found[f"output{number}"] = True
    for number in _INPUTS:
        if word >> (_FIRST_INPUT_BIT + number - 1) & 1:
            found[f"input{number}"] = True
    return found


def _read_inputs(report: Position, groups: list[bytes]) -> None:
    """Analog inputs (raw: their scale depends on the model), then a decimal odometer in metres, or cell and what follows."""
    if _ANALOG.fullmatch(groups[0]):
        for number, value in enumerate(groups[0].split(b","), 1):
            report.attributes[f"adc{number}_raw"] = int(value, 16)
        groups = groups[1:]
    elif not groups[0]:
        groups = groups[1:]
    if not groups:
        return
    if _DECIMAL_ODOMETER.fullmatch(groups[0]):
        report.odometer_m = float(groups[0])
        if len(groups) > 1 and _TAG.fullmatch(groups[1]) and groups[1].strip(b"0"):
            report.attributes["driver_id"] = groups[1].decode("ascii")
        return
    cell = _CELL.fullmatch(groups[0])
    if cell:
        mcc, mnc, lac, cid = cell.groups()
        add_cell(report.cells, int(mcc, 16), int(mnc, 16), int(lac, 16), int(cid, 16))
    if cell or not groups[0]:
        _read_radio(report, groups)


def _read_radio(report: Position, groups: list[bytes]) -> None:
    """`cell|signal|odometer|satellites|driver`, hexadecimal but for the driver's text, the odometer in metres."""
    count = len(groups)
    if count > 1 and _BYTE.fullmatch(groups[1]):
        report.rssi = int(groups[1], 16)
    if count > 2 and _HEX_ODOMETER.fullmatch(groups[2]):
        report.odometer_m = float(int(groups[2], 16))
    if count > 3 and _BYTE.fullmatch(groups[3]):
        report.satellites = int(groups[3], 16)
    if count > 4:
        driver = b"|".join(groups[4:]).strip(b" \x00")
        if driver:
            report.attributes["driver_card"] = driver.decode("latin-1")
