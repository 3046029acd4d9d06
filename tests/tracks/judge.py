"""Events of movement against the truth: what was found within one reporting interval, what was missed or invented."""

from __future__ import annotations

from dataclasses import dataclass, field

from processors.derive.entries import Report
from processors.derive.rules import Rules
from processors.derive.state import DeviceState
from processors.derive.step import step
from schemas.records import Event
from tests.tracks.model import DEVICE, T0, Receiver, Truth, driven_m

MIN_STOP_S = 180


@dataclass(slots=True)
class Verdict:
    """Counts of one or several tracks. errors: of begins and departures, in intervals; misses: what went wrong where."""

    stops: int = 0
    found: int = 0
    invented_stops: int = 0
    invented_trips: int = 0
    begin_errors: list[float] = field(default_factory=list)
    departure_errors: list[float] = field(default_factory=list)
    distance_errors: list[float] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        for name in ("stops", "found", "invented_stops", "invented_trips"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("begin_errors", "departure_errors", "distance_errors", "misses"):
            getattr(self, name).extend(getattr(other, name))


def events_of(reports: list[Report]) -> list[Event]:
    """The events of a track under the default rules."""
    state, rules, found = DeviceState.new(DEVICE), Rules.default(), []
    for report in reports:
        state, events, _ = step(state, report, rules)
        found += [e for e in events if e.kind in ("device_moving", "device_stopped")]
    return found


def judge(truth: Truth, reports: list[Report], receiver: Receiver, name: str) -> Verdict:
    """Compare. A stop counts when it lasts long enough to be seen at this interval: the least duration and two intervals.

    The first stop has no begin, the last no end. A begin is right within one interval of the truth, and so is a departure.
    """
    verdict, events = Verdict(), events_of(reports)
    interval_s = receiver.interval_s
    stopped = [(round((e.time_ms - T0) / 1000), e) for e in events if e.kind == "device_stopped"]
    moving = [(round((e.time_ms - T0) / 1000), e) for e in events if e.kind == "device_moving"]
    taken_stops, taken_trips = set(), set()
    for number, (begin, end) in enumerate(truth.stops):
        long_enough = end - begin >= MIN_STOP_S + 2 * interval_s
        if number:
            near = [(abs(s - begin), n) for n, (s, _) in enumerate(stopped) if begin - 2 * interval_s <= s <= end]
            if near:
                error, at = min(near)
                taken_stops |= {n for _, n in near}
                if long_enough:
                    verdict.begin_errors.append(error / interval_s)
            if long_enough:
                verdict.stops += 1
                if near and error <= interval_s + 1:
                    verdict.found += 1
                    _judge_distance(verdict, truth, number, stopped[at][1])
                else:
                    verdict.misses.append(
                        f"{name}: stop {begin}-{end} s, " + (f"begin off by {error} s" if near else "missed")
                    )
        if number < len(truth.stops) - 1:
            woke_s = receiver.parked_s or interval_s
            near = [
                (abs(s - end), n)
                for n, (s, _) in enumerate(moving)
                if end - woke_s - interval_s <= s <= end + 4 * interval_s + 120
            ]
            if near:
                error, at = min(near)
                taken_trips.add(at)
                verdict.departure_errors.append(error / interval_s)
    for n, (second, _) in enumerate(stopped):
        if n not in taken_stops:
            verdict.invented_stops += 1
            verdict.misses.append(f"{name}: stop at {second} s was invented")
    for n, (second, _) in enumerate(moving):
        if n not in taken_trips:
            verdict.invented_trips += 1
            verdict.misses.append(f"{name}: trip at {second} s was invented")
    return verdict


def _judge_distance(verdict: Verdict, truth: Truth, number: int, event: Event) -> None:
    true_m = driven_m(truth, truth.stops[number - 1][1], truth.stops[number][0])
    told = event.attributes["distance_m"]
    assert isinstance(told, float)
    if true_m > 1000:
        verdict.distance_errors.append(told / true_m - 1)
