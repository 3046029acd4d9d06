"""`lodestream frames`: raw frames to files and back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from deploy.cli.frames_redact import Redactor
from deploy.cli.times import moment_ms
from processors.replay.selection import cut
from schemas import codec
from schemas.archive import Archived, ArchiveError, read, write
from schemas.clients.kafka import (
    BRIEF_MS,
    KafkaUnavailable,
    TopicMismatch,
    partitions_of,
    read_range,
    topic_reader,
)
from schemas.clients.producer import DurableProducer
from schemas.records import FrameBatch
from schemas.topics import FRAMES, partition_of

EXIT_USAGE = 2
NOTE_S = 2.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which frames are taken: arrival in from_ms..to_ms, devices, protocols; empty means all."""

    from_ms: int = 0
    to_ms: int = 2**62
    device_ids: frozenset[str] = frozenset()
    protocols: frozenset[str] = frozenset()

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Wanted:
        """Raises ValueError for what is no time."""
        return cls(
            moment_ms(options["from_"]) if options["from_"] else 0,
            moment_ms(options["to"]) if options["to"] else 2**62,
            frozenset(options["devices"]),
            frozenset(options["protocols"]),
        )

    def of(self, batch: FrameBatch) -> FrameBatch | None:
        """What is wanted of a record; None: nothing. Entries follow the devices; with a choice of protocol none stay."""
        rows, entries = batch.frames, batch.entries
        frames = [
            self.from_ms <= received_ms < self.to_ms
            and (not self.device_ids or device_id in self.device_ids)
            and (not self.protocols or protocol in self.protocols)
            for received_ms, device_id, protocol in zip(rows.received_ms, rows.device_id, rows.protocol, strict=True)
        ]
        kept = [
            self.from_ms <= time_ms < self.to_ms
            and not self.protocols
            and (not self.device_ids or device_id in self.device_ids)
            for time_ms, device_id in zip(entries.time_ms, entries.device_id, strict=True)
        ]
        found = cut(batch, frames, kept)
        found.ticks_ms = [tick_ms for tick_ms in batch.ticks_ms if self.from_ms <= tick_ms < self.to_ms]
        if self.device_ids or self.protocols:
            found.ticks_ms = found.ticks_ms if any(frames) or any(kept) else []
        return found if found.frames.kind or found.entries.kind or found.ticks_ms else None


