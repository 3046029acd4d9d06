"""device_moving, device_stopped: trips and stops, told once they are sure, dated where they began.

At rest, the device has an anchor: where the stop began. A fix that drives (its speed, or when it tells none the speed
of its leg, is moving_speed_kmh or more) opens a candidate departure; the trip is sure when a fix is min_trip_distance_m
from the anchor and is believed (see _believed); resting again near the anchor drops the candidate. In a trip, a fix
that does not drive opens a candidate stop; it is sure when the device was still within stop_radius_m of it after
min_stop_duration_s, and dropped when the device drives on. A gap of more than stop_gap_s ends a trip.

Distances: those of a candidate are kept apart, so that a trip counts neither the wander of the parking place it came
from nor of the one it went to. An unknown device becomes stopped silently; its first trip is raised.
"""

from __future__ import annotations

from processors.derive.geometry import distance_m
from processors.derive.reading import KMH_X10_PER_M_MS, Reading, km_h
from processors.derive.rules import Parameters
from processors.derive.state import (
    ABSENT_I4,
    ABSENT_I8,
    ABSENT_U2,
    MOTION_UNKNOWN,
    MOVING,
    STOPPED,
    DeviceState,
)
from schemas.records import Attribute

SPEED_X10_MAX = ABSENT_U2 - 1
DRIVEN_ON = 3
"""A driving fix further than stop_radius_m / 3 from a candidate stop drops it: parked receivers invent speeds and
distances, seldom both at once; a car that waited at a gate has them."""
SURE_FACTOR = 3
"""From SURE_FACTOR x moving_speed_kmh on (15 km/h) a speed is none that a parked receiver invents."""
NOISE_M = 25.0
"""So much of a leg may be the noise of its ends: twice that of a usual receiver, at each."""
LEG_FACTOR = 2
LEG_SLACK_X10 = 300
"""A leg faster than LEG_FACTOR x the fix's own speed + 30 km/h is a jump of the receiver until a second fix agrees."""


def derive_movement(state: DeviceState, reading: Reading, parameters: Parameters) -> None:
    """Follow the motion with a fix (`reading.is_fix`); `state` still holds the fix before."""
    if state.fix_time_ms == ABSENT_I8:
        _rest_at(state, reading.time_ms, reading.latitude_e7, reading.longitude_e7)
        return
    threshold_x10 = parameters.moving_speed_kmh * 10
    tells_speed = reading.speed_x10 != ABSENT_U2
    speed_x10 = reading.speed_x10 if tells_speed else reading.leg_speed_x10
    driving = (speed_x10 if tells_speed else _sure_leg_x10(reading)) >= threshold_x10
    if state.moving == MOVING:
        if reading.leg_ms > parameters.stop_gap_s * 1000:
            if state.candidate_ms == ABSENT_I8:
                _set_candidate(state, state.fix_time_ms, state.latitude_e7, state.longitude_e7)
            _stop(state, reading)
        else:
            _in_trip(state, reading, parameters, driving, min(round(speed_x10), SPEED_X10_MAX))
    if state.moving != MOVING:
        _at_rest(state, reading, parameters, driving, min(round(speed_x10), SPEED_X10_MAX))


def _sure_leg_x10(reading: Reading) -> float:
    """Speed of the leg without what the noise of its two ends may make of it, km/h x 10."""
    if not reading.leg_ms:
        return 0.0
    return max(0.0, reading.leg_m - NOISE_M) / reading.leg_ms * KMH_X10_PER_M_MS


# ---- in a trip


