"""The rules as the operator's topics tell them: read to their end before the first frame is processed, then followed."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

from processors.derive.rules import Parameters, Rules, parameters_from
from processors.settings import WorkerSettings
from schemas import codec
from schemas.clients.kafka import KafkaError, TopicPartition, assigned_consumer, read_range
from schemas.records import Device
from schemas.topics import DEVICES

log = logging.getLogger(__name__)


class RulesReader:
    """Keeps `current` equal to the topic `devices`. The revision is the offset behind the last record applied."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._bootstrap = settings.kafka_bootstrap
        self._devices: dict[str, Parameters] = {}
        limit = settings.speed_limit_kmh or None
        self._defaults = replace(Parameters(), speed_limit_kmh=limit)
        self._consumer: Any = None
        self.current = Rules(0, self._defaults, {})

    async def load(self) -> None:
        """Read everything written so far."""
        self._consumer = assigned_consumer(self._bootstrap)
        await self._consumer.start()
        partition = TopicPartition(DEVICES, 0)
        self._consumer.assign([partition])
        end = (await self._consumer.end_offsets([partition]))[partition]
        records = [record async for record in read_range(self._consumer, partition, 0, end)]
        self._apply(records)

    async def follow(self) -> None:
        """Apply changes as they come, for ever."""
        while True:
            try:
                batches = await self._consumer.getmany(timeout_ms=1000)
            except KafkaError as error:
                log.warning("reading devices: %s; trying again", error)
                await asyncio.sleep(1)
                continue
            for records in batches.values():
                self._apply(records)

    def _apply(self, records: list[Any]) -> None:
        if not records:
            return
        for record in records:
            if record.value is None:
                self._devices.pop((record.key or b"").decode("utf-8", "replace"), None)
                continue
            device = codec.decode(record.value, Device)
            try:
                self._devices[device.device_id] = parameters_from(device.parameters, self._defaults)
            except ValueError as error:
                log.error("device %s: %s; its parameters are not applied", device.device_id, error)
        self.current = Rules(records[-1].offset + 1, self._defaults, dict(self._devices))

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
