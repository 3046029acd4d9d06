"""An embedded ClickHouse for tests, started and stopped through its public command line only.

with clickhouse_server(tmp_path / "clickhouse") as url:
    client = clickhouse_connect.get_client(dsn=url, compress=False, autogenerate_session_id=False)
"""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[str]
    url: str


def command(path: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "deploy.local.clickhouse", "--path", str(path), "--port", "0", *options]


def start(path: Path, *options: str) -> Server:
    """Start a server and wait until it answers. The caller ends the process."""
    process = subprocess.Popen(command(path, *options), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    watchdog = threading.Timer(_START_SECONDS, process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline()
    finally:
        watchdog.cancel()
    word, _, url = line.strip().partition(" ")
    if word != "ready":
        process.kill()
        raise RuntimeError(f"the ClickHouse endpoint did not start (exit code {process.wait()}); see its stderr")
    return Server(process, url)


def stop(server: Server) -> int:
    """End the server the polite way, or by force when that takes too long; returns its exit code."""
    server.process.terminate()
    try:
        return server.process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.process.kill()
        return server.process.wait()
    finally:
        if server.process.stdout is not None:
            server.process.stdout.close()


@contextlib.contextmanager
def clickhouse_server(path: Path, *options: str) -> Iterator[str]:
    """A running server with its data in `path`; gives its URL."""
    server = start(path, *options)
    try:
        yield server.url
    finally:
        stop(server)
