"""`lodestream events` with a real ClickHouse and a real Kafka."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from deploy.local.kafka import LocalKafka
from processors.sink_metrics import SinkMetrics
from processors.sinks.clickhouse import Inserter
from processors.sinks.rows import EVENTS as EVENTS_TABLE
from schemas import codec
from schemas.clients.clickhouse import connect, migrate
from schemas.clients.kafka import create_topics
from schemas.clients.producer import DurableProducer
from schemas.records import EventBatch
from schemas.topics import EVENTS
from tests.integration.clickhouse_server import clickhouse_server
from tests.integration.kafka_server import kafka_server
from tests.integration.line import ROOT
from tests.unit.test_webhook import ABSENT, batch

NOW_MS = round(time.time() * 1000)
HOUR_MS = 3_600_000


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "deploy.cli.main", "events", *arguments]


def events(*arguments: str, code: int = 0) -> tuple[list[str], str]:
    """(lines, what was said on stderr) of the command."""
    ended = subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout.splitlines(), ended.stderr


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A ClickHouse with events: a's each hour back from now, b's of a year ago, one that a replay raised again."""
    with clickhouse_server(tmp_path_factory.mktemp("clickhouse")) as address:
        migrate(connect(address))
        inserter = Inserter(EVENTS_TABLE, lambda: connect(address), SinkMetrics(CollectorRegistry()))
        hours = [NOW_MS - hour * HOUR_MS for hour in range(100)]
        records = [
            batch(*(("a", "ignition_on", at, "", 515_000_000) for at in hours), attributes='{"speed_kmh":61.0}'),
            batch(*(("b", "alarm_raised", NOW_MS - 365 * 24 * HOUR_MS - n, "sos", ABSENT) for n in range(3))),
            batch(("a", "ignition_on", hours[0], "", 515_000_000), replayed=1),
        ]
        for record in records:
            inserter.store(EVENTS_TABLE.rows(record).columns)
        yield address


def test_the_newest_come_last_and_each_once(url: str) -> None:
    lines, said = events("--clickhouse", url, "--format", "json")
    rows = [json.loads(line) for line in lines]
    assert (len(rows), said) == (50, "")
    assert [row["time_ms"] for row in rows] == [NOW_MS - hour * HOUR_MS for hour in range(49, -1, -1)]
    assert rows[0] == {
        "device_id": "a",
        "kind": "ignition_on",
        "time_ms": NOW_MS - 49 * HOUR_MS,
        "subject": "",
        "received_ms": (NOW_MS - 49 * HOUR_MS) // 100 * 100,
        "latitude": 51.5,
        "longitude": 51.5,
        "attributes": {"speed_kmh": 61.0},
    }


def test_they_are_chosen_by_device_kind_time_and_number(url: str) -> None:
    lines, _ = events("--clickhouse", url, "--device", "b", "--limit", "2", "--format", "json")
    assert [json.loads(line)["time_ms"] for line in lines] == [NOW_MS - 365 * 24 * HOUR_MS - n for n in (1, 0)]
    assert json.loads(lines[0])["latitude"] is None
    lines, _ = events("--clickhouse", url, "--limit", "0")
    assert len(lines) == 103
    lines, _ = events("--clickhouse", url, "--kind", "alarm_raised", "--kind", "alarm_cleared")
    assert len(lines) == 3
    since = datetime.fromtimestamp((NOW_MS - 60 * HOUR_MS) / 1000, UTC).isoformat()
    lines, said = events("--clickhouse", url, "--from", since)
    assert len(lines) == 50
    assert "the newest 50 are shown; --limit 0 shows all" in said
    lines, said = events("--clickhouse", url, "--from", since, "--limit", "0", "--device", "a")
    assert (len(lines), said) == (61, "")


def test_lines_for_people_are_aligned(url: str) -> None:
    lines, _ = events("--clickhouse", url, "--limit", "3", "--device", "a")
    assert len({line.index("61 km/h") for line in lines[:2]}) == 1
    assert lines[0].endswith("51.50000,51.50000")


def test_a_database_without_tables_is_one_message(tmp_path: Path) -> None:
    with clickhouse_server(tmp_path) as empty:
        _, said = events("--clickhouse", empty, code=2)
    assert "lodestream migrate" in said


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    with kafka_server(tmp_path_factory.mktemp("kafka")) as started:
        asyncio.run(create_topics(started.bootstrap, 2, 1))
        yield started


def send(kafka: LocalKafka, *records: tuple[int, EventBatch]) -> None:
    """Records with their partitions."""

    async def run() -> None:
        producer = DurableProducer(kafka.bootstrap, "test", lambda: None)
        await producer.start()
        for partition, record in records:
            await producer.send(EVENTS, codec.encode(record), partition)
        await producer.stop()

    asyncio.run(run())


def test_follow_shows_what_was_since_then_in_order_and_goes_on_live(kafka: LocalKafka) -> None:
    now_ms = round(time.time() * 1000)

    def row(device: str, ago_ms: int) -> tuple[str, str, int, str, int]:
        return device, "ignition_on", now_ms - ago_ms, "", ABSENT

    send(kafka, (0, batch(row("old", 2 * HOUR_MS), row("a", 3000), row("a", 1000))), (1, batch(row("b", 2000))))
    send(kafka, (0, batch(row("a", 1000))), (0, batch(("a", "power_cut", now_ms, "", ABSENT))))  # a crash repeats
    options = ("--follow", "--kafka", kafka.bootstrap, "--from", "1h", "--kind", "ignition_on", "--format", "json")
    with subprocess.Popen(command(*options), cwd=ROOT, stdout=subprocess.PIPE, text=True) as following:
        out: Any = following.stdout
        earlier = [json.loads(out.readline()) for _ in range(3)]
        assert [(event["device_id"], event["time_ms"]) for event in earlier] == [
            ("a", now_ms - 3000),
            ("b", now_ms - 2000),
            ("a", now_ms - 1000),
        ]
        time.sleep(0.5)
        began_s = time.monotonic()
        send(kafka, (1, batch(row("late", 2 * HOUR_MS))))
        assert json.loads(out.readline())["device_id"] == "late", "live ones are shown whatever their time"
        print(f"live after {time.monotonic() - began_s:.2f} s, connecting included")
        following.send_signal(signal.SIGINT)
        assert following.wait(10) == 0
        assert out.read() == ""


def test_follow_ends_after_a_limit(kafka: LocalKafka) -> None:
    rows = [("c", "power_cut", round(time.time() * 1000) + n, "", ABSENT) for n in range(5)]
    send(kafka, (0, batch(*rows)))
    lines, _ = events(
        "--follow", "--kafka", kafka.bootstrap, "--from", "1h", "--device", "c", "--device", "d", "--limit", "3"
    )
    assert len(lines) == 3
    assert all(" c " in line and "power_cut" in line for line in lines)


def test_a_broker_that_is_not_there_is_one_message() -> None:
    _, said = events("--follow", "--kafka", "127.0.0.1:1", code=2)
    assert "no Kafka broker answers" in said
    _, said = events("--clickhouse", "http://127.0.0.1:1", code=2)
    assert "does not answer" in said
