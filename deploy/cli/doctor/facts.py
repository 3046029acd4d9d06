"""What can be known of a device or an address, gathered by store.py and log.py, and what diagnosis.py says of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from deploy.cli.addresses import address_of
from processors.decoders.registry import DECODERS
from schemas.errors import Reason
from schemas.records import Device, Event, FrameKind


class Rung(IntEnum):
    """How far a device has come, from a connection to a fix."""

    CONNECTED = 0
    UNKNOWN = 1
    UNREAD = 2
    ANONYMOUS = 3
    REFUSED = 4
    LOGIN = 5
    HEARTBEAT = 6
    CELLS = 7
    FIX = 8


RUNG_TEXTS = {
    Rung.CONNECTED: "connected",
    Rung.UNKNOWN: "bytes of no known protocol",
    Rung.UNREAD: "frames of a protocol without decoder",
    Rung.ANONYMOUS: "frames without an identity",
    Rung.REFUSED: "refused: nobody registered it",
    Rung.LOGIN: "login",
    Rung.HEARTBEAT: "heartbeats or reports without a fix",
    Rung.CELLS: "cell towers or Wi-Fi only",
    Rung.FIX: "fix",
}


REFUSED_RUNGS: dict[str, Rung] = {
    Reason.UNDECIDED: Rung.UNKNOWN,
    Reason.NOT_DECODED: Rung.UNREAD,
    Reason.NO_IDENTITY: Rung.ANONYMOUS,
    Reason.UNKNOWN_DEVICE: Rung.REFUSED,
}
"""What a rejection says of how far it came; the other reasons are of frames that were read so far."""


@dataclass(frozen=True, slots=True)
class SessionSeen:
    """The newest row of a session; names as in schemas/avro/SessionBatch.avsc."""

    session_id: str
    gateway: str
    status: str
    time_ms: int
    opened_ms: int
    peer: str
    transport: str
    protocol: str
    device_id: str
    frames: int
    bytes_in: int
    bytes_out: int
    replies: int
    unknown_bytes: int
    last_in: bytes
    last_out: bytes
    reason: str

    @property
    def open(self) -> bool:
        """Whether its end is not known."""
        return self.status != "closed"

    @property
    def counted(self) -> bool:
        """Whether its counts were taken after its first replies."""
        return self.status in ("active", "closed")

    @property
    def address(self) -> str:
        """The peer without its port."""
        return address_of(self.peer)


@dataclass(frozen=True, slots=True)
class ReportSeen:
    """One stored report. time_ms: as the pipeline dates it; device_time_ms: the device clock as sent."""

    received_ms: int
    time_ms: int
    device_time_ms: int | None
    valid: bool
    latitude: float | None
    longitude: float | None
    located_by_cells: bool
    satellites: int | None
    battery_percent: float | None
    battery_v: float | None
    power_v: float | None
    rssi: int | None
    flags: int
    protocol: str

    @property
    def rung(self) -> Rung:
        """What it shows."""
        if self.valid and self.latitude is not None and self.longitude is not None:
            return Rung.FIX
        return Rung.CELLS if self.located_by_cells else Rung.HEARTBEAT


@dataclass(frozen=True, slots=True)
class Refusals:
    """Rejected bytes of one reason and protocol: how many, the newest one."""

    reason: str
    protocol: str
    count: int
    last_ms: int
    detail: str
    example: bytes


@dataclass(frozen=True, slots=True)
class Similar:
    """A device that reports under an id that is part of the one asked for, or the other way round."""

    device_id: str
    protocol: str
    last_ms: int


@dataclass(slots=True)
class Facts:
    """Everything known. Lists are newest first; `away`: what could not be asked, and why.

    reports: the newest stored ones. last: for each rung the newest arrival of a stored report. frames: as
    frame_view.view gives them, from the log, and `first`: whether it began its session. strangers: sessions of others
    that never identified (for a device that was never seen). identified: the topics of devices and aliases were read.
    scanned: how far back the log was looked through, in words; empty: not at all.
    """

    subject: str
    is_address: bool
    now_ms: int
    identified: bool = False
    device: Device | None = None
    aliases: list[str] = field(default_factory=list)
    asked_as: str = ""
    sessions: list[SessionSeen] = field(default_factory=list)
    reports: list[ReportSeen] = field(default_factory=list)
    stored_reports: int = 0
    last: dict[Rung, int] = field(default_factory=dict)
    frames: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[Refusals] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    similar: list[Similar] = field(default_factory=list)
    strangers: list[SessionSeen] = field(default_factory=list)
    scanned: str = ""
    away: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found, and what to do about it. needs: purposes (sms.PURPOSES) of text messages that mend it."""

    text: str
    advice: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(slots=True)
class Diagnosis:
    """state: the highest rung of its last half hour; None: never seen. ladder: when each rung was last reached, ms.

    clock_ms: device clock minus arrival of recent reports (median). messages: (purpose, text message) to send.
    """

    state: Rung | None = None
    heard_ms: int | None = None
    silent: bool = False
    online: bool = False
    headline: str = ""
    protocol: str = ""
    ladder: dict[Rung, int] = field(default_factory=dict)
    clock_ms: int | None = None
    findings: list[Finding] = field(default_factory=list)
    messages: list[tuple[str, str]] = field(default_factory=list)


def rung_of_frame(told: dict[str, Any]) -> Rung:
    """What a frame shows; the first of its session is taken for a login when there is no report in it."""
    kind = told["kind"]
    if kind == FrameKind.UNDECIDED.name.lower():
        return Rung.UNKNOWN
    if told["protocol"] not in DECODERS:
        return Rung.UNREAD
    if kind == FrameKind.UNKNOWN_DEVICE.name.lower():
        return Rung.REFUSED
    if kind == FrameKind.NO_IDENTITY.name.lower() or not told["device_id"]:
        return Rung.ANONYMOUS
    positions = told["positions"]
    if any(p.get("valid") and "latitude" in p and "longitude" in p for p in positions):
        return Rung.FIX
    if any(p.get("cells") or p.get("wifi") for p in positions):
        return Rung.CELLS
    return Rung.LOGIN if told["first"] and not positions else Rung.HEARTBEAT
