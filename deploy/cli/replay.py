"""`lodestream replay`: history decoded again with today's decoders and rules, and corrected in place."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict
from typing import Any

import click

from deploy.cli.times import moment_ms
from processors.derive.state import DeviceState
from processors.replay import store
from processors.replay.diff import Difference, DryTables
from processors.replay.job import Part, Progress, plan, topic_ends, work
from processors.replay.rework import Rework
from processors.replay.selection import Selection
from processors.settings import WorkerSettings
from schemas.clients import clickhouse
from schemas.clients.kafka import KafkaUnavailable, TopicMismatch, partitions_of
from schemas.topics import FRAMES

EXIT_USAGE = 2
CODE = "lodestream 0.1.0"
NOTE_S = 2.0
SINK_WAIT_S = 60.0
OPEN = ("moving", "motion_since_ms", "overspeed_since_ms", "fences", "ignition", "levels", "presence")
CUMULATIVE = ("distance_m", "engine_s", "distance_serviced", "engine_serviced")


class Noter:
    """Progress on standard error: a line that is written over on a terminal, else one each few seconds."""

    def __init__(self) -> None:
        self._last_s = 0.0

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() - self._last_s < NOTE_S and progress.records < progress.total:
            return
        self._last_s = time.monotonic()
        share = progress.records / progress.total if progress.total else 1.0
        rate, left = f"{progress.frames_per_s:,.0f} a second", f"{progress.left_s:.0f} s left"
        text = f"{share:6.1%}  {progress.frames:,} frames, {rate}, {left}"
        click.echo(("\r" if sys.stderr.isatty() else "") + text, err=True, nl=not sys.stderr.isatty())


def share_of(text: str) -> tuple[int, int]:
    """(part, parts) of I/N. Raises ValueError."""
    number, slash, count = text.partition("/")
    if not slash or not number.isdecimal() or not count.isdecimal() or not int(number) < int(count):
        raise ValueError(f"--share {text!r} is not I/N with I below N, such as 0/2 and 1/2")
    return int(number), int(count)


def selection_of(options: dict[str, Any]) -> Selection:
    """The selection of the command's options. Raises ValueError."""
    newest_ms = round(time.time() * 1000) - round(options["behind_s"] * 1000)
    to_ms = min(moment_ms(options["to"]) if options["to"] else newest_ms, newest_ms) // 1000 * 1000
    from_ms = moment_ms(options["from_"]) if options["from_"] else 0
    if from_ms >= to_ms:
        raise ValueError(
            "the range is empty: --from is not before --to (the newest two minutes are left to the workers)"
        )
    warm_up_ms = round(options["warm_up_h"] * 3_600_000)
    behind_ms = round(options["behind_s"] * 1000)
    return Selection(
        from_ms, to_ms, options["devices"], options["protocols"], options["rejected"], warm_up_ms, behind_ms
    )


def run(options: dict[str, Any]) -> int:
    """Replay; returns the exit code."""
    try:
        with clickhouse.opened(options["url"], options["user"], options["password"]) as client:
            return _run(client, options)
    except (ValueError, store.ReplayError, KafkaUnavailable, TopicMismatch, clickhouse.Unavailable) as error:
        click.echo(f"replay: {error}", err=True)
        return EXIT_USAGE
    except KeyboardInterrupt:
        click.echo("\nreplay: interrupted; `lodestream replay --resume RUN` goes on where it was", err=True)
        return 130


def _run(client: clickhouse.Client, options: dict[str, Any]) -> int:
    if options["listed"]:
        for number, started, status, who, code, selection, counts in store.runs(client):
            click.echo(f"{number:>4}  {started:%Y-%m-%d %H:%M:%S}  {status:<9} {who}  {code}  {selection}  {counts}")
        return 0
    settings = WorkerSettings(
        kafka_bootstrap=options["bootstrap"],
        kafka_partitions=asyncio.run(partitions_of(options["bootstrap"], FRAMES)),
        group=options["group"],
        speed_limit_kmh=options["speed_limit"],
    )
    if options["dry_run"]:
        return _dry(client, settings, selection_of(options), options["form"])
    share = share_of(options["share"])
    if options["resume"]:
        this = store.find(client, options["resume"])
        if this.status == "finished":
            raise store.ReplayError(f"run {this.number} is finished")
    else:
        this = store.begin(client, selection_of(options), CODE)
        click.echo(f"run {this.number}: rows of it have this number as version", err=True)
    parts = asyncio.run(plan(settings, this.selection, this.number, share))
    targets = store.targets(client, this.selection) if this.selection.rejected else frozenset()
    found = asyncio.run(work(settings, this.selection, this.number, this.code, parts, targets, None, Noter()))
    counts = _counts(parts)
    if share != (0, 1):
        click.echo(
            f"share {options['share']} is done; `lodestream replay --resume {this.number}` finishes the run", err=True
        )
        return 0
    store.wait_for_sinks(
        client, asyncio.run(topic_ends(settings)), SINK_WAIT_S, lambda text: click.echo(text, err=True)
    )
    counts["withdrawn"] = store.withdraw(client, this)
    counts["latest_devices"] = store.rebuild_latest(client, this)
    finished = store.Run(this.number, this.token, this.started_ms, this.selection, this.code, "finished")
    store.record(client, finished, counts)
    differing = asyncio.run(differing_states(settings, found))
    _print_result(this.number, counts, differing, options["form"])
    return 0


