"""`lodestream decode`: the gateway's session and the workers' decoders over lines of a file, without any service."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, TextIO

from deploy.cli.frame_view import reading
from gateway.aliases import Aliases
from gateway.session import Session
from gateway.turn import OutFrame, Turn
from schemas.records import Frame, FrameKind

ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{2}|[rnt0\\])")
ESCAPED = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\x00", b"\\": b"\\"}


class BadLine(ValueError):
    """A line that is not of the form that decode takes; the message says why."""


class Stream:
    """One session of the input: the gateway's Session, and whether its arrival times are known."""

    def __init__(self, name: str, transport: str) -> None:
        self.name = name
        self.transport = transport
        self._aliases = Aliases()  # what one session teaches is not applied to another: lines may come from anywhere
        self._now_ms: int | None = None
        self._unknown_before = 0
        self._new()

    def _new(self) -> None:
        self.session = Session(self.name, "", self.transport, self._now_ms or 0, self._aliases)

    def feed(self, data: bytes, received_ms: int | None) -> Turn:
        if received_ms is not None:
            if self._now_ms is None and self.session.bytes_in == 0:
                self._now_ms = received_ms
                self._new()
            self._now_ms = max(received_ms, self._now_ms or 0)
        now_ms = self._now_ms or 0
        turn = self.session.datagram(data, now_ms) if self.transport == "udp" else self.session.receive(data, now_ms)
        if turn.close:
            self._unknown_before += self.session.unknown_bytes
            self._new()
        return turn

    def finish(self) -> Turn:
        return self.session.finish(self._now_ms or 0)

    @property
    def unknown_bytes(self) -> int:
        return self._unknown_before + self.session.unknown_bytes

    def rows(self, turn: Turn, explained: bool) -> list[dict[str, Any]]:
        """The frames of a turn as decode prints them; undecided bytes are no frames."""
        return [
            frame_row(out, self.transport, self._now_ms, explained)
            for out in turn.frames
            if out.kind != FrameKind.UNDECIDED
        ]


def frame_row(out: OutFrame, transport: str, received_ms: int | None, explained: bool) -> dict[str, Any]:
    """One frame: what the gateway decided and what the decoder reads."""
    arrived = None if received_ms is None else out.received_ms
    frame = Frame(out.payload, out.protocol, out.device_id or None, arrived, transport, out.row.dialect, out.row.login)
    return {
        "protocol": out.protocol or None,
        "device_id": out.device_id or None,
        "frame_hex": out.payload.hex(),
        "reply_hex": None if out.reply is None else out.reply.hex(),
    } | reading(frame, out.kind, explained)


def parse_line(line: bytes, text: bool) -> tuple[bytes, str, str, int | None]:
    """(bytes, session, transport, received_ms) of one input line; raises BadLine."""
    line = line.rstrip(b"\r\n")
    if text:
        return ESCAPE.sub(_unescape, line), "", "tcp", None
    if not line.lstrip().startswith(b"{"):
        return _hex(line.decode("ascii", "replace")), "", "tcp", None
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadLine(f"not JSON: {error}") from None
    transport = row.get("transport", "tcp")
    if transport not in ("tcp", "udp"):
        raise BadLine(f"transport {transport!r} is neither tcp nor udp")
    received = row.get("received_ms")
    if received is not None and (isinstance(received, bool) or not isinstance(received, int)):
        raise BadLine(f"received_ms {received!r} is no whole number of milliseconds")
    if not isinstance(row.get("hex"), str):
        raise BadLine('no "hex"')
    return _hex(row["hex"]), str(row.get("session", "")), transport, received


def _unescape(match: re.Match[bytes]) -> bytes:
    word = match[1]
    return bytes([int(word[1:], 16)]) if word[:1] == b"x" else ESCAPED[word]


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text.strip())
    except ValueError:
        raise BadLine(f"not hex: {text[:40]!r} (for text use --text)") from None


def run(lines: Iterable[bytes], out: TextIO, text: bool, explained: bool = False) -> int:
    """Decode line by line; returns the exit code: 1 when a line was malformed (it is named, the others are decoded)."""
    streams: dict[tuple[str, str], Stream] = {}
    code = 0
    for number, line in enumerate(lines, 1):
        row: dict[str, Any] = {"line": number}
        try:
            data, name, transport, received_ms = parse_line(line, text)
        except BadLine as error:
            row |= {"error": str(error), "frames": [], "pending_bytes": 0}
            code = 1
        else:
            stream = streams.get((name, transport))
            if stream is None:
                stream = streams[name, transport] = Stream(name, transport)
            turn = stream.feed(data, received_ms)
            row |= {"frames": stream.rows(turn, explained), "pending_bytes": stream.session.pending_bytes}
            if turn.close:
                row["close"] = turn.close
        out.write(json.dumps(row) + "\n")
        out.flush()
    for stream in streams.values():
        frames = stream.rows(stream.finish(), explained)
        row = {"session": stream.name, "end": True, "frames": frames, "unknown_bytes": stream.unknown_bytes}
        out.write(json.dumps(row) + "\n")
    out.flush()
    return code
