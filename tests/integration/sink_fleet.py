"""Made-up but realistic positions, to measure with: drives and stops, noisy sensors, arrival seconds after the fix."""

from __future__ import annotations

import math
import random
from dataclasses import fields

from schemas.records import PositionBatch, Positions, Source

ABSENT = (1 << 63) - 1
START_MS = 1_760_000_000_000


def device_track(number: int, count: int, start_ms: int = START_MS) -> Positions:
    """`count` reports of one device: 10 s apart on the road, 120 s apart parked, 3 % buffered for some minutes."""
    draw = random.Random(number)
    track = Positions()
    append = [getattr(track, f.name).append for f in fields(Positions)]
    time_ms, latitude, longitude, course = start_ms + number * 1000, 48.0 + draw.random(), 2.0 + draw.random(), 90.0
    speed, altitude, odometer, battery, fuel, driving = 0.0, 120.0, 50_000_000.0 + number * 1e6, 987, 800, 0
    device_id = f"8640350{number:08d}"
    for _ in range(count):
        if driving == 0 and draw.random() < 0.03:
            driving = draw.randrange(60, 400)
        if driving:
            driving -= 1
            step_s = 10
            speed = min(130.0, max(0.0, speed + draw.gauss(0 if driving > 5 else -20, 8)))
            course = (course + draw.gauss(0, 10)) % 360
            move_m = speed / 3.6 * step_s
            latitude += move_m * math.cos(math.radians(course)) / 111_320
            longitude += move_m * math.sin(math.radians(course)) / 74_000
            altitude = max(0.0, altitude + draw.gauss(0, 2))
            odometer += move_m
            fuel -= draw.random() < 0.01
        else:
            step_s, speed = 120, 0.0
        time_ms += step_s * 1000
        delay_ms = draw.randrange(600, 3000) if draw.random() > 0.03 else draw.randrange(60_000, 900_000)
        moving = 1 if driving else 0
        row = (
            device_id, "teltonika", time_ms, draw.getrandbits(32), 0, 0, time_ms + delay_ms, 1,
            round(latitude * 1e7), round(longitude * 1e7), round(altitude), round(speed * 10), round(course * 10),
            draw.randrange(9, 15), draw.randrange(6, 14), 65535, moving, round(odometer), battery,
            4100 - draw.randrange(4),
            (14_100 if moving else 12_600) + draw.randrange(-60, 60), draw.randrange(2, 5), max(0, fuel), 0, moving,
            "", "", "", f'{{"io_21":{draw.randrange(2, 5)},"io_200":0,"pdop":{draw.randrange(9, 16) / 10}}}',
        )  # fmt: skip
        for add, value in zip(append, row, strict=True):
            add(value)
    return track


def merged(tracks: list[Positions]) -> Positions:
    """One table of all tracks, ordered by time, as a fleet reports."""
    joined = {f.name: [v for track in tracks for v in getattr(track, f.name)] for f in fields(Positions)}
    order = sorted(range(len(joined["time_ms"])), key=joined["time_ms"].__getitem__)
    return Positions(**{name: [column[i] for i in order] for name, column in joined.items()})


def batch(positions: Positions, offset: int = 0, version: int = 0) -> PositionBatch:
    """The record that carries positions."""
    return PositionBatch(Source(partition=0, first=offset, last=offset, version=version), positions=positions)
