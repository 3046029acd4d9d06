"""The one way to Kafka: producer options, partition checks, topic creation, reading a compacted topic to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError

from schemas.topics import TOPICS, Topic

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 2 * 1024 * 1024
REQUEST_TIMEOUT_MS = 30_000
BRIEF_MS = 20
"""Patience of a consumer that reads a little and ends: with the usual half second, its requests wait behind a fetch."""


class KafkaUnavailable(RuntimeError):
    """No broker answered at the configured address; the message says which."""


class TopicMismatch(RuntimeError):
    """A topic is missing or has another partition count than this process is set to."""


async def start_producer(bootstrap: str, client_id: str) -> AIOKafkaProducer:
    """A started idempotent producer: acks=all, zstd, no linger (we batch ourselves). Raises KafkaUnavailable."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        compression_type="zstd",
        linger_ms=0,
        max_batch_size=1024 * 1024,
        max_request_size=MAX_REQUEST_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        retry_backoff_ms=200,
        metadata_max_age_ms=60_000,
    )
    try:
        await producer.start()
    except KafkaConnectionError as error:
        await producer.stop()
        raise KafkaUnavailable(f"no Kafka broker answers at {bootstrap}: {error}") from error
    return producer


async def wait_for_broker(bootstrap: str, timeout_s: float, note: Callable[[str], None] | None = None) -> None:
    """Wait until a broker answers; raises KafkaUnavailable after timeout_s."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        try:
            producer = await start_producer(bootstrap, "lodestream-probe")
            await producer.stop()
            return
        except KafkaUnavailable as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            if note:
                note(str(error))
            await asyncio.sleep(0.3)


async def partition_counts(bootstrap: str) -> dict[str, int]:
    """Partition count of every topic of the broker. Raises KafkaUnavailable."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        described = await admin.describe_topics()
        return {t["topic"]: len(t["partitions"]) for t in described}
    except KafkaConnectionError as error:
        raise KafkaUnavailable(f"no Kafka broker answers at {bootstrap}: {error}") from error
    finally:
        await admin.close()


async def partitions_of(bootstrap: str, topic: str) -> int:
    """Partition count of a topic. Raises KafkaUnavailable, TopicMismatch when there is none of that name."""
    counts = await partition_counts(bootstrap)
    check_exists(topic, counts)
    return counts[topic]


def check_exists(topic: str, counts: dict[str, int]) -> None:
    """Raises TopicMismatch when a topic is missing."""
    if topic not in counts:
        raise TopicMismatch(f"topic {topic} does not exist: run `lodestream topics create`")


def check_counts(counts: dict[str, int], partitions: int, needed: tuple[str, ...]) -> None:
    """Raises TopicMismatch when a topic is missing or a partitioned one has another count than `partitions`."""
    for name in needed:
        check_exists(name, counts)
        if TOPICS[name].partitioned and counts[name] != partitions:
            raise TopicMismatch(
                f"topic {name} has {counts[name]} partitions, this process is set to {partitions}: "
                "every gateway and worker must use the broker's count (KAFKA_PARTITIONS)"
            )


async def create_topics(bootstrap: str, partitions: int, replication: int) -> list[str]:
    """Create the missing topics; returns their names. Raises KafkaUnavailable or TopicMismatch."""
    counts = await partition_counts(bootstrap)
    missing = [topic for name, topic in TOPICS.items() if name not in counts]
    if missing:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            await admin.create_topics([_new_topic(topic, partitions, replication) for topic in missing])
        finally:
            await admin.close()
    check_counts(counts | {t.name: partitions for t in missing}, partitions, tuple(TOPICS))
    return [topic.name for topic in missing]


def _new_topic(topic: Topic, partitions: int, replication: int) -> NewTopic:
    config = topic.config()
    if replication >= 3:
        config["min.insync.replicas"] = "2"
    return NewTopic(topic.name, partitions if topic.partitioned else 1, replication, topic_configs=config)


def assigned_consumer(bootstrap: str, patience_ms: int = 500) -> AIOKafkaConsumer:
    """A consumer without a group: the caller assigns partitions and seeks. Reads only what is committed to the log.

    patience_ms: how long the broker holds a fetch that finds nothing (other requests wait behind it) and, up to 200 ms,
    how long a request waits for metadata. BRIEF_MS for what reads a little and ends.
    """
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=patience_ms,
        max_partition_fetch_bytes=4 * 1024 * 1024,
        retry_backoff_ms=min(patience_ms, 200),
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )


@contextlib.asynccontextmanager
async def topic_reader(
    bootstrap: str, topic: str, patience_ms: int = 500
) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
    """A consumer that has all partitions of a topic, and these. Raises KafkaUnavailable, TopicMismatch."""
    partitions = await partitions_of(bootstrap, topic)
    consumer = assigned_consumer(bootstrap, patience_ms)
    await consumer.start()
    try:
        parts = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(parts)
        yield consumer, parts
    finally:
        await consumer.stop()


async def read_range(consumer: Any, partition: TopicPartition, start: int, end: int) -> AsyncIterator[Any]:
    """Every record of one assigned partition from offset start (or the log's start) up to, not including, end."""
    begin = (await consumer.beginning_offsets([partition]))[partition]
    position = max(start, begin)
    if position >= end:
        return
    consumer.seek(partition, position)
    while position < end:
        batch = await consumer.getmany(partition, timeout_ms=1000)
        for record in batch.get(partition, ()):
            if record.offset >= end:
                return
            yield record
            position = record.offset + 1
        if not batch:
            # Compaction or aborted writes can leave nothing before end: the consumer's own position tells.
            position = max(position, await consumer.position(partition))


__all__ = [
    "KafkaError",
    "KafkaUnavailable",
    "TopicMismatch",
    "TopicPartition",
    "assigned_consumer",
    "check_counts",
    "create_topics",
    "partition_counts",
    "partitions_of",
    "read_range",
    "start_producer",
    "topic_reader",
    "wait_for_broker",
]
