"""What a protocol module offers to the port: rules of the detection table, a framer, identity, reply, commands.

A protocol is one module here (its wire), its twin in processors/decoders (its meaning), and one line in each registry.
Modules are used as objects: `ProtocolModule` says what they must have; mypy checks it. All of it is pure: bytes in,
values out; no clock, no socket. A module never imports another protocol's module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

TEXT_FRAME_BYTES = 1024
"""Longest text frame; what runs on without an end is noise."""
LARGE_FRAME_BYTES = 32 * 1024
"""Longest frame of protocols that carry photos, voice or batches."""


class Verdict(IntEnum):
    """The answer of a detection rule."""

    NO = 0
    MORE = 1
    YES = 2


Detect = Callable[[bytes, bool], Verdict]
"""(buffer from its first candidate byte, ended) -> verdict. `ended`: nothing more will come for now (a datagram, or 2 s
of silence), so MORE then counts as NO, and rules that are decided by silence give their end answer. Not ended, NO is
final: whatever begins with these bytes is NO too. Never raises, for any bytes but none."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the detection table; the table is walked in order of `number`.

    raw: looks at the bytes before leading CR, LF, blank and NUL are dropped. whole: may wait for a declared length,
    longer than other rules. transport: only there, when not empty. first: the bytes it can begin with; empty: any.
    """

    number: float
    protocol: str
    detect: Detect
    raw: bool = False
    whole: bool = False
    transport: str = ""
    first: bytes = b""


def _nowhere(_buffer: bytes, _start: int, /) -> int:
    return -1


@dataclass(slots=True)
class Facts:
    """What a session knows and a module may use or learn: it lives as long as the session.

    device_id: identity of the session, decided by the gateway. dialect and login travel with each frame to its decoder.
    frame_bytes: length of the last frame without a length field of its own (h02 binary). strong: index at or after start
    where a frame of any protocol surely begins, or -1; given by the session, for framers that end where the next begins.
    server: host:port at which devices reach this port, for those that ask; empty: not known. last_report and repeats: a
    mark of the last report, and whether the device once sent it again because nobody answered (h02).
    """

    transport: str = "tcp"
    device_id: str = ""
    dialect: str = ""
    login: bytes = b""
    frame_bytes: int = 0
    strong: Callable[[bytes, int], int] = _nowhere
    server: str = ""
    last_report: int = 0
    repeats: bool = False


class Status(IntEnum):
    """What `split` found at a frame boundary."""

    FRAME = 0
    """bytes[start:end] is one complete frame; what stood before start is noise."""
    MORE = 1
    """Not complete yet: bytes[start:] must be kept; what stood before start is noise."""
    FOREIGN = 2
    """bytes[start:] does not begin like this protocol: the table decides."""
    REFUSED = 3
    """No tracker speaks this protocol (TLS, MQTT ...): the bytes are published as undecided, the connection is closed."""


class Split(NamedTuple):
    status: Status
    start: int
    end: int = 0


class Identity(NamedTuple):
    """Who a frame says it is from.

    id: the id as the frame carries it, leading zeros kept, empty when it carries none. imei: 15 digits when the frame
    carries an IMEI (as its id or beside it), else empty. binds: later frames without an id of their own belong to it.
    awaits_login: without any id it is held until the connection says who it is; False where nobody would read the login
    (recognised protocols without a decoder): such a frame goes out at once, without a device if the session has none.
    """

    id: str = ""
    imei: str = ""
    binds: bool = True
    awaits_login: bool = True


NO_IDENTITY = Identity(binds=False)


class Reply(NamedTuple):
    """Bytes for the device. at_once: the device's timeout is too short to wait for durability (the module says why)."""

    data: bytes
    at_once: bool = False


class ProtocolModule(Protocol):
    """What registry.PROTOCOLS lists."""

    NAME: str
    RULES: tuple[Rule, ...]
    QUIET_MS: int
    """Silence after which a frame that only silence ends is taken as complete."""

    def strong_start(self, buffer: bytes, start: int, /) -> int:
        """Index at or after start where a frame of this protocol surely begins (docs/design.md), or -1. Linear."""
        ...

    def split(self, buffer: bytes, start: int, facts: Facts, quiet: bool, /) -> Split:
        """Find the frame that begins at start, the boundary after the last one.

        quiet: no byte came for a while (or the buffer is a datagram), so a frame that only silence ends is complete.
        Raises FrameError when the bytes begin like this protocol but cannot be a frame (too long, impossible length).
        Must not depend on how the stream was cut, and must cost no more than linear time over all calls.
        """
        ...

    def resync(self, buffer: bytes, start: int, /) -> int:
        """Index at or after start where a frame of this protocol may begin, len(buffer) when nowhere."""
        ...

    def validates(self, frame: bytes, /) -> bool:
        """True when the frame proves itself (checksum, or start, end and a plausible date): it may switch a connection."""
        ...

    def identify(self, frame: bytes, facts: Facts, /) -> Identity:
        """Who sent the frame. May set facts.login and facts.dialect. Never raises: what is unreadable has no identity."""
        ...

    def reply(self, frame: bytes, facts: Facts, now_ms: int, /) -> Reply | None:
        """What the device must be answered once the frame is durable, or None. Never raises."""
        ...
