"""What derivation is fed with, in the order of the log: reports of devices, ticks of the gateways' clock, sessions."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.records import Position


@dataclass(slots=True)
class Report:
    """One decoded position and the facts of its frame that derivation needs.

    received_ms: arrival at the gateway, ms since the epoch UTC. frame_key: 32 bits over literal device time, index in
    the frame and content, equal for a report sent again. revision: REVISION of the decoder that read it. session: CRC-32
    of the id of the session it came in, 0 when that is not known.
    """

    position: Position
    device_id: str
    protocol: str
    received_ms: int
    frame_key: int
    revision: int
    session: int = 0


@dataclass(slots=True)
class Heard:
    """A frame of the device that holds no report, such as a heartbeat; received_ms: its arrival, ms since the epoch UTC."""

    device_id: str
    received_ms: int
    session: int = 0


@dataclass(slots=True)
class Tick:
    """The clock of a gateway, ms since the epoch UTC: the only way in which time passes without a report.

    pauses: spans (begin, end) without any tick up to now, oldest first: the line was down, deadlines move by them.
    """

    now_ms: int
    pauses: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class SessionOpened:
    """A connection of the device began (it identified itself); session: CRC-32 of its id, 0 when that is not known."""

    device_id: str
    time_ms: int
    session: int = 0


@dataclass(slots=True)
class SessionClosed:
    """A connection of the device ended."""

    device_id: str
    time_ms: int
    session: int = 0


Entry = Report | Heard | Tick | SessionOpened | SessionClosed
