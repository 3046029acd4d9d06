"""`lodestream tail TOPIC`: the rows of a topic, decoded, one JSON line each."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import click

from schemas import codec
from schemas.clients.kafka import KafkaUnavailable, TopicMismatch, topic_reader
from schemas.topics import TOPICS

EXIT_USAGE = 2
ROW_TABLES = ("frames", "positions", "events", "rejected", "sessions")
"""The column table of a batch that holds what a reader wants to see, by name."""
SCALES = {"_e7": 1e7, "_x10": 10.0}


def rows_of(record: Any) -> Iterator[dict[str, Any]]:
    """The rows of a batch as mappings (a record that is no batch is one row); absent numbers are left out."""
    place = next((name for name in ROW_TABLES if is_dataclass(getattr(record, name, None))), None)
    if place is None:
        yield {f.name: _plain(getattr(record, f.name)) for f in fields(record)}
        return
    table = getattr(record, place)
    names = [f.name for f in fields(table)]
    absent = codec.absent_values(type(record).__name__, place)
    sessions = getattr(record, "sessions", None)
    for values in zip(*(getattr(table, name) for name in names), strict=True):
        row = {n: _plain(v) for n, v in zip(names, values, strict=True) if v != absent.get(n, _NOTHING) and v != ""}
        if "session" in row and sessions is not None:
            index = row.pop("session")
            row |= {"peer": sessions.peer[index], "session_id": sessions.session_id[index]}
        yield _unscale(row)


_NOTHING = object()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value


def _unscale(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers in the units of their names: latitude_e7 -> latitude, speed_x10 -> speed."""
    out = {}
    for name, value in row.items():
        suffix = next((s for s in SCALES if name.endswith(s)), "")
        out[name.removesuffix(suffix) if suffix else name] = value / SCALES[suffix] if suffix else value
    return out


async def _tail(options: dict[str, Any]) -> None:
    async with topic_reader(options["bootstrap"], options["topic"]) as (consumer, parts):
        ends = await consumer.end_offsets(parts)
        await (consumer.seek_to_beginning() if options["from_start"] else consumer.seek_to_end())
        left = {p for p in parts if ends[p] > await consumer.position(p)}
        shown = 0
        while left or not options["no_follow"]:
            for partition, records in (await consumer.getmany(timeout_ms=500)).items():
                for record in records:
                    for row in rows_of(codec.decode_any(record.value)) if record.value is not None else ():
                        if _wanted(row, options):
                            click.echo(json.dumps(row, ensure_ascii=False))
                            shown += 1
                            if shown == options["limit"]:
                                return
                if await consumer.position(partition) >= ends[partition]:
                    left.discard(partition)


def _wanted(row: dict[str, Any], options: dict[str, Any]) -> bool:
    return (not options["device"] or row.get("device_id") == options["device"]) and (
        not options["protocol"] or row.get("protocol") == options["protocol"]
    )


def run(**options: Any) -> int:
    """Print rows until the end or Ctrl-C; returns the exit code."""
    assert options["topic"] in TOPICS
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(_tail(options))
        except (KafkaUnavailable, TopicMismatch, codec.CodecError) as error:
            click.echo(f"tail: {error}", err=True)
            return EXIT_USAGE
    return 0
