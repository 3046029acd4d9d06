"""Hostile and broken peers: each is bounded, counted, kept where it was a frame, and harms no other session."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import random
import resource
import socket
import subprocess
import sys
import time
from typing import Any

import psutil
import pytest

from tests.integration.line import ROOT, Line, running_line, wait_until

SCANNERS = (
    b"GET / HTTP/1.1\r\nHost: example\r\n\r\n",
    bytes.fromhex("16030100c8010000c40303") + bytes(200),
    b"SSH-2.0-OpenSSH_9.2\r\n",
    bytes.fromhex("0300002f2ae00000000000436f6f6b69653a206d737473686173683d"),
    b"OPTIONS sip:nm SIP/2.0\r\n\r\n",
    b"*1\r\n$4\r\nPING\r\n",
)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Any:
    environment = {"GATEWAY_UNKNOWN_TIMEOUT_S": "20"}
    with running_line(tmp_path_factory.mktemp("bad"), partitions=2, **environment) as started:
        yield started


def frame(device_id: str) -> bytes:
    when = dt.datetime.now(dt.UTC)
    place = f"A,5130.2500,N,00007.6500,W,019.71,045,{when:%d%m%y}"
    return f"*HQ,{device_id},V1,{when:%H%M%S},{place},FFFFFFFF#".encode()


def connect(line: Line) -> socket.socket:
    device = socket.create_connection(("127.0.0.1", line.port))
    device.settimeout(5)
    return device


def answered(line: Line, device_id: str) -> None:
    """A good device is served whatever the others do."""
    with connect(line) as device:
        device.sendall(frame(device_id))
        assert device.recv(100).startswith(f"*HQ,{device_id},V4,V1,".encode())


def test_scanners_get_no_answer(line: Line) -> None:
    for greeting in SCANNERS:
        with connect(line) as scanner:
            scanner.sendall(greeting)
            scanner.settimeout(0.5)
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                assert scanner.recv(100) == b""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as scanner:
            scanner.sendto(greeting, ("127.0.0.1", line.port))
            scanner.settimeout(0.2)
            with pytest.raises(TimeoutError):
                scanner.recv(100)
    answered(line, "8800200001")
    wait_until(
        lambda: line.query("SELECT count() FROM lodestream.rejected WHERE reason = 'undecided'")[0][0] >= 6, 15, "kept"
    )


def test_random_bytes_and_half_frames(line: Line) -> None:
    rng = random.Random(5)
    for _ in range(40):
        with connect(line) as device:
            device.sendall(rng.randbytes(rng.randint(1, 3000)))
    for cut in range(1, 80, 8):
        with connect(line) as device:
            device.sendall(frame("8800200002")[:cut])
    answered(line, "8800200002")
    assert line.gateway.exit_code is None
    assert line.track.exit_code is None


def test_a_megabyte_without_a_terminator_is_bounded(line: Line) -> None:
    process = psutil.Process(line.gateway.pid)
    before = process.memory_info().rss
    with connect(line) as device:
        device.sendall(frame("8800200003"))
        assert device.recv(100)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # closed meanwhile: good
            device.sendall(b"(" + b"1" * 1024 * 1024)
        answered(line, "8800200004")
        time.sleep(0.5)
    assert process.memory_info().rss - before < 8 * 1024 * 1024


def test_impossible_dates_and_places_are_kept_as_rejected(line: Line) -> None:
    bad = [
        b"*HQ,8800200005,V1,101112,A,9930.2500,N,00007.6500,W,0,0,150126,FFFFFFFF#",
        b"*HQ,8800200005,V1,101112,A,5130.2500,N,19907.6500,W,0,0,150126,FFFFFFFF#",
        b"(088012345678BR00260115A9930.2500N00007.6500W036.5101113045.5001000000L00001A2B)",
    ]
    with connect(line) as device:
        device.sendall(b"".join(bad))
        device.recv(100)
    sql = "SELECT reason, count() FROM lodestream.rejected WHERE device_id IN ('8800200005', '088012345678') GROUP BY reason"
    wait_until(lambda: line.query(sql) == [("bad_coordinates", 3)], 15, "three rejected frames")


def test_a_device_that_never_reads_its_replies_is_paused_and_harms_nobody(line: Line) -> None:
    with socket.socket() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.connect(("127.0.0.1", line.port))
        greedy.settimeout(1)
        sent = 0
        data = b"*HQ,8800200006,HTBT#" * 500
        began = time.monotonic()
        try:
            while time.monotonic() - began < 8 and sent < 64 * 1024 * 1024:
                sent += greedy.send(data)
        except TimeoutError:
            pass
        assert sent < 64 * 1024 * 1024, "it was read for ever"
        answered(line, "8800200007")
        assert line.metric(line.gateway, "gateway_paused_connections") >= 1
    assert psutil.Process(line.gateway.pid).memory_info().rss < 200 * 1024 * 1024


def test_five_thousand_silent_connections(line: Line) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    process = psutil.Process(line.gateway.pid)
    before = process.memory_info().rss

    async def crowd() -> int:
        pairs = []
        for _ in range(25):
            pairs += await asyncio.gather(*(asyncio.open_connection("127.0.0.1", line.port) for _ in range(200)))
        await asyncio.to_thread(answered, line, "8800200008")
        rss = process.memory_info().rss
        # Silent and unidentified: closed by the time-out, without an answer.
        closed = await asyncio.wait_for(asyncio.gather(*(reader.read(1) for reader, _ in pairs)), 60)
        assert closed == [b""] * 5000
        for _, writer in pairs:
            writer.close()
        return rss

    try:
        rss = asyncio.run(crowd())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (rss - before) / 5000 < 8 * 1024
    answered(line, "8800200009")


@pytest.mark.parametrize("module", ["gateway", "processors"])
def test_wrong_settings_stop_with_every_mistake_named(module: str) -> None:
    prefix = {"gateway": "GATEWAY_", "processors": "WORKER_"}[module]
    environment = {f"{prefix}METRICS_PORT": "x", f"{prefix}NO_SUCH": "1"}
    ended = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 2
    assert f"{prefix}METRICS_PORT: 'x' is not a whole number" in ended.stderr
    assert f"{prefix}NO_SUCH: no such setting" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_is_one_message(line: Line) -> None:
    environment = {
        "GATEWAY_PORT": str(line.port),
        "GATEWAY_METRICS_PORT": "0",
        "GATEWAY_HOST": "127.0.0.1",
        "GATEWAY_KAFKA_BOOTSTRAP": line.kafka.bootstrap,
        "GATEWAY_KAFKA_PARTITIONS": "2",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "gateway"],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1:{line.port}" in ended.stderr
    assert "Traceback" not in ended.stderr