def _counts(parts: list[Part]) -> dict[str, Any]:
    total: dict[str, Any] = {"frames": 0, "positions": {}, "events": {}, "rejected": {}}
    for part in parts:
        total["frames"] += part.counts.frames
        for name in ("positions", "events", "rejected"):
            for key, count in getattr(part.counts, name).items():
                total[name][key] = total[name].get(key, 0) + count
    return total


async def differing_states(settings: WorkerSettings, found: dict[int, Rework]) -> dict[str, Any]:
    """Which devices ended the replay with other open episodes or other sums than the live line has now."""
    from prometheus_client import CollectorRegistry

    from processors.agents.store import load
    from processors.metrics import TrackMetrics
    from processors.partition import Partition

    metrics = TrackMetrics(CollectorRegistry())
    fields: dict[str, int] = {}
    examples: list[dict[str, Any]] = []
    devices = 0
    for number, rework in found.items():
        live = Partition(number, "")
        await load(settings.kafka_bootstrap, live, metrics)
        for device_id, state in rework.partition.states.items():
            other: DeviceState | None = live.states.get(device_id)
            names = [n for n in (*OPEN, *CUMULATIVE) if other is not None and getattr(other, n) != getattr(state, n)]
            devices += bool(names)
            for name in names:
                fields[name] = fields.get(name, 0) + 1
            if names and len(examples) < 5:
                told = {n: {"live": getattr(other, n), "replay": getattr(state, n)} for n in names}
                examples.append({"device_id": device_id, "fields": told})
    return {"devices": devices, "fields": fields, "examples": examples}


def _print_result(number: int, counts: dict[str, Any], differing: dict[str, Any], form: str) -> None:
    if form == "json":
        click.echo(json.dumps({"run": number} | counts | {"differs_from_live": differing}))
        return
    click.echo(f"run {number}: {counts['frames']:,} frames read, warm-up included")
    for name in ("positions", "events", "rejected"):
        told = ", ".join(f"{key} {count:,}" for key, count in sorted(counts[name].items())) or "none"
        click.echo(f"  {name} written again: {told}; withdrawn: {counts['withdrawn'].get(name, 0):,}")
    click.echo(f"  latest made anew for {counts['latest_devices']:,} devices")
    if differing["devices"]:
        told = ", ".join(f"{name} {count:,}" for name, count in differing["fields"].items())
        click.echo(f"  {differing['devices']:,} devices ended it with another state than the live line has now: {told}")


def _dry(client: clickhouse.Client, settings: WorkerSettings, selection: Selection, form: str) -> int:
    number = int(client.query("SELECT max(run) FROM replay_runs").result_rows[0][0]) + 1
    dry = store.Run(number, f"{time.time_ns():x}", 0, selection, CODE, "dry")
    parts = asyncio.run(plan(settings, selection, 0))
    targets = store.targets(client, selection) if selection.rejected else frozenset()
    with DryTables(client, dry) as tables:
        asyncio.run(work(settings, selection, number, CODE, parts, targets, tables.take, Noter()))
        found = tables.differences()
    if form == "json":
        click.echo(json.dumps({name: asdict(difference) for name, difference in found.items()}))
        return 0
    for name, difference in found.items():
        _print_difference(name, difference)
    return 0


def _print_difference(name: str, found: Difference) -> None:
    if not found.groups:
        click.echo(f"{name}: nothing would change")
        return
    click.echo(f"{name}:")
    for group, (appear, change, vanish) in found.groups.items():
        click.echo(f"  {group:<20} {appear:>10,} appear {change:>10,} change {vanish:>10,} vanish")
    if found.fields:
        click.echo("  changed fields: " + ", ".join(f"{key} {count:,}" for key, count in found.fields.items()))
    for example in found.examples:
        key = " ".join(str(value) for value in list(example.values())[:-2])
        changes = ", ".join(f"{n} {c['stored']} -> {c['new']}" for n, c in example["fields"].items())
        click.echo(f"  {example['what']}: {key} {changes}".rstrip())
