"""Power, driver, maintenance and answers to commands: facts that reports tell."""

from __future__ import annotations

from typing import Any

import pytest

from processors.derive.state import ABSENT_U4
from tests.unit.derive_helpers import HOUR_MS, Device, drive, report, rest

POWER_CUT = frozenset({"power_cut"})


def kinds(events: list[Any], *wanted: str) -> list[tuple[str, str]]:
    return [(e.kind, e.subject) for e in events if e.kind.startswith(wanted)]


# ---- power


def test_power_by_volts() -> None:
    device = Device()
    volts = [None, 12.6, 12.4, 5.0, 0.4, 0.0, 5.0, 7.9, 12.1, 12.0]
    events = device.feed(*(report(60 * n, 0, power_v=v) for n, v in enumerate(volts)))
    assert kinds(events, "power_") == [("power_cut", ""), ("power_restored", "")]
    cut, restored = events
    assert cut.attributes == {"evidence": "power_v", "power_v": 0.4}
    assert (restored.time_ms - cut.time_ms) == 4 * 60_000


def test_power_by_a_level_is_silent_at_first() -> None:
    device = Device()
    events = device.feed(
        report(0, 0, alarms=["power_cut"], level_alarms=POWER_CUT),
        report(60, 0, level_alarms=POWER_CUT),
        report(120, 0, alarms=["power_cut"], level_alarms=POWER_CUT),
    )
    assert kinds(events, "power_") == [("power_restored", ""), ("power_cut", "")]
    assert events[-1].attributes["evidence"] == "alarm"


def test_power_by_an_event_code_is_a_fact() -> None:
    device = Device()
    events = device.feed(report(0, 0, alarms=["power_cut"]), report(60, 0, alarms=["power_cut"]))
    assert kinds(events, "power_") == [("power_cut", "")]
    assert kinds(device.feed(report(90, 0, alarms=["power_restored"])), "power_") == [("power_restored", "")]


def test_late_power_changes_nothing() -> None:
    device = Device()
    device.feed(report(0, 0, power_v=12.0), report(100, 0, power_v=12.0))
    assert device.feed(report(50, 0, power_v=0.0, arrives=200)) == []


# ---- driver


def test_a_driver_is_told_when_he_changes() -> None:
    device = Device()
    ids = [None, "7", "7", "", "8", True, 9]
    events = device.feed(
        *(report(60 * n, 0, attributes={} if i is None else {"driver_id": i}) for n, i in enumerate(ids))
    )
    assert [e.attributes for e in events] == [
        {"driver_id": "7"},
        {"driver_id": "8", "previous_driver_id": "7"},
        {"driver_id": "9", "previous_driver_id": "8"},
    ]
    device.feed(report(900, 0, attributes={"driver_id": "x" * 500, "driver_name": "Ann"}))
    assert device.events[-1].attributes["driver_name"] == "Ann"
    assert len(device.state.driver_id) == 64
    assert device.feed(report(100, 0, arrives=1000, attributes={"driver_id": "1"})) == []


# ---- answers to commands


def test_an_answer_is_an_event_also_a_late_one() -> None:
    device = Device()
    first = report(0, 0, attributes={"command_result": "DYD=Success!"})
    second = report(0, 0, attributes={"command_result": "x" * 2000})
    events = device.feed(first, second, first, report(100, 0))
    assert [e.kind for e in events] == ["command_result", "command_result"]
    assert events[0].attributes == {"result": "DYD=Success!"}
    assert len(str(events[1].attributes["result"])) == 500
    assert events[0].subject != events[1].subject
    (late,) = device.feed(report(50, 0, arrives=200, attributes={"command_result": "ok"}))
    assert late.attributes == {"result": "ok", "late": True}


# ---- maintenance


def test_maintenance_by_the_odometer() -> None:
    device = Device(maintenance_distance_m=10_000.0)
    odometers = [95_000, 99_999, None, 100_000, 109_999, 131_000, 5_000, 9_000, 10_100]
    events = device.feed(*(report(60 * n, 0, odometer_m=v) for n, v in enumerate(odometers)))
    assert kinds(events, "maintenance") == [("maintenance_due", "distance")] * 3
    assert [e.attributes["count"] for e in events] == [10, 13, 1]
    assert events[0].attributes == {"distance_m": 100_000, "period_m": 10_000.0, "count": 10}


def test_maintenance_by_our_own_distance() -> None:
    device = Device(maintenance_distance_m=5_000.0)
    events = device.feed(*drive(0, 1200, 30, 0, 60))  # 20 km
    assert [e.attributes["count"] for e in events if e.kind == "maintenance_due"] == [1, 2, 3]


def test_maintenance_by_engine_hours() -> None:
    device = Device(maintenance_engine_h=2.0)
    on = [report(s, 0, ignition=True, speed_kmh=0.0) for s in range(0, 3600 * 5, 600)]
    events = device.feed(*on)
    assert [e.attributes["count"] for e in events if e.kind == "maintenance_due"] == [1, 2]
    assert device.state.engine_s == pytest.approx(3600 * 5 - 600)
    device.feed(report(3600 * 5, 0, ignition=False), *rest(3600 * 6, 3600 * 9, 600, 0))
    assert device.state.engine_s == pytest.approx(3600 * 5)
    (due,) = device.feed(report(3600 * 10, 0, attributes={"engine_hours_h": 1000.5}))
    assert due.attributes == {"engine_h": 1000.5, "period_h": 2.0, "count": 500}


def test_time_that_nobody_saw_is_no_engine_time() -> None:
    device = Device()
    device.feed(
        report(0, 0, ignition=True), report(60, 0, ignition=True), report(60 + 2 * HOUR_MS / 1000, 0, ignition=True)
    )
    assert device.state.engine_s == 60


def test_switched_off_nothing_is_counted() -> None:
    device = Device()
    device.feed(*drive(0, 1200, 30, 0, 60))
    assert (device.state.distance_serviced, device.state.engine_serviced) == (ABSENT_U4, ABSENT_U4)
