"""What is mended in Faust's consumer, as far as it needs no broker (the rest: tests/integration/test_sink_agent.py)."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from aiokafka import TopicPartition
from aiokafka.consumer.subscription_state import SubscriptionState
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from processors.agents.rewind import RewindingConsumer


def consumer_during_a_seek() -> RewindingConsumer:
    """One whose partition is assigned and has no position yet, with Faust's and aiokafka's own code behind it."""
    subscriptions = SubscriptionState()
    subscriptions.assign_from_user({TopicPartition("positions", 0)})
    fetching = SimpleNamespace(_fetcher=SimpleNamespace(_subscriptions=subscriptions))
    topics = SimpleNamespace(acks_enabled_for=lambda topic: True)
    thread = AIOKafkaConsumerThread.__new__(AIOKafkaConsumerThread)
    thread.__dict__.update(
        _consumer=fetching,
        consumer=SimpleNamespace(app=SimpleNamespace(monitor=object(), topics=topics)),
        time_started=0.0,
        _verify_aiokafka_event_path=lambda now, tp: False,
        _ensure_consumer=lambda: fetching,
    )
    consumer = RewindingConsumer.__new__(RewindingConsumer)
    consumer.__dict__["_thread"] = thread
    return consumer


def test_a_look_at_a_partition_without_a_position_stops_nothing() -> None:
    async def look() -> str:
        consumer = consumer_during_a_seek()
        try:  # as Faust does it: when this no longer fails, RewindingConsumer.verify_event_path can go
            super(RewindingConsumer, consumer).verify_event_path(1.0, TP("positions", 0))
        except AssertionError:
            consumer.verify_event_path(1.0, TP("positions", 0))
            return "mended"
        return "no longer needed"

    assert asyncio.run(look()) == "mended"
