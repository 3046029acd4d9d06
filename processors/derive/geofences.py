"""geofence_entered, geofence_exited, geofence_crossed, geofence_dwell. The subject of the event is the geofence's id.

A driving device is believed at once when it comes in, and when it goes out by more than geofence_hysteresis_m; when it
is just outside it must stay there for geofence_confirm_s. A resting device, whose place is mostly noise, must stay on the
other side for geofence_confirm_s, and outside by more than geofence_hysteresis_m. Events are dated where the other side
was first seen. A device that was never looked at, and a geofence that is new or was moved since, start from a silent
baseline; a deleted geofence says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import orjson

from processors.derive.fences import Fence, FenceIndex
from processors.derive.presence import Pauses, paused_since
from processors.derive.reading import Reading
from processors.derive.rules import Parameters, Rules
from processors.derive.state import ABSENT_I8, ABSENT_U2, MOVING, DeviceState
from schemas.records import Attribute, Event

HALF_TURN_E7 = 1_800_000_000
VISITS_KEPT = 64
"""Geofences that one device can be in at the same time; further ones (by id) are not followed."""


class Visit(NamedTuple):
    """What a device has to do with one geofence.

    inside: 1 in it, 0 seen in it but not believed yet. since_ms: when it entered. dwell_told: 1 when geofence_dwell was
    raised. other_ms, other_latitude_e7, other_longitude_e7: the first fix on the other side that is not believed yet, 0
    when there is none.
    """

    geofence_id: str
    inside: int
    since_ms: int
    dwell_told: int = 0
    other_ms: int = 0
    other_latitude_e7: int = 0
    other_longitude_e7: int = 0


@lru_cache(maxsize=4096)
def visits_of(text: str) -> tuple[Visit, ...]:
    """The visits that DeviceState.fences holds."""
    return tuple(Visit(*row) for row in orjson.loads(text)) if text else ()


def _text_of(visits: list[Visit]) -> str:
    return orjson.dumps([tuple(visit) for visit in sorted(visits)]).decode() if visits else ""


def derive_geofences(state: DeviceState, reading: Reading, parameters: Parameters, rules: Rules) -> None:
    """Follow the geofences with a fix (`reading.is_fix`); `state` still holds the fix and the motion before it."""
    index, known = rules.fences, state.fences_revision
    state.fences_revision = index.revision
    if not index.fences:
        state.fences = ""
        return
    containing = index.containing(reading.latitude_e7, reading.longitude_e7)
    crossed = _crossed(state, reading, parameters, index, containing) if known != ABSENT_I8 else NOTHING
    if containing or crossed or state.fences:
        _Look(state, reading, parameters, rules, known).take(containing, crossed)


Crossings = list[tuple[Fence, float]]
NOTHING: Crossings = []


def _crossed(
    state: DeviceState, reading: Reading, parameters: Parameters, index: FenceIndex, containing: tuple[Fence, ...]
) -> Crossings:
    """Geofences that the way from the last fix touches, while it is short enough to be known, with both ends outside."""
    gap_s = parameters.geofence_crossing_gap_s
    if gap_s is None or not reading.leg_m or reading.leg_ms > gap_s * 1000:
        return NOTHING
    met: set[str] = set()
    if containing or state.fences:
        met = {visit.geofence_id for visit in visits_of(state.fences)} | {fence.geofence_id for fence in containing}
    return index.crossed(state.latitude_e7, state.longitude_e7, reading.latitude_e7, reading.longitude_e7, met)


class _Look:
    """One fix of one device, held against the geofences."""

    def __init__(self, state: DeviceState, reading: Reading, parameters: Parameters, rules: Rules, known: int) -> None:
        self.state = state
        self.reading = reading
        self.parameters = parameters
        self.fences = rules.fences
        self.group_id = rules.groups.get(state.device_id, "")
        self.known = known
        self.resting = _rests(state, reading, parameters)

    def take(self, containing: tuple[Fence, ...], crossed: Crossings) -> None:
        here = {fence.geofence_id: fence for fence in containing if self._applies(fence)}
        before = visits_of(self.state.fences)
        met = {visit.geofence_id for visit in before}
        if before or here:
            after = []
            for visit in before:
                fence = self.fences.fences.get(visit.geofence_id)
                if fence is not None and self._applies(fence):
                    followed = self._followed(visit, fence, visit.geofence_id in here)
                    if followed is not None:
                        after.append(self._dwelled(followed, fence))
            found = [here[geofence_id] for geofence_id in sorted(here.keys() - met)][: VISITS_KEPT - len(after)]
            after += [self._dwelled(self._found(fence), fence) for fence in found]
            if tuple(after) != before:
                self.state.fences = _text_of(after)
        if crossed and not self.resting:
            self._derive_crossings(crossed)

    def _applies(self, fence: Fence) -> bool:
        return fence.applies_to(self.state.device_id, self.group_id)

    def _is_baseline(self, fence: Fence) -> bool:
        """True when the device was never held against the geofence as it is now."""
        return self.known == ABSENT_I8 or fence.revision > self.known

    def _found(self, fence: Fence) -> Visit:
        """The visit of a device that is in a geofence for the first time."""
        reading = self.reading
        if self._is_baseline(fence):
            return Visit(fence.geofence_id, 1, reading.time_ms)
        if self.resting and self.parameters.geofence_confirm_s:
            place = reading.latitude_e7, reading.longitude_e7
            return Visit(fence.geofence_id, 0, 0, 0, reading.time_ms, *place)
        return self._entered(fence, reading.time_ms, reading.latitude_e7, reading.longitude_e7)

    def _followed(self, visit: Visit, fence: Fence, here: bool) -> Visit | None:
        """The visit after this fix; None when it is over."""
        reading, baseline = self.reading, self._is_baseline(fence)
        if not here and self.resting and not baseline and not self._is_far(fence):
            here = bool(visit.inside)  # noise at the edge
        if here == bool(visit.inside):  # on the side where it is believed to be
            return visit._replace(other_ms=0, other_latitude_e7=0, other_longitude_e7=0) if here else None
        if baseline:
            return Visit(fence.geofence_id, 1, reading.time_ms) if here else None
        if not visit.other_ms:
            visit = Visit(*visit[:4], reading.time_ms, reading.latitude_e7, reading.longitude_e7)
        if not self._is_believed(visit, fence, here):
            return visit
        other = visit.other_ms, visit.other_latitude_e7, visit.other_longitude_e7
        if here:
            return self._entered(fence, *other)
        told = self._told(fence)
        told["duration_s"] = round((visit.other_ms - visit.since_ms) / 1000, 1)
        reading.raise_event("geofence_exited", *other, fence.geofence_id, told)
        return None

    def _is_believed(self, visit: Visit, fence: Fence, here: bool) -> bool:
        """True when the device really is on the other side of the edge; `here`: that is the inside."""
        if not self.resting and (here or self._is_far(fence)):
            return True
        return self.reading.time_ms - visit.other_ms >= self.parameters.geofence_confirm_s * 1000

    def _is_far(self, fence: Fence) -> bool:
        outside_m = fence.distance_m(self.reading.latitude_e7, self.reading.longitude_e7)
        return outside_m > self.parameters.geofence_hysteresis_m

    def _entered(self, fence: Fence, time_ms: int, latitude_e7: int, longitude_e7: int) -> Visit:
        self.reading.raise_event(
            "geofence_entered", time_ms, latitude_e7, longitude_e7, fence.geofence_id, self._told(fence)
        )
        return Visit(fence.geofence_id, 1, time_ms)

    def _dwelled(self, visit: Visit, fence: Fence) -> Visit:
        """Raise geofence_dwell when this fix shows that the device was inside for long enough."""
        dwell_ms = _dwell_ms(fence, self.parameters)
        if not visit.inside or visit.dwell_told or visit.other_ms or dwell_ms is None:
            return visit
        if self.reading.time_ms - visit.since_ms < dwell_ms:
            return visit
        told = self._told(fence)
        told["dwell_s"] = round(dwell_ms / 1000, 1)
        here = self.reading.latitude_e7, self.reading.longitude_e7
        self.reading.raise_event("geofence_dwell", visit.since_ms + dwell_ms, *here, fence.geofence_id, told)
        return visit._replace(dwell_told=1)

    def _derive_crossings(self, crossed: Crossings) -> None:
        state, reading = self.state, self.reading
        ends = state.latitude_e7, state.longitude_e7, reading.latitude_e7, reading.longitude_e7
        for fence, fraction in crossed:
            if fence.revision <= self.known and self._applies(fence):
                time_ms = state.fix_time_ms + round(reading.leg_ms * fraction)
                place = _on_the_way(*ends, fraction)
                reading.raise_event("geofence_crossed", time_ms, *place, fence.geofence_id, self._told(fence))

    def _told(self, fence: Fence) -> dict[str, Attribute]:
        return {"name": fence.name} if fence.name else {}


def _rests(state: DeviceState, reading: Reading, parameters: Parameters) -> bool:
    """True when the device is in no trip and its fix does not drive: then its place is mostly noise."""
    if state.moving == MOVING or state.fix_time_ms == ABSENT_I8:
        return False
    speed_x10 = reading.speed_x10 if reading.speed_x10 != ABSENT_U2 else reading.leg_speed_x10
    return speed_x10 < parameters.moving_speed_kmh * 10


def _on_the_way(
    a_latitude: int, a_longitude: int, b_latitude: int, b_longitude: int, fraction: float
) -> tuple[int, int]:
    """The place at a fraction of the way from a to b, the short way round the earth."""
    east = (b_longitude - a_longitude + HALF_TURN_E7) % (2 * HALF_TURN_E7) - HALF_TURN_E7
    longitude = (a_longitude + round(east * fraction) + HALF_TURN_E7) % (2 * HALF_TURN_E7) - HALF_TURN_E7
    return a_latitude + round((b_latitude - a_latitude) * fraction), longitude


def _dwell_ms(fence: Fence, parameters: Parameters) -> int | None:
    dwell_s = parameters.geofence_dwell_s if fence.dwell_s is None else fence.dwell_s
    return None if dwell_s is None else round(dwell_s * 1000)


def dwell_deadline_ms(state: DeviceState, rules: Rules, parameters: Parameters, pauses: Pauses) -> int | None:
    """When geofence_dwell is due next by the clock alone; None: never."""
    return min((due for due, _, _ in _dwells(state, rules, parameters, pauses)), default=None)


def _dwells(
    state: DeviceState, rules: Rules, parameters: Parameters, pauses: Pauses
) -> Iterator[tuple[int, Visit, Fence]]:
    for visit in visits_of(state.fences):
        fence = rules.fences.fences.get(visit.geofence_id)
        if fence is None or not visit.inside or visit.dwell_told or visit.other_ms:
            continue
        dwell_ms = _dwell_ms(fence, parameters)
        if dwell_ms is not None:
            yield visit.since_ms + dwell_ms + paused_since(pauses, visit.since_ms), visit, fence


def derive_dwell(state: DeviceState, now_ms: int, parameters: Parameters, rules: Rules, pauses: Pauses) -> list[Event]:
    """What the clock tells of a device that is in geofences and says nothing new; events are dated at their deadline."""
    events, told = [], {}
    for due_ms, visit, fence in _dwells(state, rules, parameters, pauses):
        if due_ms > now_ms:
            continue
        told[visit.geofence_id] = visit._replace(dwell_told=1)
        attributes: dict[str, Attribute] = {"name": fence.name} if fence.name else {}
        attributes["dwell_s"] = round((due_ms - visit.since_ms) / 1000, 1)
        place = (state.latitude_e7 / 1e7, state.longitude_e7 / 1e7)  # who is in a geofence had a fix
        events.append(Event(state.device_id, "geofence_dwell", due_ms, visit.geofence_id, now_ms, *place, attributes))
    if told:
        state.fences = _text_of([told.get(v.geofence_id, v) for v in visits_of(state.fences)])
    return events


def speed_limit(state: DeviceState, rules: Rules, parameters: Parameters) -> tuple[float, str] | None:
    """(limit in km/h, geofence id) of the geofences that the device is in; None: none of them has one."""
    limits = [
        (fence.speed_limit_kmh, visit.geofence_id)
        for visit in visits_of(state.fences)
        if visit.inside and (fence := rules.fences.fences.get(visit.geofence_id)) and fence.speed_limit_kmh
    ]
    if not limits:
        return None
    return min(limits) if parameters.geofence_limit_lowest else max(limits)
