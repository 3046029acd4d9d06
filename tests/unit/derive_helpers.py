"""Reports for the tests of derivation: a device on a meridian, placed by metres north of 50 N 10 E."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

from processors.derive.entries import Report
from processors.derive.rules import Parameters, Rules
from processors.derive.state import DeviceState
from processors.derive.step import Derived, step
from schemas.records import Event, Position

T0 = 1_767_225_600_000
"""2026-01-01T00:00:00Z"""
DEVICE = "356938035643809"
METRES_PER_DEGREE = 111_195.08
HOUR_MS = 3_600_000
_keys = count(1)


def position(second: float | None, north_m: float | None = 0.0, **fields: Any) -> Position:
    """A position of T0 + second, with a valid fix north_m from the origin, or without a fix when north_m is None."""
    time_ms = None if second is None else T0 + round(second * 1000)
    if north_m is None:
        return Position(device_time_ms=fields.pop("device_time_ms", time_ms), **fields)
    known: dict[str, Any] = {
        "fix_time_ms": time_ms,
        "device_time_ms": time_ms,
        "valid": True,
        "latitude": 50 + north_m / METRES_PER_DEGREE,
        "longitude": 10.0,
    }
    return Position(**(known | fields))


def report(
    second: float | None,
    north_m: float | None = 0.0,
    *,
    arrives: float | None = None,
    key: int | None = None,
    revision: int = 1,
    **fields: Any,
) -> Report:
    """A report that arrives at T0 + arrives seconds (default: with its own time)."""
    arrives = (second or 0.0) if arrives is None else arrives
    frame_key = next(_keys) if key is None else key
    received_ms = T0 + round(arrives * 1000)
    return Report(position(second, north_m, **fields), DEVICE, "gt06", received_ms, frame_key, revision)


class Device:
    """One device that is fed reports by hand; keeps its derived rows, and its events but for device_online."""

    def __init__(self, **parameters: Any) -> None:
        self.rules = Rules(1, Parameters(**parameters))
        self.state = DeviceState.new(DEVICE)
        self.events: list[Event] = []
        self.rows: list[Derived] = []

    def feed(self, *reports: Report) -> list[Event]:
        """Feed reports; returns the events of these."""
        found: list[Event] = []
        for one in reports:
            self.state, events, derived = step(self.state, one, self.rules)
            assert derived is not None
            self.rows.append(derived)
            found += [event for event in events if event.kind != "device_online"]  # tests/unit/test_derive_presence.py
        self.events += found
        return found

    def told(self, events: Iterable[Event] | None = None) -> list[tuple[str, float]]:
        """(kind, seconds after T0) of events."""
        return [(e.kind, (e.time_ms - T0) / 1000) for e in (self.events if events is None else events)]


def drive(start_s: int, end_s: int, every_s: int, from_m: float, speed_kmh: float, **fields: Any) -> list[Report]:
    """Fixes at start_s, start_s + every_s, ... up to end_s at one speed, the first at from_m."""
    return [
        report(s, from_m + (s - start_s) * speed_kmh / 3.6, speed_kmh=speed_kmh, **fields)
        for s in range(start_s, end_s + 1, every_s)
    ]


def rest(start_s: int, end_s: int, every_s: int, at_m: float, **fields: Any) -> list[Report]:
    """Fixes at one place, speed 0."""
    return [report(s, at_m, **({"speed_kmh": 0.0} | fields)) for s in range(start_s, end_s + 1, every_s)]
