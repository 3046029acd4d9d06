"""Rows and batches that travel between the stages: plain dataclasses, one for each Avro record of schemas/avro.

Batches hold columns (lists of one length). `Frame` and `Position` are rows: they exist only while one is decoded.
Names and units: README "Words". A contract test holds the dataclasses and the .avsc files together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any

Attribute = bool | int | float | str


class FrameKind(IntEnum):
    """What a row of `frames` is."""

    FRAME = 0
    UNDECIDED = 1
    NO_IDENTITY = 2
    UNKNOWN_DEVICE = 3
    """Of a device that nobody registered, under the policy reject."""
    QUARANTINED = 4
    """Of a device that nobody registered, under the policy quarantine."""


class EntryKind(IntEnum):
    """What a row of `entries` is."""

    OPENED = 0
    CLOSED = 1


class Flag(IntFlag):
    """What derivation found about a position; bits of the `flags` column."""

    LATE = 1
    """Older than a fix that was seen before: raises no live event."""
    DUPLICATE = 2
    """A report that was seen before, sent again."""
    TIME_FUTURE = 4
    """Its clock was more than 5 minutes ahead of arrival: time_ms is arrival."""
    CLOCK_CORRECTED = 8
    """The learnt offset of the device clock was taken off."""
    OUT_OF_RANGE = 16
    """A number did not fit its column and is absent."""
    ZERO = 32
    """Latitude and longitude were exactly 0: not a place."""
    FILTERED = 64
    """A position filter set its fix aside: it moves nothing and raises nothing; another bit says which."""
    INACCURATE = 128
    """Less accurate than filter_accuracy_m."""
    JUMP = 256
    """Further from the last fix than filter_speed_kmh allows, and no second fix agreed."""
    STATIC = 512
    """Speed 0 where filter_static is set."""
    QUARANTINED = 1024
    """Of a device that nobody registered, under the policy quarantine: no events, not in latest."""


@dataclass(slots=True)
class Frame:
    """One complete unit of a device protocol, with all that decoding may use: the input of a decoder.

    received_ms is None only where nobody knows when it arrived (`lodestream decode` without received_ms).
    """

    payload: bytes
    protocol: str
    device_id: str | None = None
    received_ms: int | None = None
    transport: str = "tcp"
    dialect: str = ""
    login: bytes = b""


@dataclass(slots=True)
class Position:
    """One decoded report of a device at one time, as its decoder reads it: literal times, coordinates only of a fix.

    fix_time_ms: time of the GNSS solution, None without one. device_time_ms: the device clock, literally, None when the
    report has no clock. clock: "utc" when the protocol promises UTC, "local" when it sends local time, "unknown" when
    firmwares differ. level_alarms: the level alarms that this report tells about, set or not (a status word); alarms
    outside of it are pulses. silent_alarms: levels whose first word is a baseline even for sos. Everything that the
    frame does not say is None, or missing from attributes.
    """

    fix_time_ms: int | None = None
    device_time_ms: int | None = None
    clock: str = "utc"
    valid: bool = False
    latitude: float | None = None
    longitude: float | None = None
    altitude_m: float | None = None
    speed_kmh: float | None = None
    course_deg: float | None = None
    satellites: int | None = None
    hdop: float | None = None
    accuracy_m: float | None = None
    ignition: bool | None = None
    odometer_m: float | None = None
    battery_percent: float | None = None
    battery_v: float | None = None
    power_v: float | None = None
    rssi: int | None = None
    fuel_percent: float | None = None
    alarms: list[str] = field(default_factory=list)
    level_alarms: frozenset[str] = frozenset()
    silent_alarms: frozenset[str] = frozenset()
    cells: list[dict[str, int]] = field(default_factory=list)
    wifi: list[dict[str, Any]] = field(default_factory=list)
    attributes: dict[str, Attribute] = field(default_factory=dict)


@dataclass(slots=True)
class Event:
    """One derived event; (device_id, kind, time_ms, subject) identify it."""

    device_id: str
    kind: str
    time_ms: int
    subject: str = ""
    received_ms: int = 0
    latitude: float | None = None
    longitude: float | None = None
    attributes: dict[str, Attribute] = field(default_factory=dict)


@dataclass(slots=True)
class Sessions:
    session_id: list[str] = field(default_factory=list)
    peer: list[str] = field(default_factory=list)
    transport: list[str] = field(default_factory=list)
    opened_ms: list[int] = field(default_factory=list)
    dialect: list[str] = field(default_factory=list)
    login: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class Frames:
    session: list[int] = field(default_factory=list)
    received_ms: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    protocol: list[str] = field(default_factory=list)
    device_id: list[str] = field(default_factory=list)
    payload: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class Entries:
    session: list[int] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    time_ms: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    device_id: list[str] = field(default_factory=list)


@dataclass(slots=True)
class FrameBatch:
    gateway: str
    partition: int
    ticks_ms: list[int] = field(default_factory=list)
    sessions: Sessions = field(default_factory=Sessions)
    frames: Frames = field(default_factory=Frames)
    entries: Entries = field(default_factory=Entries)


@dataclass(slots=True)
class Source:
    """A range of records of one partition of `frames`; offsets inclusive."""

    partition: int
    first: int
    last: int
    part: int = 0
    is_last: bool = True
    generation: int = 0
    rules_revision: int = 0
    version: int = 0
    code: str = ""


@dataclass(slots=True)
class Positions:
    device_id: list[str] = field(default_factory=list)
    protocol: list[str] = field(default_factory=list)
    time_ms: list[int] = field(default_factory=list)
    frame_key: list[int] = field(default_factory=list)
    fix_offset_ms: list[int] = field(default_factory=list)
    device_offset_ms: list[int] = field(default_factory=list)
    received_ms: list[int] = field(default_factory=list)
    valid: list[int] = field(default_factory=list)
    latitude_e7: list[int] = field(default_factory=list)
    longitude_e7: list[int] = field(default_factory=list)
    altitude_m: list[int] = field(default_factory=list)
    speed_x10: list[int] = field(default_factory=list)
    course_x10: list[int] = field(default_factory=list)
    satellites: list[int] = field(default_factory=list)
    hdop_x10: list[int] = field(default_factory=list)
    accuracy_x10: list[int] = field(default_factory=list)
    ignition: list[int] = field(default_factory=list)
    odometer_m: list[int] = field(default_factory=list)
    battery_percent_x10: list[int] = field(default_factory=list)
    battery_mv: list[int] = field(default_factory=list)
    power_mv: list[int] = field(default_factory=list)
    rssi: list[int] = field(default_factory=list)
    fuel_percent_x10: list[int] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    moving: list[int] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    wifi: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class States:
    """Device states as columns; processors.derive.state turns rows into DeviceState and back."""

    device_id: list[str] = field(default_factory=list)
    protocol: list[str] = field(default_factory=list)
    reports: list[int] = field(default_factory=list)
    seen_ms: list[int] = field(default_factory=list)
    fix_time_ms: list[int] = field(default_factory=list)
    latitude_e7: list[int] = field(default_factory=list)
    longitude_e7: list[int] = field(default_factory=list)
    speed_x10: list[int] = field(default_factory=list)
    moving: list[int] = field(default_factory=list)
    motion_since_ms: list[int] = field(default_factory=list)
    anchor_latitude_e7: list[int] = field(default_factory=list)
    anchor_longitude_e7: list[int] = field(default_factory=list)
    candidate_ms: list[int] = field(default_factory=list)
    candidate_latitude_e7: list[int] = field(default_factory=list)
    candidate_longitude_e7: list[int] = field(default_factory=list)
    candidate_distance_m: list[float] = field(default_factory=list)
    candidate_speed_max_x10: list[int] = field(default_factory=list)
    trip_distance_m: list[float] = field(default_factory=list)
    trip_speed_max_x10: list[int] = field(default_factory=list)
    distance_m: list[float] = field(default_factory=list)
    overspeed_since_ms: list[int] = field(default_factory=list)
    overspeed_latitude_e7: list[int] = field(default_factory=list)
    overspeed_longitude_e7: list[int] = field(default_factory=list)
    overspeed_started: list[int] = field(default_factory=list)
    overspeed_max_x10: list[int] = field(default_factory=list)
    overspeed_limit_x10: list[int] = field(default_factory=list)
    overspeed_distance_m: list[float] = field(default_factory=list)
    ignition: list[int] = field(default_factory=list)
    levels: list[str] = field(default_factory=list)
    levels_known: list[str] = field(default_factory=list)
    clock_revision: list[int] = field(default_factory=list)
    clock_offset_ms: list[int] = field(default_factory=list)
    clock_votes: list[int] = field(default_factory=list)
    clock_candidate_ms: list[int] = field(default_factory=list)
    clock_error_ms: list[int] = field(default_factory=list)
    clock_voted_ms: list[int] = field(default_factory=list)
    overspeed_source: list[str] = field(default_factory=list)
    jump_ms: list[int] = field(default_factory=list)
    jump_latitude_e7: list[int] = field(default_factory=list)
    jump_longitude_e7: list[int] = field(default_factory=list)
    fences: list[str] = field(default_factory=list)
    fences_revision: list[int] = field(default_factory=list)
    presence: list[int] = field(default_factory=list)
    heard_ms: list[int] = field(default_factory=list)
    session: list[int] = field(default_factory=list)
    inactive_told: list[int] = field(default_factory=list)
    power: list[int] = field(default_factory=list)
    fuel: list[bytes] = field(default_factory=list)
    driver_id: list[str] = field(default_factory=list)
    running_ms: list[int] = field(default_factory=list)
    engine_s: list[float] = field(default_factory=list)
    odometer_m: list[int] = field(default_factory=list)
    distance_serviced: list[int] = field(default_factory=list)
    engine_serviced: list[int] = field(default_factory=list)
    recent: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class PositionBatch:
    """Positions of one range, and its receipt (docs/design.md: the log is the truth)."""

    source: Source
    now_ms: int = 0
    pauses_ms: list[int] = field(default_factory=list)
    frames: int = 0
    positions: Positions = field(default_factory=Positions)
    states: States = field(default_factory=States)


@dataclass(slots=True)
class Events:
    device_id: list[str] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)
    time_ms: list[int] = field(default_factory=list)
    subject: list[str] = field(default_factory=list)
    received_ms: list[int] = field(default_factory=list)
    latitude_e7: list[int] = field(default_factory=list)
    longitude_e7: list[int] = field(default_factory=list)
    replayed: list[int] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class EventBatch:
    source: Source
    events: Events = field(default_factory=Events)


@dataclass(slots=True)
class Rejected:
    reason: list[str] = field(default_factory=list)
    detail: list[str] = field(default_factory=list)
    protocol: list[str] = field(default_factory=list)
    device_id: list[str] = field(default_factory=list)
    received_ms: list[int] = field(default_factory=list)
    session_id: list[str] = field(default_factory=list)
    peer: list[str] = field(default_factory=list)
    frame_offset: list[int] = field(default_factory=list)
    frame_index: list[int] = field(default_factory=list)
    payload: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class RejectedBatch:
    source: Source
    rejected: Rejected = field(default_factory=Rejected)


@dataclass(slots=True)
class Snapshot:
    partition: int
    slice: int
    next: int
    output_offset: int
    now_ms: int
    written_ms: int
    pauses_ms: list[int] = field(default_factory=list)
    states: States = field(default_factory=States)


@dataclass(slots=True)
class SessionRows:
    session_id: list[str] = field(default_factory=list)
    status: list[str] = field(default_factory=list)
    time_ms: list[int] = field(default_factory=list)
    opened_ms: list[int] = field(default_factory=list)
    peer: list[str] = field(default_factory=list)
    transport: list[str] = field(default_factory=list)
    protocol: list[str] = field(default_factory=list)
    device_id: list[str] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    bytes_in: list[int] = field(default_factory=list)
    bytes_out: list[int] = field(default_factory=list)
    replies: list[int] = field(default_factory=list)
    unknown_bytes: list[int] = field(default_factory=list)
    last_in: list[bytes] = field(default_factory=list)
    last_out: list[bytes] = field(default_factory=list)
    reason: list[str] = field(default_factory=list)


@dataclass(slots=True)
class SessionBatch:
    gateway: str
    sessions: SessionRows = field(default_factory=SessionRows)


@dataclass(slots=True)
class Device:
    device_id: str
    updated_ms: int
    name: str = ""
    group_id: str = ""
    aliases: list[str] = field(default_factory=list)
    parameters: dict[str, Attribute] = field(default_factory=dict)


@dataclass(slots=True)
class Group:
    group_id: str
    updated_ms: int
    name: str = ""
    parameters: dict[str, Attribute] = field(default_factory=dict)


@dataclass(slots=True)
class Geofence:
    geofence_id: str
    updated_ms: int
    geometry: str
    name: str = ""
    radius_m: float = 0.0
    width_m: float = 0.0
    speed_limit_kmh: float = 0.0
    dwell_s: float = 0.0
    device_ids: list[str] = field(default_factory=list)
    group_ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Alias:
    protocol: str
    id: str
    device_id: str
    learnt_ms: int
    gateway: str = ""
