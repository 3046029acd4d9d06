"""fuel_drop and fuel_increase: real changes once, with the whole change; no slosh, outlier, dropout or consumption."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from schemas.records import Event
from tests.unit.derive_helpers import T0, Device, drive, report


def level(values: list[float | None], every_s: int = 60, start_s: int = 0, **fields: Any) -> list[Any]:
    return [report(start_s + every_s * n, 0, fuel_percent=v, speed_kmh=0.0, **fields) for n, v in enumerate(values)]


def fuel(events: list[Event]) -> list[tuple[str, float]]:
    return [(e.kind, (e.time_ms - T0) / 1000) for e in events if e.kind.startswith("fuel_")]


def test_a_drop_that_stays_is_told_once_where_it_began() -> None:
    device = Device()
    events = device.feed(*level([80, 80, 81, 80, 55, 54, 55, 55, 55, 54, 55, 55]))
    assert fuel(events) == [("fuel_drop", 240)]
    (drop,) = [e for e in events if e.kind == "fuel_drop"]
    assert drop.attributes == {"before_percent": 80.0, "after_percent": 55.0, "change_percent": -25.0}
    assert drop.latitude is None  # it was sure only later, elsewhere perhaps


def test_filling_up_is_one_event_with_the_whole_rise() -> None:
    device = Device()
    events = device.feed(*level([20, 20, 21, 20, 38, 61, 83, 95, 95, 95, 95, 94, 95, 95, 95], 30))
    assert fuel(events) == [("fuel_increase", 210)]
    (rise,) = [e for e in events if e.kind == "fuel_increase"]
    assert rise.attributes["change_percent"] == pytest.approx(75, abs=1)


@pytest.mark.parametrize("seed", range(5))
def test_slosh_outliers_and_dropouts_say_nothing(seed: int) -> None:
    noise = Random(seed)
    values: list[float | None] = []
    for n in range(400):
        values.append(70 + noise.uniform(-5, 5))
        if n % 25 == 10 and n % 60 != 30:  # three in a row would be a level
            values[-1] = noise.choice((0.0, 5.0, 100.0))
        if n % 60 == 30:
            values += [0.0, 0.0]
        if n % 40 == 0:
            values.append(None)
    device = Device()
    assert fuel(device.feed(*level(values, 30))) == []


def test_a_long_drive_is_consumption_and_no_drop() -> None:
    device = Device()
    reports = drive(0, 6 * 3600, 600, 0, 80)
    for number, one in enumerate(reports):
        one.position.fuel_percent = 90 - number * 2.0  # 12 % an hour
    assert fuel(device.feed(*reports)) == []


def test_what_is_stolen_from_a_sleeping_truck_is_seen() -> None:
    device = Device()
    events = device.feed(*level([70, 70, 70, 71, 40, 40, 41, 40], 1800))
    assert fuel(events) == [("fuel_drop", 4 * 1800)]


def test_litres_have_thresholds_of_their_own_and_units_are_not_mixed() -> None:
    device = Device()
    litres = [400.0, 401.0, 400.0, 400.0, 370.0, 370.0, 371.0]
    events = device.feed(*(report(60 * n, 0, attributes={"fuel_l": v}) for n, v in enumerate(litres)))
    (drop,) = [e for e in events if e.kind == "fuel_drop"]
    assert drop.attributes == {"before_l": 400.0, "after_l": 370.0, "change_l": -30.0}
    assert fuel(device.feed(*level([50, 50, 50, 50, 50, 50, 50], start_s=1000))) == []


def test_switched_off_and_other_thresholds() -> None:
    values: list[float | None] = [80, 80, 80, 60, 60, 60, 60]
    assert fuel(Device(fuel_drop_percent=None).feed(*level(values))) == []
    assert fuel(Device(fuel_drop_percent=25.0).feed(*level(values))) == []
    assert fuel(Device(fuel_drop_percent=5.0).feed(*level(values))) == [("fuel_drop", 180)]


def test_a_sensor_without_its_ignition_is_no_empty_tank() -> None:
    device = Device()
    events = device.feed(*level([80, 80, 80]), *level([0, 0, 0, 0, 0], start_s=300, ignition=False))
    assert fuel(events) == []


def test_values_that_are_none() -> None:
    device = Device()
    device.feed(*level([-5, float("nan"), float("inf"), 1e9, None]))
    device.feed(report(900, 0, attributes={"fuel_l": True}), report(960, 0, attributes={"fuel_l": "full"}))
    assert device.state.fuel == b""


def test_late_reports_and_repeated_times_take_no_part() -> None:
    device = Device()
    device.feed(*level([80, 80, 80, 80]))
    before = device.state.fuel
    device.feed(report(30, 0, fuel_percent=10.0, arrives=200), report(180, 0, fuel_percent=10.0))
    assert device.state.fuel == before
