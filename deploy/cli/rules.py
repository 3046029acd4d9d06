"""`lodestream devices`, `groups`, `geofences`: records of the compacted rule topics, read, changed and written back."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from deploy.rulefiles import (
    RuleFileError,
    checked_alias,
    devices_from,
    geofences_from,
    groups_from,
    id_of,
    parameter_value,
)
from processors.derive.rules import parameters_from
from schemas import codec
from schemas.clients import clickhouse
from schemas.clients.kafka import KafkaUnavailable, TopicMismatch, read_range, topic_reader
from schemas.clients.producer import DurableProducer
from schemas.records import Alias, Device, Geofence, Group
from schemas.topics import ALIASES, DEVICES, GEOFENCES, GROUPS

EXIT_USAGE = 2
SENDS_AT_ONCE = 500
UNKNOWN_SHOWN = 1000

Record = Device | Group | Geofence
RECORD_CLASSES: dict[str, type[Any]] = {DEVICES: Device, GROUPS: Group, GEOFENCES: Geofence, ALIASES: Alias}


class UserError(Exception):
    """Something that the user can mend; the message says what."""


@dataclass(frozen=True, slots=True)
class Change:
    """Records to write, and keys to remove, of one topic."""

    put: list[Record]
    remove: list[str]


async def read_records(bootstrap: str, topic: str) -> dict[str, Any]:
    """The newest record of each key. Raises KafkaUnavailable, TopicMismatch."""
    async with topic_reader(bootstrap, topic) as (consumer, (partition, *_)):
        end = (await consumer.end_offsets([partition]))[partition]
        found: dict[str, Any] = {}
        async for record in read_range(consumer, partition, 0, end):
            key = (record.key or b"").decode("utf-8", "replace")
            if record.value is None:
                found.pop(key, None)
            else:
                found[key] = codec.decode(record.value, RECORD_CLASSES[topic])
        return found


async def write(bootstrap: str, topic: str, change: Change) -> None:
    """Write until acknowledged, with progress when it takes long. Raises KafkaUnavailable."""
    producer = DurableProducer(bootstrap, "lodestream-cli", lambda: None)
    await producer.start()
    try:
        values: list[tuple[str, bytes | None]] = [(id_of(record), codec.encode(record)) for record in change.put]
        values += [(key, None) for key in change.remove]
        for start in range(0, len(values), SENDS_AT_ONCE):
            part = values[start : start + SENDS_AT_ONCE]
            await asyncio.gather(*(producer.send(topic, value, 0, key.encode()) for key, value in part))
            if len(values) > SENDS_AT_ONCE and sys.stderr.isatty():
                click.echo(f"\r{start + len(part):,} of {len(values):,} written", err=True, nl=False)
        if len(values) > SENDS_AT_ONCE and sys.stderr.isatty():
            click.echo(err=True)
    finally:
        await producer.stop()


def run(command: str, work: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Run a command; a user's mistake and a service that is away are one message and exit code 2."""
    try:
        asyncio.run(work())
    except RuleFileError as error:
        for problem in str(error).splitlines():
            click.echo(f"{command}: {problem}", err=True)
        click.echo(f"{command}: nothing was changed", err=True)
        return EXIT_USAGE
    except (UserError, ValueError, KafkaUnavailable, TopicMismatch, clickhouse.Unavailable) as error:
        click.echo(f"{command}: {error}", err=True)
        return EXIT_USAGE
    return 0


def _now_ms() -> int:
    return round(time.time() * 1000)


def _text_of(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {file}: {error}") from None


def import_file(bootstrap: str, topic: str, file: str, form: str, replace_all: bool) -> int:
    """Bring a topic to what a file says; records that do not change are not written again."""

    async def work() -> None:
        text, now_ms = _text_of(file), _now_ms()
        records: Any
        if topic == DEVICES:
            as_csv = form == "csv" or (form == "auto" and file.endswith(".csv"))
            records = devices_from(text, "csv" if as_csv else "json", now_ms)
        else:
            records = groups_from(text, now_ms) if topic == GROUPS else geofences_from(text, now_ms)
        before = await read_records(bootstrap, topic)
        if topic == DEVICES:
            _check_aliases(({} if replace_all else before) | {device.device_id: device for device in records})
        changed = [record for record in records if not _same(before.get(id_of(record)), record)]
        removed = sorted(before.keys() - {id_of(r) for r in records}) if replace_all else []
        await write(bootstrap, topic, Change(changed, removed))
        added = sum(id_of(record) not in before for record in changed)
        told = f"{added:,} added, {len(changed) - added:,} changed, {len(records) - len(changed):,} unchanged"
        click.echo(told + (f", {len(removed):,} removed" if replace_all else ""))

    return run(f"{topic} import", work)


def _same(before: Record | None, after: Record) -> bool:
    return before is not None and replace(before, updated_ms=0) == replace(after, updated_ms=0)


def _check_aliases(devices: dict[str, Device]) -> None:
    """Raises UserError when two devices claim one alias."""
    owners: dict[str, str] = {}
    for device in devices.values():
        for alias in device.aliases:
            other = owners.setdefault(alias, device.device_id)
            if other != device.device_id:
                raise UserError(f"alias {alias!r} is claimed by {other} and {device.device_id}")


def delete(bootstrap: str, topic: str, keys: Sequence[str]) -> int:
    """Remove records; an id that is not there is named and nothing is removed."""

    async def work() -> None:
        before = await read_records(bootstrap, topic)
        missing = [key for key in keys if key not in before]
        if missing:
            raise UserError(f"there is no {', '.join(missing)}: nothing was removed")
        await write(bootstrap, topic, Change([], list(keys)))
        click.echo(f"{len(keys)} removed")

    return run(f"{topic} delete", work)


def show(bootstrap: str, topic: str, form: str, group: str = "") -> int:
    """Print the records of a topic."""

    async def work() -> None:
        found = await read_records(bootstrap, topic)
        records = [found[key] for key in sorted(found) if not group or getattr(found[key], "group_id", "") == group]
        if form == "geojson":
            features = [_feature(record) for record in records]
            click.echo(json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False))
        elif form == "json":
            for record in records:
                click.echo(json.dumps(asdict(record), ensure_ascii=False))
        elif form == "csv":
            _print_csv(records)
        else:
            _print_table(topic, records)

    return run(f"{topic} list", work)


