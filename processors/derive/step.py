"""One entry of the log into one device's state: the function that the live run, the loader and replays share.

Pure: no clock, no I/O, no logging; the input is never changed. Time enters with the entries.
"""

from __future__ import annotations

from typing import NamedTuple

from processors.derive.alarms import derive_alarms
from processors.derive.clock import (
    CLOCK_CORRECTED,
    GRID_MS,
    LATE,
    TIME_FUTURE,
    judge_time,
    literal_time_ms,
    same_time,
)
from processors.derive.driver import derive_command_result, derive_driver
from processors.derive.entries import Entry, Heard, Report, SessionClosed, Tick
from processors.derive.fuel import derive_fuel
from processors.derive.geofences import derive_dwell, derive_geofences
from processors.derive.ignition import derive_ignition
from processors.derive.maintenance import derive_maintenance
from processors.derive.movement import derive_movement
from processors.derive.overspeed import derive_overspeed
from processors.derive.power import derive_power
from processors.derive.presence import close, derive_silence, hear, is_news
from processors.derive.reading import is_zero, read
from processors.derive.rules import Parameters, Rules
from processors.derive.state import ABSENT_I8, MOTION_UNKNOWN, DeviceState, copy_of, recent_times, with_recent
from schemas.records import Event, Flag, Position

DUPLICATE = int(Flag.DUPLICATE)
ZERO = int(Flag.ZERO)
BEHIND_MS = 2 * 60_000
"""A report without a fix whose device clock is this little behind the last fix is not late: clocks of devices drift."""


class Derived(NamedTuple):
    """What derivation says of one position, for its row.

    time_ms: of the report. fix_time_ms: corrected, None without a fix. device_time_ms: the device's own time literally,
    None when it tells none; the literal time of the fix where that was corrected and there is no other. flags: bits of
    schemas.records.Flag. moving: motion after the report, 0 stopped, 1 moving, 255 not known.
    """

    time_ms: int
    fix_time_ms: int | None
    device_time_ms: int | None
    flags: int
    moving: int


class Step(NamedTuple):
    """The state after an entry (the same object when nothing changed), its events, and for a report its Derived."""

    state: DeviceState
    events: list[Event]
    derived: Derived | None


def step(state: DeviceState, entry: Entry, rules: Rules, is_own: bool = False) -> Step:
    """Apply one entry of the device that `state` is of. Never raises for what a device sent.

    is_own: the state is a copy that nobody else holds: a report may change it instead of another copy.
    """
    if isinstance(entry, Report):
        return _report(state, entry, rules, is_own)
    if isinstance(entry, Tick):
        return _tick(state, entry, rules)
    after = copy_of(state)
    if isinstance(entry, SessionClosed):
        events = close(after, entry.time_ms, entry.session)
    else:
        heard_ms = entry.received_ms if isinstance(entry, Heard) else entry.time_ms
        if not is_news(state, heard_ms, entry.session):
            return Step(state, [], None)
        events = hear(after, heard_ms, entry.session)
    return Step(state if after == state else after, events, None)


def _tick(before: DeviceState, tick: Tick, rules: Rules) -> Step:
    state, parameters = copy_of(before), rules.parameters(before.device_id)
    events = derive_silence(state, tick.now_ms, parameters, tick.pauses)
    if state.fences:
        events += derive_dwell(state, tick.now_ms, parameters, rules, tick.pauses)
    return Step(state if events else before, events, None)


def _report(before: DeviceState, report: Report, rules: Rules, is_own: bool) -> Step:
    parameters = rules.parameters(before.device_id)
    literal = literal_time_ms(report.position)
    for first_ms in recent_times(before.recent, report.frame_key):
        if same_time(first_ms, literal, report.received_ms, parameters):
            derived = _derived_again(before, report.position, first_ms, literal)
            if not is_news(before, report.received_ms, report.session):
                return Step(before, [], derived)
            state = before if is_own else copy_of(before)
            return Step(state, hear(state, report.received_ms, report.session), derived)
    return _new_report(before if is_own else copy_of(before), report, parameters, rules, literal)


def _new_report(state: DeviceState, report: Report, parameters: Parameters, rules: Rules, literal: int | None) -> Step:
    """Apply a report to a state that may be changed. What a report does not tell is not asked for: most tell little."""
    position = report.position
    online = []
    if is_news(state, report.received_ms, report.session):
        online = hear(state, report.received_ms, report.session)
    time_ms, flags = judge_time(state, report, literal, parameters)
    if literal is not None and state.fix_time_ms != ABSENT_I8:
        margin_ms = 0 if position.fix_time_ms is not None else BEHIND_MS
        if time_ms < state.fix_time_ms - margin_ms:
            flags |= LATE
    if is_zero(position):
        flags |= ZERO
    late = bool(flags & LATE)
    reading = read(state, position, report.received_ms, time_ms, late, parameters)
    reading.events = online
    attributes = position.attributes
    if (
        position.ignition is not None
        or state.running_ms != ABSENT_I8
        or parameters.maintenance_distance_m is not None
        or position.odometer_m is not None
        or "engine_hours_h" in attributes
    ):
        derive_maintenance(state, reading, parameters)
        derive_ignition(state, reading)
    if position.alarms or position.level_alarms:
        derive_alarms(state, reading)
        derive_power(state, reading, parameters)
    elif position.power_v is not None:
        derive_power(state, reading, parameters)
    if position.fuel_percent is not None or "fuel_l" in attributes:
        derive_fuel(state, reading, parameters)
    if attributes:
        derive_driver(state, reading)
        derive_command_result(reading)
    if reading.is_fix:
        if rules.fences.fences or state.fences or state.fences_revision != rules.fences.revision:
            derive_geofences(state, reading, parameters, rules)
        derive_movement(state, reading, parameters)
        if (
            parameters.speed_limit_kmh is not None
            or state.overspeed_since_ms != ABSENT_I8
            or state.fences
            or "speed_limit_kmh" in attributes
        ):
            derive_overspeed(state, reading, parameters, rules)
        state.fix_time_ms = time_ms
        state.latitude_e7 = reading.latitude_e7
        state.longitude_e7 = reading.longitude_e7
        state.speed_x10 = reading.speed_x10
    state.protocol = report.protocol
    state.reports += 1
    state.seen_ms = max(state.seen_ms, report.received_ms)
    state.recent = with_recent(state.recent, report.frame_key, time_ms)
    moving = MOTION_UNKNOWN if late else state.moving
    return Step(state, reading.events, _derived(position, time_ms, flags | reading.flags, moving))


def _derived(position: Position, time_ms: int, flags: int, moving: int) -> Derived:
    device_time_ms = position.device_time_ms
    if device_time_ms is None and flags & (CLOCK_CORRECTED | TIME_FUTURE):
        device_time_ms = position.fix_time_ms  # nowhere else would the literal time be kept
    has_fix_time = position.fix_time_ms is not None and position.fix_time_ms >= 0
    return Derived(time_ms, time_ms if has_fix_time else None, device_time_ms, flags, moving)


def _derived_again(state: DeviceState, position: Position, first_ms: int, literal: int | None) -> Derived:
    """The row of a report that was seen before: the time it got then, and what of its flags can still be known."""
    flags = DUPLICATE | (ZERO if is_zero(position) else 0)
    if literal is not None and first_ms != literal:
        flags |= CLOCK_CORRECTED if (literal - first_ms) % GRID_MS == 0 else TIME_FUTURE
    moving = state.moving if state.fix_time_ms <= first_ms else MOTION_UNKNOWN
    return _derived(position, first_ms, flags, moving)
