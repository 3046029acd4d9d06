"""Where a consumer group stands in a topic, and where a new one begins."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import OffsetAndMetadata

from schemas.clients.kafka import REQUEST_TIMEOUT_MS, KafkaError, KafkaUnavailable, TopicPartition

log = logging.getLogger(__name__)

BEGIN_S = 30.0
RETRY_S = 0.5


@asynccontextmanager
async def _group_consumer(bootstrap: str, group: str) -> AsyncIterator[Any]:
    """A consumer that speaks for a group without joining it."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False, request_timeout_ms=REQUEST_TIMEOUT_MS
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def committed_offsets(bootstrap: str, group: str, topic: str, partitions: int) -> dict[int, int]:
    """The offset that a group committed for each partition, where it did. Waits while Kafka is away."""
    while True:
        try:
            async with _group_consumer(bootstrap, group) as consumer:
                places = [TopicPartition(topic, number) for number in range(partitions)]
                consumer.assign(places)
                found = {place.partition: await consumer.committed(place) for place in places}
                return {number: offset for number, offset in found.items() if offset is not None}
        except KafkaError as error:
            log.warning("cannot read the offsets of group %s (%r); trying again", group, error)
        await asyncio.sleep(RETRY_S)


async def begin_group(bootstrap: str, group: str, topic: str, partitions: int) -> None:
    """Commit the present end of each partition of which the group has committed nothing: there it begins, for good.

    Without that a new group would read everything that is kept, or miss what comes before its first commit. Offsets
    beyond the end are of an earlier topic of that name: the group then begins at the start. Raises KafkaUnavailable
    after BEGIN_S.
    """
    deadline_s = time.monotonic() + BEGIN_S
    while True:
        try:
            async with _group_consumer(bootstrap, group) as consumer:
                await _begin(consumer, [TopicPartition(topic, number) for number in range(partitions)])
            return
        except KafkaError as error:  # also while another worker, which began the group, is joining it
            if time.monotonic() > deadline_s:
                raise KafkaUnavailable(f"cannot set the offsets of group {group}: {error!r}") from error
        await asyncio.sleep(RETRY_S)


async def _begin(consumer: Any, places: list[TopicPartition]) -> None:
    consumer.assign(places)
    starts, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
    begun = {}
    for place in places:
        committed = await consumer.committed(place)
        if committed is None:
            begun[place] = OffsetAndMetadata(ends[place], "begins here")
        elif committed > ends[place]:
            begun[place] = OffsetAndMetadata(starts[place], "the topic was made anew")
            log.warning("%s-%s was made anew: the group begins at its start", place.topic, place.partition)
    if begun:
        await consumer.commit(begun)
