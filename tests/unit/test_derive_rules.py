"""Overspeed, ignition, alarms, parameters: what is raised, once, and what is not."""

from __future__ import annotations

import pytest

from processors.derive.rules import Parameters, Rules, parameters_from
from schemas.records import Flag
from tests.unit.derive_helpers import T0, Device, drive, report

LEVELS = frozenset({"sos", "tampering", "door"})


# ---- overspeed


def test_an_episode_is_told_at_both_ends() -> None:
    device = Device(speed_limit_kmh=90)
    device.feed(*drive(0, 50, 10, 0, 90))
    assert device.told() == [("device_moving", 0)]  # at the limit is not above it
    (started,) = device.feed(*drive(60, 80, 10, 1500, 108), report(90, 2430, speed_kmh=126), report(100, 2780))
    assert (started.kind, started.time_ms) == ("overspeed_started", T0 + 60_000)
    assert started.attributes == {"speed_kmh": 108.0, "limit_kmh": 90.0, "limit_source": "server"}
    assert started.latitude == pytest.approx(50 + 1500 / 111_195.08, abs=1e-6)
    # the fix of 100 s told no speed: it ends nothing
    (ended,) = device.feed(report(110, 3100, speed_kmh=90), *drive(120, 200, 10, 3400, 80))
    assert (ended.kind, ended.time_ms) == ("overspeed_ended", T0 + 110_000)
    assert ended.attributes == {
        "speed_max_kmh": 126.0,
        "limit_kmh": 90.0,
        "limit_source": "server",
        "duration_s": 50.0,
        "distance_m": pytest.approx(1600, abs=0.5),
    }


def test_off_by_default() -> None:
    device = Device()
    device.feed(*drive(0, 600, 10, 0, 250))
    assert [e.kind for e in device.events] == ["device_moving"]


def test_a_short_episode_is_not_told() -> None:
    device = Device(speed_limit_kmh=90, overspeed_min_duration_s=30.0)
    device.feed(*drive(0, 20, 10, 0, 100), *drive(30, 60, 10, 900, 80))
    assert "overspeed_started" not in {e.kind for e in device.events}
    assert "overspeed_ended" not in {e.kind for e in device.events}
    long = device.feed(*drive(70, 110, 10, 2000, 100), *drive(120, 130, 10, 3200, 80))
    assert device.told(long) == [("overspeed_started", 70), ("overspeed_ended", 120)]


def test_tolerance_is_the_hysteresis() -> None:
    device = Device(speed_limit_kmh=90, overspeed_tolerance_kmh=5.0)
    speeds = [95, 96, 93, 91, 90, 94, 95]
    events = device.feed(*[report(10 * i, 260 * i, speed_kmh=v) for i, v in enumerate(speeds)])
    assert [t for t in device.told(events) if "overspeed" in t[0]] == [
        ("overspeed_started", 10),
        ("overspeed_ended", 40),
    ]


def test_the_limit_that_the_device_sends_goes_first() -> None:
    device = Device(speed_limit_kmh=90)
    (started,) = device.feed(report(0, 0, speed_kmh=60, attributes={"speed_limit_kmh": 50}))
    assert started.attributes == {"speed_kmh": 60.0, "limit_kmh": 50.0, "limit_source": "device_sent"}
    assert [e.kind for e in device.feed(report(10, 170, speed_kmh=60))] == ["overspeed_ended"]


def test_a_gap_ends_the_episode_before_it() -> None:
    device = Device(speed_limit_kmh=90)
    device.feed(*drive(0, 60, 10, 0, 100))
    after = device.feed(report(4000, 90_000, speed_kmh=100))
    assert [t for t in device.told(after) if "overspeed" in t[0]] == [
        ("overspeed_ended", 60),
        ("overspeed_started", 4000),
    ]


def test_an_invalid_fix_is_no_speed() -> None:
    device = Device(speed_limit_kmh=90)
    assert device.feed(report(0, 0, speed_kmh=200, valid=False)) == []
    assert device.feed(report(10, None, speed_kmh=200)) == []
    assert device.feed(report(20, 0, speed_kmh=float("nan")), report(30, 0, speed_kmh=1e9)) == []


# ---- ignition


def test_ignition_flips() -> None:
    device = Device()
    device.feed(
        report(0, 0, ignition=True),
        report(10, 0, ignition=True),
        report(20, 0),
        report(30, None, ignition=False),
        report(40, 0, ignition=False, valid=False),
        report(50, 0, ignition=True),
    )
    assert device.told() == [("ignition_off", 30), ("ignition_on", 50)]
    assert device.events[0].latitude is None
    assert device.events[1].latitude == 50.0


def test_a_late_report_flips_nothing() -> None:
    device = Device()
    device.feed(report(0, 0, ignition=True), report(60, 0), report(30, 0, ignition=False, arrives=70))
    assert device.events == []
    assert device.rows[-1].flags == Flag.LATE
    assert device.rows[-1].moving == 255
    assert device.state.ignition == 1
    assert device.feed(report(20, 0, arrives=80, key=7)) == []


