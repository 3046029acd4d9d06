"""fuel_drop, fuel_increase: a level that changed and stayed so; never two raw samples.

The newest samples are kept. A change is real when the three oldest of them agree, the three newest agree, and their
medians differ by the threshold; and when it came about within fuel_window_s, or without driving: fuel that is stolen from
a sleeping truck shows in its next reports, whenever they come, while consumption takes hours of driving. While a tank is
being filled the newest do not agree: the whole rise becomes one event, dated at the first sample at the new level.
"""

from __future__ import annotations

from statistics import median
from struct import Struct
from typing import NamedTuple

from processors.derive.reading import Reading
from processors.derive.rules import Parameters
from processors.derive.state import ABSENT_I4, DeviceState
from schemas.records import Attribute

SAMPLE = Struct("<qHBH")
"""time_ms, value x 10, unit (index of UNITS), distance of the device in steps of 100 m modulo 65,536."""
SAMPLES = 10
GROUP = 3
"""Samples that must agree on each side of a change."""
UNITS = ("percent", "l")
VALUE_X10_MAX = 65_534
STEP_M = 100.0
PARKED_STEPS = 20
"""Less than 2 km between two samples: not driven, whatever the time between them."""


class Sample(NamedTuple):
    time_ms: int
    value_x10: int
    unit: int
    steps: int


def derive_fuel(state: DeviceState, reading: Reading, parameters: Parameters) -> None:
    """Take the sample of a report that is not late, if it has one."""
    sample = _sample(state, reading)
    if reading.late or sample is None:
        return
    samples = [Sample(*values) for values in SAMPLE.iter_unpack(state.fuel)]
    if samples and samples[-1].unit != sample.unit:
        samples = []
    if samples and sample.time_ms <= samples[-1].time_ms:
        return
    samples = [*samples, sample][-SAMPLES:]
    if len(samples) >= 2 * GROUP and _changed(samples, reading, parameters):
        samples = samples[-GROUP:]
    state.fuel = b"".join(SAMPLE.pack(*values) for values in samples)


def _sample(state: DeviceState, reading: Reading) -> Sample | None:
    position = reading.position
    value: object = position.fuel_percent
    unit = 0
    if value is None:
        value, unit = position.attributes.get("fuel_l"), 1
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= VALUE_X10_MAX / 10:
        return None
    if value == 0 and position.ignition is False:
        return None  # sensors that the ignition feeds read 0 without it
    steps = int((state.distance_m + state.trip_distance_m) / STEP_M) % 65_536
    return Sample(reading.time_ms, round(value * 10), unit, steps)


def _changed(samples: list[Sample], reading: Reading, parameters: Parameters) -> bool:
    """Raise the change that the samples show, if they show one."""
    percent = samples[-1].unit == 0
    before = median(sample.value_x10 for sample in samples[:GROUP])
    after = median(sample.value_x10 for sample in samples[-GROUP:])
    if after < before:
        kind, limit = "fuel_drop", parameters.fuel_drop_percent if percent else parameters.fuel_drop_l
    else:
        kind, limit = "fuel_increase", parameters.fuel_increase_percent if percent else parameters.fuel_increase_l
    if limit is None or abs(after - before) < limit * 10:
        return False
    slack = limit * 5
    settled = all(abs(sample.value_x10 - before) <= slack for sample in samples[:GROUP]) and all(
        abs(sample.value_x10 - after) <= slack for sample in samples[-GROUP:]
    )
    if not settled:
        return False
    near = slack / 2
    last = max((n for n, sample in enumerate(samples) if abs(sample.value_x10 - before) <= near), default=GROUP - 1)
    first = min((n for n, s in enumerate(samples) if n > last and abs(s.value_x10 - after) <= near), default=-GROUP)
    old, new = samples[last], samples[first]
    quick = new.time_ms - old.time_ms <= parameters.fuel_window_s * 1000
    if not quick and (new.steps - old.steps) % 65_536 >= PARKED_STEPS:
        return False
    unit = UNITS[new.unit]
    attributes: dict[str, Attribute] = {
        f"before_{unit}": round(before / 10, 1),
        f"after_{unit}": round(after / 10, 1),
        f"change_{unit}": round((after - before) / 10, 1),
    }
    here = new.time_ms == reading.time_ms
    place = (reading.latitude_e7, reading.longitude_e7) if here else (ABSENT_I4, ABSENT_I4)
    reading.raise_event(kind, new.time_ms, *place, attributes=attributes)
    return True
