"""device_online, device_offline, device_unknown, device_inactive: by signs of life, closings and the clock of the log."""

from __future__ import annotations

from typing import Any

import pytest

from processors.derive.deadlines import FORGET_MS, PAUSES_KEPT, Clock, Deadlines
from processors.derive.entries import Entry, Heard, SessionClosed, SessionOpened, Tick
from processors.derive.fleet import Fleet
from processors.derive.rules import Parameters, Rules
from processors.derive.state import OFFLINE, ONLINE, SILENT
from tests.unit.derive_helpers import DEVICE, HOUR_MS, T0, report

MINUTE_MS = 60_000


class Line:
    """A fleet that is fed by hand; tells its events as (kind, seconds after T0)."""

    def __init__(self, **parameters: Any) -> None:
        self.fleet = Fleet(Rules(1, Parameters(**parameters)))

    def feed(self, *entries: Entry) -> list[tuple[str, float]]:
        return [
            (event.kind, (event.time_ms - T0) / 1000)
            for entry in entries
            for outcome in self.fleet.feed(entry)
            for event in outcome.events
        ]

    def tick(self, first_s: int, last_s: int, every_s: int = 10) -> list[tuple[str, float]]:
        return self.feed(*(Tick(T0 + s * 1000) for s in range(first_s, last_s + 1, every_s)))

    @property
    def presence(self) -> int:
        state = self.fleet.state(DEVICE)
        assert state is not None
        return state.presence


def opened(second: float, session: int = 1) -> SessionOpened:
    return SessionOpened(DEVICE, T0 + round(second * 1000), session)


def closed(second: float, session: int = 1) -> SessionClosed:
    return SessionClosed(DEVICE, T0 + round(second * 1000), session)


def heard(second: float, session: int = 1) -> Heard:
    return Heard(DEVICE, T0 + round(second * 1000), session)


@pytest.mark.parametrize("sign", [opened(0), heard(0), report(0), report(0, None), report(-7200, arrives=0)])
def test_every_sign_of_life_makes_it_online_once(sign: Entry) -> None:
    line = Line()
    assert line.feed(sign)[0] == ("device_online", 0)
    assert line.feed(sign, heard(5), report(6)) == []
    assert line.presence == ONLINE


def test_the_end_of_the_newest_connection_is_offline() -> None:
    line = Line()
    line.feed(opened(0), report(1))
    assert line.feed(closed(20)) == [("device_offline", 20)]
    assert line.feed(closed(20)) == []
    assert line.presence == OFFLINE
    assert line.feed(opened(30, 2)) == [("device_online", 30)]


def test_an_older_connection_that_is_given_up_later_means_nothing() -> None:
    line = Line()
    line.feed(opened(0, 1), opened(100, 2))
    assert line.feed(closed(110, 1)) == []  # by another gateway, which waited for its idle time
    assert line.presence == ONLINE
    assert line.feed(closed(120, 2)) == [("device_offline", 120)]


def test_a_closing_that_is_older_than_the_last_sign_of_life_means_nothing() -> None:
    line = Line()
    line.feed(opened(0, 0), heard(50, 0))
    assert line.feed(closed(49, 0)) == []
    assert line.feed(closed(50, 0)) == [("device_offline", 50)]


def test_silence_is_told_by_the_clock_alone() -> None:
    line = Line()
    line.tick(0, 10)
    line.feed(heard(12))
    assert line.tick(20, 610) == []
    assert line.tick(620, 4000) == [("device_unknown", 612)]
    assert line.presence == SILENT
    assert line.feed(closed(4001)) == []
    assert line.feed(report(4002)) == [("device_online", 4002)]


def test_a_heartbeat_without_a_report_keeps_it_online() -> None:
    line = Line()
    line.feed(opened(0))
    for second in range(300, 3000, 300):
        assert line.tick(second - 290, second) == []
        assert line.feed(heard(second)) == []


def test_a_report_sent_again_is_a_sign_of_life() -> None:
    line = Line()
    again = report(0)
    line.feed(again)
    line.tick(0, 700)
    again.received_ms = T0 + 705_000
    assert line.feed(again) == [("device_online", 705)]


def test_the_time_in_which_the_line_was_down_is_no_silence() -> None:
    line = Line()
    line.tick(0, 100)
    line.feed(heard(95))
    assert line.tick(3700, 4280) == []  # down for an hour, from 100 to 3700
    assert line.tick(4290, 4400) == [("device_unknown", 95 + 600 + 3600)]


def test_a_device_heard_before_the_first_tick_after_a_pause_is_late_by_nothing() -> None:
    line = Line()
    line.tick(0, 100)
    line.feed(heard(95), heard(3698))
    assert line.tick(3700, 4290) == []
    assert line.tick(4300, 4400) == [("device_unknown", 3700 + 600)]  # what was heard in the pause counts from its end


