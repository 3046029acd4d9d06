"""`lodestream up` for real: from simulated devices to ClickHouse; its end, its second start, its refusals."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from schemas.clients import clickhouse

PROJECT = Path(__file__).parents[2]
DEVICES = 6
STOP_S = 10.0


@dataclass
class Ports:
    """Free ports of this machine, chosen together so that they differ."""

    devices: int
    kafka: int
    clickhouse: int

    @property
    def arguments(self) -> list[str]:
        return [
            *("--port", str(self.devices)),
            *("--kafka-port", str(self.kafka)),
            *("--clickhouse-port", str(self.clickhouse)),
        ]


@pytest.fixture
def ports() -> Ports:
    sockets = [socket.socket() for _ in range(3)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    numbers = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return Ports(*numbers)


def command(data: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "deploy.cli.main", "up", "--plain", "--data", str(data), *arguments]


@dataclass
class Run:
    """A running `up` and what it has printed."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, pattern: str, timeout_s: float) -> re.Match[str]:
        found: list[re.Match[str]] = []

        def seen() -> bool:
            found.extend(match for line in list(self.lines) if (match := re.search(pattern, line)))
            return bool(found) or self.process.poll() is not None

        until(seen, timeout_s, lambda: f"no line {pattern!r} in:\n{self.text}")
        assert found, f"it ended with {self.process.returncode}:\n{self.text}"
        return found[0]

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, module: str) -> psutil.Process:
        return next(child for child in self.children() if module in child.cmdline())


@contextmanager
def running(data: Path, *arguments: str) -> Iterator[Run]:
    process = subprocess.Popen(
        command(data, *arguments), cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    run = Run(process)
    reader = threading.Thread(target=run.read)
    reader.start()
    try:
        yield run
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_S + 5)
            except subprocess.TimeoutExpired:
                process.kill()  # its children get SIGTERM from the kernel
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


def until(condition: Callable[[], bool], timeout_s: float, message: Callable[[], str]) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, message()
        time.sleep(0.1)


def stored(url: str) -> tuple[int, int]:
    """(positions, devices) that a query finds."""
    client = clickhouse.connect(url)
    row = client.query("SELECT count(), uniqExact(device_id) FROM lodestream.positions").result_rows[0]
    return int(row[0]), int(row[1])


def wait_for_positions(run: Run, url: str, more_than: int) -> int:
    count = 0

    def enough() -> bool:
        nonlocal count
        count, devices = stored(url)
        return count > more_than and devices == DEVICES

    until(enough, 20, lambda: f"{count} positions are stored, more than {more_than} expected:\n{run.text}")
    return count


def stop(run: Run) -> None:
    """SIGTERM, and nothing is left in time."""
    children = run.children()
    assert len(children) >= 7, "supervisor's children: Kafka and its launcher, ClickHouse, gateway, 2 workers, fleet"
    began = time.monotonic()
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(STOP_S) == 0, run.text
    assert time.monotonic() - began < STOP_S
    assert [child for child in children if child.is_running()] == []
    assert "was killed" not in run.text


def test_line_runs_survives_stops_and_goes_on(tmp_path: Path, ports: Ports) -> None:
    data, url = tmp_path / "data", f"http://127.0.0.1:{ports.clickhouse}"
    arguments = [*ports.arguments, "--simulate", str(DEVICES)]
    with running(data, *arguments) as run:
        assert float(run.wait_for(r"^ready in ([\d.]+) s", 180)[1]) < 180, "a first start may download"
        wait_for_positions(run, url, 2 * DEVICES)
        _second_run_is_refused(data, tmp_path / "other", ports)
        gateway = run.child("gateway")
        gateway.kill()
        run.wait_for(r"Gateway ended \(SIGKILL\), starts again in", 5)
        count = wait_for_positions(run, url, stored(url)[0] + DEVICES)
        stop(run)
    assert (data / "logs" / "gateway.log").stat().st_size > 0
    with running(data, *arguments) as run:
        assert float(run.wait_for(r"^ready in ([\d.]+) s", 30)[1]) < 15
        assert stored(url)[0] >= count
        wait_for_positions(run, url, count + DEVICES)
        run.wait_for(rf"connections {DEVICES} tcp 0 udp, .* positions \d+", 10)
        _status_is_well(run, ports, url)
        stop(run)
    assert not (data / "processes.json").exists() or json.loads((data / "processes.json").read_text()) == {}


