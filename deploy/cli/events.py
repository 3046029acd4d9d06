"""`lodestream events`: what happened, from ClickHouse, and live from Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

import click

from deploy.cli.tail import rows_of
from schemas import codec
from schemas.clients import clickhouse
from schemas.clients.kafka import KafkaUnavailable, TopicMismatch, TopicPartition, assigned_consumer, partition_counts
from schemas.events import KINDS
from schemas.records import EventBatch
from schemas.topics import EVENTS

EXIT_USAGE = 2
FETCH_MS = 100
QUERY = """
SELECT
    device_id, kind, toUnixTimestamp64Milli(time_ms), subject, toUnixTimestamp64Milli(received_ms), latitude,
    longitude, attributes
FROM events
WHERE (empty({devices:Array(String)}) OR device_id IN {devices:Array(String)})
    AND (empty({kinds:Array(String)}) OR kind IN {kinds:Array(String)})
ORDER BY time_ms DESC, device_id LIMIT {limit:UInt32}
"""
FIGURES: dict[str, Callable[[float], str]] = {
    "distance_m": lambda m: f"{m / 1000:.1f} km" if m >= 1000 else f"{m:.0f} m",
    "duration_s": lambda s: f"for {span(s)}",
    "speed_max_kmh": lambda v: f"max {v:g} km/h",
    "speed_average_kmh": lambda v: f"average {v:g} km/h",
    "speed_kmh": lambda v: f"{v:g} km/h",
    "limit_kmh": lambda v: f"limit {v:g}",
    "dwell_s": lambda s: f"for {span(s)}",
    "silent_s": lambda s: f"silent for {span(s)}",
    "power_v": lambda v: f"{v:g} V",
    "before_percent": lambda v: f"from {v:g} %",
    "after_percent": lambda v: f"to {v:g} %",
    "before_l": lambda v: f"from {v:g} l",
    "after_l": lambda v: f"to {v:g} l",
}
WORDS = ("limit_source", "geofence_id", "name", "driver_id", "result", "count", "late")


def span(seconds: float) -> str:
    """A duration as people say it: 45 s, 18 min, 3.5 h, 2 d."""
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.0f} s"


def text_line(row: dict[str, Any]) -> str:
    """An event as one line for people."""
    when = datetime.fromtimestamp(row["time_ms"] / 1000, UTC).astimezone()
    attributes = row.get("attributes", {})
    told = [say(attributes[name]) for name, say in FIGURES.items() if isinstance(attributes.get(name), (int, float))]
    told += [f"{name}={attributes[name]}" for name in WORDS if name in attributes]
    place = f"{row['latitude']:.5f},{row['longitude']:.5f}" if row.get("latitude") is not None else ""
    what = " ".join(part for part in (row["kind"], row.get("subject", "")) if part)
    return f"{when:%Y-%m-%d %H:%M:%S}  {row['device_id']:<16} {what:<30} {place:<22} {', '.join(told)}".rstrip()


def _print(row: dict[str, Any], form: str) -> None:
    click.echo(json.dumps(row, ensure_ascii=False) if form == "json" else text_line(row))


def stored(url: str, devices: Collection[str], kinds: Collection[str], limit: int) -> list[dict[str, Any]]:
    """The newest events, oldest first. Raises what the client raises."""
    client = clickhouse.connect(url)
    try:
        parameters = {"devices": list(devices), "kinds": list(kinds), "limit": limit}
        rows = client.query(QUERY, parameters=parameters).result_rows
    finally:
        client.close()
    names = ("device_id", "kind", "time_ms", "subject", "received_ms", "latitude", "longitude", "attributes")
    return [_row(dict(zip(names, values, strict=True))) for values in reversed(rows)]


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """Contract names; what an event does not have is left out."""
    attributes = row.get("attributes")
    row["attributes"] = json.loads(attributes) if isinstance(attributes, str) and attributes else {}
    row.pop("replayed", None)
    return {name: value for name, value in row.items() if value not in (None, "", {})}


async def follow(bootstrap: str, devices: Collection[str], kinds: Collection[str], form: str) -> None:
    """Print events as they come, for ever. Raises KafkaUnavailable, TopicMismatch."""
    counts = await partition_counts(bootstrap)
    if EVENTS not in counts:
        raise TopicMismatch(f"topic {EVENTS} does not exist: run `lodestream topics create`")
    consumer = assigned_consumer(bootstrap)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(EVENTS, number) for number in range(counts[EVENTS])])
        await consumer.seek_to_end()
        while True:
            for records in (await consumer.getmany(timeout_ms=FETCH_MS)).values():
                for record in records:
                    for row in rows_of(codec.decode(record.value, EventBatch)):
                        if (not devices or row["device_id"] in devices) and (not kinds or row["kind"] in kinds):
                            _print(_row(row), form)
    finally:
        await consumer.stop()


def run(
    bootstrap: str, url: str, following: bool, devices: tuple[str, ...], kinds: tuple[str, ...], limit: int, form: str
) -> int:
    """Print stored events, or live ones; returns the exit code."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        click.echo(f"events: unknown kind {unknown[0]!r}; there are {', '.join(KINDS)}", err=True)
        return EXIT_USAGE
    if not following:
        try:
            for row in stored(url, devices, kinds, limit):
                _print(row, form)
        except Exception as error:
            if not clickhouse.is_transient(error):
                raise
            click.echo(f"events: ClickHouse does not answer at {url}: {error}", err=True)
            return EXIT_USAGE
        return 0
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(follow(bootstrap, devices, kinds, form))
        except (KafkaUnavailable, TopicMismatch, codec.CodecError) as error:
            click.echo(f"events: {error}", err=True)
            return EXIT_USAGE
    return 0
