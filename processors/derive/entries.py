"""What derivation is fed with, in the order of the log: reports of devices, ticks of the gateways' clock, sessions."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Position


@dataclass(slots=True)
class Report:
    """One decoded position and the facts of its frame that derivation needs.

    received_ms: arrival at the gateway, ms since the epoch UTC. frame_key: 32 bits over literal device time, index in
    the frame and content, equal for a report sent again. revision: REVISION of the decoder that read it.
    """

    position: Position
    device_id: str
    protocol: str
    received_ms: int
    frame_key: int
    revision: int


@dataclass(slots=True)
class Tick:
    """The clock of a gateway, ms since the epoch UTC: the only way in which time passes without a report."""

    now_ms: int


@dataclass(slots=True)
class SessionOpened:
    """A connection of the device began."""

    device_id: str
    time_ms: int


@dataclass(slots=True)
class SessionClosed:
    """A connection of the device ended."""

    device_id: str
    time_ms: int


Entry = Report | Tick | SessionOpened | SessionClosed