def _feature(geofence: Geofence) -> dict[str, Any]:
    names = ("name", "radius_m", "width_m", "speed_limit_kmh", "dwell_s", "device_ids", "group_ids")
    properties = {name: value for name in names if (value := getattr(geofence, name))}
    geometry = json.loads(geofence.geometry)
    return {"type": "Feature", "id": geofence.geofence_id, "geometry": geometry, "properties": properties}


def _print_csv(devices: list[Device]) -> None:
    parameters = sorted({name for device in devices for name in device.parameters})
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["device_id", "name", "group_id", "aliases", *parameters])
    for device in devices:
        values = [device.parameters.get(name, "") for name in parameters]
        told = [str(value).lower() if isinstance(value, bool) else value for value in values]
        table.writerow([device.device_id, device.name, device.group_id, ";".join(device.aliases), *told])


def _print_table(topic: str, records: list[Any]) -> None:
    if not records:
        click.echo(f"no {topic}: `lodestream {topic} import FILE` takes some")
        return
    rows = [[id_of(record), record.name, *_columns(record)] for record in records]
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _columns(record: Record) -> list[str]:
    if isinstance(record, Geofence):
        kind = json.loads(record.geometry)["type"]
        size = f" {record.radius_m:g} m" if record.radius_m else f" {record.width_m:g} m wide" if record.width_m else ""
        limit = f"{record.speed_limit_kmh:g} km/h" if record.speed_limit_kmh else ""
        return [kind + size, limit, f"dwell {record.dwell_s:g} s" if record.dwell_s else ""]
    told = " ".join(f"{name}={value}" for name, value in sorted(record.parameters.items()))
    if isinstance(record, Group):
        return [told]
    return [record.group_id, " ".join(record.aliases), told]


def set_record(
    bootstrap: str, topic: str, key: str, given: dict[str, Any], parameters: list[str], unset: list[str]
) -> int:
    """Change parts of one device or group, which is made when there is none."""

    async def work() -> None:
        before = (await read_records(bootstrap, topic)).get(key)
        record: Any = before or (
            _new_device(key) if topic == DEVICES else groups_from(json.dumps([{"group_id": key}]))[0]
        )
        record = replace(record, updated_ms=_now_ms(), **{n: v for n, v in given.items() if v is not None})
        values = dict(record.parameters)
        for name in unset:
            if values.pop(name, None) is None:
                raise UserError(f"{key} has no parameter {name} of its own")
        for assignment in parameters:
            name, equals, text = assignment.partition("=")
            if not equals:
                raise UserError(f"parameter {assignment!r} is not NAME=VALUE")
            values[name] = parameter_value(name, text)
        parameters_from(values)
        await write(bootstrap, topic, Change([replace(record, parameters=values)], []))
        click.echo(f"{key} {'changed' if before else 'added'}")

    return run(f"{topic} set", work)


def _new_device(device_id: str) -> Device:
    """A device of which nothing is said. Raises RuleFileError for an id that is none."""
    return devices_from(json.dumps([{"device_id": device_id}]))[0]


def set_alias(bootstrap: str, device_id: str, alias: str, remove: bool) -> int:
    """Give a device another id, or take it away."""

    async def work() -> None:
        devices = await read_records(bootstrap, DEVICES)
        device = devices.get(device_id) or _new_device(device_id)
        if remove:
            if alias not in device.aliases:
                raise UserError(f"{device_id} has no alias {alias}")
            aliases = [other for other in device.aliases if other != alias]
        else:
            aliases = [*device.aliases, *({checked_alias(alias)} - {*device.aliases})]
        device = replace(device, aliases=aliases, updated_ms=_now_ms())
        _check_aliases(devices | {device_id: device})
        await write(bootstrap, DEVICES, Change([device], []))
        click.echo(f"{device_id}: {' '.join(aliases) or 'no aliases'}")

    return run("devices alias", work)


def show_unknown(bootstrap: str, url: str) -> int:
    """Ids that reported, or were refused, and that nobody registered."""

    async def work() -> None:
        known = await read_records(bootstrap, DEVICES)
        with clickhouse.opened(url) as client:
            rows = client.query(UNKNOWN_QUERY).result_rows
        rows = [row for row in rows if row[0] not in known][:UNKNOWN_SHOWN]
        for device_id, protocol, newest, peer, refused in rows:
            state = f"refused {refused} times, from {peer}" if refused else "accepted"
            click.echo(f"{device_id:<20} {protocol:<10} {newest:%Y-%m-%d %H:%M:%S}  {state}")
        if not rows:
            click.echo("every id that was seen is registered")

    return run("devices list", work)


UNKNOWN_QUERY = """
SELECT device_id, argMax(protocol, seen), max(seen) AS newest, argMax(peer, seen), sum(refused)
FROM
(
    SELECT device_id, toString(protocol) AS protocol, received_ms AS seen, '' AS peer, 0 AS refused FROM latest
    UNION ALL
    SELECT device_id, toString(protocol), received_ms, peer, 1 FROM rejected WHERE reason = 'unknown_device'
)
GROUP BY device_id ORDER BY newest DESC LIMIT 100000
"""