def _second_run_is_refused(data: Path, other: Path, ports: Ports) -> None:
    again = subprocess.run(command(data, *ports.arguments), cwd=PROJECT, capture_output=True, text=True, timeout=20)
    assert again.returncode == 2
    assert re.fullmatch(
        r"lodestream: another `lodestream up` \(pid \d+\) runs on the data folder .*--data\n", again.stderr
    )
    there = subprocess.run(command(other, *ports.arguments), cwd=PROJECT, capture_output=True, text=True, timeout=20)
    assert there.returncode == 2
    taken = [
        (ports.devices, "TCP (devices) on 0.0.0.0", "--port"),
        (ports.devices, "UDP (devices) on 0.0.0.0", "--port"),
        (ports.kafka, "TCP (Kafka) on 127.0.0.1", "--kafka-port"),
        (ports.clickhouse, "TCP (ClickHouse) on 127.0.0.1", "--clickhouse-port"),
    ]
    expected = [f"port {port} {what} is already in use; choose another with {option}" for port, what, option in taken]
    assert there.stderr == "lodestream: " + "\n".join(expected) + "\n"


def _status_is_well(run: Run, ports: Ports, url: str) -> None:
    place = run.wait_for(r"metrics +gateway http://127.0.0.1:(\d+)/metrics, track :(\d+), sink :(\d+)", 1)
    pages = [f"http://127.0.0.1:{port}/metrics" for port in place.groups()]
    options = [
        "--kafka",
        f"127.0.0.1:{ports.kafka}",
        "--clickhouse",
        url,
        *(x for p in pages for x in ("--metrics", p)),
    ]
    result = subprocess.run(
        [sys.executable, "-m", "deploy.cli.main", "status", *options],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{DEVICES} devices with a position" in result.stdout
    assert re.search(rf"connections +tcp {DEVICES}\b", result.stdout), result.stdout
    assert "rejected             none" in result.stdout


def test_no_java_is_one_clear_message_and_leaves_nothing(tmp_path: Path, ports: Ports) -> None:
    environment = {**os.environ, "LODESTREAM_JAVA": str(tmp_path / "java")}
    result = subprocess.run(
        command(tmp_path / "data", *ports.arguments),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=40,
        env=environment,
    )
    assert result.returncode == 2
    message = result.stderr.strip()
    assert message.startswith("lodestream: Kafka: Kafka needs Java 17 or later (")
    assert message.count("\n") == 0
    left = [
        p.info["cmdline"]
        for p in psutil.process_iter(["cmdline"])
        if str(tmp_path) in " ".join(p.info["cmdline"] or [])
    ]
    assert left == []


def test_wrong_setting_of_a_part_is_shown(tmp_path: Path, ports: Ports) -> None:
    environment = {**os.environ, "GATEWAY_LINGER_MS": "soon"}
    result = subprocess.run(
        command(tmp_path / "data", *ports.arguments, "--simulate", "0"),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert result.returncode == 2
    assert result.stderr == (
        "lodestream: Gateway: wrong settings:\nGATEWAY_LINGER_MS: 'soon' is not a whole number\n"
    ), result.stdout


def test_status_without_a_line_says_what_to_do(ports: Ports) -> None:
    url = f"http://127.0.0.1:{ports.clickhouse}"
    result = subprocess.run(
        [
            *(sys.executable, "-m", "deploy.cli.main", "status", "--kafka", f"127.0.0.1:{ports.kafka}"),
            *("--clickhouse", url, "--metrics", f"http://127.0.0.1:{ports.devices}/metrics"),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    told = " ".join(result.stdout.split())
    for part in ("Kafka does not answer at", "ClickHouse cannot be used at", "No metrics at"):
        assert part in told
