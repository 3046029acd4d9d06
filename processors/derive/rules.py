"""What operators can set: the parameters of derivation, by device, with the default and the reason of each."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, fields, replace
from math import isfinite

from processors.derive.fences import FenceIndex

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

    geofence_limit_lowest: bool = False
    """Inside several geofences with a speed limit the highest holds, so that a yard beside a motorway slows nobody down;
    true: the lowest."""

    clock_offset_s: float | None = None
    """Error of the device clock (device minus UTC), when the operator knows it: then nothing is learnt. None: learnt
    from live reports when the protocol does not promise UTC."""

    geofence_hysteresis_m: float = 30.0
    """A device leaves a geofence at once when it is this far outside: two or three times the noise of a good receiver.
    Nearer to the edge it must stay outside for geofence_confirm_s."""

    geofence_confirm_s: float = 180.0
    """How long a device that rests, or is just outside the edge, must be on the other side before it counts: reflections
    move a parked receiver for a minute or two. The event is dated where the other side was first seen."""

    geofence_crossing_gap_s: float | None = 3600.0
    """A straight line between two fixes closer in time than this that runs through a geofence raises geofence_crossed;
    beyond it nobody knows the way. None: never."""

    geofence_dwell_s: float | None = None
    """Time inside a geofence that raises geofence_dwell, unless the geofence has a dwell_s of its own. Off by default:
    every night at home would raise it."""

    unknown_after_s: float = 600.0
    """An online device that is silent for this long is unknown: nearly all trackers send something each 1-5 minutes."""

    inactive_after_s: float | None = 86_400.0
    """Silence that raises device_inactive: a day, for then somebody should look at the box; also when it sleeps."""

    inactive_repeat_s: float | None = None
    """device_inactive is raised again each time this much more silence has passed. None: once."""

    fuel_drop_percent: float | None = 10.0
    """A fall of the fuel level that stays raises fuel_drop: sensors are good to 2-3 %, and slosh is taken out."""

    fuel_increase_percent: float | None = 10.0
    """A rise of the fuel level that stays raises fuel_increase."""

    fuel_drop_l: float | None = 15.0
    """The same for devices that tell litres and no percentage: more than sensors err, less than a canister."""

    fuel_increase_l: float | None = 15.0
    """As fuel_drop_l, for a rise."""

    fuel_window_s: float = 900.0
    """A change of fuel while driving counts when it happens within this time; a slower one is consumption."""

    power_cut_v: float = 3.0
    """External power below this is cut: no vehicle runs on less, and a cut supply reads 0 to 1 V."""

    power_restored_v: float = 8.0
    """External power from here on is present again: a 12 V battery that is nearly empty still has more."""

    maintenance_distance_m: float | None = None
    """Maintenance is due each time this distance is complete, by the device's odometer, else by our own. None: never."""

    maintenance_engine_h: float | None = None
    """Maintenance is due each time these engine hours are complete, by the device's count, else by ours. None: never."""

    filter_zero: bool = True
    """A fix at exactly 0, 0 is no place but a receiver without one. False: it counts (a boat off Ghana)."""

    filter_invalid: bool = True
    """A fix that the device itself calls invalid moves nothing. False: it counts, for boxes that never set the bit."""

    filter_future_s: float = 300.0
    """A time further ahead of arrival than this is wrong: the report gets the time of its arrival. Clocks that are set
    by satellites err by seconds."""

    filter_accuracy_m: float | None = None
    """A fix that tells an accuracy worse than this moves nothing. None: all count; 100 is a good value where devices mix
    cell positions into their fixes."""

    filter_speed_kmh: float | None = 400.0
    """A fix that could be reached only faster than this is a jump of the receiver and moves nothing, until a second fix
    agrees with it. None: all count (aircraft)."""

    filter_static: bool = False
    """True: a fix with speed 0 moves nothing, for boxes that drift badly while parked."""


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
    "geofence_hysteresis_m": (0.0, 1000.0),
    "geofence_confirm_s": (0.0, DAY_S),
    "geofence_crossing_gap_s": (1.0, DAY_S),
    "geofence_dwell_s": (1.0, 90 * DAY_S),
    "unknown_after_s": (30.0, 90 * DAY_S),
    "inactive_after_s": (60.0, 90 * DAY_S),
    "inactive_repeat_s": (60.0, 90 * DAY_S),
    "fuel_drop_percent": (1.0, 100.0),
    "fuel_increase_percent": (1.0, 100.0),
    "fuel_drop_l": (0.5, 100_000.0),
    "fuel_increase_l": (0.5, 100_000.0),
    "fuel_window_s": (60.0, DAY_S),
    "power_cut_v": (0.1, 100.0),
    "power_restored_v": (0.1, 100.0),
    "maintenance_distance_m": (1000.0, 1e9),
    "maintenance_engine_h": (1.0, 1e6),
    "filter_future_s": (1.0, 90 * DAY_S),
    "filter_accuracy_m": (0.1, 100_000.0),
    "filter_speed_kmh": (10.0, 100_000.0),
}
"""Least and greatest value of each number."""
SWITCHES = frozenset({"geofence_limit_lowest", "filter_zero", "filter_invalid", "filter_static"})
"""Parameters that are true or false."""
OPTIONAL = frozenset(f.name for f in fields(Parameters) if "None" in str(f.type))
"""Parameters that can be switched off, by null or the text off."""
OFF = "off"
SOURCES = frozenset({"device", "group", "server"})


