"""Plausible routes: vehicles that drive, turn, wait at lights and park on a street grid. Pure and seeded.

Vehicle (seed, index) makes the same journey on every machine, however often and at which times it is looked at: it
moves in whole seconds, as a GNSS receiver with one fix a second would see it.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

METRES_PER_DEGREE = 111_320.0
BLOCK_M = 240.0
"""Length of one side of a block of the grid."""
LAST_LINE = 60
"""Streets run from -LAST_LINE to +LAST_LINE blocks around the centre, in both directions."""
ACCELERATION_MS2 = 2.2
BRAKING_MS2 = 3.0
TURN_MS = 4.5
"""Speed through a corner."""
MAX_SPEED_KMH = 130.0
PARKING_S = (190, 1500)
"""Shortest and longest parking: all longer than the 3 minutes after which a stop counts as parking."""
LIGHT_S = (4, 45)

# Latitude, longitude, degrees that the grid is turned clockwise; all four quarters of the globe are there.
_CITIES = (
    (52.5200, 13.4050, 7.0),
    (51.5072, -0.1276, 18.0),
    (-33.8688, 151.2093, 341.0),
    (-23.5505, -46.6333, 33.0),
    (40.7128, -74.0060, 29.0),
    (1.3521, 103.8198, 12.0),
    (30.0444, 31.2357, 352.0),
    (-1.2921, 36.8219, 21.0),
)
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # blocks east and north for heading 0 (grid north), 1, 2, 3 (clockwise)


class VehicleState(NamedTuple):
    """Where a vehicle is at one second: WGS-84 degrees, km/h, degrees clockwise from north (0 to below 360), metres."""

    latitude: float
    longitude: float
    speed_kmh: float
    course_deg: float
    ignition: bool
    odometer_m: float


def _limit_kmh(line: int) -> float:
    """The speed limit of a street by the number of its grid line: motorways, arterial roads, the rest."""
    if line % 20 == 0:
        return MAX_SPEED_KMH
    if line % 5 == 0:
        return 80.0
    return 50.0 if line % 2 else 30.0


class Vehicle:
    """One vehicle; time runs forward only, in seconds from the start of its journey."""

    __slots__ = (
        "_city",
        "_east",
        "_end_ms",
        "_heading",
        "_left_m",
        "_limit_ms",
        "_next",
        "_north",
        "_odometer_m",
        "_parked",
        "_random",
        "_second",
        "_speed_ms",
        "_state",
        "_time_s",
        "_wait_s",
    )

    def __init__(self, seed: int, index: int) -> None:
        self._random = rng = random.Random(f"vehicle {seed} {index}")
        self._city = rng.choice(_CITIES)
        self._east = rng.randint(-LAST_LINE // 2, LAST_LINE // 2)
        self._north = rng.randint(-LAST_LINE // 2, LAST_LINE // 2)
        self._heading = rng.randrange(4)
        self._odometer_m = float(rng.randrange(1_000_000, 200_000_000))
        self._speed_ms = 0.0
        self._second = 0
        self._time_s = 0.0
        self._parked = rng.random() < 0.15
        self._wait_s = rng.randint(*PARKING_S) if self._parked else rng.randint(0, 5)
        self._enter_street()
        self._left_m = rng.uniform(BLOCK_M / 2, BLOCK_M)
        self._state: VehicleState | None = None

    def at(self, time_s: float) -> VehicleState:
        """The state at a time since the start of the journey; a time in the past gives the latest state."""
        self._time_s = max(self._time_s, time_s)
        while self._second < int(time_s):
            self._second += 1
            self._step()
        if self._state is None:
            self._state = self._look()
        return self._state

    def advance(self, seconds: float) -> VehicleState:
        """Let time pass; several short advances give the same journey as one long."""
        return self.at(self._time_s + seconds)

    def _look(self) -> VehicleState:
        latitude, longitude, turned_deg = self._city
        step_east, step_north = _STEPS[self._heading]
        driven = 1 - self._left_m / BLOCK_M
        x_m = (self._east + step_east * driven) * BLOCK_M
        y_m = (self._north + step_north * driven) * BLOCK_M
        turned = math.radians(turned_deg)
        east_m = x_m * math.cos(turned) + y_m * math.sin(turned)
        north_m = y_m * math.cos(turned) - x_m * math.sin(turned)
        return VehicleState(
            latitude + north_m / METRES_PER_DEGREE,
            longitude + east_m / (METRES_PER_DEGREE * math.cos(math.radians(latitude))),
            self._speed_ms * 3.6,
            (self._heading * 90 + turned_deg) % 360,
            not self._parked,
            self._odometer_m,
        )

    def _step(self) -> None:
        """One second of the journey."""
        if self._wait_s:
            self._wait_s -= 1
            if self._wait_s == 0 and self._parked:
                self._parked = False
                self._state = None
            return
        self._state = None
        speed = self._speed_ms
        brakes_at_m = (speed * speed - self._end_ms * self._end_ms) / (2 * BRAKING_MS2) + speed
        if self._left_m <= brakes_at_m or speed > self._limit_ms:
            speed = max(self._end_ms or 1.0, speed - BRAKING_MS2)
        else:
            speed = min(self._limit_ms, speed + ACCELERATION_MS2)
        self._speed_ms = speed
        self._odometer_m += min(speed, self._left_m) if self._end_ms == 0 else speed
        self._left_m -= speed
        if self._left_m <= 0:
            self._cross()

    def _cross(self) -> None:
        """Arrive at the crossing ahead: what was decided when the street was entered happens now."""
        over_m = -self._left_m
        step_east, step_north = _STEPS[self._heading]
        self._east += step_east
        self._north += step_north
        if self._next == "park" or self._next == "light":
            self._parked = self._next == "park"
            self._wait_s = self._random.randint(*(PARKING_S if self._parked else LIGHT_S))
            self._speed_ms = over_m = 0.0
        elif self._next == "turn":
            self._heading = self._turned()
        self._enter_street()
        self._left_m = BLOCK_M - over_m

    def _turned(self) -> int:
        """Left or right, but towards the centre where the town ends."""
        sides = [(self._heading + 1) % 4, (self._heading + 3) % 4]
        inward = [h for h in sides if abs(self._east + _STEPS[h][0]) <= LAST_LINE >= abs(self._north + _STEPS[h][1])]
        return self._random.choice(inward)

    def _enter_street(self) -> None:
        """Choose how fast to drive to the next crossing and what to do there."""
        rng = self._random
        step_east, step_north = _STEPS[self._heading]
        limit = _limit_kmh(self._east if step_east == 0 else self._north)
        self._limit_ms = min(MAX_SPEED_KMH, limit * rng.uniform(0.75, 1.15)) / 3.6
        motorway = limit == MAX_SPEED_KMH
        chance = rng.random()
        at_edge = abs(self._east + 2 * step_east) > LAST_LINE or abs(self._north + 2 * step_north) > LAST_LINE
        if at_edge or chance < (0.03 if motorway else 0.25):
            self._next, self._end_ms = "turn", TURN_MS
        elif chance > (0.995 if motorway else 0.98):
            self._next, self._end_ms = "park", 0.0
        elif chance > (0.995 if motorway else 0.85):
            self._next, self._end_ms = "light", 0.0
        else:
            self._next, self._end_ms = "straight", self._limit_ms
