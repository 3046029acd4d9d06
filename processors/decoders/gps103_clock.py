"""The two clocks of a GPS103 report: date and time of the device, in its own zone, and the UTC time of day of the fix.

Neither is enough: only the first has a date, only the second is UTC. Their difference is the zone.
"""

from __future__ import annotations

import re

from processors.decoders.fields import DAY_MS, clock_ms, hms_ms, unroll_ms, ymd_ms
from schemas.errors import DecodeError

MINUTE_MS = 60_000
LIVE_MS = 5 * MINUTE_MS
"""A report that is as near to its arrival as this is live."""
EAST_MS = 12 * 60 * MINUTE_MS
"""A device clock is never further behind UTC."""
DAY_MINUTES = 1440
GRID_MINUTES = 15
"""Zones are whole multiples of this."""
GRID_SLACK_MINUTES = 2

_UTC = re.compile(rb"(\d{6})(?:\.(\d{0,3})\d*)?")
_SLASHED = re.compile(rb"(\d\d)/(\d\d)/(\d\d) (\d\d):(\d\d)(?::(\d\d))?")


def device_time_ms(field: bytes, received_ms: int | None) -> int | None:
    """The device clock as it counts (ms since the epoch, its zone not taken off), None when it says nothing.

    Forms: `yymmddHHMM`, `yymmddHHMMSS`, `yy/mm/dd HH:MM`. Empty, zeros, year 00, month 00 and impossible dates are a
    clock that was never set.
    """
    if len(field) not in (10, 12) or not field.isdigit():
        match = _SLASHED.fullmatch(field)
        if match is None:
            return None
        field = b"".join(part or b"" for part in match.groups())
    if field[:2] == b"00":
        return None
    second = int(field[10:]) if len(field) == 12 else 0
    try:
        time_ms = ymd_ms(field[:6]) + clock_ms(int(field[6:8]), int(field[8:10]), second)
    except DecodeError:
        return None
    return unroll_ms(time_ms, received_ms)


def utc_clock_ms(field: bytes) -> int | None:
    """The UTC time of day `HHMMSS` with an optional fraction in milliseconds, None for anything else."""
    match = _UTC.fullmatch(field)
    if match is None:
        return None
    try:
        return hms_ms(match[1]) + (int(match[2].ljust(3, b"0")) if match[2] else 0)
    except DecodeError:
        return None


def fix_time_ms(local_ms: int | None, time_of_day_ms: int, received_ms: int | None) -> tuple[int | None, bool]:
    """The UTC time of the fix, and False when the fix is an old one that the device repeats.

    local_ms: the device clock; time_of_day_ms: UTC time of the fix. The zone chooses the date alone: hours, minutes and
    seconds are those of the fix. Clocks that differ by no zone: the fix is a stale one, unless it is as young as its
    arrival says, when it is the device clock that is wrong.
    """
    if local_ms is None:
        return (None if received_ms is None else _latest_ms(time_of_day_ms, received_ms + LIVE_MS)), True
    minutes = (local_ms // MINUTE_MS - time_of_day_ms // MINUTE_MS) % DAY_MINUTES
    zone = minutes - DAY_MINUTES if minutes > DAY_MINUTES // 2 else minutes
    time_ms = (local_ms - zone * MINUTE_MS) // DAY_MS * DAY_MS + time_of_day_ms
    if received_ms is None:
        return time_ms, True
    if GRID_SLACK_MINUTES < minutes % GRID_MINUTES < GRID_MINUTES - GRID_SLACK_MINUTES:
        latest_ms = _latest_ms(time_of_day_ms, received_ms + LIVE_MS)
        if received_ms - latest_ms <= LIVE_MS:
            return latest_ms, True
        return _latest_ms(time_of_day_ms, min(received_ms, local_ms + EAST_MS)), False
    ahead_ms = time_ms - received_ms
    if abs(abs(ahead_ms) - DAY_MS) <= LIVE_MS:  # firmware that puts the UTC date beside the local time
        time_ms -= DAY_MS if ahead_ms > 0 else -DAY_MS
    return time_ms, True


def _latest_ms(time_of_day_ms: int, limit_ms: int) -> int:
    """The last moment with this time of day that is not after limit_ms."""
    return limit_ms - (limit_ms - time_of_day_ms) % DAY_MS
