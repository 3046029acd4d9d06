"""Keeps aliases and registered devices equal to the topics `aliases` and `devices`: read to their end, then followed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.admission import Admission
from gateway.aliases import Aliases
from schemas import codec
from schemas.clients.kafka import KafkaError, TopicPartition, assigned_consumer, read_range
from schemas.records import Alias, Device
from schemas.topics import ALIASES, DEVICES

log = logging.getLogger(__name__)

Republish = Callable[[Alias], Awaitable[None]]


class Directory:
    """Reads both topics with one consumer; `load` returns when everything written so far is applied."""

    def __init__(self, bootstrap: str, gateway_id: str, aliases: Aliases, admission: Admission) -> None:
        self._bootstrap = bootstrap
        self._gateway_id = gateway_id
        self._aliases = aliases
        self._admission = admission
        self._consumer: Any = None
        self._aliases_of: dict[str, list[str]] = {}
        """The operator's aliases of each device that has some."""

    async def load(self) -> None:
        """Apply everything up to the present end of both topics."""
        self._consumer = assigned_consumer(self._bootstrap)
        await self._consumer.start()
        partitions = [TopicPartition(topic, 0) for topic in (DEVICES, ALIASES)]
        self._consumer.assign(partitions)
        ends = await self._consumer.end_offsets(partitions)
        for partition in partitions:
            async for record in read_range(self._consumer, partition, 0, ends[partition]):
                self._apply(record)

    async def follow(self, republish: Republish) -> None:
        """Apply what other gateways and operators write, for ever.

        Two gateways can learn different pairs of one id at the same time: the one that was second in the log writes the
        first again, so that compaction keeps it.
        """
        while True:
            try:
                batches = await self._consumer.getmany(timeout_ms=1000)
            except KafkaError as error:
                log.warning("reading aliases: %s; trying again", error)
                await asyncio.sleep(1)
                continue
            for records in batches.values():
                for record in records:
                    lost = self._apply(record)
                    if lost is not None:
                        await republish(lost)

    def _apply(self, record: Any) -> Alias | None:
        """Apply one record; returns the standing pair when this gateway's own record came second."""
        if record.value is None:
            if record.topic == DEVICES:
                device_id = (record.key or b"").decode("utf-8", "replace")
                self._admission.registered.discard(device_id)
                self._set_aliases(device_id, [])
            return None
        value = codec.decode_any(record.value)
        if isinstance(value, Device):
            self._admission.registered.add(value.device_id)
            self._set_aliases(value.device_id, value.aliases)
        elif isinstance(value, Alias):
            standing = self._aliases.load(value.protocol, value.id, value.device_id)
            if standing != value.device_id and value.gateway == self._gateway_id:
                return Alias(value.protocol, value.id, standing, value.learnt_ms, self._gateway_id)
        return None

    def _set_aliases(self, device_id: str, aliases: list[str]) -> None:
        for alias in self._aliases_of.pop(device_id, ()):
            protocol, _, short_id = alias.partition(":")
            self._aliases.forget_operator(protocol, short_id, device_id)
        for alias in aliases:
            protocol, _, short_id = alias.partition(":")
            self._aliases.set_operator(protocol, short_id, device_id)
        if aliases:
            self._aliases_of[device_id] = aliases

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
