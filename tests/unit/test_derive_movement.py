"""Trips and stops, each against figures worked out by hand."""

from __future__ import annotations

import random
from math import pi

import pytest

from processors.derive.geometry import distance_m
from processors.derive.state import MOTION_UNKNOWN, MOVING, STOPPED
from tests.unit.derive_helpers import METRES_PER_DEGREE, T0, Device, drive, report, rest

QUARTER_M = 6_371_008.8 * pi / 2


@pytest.mark.parametrize(
    ("a", "b", "expected_m"),
    [
        ((0, 0), (0, 0), 0.0),
        ((0, 0), (900_000_000, 0), QUARTER_M),
        ((0, 0), (0, 900_000_000), QUARTER_M),
        ((0, 1_799_999_000), (0, -1_799_999_000), 22.239),  # 0.0002 degrees over the antimeridian
        ((900_000_000, 0), (900_000_000, 1_200_000_000), 0.0),  # the pole has one place
        ((0, -1_800_000_000), (0, 0), 2 * QUARTER_M),
    ],
)
def test_distance(a: tuple[int, int], b: tuple[int, int], expected_m: float) -> None:
    assert distance_m(*a, *b) == pytest.approx(expected_m, abs=0.001)


def test_a_trip_is_told_with_its_figures() -> None:
    device = Device()
    device.feed(*rest(0, 300, 60, 0))
    assert device.state.moving == STOPPED
    # leaves after 300 s at 36 km/h = 10 m/s; beyond 200 m, on the fix of 320 s, the trip is sure
    driven = drive(310, 900, 10, 101, 36)
    assert device.feed(driven[0]) == []
    started = device.feed(*driven[1:])
    assert device.told(started) == [("device_moving", 300)]
    assert (started[0].latitude, started[0].longitude) == (50.0, 10.0)
    assert started[0].received_ms == T0 + 320_000
    assert device.state.moving == MOVING
    # halts at 6,001 m, on the fix of 910 s
    assert device.feed(*rest(910, 1080, 10, 6001)) == []
    (stopped,) = device.feed(report(1090, 6001, speed_kmh=0))
    assert (stopped.kind, stopped.time_ms, stopped.received_ms) == ("device_stopped", T0 + 910_000, T0 + 1_090_000)
    assert stopped.latitude == pytest.approx(50 + 6001 / METRES_PER_DEGREE, abs=1e-6)
    assert stopped.attributes == {
        "distance_m": pytest.approx(6001, abs=0.5),
        "duration_s": 610.0,
        "speed_max_kmh": 36.0,
        "speed_average_kmh": pytest.approx(6001 / 610 * 3.6, abs=0.1),
    }
    assert device.state.moving == STOPPED
    assert device.state.distance_m == pytest.approx(6001, abs=0.5)


def test_without_speed_the_legs_tell() -> None:
    device = Device()
    device.feed(*rest(0, 600, 60, 0, speed_kmh=None))
    # 800 m a minute = 48 km/h; the second fix outside makes it sure, and it left with the fix of 600 s
    assert device.feed(report(660, 800)) == []
    assert device.told(device.feed(report(720, 1600))) == [("device_moving", 600)]
    device.feed(report(780, 2400))
    # rests from the fix of 780 s on
    assert device.feed(report(840, 2410), report(900, 2405)) == []
    (stopped,) = device.feed(report(960, 2400))
    assert stopped.time_ms == T0 + 780_000
    assert stopped.attributes["duration_s"] == 180.0
    assert stopped.attributes["distance_m"] == pytest.approx(2400, abs=1)
    assert stopped.attributes["speed_max_kmh"] == pytest.approx(48, abs=0.1)


def test_the_first_fixes_are_a_silent_baseline() -> None:
    device = Device()
    assert device.feed(report(0, 0, speed_kmh=0)) == []
    assert device.state.moving == MOTION_UNKNOWN
    assert device.feed(report(179, 10, speed_kmh=0)) == []
    assert device.state.moving == MOTION_UNKNOWN
    assert device.feed(report(180, 10, speed_kmh=0)) == []
    assert device.state.moving == STOPPED


