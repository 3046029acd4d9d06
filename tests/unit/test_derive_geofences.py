"""geofence_entered, exited, crossed, dwell: edges, noise, rest, rules that change under a parked device."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from processors.derive.entries import Tick
from processors.derive.fences import FenceIndex, fence_from
from processors.derive.fleet import Fleet
from processors.derive.geofences import VISITS_KEPT, visits_of
from processors.derive.rules import Parameters, Rules
from processors.derive.state import ABSENT_I8, DeviceState
from schemas.records import Event, Geofence
from tests.unit.derive_helpers import DEVICE, METRES_PER_DEGREE, T0, Device, drive, report, rest


def fence(name: str = "depot", from_m: float = 995, to_m: float = 2005, revision: int = 1, **fields: Any) -> Any:
    """A box across the meridian of the helpers, between two distances north of the origin."""
    south, north = 50 + from_m / METRES_PER_DEGREE, 50 + to_m / METRES_PER_DEGREE
    ring = [[9.99, south], [10.01, south], [10.01, north], [9.99, north], [9.99, south]]
    geometry = json.dumps({"type": "Polygon", "coordinates": [ring]})
    return fence_from(Geofence(name, 0, geometry, **fields), revision)


class Fenced(Device):
    """A device among geofences; told() is of geofence events only."""

    def __init__(self, *fences: Any, groups: dict[str, str] | None = None, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.groups = groups or {}
        self.set(*fences)

    def set(self, *fences: Any, revision: int | None = None) -> None:
        newest = max((f.revision for f in fences), default=0) if revision is None else revision
        index = FenceIndex(fences, newest)
        self.rules = Rules(newest, self.rules.defaults, fences=index, groups=self.groups)

    def fences(self, events: list[Event] | None = None) -> list[tuple[str, float, str]]:
        found = self.events if events is None else events
        return [(e.kind, (e.time_ms - T0) / 1000, e.subject) for e in found if e.kind.startswith("geofence_")]


def test_a_drive_in_and_out() -> None:
    device = Fenced(fence(name="depot"), fence("far", 50_000, 51_000))
    events = device.feed(*drive(0, 300, 10, 0, 36))  # 100 m a fix: in at 1000 m, out at 2100 m
    entered, exited = (e for e in events if e.kind.startswith("geofence_"))
    assert (entered.kind, entered.time_ms, entered.subject) == ("geofence_entered", T0 + 100_000, "depot")
    assert entered.latitude == pytest.approx(50 + 1000 / METRES_PER_DEGREE, abs=1e-6)
    assert (exited.kind, exited.subject) == ("geofence_exited", "depot")
    assert exited.time_ms == T0 + 210_000
    assert exited.attributes == {"duration_s": 110.0}
    assert device.state.fences == ""


def test_the_name_is_told() -> None:
    named = fence_from(Geofence("d1", 0, json.dumps({"type": "Point", "coordinates": [10, 50]}), "Depot", 500.0), 1)
    device = Fenced(named)
    device.feed(*drive(0, 100, 10, -3000, 72))
    (entered,) = [e for e in device.feed(*drive(110, 200, 10, -600, 72)) if e.kind == "geofence_entered"]
    assert entered.attributes == {"name": "Depot"}


def test_the_first_fix_is_a_silent_baseline() -> None:
    device = Fenced(fence())
    device.feed(*rest(0, 600, 60, 1500))
    assert device.fences() == []
    device.feed(*drive(610, 700, 10, 1500, 72))
    assert [(kind, subject) for kind, _, subject in device.fences()] == [("geofence_exited", "depot")]


@pytest.mark.parametrize("seed", range(8))
def test_a_parked_receiver_at_the_edge_does_not_flap(seed: int) -> None:
    noise = Random(seed)
    device = Fenced(fence())
    device.feed(*drive(0, 90, 10, 0, 36))
    at = [report(100 + 30 * n, 990 + noise.gauss(0, 12), speed_kmh=noise.choice((0.0, 1.5, 3.0))) for n in range(1000)]
    found = device.fences(device.feed(*at))
    assert [kind for kind, _, _ in found] in ([], ["geofence_entered"])  # once in by a few metres, it stays in


@pytest.mark.parametrize("seed", range(8))
def test_a_receiver_that_drifts_out_of_the_geofence_it_is_parked_in_stays_inside(seed: int) -> None:
    noise = Random(seed)
    device = Fenced(fence())
    device.feed(*drive(0, 110, 10, 0, 36), *rest(120, 600, 30, 1025))
    drift, parked = 0.0, []
    for n in range(400):
        drift = 0.9 * drift + noise.gauss(0, 5)
        parked.append(report(630 + 30 * n, 1025 + drift - (90 if n % 90 == 5 else 0), speed_kmh=0.0))
    device.feed(*parked)
    assert device.fences() == [("geofence_entered", 100, "depot")]


def test_just_outside_the_edge_it_has_left_when_it_stays_there() -> None:
    device = Fenced(fence())
    device.feed(*drive(0, 200, 10, 0, 36))  # inside, at 2000 m
    device.feed(report(210, 2018, speed_kmh=8), report(240, 1990, speed_kmh=8))
    assert device.fences()[1:] == []
    events = device.feed(*(report(270 + 30 * n, 2020 + n % 3, speed_kmh=8) for n in range(8)))
    assert device.fences(events) == [("geofence_exited", 270, "depot")]  # dated where it was first outside


def test_a_device_that_walks_in_and_stays_is_believed_in_time() -> None:
    device = Fenced(fence(from_m=35, to_m=400))
    device.feed(*rest(0, 600, 60, 0))
    events = device.feed(*(report(660 + 60 * n, min(20 * (n + 1), 60), speed_kmh=1.2) for n in range(10)))
    assert device.fences(events) == [("geofence_entered", 660 + 60, "depot")]


def test_a_way_through_between_two_fixes() -> None:
    device = Fenced(fence(from_m=1010, to_m=1300))
    device.feed(*drive(0, 100, 10, 0, 36))
    (crossed,) = [e for e in device.feed(report(160, 1600, speed_kmh=36)) if e.kind == "geofence_crossed"]
    assert crossed.subject == "depot"
    assert crossed.time_ms == pytest.approx(T0 + 101_000, abs=200)
    assert crossed.latitude == pytest.approx(50 + 1010 / METRES_PER_DEGREE, abs=1e-5)
    device.feed(*drive(170, 300, 10, 1700, 36))
    assert len(device.fences()) == 1


def test_after_a_long_silence_nobody_knows_the_way() -> None:
    for parameters, kinds in (({}, []), ({"geofence_crossing_gap_s": 10_000.0}, ["geofence_crossed"])):
        device = Fenced(fence(from_m=1010, to_m=1300), **parameters)
        device.feed(*drive(0, 100, 10, 0, 36), report(5000, 2000, speed_kmh=36))
        assert [k for k, _, _ in device.fences()] == kinds
    device = Fenced(fence(from_m=1010, to_m=1300), geofence_crossing_gap_s=None)
    device.feed(*drive(0, 100, 10, 0, 36), report(160, 1600, speed_kmh=36))
    assert device.fences() == []


def test_dwell_by_a_fix() -> None:
    device = Fenced(fence(dwell_s=300.0))
    events = device.feed(*drive(0, 120, 10, 0, 36), *rest(130, 1000, 30, 1250), *drive(1010, 1200, 10, 1300, 72))
    assert device.fences(events)[:2] == [("geofence_entered", 100, "depot"), ("geofence_dwell", 400, "depot")]
    assert [k for k, _, _ in device.fences(events)[2:]] == ["geofence_exited"]
    (dwell,) = [e for e in events if e.kind == "geofence_dwell"]
    assert dwell.attributes == {"dwell_s": 300.0}


def test_dwell_of_the_device_unless_the_geofence_has_its_own() -> None:
    device = Fenced(fence("a"), fence("b", dwell_s=600.0), geofence_dwell_s=300.0)
    device.feed(*drive(0, 120, 10, 0, 36), *rest(130, 1000, 30, 1250))
    assert [e for e in device.fences() if e[0] == "geofence_dwell"] == [
        ("geofence_dwell", 400, "a"),
        ("geofence_dwell", 700, "b"),
    ]


def test_dwell_by_the_clock_of_a_device_that_sleeps() -> None:
    rules = Rules(1, Parameters(unknown_after_s=7200), fences=FenceIndex([fence(dwell_s=900.0)], 1))
    fleet = Fleet(rules)
    found = [e for r in drive(0, 120, 10, 0, 36) for o in fleet.feed(r) for e in o.events]
    for second in range(130, 2000, 10):
        found += [e for o in fleet.feed(Tick(T0 + second * 1000)) for e in o.events]
    told = [(e.kind, (e.time_ms - T0) / 1000, e.subject) for e in found if e.subject]
    assert told == [("geofence_entered", 100, "depot"), ("geofence_dwell", 1000, "depot")]
    # once: the fixes that follow do not tell it again
    found = [e for r in rest(2000, 4000, 60, 1250) for o in fleet.feed(r) for e in o.events]
    assert "geofence_dwell" not in {e.kind for e in found}


def test_a_geofence_that_moves_over_a_parked_device_and_away_again_says_nothing() -> None:
    device = Fenced(fence(revision=1))
    device.feed(*drive(0, 60, 10, 3000, 36), *rest(70, 900, 30, 3600))
    device.set(fence(from_m=3000, to_m=4000, revision=2))
    device.feed(*rest(930, 1200, 30, 3600))
    assert visits_of(device.state.fences)[0].inside == 1
    device.set(fence(from_m=9000, to_m=9500, revision=3))
    device.feed(*rest(1230, 1500, 30, 3600))
    device.set(fence(from_m=3000, to_m=4000, revision=4))
    device.feed(*rest(1530, 1800, 30, 3600))
    device.set(revision=5)
    device.feed(*rest(1830, 2100, 30, 3600))
    assert device.fences() == []
    assert device.state.fences == ""
    assert device.state.fences_revision == 5


def test_a_new_geofence_around_a_device_is_silent_and_left_with_an_event() -> None:
    device = Fenced(fence("old", revision=1))
    device.feed(*rest(0, 600, 60, 5000))
    device.set(fence("old", revision=1), fence("new", 4000, 5500, revision=2))
    device.feed(*rest(660, 900, 60, 5000), *drive(910, 1000, 10, 5000, 108))
    assert [(k, s) for k, _, s in device.fences()] == [("geofence_exited", "new")]


def test_a_geofence_for_some() -> None:
    own = fence("own", device_ids=[DEVICE])
    others = fence("others", device_ids=["other"], group_ids=["trucks"])
    device = Fenced(own, others)
    device.feed(*drive(0, 300, 10, 0, 36))
    assert {s for _, _, s in device.fences()} == {"own"}
    device = Fenced(own, others, groups={DEVICE: "trucks"})
    device.feed(*drive(0, 300, 10, 0, 36))
    assert {s for _, _, s in device.fences()} == {"own", "others"}


def test_the_limit_of_a_geofence_goes_first_and_the_highest_counts() -> None:
    fences = fence("slow", speed_limit_kmh=30.0), fence("yard", speed_limit_kmh=20.0)
    for lowest, limit, geofence_id in ((False, 30.0, "slow"), (True, 20.0, "yard")):
        device = Fenced(*fences, speed_limit_kmh=120.0, geofence_limit_lowest=lowest)
        device.feed(*drive(0, 300, 10, 0, 36))
        started, ended = (e for e in device.events if e.kind.startswith("overspeed"))
        assert (started.kind, started.time_ms) == ("overspeed_started", T0 + 100_000)
        assert started.attributes["limit_kmh"] == limit
        assert started.attributes["limit_source"] == "geofence"
        assert started.attributes["geofence_id"] == geofence_id
        assert ended.attributes["limit_source"] == "geofence"
        assert ended.attributes["limit_kmh"] == limit


def test_more_geofences_than_a_device_can_be_in() -> None:
    device = Fenced(*(fence(f"f{n:03}") for n in range(VISITS_KEPT + 20)))
    device.feed(*drive(0, 150, 10, 0, 36))
    assert len(visits_of(device.state.fences)) == VISITS_KEPT


def test_without_geofences_nothing_is_kept() -> None:
    device = Fenced()
    device.feed(*drive(0, 150, 10, 0, 36))
    assert (device.state.fences, device.state.fences_revision) == ("", 0)
    assert DeviceState.new(DEVICE).fences_revision == ABSENT_I8


def test_a_jump_leaves_nothing() -> None:
    device = Fenced(fence())
    device.feed(*drive(0, 120, 10, 0, 36), *rest(130, 400, 30, 1250))
    device.feed(report(430, 900_000, speed_kmh=0.0), *rest(460, 900, 30, 1250))
    assert device.fences() == [("geofence_entered", 100, "depot")]
