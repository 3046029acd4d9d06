"""An idempotent producer that survives the broker: a send is repeated, with a new producer if need be, until it is taken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiokafka.errors import KafkaError

from schemas.clients.kafka import KafkaUnavailable, start_producer

log = logging.getLogger(__name__)

RETRY_FIRST_S, RETRY_MOST_S = 0.1, 5.0
CLOSE_S = 5.0


class DurableProducer:
    """One producer for a process. Order is the caller's business: one send in flight per partition keeps it."""

    def __init__(self, bootstrap: str, client_id: str, on_failure: Callable[[], None]) -> None:
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._on_failure = on_failure
        self._producer: Any = None
        self._lock = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect; raises KafkaUnavailable."""
        self._producer = await start_producer(self._bootstrap, self._client_id)

    async def send(
        self, topic: str, value: bytes | None, partition: int, key: bytes | None = None, timeout_s: float | None = None
    ) -> int:
        """Send until acknowledged by all in-sync replicas; returns the offset. value None removes a compacted key.

        A send can be repeated after its acknowledgement was lost, so readers must tolerate the same record twice.
        """
        delay_s = RETRY_FIRST_S
        producer = self._producer
        while True:
            try:
                sending = producer.send_and_wait(topic, value, key=key, partition=partition)
                return int((await asyncio.wait_for(sending, timeout_s)).offset)
            except (KafkaError, TimeoutError) as error:
                log.warning("Kafka did not take a record for %s-%s (%r); trying again", topic, partition, error)
            self._on_failure()
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_MOST_S)
            producer = await self._renew(producer)

    async def _renew(self, failed: Any) -> Any:
        """A new producer in place of one that failed: an idempotent one cannot go on after losing a sequence number."""
        async with self._lock:
            if self._producer is failed:
                try:
                    self._producer = await start_producer(self._bootstrap, self._client_id)
                except KafkaUnavailable as error:
                    log.warning("%s; trying again", error)
                    return failed
                task = asyncio.get_running_loop().create_task(_close_quietly(failed))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
            return self._producer

    async def stop(self) -> None:
        """Close; what is under way gets a few seconds."""
        if self._producer is not None:
            await _close_quietly(self._producer)


async def _close_quietly(producer: Any) -> None:
    try:
        await asyncio.wait_for(producer.stop(), CLOSE_S)
    except (KafkaError, TimeoutError) as error:
        log.info("closing a producer: %r", error)
