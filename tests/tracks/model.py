"""Made tracks with a known truth. What the numbers stand for, and why they are plausible:

- Drives: cruising speeds of 30-110 km/h, changed each 20-120 s with 1-2 m/s2, corners each 15-60 s, halts of 20-90 s at
  lights (a fifth of the changes): urban and rural driving cycles have such figures.
- Stops of 4-40 min, nights of 6-9 h.
- Receivers: white noise of 3-10 m while driving (consumer receivers under open sky), a slow wander of 5-20 m with a time
  constant of 5 min while parked (multipath moves with the satellites), and in two of a hundred parked fixes an outlier
  of 40-120 m. Speeds err by 1 km/h; parked ones read 0-3 km/h. Some protocols tell knots, some no speed at all.
- Reports: at a fixed interval, or seldom while parked; a few are lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import cos, exp, hypot, pi, radians, sin, sqrt
from random import Random

from processors.derive.entries import Report
from schemas.records import Position

T0 = 1_767_225_600_000
ORIGIN = (48.2, 11.5)
METRES_PER_DEGREE = 111_195.08
DEVICE = "356938035643809"


@dataclass(slots=True)
class Truth:
    """Where a device was each second: metres east and north, km/h; stops as (first second, last second)."""

    places: list[tuple[float, float, float]] = field(default_factory=list)
    stops: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Receiver:
    """How a device measures and reports.

    parked_s: interval while parked, 0: as driving. wander_s: time constant of the wander; very short: white noise. speed:
    told, knots or none.
    """

    name: str
    interval_s: int
    parked_s: int = 0
    noise_m: float = 6.0
    wander_m: float = 12.0
    wander_s: float = 300.0
    outliers: float = 0.02
    speed: str = "told"
    lost: float = 0.01


def drive_and_rest(seed: int, hours: float) -> Truth:
    """Drives and stops in turn, beginning and ending with a stop."""
    noise, truth = Random(seed), Truth()
    x = y = 0.0
    heading = noise.uniform(0, 2 * pi)
    while len(truth.places) < hours * 3600:
        night = len(truth.stops) % 9 == 8
        lasts = noise.randint(6 * 3600, 9 * 3600) if night else noise.randint(240, 2400)
        begin = len(truth.places)
        truth.places += [(x, y, 0.0)] * lasts
        truth.stops.append((begin, begin + lasts - 1))
        x, y, heading = _drive(truth, noise, x, y, heading, noise.randint(300, 2400))
    begin = len(truth.places)
    truth.places += [(x, y, 0.0)] * 1800
    truth.stops.append((begin, begin + 1799))
    return truth


def _drive(truth: Truth, noise: Random, x: float, y: float, heading: float, seconds: int) -> tuple[float, float, float]:
    """One drive: it speeds up and down to what it wants, turns, and halts at lights; ends with a full stop."""
    speed = cruise = 0.0
    change = turn = halt_until = 0
    for second in range(seconds + 60):
        ending = second >= seconds
        if second >= change:
            change = second + noise.randint(20, 120)
            cruise = noise.uniform(30, 110) / 3.6
            if 60 < second < seconds - 200 and second >= halt_until + 60 and noise.random() < 0.2:
                halt_until = second + noise.randint(20, 90)
        wanted = 0.0 if ending or second < halt_until else cruise
        if second >= turn:
            turn = second + noise.randint(15, 60)
            heading += noise.choice((0.0, 0.3, -0.3, pi / 2, -pi / 2))
        step = noise.uniform(1.0, 2.0)
        speed = min(wanted, speed + step) if wanted > speed else max(wanted, speed - 2 * step)
        if ending and speed == 0:
            break
        x += speed * sin(heading)
        y += speed * cos(heading)
        truth.places.append((x, y, speed * 3.6))
    return x, y, heading


def reports(truth: Truth, receiver: Receiver, seed: int) -> list[Report]:
    """What a receiver reports of a truth, in order."""
    noise = Random(seed * 7919 + 1)
    stops = iter([*truth.stops, (10**9, 10**9)])
    stop = next(stops)
    found: list[Report] = []
    east = north = 0.0
    next_s, before_s = noise.randint(0, receiver.interval_s), 0
    for second, (x, y, speed) in enumerate(truth.places):
        if second < next_s:
            continue
        while second > stop[1]:
            stop = next(stops)
        parked = stop[0] <= second <= stop[1]
        keep = exp(-(second - before_s) / receiver.wander_s)
        spread = receiver.wander_m * sqrt(1 - keep * keep)
        east, north = east * keep + noise.gauss(0, spread), north * keep + noise.gauss(0, spread)
        before_s = second
        if parked:
            off_x, off_y = east, north
            if noise.random() < receiver.outliers:
                far, way = noise.uniform(40, 120), noise.uniform(0, 2 * pi)
                off_x, off_y = off_x + far * sin(way), off_y + far * cos(way)
            told = max(0.0, noise.gauss(0.5, 1.0)) if noise.random() < 0.7 else 0.0
        else:
            off_x, off_y = noise.gauss(0, receiver.noise_m), noise.gauss(0, receiver.noise_m)
            told = max(0.0, speed + noise.gauss(0, 1.0))
        next_s = second + (receiver.parked_s or receiver.interval_s if parked else receiver.interval_s)
        if receiver.parked_s and parked:
            next_s = min(next_s, max(second + receiver.interval_s, stop[1] + 1))  # the ignition wakes it
        if noise.random() < receiver.lost:
            continue
        found.append(_report(second, x + off_x, y + off_y, told, receiver.speed, len(found)))
    return found


def _report(second: int, x: float, y: float, speed: float, tells: str, key: int) -> Report:
    time_ms = T0 + second * 1000
    position = Position(
        fix_time_ms=time_ms,
        device_time_ms=time_ms,
        valid=True,
        latitude=ORIGIN[0] + y / METRES_PER_DEGREE,
        longitude=ORIGIN[1] + x / METRES_PER_DEGREE / cos(radians(ORIGIN[0])),
    )
    if tells == "told":
        position.speed_kmh = round(speed, 1)
    elif tells == "knots":
        position.speed_kmh = round(speed / 1.852) * 1.852
    return Report(position, DEVICE, "model", time_ms, key, 1)


def driven_m(truth: Truth, first: int, last: int) -> float:
    """Metres driven between two seconds."""
    places = truth.places[first : last + 1]
    return sum(hypot(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(places))
