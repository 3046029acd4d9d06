"""Topics, how fast they grow, and what waits for the workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from rich.console import RenderableType
from rich.text import Text

from deploy.cli.status.layout import failed, reason, section, table
from deploy.cli.status.model import ROLE_TOPICS, KafkaState, TopicState
from schemas.clients.kafka import KafkaError, KafkaUnavailable, TopicPartition, assigned_consumer, partition_counts
from schemas.topics import TOPICS

GROUP = "lodestream"
TIMEOUT_S = 10.0


async def read(bootstrap: str, seconds: float) -> KafkaState:
    """Look twice, `seconds` apart (0: once). Raises nothing: what failed is in `error`."""
    state = KafkaState()
    try:
        async with asyncio.timeout(TIMEOUT_S + seconds):
            await _read(bootstrap, await partition_counts(bootstrap), seconds, state)
    except KafkaUnavailable:
        state.error = f"no broker answers at {bootstrap}"
    except (KafkaError, OSError) as error:
        state.error = reason(error)
    except TimeoutError:
        state.error = f"{bootstrap} did not answer within {TIMEOUT_S:g} s"
    return state


async def _read(bootstrap: str, counts: dict[str, int], seconds: float, state: KafkaState) -> None:
    consumer: AIOKafkaConsumer = assigned_consumer(bootstrap)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        await admin.start()
        parts = [TopicPartition(name, n) for name in TOPICS if name in counts for n in range(counts[name])]
        begin, end = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
        state.lags = await _lags(admin, end)
        for name in (name for name in TOPICS if name in counts):
            own = [part for part in parts if part.topic == name]
            state.topics[name] = TopicState(len(own), sum(end[p] - begin[p] for p in own), sum(end[p] for p in own))
        if seconds:
            began_s = time.monotonic()
            await asyncio.sleep(seconds)
            later = await consumer.end_offsets(parts)
            lags, passed_s = await _lags(admin, later), time.monotonic() - began_s
            for name, topic in state.topics.items():
                topic.per_s = sum(later[p] - end[p] for p in parts if p.topic == name) / passed_s
            for role, lag in lags.items():
                if lag is not None and (before := state.lags[role]) is not None:
                    state.lag_changes[role] = (lag - before) / passed_s
            state.lags = lags
    finally:
        await consumer.stop()
        await admin.close()


async def _lags(admin: AIOKafkaAdminClient, ends: dict[TopicPartition, int]) -> dict[str, int | None]:
    return {
        role: lag_of(await admin.list_consumer_group_offsets(f"{GROUP}-{role}"), ends, topics)
        for role, topics in ROLE_TOPICS.items()
    }


def lag_of(committed: dict[Any, Any], ends: dict[Any, int], topics: Sequence[str]) -> int | None:
    """Records that wait for a role; None when it has never committed. Partitions without a commit wait in full."""
    own: dict[Any, int] = {
        part: entry.offset for part, entry in committed.items() if part.topic in topics and entry.offset >= 0
    }
    if not own:
        return None
    return sum(max(0, end - own.get(part, 0)) for part, end in ends.items() if part.topic in topics)


def show(state: KafkaState) -> RenderableType:
    """Topics and lags."""
    if state.error:
        return failed("Kafka", state.error)
    rows = table("topic", "parts", "kept", "ever", "records/s")
    rows.add_column("read by")
    for name in TOPICS:
        topic = state.topics.get(name)
        if topic is None:
            rows.add_row(name, Text("missing", "red"), "", "", "", "")
            continue
        readers = ", ".join(
            role for role, topics in ROLE_TOPICS.items() if name in topics and state.lags.get(role) is not None
        )
        rate = "" if topic.per_s is None else f"{topic.per_s:,.1f}"
        rows.add_row(name, str(topic.partitions), f"{topic.kept:,}", f"{topic.ever:,}", rate, readers)
    return section("Kafka", rows, f"records that wait: {', '.join(_waits(state)) or 'no worker ever ran'}")


def _waits(state: KafkaState) -> list[str]:
    """What waits for each role; webhook workers are rare, so only when there was one."""
    return [
        f"{role} {'never ran' if lag is None else f'{lag:,}'}"
        for role, lag in state.lags.items()
        if lag is not None or role != "webhook"
    ]
