"""overspeed_started, overspeed_ended: one pair for each episode above the limit.

An episode begins with the first fix above limit + tolerance, is raised once it has lasted overspeed_min_duration_s
(dated where it began), and ends with the first fix at or below the limit, or at the last fix before a gap. The limit of
a geofence that the device is in goes before one that the device itself sends (attribute speed_limit_kmh), and that
before the operator's. An episode keeps the limit it began with in its figures. A device that is over the limit in its
first report is speeding: that is a measurement, not an edge, and raised.
"""

from __future__ import annotations

from processors.derive.geofences import speed_limit
from processors.derive.reading import SPEED_X10_MAX, Reading, km_h
from processors.derive.rules import Parameters, Rules
from processors.derive.state import ABSENT_I4, ABSENT_I8, ABSENT_U2, DeviceState
from schemas.records import Attribute

DEVICE_SENT = "device_sent"
GEOFENCE = "geofence:"


def _limit(state: DeviceState, reading: Reading, parameters: Parameters, rules: Rules) -> tuple[int, str] | None:
    """(limit in km/h x 10, who set it), None when there is none."""
    if state.fences:
        found = speed_limit(state, rules, parameters)
        if found is not None:
            return round(found[0] * 10), GEOFENCE + found[1]
    sent = reading.position.attributes.get("speed_limit_kmh")
    if isinstance(sent, (int, float)) and not isinstance(sent, bool) and 0 < sent <= SPEED_X10_MAX / 10:
        return round(sent * 10), DEVICE_SENT
    if parameters.speed_limit_kmh is None:
        return None
    return round(parameters.speed_limit_kmh * 10), parameters.speed_limit_source


def derive_overspeed(state: DeviceState, reading: Reading, parameters: Parameters, rules: Rules) -> None:
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
    found = _limit(state, reading, parameters, rules)
    if active and (found is None or speed_x10 <= found[0]):
        _end(state, reading, reading.time_ms, reading.latitude_e7, reading.longitude_e7)
        return
    if found is None:
        return
    if not active:
        if speed_x10 <= found[0] + parameters.overspeed_tolerance_kmh * 10:
            return
        _begin(state, reading, *found)
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
                **_limit_told(state),
            },
        )


def _begin(state: DeviceState, reading: Reading, limit_x10: int, source: str) -> None:
    state.overspeed_since_ms = reading.time_ms
    state.overspeed_latitude_e7 = reading.latitude_e7
    state.overspeed_longitude_e7 = reading.longitude_e7
    state.overspeed_started = 0
    state.overspeed_max_x10 = reading.speed_x10
    state.overspeed_limit_x10 = limit_x10
    state.overspeed_source = source
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
                **_limit_told(state),
                "duration_s": round((time_ms - state.overspeed_since_ms) / 1000, 1),
                "distance_m": round(state.overspeed_distance_m, 1),
            },
        )
    state.overspeed_since_ms = ABSENT_I8
    state.overspeed_latitude_e7 = state.overspeed_longitude_e7 = ABSENT_I4
    state.overspeed_started = state.overspeed_max_x10 = state.overspeed_limit_x10 = 0
    state.overspeed_distance_m = 0.0
    state.overspeed_source = ""


def _limit_told(state: DeviceState) -> dict[str, Attribute]:
    """The limit of the episode for its events, and where it came from."""
    kind, _, geofence_id = state.overspeed_source.partition(":")
    told: dict[str, Attribute] = {"limit_kmh": km_h(state.overspeed_limit_x10), "limit_source": kind}
    if geofence_id:
        told["geofence_id"] = geofence_id
    return told