def test_a_first_fix_that_was_wrong_is_no_trip() -> None:
    device = Device()
    assert device.feed(report(0, 3000, speed_kmh=0), *rest(10, 600, 10, 0)) == []
    assert device.state.moving == STOPPED


def test_traffic_lights_and_a_gate_are_no_stop() -> None:
    device = Device()
    device.feed(*rest(0, 300, 60, 0), *drive(310, 500, 10, 100, 36))
    lights = [*rest(510, 660, 10, 2100), *drive(670, 700, 10, 2200, 36)]
    assert device.feed(*lights) == []
    # waits at a gate, then 60 m to its place: the stop began at the place
    gate = [*rest(710, 760, 10, 2600), report(770, 2645, speed_kmh=16), *rest(780, 980, 10, 2660)]
    assert device.told(device.feed(*gate)) == [("device_stopped", 780)]


def test_a_sleeping_device_stops_where_it_fell_asleep() -> None:
    device = Device()
    device.feed(*rest(0, 300, 60, 0), *drive(310, 600, 10, 100, 36), report(610, 3000, speed_kmh=0))
    # the next fix is half an hour later, driving off from the same place
    woken = device.feed(report(2410, 3030, speed_kmh=20), report(2420, 3090, speed_kmh=25))
    assert device.told(woken) == [("device_stopped", 610)]
    assert device.told(device.feed(report(2430, 3210, speed_kmh=40))) == [("device_moving", 2410)]


def test_asleep_right_after_a_fix_that_drove() -> None:
    device = Device()
    device.feed(*rest(0, 300, 60, 0), *drive(310, 600, 10, 100, 36))
    assert device.told(device.feed(report(2400, 3040, speed_kmh=0))) == [("device_stopped", 600)]


def test_a_stop_that_was_none_costs_no_distance() -> None:
    device = Device()
    device.feed(*rest(0, 600, 60, 0, speed_kmh=None), report(660, 800), report(720, 1600))
    # 60 m in a minute looks like a stop from 720 s on, until it drives on
    device.feed(report(780, 1660), report(840, 2460), report(900, 3260))
    (stopped,) = device.feed(*rest(960, 1140, 60, 3260, speed_kmh=None))
    assert stopped.time_ms == T0 + 900_000
    assert stopped.attributes["distance_m"] == pytest.approx(3260, abs=1)


def test_a_gap_ends_the_trip_before_it() -> None:
    device = Device()
    device.feed(*rest(0, 300, 60, 0), *drive(310, 600, 10, 100, 36))
    after = device.feed(report(600 + 3601, 50_000, speed_kmh=50))
    assert device.told(after) == [("device_stopped", 600), ("device_moving", 4201)]
    assert after[0].attributes["distance_m"] == pytest.approx(3000, abs=1)
    assert after[0].attributes["duration_s"] == 300.0


def test_no_gap_at_its_limit() -> None:
    device = Device()
    device.feed(*rest(0, 300, 60, 0), *drive(310, 600, 10, 100, 36))
    assert device.feed(report(600 + 3600, 50_000, speed_kmh=50)) == []


@pytest.mark.parametrize("told", [True, False], ids=["speed told", "speed not told"])
@pytest.mark.parametrize("speed_kmh", [0.0, 70.0])
def test_one_jump_of_a_parked_receiver_is_no_trip(told: bool, speed_kmh: float) -> None:
    device = Device()
    fields = {} if told else {"speed_kmh": None}
    device.feed(*rest(0, 600, 10, 0, **fields))
    jump = report(610, 5000, speed_kmh=speed_kmh if told else None)
    assert device.feed(jump, *rest(620, 1200, 10, 0, **fields)) == []
    assert device.state.moving == STOPPED
    assert device.state.candidate_ms == Device().state.candidate_ms


