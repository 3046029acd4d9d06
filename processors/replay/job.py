"""The work of a replay: frames from Kafka through Rework to the replay topics, with progress, and resumed where it was."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import OffsetAndMetadata

from processors.agents.rules import RulesReader
from processors.replay.rework import Counts, Output, Rework
from processors.replay.selection import Place, Selection
from processors.replay.store import ReplayError
from processors.settings import WorkerSettings
from schemas import codec
from schemas.clients.kafka import TopicPartition, assigned_consumer
from schemas.clients.producer import DurableProducer
from schemas.records import EventBatch, FrameBatch, PositionBatch
from schemas.topics import EVENTS, FRAMES, POSITIONS, REJECTED, REPLAY

log = logging.getLogger(__name__)

RECORDS_AT_ONCE = 16
FRAMES_AT_ONCE = 2000
COMMIT_S = 1.0


@dataclass(slots=True)
class Part:
    """One partition of a run: offsets from the begin of the warm-up (start) to the end; done: the first not written."""

    number: int
    start: int
    end: int
    done: int
    counts: Counts = field(default_factory=Counts)


@dataclass(slots=True)
class Progress:
    """What is told while it runs. records: of the log, warm-up included."""

    records: int = 0
    total: int = 0
    frames: int = 0
    began_s: float = field(default_factory=time.monotonic)

    @property
    def frames_per_s(self) -> float:
        return self.frames / max(time.monotonic() - self.began_s, 1e-3)

    @property
    def left_s(self) -> float:
        """Seconds that are left, as far as can be told."""
        spent_s = time.monotonic() - self.began_s
        return spent_s / self.records * (self.total - self.records) if self.records else 0.0


async def plan(settings: WorkerSettings, selection: Selection, run: int, share: tuple[int, int] = (0, 1)) -> list[Part]:
    """The partitions of this share and their offsets. Raises ReplayError when live processing is behind the range."""
    consumer = _group_consumer(settings, run)
    live = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap, group_id=f"{settings.group}-track", enable_auto_commit=False
    )
    await consumer.start()
    await live.start()
    try:
        places = [TopicPartition(FRAMES, n) for n in range(settings.kafka_partitions) if n % share[1] == share[0]]
        consumer.assign(places)
        live.assign(places)
        firsts, lasts = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        begin_ms = max(0, selection.from_ms - selection.warm_up_ms)
        starts = await consumer.offsets_for_times(dict.fromkeys(places, begin_ms))
        ends = await consumer.offsets_for_times(dict.fromkeys(places, selection.to_ms + selection.behind_ms))
        parts = []
        for place in places:
            start = starts[place].offset if starts[place] else lasts[place]
            end = ends[place].offset if ends[place] else lasts[place]
            reached = await live.committed(place) or 0
            if reached < end:
                raise ReplayError(
                    f"frames-{place.partition} is processed up to offset {reached} and the range ends at {end}: the workers "
                    "are behind; wait for them, or end the range earlier (--to)"
                )
            done = await consumer.committed(place) or 0
            parts.append(Part(place.partition, max(start, firsts[place]), end, done))
        return parts
    finally:
        await consumer.stop()
        await live.stop()


async def work(
    settings: WorkerSettings,
    selection: Selection,
    run: int,
    code: str,
    parts: list[Part],
    targets: frozenset[Place],
    deliver: Callable[[int, list[Output]], Any] | None,
    note: Callable[[Progress], None],
) -> dict[int, Rework]:
    """Work through partitions, one after the other; returns them as they are at the end.

    deliver: takes outputs instead of Kafka (a dry run); None: they are written to the replay topics.
    """
    rules = RulesReader(settings)
    await rules.load()
    await rules.stop()
    producer = DurableProducer(settings.kafka_bootstrap, f"replay-{run}", lambda: None)
    await producer.start()
    consumer = _group_consumer(settings, run)
    await consumer.start()
    progress = Progress(total=sum(max(0, part.end - part.start) for part in parts))
    found: dict[int, Rework] = {}
    try:
        for part in parts:
            rework = Rework(part.number, run, code, rules.current, selection, targets)
            found[part.number] = rework
            part.counts = rework.counts
            await _work_part(consumer, producer, part, rework, deliver, progress, note)
    finally:
        await consumer.stop()
        await producer.stop()
    return found


async def _work_part(
    consumer: Any,
    producer: DurableProducer,
    part: Part,
    rework: Rework,
    deliver: Callable[[int, list[Output]], Any] | None,
    progress: Progress,
    note: Callable[[Progress], None],
) -> None:
    place = TopicPartition(FRAMES, part.number)
    consumer.assign([place])
    consumer.seek(place, part.start)
    position, committed_s = part.start, time.monotonic()
    while position < part.end:
        batch = await consumer.getmany(place, timeout_ms=1000, max_records=RECORDS_AT_ONCE)
        records = [
            (record.offset, codec.decode(record.value, FrameBatch))
            for record in batch.get(place, ())
            if record.offset < part.end
        ]
        if not records:
            position = max(position, await consumer.position(place))
            continue
        position = records[-1][0] + 1
        for group in _grouped(records, part.done):
            before = rework.counts.frames
            outputs = rework.work(group, writes=group[0][0] >= part.done)
            progress.frames += rework.counts.frames - before
            if deliver is not None:
                await asyncio.to_thread(deliver, part.number, outputs)
            elif outputs:
                await asyncio.gather(
                    *(producer.send(topic_of(output), codec.encode(output), part.number) for output in outputs)
                )
        progress.records += len(records)
        note(progress)
        if deliver is None and (time.monotonic() - committed_s > COMMIT_S or position >= part.end):
            committed_s = time.monotonic()
            part.done = max(part.done, position)
            await consumer.commit({place: OffsetAndMetadata(part.done, "")})


def _grouped(records: list[tuple[int, FrameBatch]], done: int) -> list[list[tuple[int, FrameBatch]]]:
    """Records in groups of a bounded number of frames; none holds records on both sides of `done`."""
    groups: list[list[tuple[int, FrameBatch]]] = []
    frames = 0
    for offset, batch in records:
        count = len(batch.frames.kind)
        if not groups or frames + count > FRAMES_AT_ONCE or (offset >= done) != (groups[-1][0][0] >= done):
            groups.append([])
            frames = 0
        groups[-1].append((offset, batch))
        frames += count
    return groups


def topic_of(output: Output) -> str:
    """The replay topic of an output."""
    if isinstance(output, PositionBatch):
        return REPLAY + POSITIONS
    return REPLAY + (EVENTS if isinstance(output, EventBatch) else REJECTED)


def _group_consumer(settings: WorkerSettings, run: int) -> Any:
    """A consumer of the run's own group: what is committed there is how far the run is."""
    return AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=f"{settings.group}-replay-{run}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )


async def topic_ends(settings: WorkerSettings) -> dict[str, dict[int, int]]:
    """The ends of the replay topics: what a sink must have stored before a run can be finished."""
    consumer = assigned_consumer(settings.kafka_bootstrap)
    await consumer.start()
    try:
        topics = [REPLAY + topic for topic in (POSITIONS, EVENTS, REJECTED)]
        places = [TopicPartition(topic, n) for topic in topics for n in range(settings.kafka_partitions)]
        ends = await consumer.end_offsets(places)
    finally:
        await consumer.stop()
    found: dict[str, dict[int, int]] = {}
    for place, end in ends.items():
        if end:
            found.setdefault(place.topic, {})[place.partition] = end
    return found