def test_a_clock_a_little_behind_the_fix_is_not_late() -> None:
    device = Device()
    device.feed(report(0, 0, ignition=True), report(60, 0), report(-50, None, ignition=False, arrives=65))
    assert device.told() == [("ignition_off", -50)]
    device.feed(report(-61, None, ignition=True, arrives=70))
    assert device.rows[-1].flags == Flag.LATE
    assert len(device.events) == 1


# ---- alarms


def test_a_level_is_told_on_its_edges() -> None:
    device = Device()
    told = [[], ["tampering"], ["tampering"], ["tampering", "door"], ["door"], []]
    device.feed(*[report(10 * i, 0, alarms=a, level_alarms=LEVELS) for i, a in enumerate(told)])
    assert [(e.kind, e.subject, (e.time_ms - T0) // 1000) for e in device.events] == [
        ("alarm_raised", "tampering", 10),
        ("alarm_raised", "door", 30),
        ("alarm_cleared", "tampering", 40),
        ("alarm_cleared", "door", 50),
    ]


def test_the_first_word_is_silent_except_sos() -> None:
    device = Device()
    (sos,) = device.feed(report(0, 0, alarms=["tampering", "sos"], level_alarms=LEVELS))
    assert (sos.kind, sos.subject) == ("alarm_raised", "sos")
    cleared = device.feed(report(10, 0, alarms=[], level_alarms=LEVELS))
    assert [(e.kind, e.subject) for e in cleared] == [("alarm_cleared", "sos"), ("alarm_cleared", "tampering")]


def test_each_level_has_a_baseline_of_its_own() -> None:
    device = Device()
    device.feed(report(0, 0, level_alarms=frozenset({"door"})))
    assert device.feed(report(10, 0, alarms=["power_cut"], level_alarms=frozenset({"power_cut"}))) == []
    # a report that does not tell of power_cut does not clear it
    assert device.feed(report(20, 0, level_alarms=frozenset({"door"}))) == []
    assert device.state.levels == "power_cut"
    assert device.state.levels_known == "door,power_cut"


def test_pulses_are_told_each_time() -> None:
    device = Device()
    device.feed(report(0, 0, alarms=["vibration", "vibration"]), report(10, None, alarms=["vibration"]), report(20, 0))
    assert device.told() == [("alarm_raised", 0), ("alarm_raised", 10)]
    assert all(e.attributes == {} for e in device.events)


def test_a_stored_pulse_is_told_with_its_own_time() -> None:
    device = Device()
    device.feed(report(0, 0), report(100, 0))
    stored = report(50, 200, arrives=110, alarms=["sos", "door"], level_alarms=frozenset({"door"}))
    (sos,) = device.feed(stored)
    assert (sos.subject, sos.time_ms, sos.attributes) == ("sos", T0 + 50_000, {"late": True})
    assert sos.latitude == pytest.approx(50 + 200 / 111_195.08, abs=1e-6)
    assert device.feed(stored) == []


# ---- parameters


def test_parameters_by_level() -> None:
    server = parameters_from({"speed_limit_kmh": 120}, source="server")
    group = parameters_from({"speed_limit_kmh": 80, "min_stop_duration_s": 300}, server, "group")
    device = parameters_from({"min_trip_distance_m": 50}, group)
    assert (device.speed_limit_kmh, device.speed_limit_source, device.min_stop_duration_s) == (80.0, "group", 300.0)
    assert (device.min_trip_distance_m, device.stop_radius_m) == (50.0, 25.0)
    assert parameters_from({"speed_limit_kmh": None}, group).speed_limit_kmh is None
    assert parameters_from({}) == Parameters()
    rules = Rules(3, server, {"1": device})
    assert rules.parameters("1") is device
    assert rules.parameters("2") is server
    assert Rules.default().parameters("1") == Parameters()


@pytest.mark.parametrize(
    ("mapping", "named"),
    [
        ({"min_trip_distance": 200}, "unknown parameter 'min_trip_distance'"),
        ({"speed_limit_source": "device"}, "unknown parameter"),
        ({"speed_limit_kmh": "90"}, "speed_limit_kmh: '90' is not a number"),
        ({"speed_limit_kmh": True}, "speed_limit_kmh: True is not a number"),
        ({"speed_limit_kmh": 0}, "speed_limit_kmh: 0 is not between"),
        ({"stop_gap_s": None}, "stop_gap_s: None is not a number"),
        ({"stop_gap_s": float("nan")}, "stop_gap_s: nan is not a number"),
        ({"stop_radius_m": 300}, "stop_radius_m: 300 is above min_trip_distance_m"),
    ],
)
def test_a_bad_parameter_is_named(mapping: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        parameters_from(mapping)
