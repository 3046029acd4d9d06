"""A report as the rules see it: its time judged, its place in column units, and the leg that led to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from processors.derive.geometry import distance_m
from processors.derive.state import ABSENT_I4, ABSENT_I8, ABSENT_U2, DeviceState
from schemas.records import Attribute, Event, Position

KMH_X10_PER_M_MS = 36_000.0
"""km/h x 10 in one metre per millisecond."""
SPEED_X10_MAX = ABSENT_U2 - 1


@dataclass(slots=True)
class Reading:
    """One new report, judged.

    latitude_e7, longitude_e7: where a valid fix was, else absent. is_fix: a valid fix newer than every one before, the
    only kind that moves anything. leg_m, leg_ms, leg_speed_x10: from the last such fix to this one; 0 for the first.
    events: what the rules found so far.
    """

    device_id: str
    position: Position
    received_ms: int
    time_ms: int
    late: bool
    latitude_e7: int
    longitude_e7: int
    speed_x10: int
    is_fix: bool
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


def read(state: DeviceState, device_id: str, position: Position, received_ms: int, time_ms: int, late: bool) -> Reading:
    """Judge the place of a report and measure its leg from the last fix of `state`. No number raises, NaN neither."""
    latitude_e7 = longitude_e7 = ABSENT_I4
    latitude, longitude = position.latitude, position.longitude
    if (
        position.valid
        and latitude is not None
        and longitude is not None
        and -90.0 <= latitude <= 90.0
        and -180.0 <= longitude <= 180.0
        and (latitude or longitude)
    ):
        latitude_e7 = round(latitude * 1e7)
        longitude_e7 = round(longitude * 1e7)
    speed = position.speed_kmh
    speed_x10 = round(speed * 10) if speed is not None and 0.0 <= speed <= SPEED_X10_MAX / 10 else ABSENT_U2
    first = state.fix_time_ms == ABSENT_I8
    is_fix = latitude_e7 != ABSENT_I4 and not late and (first or time_ms > state.fix_time_ms)
    reading = Reading(device_id, position, received_ms, time_ms, late, latitude_e7, longitude_e7, speed_x10, is_fix)
    if is_fix and not first:
        leg_m = distance_m(state.latitude_e7, state.longitude_e7, latitude_e7, longitude_e7)
        reading.leg_m = leg_m
        reading.leg_ms = time_ms - state.fix_time_ms
        reading.leg_speed_x10 = leg_m / reading.leg_ms * KMH_X10_PER_M_MS
    return reading


def is_zero(position: Position) -> bool:
    """True when the coordinates are exactly 0, 0: what firmwares send for "nowhere"."""
    return position.latitude == 0 and position.longitude == 0


def km_h(speed_x10: float) -> float:
    """A speed for people: km/h to 0.1."""
    return round(speed_x10 / 10, 1)
