"""One device's connection or UDP peer: moves bytes between its transport, its session and the publisher."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

from gateway.admission import Admission
from gateway.aliases import Aliases
from gateway.metrics import GatewayMetrics
from gateway.publisher import Chunk, Publisher
from gateway.session import Session
from gateway.session_log import SessionLog
from gateway.settings import GatewaySettings
from gateway.turn import Turn
from schemas.records import EntryKind

WRITE_BUFFER_BYTES = 64 * 1024
SLOW_READER_S = 30.0
"""A device that does not read its replies for so long is closed."""


class Ports:
    """What a connection uses of the server it belongs to."""

    settings: GatewaySettings
    metrics: GatewayMetrics
    aliases: Aliases
    admission: Admission
    publisher: Publisher
    session_log: SessionLog
    connections: set[Connection]
    peers: dict[tuple[str, int], Peer]
    waiting: set[Connection]
    paused: deque[Connection]
    limit: int
    closing: bool
    replied_ms: list[int]
    """Arrivals of the chunks that were replied to since the publisher last counted them."""
    bytes_tcp = bytes_udp = writes = 0
    """Counted here because a metric object costs a microsecond per chunk; the sweep hands them over."""

    def next_session_id(self) -> str:
        raise NotImplementedError

    def send_datagram(self, data: bytes, address: tuple[str, int]) -> None:
        raise NotImplementedError


class _Endpoint:
    """What TCP and UDP share: chunks in flight, replies in order, what is told of the session."""

    __slots__ = (
        "_chunks",
        "_last_in",
        "_last_news",
        "_last_out",
        "_ports",
        "bytes_out",
        "last_ms",
        "replies",
        "session",
    )
    session: Session

    def _begin(self, ports: Ports, peer: str, transport: str) -> None:
        self._ports = ports
        self.last_ms = self._last_news = _now_ms()
        server = ports.settings.public_address
        self.session = Session(
            ports.next_session_id(), peer, transport, self.last_ms, ports.aliases, server, ports.admission
        )
        self._chunks: deque[Chunk] = deque()
        self.bytes_out = self.replies = 0
        self._last_in = self._last_out = b""
        ports.metrics.opened.labels(transport).inc()

    def _note(self, status: str, reason: str = "") -> None:
        self._ports.session_log.note(
            self.session, status, _now_ms(), (self.bytes_out, self.replies), (self._last_in, self._last_out), reason
        )
        self._last_news = self.session.bytes_in

    def _take(self, turn: Turn, received_ms: int) -> None:
        """Publish what a turn gave."""
        publisher = self._ports.publisher
        if turn.opened:
            for device_id in turn.opened:
                publisher.entry(self.session.row, EntryKind.OPENED, device_id, received_ms)
            self._note("identified")
        if turn.frames:
            chunk = Chunk(self, received_ms)
            self._chunks.append(chunk)
            publisher.submit(chunk, turn.frames)
            self._remember(chunk)
            early = b"".join(f.reply for f in turn.frames if f.at_once and f.reply)
            if early:
                self._write(early)

    def durable(self) -> None:
        """Some chunk is durable: write the replies of all leading durable chunks at once, in their order."""
        ports, parts, now = self._ports, [], _now_ms()
        replied = ports.replied_ms
        oldest_ms = now - int(ports.settings.reply_max_age_s * 1000)
        while self._chunks and not self._chunks[0].missing:
            chunk = self._chunks.popleft()
            self._forget(chunk)
            if chunk.reply:
                if chunk.received_ms < oldest_ms:
                    ports.metrics.replies_dropped.labels("old").inc()
                    continue
                parts.append(chunk.reply)
                self.replies += chunk.replies
                replied.append(chunk.received_ms)
        if parts:
            self._write(parts[0] if len(parts) == 1 else b"".join(parts))
            ports.writes += 1

    def _remember(self, chunk: Chunk) -> None:
        """A chunk is in flight."""

    def _forget(self, chunk: Chunk) -> None:
        """A chunk is no longer in flight."""

    def _write(self, data: bytes) -> None:
        raise NotImplementedError

    def _end(self, reason: str, transport: str) -> None:
        now = _now_ms()
        self._take(self.session.finish(now), now)
        for device_id in self.session.devices:
            self._ports.publisher.entry(self.session.row, EntryKind.CLOSED, device_id, now)
        self._note("closed", reason)
        self._ports.metrics.closed.labels(transport, reason).inc()


class Connection(_Endpoint, asyncio.Protocol):
    """A TCP connection."""

    __slots__ = ("_bytes", "_eof", "_frames", "_paused", "_reason", "_slow_since", "_transport", "closed")

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._transport: Any = None
        self._frames = self._bytes = 0
        self._paused = self._eof = self.closed = False
        self._reason = "device"
        self._slow_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        ports, self._transport = self._ports, transport
        address = transport.get_extra_info("peername") or ("?", 0)
        self._begin(ports, f"{address[0]}:{address[1]}", "tcp")
        if ports.closing or len(ports.connections) >= ports.limit:
            ports.metrics.refused.inc()
            self._reason = "limit"
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        ports.connections.add(self)
        self._note("opened")

    def data_received(self, data: bytes) -> None:
        now = self.last_ms = _now_ms()
        self._last_in = data
        session = self.session
        turn = session.receive(data, now)
        self._take(turn, now)
        self._ports.bytes_tcp += len(data)
        if turn.close:
            self.close(turn.close)
            return
        if session.waits:
            self._ports.waiting.add(self)
        settings = self._ports.settings
        if (
            self._ports.publisher.full
            or self._frames >= settings.connection_frames
            or self._bytes >= settings.connection_bytes
        ):
            self._pause()

    def advance(self, now_ms: int) -> None:
        """Let silence end a frame or a wait."""
        turn = self.session.advance(now_ms)
        self._take(turn, now_ms)
        if turn.close:
            self.close(turn.close)

    def housekeep(self, now_ms: int) -> None:
        """Time-outs and the news of a minute."""
        settings = self._ports.settings
        limit_s = settings.idle_timeout_s if self.session.facts.device_id else settings.unknown_timeout_s
        if self._slow_since and time.monotonic() - self._slow_since > SLOW_READER_S:
            self._reason = "slow reader"
            self._transport.abort()
        elif now_ms - self.last_ms > limit_s * 1000 and not self._paused:
            self.close("idle")
        elif self.session.bytes_in != self._last_news:
            self._note("active")

    # -- flow -------------------------------------------------------------------------------------------------------

    def _pause(self) -> None:
        if not self._paused and not self.closed:
            self._paused = True
            self._transport.pause_reading()
            self._ports.paused.append(self)

    def stop_reading(self) -> None:
        """At shutdown: what was read is finished, nothing more is taken."""
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume_if_room(self) -> None:
        """Read again if nothing holds this connection back any more; else queue up again."""
        if self.closed or not self._paused:
            return
        settings = self._ports.settings
        if self._ports.closing:
            return
        if (
            self._frames >= settings.connection_frames
            or self._bytes >= settings.connection_bytes
            or self._slow_since
            or self._ports.publisher.full
        ):
            self._ports.paused.append(self)
            return
        self._paused = False
        self._transport.resume_reading()

    def _remember(self, chunk: Chunk) -> None:
        self._frames += chunk.frames
        self._bytes += chunk.bytes

    def _forget(self, chunk: Chunk) -> None:
        self._frames -= chunk.frames
        self._bytes -= chunk.bytes

    def durable(self) -> None:
        super().durable()
        if self._eof and not self._chunks:
            self.close("device")

    def pause_writing(self) -> None:
        self._slow_since = time.monotonic()
        self._pause()

    def resume_writing(self) -> None:
        self._slow_since = 0.0

    def _write(self, data: bytes) -> None:
        if self.closed or self._transport.is_closing():
            self._ports.metrics.replies_dropped.labels("closed").inc()
            return
        self.bytes_out += len(data)
        self._last_out = data
        self._transport.write(data)

    # -- the end ----------------------------------------------------------------------------------------------------

    def eof_received(self) -> bool:
        """The device will send no more but may still read: it is answered before the connection is closed."""
        now = _now_ms()
        self._take(self.session.finish(now), now)
        self._eof = True
        return bool(self._chunks)

    def close(self, reason: str) -> None:
        """Close after what was written has left."""
        self._reason = reason
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._ports.connections.discard(self)
        self._end(self._reason, "tcp")


class Peer(_Endpoint):
    """A UDP peer: an address that sent datagrams lately."""

    __slots__ = ("_address",)

    def __init__(self, ports: Ports, address: tuple[str, int]) -> None:
        self._address = address
        self._begin(ports, f"{address[0]}:{address[1]}", "udp")

    def receive(self, data: bytes) -> None:
        now = self.last_ms = _now_ms()
        self._last_in = data
        self._ports.bytes_udp += len(data)
        self._take(self.session.datagram(data, now), now)

    def _write(self, data: bytes) -> None:
        self.bytes_out += len(data)
        self._last_out = data
        self._ports.send_datagram(data, self._address)

    def housekeep(self, now_ms: int) -> None:
        if now_ms - self.last_ms > self._ports.settings.udp_session_s * 1000:
            self.close("expired")
        elif self.session.bytes_in != self._last_news:
            self._note("active")

    def close(self, reason: str) -> None:
        self._ports.peers.pop(self._address, None)
        self._end(reason, "udp")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
