"""Position filters: what each sets aside is flagged, moves nothing and raises nothing; and each can be switched."""

from __future__ import annotations

from typing import Any

import pytest

from processors.derive.state import ABSENT_I8
from schemas.records import Flag
from tests.unit.derive_helpers import T0, Device, drive, report, rest

KEPT = ("fix_time_ms", "latitude_e7", "longitude_e7", "moving", "trip_distance_m", "candidate_ms")


def moved_by(device: Device, *reports: Any) -> bool:
    """True when reports moved the place or the motion of the device, or raised anything."""
    before = [getattr(device.state, name) for name in KEPT]
    events = device.feed(*reports)
    return bool(events) or before != [getattr(device.state, name) for name in KEPT]


def parked(**parameters: Any) -> Device:
    device = Device(**parameters)
    device.feed(*rest(0, 600, 30, 0))
    return device


@pytest.mark.parametrize(
    ("parameters", "fields", "flags"),
    [
        ({"filter_accuracy_m": 100.0}, {"accuracy_m": 101.0}, Flag.FILTERED | Flag.INACCURATE),
        ({"filter_static": True}, {"speed_kmh": 0.0}, Flag.FILTERED | Flag.STATIC),
        ({}, {"latitude": 0.0, "longitude": 0.0}, Flag.ZERO),
        ({}, {"valid": False}, Flag(0)),
    ],
)
def test_what_is_set_aside_is_flagged_and_moves_nothing(
    parameters: dict[str, Any], fields: dict[str, Any], flags: Flag
) -> None:
    device = parked(**parameters)
    assert not moved_by(device, report(630, 500, **fields))
    assert Flag(device.rows[-1].flags) == flags


@pytest.mark.parametrize(
    ("parameters", "fields"),
    [
        ({}, {"accuracy_m": 5000.0}),
        ({"filter_accuracy_m": 100.0}, {"accuracy_m": 99.0}),
        ({"filter_accuracy_m": 100.0}, {}),
        ({}, {"speed_kmh": 0.0}),
        ({"filter_static": True}, {"speed_kmh": 0.5}),
        ({"filter_invalid": False}, {"valid": False}),
    ],
)
def test_what_passes_moves_the_place(parameters: dict[str, Any], fields: dict[str, Any]) -> None:
    device = parked(**parameters)
    assert moved_by(device, report(630, 50, **fields))
    assert not device.rows[-1].flags & Flag.FILTERED


def test_a_boat_off_ghana() -> None:
    device = Device(filter_zero=False)
    device.feed(report(0, 0, latitude=0.0, longitude=0.0))
    assert device.state.fix_time_ms == T0
    assert device.rows[-1].flags == Flag.ZERO


def test_a_jump_and_back_leaves_no_trace() -> None:
    device = parked()
    assert not moved_by(device, report(630, 80_000))
    assert device.rows[-1].flags == Flag.FILTERED | Flag.JUMP
    device.feed(*rest(660, 900, 30, 0))
    assert device.events == []
    assert device.state.jump_ms == ABSENT_I8
    assert device.state.trip_distance_m == 0


def test_a_jump_in_a_trip_adds_no_distance() -> None:
    device = Device()
    device.feed(*drive(0, 300, 10, 0, 36), report(310, 500_000, speed_kmh=36), *drive(320, 600, 10, 3200, 36))
    device.feed(*rest(610, 900, 30, 6000))
    (stopped,) = [e for e in device.events if e.kind == "device_stopped"]
    assert stopped.attributes["distance_m"] == pytest.approx(6000, abs=50)


def test_when_the_next_fix_agrees_it_was_the_fix_before_that_was_wrong() -> None:
    device = Device()
    device.feed(report(0, 900_000, speed_kmh=0.0))  # where it was switched off last, on another continent
    device.feed(*rest(30, 600, 30, 0))
    assert device.rows[1].flags == Flag.FILTERED | Flag.JUMP
    assert all(not row.flags for row in device.rows[2:])
    assert device.state.latitude_e7 == 500_000_000
    assert device.events == []


def test_jumps_that_do_not_agree_stay_set_aside() -> None:
    device = parked()
    for number in range(6):
        assert not moved_by(device, report(630 + 30 * number, 100_000 * (number + 1) * (-1) ** number))


def test_short_or_switched_off_is_no_jump() -> None:
    device = parked()
    assert moved_by(device, report(601, 150, speed_kmh=0.0))  # 150 m in a second: the noise of two fixes
    device = parked(filter_speed_kmh=None)
    assert moved_by(device, report(630, 80_000))


def test_how_far_ahead_a_clock_may_be() -> None:
    ahead = report(1000, 0, arrives=0)
    for parameters, flags in (({}, Flag.TIME_FUTURE), ({"filter_future_s": 3600.0}, Flag(0))):
        device = Device(**parameters)
        device.feed(ahead)
        assert device.rows[0].flags == flags
        assert device.rows[0].time_ms == (T0 if flags else T0 + 1_000_000)
        device.feed(ahead)
        assert device.rows[1].flags == flags | Flag.DUPLICATE
