"""`lodestream events`: what happened, from ClickHouse, and live from Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click

from deploy.cli.event_text import Lines
from deploy.cli.times import moment_ms
from deploy.local.events import EventRow, Seen
from schemas import codec
from schemas.clients import clickhouse
from schemas.clients.kafka import (
    KafkaUnavailable,
    TopicMismatch,
    TopicPartition,
    read_range,
    topic_reader,
)
from schemas.events import KINDS
from schemas.records import Event, EventBatch
from schemas.topics import EVENTS

EXIT_USAGE = 2
SHOWN = 50
FETCH_MS = 200
EARLIER_MOST = 100_000
"""Events that --follow --from puts in order before it goes on live."""
DAY_MS = 86_400_000
LOOK_BACK_MS = (DAY_MS, 31 * DAY_MS)
"""The newest events are looked for in the last day, then month, then everywhere: mostly the first is enough."""
QUERY = """
SELECT
    device_id, kind, toUnixTimestamp64Milli(time_ms), subject, toUnixTimestamp64Milli(received_ms), latitude,
    longitude, attributes
FROM events
WHERE time_ms >= fromUnixTimestamp64Milli({since:Int64})
    AND (empty({devices:Array(String)}) OR device_id IN {devices:Array(String)})
    AND (empty({kinds:Array(String)}) OR kind IN {kinds:Array(String)})
ORDER BY time_ms DESC, device_id, kind, subject
LIMIT {limit:UInt64}
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which events: of these devices and kinds (empty: all), since a time (ms, None: any), at most so many (0: all)."""

    devices: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    since_ms: int | None = None
    limit: int = 0

    def takes(self, event: Event) -> bool:
        return (not self.devices or event.device_id in self.devices) and (not self.kinds or event.kind in self.kinds)


@dataclass(frozen=True, slots=True)
class Source:
    """Where events come from."""

    bootstrap: str
    url: str
    user: str = ""
    password: str = ""


# -- stored ---------------------------------------------------------------------------------------------------------


def stored(source: Source, choice: Choice, now_ms: int) -> list[Event]:
    """The newest events, oldest first. Raises clickhouse.Unavailable."""
    with clickhouse.opened(source.url, source.user, source.password) as client:
        return newest(client, choice, now_ms)


def newest(client: clickhouse.Client, choice: Choice, now_ms: int) -> list[Event]:
    """The same over a client that is open; raises what it raises."""
    if choice.since_ms is not None or not choice.limit:
        return _query(client, choice, choice.since_ms or 0)
    for back_ms in LOOK_BACK_MS:
        found = _query(client, choice, now_ms - back_ms)
        if len(found) >= choice.limit:
            return found
    return _query(client, choice, 0)


def _query(client: clickhouse.Client, choice: Choice, since_ms: int) -> list[Event]:
    parameters = {
        "since": since_ms,
        "devices": sorted(choice.devices),
        "kinds": sorted(choice.kinds),
        "limit": choice.limit or 2**63,
    }
    rows = client.query(QUERY, parameters=parameters).result_rows
    return [
        Event(device_id, kind, time_ms, subject, received_ms, latitude, longitude, json.loads(attributes))
        for device_id, kind, time_ms, subject, received_ms, latitude, longitude, attributes in reversed(rows)
    ]


# -- live -----------------------------------------------------------------------------------------------------------


def events_of(batch: EventBatch) -> Iterator[Event]:
    """The events of a record."""
    columns = batch.events
    absent_e7 = codec.absent_values("EventBatch", "events")["latitude_e7"]
    for device_id, kind, time_ms, subject, received_ms, latitude_e7, longitude_e7, attributes in zip(
        columns.device_id,
        columns.kind,
        columns.time_ms,
        columns.subject,
        columns.received_ms,
        columns.latitude_e7,
        columns.longitude_e7,
        columns.attributes,
        strict=True,
    ):
        latitude = None if latitude_e7 == absent_e7 else latitude_e7 / 1e7
        longitude = None if longitude_e7 == absent_e7 else longitude_e7 / 1e7
        told = json.loads(attributes) if attributes else {}
        yield Event(device_id, kind, time_ms, subject, received_ms, latitude, longitude, told)


async def follow(bootstrap: str, choice: Choice, show: Callable[[Event], bool]) -> None:
    """Show events as they are derived, until `show` says that it has enough; with since_ms those since then first.

    What a crash of a worker repeats is shown once. Raises KafkaUnavailable, TopicMismatch, CodecError.
    """
    async with topic_reader(bootstrap, EVENTS) as (consumer, parts):
        ends = await consumer.end_offsets(parts)
        _seek(consumer, ends)
        seen = Seen()
        if choice.since_ms is not None:
            for event in await _earlier(consumer, ends, choice, choice.since_ms):
                if _is_new(seen, event) and not show(event):
                    return
            _seek(consumer, ends)
        while True:
            for records in (await consumer.getmany(timeout_ms=FETCH_MS)).values():
                for record in records:
                    for event in events_of(codec.decode(record.value, EventBatch)):
                        if choice.takes(event) and _is_new(seen, event) and not show(event):
                            return


def _seek(consumer: Any, offsets: dict[TopicPartition, int]) -> None:
    for part, offset in offsets.items():
        consumer.seek(part, offset)


async def _earlier(consumer: Any, ends: dict[TopicPartition, int], choice: Choice, since_ms: int) -> list[Event]:
    """The newest EARLIER_MOST events since then, up to the ends, in order of time; says on stderr when there are more."""
    kept: deque[Event] = deque(maxlen=EARLIER_MOST)
    count = 0
    for part, start in (await consumer.offsets_for_times(dict.fromkeys(ends, since_ms))).items():
        if start is None:  # nothing was written since then
            continue
        async for record in read_range(consumer, part, start.offset, ends[part]):
            for event in events_of(codec.decode(record.value, EventBatch)):
                if event.time_ms >= since_ms and choice.takes(event):
                    kept.append(event)
                    count += 1
    if count > len(kept):
        click.echo(
            f"events: {count - len(kept)} earlier ones are left out; --limit 0 without --follow has them", err=True
        )
    return sorted(kept, key=lambda event: event.time_ms)


def _is_new(seen: Seen, event: Event) -> bool:
    return seen.is_new(EventRow(event.time_ms, event.device_id, event.kind, event.subject))


# -- the command ----------------------------------------------------------------------------------------------------


def json_line(event: Event) -> str:
    """One JSON object with the contract's names; latitude and longitude are null where it has no place."""
    names = ("device_id", "kind", "time_ms", "subject", "received_ms", "latitude", "longitude", "attributes")
    return json.dumps({name: getattr(event, name) for name in names}, ensure_ascii=False)


