"""`lodestream topics`: create, list, repair."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import click
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError
from aiokafka.structs import OffsetAndMetadata
from prometheus_client import CollectorRegistry

from processors.agents.store import load
from processors.metrics import TrackMetrics
from processors.partition import Partition
from schemas.clients.kafka import (
    KafkaUnavailable,
    TopicMismatch,
    TopicPartition,
    assigned_consumer,
    create_topics,
    partition_counts,
)
from schemas.topics import FRAMES, TOPICS

EXIT_USAGE = 2
GROUP_EMPTY_S = 40.0


class GroupBusy(RuntimeError):
    """Offsets of a group cannot be set while workers are in it."""


def create(bootstrap: str, partitions: int, replication: int) -> int:
    """Create what is missing and say so; returns the exit code."""
    try:
        created = asyncio.run(create_topics(bootstrap, partitions, replication))
    except (KafkaUnavailable, TopicMismatch) as error:
        click.echo(f"topics: {error}", err=True)
        return EXIT_USAGE
    for name in created:
        click.echo(f"created {name} ({TOPICS[name].doc})")
    click.echo(f"{len(TOPICS) - len(created)} of {len(TOPICS)} topics were there already")
    return 0


async def _offsets(bootstrap: str) -> dict[str, tuple[int, int, int]]:
    """(partitions, records kept, records ever) of each of our topics."""
    counts = await partition_counts(bootstrap)
    consumer = assigned_consumer(bootstrap)
    await consumer.start()
    try:
        found = {}
        for name in TOPICS:
            if name in counts:
                parts = [TopicPartition(name, number) for number in range(counts[name])]
                begin, end = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
                found[name] = (counts[name], sum(end[p] - begin[p] for p in parts), sum(end.values()))
        return found
    finally:
        await consumer.stop()


def show(bootstrap: str) -> int:
    """Print a table of the topics; returns the exit code."""
    try:
        found = asyncio.run(_offsets(bootstrap))
    except KafkaUnavailable as error:
        click.echo(f"topics: {error}", err=True)
        return EXIT_USAGE
    click.echo(f"{'topic':<12}{'partitions':>11}{'kept':>12}{'ever':>12}  holds")
    for name, topic in TOPICS.items():
        if name in found:
            partitions, kept, ever = found[name]
            click.echo(f"{name:<12}{partitions:>11}{kept:>12}{ever:>12}  {topic.doc}")
        else:
            click.echo(f"{name:<12}{'missing':>11}{'':>24}  run `lodestream topics create`")
    return 0 if len(found) == len(TOPICS) else 1


async def commit_when_empty(consumer: Any, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
    """Commit for a group that nobody is in; a member that was killed counts until its session times out.

    Raises GroupBusy when somebody is still in it after GROUP_EMPTY_S.
    """
    deadline = time.monotonic() + GROUP_EMPTY_S
    while True:
        try:
            await consumer.commit(offsets)
            return
        except CommitFailedError:
            if time.monotonic() > deadline:
                raise GroupBusy("the group still has members: stop its workers first") from None
            await asyncio.sleep(1)


async def _repair(bootstrap: str, group: str) -> list[str]:
    counts = await partition_counts(bootstrap)
    metrics = TrackMetrics(CollectorRegistry())
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=f"{group}-track", enable_auto_commit=False)
    await consumer.start()
    notes = []
    try:
        partitions = [TopicPartition(FRAMES, number) for number in range(counts.get(FRAMES, 0))]
        consumer.assign(partitions)
        for partition in partitions:
            state = Partition(partition.partition, "")
            await load(bootstrap, state, metrics)
            committed = await consumer.committed(partition)
            if committed is not None and committed != state.next:
                await commit_when_empty(consumer, {partition: OffsetAndMetadata(state.next, "repaired")})
                notes.append(f"{FRAMES}-{partition.partition}: committed {committed}, now {state.next}")
    finally:
        await consumer.stop()
    return notes


def repair(bootstrap: str, group: str) -> int:
    """Commit what the log of receipts says was processed; returns the exit code."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its complaint about a busy group is told below
    try:
        notes = asyncio.run(_repair(bootstrap, group))
    except (KafkaUnavailable, TopicMismatch, GroupBusy) as error:
        click.echo(f"topics: {error}", err=True)
        return EXIT_USAGE
    for note in notes:
        click.echo(note)
    click.echo(f"{len(notes)} partitions repaired" if notes else "nothing to repair")
    return 0
