"""What every simulated protocol shares: frames with the reply they must get, ids, coordinates, clock strings.

The encoders are a second, independent reading of the protocol documents: they import nothing of the gateway.
"""

from __future__ import annotations

import hashlib
import re
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple

from deploy.simulator.routes import VehicleState

Expected = bytes | re.Pattern[bytes]
"""The one right reply. Where a reply carries the clock of the server it is a pattern whose group 1 is that clock as
yyyyMMddHHmmss, UTC; it must match the whole reply, and the clock must be within 2 minutes of ours."""

MINUTE_UNITS = 10_000
DEGREE_UNITS = 60 * MINUTE_UNITS
"""Both protocols send ten-thousandths of a minute (0.19 m)."""


@dataclass(slots=True)
class Frame:
    """One frame of a device and all that is known about it.

    expect: the reply it must get, None when it must get none. login: nothing else may be sent before its reply.
    position: it reports a place; then latitude, longitude (degrees) and speed_kmh are what the bytes say, rounding
    included, and time_ms (UTC) is the time in them. time_ms is None when the frame carries no clock. missing: its reply
    has been counted as missing.
    """

    data: bytes
    kind: str
    expect: Expected | None
    login: bool = False
    position: bool = False
    time_ms: int | None = None
    latitude: float = 0.0
    longitude: float = 0.0
    speed_kmh: float = 0.0
    missing: bool = False


class Encoder(ABC):
    """The device side of one protocol, for one device.

    A subclass is one module here and one line in the registry. At every point of its mix at least half of the frames
    are answered ones with a position. device_id: the name under which the server knows the device.
    """

    __slots__ = ("count", "device_id", "index")

    NAME: ClassVar[str]
    HAS_LOGIN: ClassVar[bool]

    def __init__(self, seed: int, index: int) -> None:
        self.index = index
        self.count = 0
        self.device_id = ""

    @abstractmethod
    def next_frame(self, state: VehicleState, second: int, nth: int) -> Frame:
        """The next frame of the mix.

        second: seconds since the epoch. nth: number of the frame among those of this device with the same second; it
        moves the place by decimetres, so that no two frames of a device are equal (equal ones would be one position).
        """

    def login(self, state: VehicleState, second: int, nth: int) -> Frame:
        """A login outside of the mix, with which a device begins a later connection; only when HAS_LOGIN."""
        raise NotImplementedError(f"{self.NAME} has no login")

    @abstractmethod
    def reply_end(self, received: bytes) -> int:
        """Length of the first reply in what was received, 0 while it is not complete."""


class Place(NamedTuple):
    """A place in units of a ten-thousandth minute, split as the texts need it."""

    latitude: float
    longitude: float
    latitude_text: str  # ddmmmmmm
    longitude_text: str  # dddmmmmmm
    north: bool
    east: bool


def _spiral(count: int) -> tuple[tuple[int, int], ...]:
    """Offsets (north, east) in units, each once, the nearest first."""
    reach = range(-20, 21)
    return tuple(sorted(((y, x) for y in reach for x in reach), key=lambda o: (o[0] ** 2 + o[1] ** 2, o)))[:count]


SCATTER = _spiral(1600)
"""A receiver that stands still does not report one and the same place: frame n of a second is off by SCATTER[n]."""


def place(state: VehicleState, nth: int) -> Place:
    """Round the place of a vehicle to what can be sent, moved by SCATTER[nth]."""
    north_units, east_units = SCATTER[nth % len(SCATTER)]
    latitude = round(state.latitude * DEGREE_UNITS) + north_units
    longitude = round(state.longitude * DEGREE_UNITS) + east_units
    degrees, minutes = divmod(abs(latitude), DEGREE_UNITS)
    degrees_lon, minutes_lon = divmod(abs(longitude), DEGREE_UNITS)
    return Place(
        latitude / DEGREE_UNITS,
        longitude / DEGREE_UNITS,
        f"{degrees:02d}{minutes:06d}",
        f"{degrees_lon:03d}{minutes_lon:06d}",
        latitude >= 0,
        longitude >= 0,
    )


@lru_cache(maxsize=8192)
def clock(second: int) -> tuple[str, str, str]:
    """Seconds since the epoch -> ("YYMMDD", "DDMMYY", "HHMMSS"), UTC."""
    utc = time.gmtime(second)
    return time.strftime("%y%m%d", utc), time.strftime("%d%m%y", utc), time.strftime("%H%M%S", utc)


def luhn_digit(digits: str) -> int:
    """The check digit that would make the number pass Luhn's test."""
    total = 0
    for place_from_right, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place_from_right % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return -total % 10


def device_number(name: str, seed: int, index: int, prefix: str, length: int) -> str:
    """An id of `length` digits: the prefix, digits that differ for every index of a seed, and a check digit that is
    wrong on purpose, so no id can be that of a real device."""
    free = length - len(prefix) - 1
    start = int.from_bytes(hashlib.sha256(f"{name} {seed}".encode()).digest()[:8], "big")
    body = f"{prefix}{(start + index * 7_368_787) % 10**free:0{free}d}"  # the factor has no divisor in common with 10
    return f"{body}{(luhn_digit(body) + 1 + index % 9) % 10}"
