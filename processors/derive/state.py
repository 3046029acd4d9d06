"""The state of one device, and states as columns: the same numbers in both, so that a reload gives it back exactly.

A DeviceState holds what its columns hold (integers with the columns' sentinels, text, float64), never anything finer:
what a decision was made from after a restart is, bit by bit, what it would have been made from without.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from struct import Struct
from typing import Any

from schemas.records import States

ABSENT_U1 = 2**8 - 1
ABSENT_U2 = 2**16 - 1
ABSENT_U4 = 2**32 - 1
ABSENT_I4 = 2**31 - 1
ABSENT_I8 = 2**63 - 1

STOPPED = 0
MOVING = 1
MOTION_UNKNOWN = ABSENT_U1

SILENT = 0
ONLINE = 1
OFFLINE = 2
PRESENCE_UNKNOWN_YET = ABSENT_U1

RECENT_ENTRY = Struct("<Iq")
"""One entry of `recent`: frame_key, time_ms."""
RECENT_ENTRIES = 64
RECENT_BYTES = RECENT_ENTRIES * RECENT_ENTRY.size


@dataclass(slots=True)
class DeviceState:
    """What derivation remembers of one device: meaning and unit of each field stand in the `States` schema.

    Whoever holds one treats it as a value: `step` copies before it changes. Fields and their order are those of States.
    recent: bytes of at most 64 entries of 12 (frame_key <u4, time_ms <i8), oldest first; every new report adds one.
    """

    device_id: str
    protocol: str = ""
    reports: int = 0
    seen_ms: int = 0
    fix_time_ms: int = ABSENT_I8
    latitude_e7: int = ABSENT_I4
    longitude_e7: int = ABSENT_I4
    speed_x10: int = ABSENT_U2
    moving: int = MOTION_UNKNOWN
    motion_since_ms: int = ABSENT_I8
    anchor_latitude_e7: int = ABSENT_I4
    anchor_longitude_e7: int = ABSENT_I4
    candidate_ms: int = ABSENT_I8
    candidate_latitude_e7: int = ABSENT_I4
    candidate_longitude_e7: int = ABSENT_I4
    candidate_distance_m: float = 0.0
    candidate_speed_max_x10: int = 0
    trip_distance_m: float = 0.0
    trip_speed_max_x10: int = 0
    distance_m: float = 0.0
    overspeed_since_ms: int = ABSENT_I8
    overspeed_latitude_e7: int = ABSENT_I4
    overspeed_longitude_e7: int = ABSENT_I4
    overspeed_started: int = 0
    overspeed_max_x10: int = 0
    overspeed_limit_x10: int = 0
    overspeed_distance_m: float = 0.0
    ignition: int = ABSENT_U1
    levels: str = ""
    levels_known: str = ""
    clock_revision: int = 0
    clock_offset_ms: int = ABSENT_I4
    clock_votes: int = 0
    clock_candidate_ms: int = ABSENT_I4
    clock_error_ms: int = ABSENT_I4
    clock_voted_ms: int = ABSENT_I8
    overspeed_source: str = ""
    jump_ms: int = ABSENT_I8
    jump_latitude_e7: int = ABSENT_I4
    jump_longitude_e7: int = ABSENT_I4
    fences: str = ""
    fences_revision: int = ABSENT_I8
    presence: int = PRESENCE_UNKNOWN_YET
    heard_ms: int = ABSENT_I8
    session: int = 0
    inactive_told: int = 0
    power: int = ABSENT_U1
    fuel: bytes = b""
    driver_id: str = ""
    running_ms: int = ABSENT_I8
    engine_s: float = 0.0
    odometer_m: int = ABSENT_U4
    distance_serviced: int = ABSENT_U4
    engine_serviced: int = ABSENT_U4
    recent: bytes = b""

    @classmethod
    def new(cls, device_id: str) -> DeviceState:
        """The state of a device that never reported."""
        return cls(device_id)


_NAMES = tuple(f.name for f in fields(DeviceState))
values_of = attrgetter(*_NAMES)
"""All fields of a state, in order."""
_DEFAULTS = values_of(DeviceState(""))
_COLUMNS = tuple(attrgetter(name) for name in _NAMES[:-1])  # all but recent


def copy_of(state: DeviceState) -> DeviceState:
    """A state of its own with equal fields (they are all immutable)."""
    return DeviceState(*values_of(state))


def to_columns(states: list[DeviceState], added: list[bytes]) -> States:
    """States as columns. added: for each state, what the column `recent` holds: in positions the entries that the
    range added, in snapshots the whole `recent`."""
    columns: list[list[Any]] = [*(list(map(column, states)) for column in _COLUMNS), added]
    return States(*columns)


def from_columns(states: States) -> list[DeviceState]:
    """The states of columns; their `recent` is what the column holds.

    A column that a record of an older schema does not have is empty: its rows get the value of a new device.
    """
    count = len(states.device_id)
    columns = (
        column if len(column) == count else [default] * count
        for column, default in zip(values_of(states), _DEFAULTS, strict=True)
    )
    return list(map(DeviceState, *columns))


def is_blank(state: DeviceState) -> bool:
    """True for the state of a device of which nothing is known, or kept any more."""
    return not state.reports and state.heard_ms == ABSENT_I8


def merge(old: DeviceState | None, delta: DeviceState) -> DeviceState:
    """The state after a range: its delta (the caller's own, changed), with the range's entries behind the recent ones
    of before."""
    if old is not None:
        delta.recent = (old.recent + delta.recent)[-RECENT_BYTES:]
    return delta


def with_recent(recent: bytes, frame_key: int, time_ms: int) -> bytes:
    """recent with one entry more, without the oldest when it was full."""
    return (recent + RECENT_ENTRY.pack(frame_key, time_ms))[-RECENT_BYTES:]


def recent_times(recent: bytes, frame_key: int) -> list[int]:
    """time_ms of the recent reports with this key, oldest first; nearly always none."""
    key = frame_key.to_bytes(4, "little")
    at = recent.find(key)
    times: list[int] = []
    while at >= 0:
        if at % RECENT_ENTRY.size == 0:
            times.append(RECENT_ENTRY.unpack_from(recent, at)[1])
        at = recent.find(key, at + 1)
    return times
