"""What a protocol is that the port recognises and frames, and does not decode yet: rules, a framer, no identity, no reply.

Its frames carry its name, are kept, and are never answered. When one of them gets a decoder, it gets a module of its own
beside tk103 and leaves this package.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.protocols.base import TEXT_FRAME_BYTES, Facts, Identity, Reply, Rule, Split, Status
from gateway.protocols.recognised.heads import Head
from schemas.errors import FrameError, Reason

FrameEnd = Callable[[bytes, int, bool], int]
"""(buffer, start of a frame, quiet) -> index behind the frame, INCOMPLETE or IMPOSSIBLE."""
INCOMPLETE = 0
IMPOSSIBLE = -1

KEPT = Identity(binds=False, awaits_login=False)
"""Who a frame is from that nobody can read yet: it does not wait for a login."""
NOISE = rb"[\r\n \x00]*"
"""What may stand between two frames without meaning anything."""
LINE_NOISE = rb"[\r\n ]*"
"""The same where frames begin with NUL."""
SILENCE_MS = 2_000


class Proof(Protocol):
    """Says whether buffer begins with a complete frame of the protocol that its checksum proves."""

    def __call__(self, buffer: bytes, /) -> bool: ...


def unproven(buffer: bytes, /) -> bool:
    """Proof of protocols without checksum: nothing proves them."""
    return False


@dataclass(slots=True, eq=False)
class Recognised:
    """A recognised protocol; satisfies base.ProtocolModule.

    start: heads of frames on a connection that is this protocol's. end: where a frame ends. strong: pattern of a head
    that is certain behind garbage (docs/design.md), empty for none; sure: what must hold there besides. proof: for a
    change of protocol in the middle of a connection. served: False for what is closed at once (TLS and the like).
    """

    NAME: str
    RULES: tuple[Rule, ...]
    start: Head
    end: FrameEnd
    cap: int = TEXT_FRAME_BYTES
    noise: re.Pattern[bytes] = re.compile(NOISE)
    strong: bytes = b""
    sure: Proof | None = None
    proof: Proof = unproven
    served: bool = True
    QUIET_MS: int = SILENCE_MS

    def strong_start(self, buffer: bytes, start: int, /) -> int:
        """Index of a certain head at or after start, or -1. registry asks for all protocols at once instead."""
        if not self.strong:
            return -1
        for match in re.compile(self.strong, re.DOTALL).finditer(buffer, start):
            if self.is_sure(buffer, match.start()):
                return match.start()
        return -1

    def is_sure(self, buffer: bytes, at: int) -> bool:
        """What a match of `strong` at `at` must prove besides, from 2 KiB at most so that noise costs linear time."""
        return self.sure is None or self.sure(buffer[at : at + STRONG_BYTES])

    def split(self, buffer: bytes, start: int, facts: Facts, quiet: bool, /) -> Split:
        """Frame at start; what has no end within the cap is noise. Raises FrameError (bad_length) where none can be."""
        match = self.noise.match(buffer, start)
        begin = match.end() if match else start
        if begin >= len(buffer):
            return Split(Status.MORE, begin)
        if not self.start.whole.match(buffer, begin):
            return Split(Status.MORE if self.start.begun(buffer, begin) else Status.FOREIGN, begin)
        if not self.served:
            return Split(Status.REFUSED, begin)
        end = self.end(buffer, begin, quiet)
        if end > begin:
            return Split(Status.FRAME, begin, end)
        if end == IMPOSSIBLE:
            raise FrameError(Reason.BAD_LENGTH, f"no {self.NAME} frame", begin)
        if facts.transport == "udp":
            return Split(Status.FRAME, begin, len(buffer))  # cut short: nothing comes behind a datagram
        if len(buffer) - begin < self.cap:
            return Split(Status.MORE, begin)
        # all of it is dropped: to look for an end again behind each head in it would cost quadratic time
        return Split(Status.FOREIGN, begin + self.cap)

    def resync(self, buffer: bytes, start: int, /) -> int:
        """The next place where a head stands or may have begun, or the end of the buffer."""
        return self.start.find(buffer, start)

    def validates(self, frame: bytes, /) -> bool:
        """True when a checksum proves the frame."""
        return self.proof(frame)

    def identify(self, frame: bytes, facts: Facts, /) -> Identity:
        """Nobody: who sent it is for the decoder that comes one day."""
        return KEPT

    def reply(self, frame: bytes, facts: Facts, now_ms: int, /) -> Reply | None:
        """None: what is not decoded is not answered."""
        return None


STRONG_BYTES = 2 * 1024


def until(end: bytes, silent: bool = False, cap: int = TEXT_FRAME_BYTES) -> FrameEnd:
    """Frames that end where `end` matches; a look-ahead in it ends them before the next head.

    silent: silence ends them too. A frame is never longer than cap.
    """
    pattern = re.compile(end, re.DOTALL)

    def frame_end(buffer: bytes, start: int, quiet: bool) -> int:
        match = pattern.search(buffer, start + 1, start + cap)
        if match:
            return match.end()
        return len(buffer) if silent and quiet and len(buffer) - start <= cap else INCOMPLETE

    return frame_end


def declared(needed: int, length: Callable[[bytes, int], int], cap: int, end: bytes = b"") -> FrameEnd:
    """Frames that say their length: length(buffer, start), once `needed` bytes are there, is the whole length.

    end: bytes that must stand at the end.
    """

    def frame_end(buffer: bytes, start: int, quiet: bool) -> int:
        if len(buffer) - start < needed:
            return INCOMPLETE
        size = length(buffer, start)
        if not needed <= size <= cap:
            return IMPOSSIBLE
        if len(buffer) - start < size:
            return INCOMPLETE
        return start + size if buffer.endswith(end, start, start + size) else IMPOSSIBLE

    return frame_end


def big(at: int, width: int, extra: int) -> Callable[[bytes, int], int]:
    """Length for `declared`: unsigned number of width bytes at offset at, most significant byte first, plus extra."""
    return lambda buffer, start: int.from_bytes(buffer[start + at : start + at + width]) + extra


def little(at: int, width: int, extra: int) -> Callable[[bytes, int], int]:
    """The same, least significant byte first."""
    return lambda buffer, start: int.from_bytes(buffer[start + at : start + at + width], "little") + extra


def all_of_it(buffer: bytes, start: int, quiet: bool) -> int:
    """Frame end of protocols whose frame is the datagram, or what comes before a silence."""
    return len(buffer) if quiet else INCOMPLETE


def either(text: FrameEnd, binary: FrameEnd, lead: bytes) -> FrameEnd:
    """Frame end of a protocol with two forms: binary when the first byte is one of `lead`."""

    def frame_end(buffer: bytes, start: int, quiet: bool) -> int:
        return (binary if buffer[start] in lead else text)(buffer, start, quiet)

    return frame_end


def rule(number: float, protocol: str, head: Head | bytes, *, raw: bool = False, transport: str = "") -> Rule:
    """A row of the table that asks for a head alone."""
    if isinstance(head, bytes):
        head = Head(head)
    return Rule(number, protocol, head.detect, raw=raw, transport=transport, first=head.first)


def text(
    number: float,
    name: str,
    head: bytes,
    end: FrameEnd,
    *,
    strong: bytes = b"",
    cap: int = TEXT_FRAME_BYTES,
    proof: Proof = unproven,
) -> Recognised:
    """A protocol with one rule, whose frames begin as the rule says and `until` ends them."""
    start = Head(head)
    return Recognised(name, (rule(number, name, start),), start, end, cap, strong=strong, proof=proof)