def _in_trip(state: DeviceState, reading: Reading, parameters: Parameters, driving: bool, speed_x10: int) -> None:
    if state.candidate_ms != ABSENT_I8:
        state.candidate_distance_m += reading.leg_m
        state.candidate_speed_max_x10 = max(state.candidate_speed_max_x10, speed_x10)
        away_m = _from_candidate_m(state, reading.latitude_e7, reading.longitude_e7)
        tells_driving = driving and reading.speed_x10 != ABSENT_U2
        near_m = parameters.stop_radius_m / DRIVEN_ON if tells_driving else parameters.stop_radius_m
        if away_m <= near_m or (
            # it was here all the time and is just leaving: the stop is a fact
            away_m <= parameters.stop_radius_m and _lasted(state, reading, parameters)
        ):
            _stop_when_sure(state, reading, parameters)
            return
        if not tells_driving and _from_candidate_m(state, state.latitude_e7, state.longitude_e7) <= near_m:
            return  # one fix alone may be a jump of a parked receiver: the next one tells
        state.trip_distance_m += state.candidate_distance_m
        state.trip_speed_max_x10 = max(state.trip_speed_max_x10, state.candidate_speed_max_x10)
        _clear_candidate(state)
    else:
        state.trip_distance_m += reading.leg_m
        state.trip_speed_max_x10 = max(state.trip_speed_max_x10, speed_x10)
    _open_stop(state, reading, parameters, driving)


def _open_stop(state: DeviceState, reading: Reading, parameters: Parameters, driving: bool) -> None:
    """Open a candidate stop, when there is reason to: at the fix before if the device has not left it since."""
    stayed = _sure_leg_x10(reading) < parameters.moving_speed_kmh * 10 and reading.leg_m <= parameters.stop_radius_m
    long_ago = reading.leg_ms >= parameters.min_stop_duration_s * 1000
    drove_before = state.speed_x10 != ABSENT_U2 and state.speed_x10 >= parameters.moving_speed_kmh * 10
    if stayed and (long_ago or not (driving or drove_before)):
        _set_candidate(state, state.fix_time_ms, state.latitude_e7, state.longitude_e7)
        state.candidate_distance_m = reading.leg_m
        state.trip_distance_m = max(0.0, state.trip_distance_m - reading.leg_m)
        _stop_when_sure(state, reading, parameters)
    elif not driving:
        _set_candidate(state, reading.time_ms, reading.latitude_e7, reading.longitude_e7)


def _lasted(state: DeviceState, reading: Reading, parameters: Parameters) -> bool:
    return reading.time_ms - state.candidate_ms >= parameters.min_stop_duration_s * 1000


def _stop_when_sure(state: DeviceState, reading: Reading, parameters: Parameters) -> None:
    if _lasted(state, reading, parameters):
        _stop(state, reading)


def _stop(state: DeviceState, reading: Reading) -> None:
    """End the trip where the candidate stop began."""
    duration_ms = state.candidate_ms - state.motion_since_ms
    average_x10 = state.trip_distance_m / duration_ms * 36_000 if duration_ms > 0 else 0.0
    attributes: dict[str, Attribute] = {
        "distance_m": round(state.trip_distance_m, 1),
        "duration_s": round(duration_ms / 1000, 1),
        "speed_max_kmh": km_h(state.trip_speed_max_x10),
        "speed_average_kmh": km_h(average_x10),
    }
    latitude_e7, longitude_e7 = state.candidate_latitude_e7, state.candidate_longitude_e7
    reading.raise_event("device_stopped", state.candidate_ms, latitude_e7, longitude_e7, attributes=attributes)
    state.moving = STOPPED
    state.distance_m += state.trip_distance_m
    state.trip_distance_m = 0.0
    state.trip_speed_max_x10 = 0
    _rest_at(state, state.candidate_ms, latitude_e7, longitude_e7)


# ---- at rest


def _at_rest(state: DeviceState, reading: Reading, parameters: Parameters, driving: bool, speed_x10: int) -> None:
    away_m = distance_m(state.anchor_latitude_e7, state.anchor_longitude_e7, reading.latitude_e7, reading.longitude_e7)
    outside = away_m >= parameters.min_trip_distance_m
    if state.candidate_ms != ABSENT_I8:
        if reading.leg_ms > parameters.stop_gap_s * 1000:
            _clear_candidate(state)
        else:
            state.candidate_distance_m += reading.leg_m
            state.candidate_speed_max_x10 = max(state.candidate_speed_max_x10, speed_x10)
    resting = not driving and _sure_leg_x10(reading) < parameters.moving_speed_kmh * 10
    if resting and (not outside or state.moving == MOTION_UNKNOWN):
        _clear_candidate(state)
        if state.moving == MOTION_UNKNOWN:
            _settle(state, reading, parameters, away_m)
        return
    if state.candidate_ms == ABSENT_I8:
        if not driving and not outside:
            return
        _open_departure(state, reading, parameters, driving, speed_x10)
    if outside and _believed(state, reading, parameters, driving):
        _depart(state, reading)
        if not driving:
            _open_stop(state, reading, parameters, driving)


