"""What a session gives back: frames to publish, with what travels with them and what the device is answered. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.records import FrameKind


class SessionRow(NamedTuple):
    """What travels with the frames of a session; a new row each time the facts change."""

    session_id: str
    peer: str
    transport: str
    opened_ms: int
    dialect: str
    login: bytes


@dataclass(slots=True)
class OutFrame:
    """One unit to publish. reply: bytes for the device once it is durable, None for none. device_id empty: unknown."""

    kind: FrameKind
    protocol: str
    device_id: str
    payload: bytes
    received_ms: int
    row: SessionRow
    reply: bytes | None = None
    at_once: bool = False


@dataclass(slots=True)
class Turn:
    """What one call gave: frames in order; devices identified for the first time on this session; close: why, or empty."""

    frames: list[OutFrame] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    close: str = ""