def run(
    source: Source,
    following: bool,
    devices: tuple[str, ...],
    kinds: tuple[str, ...],
    since: str,
    limit: int | None,
    form: str,
) -> int:
    """Print stored events, or live ones; returns the exit code."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        return _fail(f"unknown kind {unknown[0]!r}; there are {', '.join(KINDS)}")
    now_ms = round(time.time() * 1000)
    try:
        since_ms = max(0, moment_ms(since, now_ms)) if since else None
    except ValueError as error:
        return _fail(f"--from {error}")
    most = limit if limit is not None else 0 if following else SHOWN
    choice = Choice(frozenset(devices), frozenset(kinds), since_ms, most)
    lines = Lines()
    as_text = json_line if form == "json" else lines.line
    return _follow(source, choice, as_text) if following else _show(source, choice, lines, as_text, now_ms)


def _show(source: Source, choice: Choice, lines: Lines, as_text: Callable[[Event], str], now_ms: int) -> int:
    try:
        found = stored(source, choice, now_ms)
    except clickhouse.Unavailable as error:
        return _fail(str(error))
    lines.make_room(found)
    for event in found:
        click.echo(as_text(event))
    if choice.since_ms is not None and len(found) == choice.limit:
        click.echo(f"events: the newest {choice.limit} are shown; --limit 0 shows all", err=True)
    return 0


def _follow(source: Source, choice: Choice, as_text: Callable[[Event], str]) -> int:
    shown = 0

    def show(event: Event) -> bool:
        nonlocal shown
        shown += 1
        click.echo(as_text(event))
        return shown != choice.limit

    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(follow(source.bootstrap, choice, show))
        except (KafkaUnavailable, TopicMismatch, codec.CodecError) as error:
            return _fail(str(error))
    return 0


def _fail(message: str) -> int:
    click.echo(f"events: {message}", err=True)
    return EXIT_USAGE
