"""A partition's state in Kafka: loading it from snapshots and the log of receipts, and writing slices in turn."""

from __future__ import annotations

import asyncio
import logging
import time

from processors.metrics import TrackMetrics
from processors.partition import SLICES, Partition
from schemas import codec
from schemas.clients.kafka import BRIEF_MS, TopicPartition, assigned_consumer, read_range
from schemas.clients.producer import DurableProducer
from schemas.records import PositionBatch, Snapshot
from schemas.topics import FRAMES, POSITIONS, SNAPSHOTS

log = logging.getLogger(__name__)


async def load(bootstrap: str, partition: Partition, metrics: TrackMetrics) -> None:
    """Bring a new partition to what its log tells.

    Takes the newest snapshot of every slice, then the receipts behind them in log order. When retention removed frames
    that were never processed it goes on at the first that is left, and counts what is missing.
    """
    started, number = time.monotonic(), partition.number
    snapshots, receipts, frames = (TopicPartition(topic, number) for topic in (SNAPSHOTS, POSITIONS, FRAMES))
    consumer = assigned_consumer(bootstrap, BRIEF_MS)
    await consumer.start()
    try:
        ends = await consumer.end_offsets([snapshots, receipts])
        consumer.assign([snapshots])
        slices = {
            record.key: record.value
            async for record in read_range(consumer, snapshots, 0, ends[snapshots])
            if record.value is not None
        }
        start = partition.load_snapshots(codec.decode(value, Snapshot) for value in slices.values())
        slices.clear()
        consumer.assign([receipts])
        async for record in read_range(consumer, receipts, start, ends[receipts]):
            partition.apply(codec.decode(record.value, PositionBatch), record.offset)
        partition.loaded()
        first = (await consumer.beginning_offsets([frames]))[frames]
    finally:
        await consumer.stop()
    if partition.next < first:
        missing = first - partition.next
        if partition.next:
            metrics.missing.inc(missing)
            log.error("frames-%s: %s records were removed by retention before they were processed", number, missing)
        partition.next = first
    seconds = time.monotonic() - started
    metrics.load_seconds.observe(seconds)
    log.info("frames-%s: %s devices, next %s, loaded in %.2f s", number, len(partition.states), partition.next, seconds)


class Slices:
    """Writes the slices of all partitions of a worker, each within `period_s`, and all of them at the end."""

    def __init__(self, producer: DurableProducer, metrics: TrackMetrics, period_s: float) -> None:
        self._producer = producer
        self._metrics = metrics
        self._step_s = period_s / SLICES
        self._turn = 0
        self._written: dict[tuple[int, int], int] = {}
        """`next` of the snapshot last written, by (partition, slice)."""

    async def run(self, partitions: dict[int, Partition]) -> None:
        """Write one slice of each partition per step, for ever."""
        while True:
            await asyncio.sleep(self._step_s)
            self._turn = (self._turn + 1) % SLICES
            await self._write(list(partitions.values()), [self._turn])

    async def write_all(self, partitions: dict[int, Partition]) -> None:
        """Write every slice that is behind: at SIGTERM, so that the next start reads no tail."""
        await self._write(list(partitions.values()), list(range(SLICES)))

    async def _write(self, partitions: list[Partition], numbers: list[int]) -> None:
        sends = []
        now_ms = round(time.time() * 1000)
        for partition in partitions:
            due = [n for n in numbers if self._written.get((partition.number, n)) != partition.next]
            for snapshot in partition.snapshots(now_ms, due):
                self._written[partition.number, snapshot.slice] = snapshot.next
                key = f"{snapshot.partition}-{snapshot.slice}".encode()
                sends.append(self._producer.send(SNAPSHOTS, codec.encode(snapshot), partition.number, key))
        if sends:
            await asyncio.gather(*sends)
            self._metrics.snapshots.inc(len(sends))
