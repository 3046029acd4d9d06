"""The track agent on real Kafka: receipts, backlog, large records, offsets that somebody moved."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import OffsetAndMetadata

from deploy.cli.topics import commit_when_empty
from gateway.aliases import Aliases
from gateway.batch import Batch
from gateway.session import Session
from schemas import codec
from schemas.clients.kafka import TopicPartition, assigned_consumer, read_range
from schemas.clients.producer import DurableProducer
from schemas.records import EventBatch, PositionBatch, RejectedBatch
from schemas.topics import EVENTS, FRAMES, POSITIONS, REJECTED
from tests.integration.line import ROOT, Line, running_line, wait_until

START = dt.datetime(2026, 1, 15, 10, 0, 0, tzinfo=dt.UTC)
PARTITIONS = 2


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Any:
    environment = {"WORKER_WATCHDOG_S": "120"}
    with running_line(tmp_path_factory.mktemp("track"), partitions=PARTITIONS, **environment) as started:
        yield started


def v1(device_id: str, when: dt.datetime, latitude: str = "5130.2500") -> bytes:
    place = f"A,{latitude},N,00007.6500,W,019.71,045,{when:%d%m%y}"
    return f"*HQ,{device_id},V1,{when:%H%M%S},{place},FFFFFFFF#".encode()


def record(payloads: list[bytes], partition: int) -> bytes:
    """One record of frames as a gateway cuts it."""
    session, batch = Session("test", "192.0.2.1:1", "tcp", 0, Aliases()), Batch()
    for payload in payloads:
        for out in session.receive(payload, int(START.timestamp() * 1000)).frames:
            batch.add_frame(out)
    assert len(batch.frames.kind) == len(payloads)
    return codec.encode(batch.to_record("test", partition))


def produce(line: Line, values: list[bytes], partition: int) -> None:
    async def send() -> None:
        producer = DurableProducer(line.kafka.bootstrap, "test", lambda: None)
        await producer.start()
        for start in range(0, len(values), 100):
            await asyncio.gather(*(producer.send(FRAMES, value, partition) for value in values[start : start + 100]))
        await producer.stop()

    asyncio.run(send())


def produce_rule(line: Line, topic: str, key: str, rule: Any) -> None:
    """Write one record of a rule topic, or its removal (None)."""

    async def send() -> None:
        producer = DurableProducer(line.kafka.bootstrap, "test", lambda: None)
        await producer.start()
        await producer.send(topic, None if rule is None else codec.encode(rule), 0, key.encode())
        await producer.stop()

    asyncio.run(send())


def read_all(line: Line, topic: str, partition: int, cls: type[Any]) -> list[Any]:
    async def read() -> list[Any]:
        consumer = assigned_consumer(line.kafka.bootstrap)
        await consumer.start()
        try:
            tp = TopicPartition(topic, partition)
            consumer.assign([tp])
            end = (await consumer.end_offsets([tp]))[tp]
            return [codec.decode(r.value, cls) async for r in read_range(consumer, tp, 0, end)]
        finally:
            await consumer.stop()

    return asyncio.run(read())


def end_of(line: Line, topic: str, partition: int) -> int:
    async def end() -> int:
        consumer = assigned_consumer(line.kafka.bootstrap)
        await consumer.start()
        try:
            tp = TopicPartition(topic, partition)
            return int((await consumer.end_offsets([tp]))[tp])
        finally:
            await consumer.stop()

    return asyncio.run(end())


def processed(line: Line, partition: int) -> int:
    """`next` of a partition as its receipts tell it."""
    receipts = [b for b in read_all(line, POSITIONS, partition, PositionBatch) if b.source.is_last]
    return max((b.source.last + 1 for b in receipts), default=0)


def wait_processed(line: Line, partition: int, timeout_s: float) -> int:
    end = end_of(line, FRAMES, partition)
    wait_until(lambda: processed(line, partition) >= end, timeout_s, f"frames-{partition} processed to {end}")
    return end


def test_a_thousand_ranges_of_rejected_frames_then_kill_and_restart(line: Line) -> None:
    line.track.stop()
    bad = [v1("7000000001", START + dt.timedelta(seconds=n), "9930.2500") for n in range(1000)]
    produce(line, [record([frame], 0) for frame in bad], 0)
    line.track = line.new_worker("track", "0", WORKER_COALESCE_RECORDS="1", WORKER_PACE_MS="0")
    line.track.start()
    wait_processed(line, 0, 60)
    line.track.kill()
    line.track = line.new_worker("track", "0")
    line.track.start()
    produce(line, [record([v1("7000000001", START)], 0)], 0)
    wait_processed(line, 0, 30)
    rejected = read_all(line, REJECTED, 0, RejectedBatch)
    keys = [(o, i) for b in rejected for o, i in zip(b.rejected.frame_offset, b.rejected.frame_index, strict=True)]
    assert len(set(keys)) == 1000
    assert all(reason == "bad_coordinates" for b in rejected for reason in b.rejected.reason)
    wait_until(
        lambda: line.query("SELECT count() FROM lodestream.rejected WHERE device_id = '7000000001'") == [(1000,)],
        20,
        "rejected rows",
    )


def test_a_backlog_of_two_thousand_full_records(line: Line) -> None:
    line.track.stop()
    frames_per_record = 60
    times = [START + dt.timedelta(seconds=n) for n in range(frames_per_record)]
    values = [record([v1(f"{7_100_000_000 + n}", when) for when in times], 1) for n in range(2000)]
    produce(line, values, 1)
    line.track.start()
    wait_processed(line, 1, 120)
    count = "SELECT count(), uniqExact(device_id) FROM lodestream.positions WHERE device_id LIKE '71%'"
    wait_until(lambda: line.query(count) == [(2000 * frames_per_record, 2000)], 90, "all rows of the backlog")


def test_one_record_of_500_frames_with_20_positions_each(line: Line) -> None:
    payloads = []
    for n in range(500):
        times = [START - dt.timedelta(seconds=20 * n + k) for k in range(20)]
        points = [f"{when:%d%H%M%S},A,5130.{n:04},N,00007.6500,W,19.7,45" for when in times]
        payloads.append(f"*HQ,{7_200_000_000 + n % 7},BC,{';'.join(points)}#".encode())
    value = record(payloads, 0)
    produce(line, [value], 0)
    wait_processed(line, 0, 30)
    parts = [
        b for b in read_all(line, POSITIONS, 0, PositionBatch) if any(d.startswith("72") for d in b.positions.device_id)
    ]
    assert sum(len(b.positions.time_ms) for b in parts) == 10_000
    assert all(len(codec.encode(b)) <= 1024 * 1024 for b in parts)
    count = "SELECT count() FROM lodestream.positions WHERE device_id LIKE '72%'"
    wait_until(lambda: line.query(count) == [(10_000,)], 30, "10,000 rows")


def move_group(line: Line, group: str, topic: str, partition: int, by: int) -> int:
    """Commit an offset that is `by` ahead of what the group has; returns it. The group must be empty."""

    async def move() -> int:
        consumer: Any = AIOKafkaConsumer(
            bootstrap_servers=line.kafka.bootstrap, group_id=group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            tp = TopicPartition(topic, partition)
            consumer.assign([tp])
            offset = (await consumer.committed(tp) or 0) + by
            await commit_when_empty(consumer, {tp: OffsetAndMetadata(offset, "")})
            return int(offset)
        finally:
            await consumer.stop()

    return asyncio.run(move())


def test_a_track_group_that_was_moved_ahead_stops_and_repair_loses_nothing(line: Line) -> None:
    line.track.stop()
    produce(line, [record([v1(f"730000000{n}", START)], 0) for n in range(5)], 0)
    move_group(line, "lodestream-track", FRAMES, 0, 3)
    line.track.start(wait=False)
    assert line.track.process is not None
    assert line.track.process.wait(40) == 71
    repaired = subprocess.run(
        [sys.executable, "-m", "deploy.cli.main", "topics", "repair", "--kafka", line.kafka.bootstrap],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert repaired.returncode == 0, repaired.stderr
    assert "frames-0: committed" in repaired.stdout
    line.track.start()
    wait_processed(line, 0, 30)
    count = "SELECT count() FROM lodestream.positions WHERE device_id LIKE '730000000%'"
    wait_until(lambda: line.query(count) == [(5,)], 20, "all five")


def test_a_sink_group_that_was_moved_ahead_stops_and_loses_nothing(line: Line) -> None:
    line.sink.stop()
    produce(line, [record([v1(f"740000000{n}", START)], 0) for n in range(5)], 0)
    wait_processed(line, 0, 30)
    moved = move_group(line, "lodestream-sink", POSITIONS, 0, 1)
    line.sink.start(wait=False)
    assert line.sink.process is not None
    assert line.sink.process.wait(40) == 71
    move_group(line, "lodestream-sink", POSITIONS, 0, -1)
    assert moved > 0
    line.sink.start()
    count = "SELECT count() FROM lodestream.positions WHERE device_id LIKE '740000000%'"
    wait_until(lambda: line.query(count) == [(5,)], 30, "all five")


def test_a_second_worker_takes_over_and_a_killed_one_is_replaced(line: Line) -> None:
    second = line.new_worker("track", "1")
    second.start()
    try:
        produce(line, [record([v1("7500000001", START)], 0)], 0)
        wait_processed(line, 0, 30)
        second.kill()
        produce(line, [record([v1("7500000001", START + dt.timedelta(seconds=n))], 0) for n in range(1, 4)], 0)
        produce(line, [record([v1("7500000002", START + dt.timedelta(seconds=n))], 1) for n in range(4)], 1)
        wait_processed(line, 0, 60)
        wait_processed(line, 1, 60)
    finally:
        if second.exit_code is None:
            second.kill()
    events = [b for p in range(PARTITIONS) for b in read_all(line, EVENTS, p, EventBatch)]
    assert all(b.source.first <= b.source.last for b in events)
    count = "SELECT count() FROM lodestream.positions WHERE device_id IN ('7500000001', '7500000002')"
    wait_until(lambda: line.query(count) == [(8,)], 30, "eight rows")


def test_a_wrong_partition_count_stops_with_one_message(line: Line, tmp_path: Path) -> None:
    for arguments, environment in (
        (["gateway"], {"GATEWAY_KAFKA_PARTITIONS": "3", "GATEWAY_KAFKA_BOOTSTRAP": line.kafka.bootstrap}),
        (["processors"], {"WORKER_KAFKA_PARTITIONS": "3", "WORKER_KAFKA_BOOTSTRAP": line.kafka.bootstrap}),
    ):
        ended = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert ended.returncode == 2
        assert "has 2 partitions, this process is set to 3" in ended.stderr
        assert "Traceback" not in ended.stderr
