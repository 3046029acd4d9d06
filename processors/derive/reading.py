"""A report as the rules see it: its time judged, its place in column units, and the leg that led to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from processors.derive.geometry import distance_m
from processors.derive.rules import Parameters
from processors.derive.state import ABSENT_I4, ABSENT_I8, ABSENT_U2, DeviceState
from schemas.records import Attribute, Event, Flag, Position

KMH_X10_PER_M_MS = 36_000.0
"""km/h x 10 in one metre per millisecond."""
SPEED_X10_MAX = ABSENT_U2 - 1
JUMP_M = 200.0
"""A shorter leg is no jump, however fast: two fixes within a second and the noise of both."""
INACCURATE = int(Flag.FILTERED | Flag.INACCURATE)
JUMP = int(Flag.FILTERED | Flag.JUMP)
STATIC = int(Flag.FILTERED | Flag.STATIC)


@dataclass(slots=True)
class Reading:
    """One new report, judged.

    latitude_e7, longitude_e7: where a valid fix was, else absent. is_fix: a valid fix newer than every one before, the
    only kind that moves anything. flags: bits of schemas.records.Flag of the position filter that set it aside, else 0.
    leg_m, leg_ms, leg_speed_x10: from the last such fix to this one; 0 for the first. events: what the rules found so far.
    """

    device_id: str
    position: Position
    received_ms: int
    time_ms: int
    late: bool
    latitude_e7: int
    longitude_e7: int
    speed_x10: int
    is_fix: bool = False
    flags: int = 0
    leg_m: float = 0.0
    leg_ms: int = 0
    leg_speed_x10: float = 0.0
    events: list[Event] = field(default_factory=list)

    def raise_event(
        self,
        kind: str,
        time_ms: int,
        latitude_e7: int,
        longitude_e7: int,
        subject: str = "",
        attributes: dict[str, Attribute] | None = None,
    ) -> None:
        """Add one event; an absent place becomes None."""
        latitude = None if latitude_e7 == ABSENT_I4 else latitude_e7 / 1e7
        longitude = None if longitude_e7 == ABSENT_I4 else longitude_e7 / 1e7
        self.events.append(
            Event(self.device_id, kind, time_ms, subject, self.received_ms, latitude, longitude, attributes or {})
        )

    def raise_here(self, kind: str, subject: str = "", attributes: dict[str, Attribute] | None = None) -> None:
        """Add one event at the time and place of this report."""
        self.raise_event(kind, self.time_ms, self.latitude_e7, self.longitude_e7, subject, attributes)


def read(
    state: DeviceState,
    position: Position,
    received_ms: int,
    time_ms: int,
    late: bool,
    parameters: Parameters,
) -> Reading:
    """Judge the place of a report and measure its leg from the last fix of `state`. No number raises, NaN neither.

    `state` is the caller's own: a fix that implies an impossible speed is kept in it until the next one agrees or not.
    """
    latitude_e7 = longitude_e7 = ABSENT_I4
    latitude, longitude = position.latitude, position.longitude
    if (
        latitude is not None
        and longitude is not None
        and (position.valid or not parameters.filter_invalid)
        and -90.0 <= latitude <= 90.0
        and -180.0 <= longitude <= 180.0
        and (latitude or longitude or not parameters.filter_zero)
    ):
        latitude_e7 = round(latitude * 1e7)
        longitude_e7 = round(longitude * 1e7)
    speed = position.speed_kmh
    speed_x10 = round(speed * 10) if speed is not None and 0.0 <= speed <= SPEED_X10_MAX / 10 else ABSENT_U2
    reading = Reading(state.device_id, position, received_ms, time_ms, late, latitude_e7, longitude_e7, speed_x10)
    first = state.fix_time_ms == ABSENT_I8
    if latitude_e7 == ABSENT_I4 or late or not (first or time_ms > state.fix_time_ms):
        return reading
    reading.flags = _filtered(position, speed_x10, parameters)
    reading.is_fix = not reading.flags
    if reading.is_fix and not first:
        _measure_leg(state, reading)
        fastest_kmh = parameters.filter_speed_kmh
        if fastest_kmh is not None:
            _filter_jump(state, reading, fastest_kmh * 10)
    return reading


def _filtered(position: Position, speed_x10: int, parameters: Parameters) -> int:
    """Flags of the filters that set a fix aside by what it says itself; 0: none does."""
    limit_m, accuracy_m = parameters.filter_accuracy_m, position.accuracy_m
    if limit_m is not None and accuracy_m is not None and accuracy_m > limit_m:
        return INACCURATE
    return STATIC if speed_x10 == 0 and parameters.filter_static else 0


def _measure_leg(state: DeviceState, reading: Reading) -> None:
    leg_m = distance_m(state.latitude_e7, state.longitude_e7, reading.latitude_e7, reading.longitude_e7)
    reading.leg_m = leg_m
    reading.leg_ms = reading.time_ms - state.fix_time_ms
    reading.leg_speed_x10 = leg_m / reading.leg_ms * KMH_X10_PER_M_MS


def _filter_jump(state: DeviceState, reading: Reading, fastest_x10: float) -> None:
    """Set a jump aside; when the fix after it agrees with it, it was the fix before that was wrong."""
    if reading.leg_speed_x10 <= fastest_x10 or reading.leg_m <= JUMP_M:
        if state.jump_ms != ABSENT_I8:
            _note_jump(state, ABSENT_I8, ABSENT_I4, ABSENT_I4)
        return
    aside = state.jump_ms, state.jump_latitude_e7, state.jump_longitude_e7
    _note_jump(state, reading.time_ms, reading.latitude_e7, reading.longitude_e7)
    if aside[0] != ABSENT_I8 and reading.time_ms > aside[0]:
        since_jump_m = distance_m(aside[1], aside[2], reading.latitude_e7, reading.longitude_e7)
        speed_x10 = since_jump_m / (reading.time_ms - aside[0]) * KMH_X10_PER_M_MS
        if speed_x10 <= fastest_x10 or since_jump_m <= JUMP_M:
            state.fix_time_ms, state.latitude_e7, state.longitude_e7 = aside
            state.speed_x10 = ABSENT_U2
            _measure_leg(state, reading)
            _note_jump(state, ABSENT_I8, ABSENT_I4, ABSENT_I4)
            return
    reading.flags = JUMP
    reading.is_fix = False


def _note_jump(state: DeviceState, time_ms: int, latitude_e7: int, longitude_e7: int) -> None:
    state.jump_ms = time_ms
    state.jump_latitude_e7 = latitude_e7
    state.jump_longitude_e7 = longitude_e7


def is_zero(position: Position) -> bool:
    """True when the coordinates are exactly 0, 0: what firmwares send for "nowhere"."""
    return position.latitude == 0 and position.longitude == 0


def km_h(speed_x10: float) -> float:
    """A speed for people: km/h to 0.1."""
    return round(speed_x10 / 10, 1)
