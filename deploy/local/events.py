"""The latest events, read from the topic `events`, and put into a line for people."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from schemas import codec
from schemas.clients.kafka import (
    KafkaError,
    KafkaUnavailable,
    TopicMismatch,
    TopicPartition,
    assigned_consumer,
    partition_counts,
)
from schemas.records import EventBatch
from schemas.topics import EVENTS

log = logging.getLogger(__name__)

EARLIER_RECORDS = 4
"""Records of each partition that are read again at the start, to have something to show."""
REMEMBERED = 4096
_RETRY_S = 2.0
_UNITS = {"_kmh": ("km/h", 0), "_m": ("m", 0), "_s": ("s", 0), "_percent": ("%", 0), "_v": ("V", 2), "_c": ("°C", 1)}


@dataclass(frozen=True, slots=True)
class EventRow:
    """One derived event; (device_id, kind, time_ms, subject) identifies it."""

    time_ms: int
    device_id: str
    kind: str
    subject: str
    attributes: dict[str, Any] = field(default_factory=dict, compare=False)
    replayed: bool = field(default=False, compare=False)

    @property
    def time_text(self) -> str:
        """Local time of day, as a clock on the wall shows it."""
        return datetime.fromtimestamp(self.time_ms / 1000, UTC).astimezone().strftime("%H:%M:%S")

    @property
    def figures(self) -> str:
        """Subject and attributes, with units."""
        return ", ".join(
            filter(None, [self.subject, *(figure(name, value) for name, value in self.attributes.items())])
        )


def figure(name: str, value: Any) -> str:
    """An attribute in words: speed_max_kmh 131.4 is "speed max 131 km/h"."""
    suffix = next((end for end in _UNITS if name.endswith(end)), "")
    words = name.removesuffix(suffix).replace("_", " ")
    if not suffix or isinstance(value, bool) or not isinstance(value, int | float):
        return words if value is True else f"{words} {value}"
    unit, digits = _UNITS[suffix]
    if suffix == "_m" and value >= 1000:
        return f"{words} {value / 1000:.1f} km"
    if suffix == "_s" and value >= 120:
        return f"{words} {value / 60:.0f} min"
    return f"{words} {value:.{digits}f} {unit}"


def rows_of(batch: EventBatch) -> Iterator[EventRow]:
    """The events of a record."""
    events = batch.events
    for device_id, kind, time_ms, subject, replayed, text in zip(
        events.device_id,
        events.kind,
        events.time_ms,
        events.subject,
        events.replayed,
        events.attributes,
        strict=True,
    ):
        yield EventRow(time_ms, device_id, kind, subject, json.loads(text) if text else {}, bool(replayed))


class Seen:
    """Tells new events from repeated ones: a crash of the track worker makes it write a range again, ids included."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._rows: OrderedDict[EventRow, None] = OrderedDict()

    def is_new(self, row: EventRow) -> bool:
        """True the first time."""
        key = EventRow(row.time_ms, row.device_id, row.kind, row.subject)
        if key in self._rows:
            return False
        self._rows[key] = None
        if len(self._rows) > self._most:
            self._rows.popitem(last=False)
        return True


Show = Callable[[list[EventRow], bool], None]
"""Gets events and whether they were written since the start (False: earlier ones)."""


async def follow(bootstrap: str, show: Show) -> None:
    """Pass on events for ever, the last few earlier ones first; a broker that goes away is waited for."""
    seen = Seen()
    while True:
        try:
            await _follow(bootstrap, lambda rows, new: show([row for row in rows if seen.is_new(row)], new))
        except (KafkaError, KafkaUnavailable, TopicMismatch) as error:
            log.warning("cannot read the topic %s: %r", EVENTS, error)
        await asyncio.sleep(_RETRY_S)


async def _follow(bootstrap: str, show: Show) -> None:
    counts = await partition_counts(bootstrap)
    consumer = assigned_consumer(bootstrap)
    await consumer.start()
    try:
        parts = [TopicPartition(EVENTS, number) for number in range(counts.get(EVENTS, 0))]
        consumer.assign(parts)
        begins, ends = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
        for part in parts:
            consumer.seek(part, max(begins[part], ends[part] - EARLIER_RECORDS))
        while True:
            found = await consumer.getmany(timeout_ms=1000)
            for new in (False, True):
                records = [r for part, rs in found.items() for r in rs if (r.offset >= ends[part]) is new]
                rows = [row for record in records for row in _decoded(record.value)]
                if rows:
                    show(sorted(rows, key=lambda row: row.time_ms), new)
    finally:
        await consumer.stop()


def _decoded(value: bytes) -> list[EventRow]:
    try:
        return list(rows_of(codec.decode(value, EventBatch)))
    except (codec.CodecError, ValueError) as error:  # not ours to judge: the workers stop on such a record
        log.warning("a record of %s cannot be read: %s", EVENTS, error)
        return []
