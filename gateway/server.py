"""The sockets: TCP and UDP on one port. Only here are transports read, written, paused and closed."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import time
from collections import deque
from typing import Any

from gateway.admission import Admission
from gateway.aliases import Aliases
from gateway.connection import Connection, Peer, Ports
from gateway.metrics import GatewayMetrics
from gateway.publisher import Publisher
from gateway.session_log import SessionLog
from gateway.settings import GatewaySettings

log = logging.getLogger(__name__)

BACKLOG = 4096
UDP_RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""With the system's default a burst of 2,000 datagrams loses most of them (measured)."""
SWEEP_S = 0.25
NEWS_S = 60.0
RESUME_STEP = 64
SPARE_FILES = 100


def now_ms() -> int:
    """The gateway's clock, ms since the epoch UTC."""
    return time.time_ns() // 1_000_000


class Server(Ports):
    """Everything of one gateway process that lives on the event loop."""

    def __init__(
        self,
        settings: GatewaySettings,
        gateway_id: str,
        metrics: GatewayMetrics,
        aliases: Aliases,
        admission: Admission,
    ) -> None:
        self.settings = settings
        self.gateway_id = gateway_id
        self.metrics = metrics
        self.aliases = aliases
        self.admission = admission
        self.publisher = Publisher(settings, gateway_id, metrics, aliases, self.resume_some, self.count_replied)
        self.session_log = SessionLog(gateway_id, settings.kafka_partitions, self.publisher.send_session_rows)
        self.connections: set[Connection] = set()
        self.peers: dict[tuple[str, int], Peer] = {}
        self.waiting: set[Connection] = set()
        self.paused: deque[Connection] = deque()
        self.replied_ms = []
        self.port = 0
        self.limit = settings.connections or self._files_allow()
        self._sequence = 0
        self._started_ms = now_ms()
        self._server: Any = None
        self._udp: Any = None
        self._timers: list[asyncio.Task[None]] = []
        self.closing = False

    @staticmethod
    def _files_allow() -> int:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return max(16, hard - SPARE_FILES) if hard != resource.RLIM_INFINITY else 1_000_000

    async def start(self) -> None:
        """Open the port. Raises OSError when it is in use or not allowed, KafkaUnavailable without a broker."""
        await self.publisher.start()
        loop, settings = asyncio.get_running_loop(), self.settings
        reuse = settings.reuse_port or None
        self._server = await loop.create_server(
            lambda: Connection(self), settings.host, settings.port, backlog=BACKLOG, reuse_port=reuse
        )
        self.port = self._server.sockets[0].getsockname()[1]
        udp = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_RECEIVE_BUFFER_BYTES)
            if settings.reuse_port:
                udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            udp.setblocking(False)
            udp.bind((settings.host, self.port))
        except OSError:
            udp.close()
            self._server.close()
            raise
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
        self._timers = [loop.create_task(self._sweep()), loop.create_task(self._tick())]
        log.info("listening on %s:%s TCP and UDP, up to %s connections", settings.host, self.port, self.limit)

    def next_session_id(self) -> str:
        """Unique over gateways and restarts."""
        self._sequence += 1
        return f"{self.gateway_id}-{self._started_ms:x}-{self._sequence:x}"

    # -- UDP --------------------------------------------------------------------------------------------------------

    def datagram(self, data: bytes, address: tuple[str, int]) -> None:
        peer = self.peers.get(address)
        if peer is None:
            if len(self.peers) >= self.settings.udp_peers:
                self.metrics.udp_dropped.labels("too_many_peers").inc()
                return
            peer = self.peers[address] = Peer(self, address)
        if self.closing or self.publisher.full:
            self.metrics.udp_dropped.labels("full").inc()
            return
        peer.receive(data)

    def send_datagram(self, data: bytes, address: tuple[str, int]) -> None:
        self._udp.sendto(data, address)

    # -- flow -------------------------------------------------------------------------------------------------------

    def count_replied(self) -> None:
        """The chunks of a record were replied to just now: their latencies, all at once."""
        if self.replied_ms:
            self.metrics.reply_seconds.observe("tcp and udp", self.replied_ms, now_ms())
            self.replied_ms.clear()

    def resume_some(self) -> None:
        """There is room again: let some paused connections read. In steps, or all deliver at once and it is full again."""
        for _ in range(min(RESUME_STEP, len(self.paused))):
            self.paused.popleft().resume_if_room()

    # -- time -------------------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """One timer for all time-outs: a timer per connection would cost more than the connections."""
        last_news = time.monotonic()
        settings = self.settings
        news_s = min(NEWS_S, settings.idle_timeout_s, settings.unknown_timeout_s, settings.udp_session_s)
        while True:
            await asyncio.sleep(SWEEP_S)
            now = now_ms()
            for connection in [c for c in self.waiting if c.session.waits]:
                connection.advance(now)
            self.waiting = {c for c in self.waiting if c.session.waits and not c.closed}
            self.publisher.refresh_full()
            if not self.publisher.full:
                self.resume_some()
            self.session_log.flush()
            self._gauges()
            if time.monotonic() - last_news >= news_s:
                last_news = time.monotonic()
                for connection in list(self.connections):
                    connection.housekeep(now)
                for peer in list(self.peers.values()):
                    peer.housekeep(now)

    async def _tick(self) -> None:
        while True:
            self.publisher.tick(now_ms())
            await asyncio.sleep(self.settings.tick_s)

    def _gauges(self) -> None:
        self.metrics.connections.labels("tcp").set(len(self.connections))
        self.metrics.connections.labels("udp").set(len(self.peers))
        self.metrics.waiting_bytes.set(self.publisher.waiting_bytes)
        self.metrics.paused.set(len(self.paused))
        self.metrics.aliases.set(self.aliases.learnt)
        self.metrics.bytes_in.labels("tcp").inc(self.bytes_tcp)
        self.metrics.bytes_in.labels("udp").inc(self.bytes_udp)
        self.metrics.replies.inc(self.writes)
        self.bytes_tcp = self.bytes_udp = self.writes = 0
        self.metrics.alias_conflicts.inc(self.aliases.take_conflicts())
        self.metrics.unregistered.inc(self.admission.unregistered)
        self.admission.unregistered = 0
        for limit, count in self.admission.limited.items():
            self.metrics.limited.labels(limit).inc(count)
            self.admission.limited[limit] = 0

    # -- the end ----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Stop accepting and reading, let what was read become durable and be answered, then close."""
        self.closing = True
        for timer in self._timers:
            timer.cancel()
        if self._server is not None:
            self._server.close()
        for connection in self.connections:
            connection.stop_reading()
        if not await self.publisher.drain(self.settings.drain_s):
            log.warning("not everything became durable in %s s: those devices were not answered", self.settings.drain_s)
        for connection in list(self.connections):
            connection.close("shutdown")
        for peer in list(self.peers.values()):
            peer.close("shutdown")
        await asyncio.sleep(0)
        await self.publisher.drain(self.settings.drain_s)
        await self.session_log.drain(2.0)
        if self._udp is not None:
            self._udp.close()
        await self.publisher.stop()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: Server) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._server.datagram(data, addr[:2])

    def error_received(self, exc: Exception) -> None:
        log.debug("UDP: %s", exc)  # an ICMP answer to a reply: the device is gone
