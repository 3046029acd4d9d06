"""ignition_on, ignition_off: the ignition flipped between two reports that tell it. The first is a silent baseline."""

from __future__ import annotations

from processors.derive.reading import Reading
from processors.derive.state import ABSENT_U1, DeviceState


def derive_ignition(state: DeviceState, reading: Reading) -> None:
    """Compare what the report says with the state; with or without a fix, but never from a late report."""
    told = reading.position.ignition
    if told is None or reading.late:
        return
    ignition = 1 if told else 0
    if ignition == state.ignition:
        return
    if state.ignition != ABSENT_U1:
        reading.raise_here("ignition_on" if ignition else "ignition_off")
    state.ignition = ignition