def test_a_short_stay_outside_is_no_trip() -> None:
    device = Device()
    device.feed(*rest(0, 600, 10, 0), *rest(610, 770, 10, 300), *rest(780, 1200, 10, 0))
    assert device.events == []
    assert device.told(device.feed(*rest(1210, 1380, 10, 300))) == [("device_moving", 1200)]


def test_a_departure_that_fell_asleep_is_forgotten() -> None:
    device = Device()
    device.feed(*rest(0, 600, 60, 0), report(610, 60, speed_kmh=20))
    assert device.told(device.feed(report(5000, 5000, speed_kmh=60))) == [("device_moving", 5000)]


def test_a_carried_device_is_told_once_it_stayed_away() -> None:
    device = Device()
    device.feed(*rest(0, 600, 60, 0))
    # 1 m/s = 3.6 km/h, never "driving"
    walked = device.feed(*[report(600 + s, s, speed_kmh=3.6) for s in range(10, 1000, 10)])
    assert [e.kind for e in walked] == ["device_moving"]
    assert 600 <= (walked[0].time_ms - T0) / 1000 <= 810


def test_moved_while_it_slept() -> None:
    device = Device()
    device.feed(*rest(0, 600, 60, 0))
    assert device.feed(report(4000, 5000, speed_kmh=0)) == []
    ferried = device.feed(report(4060, 5000, speed_kmh=0), report(4240, 5000, speed_kmh=0))
    assert device.told(ferried) == [("device_moving", 600), ("device_stopped", 4000)]
    assert ferried[1].attributes["distance_m"] == pytest.approx(5000, abs=1)


@pytest.mark.parametrize("seed", range(5))
def test_a_parked_receiver_that_wanders_makes_no_event(seed: int) -> None:
    # first-order Gauss-Markov wander, sigma 25 m, correlation 2 minutes, with speeds as receivers invent them
    chance = random.Random(seed)
    device, at_m = Device(), 0.0
    keep = 1 - 10 / 120
    for second in range(0, 86_400, 10):
        at_m = at_m * keep + chance.gauss(0, 25 * (1 - keep * keep) ** 0.5)
        device.feed(report(second, at_m, speed_kmh=abs(chance.gauss(0, 1.5))))
    assert device.events == []
    assert device.state.distance_m == 0


@pytest.mark.parametrize("every_s", [10, 30, 60])
@pytest.mark.parametrize("told", [True, False], ids=["speed told", "speed not told"])
def test_stops_are_found_within_one_interval(every_s: int, told: bool) -> None:
    # ten trips of 20 minutes at 40 km/h with stops of 15 minutes, fixes with 8 m of noise; where only legs tell the
    # speed and are short, that noise looks like a walk, and costs a second interval
    within_s = every_s if told or every_s > 10 else 2 * every_s
    chance = random.Random(every_s)
    device, truth, at_m, second = Device(), [], 0.0, 0
    for _ in range(10):
        for phase_s, speed_kmh in ((900, 0.0), (1200, 40.0)):
            truth.append(second)
            for _ in range(phase_s // every_s):
                noisy_m = at_m + chance.gauss(0, 8)
                device.feed(report(second, noisy_m, speed_kmh=speed_kmh if told else None))
                at_m += speed_kmh / 3.6 * every_s
                second += every_s
    kinds = [e.kind for e in device.events]
    assert kinds == ["device_moving", *["device_stopped", "device_moving"] * 9]
    for event, expected_s in zip(device.events, truth[1:], strict=True):
        assert abs((event.time_ms - T0) / 1000 - expected_s) <= within_s


def test_the_same_fix_time_again_moves_nothing() -> None:
    device = Device()
    device.feed(*rest(0, 300, 60, 0))
    before = device.state
    assert device.feed(report(300, 900, speed_kmh=80, arrives=310)) == []
    assert device.state.latitude_e7 == before.latitude_e7
    assert device.state.reports == before.reports + 1
