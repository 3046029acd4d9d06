"""The sink worker for real: Kafka to ClickHouse through kill -9, an outage, a second worker and moved offsets."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError

from processors.agents.sink import OFFSETS_S
from schemas.clients.clickhouse import connect, migrate
from schemas.clients.kafka import create_topics
from schemas.codec import encode
from schemas.records import EventBatch, Events, Rejected, RejectedBatch, SessionBatch, SessionRows, Source
from schemas.topics import EVENTS, POSITIONS, REJECTED, SESSIONS
from tests.integration.clickhouse_server import start, stop
from tests.integration.kafka_server import kafka_server
from tests.integration.sink_fleet import START_MS, batch, device_track

ROOT = Path(__file__).parents[2]
PARTITIONS = 4
DEADLINE_S = 60.0


@dataclass
class Stage:
    """A broker with topics, an empty migrated ClickHouse, and the workers that a test starts."""

    bootstrap: str
    path: Path
    server: Any
    workers: list[subprocess.Popen[bytes]]
    sent: dict[int, int]
    group: str

    def client(self) -> Any:
        return connect(self.server.url)

    def worker(self, number: int = 0, **settings: str) -> subprocess.Popen[bytes]:
        names = {"ROLE": "sink", "ID": str(number), "KAFKA_BOOTSTRAP": self.bootstrap, "METRICS_PORT": "0"}
        names |= {
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "CLICKHOUSE_URL": self.server.url,
            "GROUP": self.group,
            "SESSION_TIMEOUT_S": "6",
        }
        environment = os.environ | {f"WORKER_{name}": value for name, value in (names | settings).items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "processors"], cwd=ROOT, env=environment, stdout=subprocess.PIPE
        )
        self.workers.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"ready sink")
        return process

    def send(self, records: int, rows: int = 50) -> None:
        """`records` more position batches, in turn over the partitions; every row is a report of its own."""
        asyncio.run(self._send(records, rows))

    async def _send(self, records: int, rows: int) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all", enable_idempotence=True)
        await producer.start()
        try:
            for _ in range(records):
                partition = sum(self.sent.values()) % PARTITIONS
                offset = self.sent[partition]
                track = device_track(partition * 1000 + offset, rows)
                track.received_ms = [int(time.time() * 1000)] * rows
                await producer.send_and_wait(POSITIONS, encode(batch(track, offset)), partition=partition)
                self.sent[partition] += 1
        finally:
            await producer.stop()

    def expect(self, rows: int) -> None:
        """Every row shows once, and soon."""
        wait_until(lambda: self.count("positions") >= rows)
        query = "SELECT count(), uniqExact(device_id, time_ms, frame_key) FROM positions_raw FINAL"
        assert [tuple(r) for r in self.client().query(query).result_rows] == [(rows, rows)]

    def count(self, view: str) -> int:
        return int(self.client().command(f"SELECT count() FROM {view}"))

    def offsets(self) -> dict[int, int]:
        query = "SELECT partition, max(next) FROM sink_offsets WHERE sink = 'positions' GROUP BY partition"
        return {int(p): int(n) for p, n in self.client().query(query).result_rows}

    def committed(self) -> dict[int, int]:
        return asyncio.run(self._group(None))

    def commit(self, offsets: dict[int, int]) -> None:
        """Move the group, as soon as Kafka has forgotten its last member."""

        def tried() -> bool:
            try:
                asyncio.run(self._group(offsets))
            except CommitFailedError:
                time.sleep(0.5)
                return False
            return True

        wait_until(tried)

    async def _group(self, offsets: dict[int, int] | None) -> dict[int, int]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=f"{self.group}-sink", enable_auto_commit=False
        )
        await consumer.start()
        try:
            places = {p: TopicPartition(POSITIONS, p) for p in range(PARTITIONS)}
            consumer.assign(list(places.values()))
            if offsets:
                await consumer.commit({places[p]: offset for p, offset in offsets.items()})
            return {p: await consumer.committed(place) or 0 for p, place in places.items()}
        finally:
            await consumer.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it never came true"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with kafka_server(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka.bootstrap


@pytest.fixture
def stage(bootstrap: str, tmp_path: Path) -> Iterator[Stage]:
    asyncio.run(_fresh_topics(bootstrap))
    made = Stage(
        bootstrap, tmp_path, start(tmp_path / "clickhouse"), [], dict.fromkeys(range(PARTITIONS), 0), tmp_path.name
    )
    try:
        migrate(made.client())
        yield made
    finally:
        for worker in made.workers:
            worker.kill()
            worker.wait()
        stop(made.server)


async def _fresh_topics(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        existing = [topic for topic in await admin.list_topics() if not topic.startswith("__")]
        if existing:
            await admin.delete_topics(existing)
            for _ in range(100):
                if not {*existing} & {*await admin.list_topics()}:
                    break
                await asyncio.sleep(0.1)
    finally:
        await admin.close()
    await create_topics(bootstrap, PARTITIONS, 1)


def test_every_topic_reaches_its_table_and_the_end_is_orderly(stage: Stage) -> None:
    worker = stage.worker()
    stage.send(20)
    asyncio.run(_send_the_others(stage.bootstrap))
    stage.expect(1000)
    wait_until(lambda: [stage.count(view) for view in ("events", "rejected", "sessions")] == [1, 1, 1])
    stage.send(8)
    started_s = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0
    print(f"end after {time.monotonic() - started_s:.1f} s")
    worker = stage.worker()
    stage.expect(1400)
    wait_until(lambda: stage.offsets() == stage.sent)
    wait_until(lambda: stage.committed() == stage.sent)


async def _send_the_others(bootstrap: str) -> None:
    source = Source(partition=0, first=0, last=0)
    session = SessionRows(**{f.name: [""] for f in fields(SessionRows)})  # type: ignore[arg-type]
    for f in fields(SessionRows):
        if f.name.endswith("_ms") or f.name in ("frames", "bytes_in", "bytes_out", "replies", "unknown_bytes"):
            setattr(session, f.name, [START_MS])
    session.last_in, session.last_out = [b"\xff"], [b""]
    records = {
        EVENTS: EventBatch(source, Events(["d"], ["sos"], [START_MS], [""], [START_MS], [1], [2], [0], [""])),
        REJECTED: RejectedBatch(
            source, Rejected(["short"], [""], ["gt06"], ["d"], [START_MS], ["s"], ["p"], [0], [0], [b"\xff"])
        ),
        SESSIONS: SessionBatch("gw", session),
        POSITIONS: None,
    }
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        for topic, record in records.items():
            if record is not None:
                await producer.send_and_wait(topic, encode(record), partition=1)
    finally:
        await producer.stop()


def test_kill_and_outage_and_rebalance_lose_and_repeat_nothing(stage: Stage) -> None:
    workers = [stage.worker(0)]
    stage.send(40)
    workers[0].kill()
    stage.send(40)
    workers[0] = stage.worker(0)
    stop(stage.server)
    stage.send(40)
    stage.server = start(stage.path / "clickhouse", "--port", stage.server.url.rpartition(":")[2])
    workers.append(stage.worker(1))
    stage.send(40)
    workers[1].kill()
    stage.send(40)
    stage.expect(200 * 50)
    wait_until(lambda: stage.offsets() == stage.sent)
    assert workers[0].poll() is None


def test_an_offset_that_was_moved_ahead_stops_the_worker(stage: Stage) -> None:
    worker = stage.worker()
    stage.send(8)
    stage.expect(400)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0
    stage.send(8)
    stage.commit({2: 3})
    assert stage.worker().wait(DEADLINE_S) == 71
    stage.commit(stage.offsets())
    stage.worker()
    stage.expect(800)


def test_a_record_that_is_not_ours_stops_the_worker(stage: Stage) -> None:
    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=stage.bootstrap)
        await producer.start()
        await producer.send_and_wait(POSITIONS, b"not Avro", partition=0)
        await producer.stop()

    worker = stage.worker()
    asyncio.run(send())
    assert worker.wait(DEADLINE_S) == 70


def test_a_topic_that_was_made_anew_is_noticed(stage: Stage) -> None:
    worker = stage.worker()
    stage.send(8)
    stage.expect(400)
    time.sleep(2 * OFFSETS_S)  # offsets follow the rows within a second
    worker.kill()
    worker.wait()
    asyncio.run(_fresh_topics(stage.bootstrap))
    stage.sent = dict.fromkeys(range(PARTITIONS), 0)
    stage.send(4)
    assert stage.worker().wait(DEADLINE_S) == 71
