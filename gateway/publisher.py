"""Frames to Kafka in batches: one lane a partition, one record in flight a lane, replies released when it is durable.

Why so: a record costs about a millisecond of CPU whatever is in it, so frames share records (cut on one clock for all
partitions); aiokafka keeps order only while its own buffers have room, so a lane waits for each acknowledgement.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter as CountOf
from collections import deque
from collections.abc import Callable
from typing import Protocol

from gateway.aliases import Aliases
from gateway.batch import SESSIONS_LIMIT, Batch
from gateway.metrics import GatewayMetrics
from gateway.settings import GatewaySettings
from gateway.turn import OutFrame, SessionRow
from schemas import codec
from schemas.clients.producer import DurableProducer
from schemas.records import Alias, EntryKind, FrameKind
from schemas.topics import ALIASES, FRAMES, partition_of

log = logging.getLogger(__name__)

CHUNK_OVERHEAD_BYTES = 600
PARTITION_CACHE = 100_000
EXIT_BUG = 70
"""Exit code of a process that found a bug of ours (sysexits: internal software error); the supervisor restarts it."""


class Owner(Protocol):
    """The connection that a chunk came from, as the publisher sees it."""

    def durable(self) -> None:
        """One of its chunks is durable: replies may leave."""


class Chunk:
    """One delivery of a connection: its joined replies may leave when every record that holds a part is durable."""

    __slots__ = ("bytes", "frames", "missing", "owner", "received_ms", "replies", "reply")

    def __init__(self, owner: Owner, received_ms: int) -> None:
        self.owner = owner
        self.received_ms = received_ms
        self.reply = b""
        self.replies = 0
        self.frames = 0
        self.bytes = 0
        self.missing = 0


class Lane:
    """The state of one partition."""

    __slots__ = ("busy_since", "current", "last_cut", "number", "queue")

    def __init__(self, number: int) -> None:
        self.number = number
        self.current = Batch()
        self.queue: deque[Batch] = deque()
        self.busy_since = 0.0
        self.last_cut = 0.0


class Publisher:
    """All lanes of a gateway and the producer they share."""

    def __init__(
        self,
        settings: GatewaySettings,
        gateway_id: str,
        metrics: GatewayMetrics,
        aliases: Aliases,
        on_room: Callable[[], None],
        on_replied: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._gateway_id = gateway_id
        self._metrics = metrics
        self._aliases = aliases
        self._on_room = on_room
        self._on_replied = on_replied
        self._lanes = [Lane(number) for number in range(settings.kafka_partitions)]
        self._partitions: dict[str, Lane] = {}
        self._urgent: set[Lane] = set()
        self._urgent_armed = self._grid_armed = False
        self._alias_sends: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._producer = DurableProducer(settings.kafka_bootstrap, gateway_id, metrics.produce_failures.inc)
        self._linger_s = settings.linger_ms / 1000
        self.waiting_bytes = 0
        self.full = False
        """True while nothing more should be read."""
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Connect; raises KafkaUnavailable."""
        await self._producer.start()

    def refresh_full(self) -> None:
        """Decide whether anything more should be read: not while the buffer is full, or Kafka is away."""
        if self.waiting_bytes >= self._settings.buffer_bytes:
            self.full = True
            return
        oldest = min((lane.busy_since for lane in self._lanes if lane.busy_since), default=0.0)
        self.full = bool(oldest) and self._loop.time() - oldest > self._settings.away_s

    # -- taking in --------------------------------------------------------------------------------------------------

    def _lane_of(self, key: str) -> Lane:
        lane = self._partitions.get(key)
        if lane is None:
            if len(self._partitions) >= PARTITION_CACHE:
                self._partitions.clear()
            lane = self._partitions[key] = self._lanes[partition_of(key, len(self._lanes))]
        return lane

    def submit(self, chunk: Chunk, frames: list[OutFrame]) -> None:
        """Queue the frames of one chunk; chunk.owner.durable() is called once all of them are acknowledged."""
        last: Batch | None = None
        replies = []
        for out in frames:
            lane = self._lane_of(out.device_id or out.row.session_id)
            batch = self._room(lane)
            batch.add_frame(out)
            chunk.bytes += len(out.payload)
            if out.reply is not None and not out.at_once:
                replies.append(out.reply)
            if batch is not last:
                batch.waiters.append(chunk)
                chunk.missing += 1
                last = batch
                self._arm(lane)
        chunk.frames = len(frames)
        chunk.reply = replies[0] if len(replies) == 1 else b"".join(replies)
        chunk.replies = len(replies)
        chunk.bytes += CHUNK_OVERHEAD_BYTES
        self.waiting_bytes += chunk.bytes
        if self.waiting_bytes >= self._settings.buffer_bytes:
            self.full = True

    def entry(self, row: SessionRow, kind: EntryKind, device_id: str, time_ms: int) -> None:
        """Queue the opening or closing of an identified session, in the device's partition."""
        lane = self._lane_of(device_id)
        self._room(lane).add_entry(row, kind, device_id, time_ms)
        self._arm(lane)

    def tick(self, now_ms: int) -> None:
        """Queue a clock tick for every partition."""
        for lane in self._lanes:
            lane.current.ticks_ms.append(now_ms)
        self._arm_grid()

    def _room(self, lane: Lane) -> Batch:
        """The batch of a lane that may still grow."""
        batch = lane.current
        if (
            len(batch.frames.kind) >= self._settings.record_frames
            or batch.bytes >= self._settings.record_bytes
            or len(batch.rows) >= SESSIONS_LIMIT
            or len(batch.entries.kind) >= SESSIONS_LIMIT
        ):
            lane.queue.append(batch)
            batch = lane.current = Batch()
        return batch

    # -- the clock --------------------------------------------------------------------------------------------------

    def _arm(self, lane: Lane) -> None:
        if lane.busy_since:
            return  # its acknowledgement goes on with what waits
        if self._loop.time() - lane.last_cut >= self._linger_s:
            self._urgent.add(lane)
            if not self._urgent_armed:
                self._urgent_armed = True
                self._loop.call_soon(self._cut_urgent)
        else:
            self._arm_grid()

    def _arm_grid(self) -> None:
        if not self._grid_armed:
            self._grid_armed = True
            now = self._loop.time()
            self._loop.call_at(now - now % self._linger_s + self._linger_s, self._cut_grid)

    def _cut_urgent(self) -> None:
        self._urgent_armed = False
        urgent, self._urgent = self._urgent, set()
        for lane in urgent:
            self._cut(lane)

    def _cut_grid(self) -> None:
        self._grid_armed = False
        for lane in self._lanes:
            self._cut(lane)

    def _cut(self, lane: Lane) -> None:
        """Send the next record of a lane unless one is under way."""
        if lane.busy_since:
            return
        if lane.queue:
            batch = lane.queue.popleft()
        elif lane.current:
            batch, lane.current = lane.current, Batch()
        else:
            return
        lane.busy_since = lane.last_cut = self._loop.time()
        task = self._loop.create_task(self._send(lane, batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- sending ----------------------------------------------------------------------------------------------------

    async def _send(self, lane: Lane, batch: Batch) -> None:
        try:
            value = codec.encode(batch.to_record(self._gateway_id, lane.number))
            self._count(batch)
            waiters, batch.waiters = batch.waiters, []
            batch.frames.payload.clear()  # encoded: what waits for Kafka is held once
            await self._durable_aliases()
            await self._producer.send(FRAMES, value, lane.number)
            self._metrics.produce_seconds.observe(self._loop.time() - lane.busy_since)
            lane.busy_since = 0.0
            self._acknowledge(waiters)
        except Exception:
            log.critical("cannot publish: stopping, so that nothing is answered that is not durable", exc_info=True)
            logging.shutdown()
            os._exit(EXIT_BUG)
        if lane.queue:
            self._cut(lane)
        elif lane.current:
            self._arm(lane)

    async def _durable_aliases(self) -> None:
        """A frame that was attributed by a learnt pair must not be durable before the pair is."""
        for pair in self._aliases.take_unsent():
            task = self._loop.create_task(self.send_alias(self._alias(*pair)))
            self._alias_sends.add(task)
            task.add_done_callback(self._alias_sends.discard)
        if self._alias_sends:
            await asyncio.gather(*self._alias_sends)

    def _alias(self, protocol: str, short_id: str, device_id: str) -> Alias:
        return Alias(protocol, short_id, device_id, round(time.time() * 1000), self._gateway_id)

    async def send_alias(self, alias: Alias) -> None:
        """Make a pair durable."""
        key = f"{alias.protocol}:{alias.id}".encode("utf-8", "surrogateescape")
        await self._producer.send(ALIASES, codec.encode(alias), 0, key)

    async def send_session_rows(self, topic: str, value: bytes, partition: int) -> None:
        """Send a record that no reply waits for."""
        await self._producer.send(topic, value, partition)

    def _acknowledge(self, waiters: list[Chunk]) -> None:
        owners: dict[Owner, None] = {}
        for chunk in waiters:
            chunk.missing -= 1
            if not chunk.missing:
                self.waiting_bytes -= chunk.bytes
                owners[chunk.owner] = None
        for owner in owners:
            owner.durable()
        self._on_replied()
        if self.full:
            self.refresh_full()
        if not self.full:
            self._on_room()

    def _count(self, batch: Batch) -> None:
        """Per record what would cost too much per frame."""
        metrics, frames = self._metrics, batch.frames
        metrics.record_frames.observe(len(frames.kind))
        sizes: CountOf[str] = CountOf()
        counts: CountOf[str] = CountOf()
        for kind, protocol, payload in zip(frames.kind, frames.protocol, frames.payload, strict=True):
            if kind == FrameKind.UNDECIDED:
                metrics.unknown.inc(len(payload))
                continue
            if kind == FrameKind.NO_IDENTITY:
                metrics.no_identity.labels(protocol).inc()
            counts[protocol] += 1
            sizes[protocol] += len(payload)
        for protocol, count in counts.items():
            metrics.frames.labels(protocol).inc(count)
            metrics.frame_bytes.labels(protocol).inc(sizes[protocol])

    # -- the end ----------------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """True when everything taken in is durable."""
        return not self._tasks and not any(lane.busy_since or lane.queue or lane.current for lane in self._lanes)

    async def drain(self, timeout_s: float) -> bool:
        """Wait until everything is durable; False when timeout_s was not enough (devices send the rest again)."""
        deadline = self._loop.time() + timeout_s
        while not self.idle and self._loop.time() < deadline:
            self._cut_grid()
            await asyncio.sleep(0.01)
        return self.idle

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await self._producer.stop()
