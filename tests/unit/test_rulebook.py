"""Records become rules: levels over levels, changes, removals, and what is refused."""

from __future__ import annotations

import json

import pytest

from processors.derive.rules import Parameters
from processors.rulebook import RuleBook
from schemas.records import Device, Geofence, Group


def circle(geofence_id: str, latitude: float = 50.0, **fields: float | str | list[str]) -> Geofence:
    geometry = json.dumps({"type": "Point", "coordinates": [10.0, latitude]})
    return Geofence(geofence_id, 0, geometry, **({"radius_m": 100.0} | fields))  # type: ignore[arg-type]


def test_the_device_goes_before_its_group_and_that_before_the_server() -> None:
    book = RuleBook(Parameters(speed_limit_kmh=130.0))
    book.put(Device("a", 0, group_id="vans", parameters={"min_stop_duration_s": 60}), 0)
    book.put(Device("b", 0, group_id="vans"), 1)
    book.put(Device("c", 0, group_id="nobody", parameters={"speed_limit_kmh": 50}), 2)
    book.put(Group("vans", 0, parameters={"speed_limit_kmh": 90}), 0)
    rules = book.rules()
    a, b, c, other = map(rules.parameters, ("a", "b", "c", "other"))
    assert (a.speed_limit_kmh, a.speed_limit_source, a.min_stop_duration_s) == (90.0, "group", 60.0)
    assert (b.speed_limit_kmh, b.min_stop_duration_s) == (90.0, 180.0)
    assert (c.speed_limit_kmh, c.speed_limit_source) == (50.0, "device")
    assert (other.speed_limit_kmh, other.speed_limit_source) == (130.0, "server")
    assert "a" in rules.registered
    assert "other" not in rules.registered
    assert rules.groups["a"] == "vans"
    assert rules.revision == 3 + 1


def test_changes_and_removals() -> None:
    book = RuleBook()
    book.put(Group("vans", 0, parameters={"speed_limit_kmh": 90}), 0)
    book.put(Group("cars", 0, parameters={"speed_limit_kmh": 120}), 1)
    book.put(Device("a", 0, group_id="vans"), 0)
    assert book.rules().parameters("a").speed_limit_kmh == 90
    book.put(Device("a", 0, group_id="cars"), 1)
    assert book.rules().parameters("a").speed_limit_kmh == 120
    book.put(Group("vans", 0, parameters={"speed_limit_kmh": 80}), 2)  # no longer its group
    assert book.rules().parameters("a").speed_limit_kmh == 120
    book.remove("groups", "cars", 3)
    assert book.rules().parameters("a").speed_limit_kmh is None
    book.put(Group("cars", 0, parameters={"speed_limit_kmh": 110}), 4)
    assert book.rules().parameters("a").speed_limit_kmh == 110
    book.remove("devices", "a", 2)
    rules = book.rules()
    assert rules.devices == {}
    assert "a" not in rules.registered
    assert "a" not in rules.groups
    assert rules.revision == 3 + 5


def test_a_parameter_that_is_switched_off() -> None:
    book = RuleBook(Parameters(speed_limit_kmh=130.0))
    book.put(Device("a", 0, parameters={"speed_limit_kmh": "off"}), 0)
    assert book.rules().parameters("a").speed_limit_kmh is None


def test_what_is_refused_leaves_what_was() -> None:
    book = RuleBook()
    book.put(Device("a", 0, parameters={"speed_limit_kmh": 50}), 0)
    assert "speed_limit_kmh" in str(book.put(Device("a", 0, parameters={"speed_limit_kmh": -5}), 1))
    assert book.rules().parameters("a").speed_limit_kmh == 50
    assert book.put(circle("depot"), 0) is None
    assert "radius_m" in str(book.put(circle("depot", radius_m=0.0), 1))
    assert book.rules().fences.containing(500_000_000, 100_000_000)[0].geofence_id == "depot"
    assert book.rules().revision == 2 + 2


def test_a_group_that_contradicts_its_device_holds_alone() -> None:
    book = RuleBook()
    book.put(Device("a", 0, group_id="g", parameters={"stop_radius_m": 150}), 0)
    assert book.rules().parameters("a").stop_radius_m == 150
    book.put(Group("g", 0, parameters={"min_trip_distance_m": 100, "stop_radius_m": 50}), 0)
    assert book.rules().parameters("a").stop_radius_m == 50


def test_only_a_new_place_starts_from_a_new_baseline() -> None:
    book = RuleBook()
    book.put(circle("depot"), 0)
    first = book.rules().fences
    assert (first.revision, first.fences["depot"].revision) == (1, 1)
    assert book.rules().fences is first  # nothing changed: the index stays
    book.put(Device("a", 0), 0)
    assert book.rules().fences is first
    book.put(circle("depot", name="Depot", speed_limit_kmh=20.0, dwell_s=60.0), 1)
    renamed = book.rules().fences
    fence = renamed.fences["depot"]
    assert (renamed.revision, fence.revision) == (2, 1)
    assert (fence.name, fence.speed_limit_kmh, fence.dwell_s) == ("Depot", 20.0, 60.0)
    for offset, moved in enumerate((circle("depot", 51.0), circle("depot", 51.0, device_ids=["a"])), 2):
        book.put(moved, offset)
        assert book.rules().fences.fences["depot"].revision == offset + 1
    book.remove("geofences", "depot", 4)
    assert book.rules().fences.fences == {}
    assert book.rules().fences.revision == 5


@pytest.mark.parametrize("topic", ["devices", "groups", "geofences"])
def test_removing_what_is_not_there(topic: str) -> None:
    book = RuleBook()
    book.remove(topic, "x", 6)
    assert book.rules().revision == 7
