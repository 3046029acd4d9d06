"""What H02 text and binary share: the status word, the battery step, the device clock."""

from __future__ import annotations

from processors.decoders.fields import DAY_MS, dmy_ms, lenient_hms_ms, unroll_ms
from schemas.errors import DecodeError
from schemas.records import Position

YEAR_MS = 365 * DAY_MS

_ALARM_BITS = {
    0: "vibration",
    1: "sos",
    2: "overspeed",
    4: "geofence_enter",
    5: "gps_antenna_cut",
    6: "fault",
    7: "geofence_exit",
    8: "door",
    16: "fault",
    18: "sos",
    19: "power_cut",
    21: "gps_antenna_cut",
    22: "fault",
}
"""Bits of the status word that raise an alarm when 0. The others are undefined, of different meaning in different
vendors' tables, or 0 for ever in some firmware (11, 13, 14, 15, 17, 20, 24, 26, 28): those never raise one."""
SILENT_ALARMS = frozenset({"sos"})
"""Never raised by the first word of a device: LK106 and LK109 send the SOS bit for years."""
LEVEL_ALARMS = frozenset(_ALARM_BITS.values())
_ALARM_MASK = sum(1 << bit for bit in _ALARM_BITS)
_ARMED, _IGNITION, _FUEL_CUT = 1 << 9, 1 << 10, 1 << 27

_NEVER_SET = frozenset((b"010104", b"010914"))
_NEVER_SET_YEAR = b"15"


def new_report() -> Position:
    return Position(clock="unknown")


def apply_status(report: Position, word: int) -> None:
    """The 32-bit status word; a bit is active when 0, except bit 10, which is 1 while the ignition is on."""
    report.ignition = word & _IGNITION != 0
    report.level_alarms = LEVEL_ALARMS
    report.silent_alarms = SILENT_ALARMS
    active = ~word & _ALARM_MASK
    if active:
        names = dict.fromkeys(name for bit, name in _ALARM_BITS.items() if active >> bit & 1)
        report.alarms = list(names)
    report.attributes["status"] = word
    report.attributes["blocked"] = word & _FUEL_CUT == 0
    if not word & _ARMED:
        report.attributes["armed"] = True


def battery_percent(value: int) -> float | None:
    """Percent of the battery byte: steps 1..6, percent 7..100, percent with a mark in the upper half F1..F6, 0 none."""
    if 1 <= value <= 3:
        return (value - 1) * 10.0
    if 4 <= value <= 6:
        return (value - 1) * 20.0
    if 7 <= value <= 100:
        return float(value)
    if 0xF1 <= value <= 0xF6:
        return float(value - 0xF0)
    return None


def device_time_ms(day: bytes, clock: bytes, received_ms: int | None, solved: bool) -> int | None:
    """Time of `ddmmyy` and `hhmmss` (milliseconds since the epoch, as the device counts it); None without a clock.

    No clock is also one that was never set: it runs from a date of the factory. solved: the report has a GNSS solution,
    which sets the clock. Raises DecodeError (bad_date).
    """
    if not day or not clock or day == b"000000":
        return None
    time_ms = unroll_ms(dmy_ms(day) + lenient_hms_ms(clock), received_ms)
    old = received_ms is None or received_ms - time_ms > YEAR_MS
    if old and (day in _NEVER_SET or (received_ms is not None and not solved and day[4:] == _NEVER_SET_YEAR)):
        return None
    return time_ms


def apply_clock(report: Position, day: bytes, clock: bytes, received_ms: int | None) -> None:
    """The clock of a report without a place; one that cannot be read is none."""
    try:
        report.device_time_ms = device_time_ms(day, clock, received_ms, False)
    except DecodeError:
        report.device_time_ms = None
