"""overspeed_started, overspeed_ended: one pair for each episode above the limit.

An episode begins with the first fix above limit + tolerance, is raised once it has lasted overspeed_min_duration_s
(dated where it began), and ends with the first fix at or below the limit, or at the last fix before a gap. A limit that
the device itself sends (attribute speed_limit_kmh) goes before the operator's. A device that is over the limit in its
first report is speeding: that is a measurement, not an edge, and raised.
"""

from __future__ import annotations

from processors.derive.reading import SPEED_X10_MAX, Reading, km_h
from processors.derive.rules import Parameters
from processors.derive.state import ABSENT_I4, ABSENT_I8, ABSENT_U2, DeviceState

DEVICE_SENT = "device_sent"


def _limit(reading: Reading, parameters: Parameters) -> tuple[int, str] | None:
    """(limit in km/h x 10, who set it), None when there is none."""
    sent = reading.position.attributes.get("speed_limit_kmh")
    if isinstance(sent, (int, float)) and not isinstance(sent, bool) and 0 < sent <= SPEED_X10_MAX / 10:
        return round(sent * 10), DEVICE_SENT
    if parameters.speed_limit_kmh is None:
        return None
    return round(parameters.speed_limit_kmh * 10), parameters.speed_limit_source


def derive_overspeed(state: DeviceState, reading: Reading, parameters: Parameters) -> None:
    """Follow the episode with a fix (`reading.is_fix`); `state` still holds the fix before."""
    active = state.overspeed_since_ms != ABSENT_I8
    if active:
        if reading.leg_ms > parameters.stop_gap_s * 1000:
            _end(state, reading, state.fix_time_ms, state.latitude_e7, state.longitude_e7)
            active = False
        else:
            state.overspeed_distance_m += reading.leg_m
    speed_x10 = reading.speed_x10
    if speed_x10 == ABSENT_U2:
        return
    found = _limit(reading, parameters)
    if active and (found is None or speed_x10 <= found[0]):
        _end(state, reading, reading.time_ms, reading.latitude_e7, reading.longitude_e7)
        return
    if found is None:
        return
    if not active:
        if speed_x10 <= found[0] + parameters.overspeed_tolerance_kmh * 10:
            return
        _begin(state, reading, found[0])
    elif speed_x10 > state.overspeed_max_x10:
        state.overspeed_max_x10 = speed_x10
    lasted_ms = reading.time_ms - state.overspeed_since_ms
    if not state.overspeed_started and lasted_ms >= parameters.overspeed_min_duration_s * 1000:
        state.overspeed_started = 1
        reading.raise_event(
            "overspeed_started",
            state.overspeed_since_ms,
            state.overspeed_latitude_e7,
            state.overspeed_longitude_e7,
            attributes={
                "speed_kmh": km_h(state.overspeed_max_x10),
                "limit_kmh": km_h(state.overspeed_limit_x10),
                "limit_source": found[1],
            },
        )


def _begin(state: DeviceState, reading: Reading, limit_x10: int) -> None:
    state.overspeed_since_ms = reading.time_ms
    state.overspeed_latitude_e7 = reading.latitude_e7
    state.overspeed_longitude_e7 = reading.longitude_e7
    state.overspeed_started = 0
    state.overspeed_max_x10 = reading.speed_x10
    state.overspeed_limit_x10 = limit_x10
    state.overspeed_distance_m = 0.0


def _end(state: DeviceState, reading: Reading, time_ms: int, latitude_e7: int, longitude_e7: int) -> None:
    """End the episode; it is only told when its start was."""
    if state.overspeed_started:
        reading.raise_event(
            "overspeed_ended",
            time_ms,
            latitude_e7,
            longitude_e7,
            attributes={
                "speed_max_kmh": km_h(state.overspeed_max_x10),
                "limit_kmh": km_h(state.overspeed_limit_x10),
                "duration_s": round((time_ms - state.overspeed_since_ms) / 1000, 1),
                "distance_m": round(state.overspeed_distance_m, 1),
            },
        )
    state.overspeed_since_ms = ABSENT_I8
    state.overspeed_latitude_e7 = state.overspeed_longitude_e7 = ABSENT_I4
    state.overspeed_started = state.overspeed_max_x10 = state.overspeed_limit_x10 = 0
    state.overspeed_distance_m = 0.0
