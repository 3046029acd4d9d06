"""The whole line on free ports, every part a real process that a test may kill: for integration, chaos and bench."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.local.kafka import LocalKafka
from schemas.clients import clickhouse
from schemas.clients.kafka import create_topics

ROOT = Path(__file__).parent.parent.parent
READY_S = 60.0


class Child:
    """A process of ours: started, waited for, killed by its pid."""

    def __init__(self, name: str, arguments: list[str], environment: dict[str, str], log: Path) -> None:
        self.name = name
        self._arguments = arguments
        self._environment = environment
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.ready_line = ""

    def start(self, wait: bool = True) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("GATEWAY_", "WORKER_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", *self._arguments],
            cwd=ROOT,
            env=clean | self._environment,
            stdout=subprocess.PIPE,
            stderr=self._log.open("ab"),
            start_new_session=True,
        )
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout_s: float = READY_S) -> str:
        """Wait for the line `ready …` on stdout; raises with the end of the log when the process ends before."""
        assert self.process is not None
        lines: queue.Queue[bytes] = queue.Queue()
        stdout = self.process.stdout

        def pump() -> None:
            for line in stdout or ():
                lines.put(line)
            lines.put(b"")

        threading.Thread(target=pump, daemon=True).start()
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                line = lines.get(timeout=0.5)
            except queue.Empty:
                continue
            if line.startswith(b"ready"):
                self.ready_line = line.decode().strip()
                return self.ready_line
            if not line:
                break
        tail = self._log.read_text(errors="replace")[-3000:]
        raise RuntimeError(f"{self.name} is not ready (exit code {self.process.poll()}):\n{tail}")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        return self.process.poll() if self.process else None

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def stop(self, timeout_s: float = 20.0) -> int:
        """SIGTERM; returns the exit code, kills after timeout_s."""
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop within {timeout_s} s of SIGTERM") from None


class Line:
    """Kafka, ClickHouse, gateway, track and sink worker in one folder; without the gateway a test writes the log itself."""

    def __init__(self, path: Path, partitions: int = 8, with_gateway: bool = True, **environment: str) -> None:
        self.path = path
        self._with_gateway = with_gateway
        self.partitions = partitions
        self._environment = environment
        path.mkdir(parents=True, exist_ok=True)
        self.kafka = LocalKafka(path / "kafka")
        self.clickhouse = Child(
            "clickhouse",
            ["deploy.local.clickhouse", "--path", str(path / "clickhouse"), "--port", "0"],
            {},
            path / "clickhouse.log",
        )
        self.url = ""
        self.gateway: Child = None  # type: ignore[assignment]
        self.track: Child = None  # type: ignore[assignment]
        self.sink: Child = None  # type: ignore[assignment]
        self.port = 0

    def start(self) -> None:
        import asyncio

        self.clickhouse.start(wait=False)
        self.kafka.start()
        self.url = self.clickhouse.wait_ready().split()[1]
        asyncio.run(create_topics(self.kafka.bootstrap, self.partitions, 1))
        clickhouse.migrate(clickhouse.connect(self.url))
        self.track = self.new_worker("track", "0")
        self.sink = self.new_worker("sink", "0")
        for child in (self.track, self.sink):
            child.start(wait=False)
        if self._with_gateway:
            self.gateway = self.new_gateway("g1")
            self.gateway.start(wait=False)
            self.port = int(self.gateway.wait_ready().rsplit(":", 1)[1])
            self.gateway._environment["GATEWAY_PORT"] = str(self.port)  # a restart takes the same port
        self.track.wait_ready()
        self.sink.wait_ready()

    def new_gateway(self, name: str, **more: str) -> Child:
        environment = {
            "GATEWAY_PORT": "0",
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_METRICS_PORT": "0",
            "GATEWAY_ID": name,
            "GATEWAY_KAFKA_BOOTSTRAP": self.kafka.bootstrap,
            "GATEWAY_KAFKA_PARTITIONS": str(self.partitions),
        }
        mine = {k: v for k, v in self._environment.items() if k.startswith("GATEWAY_")}
        return Child(f"gateway-{name}", ["gateway"], environment | mine | more, self.path / f"gateway-{name}.log")

    def new_worker(self, role: str, number: str, **more: str) -> Child:
        environment = {
            "WORKER_ROLE": role,
            "WORKER_ID": number,
            "WORKER_METRICS_PORT": "0",
            "WORKER_KAFKA_BOOTSTRAP": self.kafka.bootstrap,
            "WORKER_KAFKA_PARTITIONS": str(self.partitions),
            "WORKER_CLICKHOUSE_URL": self.url,
        }
        mine = {k: v for k, v in self._environment.items() if k.startswith("WORKER_")}
        log = self.path / f"{role}-{number}.log"
        return Child(f"{role}-{number}", ["processors"], environment | mine | more, log)

    def stop(self) -> None:
        for child in (self.gateway, self.track, self.sink):
            if child is not None:
                child.stop()
        self.clickhouse.stop()
        self.kafka.stop()

    def kill_all(self) -> None:
        """Whatever is left, at the end of a test."""
        for child in (self.gateway, self.track, self.sink, self.clickhouse):
            if child is not None and child.exit_code is None and child.process is not None:
                child.kill()
        self.kafka.stop()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        client = clickhouse.connect(self.url)
        try:
            return list(client.query(sql).result_rows)
        finally:
            client.close()

    def metric(self, child: Child, name: str) -> float:
        """Sum of one metric over its labels, read from the log line that names the metrics page."""
        total = 0.0
        for line in urllib.request.urlopen(self.metrics_url(child), timeout=5).read().decode().splitlines():
            if line.startswith((name + " ", name + "{")):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def metrics_url(self, child: Child) -> str:
        text = child._log.read_text(errors="replace")
        return text.rsplit("metrics on ", 1)[1].split()[0]

    def logs(self) -> str:
        return "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')[-2500:]}" for p in self.path.glob("*.log"))


@contextmanager
def running_line(path: Path, **options: Any) -> Iterator[Line]:
    """A started line, gone at the end whatever happened; the logs are shown when a test fails in it."""
    line = Line(path, **options)
    try:
        line.start()
        yield line
    except BaseException:
        sys.stderr.write(line.logs())
        raise
    finally:
        line.kill_all()


def wait_until(check: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """Poll until check gives something true and return it; fails with what was waited for."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s} s (last {value!r})")
        time.sleep(0.1)