def test_ticks_of_two_gateways_side_by_side() -> None:
    line = Line()
    line.feed(heard(0))
    ticks = [Tick(T0 + s * 1000 - back) for s in range(10, 700, 10) for back in (0, 400)]
    assert line.feed(*ticks) == [("device_unknown", 600)]
    assert line.fleet.clock.pauses == ()


def test_inactive_after_a_day_and_again_when_asked() -> None:
    line = Line()
    line.feed(heard(0))
    found = line.tick(0, 3 * 86_400, 30)
    assert found == [("device_unknown", 600), ("device_inactive", 86_400)]
    line = Line(inactive_after_s=3600, inactive_repeat_s=1800)
    line.feed(heard(0))
    found = line.tick(0, 8000, 30)
    assert found[1:] == [("device_inactive", 3600), ("device_inactive", 5400), ("device_inactive", 7200)]
    assert line.feed(heard(8000)) == [("device_online", 8000)]
    assert line.tick(8010, 8010 + 3600, 30) == [("device_unknown", 8600), ("device_inactive", 11_600)]
    line = Line(inactive_after_s=None)
    line.feed(heard(0))
    assert line.tick(0, 2 * 86_400, 30) == [("device_unknown", 600)]


def test_repeats_that_passed_at_once_are_told_once() -> None:
    line = Line(inactive_after_s=3600, inactive_repeat_s=60)
    line.feed(heard(0))
    (unknown, inactive) = line.fleet.feed(Tick(T0 + 30 * 86_400_000))[0].events  # the first tick that was ever seen
    assert (unknown.kind, inactive.kind) == ("device_unknown", "device_inactive")
    assert inactive.time_ms == T0 + 30 * 86_400_000
    assert inactive.attributes == {"silent_s": 30 * 86_400.0, "count": 30 * 1440 - 60 + 1}


def test_two_thousand_devices_are_told_in_the_order_of_their_deadlines() -> None:
    fleet = Fleet(Rules(1))
    for number in range(2000):
        fleet.feed(Heard(f"{number:015}", T0 + (number * 7919 % 2000) * 10))
    times = [event.time_ms for outcome in fleet.feed(Tick(T0 + HOUR_MS)) for event in outcome.events]
    assert times == [T0 + 600_000 + 10 * n for n in range(2000)]
    assert fleet.feed(Tick(T0 + HOUR_MS + 10_000)) == []


def test_a_layer_leaves_what_is_under_it_alone() -> None:
    below = Fleet(Rules(1))
    below.feed(Heard(DEVICE, T0))
    states, deadlines = dict(below.changed), Deadlines()
    deadlines.schedule(DEVICE, T0 + 600_000)
    for _ in range(2):  # a range whose outputs were not sent is worked on again
        layer = Fleet(Rules(1), states, deadlines, Clock(T0))
        found = [layer.feed(Tick(T0 + s * 1000)) for s in range(10, 700, 10)]
        assert [o.events[0].kind for outcomes in found for o in outcomes] == ["device_unknown"]
        assert states == below.changed
    assert deadlines.due(T0 + 600_000) == [DEVICE]


def test_a_device_is_forgotten_after_90_silent_days() -> None:
    line = Line()
    line.feed(report(0))
    line.fleet.feed(Tick(T0 + FORGET_MS - 1))
    assert line.fleet.changed[DEVICE].reports == 1
    line.fleet.clock = Clock(T0 + FORGET_MS - 1)
    line.fleet.feed(Tick(T0 + FORGET_MS))
    assert line.fleet.changed[DEVICE].reports == 0
    assert line.fleet.feed(Tick(T0 + FORGET_MS + 10_000)) == []


def test_pauses_are_bounded() -> None:
    clock = Clock()
    for hour in range(100):
        clock = clock.ticked(T0 + hour * HOUR_MS)
    assert len(clock.pauses) == PAUSES_KEPT
    assert clock.pauses[-1] == (T0 + 98 * HOUR_MS, T0 + 99 * HOUR_MS)
    assert clock.ticked(T0) is clock


def test_deadlines_come_when_they_are_due() -> None:
    deadlines = Deadlines()
    for number in range(100):
        deadlines.schedule(f"d{number}", T0 + number * 37 % 100 * 10_000)
    deadlines.schedule("d5", T0 - 10_000)
    deadlines.schedule("d5", T0 + 5_000_000)  # later: it stays where it is looked at in time
    early = {f"d{n}" for n in range(100) if n * 37 % 100 <= 9} | {"d5"}
    assert set(deadlines.due(T0 + 90_000)) == early
    assert set(deadlines.due(T0 + 90_000)) == early
    deadlines.settle(T0 + 90_000, lambda device_id: T0 + 5_000_000 if device_id == "d5" else None)
    assert deadlines.due(T0 + 90_000) == []
    assert "d5" not in deadlines.due(T0 + 4_990_000)
    assert "d5" in deadlines.due(T0 + 5_000_000)
    assert len(deadlines.due(T0 + 5_000_000)) == 100 - len(early) + 1