class Tally:
    """Counts what goes by, tells of it on standard error now and then, and at the end."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._began_s = self._told_s = time.monotonic()
        self.records = self.frames = 0
        self.protocols: Counter[str] = Counter()
        self.devices: set[str] = set()
        self.first_ms, self.last_ms = 2**62, 0

    def add(self, batch: FrameBatch) -> None:
        self.records += 1
        self.frames += len(batch.frames.kind)
        self.protocols.update(protocol or "undecided" for protocol in batch.frames.protocol)
        self.devices.update(device_id for device_id in batch.frames.device_id if device_id)
        if batch.frames.received_ms:
            self.first_ms = min(self.first_ms, *batch.frames.received_ms)
            self.last_ms = max(self.last_ms, *batch.frames.received_ms)
        if time.monotonic() - self._told_s > NOTE_S:
            self._told_s = time.monotonic()
            rate = self.frames / (self._told_s - self._began_s)
            click.echo(f"{self.frames:,} frames {self._verb}, {rate:,.0f} a second", err=True)

    def summary(self) -> str:
        """All counts in two lines."""
        if not self.frames:
            return f"no frames in {self.records:,} records"
        first, last = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (self.first_ms, self.last_ms))
        protocols = ", ".join(f"{name} {count:,}" for name, count in self.protocols.most_common())
        return (
            f"{self.frames:,} frames of {len(self.devices):,} devices in {self.records:,} records, "
            f"{first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S}\n{protocols}"
        )


def run(command: str, work: Callable[[], None]) -> int:
    """Run a command; a mistake or a service that is away is one message and exit code 2."""
    try:
        work()
    except (ValueError, KafkaUnavailable, TopicMismatch, OSError) as error:
        click.echo(f"frames {command}: {error}", err=True)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130
    return 0


# ---- export


def export(bootstrap: str, output: str, options: dict[str, Any], limit: int, redact: bool) -> int:
    """Write what is wanted of the topic to a file: under its name only when it is whole."""

    def work() -> None:
        wanted, tally = Wanted.from_options(options), Tally("exported")
        redactor = Redactor() if redact else None
        partitions = asyncio.run(partitions_of(bootstrap, FRAMES))
        records = _as_iterator(_read_topic(bootstrap, wanted, limit), tally, redactor)
        if output == "-":
            write(sys.stdout.buffer, records, partitions)
        else:
            part = Path(output + ".part")
            try:
                with part.open("wb") as file:
                    write(file, records, partitions)
                part.replace(output)
            finally:
                part.unlink(missing_ok=True)
        click.echo(tally.summary(), err=True)
        if redactor is not None and redactor.left_out:
            told = ", ".join(f"{name} {count:,}" for name, count in redactor.left_out.most_common())
            click.echo(f"left out, for nothing proves that they could be redacted: {told}", err=True)

    return run("export", work)


def _as_iterator(records: AsyncIterator[Archived], tally: Tally, redactor: Redactor | None) -> Iterator[Archived]:
    """What an asynchronous reader gives, for a writer that is not."""
    with asyncio.Runner() as runner:
        while True:
            try:
                record: Archived = runner.run(anext(records))  # type: ignore[arg-type]
            except StopAsyncIteration:
                return
            if redactor is not None:
                record = replace(record, batch=redactor.batch(record.batch))
            tally.add(record.batch)
            yield record


async def _read_topic(bootstrap: str, wanted: Wanted, limit: int) -> AsyncIterator[Archived]:
    frames = 0
    async with topic_reader(bootstrap, FRAMES) as (consumer, places):
        ends = await consumer.end_offsets(places)
        starts = await consumer.offsets_for_times(dict.fromkeys(places, wanted.from_ms))
        for place in places:
            start = starts[place].offset if starts[place] else ends[place]
            async for record in read_range(consumer, place, start, ends[place]):
                batch = wanted.of(codec.decode(record.value, FrameBatch))
                if batch is not None:
                    yield Archived(place.partition, record.offset, batch)
                    frames += len(batch.frames.kind)
                    if limit and frames >= limit:
                        return


# ---- import


def import_files(bootstrap: str, files: tuple[str, ...], options: dict[str, Any], dry_run: bool, sure: bool) -> int:
    """Write the frames of files to the topic, each device to its partition."""

    def work() -> None:
        wanted, tally = Wanted.from_options(options), Tally("read" if dry_run else "imported")
        asyncio.run(_import(bootstrap, files, wanted, tally, dry_run, sure))
        click.echo(tally.summary(), err=True)

    return run("import", work)


async def _import(
    bootstrap: str, files: tuple[str, ...], wanted: Wanted, tally: Tally, dry_run: bool, sure: bool
) -> None:
    partitions = await partitions_of(bootstrap, FRAMES)
    if not dry_run and not sure and await _holds_records(bootstrap):
        raise ValueError(
            "the topic holds records already: devices would see the frames as old reports. --yes imports them all the same"
        )
    producer = DurableProducer(bootstrap, "lodestream-import", lambda: None)
    await producer.start()
    try:
        for name in files:
            with Path(name).open("rb") as file, _named(name):
                count, records = read(file)
                for record in records:
                    batch = wanted.of(record.batch)
                    if batch is None:
                        continue
                    tally.add(batch)
                    for number, part in placed(batch, record.partition, count, partitions):
                        if not dry_run:
                            await producer.send(FRAMES, codec.encode(part), number)
    finally:
        await producer.stop()


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except ArchiveError as error:
        raise ValueError(f"{name}: {error}") from None


async def _holds_records(bootstrap: str) -> bool:
    async with topic_reader(bootstrap, FRAMES, BRIEF_MS) as (consumer, places):
        firsts, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        return any(ends[place] > firsts[place] for place in places)


def placed(batch: FrameBatch, partition: int, count: int, partitions: int) -> Iterator[tuple[int, FrameBatch]]:
    """The records that a record becomes under another partition count: the same one under the same count."""
    if count == partitions:
        yield partition, batch
        return
    sessions = batch.sessions.session_id
    of_frames = [
        partition_of(device_id or sessions[session], partitions)
        for device_id, session in zip(batch.frames.device_id, batch.frames.session, strict=True)
    ]
    of_entries = [partition_of(device_id, partitions) for device_id in batch.entries.device_id]
    for number in sorted({*of_frames, *of_entries}):
        part = cut(batch, [n == number for n in of_frames], [n == number for n in of_entries])
        part.partition = number
        yield number, part


# ---- show


def show(file: str, as_hex: bool) -> int:
    """Print what a file holds."""

    def work() -> None:
        tally = Tally("read")
        with Path(file).open("rb") as opened, _named(file):
            count, records = read(opened)
            for record in records:
                tally.add(record.batch)
                if as_hex:
                    _print_frames(record.batch)
        click.echo(f"{tally.summary()}\nof a topic of {count} partitions", err=as_hex)

    return run("show", work)


def _print_frames(batch: FrameBatch) -> None:
    rows = batch.frames
    for session, received_ms, protocol, device_id, payload in zip(
        rows.session, rows.received_ms, rows.protocol, rows.device_id, rows.payload, strict=True
    ):
        told = {"device_id": device_id, "protocol": protocol, "received_ms": received_ms}
        click.echo(json.dumps(told | {"peer": batch.sessions.peer[session], "hex": payload.hex()}))
