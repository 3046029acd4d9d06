"""Faust's Kafka consumer with two mistakes mended: records that a pause throws away come again, and a look at its own
progress does not stop the worker."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from faust.transport.drivers.aiokafka import Consumer, ensure_aiokafka_TP
from faust.types import TP


class RewindingConsumer(Consumer):  # type: ignore[misc]
    """Also rewinds partitions of which nothing was committed yet.

    While a rebalance pauses it, Faust drops what it just fetched and seeks back to the committed offsets. Where there
    is none (or 0), aiokafka does not seek at all: the first records of a new group are then never delivered, and the
    guard on offsets sees a gap (faust-streaming 0.15.3, aiokafka 0.14; tests/integration/test_sink_agent.py shows it).
    """

    async def perform_seek(self) -> None:
        """Seek every assigned partition to its committed offset, or to the start of its log."""
        await super().perform_seek()
        fresh = [ensure_aiokafka_TP(place) for place in self.assignment() if not self._read_offset.get(place)]
        if fresh:
            thread: Any = self._thread
            await thread.call_thread(thread._ensure_consumer().seek_to_beginning, *fresh)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Look at the progress of a partition (Faust's livelock detector, which only writes to the log).

        While a seek is under way aiokafka has no position of the partition and says so by an AssertionError; Faust lets it
        through, and the whole worker stops.
        """
        with suppress(AssertionError):
            super().verify_event_path(now, tp)