def parameters_from(
    mapping: Mapping[str, object], base: Parameters = SERVER_PARAMETERS, source: str = "device"
) -> Parameters:
    """Parameters of one level (server, group, device) over those of the level above it.

    mapping: name to number or switch, or to None or the text off where a rule can be switched off. source: the level.
    Raises ValueError, which names the parameter, for an unknown name, a value that is none of these or out of range, and
    values that contradict each other.
    """
    if source not in SOURCES:
        raise ValueError(f"source {source!r} is none of {', '.join(sorted(SOURCES))}")
    values = {name: _checked(name, value) for name, value in mapping.items()}
    if not values:
        return base
    merged = replace(base, **values)  # type: ignore[arg-type]
    if "speed_limit_kmh" in values:
        merged = replace(merged, speed_limit_source=source)
    if merged.power_cut_v > merged.power_restored_v:
        raise ValueError(
            f"parameter power_cut_v: {merged.power_cut_v:g} is above power_restored_v ({merged.power_restored_v:g})"
        )
    if merged.stop_radius_m > merged.min_trip_distance_m:
        if "stop_radius_m" in values:
            raise ValueError(
                f"parameter stop_radius_m: {merged.stop_radius_m:g} is above min_trip_distance_m "
                f"({merged.min_trip_distance_m:g}): a device would stop and move by turns"
            )
        merged = replace(merged, stop_radius_m=merged.min_trip_distance_m / 2)
    return merged


def _checked(name: str, value: object) -> float | bool | None:
    if name in SWITCHES:
        if not isinstance(value, bool):
            raise ValueError(f"parameter {name}: {value!r} is neither true nor false")
        return value
    if name not in RANGES:
        raise ValueError(f"unknown parameter {name!r}: known are {', '.join(sorted([*RANGES, *SWITCHES]))}")
    if value in (None, OFF) and name in OPTIONAL:
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

    devices: the parameters of the devices that have their own, already laid over those of group and server. groups: the
    group of each device that has one. registered: the devices that the operator named.
    """

    revision: int
    defaults: Parameters = SERVER_PARAMETERS
    devices: Mapping[str, Parameters] = field(default_factory=dict)
    fences: FenceIndex = field(default_factory=FenceIndex)
    groups: Mapping[str, str] = field(default_factory=dict)
    registered: Container[str] = frozenset()

    @classmethod
    def default(cls) -> Rules:
        """No device, no group, every parameter at its default."""
        return cls(0)

    def parameters(self, device_id: str) -> Parameters:
        """The parameters that hold for a device."""
        return self.devices.get(device_id, self.defaults)


if {f.name for f in fields(Parameters)} != {*RANGES, *SWITCHES, "speed_limit_source"}:  # pragma: no cover - a slip here
    raise ImportError("every parameter needs a range")
