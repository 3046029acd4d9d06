"""What derivation costs: step() with geofences near and far, and the geofence index by size."""

from __future__ import annotations

import json
import time
from math import cos, pi, sin
from random import Random
from typing import Any

import psutil

from processors.derive.entries import Report
from processors.derive.fences import Fence, FenceIndex, fence_from
from processors.derive.rules import Parameters, Rules
from processors.derive.state import DeviceState
from processors.derive.step import step
from schemas.records import Geofence, Position
from tests.bench.micro import best_us

T0 = 1_768_471_872_000
POSITIONS = 3000
COUNTS = (10, 1_000, 100_000)


def fences(count: int, spread_degrees: float) -> list[Fence]:
    """Twelve-cornered geofences of 220 m around 50 N 10 E."""
    noise, found = Random(1), []
    for number in range(count):
        x, y = 10 + noise.uniform(-spread_degrees, spread_degrees), 50 + noise.uniform(-spread_degrees, spread_degrees)
        ring = [[x + 0.002 * cos(k * pi / 6), y + 0.002 * sin(k * pi / 6)] for k in range(12)]
        geometry = json.dumps({"type": "Polygon", "coordinates": [[*ring, ring[0]]]})
        found.append(fence_from(Geofence(f"f{number}", 0, geometry), 1))
    return found


def track(latitude: float, longitude: float) -> list[Report]:
    """Drives and rests in turn, one fix each 10 s, around a place."""
    noise, found, x = Random(2), [], 0.0
    for number in range(POSITIONS):
        speed = 50.0 if number // 60 % 2 == 0 else 0.0
        x += speed / 3.6 * 10
        where = 0.05 * sin(x / 111_195 / 0.05)  # to and fro
        position = Position(
            fix_time_ms=T0 + number * 10_000,
            device_time_ms=T0 + number * 10_000,
            valid=True,
            latitude=latitude + where,
            longitude=longitude + noise.gauss(0, 3e-5),
            speed_kmh=max(0.0, speed + noise.gauss(0, 1)),
            course_deg=0.0,
            satellites=9,
            ignition=speed > 0,
            power_v=12.6,
        )
        found.append(Report(position, "bench", "gt06", T0 + number * 10_000 + 400, number, 1))
    return found


def feed(reports: list[Report], rules: Rules) -> int:
    state, events = DeviceState.new("bench"), 0
    for report in reports:
        state, found, _ = step(state, report, rules)
        events += len(found)
    return events


def run() -> dict[str, Any]:
    """Measure and print."""
    print(
        f"\nderive: microseconds per position, {POSITIONS} positions; aims: 15 with 100 fences and none near, 30 among them"
    )
    limits = Parameters(speed_limit_kmh=90.0, geofence_dwell_s=600.0)
    near = FenceIndex(fences(100, 0.03), 1)
    there, elsewhere = track(50.0, 10.0), track(10.0, 10.0)
    found: dict[str, Any] = {
        "step_no_geofence": best_us(lambda: feed(elsewhere, Rules(1, limits)), POSITIONS),
        "step_100_none_near": best_us(lambda: feed(elsewhere, Rules(1, limits, fences=near)), POSITIONS),
        "step_100_among_them": best_us(lambda: feed(there, Rules(1, limits, fences=near)), POSITIONS),
        "events_among_them": feed(there, Rules(1, limits, fences=near)),
    }
    print("  " + ", ".join(f"{name} {value}" for name, value in found.items()))
    found["index"] = {}
    for count in COUNTS:
        for name, spread in (("dense", 0.25), ("spread", 5.0)):
            row = found["index"][f"{count} {name}"] = index(count, spread)
            print(f"  {count:>7} geofences, {name:<7}" + "".join(f"  {key} {value}" for key, value in row.items()))
    return found


def index(count: int, spread_degrees: float) -> dict[str, float]:
    """Cost of the index: dense: all within 0.5 x 0.5 degrees, a city; far: positions elsewhere."""
    before = psutil.Process().memory_info().rss
    began = time.process_time()
    made = fences(count, spread_degrees)
    parsed_s = time.process_time() - began
    began = time.process_time()
    found = FenceIndex(made, 1)
    found.containing(0, 0)
    built_s = time.process_time() - began
    noise, span_e7 = Random(3), round(spread_degrees * 1e7)
    places = [
        (500_000_000 + noise.randint(-span_e7, span_e7), 100_000_000 + noise.randint(-span_e7, span_e7))
        for _ in range(POSITIONS)
    ]
    far = [(latitude - 200_000_000, longitude) for latitude, longitude in places]
    return {
        "near_us": best_us(lambda: [found.containing(*place) for place in places], POSITIONS),
        "inside": round(sum(len(found.containing(*place)) for place in places) / POSITIONS, 2),
        "far_us": best_us(lambda: [found.containing(*place) for place in far], POSITIONS),
        "leg_us": best_us(lambda: [found.crossed(a, b, a + 3000, b + 3000) for a, b in places], POSITIONS),
        "parse_s": round(parsed_s, 2),
        "build_s": round(built_s, 2),
        "mib": round((psutil.Process().memory_info().rss - before) / 2**20, 1),
    }
