"""The commands against a running line: topics, migrate, tail, status, simulate."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.clickhouse_server import clickhouse_server
from tests.integration.line import ROOT, Line, running_line, wait_until


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_line(tmp_path_factory.mktemp("cli"), partitions=2) as started:
        yield started


def lodestream(*arguments: str, code: int = 0, typed: str | None = None) -> str:
    """Run a command; returns what it printed. typed: its standard input."""
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.cli.main", *arguments],
        cwd=ROOT,
        input=typed,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout + ended.stderr


def simulate(line: Line, *more: str) -> dict[str, Any]:
    arguments = [
        "--port",
        str(line.port),
        "--devices",
        "6",
        "--rate",
        "4",
        "--duration",
        "3",
        "--format",
        "json",
        *more,
    ]
    out = lodestream("simulate", *arguments)
    report: dict[str, Any] = json.loads(next(text for text in out.splitlines() if text.startswith("{")))
    return report


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_simulate_is_answered_and_tail_shows_the_rows(line: Line, transport: str) -> None:
    report = simulate(line, "--transport", transport, "--seed", "11" if transport == "tcp" else "12")
    assert report["ok"]
    assert report["answered_with_position"] * 2 >= report["sent"]
    device = line.query("SELECT device_id FROM lodestream.latest WHERE protocol = 'h02' LIMIT 1")
    wait_until(
        lambda: line.query("SELECT count() FROM lodestream.positions WHERE protocol = 'h02'")[0][0] > 5, 20, "rows"
    )
    device = line.query("SELECT device_id FROM lodestream.positions WHERE protocol = 'h02' LIMIT 1")[0][0]
    out = lodestream(
        *("tail", "positions", "--kafka", line.kafka.bootstrap, "--from-start", "--no-follow", "--device", device)
    )
    rows = [json.loads(text) for text in out.splitlines()]
    assert len(rows) >= 3
    assert {row["device_id"] for row in rows} == {device}
    assert all(row["protocol"] == "h02" and abs(row["latitude"]) <= 90 for row in rows if "latitude" in row)


@pytest.mark.parametrize("topic", ["frames", "events", "rejected", "sessions", "snapshots", "devices", "aliases"])
def test_tail_reads_every_topic(line: Line, topic: str) -> None:
    out = lodestream("tail", topic, "--kafka", line.kafka.bootstrap, "--from-start", "--no-follow", "--limit", "3")
    rows = [json.loads(text) for text in out.splitlines()]
    assert len(rows) <= 3
    if topic in ("frames", "sessions", "aliases"):
        assert rows
    if topic == "frames":
        assert bytes.fromhex(rows[0]["payload"])
        assert rows[0]["peer"].startswith("127.0.0.1:")


def test_topics_are_listed_and_there_is_nothing_to_create_or_repair(line: Line) -> None:
    listed = lodestream("topics", "list", "--kafka", line.kafka.bootstrap)
    assert "frames" in listed
    assert "missing" not in listed
    created = lodestream("topics", "create", "--kafka", line.kafka.bootstrap, "--partitions", "2")
    assert "were there already" in created
    wrong = lodestream("topics", "create", "--kafka", line.kafka.bootstrap, "--partitions", "3", code=2)
    assert "has 2 partitions, this process is set to 3" in wrong


def test_migrate_again_applies_nothing(line: Line) -> None:
    assert "nothing to apply" in lodestream("migrate", "--clickhouse", line.url)


def test_status_says_in_plain_words_what_runs(line: Line) -> None:
    pages = [line.metrics_url(child) for child in (line.gateway, line.track, line.sink)]
    more = [word for page in pages for word in ("--metrics", page)]
    out = lodestream("status", "--kafka", line.kafka.bootstrap, "--clickhouse", line.url, *more)
    assert "positions" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("topics", "list", "--kafka", "127.0.0.1:1"),
        ("tail", "positions", "--kafka", "127.0.0.1:1"),
        ("migrate", "--clickhouse", "http://127.0.0.1:1"),
        ("rejected", "--clickhouse", "http://127.0.0.1:1"),
        ("replay", "--list", "--clickhouse", "http://127.0.0.1:1"),
        ("simulate", "--port", "1", "--devices", "0"),
    ],
)
def test_a_service_that_is_not_there_is_one_message(arguments: tuple[str, ...]) -> None:
    out = lodestream(*arguments, code=2)
    assert out.strip()


@pytest.mark.parametrize(
    "command", ["", "up", "gateway", "worker", "migrate", "topics", "decode", "simulate", "tail", "status"]
)
def test_help_teaches_with_an_example(command: str) -> None:
    out = lodestream(*([command] if command else []), "--help")
    assert command in ("", "topics") or "Example" in out
    assert len(out.splitlines()) > 5


def test_events_stored_and_live(line: Line) -> None:
    where = ("--kafka", line.kafka.bootstrap, "--clickhouse", line.url)
    command = [
        sys.executable,
        "-m",
        "deploy.cli.main",
        "events",
        "--follow",
        "--kind",
        "device_online",
        "--format",
        "json",
    ]
    with subprocess.Popen([*command, *where], cwd=ROOT, stdout=subprocess.PIPE, text=True) as following:
        time.sleep(3)  # it follows from where the topic ends when it has connected
        began = time.time()
        simulate(line, "--seed", "77")
        assert following.stdout is not None
        seen = json.loads(following.stdout.readline())
        following.send_signal(signal.SIGINT)
        following.stdout.read()
        assert following.wait(10) == 0
    assert seen["kind"] == "device_online"
    assert seen["time_ms"] / 1000 >= began - 1
    device = seen["device_id"]
    stored = f"SELECT count() FROM lodestream.events WHERE device_id = '{device}' AND kind = 'device_online'"
    wait_until(lambda: line.query(stored)[0][0] >= 1, 20, "the stored event")
    rows = [
        json.loads(row) for row in lodestream("events", "--device", device, "--format", "json", *where).splitlines()
    ]
    assert (seen["kind"], seen["time_ms"]) in [(row["kind"], row["time_ms"]) for row in rows]
    assert [row["time_ms"] for row in rows] == sorted(row["time_ms"] for row in rows)
    text = lodestream("events", "--device", device, "--kind", "device_online", "--limit", "1", *where)
    assert f"{device}" in text
    assert "device_online" in text
    assert "does not answer" in lodestream("events", "--clickhouse", "http://127.0.0.1:1", code=2)


def test_a_store_without_tables_is_one_message(tmp_path: Path) -> None:
    with clickhouse_server(tmp_path / "clickhouse") as url:
        for arguments in (("rejected",), ("events",), ("report", "trips"), ("replay", "--list")):
            out = lodestream(*arguments, "--clickhouse", url, code=2)
            assert "lodestream migrate" in out, arguments
