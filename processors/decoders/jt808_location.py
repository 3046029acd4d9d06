"""The location body that JT/T 808 messages share: alarm word, status word, place, movement, time, then items.

Layout: jt808.md section 4. The clock is GMT+8 by the standard, so 8 hours are taken off; as many exported devices send
UTC all the same, positions say clock `unknown`.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

from processors.decoders.fields import hms_ms, ymd_ms
from processors.decoders.jt808_items import item_ends, read_items
from schemas.errors import DecodeError, Reason
from schemas.records import Position

BEIJING_MS = 8 * 3_600_000
"""GMT+8, the time of the standard."""
CORE_BYTES = 28
_CORE = Struct(">IIIIhHH6s")
"""Alarm bits, status bits, latitude, longitude (unsigned, 1e-6 degree), altitude m, speed 0.1 km/h, course, time."""
_PLACE = Struct(">III")
_FIXED_TAIL = Struct(">4xIHIB3x")
"""Tail of fixed form: odometer km, battery 0.1 V, area, GSM."""

IGNITION, VALID, SOUTH, WEST = 1, 2, 4, 8
_BLOCKED, _POWER_LINE_CUT, _LOCKED, _DOORS, _CHARGING = 1 << 10, 1 << 11, 1 << 12, 0x1F << 13, 1 << 26
_NOTABLE = _POWER_LINE_CUT | _LOCKED | _DOORS | _CHARGING

_PULSES = {0: "sos", 20: "geofence", 21: "geofence", 28: "movement"}
"""Alarm bits of an event: the standard has the device clear them once the report is answered."""
_LEVELS = {
    1: "overspeed",
    2: "fatigue_driving",
    4: "fault",
    5: "gps_antenna_cut",
    6: "fault",
    7: "low_power",
    8: "power_off",
    9: "fault",
    10: "fault",
    11: "fault",
    12: "fault",
    15: "vibration",
    16: "tampering",
    17: "tampering",
    18: "low_battery",
    19: "parking",
    26: "general",
    27: "general",
    29: "accident",
    30: "accident",
}
"""Alarm bits that stay until the condition ends. 15 to 18 are the meaning of exported devices. 27, an event too, shares
its name with 26."""
_ALARMS = _LEVELS | _PULSES
_ALARM_MASK = sum(1 << bit for bit in _ALARMS)
LEVEL_ALARMS = frozenset(_LEVELS.values())
_MOVEMENT_BIT, _NO_ROLLOVER = 1 << 16, (1 << 29 | 1 << 30)
"""What some models mean otherwise: bit 16 is movement on GL100 and AL300; 29 and 30 are no collision on VL300."""


@lru_cache(maxsize=256)
def alarm_names(word: int) -> tuple[str, ...]:
    """Names of the bits of the alarm word, each once."""
    return tuple(dict.fromkeys(name for bit, name in _ALARMS.items() if word >> bit & 1))


def device_time_ms(packed: bytes) -> int | None:
    """Time of YYMMDDhhmmss in packed decimal, GMT+8; None for zeros: no clock. Raises DecodeError (bad_date)."""
    digits = packed.hex().encode()
    if digits == b"000000000000":
        return None
    return ymd_ms(digits[:6]) + hms_ms(digits[6:]) - BEIJING_MS


def time_or_none(packed: bytes) -> int | None:
    """As device_time_ms, None for anything that is no time."""
    try:
        return device_time_ms(packed)
    except DecodeError:
        return None


def apply_status(report: Position, status: int) -> None:
    """The status word: ignition, blocked, doors, charging."""
    report.ignition = status & IGNITION != 0
    attributes = report.attributes
    attributes["status"] = status
    attributes["blocked"] = status & _BLOCKED != 0
    if status & _NOTABLE:
        if status & _POWER_LINE_CUT:
            attributes["circuit_cut"] = True
        if status & _LOCKED:
            attributes["doors_locked"] = True
        if status & _DOORS:
            attributes["door"] = True
        if status & _CHARGING:
            attributes["charging"] = True


def apply_place(report: Position, status: int, latitude: int, longitude: int) -> bool:
    """Set coordinates and whether they are a fix; False when there are none.

    Zeros are what devices send for "nowhere": never valid, whatever the bit says. Raises DecodeError (bad_coordinates)
    for a fix outside the world.
    """
    valid = status & VALID != 0 and (latitude != 0 or longitude != 0)
    if latitude > 90_000_000 or longitude > 180_000_000:
        if valid:
            raise DecodeError(Reason.BAD_COORDINATES, f"{latitude / 1e6} {longitude / 1e6}")
        return False
    report.valid = valid
    report.latitude = (-latitude if status & SOUTH else latitude) / 1e6
    report.longitude = (-longitude if status & WEST else longitude) / 1e6
    return True


def apply_time(report: Position, packed: bytes, received_ms: int | None) -> None:
    """Device time, and the time of the place: without a clock, arrival. Raises DecodeError (bad_date) for a fix."""
    if report.latitude is None:
        report.device_time_ms = time_or_none(packed)
        return
    report.device_time_ms = device_time_ms(packed) if report.valid else time_or_none(packed)
    if report.device_time_ms is not None:
        report.fix_time_ms = report.device_time_ms
    else:
        report.fix_time_ms, report.clock = received_ms, "utc"


def read_location(body: bytes, at: int, end: int, received_ms: int | None) -> Position:
    """Read the location in body[at:end]. Raises DecodeError (short, bad_coordinates, bad_date)."""
    if end - at < CORE_BYTES:
        raise DecodeError(Reason.SHORT, f"location of {end - at} bytes")
    alarms, status, latitude, longitude, altitude_m, speed, course, packed = _CORE.unpack_from(body, at)
    report = Position(clock="unknown", level_alarms=LEVEL_ALARMS)
    apply_status(report, status)
    if apply_place(report, status, latitude, longitude):
        report.altitude_m = float(altitude_m)
        report.speed_kmh = speed / 10
        if course <= 360:
            report.course_deg = float(course)
    apply_time(report, packed, received_ms)
    if alarms & _ALARM_MASK:
        report.alarms = list(alarm_names(alarms & _ALARM_MASK))
    at += CORE_BYTES
    if end - at == _FIXED_TAIL.size and item_ends(body, at, end) != end:
        _read_fixed_tail(report, body, at)
    elif at < end:
        read_items(report, body, at, end)
        if alarms & (_MOVEMENT_BIT | _NO_ROLLOVER):
            _apply_model(report, alarms)
    return report


def _read_fixed_tail(report: Position, body: bytes, at: int) -> None:
    odometer_km, battery, area, rssi = _FIXED_TAIL.unpack_from(body, at)
    report.odometer_m = odometer_km * 1000.0
    report.battery_v = battery / 10
    report.rssi = rssi
    if area:
        report.attributes["area"] = area


def _apply_model(report: Position, alarms: int) -> None:
    """Some alarm bits mean something else on models that name themselves in item F2."""
    firmware = str(report.attributes.get("firmware", ""))
    names = list(alarm_names(alarms & _ALARM_MASK))
    extra = [name for name in report.alarms if name not in names]
    if "VL300" in firmware:
        names = list(alarm_names(alarms & _ALARM_MASK & ~_NO_ROLLOVER))
    elif "GL100" in firmware or "AL300" in firmware:
        names = list(alarm_names(alarms & _ALARM_MASK & ~_MOVEMENT_BIT))
        if alarms & _MOVEMENT_BIT:
            names.append("movement")
    report.alarms = list(dict.fromkeys(names + extra))


def read_short_location(report: Position, data: bytes, received_ms: int | None, packed: bytes) -> None:
    """Status, latitude, longitude, and the time when it stands behind them; else `packed` is the time."""
    status, latitude, longitude = _PLACE.unpack_from(data)
    apply_status(report, status)
    apply_place(report, status, latitude, longitude)
    apply_time(report, data[12:18] if len(data) >= 18 else packed, received_ms)
