"""The webhook agent: records of `events` to a receiver, in order for each partition, each acked when it is done with.

The consumer group is the truth here: what is acked was taken (or refused for good) by the receiver, so a crash repeats
at most what was acked since the last commit, a second before. A partition has one request under way and waits for it;
meanwhile Kafka keeps what follows. An agent only moves records; the rest is in processors.sinks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any

from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from processors.agents.group import begin_group, committed_offsets
from processors.settings import WorkerSettings
from processors.sinks.webhook import Filter, deliveries, missing_before, select
from processors.sinks.webhook_client import Outcome, WebhookClient
from processors.webhook_metrics import WebhookMetrics
from schemas.clients.kafka import KafkaError
from schemas.codec import decode
from schemas.records import EventBatch
from schemas.topics import EVENTS

log = logging.getLogger(__name__)

EXIT_FAILED = 70
"""Something is wrong; a restart repeats what was not acked."""
RECORDS = 16
"""Waiting records that may share a request."""
DRAIN_S = 5.0
"""Time for the requests under way to be answered at the end."""
LAG_S = 2.0


class WebhookWorker:
    """All partitions of one webhook worker."""

    def __init__(self, settings: WorkerSettings, metrics: WebhookMetrics) -> None:
        self._app: Any = None
        self._settings = settings
        self._metrics = metrics
        self._wanted = Filter.from_text(settings.webhook_kinds, settings.webhook_devices)
        self._client = WebhookClient(settings, metrics)
        self._asking = asyncio.Lock()
        self._generation = -1
        self._next: dict[int, int] = {}
        """For each partition, the first offset that is not done with in this generation."""
        self._ending = False
        self._watching: asyncio.Task[None] | None = None

    @property
    def _group(self) -> tuple[str, str, str, int]:
        """Brokers, consumer group, topic, partitions."""
        return self._settings.kafka_bootstrap, self._app.conf.id, EVENTS, self._settings.kafka_partitions

    async def start(self, app: Any) -> None:
        """Settle where a new webhook begins, before the group is joined; raises KafkaUnavailable."""
        self._app = app
        await begin_group(*self._group)
        await self._client.start()
        log.info("events go to %s", self._client.address)
        self._watching = asyncio.create_task(self._watch())

    async def drain(self, *_: Any, **__: Any) -> None:
        """Begin nothing new, and wait for the answers to what is under way, for at most DRAIN_S."""
        self._ending = True
        if self._watching is not None:
            self._watching.cancel()
        end_s = time.monotonic() + DRAIN_S
        while self._metrics.under_way and time.monotonic() < end_s:
            await asyncio.sleep(0.02)
        if self._metrics.under_way:
            log.warning("%s requests are not answered; their events are sent again", len(self._metrics.under_way))

    async def stop(self) -> None:
        """Close the connections, when nothing is consumed any more."""
        await self._client.stop()

    async def handle(self, events: list[Any]) -> None:
        """Deliver consecutive records of one partition and generation; acks each when it is done with.

        Raises OffsetError when records before them were left out, CodecError when one is not ours.
        """
        first = events[0].message

        def wanted() -> bool:
            return not self._ending and first.generation_id == self._app.consumer_generation_id

        if not wanted():  # they come again
            return
        await self._check(events)
        selections = [select(decode(event.value, EventBatch), self._wanted) for event in events]
        self._metrics.events.labels("filtered").inc(sum(s.filtered for s in selections))
        self._metrics.events.labels("replayed").inc(sum(s.replayed for s in selections))
        for delivery in deliveries([s.events for s in selections], self._settings.webhook_batch):
            if delivery.events:
                oldest = events[0].message
                name = f"{EVENTS}-{oldest.partition} from offset {oldest.offset}, {len(delivery.events)} events"
                self._metrics.wait_seconds.observe(max(0.0, time.time() - oldest.timestamp))
                if await self._client.deliver(oldest.partition, name, delivery, wanted) is Outcome.LEFT:
                    return
            if first.generation_id != self._app.consumer_generation_id:
                return  # whoever has the partition now reads them again
            done, events = events[: delivery.records], events[delivery.records :]
            for event in done:
                event.ack()
                self._next[first.partition] = event.message.offset + 1

    async def _check(self, events: list[Any]) -> None:
        """That no record was left out: Faust commits over those that it loses."""
        message = events[0].message
        async with self._asking:
            if self._generation != message.generation_id:
                self._next = await committed_offsets(*self._group)
                self._generation = message.generation_id
        expected = self._next.get(message.partition, 0)
        for event in events:
            offset = event.message.offset
            if offset > expected:
                place = TP(EVENTS, message.partition)
                start = (await self._app.consumer.earliest_offsets(place))[place]
                missing = missing_before(offset, expected, start)
                log.error("%s-%s: %s records were removed before they were delivered", *place, missing)
                self._metrics.missing.inc(missing)
            expected = offset + 1

    async def _watch(self) -> None:
        """Tell how many records wait. Kafka is asked: what a fetch last said is old where a partition is not read on."""
        told: set[int] = set()
        while True:
            await asyncio.sleep(LAG_S)
            try:
                places = self._app.consumer.assignment()
                ends = await self._app.consumer.highwaters(*places) if places else {}
            except (ConsumerNotStarted, KafkaError):
                continue
            lags = {
                place.partition: max(0, end - self._next[place.partition])
                for place, end in ends.items()
                if place.partition in self._next
            }
            for number in told - lags.keys():
                self._metrics.lag.remove(str(number))
            for number, lag in lags.items():
                self._metrics.lag.labels(str(number)).set(lag)
            told = set(lags)


def register_webhook(app: Any, worker: WebhookWorker) -> None:
    """Declare the agent on a Faust app."""
    topic = app.topic(EVENTS, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def deliver(stream: Any) -> None:
        waiting: list[Any] = []
        async for event in stream.noack().events():
            if waiting and waiting[0].message.generation_id != event.message.generation_id:
                waiting = []  # those of the old generation come again, to whoever has the partition now
            waiting.append(event)
            if len(waiting) < RECORDS and not stream.channel.queue.empty():
                continue
            taken, waiting = waiting, []
            try:
                await worker.handle(taken)
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("the webhook failed")
                logging.shutdown()
                os._exit(EXIT_FAILED)

    app.agent(topic, name="webhook", isolated_partitions=True)(deliver)
    app.on_before_shutdown.connect(worker.drain)
