"""maintenance_due, with the subject distance or engine_hours: one more period is complete.

Distance is the device's odometer, from its first telling on, else our own count of trips. Engine time is the device's
count (attribute engine_hours_h), else the time between reports with the ignition on at the first. The first look is a
silent baseline, and so is a count that falls: an odometer that was reset, or another period.
"""

from __future__ import annotations

from processors.derive.reading import Reading
from processors.derive.rules import Parameters
from processors.derive.state import ABSENT_I8, ABSENT_U4, DeviceState
from schemas.records import Attribute

HOUR_S = 3600.0
ENGINE_S_MAX = 1e10
COUNT_MAX = ABSENT_U4 - 1


def derive_maintenance(state: DeviceState, reading: Reading, parameters: Parameters) -> None:
    """Count with a report that is not late; `state` still holds the ignition before it."""
    if reading.late:
        return
    _count_engine(state, reading, parameters)
    odometer_m = reading.position.odometer_m
    if odometer_m is not None and 0 <= odometer_m < ABSENT_U4:
        state.odometer_m = int(odometer_m)
    period_m, period_h = parameters.maintenance_distance_m, parameters.maintenance_engine_h
    if period_m is None:
        state.distance_serviced = ABSENT_U4
    else:
        own_m = state.distance_m + state.trip_distance_m
        distance_m = own_m if state.odometer_m == ABSENT_U4 else float(state.odometer_m)
        count = min(int(distance_m // period_m), COUNT_MAX)
        told: dict[str, Attribute] = {"distance_m": round(distance_m), "period_m": period_m, "count": count}
        state.distance_serviced = _compare(reading, "distance", count, state.distance_serviced, told)
    if period_h is None:
        state.engine_serviced = ABSENT_U4
    else:
        hours = state.engine_s / HOUR_S
        count = min(int(hours // period_h), COUNT_MAX)
        told = {"engine_h": round(hours, 1), "period_h": period_h, "count": count}
        state.engine_serviced = _compare(reading, "engine_hours", count, state.engine_serviced, told)


def _count_engine(state: DeviceState, reading: Reading, parameters: Parameters) -> None:
    told_h = reading.position.attributes.get("engine_hours_h")
    if isinstance(told_h, (int, float)) and not isinstance(told_h, bool) and 0 <= told_h * HOUR_S <= ENGINE_S_MAX:
        state.engine_s = told_h * HOUR_S
    elif state.ignition == 1 and state.running_ms != ABSENT_I8:
        ran_ms = reading.time_ms - state.running_ms
        if 0 < ran_ms <= parameters.stop_gap_s * 1000:
            state.engine_s += ran_ms / 1000
    if reading.position.ignition is not None or state.running_ms != ABSENT_I8:
        state.running_ms = reading.time_ms if state.running_ms == ABSENT_I8 else max(state.running_ms, reading.time_ms)


def _compare(reading: Reading, subject: str, count: int, before: int, told: dict[str, Attribute]) -> int:
    if before != ABSENT_U4 and count > before:
        reading.raise_here("maintenance_due", subject, told)
    return count
