"""What operators can set: the parameters of derivation, by device, with the default and the reason of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import isfinite

SPEED_KMH_MAX = 6553.0
"""Largest speed that the columns hold (km/h x 10 in 16 bits)."""
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Parameters:
    """Everything that can be set for one device. None switches a rule off."""

    min_trip_distance_m: float = 200.0
    """A trip begins when the device is this far from where it rested: parked receivers wander 20-100 m, now and then
    more; a shorter drive is moving the car in the yard."""

    min_stop_duration_s: float = 180.0
    """A stop is one when the device stays this long: longer than traffic lights, shorter than a delivery."""

    stop_radius_m: float = 100.0
    """Staying means within this distance of where the stop began: above the usual wander of a parked receiver, and
    half of the trip distance, so that noise cannot end and begin a stop by turns. Where only min_trip_distance_m is
    set, and below this, it is half of that."""

    stop_gap_s: float = 3600.0
    """A longer silence between two fixes ends the trip at the fix before it: nobody knows what happened meanwhile."""

    moving_speed_kmh: float = 5.0
    """From this speed on a fix counts as driving: receivers at rest report up to 3 or 4 km/h."""

    speed_limit_kmh: float | None = None
    """Overspeed above this speed. Off by default: a limit nobody set would only make noise."""

    speed_limit_source: str = "server"
    """Who set speed_limit_kmh (device, group, server); `parameters_from` fills it in, events tell it."""

    overspeed_min_duration_s: float = 0.0
    """An episode is raised when it has lasted this long. 0: with its first fix, as the limit says."""

    overspeed_tolerance_kmh: float = 0.0
    """An episode begins above limit + tolerance and ends at the limit, so it is the hysteresis too. 0: the limit means
    what it says; 3-5 calms a driver who keeps to the limit by cruise control."""

    clock_offset_s: float | None = None
    """Error of the device clock (device minus UTC), when the operator knows it: then nothing is learnt. None: learnt
    from live reports when the protocol does not promise UTC."""


SERVER_PARAMETERS = Parameters()

RANGES: dict[str, tuple[float, float]] = {
    "min_trip_distance_m": (1.0, 1_000_000.0),
    "min_stop_duration_s": (1.0, 30 * DAY_S),
    "stop_radius_m": (1.0, 1_000_000.0),
    "stop_gap_s": (1.0, 90 * DAY_S),
    "moving_speed_kmh": (0.1, SPEED_KMH_MAX),
    "speed_limit_kmh": (0.1, SPEED_KMH_MAX),
    "overspeed_min_duration_s": (0.0, DAY_S),
    "overspeed_tolerance_kmh": (0.0, SPEED_KMH_MAX),
    "clock_offset_s": (-DAY_S, DAY_S),
}
"""Least and greatest value of each number."""
OPTIONAL = frozenset({"speed_limit_kmh", "clock_offset_s"})
SOURCES = frozenset({"device", "group", "server"})


def parameters_from(
    mapping: Mapping[str, object], base: Parameters = SERVER_PARAMETERS, source: str = "device"
) -> Parameters:
    """Parameters of one level (server, group, device) over those of the level above it.

    mapping: name to number, or to None where None is allowed. source: the level. Raises ValueError, which names the
    parameter, for an unknown name, a value that is not a number or out of range, and values that contradict each other.
    """
    if source not in SOURCES:
        raise ValueError(f"source {source!r} is none of {', '.join(sorted(SOURCES))}")
    values = {name: _checked(name, value) for name, value in mapping.items()}
    if not values:
        return base
    merged = replace(base, **values)  # type: ignore[arg-type]
    if "speed_limit_kmh" in values:
        merged = replace(merged, speed_limit_source=source)
    if merged.stop_radius_m > merged.min_trip_distance_m:
        if "stop_radius_m" in values:
            raise ValueError(
                f"parameter stop_radius_m: {merged.stop_radius_m:g} is above min_trip_distance_m "
                f"({merged.min_trip_distance_m:g}): a device would stop and move by turns"
            )
        merged = replace(merged, stop_radius_m=merged.min_trip_distance_m / 2)
    return merged


def _checked(name: str, value: object) -> float | None:
    if name not in RANGES:
        raise ValueError(f"unknown parameter {name!r}: known are {', '.join(sorted(RANGES))}")
    if value is None and name in OPTIONAL:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise ValueError(f"parameter {name}: {value!r} is not a number")
    least, greatest = RANGES[name]
    if not least <= value <= greatest:
        raise ValueError(f"parameter {name}: {value!r} is not between {least:g} and {greatest:g}")
    return float(value)


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules of one revision of the rule topics.

    devices: the parameters of the devices that have their own, already laid over those of group and server.
    """

    revision: int
    defaults: Parameters = SERVER_PARAMETERS
    devices: Mapping[str, Parameters] = field(default_factory=dict)

    @classmethod
    def default(cls) -> Rules:
        """No device, no group, every parameter at its default."""
        return cls(0)

    def parameters(self, device_id: str) -> Parameters:
        """The parameters that hold for a device."""
        return self.devices.get(device_id, self.defaults)


if {f.name for f in fields(Parameters)} != {*RANGES, "speed_limit_source"}:  # pragma: no cover - a slip in this file
    raise ImportError("every parameter needs a range")