def _settle(state: DeviceState, reading: Reading, parameters: Parameters, away_m: float) -> None:
    """An unknown device rests: it is stopped when it did so for long enough, else rests here, if its first fix lied."""
    if away_m > parameters.stop_radius_m:
        _rest_at(state, reading.time_ms, reading.latitude_e7, reading.longitude_e7)
    elif reading.time_ms - state.motion_since_ms >= parameters.min_stop_duration_s * 1000:
        state.moving = STOPPED


def _open_departure(
    state: DeviceState, reading: Reading, parameters: Parameters, driving: bool, speed_x10: int
) -> None:
    """Open a candidate departure: at the fix before when the device drove since, else here (it slept there)."""
    drove = _sure_leg_x10(reading) >= parameters.moving_speed_kmh * 10
    slept = reading.leg_ms > parameters.stop_gap_s * 1000
    if (drove and not slept) or not driving:
        _set_candidate(state, state.fix_time_ms, state.latitude_e7, state.longitude_e7)
        state.candidate_distance_m = reading.leg_m
    else:
        _set_candidate(state, reading.time_ms, reading.latitude_e7, reading.longitude_e7)
    state.candidate_speed_max_x10 = speed_x10


def _believed(state: DeviceState, reading: Reading, parameters: Parameters, driving: bool) -> bool:
    """True when a fix outside of the trip distance is a departure and no jump of a parked receiver.

    Clearly driving, at a speed that fits its leg: at once. Else the fix before must lie outside too; and a device that
    does not drive (towed, ferried, or carried at a walk) must have been away for min_stop_duration_s.
    """
    sure_x10 = SURE_FACTOR * parameters.moving_speed_kmh * 10
    if (
        sure_x10 <= reading.speed_x10 != ABSENT_U2
        and reading.leg_speed_x10 <= LEG_FACTOR * reading.speed_x10 + LEG_SLACK_X10
    ):
        return True
    before_m = distance_m(state.anchor_latitude_e7, state.anchor_longitude_e7, state.latitude_e7, state.longitude_e7)
    return before_m >= parameters.min_trip_distance_m and (driving or _lasted(state, reading, parameters))


def _depart(state: DeviceState, reading: Reading) -> None:
    """Begin the trip where the candidate departure was."""
    reading.raise_event("device_moving", state.candidate_ms, state.candidate_latitude_e7, state.candidate_longitude_e7)
    state.moving = MOVING
    state.motion_since_ms = state.candidate_ms
    state.trip_distance_m = state.candidate_distance_m
    state.trip_speed_max_x10 = state.candidate_speed_max_x10
    state.anchor_latitude_e7 = state.anchor_longitude_e7 = ABSENT_I4
    _clear_candidate(state)


# ---- both


def _rest_at(state: DeviceState, time_ms: int, latitude_e7: int, longitude_e7: int) -> None:
    state.motion_since_ms = time_ms
    state.anchor_latitude_e7 = latitude_e7
    state.anchor_longitude_e7 = longitude_e7
    _clear_candidate(state)


def _from_candidate_m(state: DeviceState, latitude_e7: int, longitude_e7: int) -> float:
    return distance_m(state.candidate_latitude_e7, state.candidate_longitude_e7, latitude_e7, longitude_e7)


def _set_candidate(state: DeviceState, time_ms: int, latitude_e7: int, longitude_e7: int) -> None:
    state.candidate_ms = time_ms
    state.candidate_latitude_e7 = latitude_e7
    state.candidate_longitude_e7 = longitude_e7
    state.candidate_distance_m = 0.0
    state.candidate_speed_max_x10 = 0


def _clear_candidate(state: DeviceState) -> None:
    if state.candidate_ms != ABSENT_I8:
        _set_candidate(state, ABSENT_I8, ABSENT_I4, ABSENT_I4)
