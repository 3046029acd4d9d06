"""The rules as the operator's topics tell them: read to their end before the first frame is processed, then followed."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

from processors.derive.rules import Parameters
from processors.rulebook import RULE_TOPICS, RuleBook
from processors.settings import WorkerSettings
from schemas import codec
from schemas.clients.kafka import KafkaError, TopicPartition, assigned_consumer, read_range
from schemas.records import Device, Geofence, Group

log = logging.getLogger(__name__)

CATCH_UP_S = 30.0
RECORDS = {"devices": Device, "groups": Group, "geofences": Geofence}
PARTITIONS = [TopicPartition(topic, 0) for topic in RULE_TOPICS]


class RulesReader:
    """Keeps `current` equal to the topics of devices, groups and geofences."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._bootstrap = settings.kafka_bootstrap
        self._book = RuleBook(replace(Parameters(), speed_limit_kmh=settings.speed_limit_kmh or None))
        self._consumer: Any = None
        self._applied = dict.fromkeys(PARTITIONS, 0)
        """For each topic, the offset up to which it is applied."""
        self._advanced = asyncio.Event()
        self.current = self._book.rules()

    async def load(self) -> None:
        """Read everything written so far."""
        self._consumer = assigned_consumer(self._bootstrap)
        await self._consumer.start()
        self._consumer.assign(PARTITIONS)
        ends = await self._consumer.end_offsets(PARTITIONS)
        for partition in PARTITIONS:
            async for record in read_range(self._consumer, partition, 0, ends[partition]):
                self._apply(record)
            self._consumer.seek(partition, ends[partition])
            self._applied[partition] = ends[partition]
        self.current = self._book.rules()

    async def follow(self) -> None:
        """Apply changes as they come, for ever."""
        while True:
            try:
                batches = await self._consumer.getmany(timeout_ms=500)
            except KafkaError as error:
                log.warning("reading rules: %s; trying again", error)
                await asyncio.sleep(1)
                continue
            for records in batches.values():
                for record in records:
                    self._apply(record)
            if batches:
                self.current = self._book.rules()
            for partition in PARTITIONS:  # compaction leaves gaps: the position says how far it was read
                self._applied[partition] = max(self._applied[partition], await self._consumer.position(partition))
            self._advanced.set()

    async def catch_up(self) -> None:
        """Wait until everything written up to now is applied, so that nobody processed with newer rules before us.

        After CATCH_UP_S it goes on with the rules it has, and says so.
        """
        ends = await self._consumer.end_offsets(PARTITIONS)
        try:
            async with asyncio.timeout(CATCH_UP_S):
                while any(self._applied[partition] < ends[partition] for partition in PARTITIONS):
                    self._advanced.clear()
                    await self._advanced.wait()
        except TimeoutError:
            log.error("rules written before are not read within %s s: going on with older ones", CATCH_UP_S)

    def _apply(self, record: Any) -> None:
        key = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            self._book.remove(record.topic, key, record.offset)
            return
        refused = self._book.put(codec.decode(record.value, RECORDS[record.topic]), record.offset)
        if refused is not None:
            log.error("%s %s: %s; it is not applied", record.topic, key, refused)

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
