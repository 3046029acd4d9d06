"""What Kafka knows of a device or an address: registration, other ids, the newest frames, sessions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from typing import Any

from deploy.cli.doctor.facts import Facts, SessionSeen
from deploy.cli.frame_view import FrameRow, frame_rows, moment
from deploy.cli.rules import read_records
from schemas import codec
from schemas.clients.kafka import BRIEF_MS, TopicPartition, read_range, topic_reader
from schemas.records import FrameBatch, SessionBatch
from schemas.topics import ALIASES, DEVICES, FRAMES, SESSIONS, partition_of

HINTS_S, SCAN_S = 4.0, 4.0
"""Time for looking at known places, and backwards from the end of a topic: a busy line is not read to its beginning."""
FIRST_RECORDS = 64
MOST_RECORDS = 2048
BEFORE_MS, BEHIND_MS = 2_000, 5_000
"""A frame's record stands in the log within this time around the frame's arrival, unless Kafka was away."""
LOGIN_MS = 30_000
"""The first frame of a session arrives within this time after its begin; a later one is only the first that was found."""
HINTS = 12
"""Arrivals known from the store at whose place in the log frames are looked for."""


async def identify(bootstrap: str, facts: Facts) -> None:
    """Fill in who the operator says it is, and take a short id for the device it belongs to. Raises KafkaUnavailable, …"""
    devices, learnt = await asyncio.gather(read_records(bootstrap, DEVICES), read_records(bootstrap, ALIASES))
    pairs = {alias: device_id for device_id, device in devices.items() for alias in device.aliases}
    pairs |= {alias: record.device_id for alias, record in learnt.items() if alias not in pairs}
    asked = facts.subject
    if asked not in devices:
        owners = {device_id for alias, device_id in pairs.items() if asked in (alias, alias.partition(":")[2])}
        if len(owners) == 1 and owners != {asked}:
            facts.asked_as, facts.subject = asked, owners.pop()
    facts.identified, facts.device = True, devices.get(facts.subject)
    facts.aliases = sorted(alias for alias, device_id in pairs.items() if device_id == facts.subject)


async def read_frames(
    bootstrap: str, facts: Facts, takes: Callable[[FrameRow], bool], count: int
) -> list[tuple[FrameRow, bool]]:
    """The newest frames, newest first, each with whether it was the first of its session.

    First where the store says that something arrived, for HINTS_S at most, then backwards from the end, for SCAN_S at most.
    Fills in facts.scanned.
    """
    found: dict[tuple[int, int, int], FrameRow] = {}
    async with topic_reader(bootstrap, FRAMES, BRIEF_MS) as (consumer, parts):
        own = parts if facts.is_address else [parts[partition_of(facts.subject, len(parts))]]
        deadline = time.monotonic() + HINTS_S
        for part, from_ms, to_ms in _places(facts, parts):
            if time.monotonic() > deadline:
                break
            async for record in _between(consumer, part, from_ms, to_ms):
                _take(record, takes, found)
        oldest_ms, whole = 2**62, True
        deadline = time.monotonic() + SCAN_S
        for number, part in enumerate(own):
            share_s, taken, complete = (deadline - time.monotonic()) / (len(own) - number), 0, False
            async for records, at_begin in _backwards(consumer, part, share_s):
                complete = at_begin
                oldest_ms = min((oldest_ms, *(record.timestamp for record in records)))
                taken += sum(_take(record, takes, found) for record in records)
                if taken >= count:
                    break
            whole = whole and complete
        if whole:
            facts.scanned = "all that the log holds"
        elif oldest_ms < 2**62:
            facts.scanned = f"the log back to {moment(oldest_ms)}, and where the store says that something arrived"
    rows = sorted(found.items(), key=lambda item: (item[1].frame.received_ms or 0, item[0]))
    sessions: set[str] = set()
    told = []
    for _, row in rows:
        early = (row.frame.received_ms or 0) - row.opened_ms < LOGIN_MS
        told.append((row, early and row.session_id not in sessions))
        sessions.add(row.session_id)
    return told[::-1][:count]


def _places(facts: Facts, parts: list[TopicPartition]) -> list[tuple[TopicPartition, int, int]]:
    """Partitions and spans of arrival where frames of the device should stand, by what the store says; newest first."""
    spans: dict[tuple[int, int], None] = {}
    for report in facts.reports[:HINTS]:
        spans[partition_of(facts.subject, len(parts)), report.received_ms // 1000] = None
    for session in facts.sessions[:HINTS]:
        # until the device is known, frames stand in the partition of the session
        for key in {session.session_id, session.device_id or session.session_id}:
            for at_ms in (session.opened_ms, session.time_ms):
                spans[partition_of(key, len(parts)), at_ms // 1000] = None
    joined: list[tuple[int, int, int]] = []
    for number, second in sorted(spans):
        from_ms, to_ms = second * 1000 - BEFORE_MS, second * 1000 + BEHIND_MS
        if joined and joined[-1][0] == number and from_ms <= joined[-1][2]:
            joined[-1] = (number, joined[-1][1], to_ms)
        else:
            joined.append((number, from_ms, to_ms))
    newest_first = sorted(joined, key=lambda place: place[2], reverse=True)
    return [(parts[number], from_ms, to_ms) for number, from_ms, to_ms in newest_first]


async def _between(consumer: Any, part: TopicPartition, from_ms: int, to_ms: int) -> AsyncIterator[Any]:
    """The records of a partition that were written in a span of time."""
    starts, stops = await consumer.offsets_for_times({part: from_ms}), await consumer.offsets_for_times({part: to_ms})
    if starts[part] is None:
        return
    end = stops[part].offset if stops[part] else (await consumer.end_offsets([part]))[part]
    async for record in read_range(consumer, part, starts[part].offset, end):
        yield record


async def _backwards(consumer: Any, part: TopicPartition, seconds: float) -> AsyncIterator[tuple[list[Any], bool]]:
    """The records of a partition in blocks from its end to its begin, for a time; with the last one True: none is left."""
    deadline, size = time.monotonic() + seconds, FIRST_RECORDS
    begin = (await consumer.beginning_offsets([part]))[part]
    end = (await consumer.end_offsets([part]))[part]
    if end <= begin:
        yield [], True
    while end > begin and time.monotonic() < deadline:
        start = max(begin, end - size)
        yield [record async for record in read_range(consumer, part, start, end)], start == begin
        end, size = start, min(2 * size, MOST_RECORDS)


def _take(record: Any, takes: Callable[[FrameRow], bool], found: dict[tuple[int, int, int], FrameRow]) -> int:
    """Note what is wanted of a record; returns how many there are."""
    rows = enumerate(frame_rows(codec.decode(record.value, FrameBatch)))
    wanted = {(record.partition, record.offset, index): row for index, row in rows if takes(row)}
    found |= wanted
    return len(wanted)


async def read_sessions(bootstrap: str, takes: Callable[[SessionSeen], bool]) -> list[SessionSeen]:
    """The newest rows of wanted sessions, newest first, as far back as SCAN_S allows: for when the store is away."""
    newest: dict[str, SessionSeen] = {}
    async with topic_reader(bootstrap, SESSIONS, BRIEF_MS) as (consumer, parts):
        deadline = time.monotonic() + SCAN_S
        for number, part in enumerate(parts):
            share_s = (deadline - time.monotonic()) / (len(parts) - number)
            async for records, _ in _backwards(consumer, part, share_s):
                for record in records:
                    for seen in filter(takes, session_rows(codec.decode(record.value, SessionBatch))):
                        known = newest.get(seen.session_id)
                        if known is None or seen.time_ms >= known.time_ms:
                            newest[seen.session_id] = seen
    return sorted(newest.values(), key=lambda seen: seen.time_ms, reverse=True)


def session_rows(batch: SessionBatch) -> list[SessionSeen]:
    """The rows of a record."""
    names = [f.name for f in fields(SessionSeen) if f.name != "gateway"]
    columns = (getattr(batch.sessions, name) for name in names)
    return [
        SessionSeen(gateway=batch.gateway, **dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)
    ]
