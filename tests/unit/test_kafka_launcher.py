"""The parts of the Kafka launcher that need no network, no Java and no broker."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local.child import Child
from deploy.local.kafka import archive, broker, jars, pidfile, probe, storage
from deploy.local.kafka.errors import LauncherError
from deploy.local.kafka.java import Java, find_java, parse_version

posix_only = pytest.mark.skipif(os.name != "posix", reason="uses a shell script as the Java")


# Java


@pytest.mark.parametrize(
    ("banner", "expected"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment (build 17.0.15+6)', (17, "17.0.15")),
        ('java version "1.8.0_402"\nJava(TM) SE Runtime Environment', (8, "1.8.0_402")),
        ('openjdk version "25.0.2" 2026-01-20 LTS', (25, "25.0.2")),
        ('openjdk version "25" 2025-09-16', (25, "25")),
        ('openjdk version "26-ea" 2026-03-17', (26, "26-ea")),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "21.0.1" 2023-10-17', (21, "21.0.1")),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
        ("", None),
    ],
)
def test_parse_version(banner: str, expected: tuple[int, str] | None) -> None:
    assert parse_version(banner) == expected


def fake_java(folder: Path, version: str) -> Path:
    path = folder / "bin" / "java"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    path.chmod(0o755)
    return path


@posix_only
def test_find_java_prefers_java_home_then_path(tmp_path: Path) -> None:
    home, on_path = fake_java(tmp_path / "home", "21.0.1"), fake_java(tmp_path / "path", "17.0.2")
    environ = {"JAVA_HOME": str(home.parents[1]), "PATH": str(on_path.parent)}
    assert find_java("auto", environ).path == home
    assert find_java("auto", {"PATH": environ["PATH"]}).path == on_path
    assert find_java(None, {**environ, "LODESTREAM_JAVA": str(on_path)}).version == "17.0.2"


@posix_only
def test_find_java_skips_old_and_broken_ones(tmp_path: Path) -> None:
    old, good = fake_java(tmp_path / "old", "11.0.9"), fake_java(tmp_path / "good", "17")
    assert find_java("system", {"JAVA_HOME": str(old.parents[1]), "PATH": str(good.parent)}).path == good
    with pytest.raises(LauncherError, match=r"needs Java 17 or later \(.* is version 11\.0\.9\)"):
        find_java(str(old), {})
    with pytest.raises(LauncherError, match="does not run") as caught:
        find_java(str(tmp_path / "none"), {})
    assert "\n" not in str(caught.value)
    with pytest.raises(LauncherError, match="none found"):
        find_java("system", {"PATH": str(tmp_path)})


# Jars


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    names = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("a.jar", "b.jar")}
    monkeypatch.setattr(jars, "read_pinned", lambda: names)
    return names


def fill(folder: Path, pinned: dict[str, str]) -> Path:
    folder.mkdir(parents=True)
    for name in pinned:
        (folder / name).write_text(name)
    return folder


def test_pinned_list_is_well_formed() -> None:
    pinned = jars.read_pinned()
    assert len(pinned) == 46  # 45 of Kafka and the log binding
    assert f"kafka_2.13-{jars.KAFKA_VERSION}.jar" in pinned
    assert all(len(digest) == 64 and int(digest, 16) for digest in pinned.values())


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"LODESTREAM_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, Path("/own")),
        ({"XDG_CACHE_HOME": "/xdg"}, Path("/xdg/lodestream")),
        ({"XDG_CACHE_HOME": "relative"}, Path.home() / ".cache" / "lodestream"),
        ({}, Path.home() / ".cache" / "lodestream"),
    ],
)
def test_cache_root(environ: dict[str, str], expected: Path) -> None:
    assert jars.cache_root(environ) == expected


def test_good_folder_is_stamped_and_then_checked_cheaply(
    tmp_path: Path, pinned: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fill(tmp_path / "kafka-4.3.1", pinned)
    messages: list[str] = []
    assert jars.ensure_jars(tmp_path, messages.append) == [folder / "a.jar", folder / "b.jar"]
    assert messages == ["checking 2 Kafka jars"]
    monkeypatch.setattr(jars, "_sha256", lambda _path: pytest.fail("the stamp should have been enough"))
    jars.ensure_jars(tmp_path)


def tamper(folder: Path) -> None:
    (folder / "b.jar").write_text("B.jar")  # of the same size


def remove(folder: Path) -> None:
    (folder / "b.jar").unlink()


def add(folder: Path) -> None:
    (folder / "extra.jar").write_text("extra")


@pytest.mark.parametrize("stamped", [True, False])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (tamper, "Kafka jar b.jar does not have the pinned SHA-256"),
        (remove, "Kafka jar b.jar is missing"),
        (add, "jar extra.jar is not one of Kafka's 2 pinned jars"),
    ],
)
def test_bad_folder_is_named_and_removed(
    tmp_path: Path, pinned: dict[str, str], damage: object, message: str, stamped: bool
) -> None:
    folder = fill(tmp_path / "kafka-4.3.1", pinned)
    if stamped:
        jars.ensure_jars(tmp_path)
        time.sleep(0.01)  # so that the file's time differs
    assert callable(damage)
    damage(folder)
    with pytest.raises(LauncherError, match=message):
        jars.ensure_jars(tmp_path)
    assert not folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_download_appears_whole_and_checked(
    tmp_path: Path, pinned: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "_fetch", lambda _repository, target, _tell: fill(target, pinned))
    assert [path.name for path in jars.ensure_jars(tmp_path / "cache")] == ["a.jar", "b.jar"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["kafka-4.3.1"]


def test_download_that_loses_the_race_uses_the_winner(
    tmp_path: Path, pinned: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(_repository: Path, target: Path, _tell: jars.Progress) -> Path:
        fill(tmp_path / "kafka-4.3.1", pinned)
        return fill(target, pinned)

    monkeypatch.setattr(jars, "_fetch", fetch)
    jars.ensure_jars(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kafka-4.3.1"]


def test_wrong_download_is_refused(tmp_path: Path, pinned: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(_repository: Path, target: Path, _tell: jars.Progress) -> Path:
        tamper(fill(target, pinned))
        return target

    monkeypatch.setattr(jars, "_fetch", fetch)
    with pytest.raises(LauncherError, match=r"b\.jar does not have the pinned SHA-256; the download was thrown away"):
        jars.ensure_jars(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("failure", "message", "attempts"),
    [
        (RuntimeError("Artifact not found\nsecond line"), "cannot download Kafka .*: Artifact not found$", 2),
        (OSError(28, "No space left on device"), "cannot store Kafka's jars in .*: No space left on device$", 1),
    ],
)
def test_failed_download(
    tmp_path: Path,
    pinned: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    message: str,
    attempts: int,
) -> None:
    calls: list[Path] = []

    def fetch(repository: Path, _target: Path, _tell: jars.Progress) -> Path:
        calls.append(repository)
        raise failure

    monkeypatch.setattr(jars, "_fetch", fetch)
    with pytest.raises(LauncherError, match=message):
        jars.ensure_jars(tmp_path)
    assert len(set(calls)) == attempts
    assert list(tmp_path.iterdir()) == []


def test_too_little_disk(tmp_path: Path) -> None:
    with pytest.raises(LauncherError, match="not enough disk space"):
        jars.require_space(tmp_path, 1 << 62)


# Storage


def test_config_text() -> None:
    text = storage.config_text(Path("/data/log"), 9092, 9093)
    settings = dict(line.split("=", 1) for line in text.splitlines())
    expected = {
        "process.roles": "broker,controller",
        "listeners": "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093",
        "advertised.listeners": "PLAINTEXT://127.0.0.1:9092",
        "controller.quorum.voters": "1@127.0.0.1:9093",
        "log.dirs": str(Path("/data/log")).replace("\\", "\\\\"),
        "message.max.bytes": "4194304",
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
    }
    assert {name: settings[name] for name in expected} == expected
    assert all(value == "1" for name, value in settings.items() if name.endswith("replication.factor"))


def test_escape_property() -> None:
    assert storage.escape_property("C:\\a b") == "C:\\\\a b"
    assert storage.escape_property("/ü/😀") == "/\\u00fc/\\ud83d\\ude00"


def test_new_cluster_id() -> None:
    ids = {storage.new_cluster_id() for _ in range(500)}
    assert len(ids) == 500
    assert all(len(text) == 22 and not text.startswith("-") for text in ids)


def test_read_cluster_id(tmp_path: Path) -> None:
    layout = storage.Layout(tmp_path)
    with pytest.raises(LauncherError, match="no readable"):
        storage.read_cluster_id(layout)
    layout.log_dir.mkdir()
    meta = layout.log_dir / "meta.properties"
    meta.write_text("#\nnode.id=1\ncluster.id=abc_-9\n")
    assert storage.read_cluster_id(layout) == "abc_-9"
    meta.write_text("node.id=1\n")
    with pytest.raises(LauncherError, match="names no cluster id"):
        storage.read_cluster_id(layout)


# Startup archive

JAVA_17 = Java(Path("/java"), 17, "17.0.15", "banner")
JAVA_25 = Java(Path("/java"), 25, "25.0.2", "banner")


def test_archive_name_and_flags(tmp_path: Path) -> None:
    path = archive.archive_path(tmp_path, JAVA_17, ["-Xmx512m"], "a.jar")
    assert path.name.startswith("java-17.0.15-")
    assert path.suffix == ".jsa"
    assert path != archive.archive_path(tmp_path, JAVA_17, ["-Xmx512m"], "a.jar:b.jar")
    assert archive.archive_path(tmp_path, JAVA_25, [], "a.jar").suffix == ".aot"
    assert archive.use_flags(JAVA_17, path) == []
    path.parent.mkdir()
    path.touch()
    assert archive.use_flags(JAVA_17, path) == [f"-XX:SharedArchiveFile={path}"]
    assert f"-XX:AOTCache={path}" in archive.use_flags(JAVA_25, path)
    assert archive.create_flags(JAVA_17, path) == [f"-XX:ArchiveClassesAtExit={path}"]
    assert archive.create_flags(JAVA_25, path) == [f"-XX:AOTCacheOutput={path}"]


def test_archive_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "startup" / "x.jsa"
    runs: list[Path] = []

    def train(flags: list[str], data: Path) -> None:
        runs.append(data)
        Path(flags[0].partition("=")[2]).write_text("classes")

    for _ in range(2):
        archive.ensure(JAVA_17, path, train, lambda _message: None)
    assert len(runs) == 1
    assert [entry.name for entry in path.parent.iterdir()] == ["x.jsa"]
    archive.reject(path, "crashed")
    assert not path.exists()
    archive.ensure(JAVA_17, path, train, lambda _message: None)
    assert len(runs) == 1


def test_failed_archive_is_noted_and_tried_again_a_day_later(tmp_path: Path) -> None:
    path = tmp_path / "startup" / "x.jsa"
    runs: list[Path] = []

    def train(_flags: list[str], data: Path) -> None:
        runs.append(data)
        raise LauncherError("no")

    for _ in range(2):
        archive.ensure(JAVA_17, path, train, lambda _message: None)
    assert len(runs) == 1
    yesterday = time.time() - 25 * 3600
    os.utime(path.with_name("x.jsa.failed"), (yesterday, yesterday))
    archive.ensure(JAVA_17, path, train, lambda _message: None)
    assert len(runs) == 2


# Readiness

# A Metadata v2 answer, written after the protocol's description: one broker, cluster "abc", controller 1, no topic.
ANSWER = (
    struct.pack(">ii", 1, 1)
    + struct.pack(">ih", 1, 9)
    + b"127.0.0.1"
    + struct.pack(">ih", 9092, -1)
    + struct.pack(">h", 3)
    + b"abc"
    + struct.pack(">ii", 1, 0)
)


def test_parse_answer() -> None:
    assert probe.parse_answer(ANSWER) == probe.ClusterAnswer("abc", (9092,))
    no_broker = struct.pack(">iihi", 1, 0, -1, -1) + struct.pack(">i", 0)
    assert probe.parse_answer(no_broker) == probe.ClusterAnswer(None, ())


@pytest.fixture
def one_shot_server(request: pytest.FixtureRequest) -> Iterator[int]:
    """Answers one connection with the given bytes and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _address = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(request.param)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(5)


@pytest.mark.parametrize(
    ("one_shot_server", "expected"),
    [
        (struct.pack(">i", len(ANSWER)) + ANSWER, probe.ClusterAnswer("abc", (9092,))),
        (struct.pack(">i", len(ANSWER)) + ANSWER[:-20], None),
        (struct.pack(">i", 10) + ANSWER[:10], None),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", None),
        (b"", None),
    ],
    indirect=["one_shot_server"],
)
@pytest.mark.loopback
def test_ask(one_shot_server: int, expected: probe.ClusterAnswer | None) -> None:
    assert probe.ask(one_shot_server) == expected


# Ports, log, processes


def test_choose_ports() -> None:
    first, second = broker._choose_ports(0, 0)
    assert first != second
    assert broker._choose_ports(9092, 9093) == (9092, 9093)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(LauncherError, match=f"port {port} on 127.0.0.1 is already in use"):
            broker._require_free_port(port)
    with pytest.raises(LauncherError, match="is not a port number"):
        broker._require_free_port(70000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("old line\n", "no output"),
        ("old line\nx\n\ty\n", "y"),
        (
            "old line\n[main] ERROR Fatal error: no such file\n\tat kafka.Kafka\n",
            "[main] ERROR Fatal error: no such file",
        ),
        (
            "old line\nException in thread\nCaused by: java.io.IOException: disk\n\tat x\n",
            "Caused by: java.io.IOException: disk",
        ),
        ("old line\n#\n# A fatal error\n#  SIGSEGV (0xb) at pc=0\n#\n", "SIGSEGV (0xb) at pc=0"),
    ],
)
def test_reason_in_log(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "broker.log"
    path.write_text(text)
    assert broker._reason_in_log(path, len("old line\n")) == expected


def test_log_is_rotated_when_it_is_large(tmp_path: Path) -> None:
    path = tmp_path / "broker.log"
    broker._rotate(path)
    path.write_bytes(b"x")
    broker._rotate(path)
    assert path.exists()
    os.truncate(path, 9 * 1024 * 1024)
    broker._rotate(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["broker.log.1"]


def sleeper(tmp_path: Path) -> Child:
    return Child(
        [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"], tmp_path, tmp_path / "o"
    )


def wait_for_output(path: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not (path.exists() and path.stat().st_size):
        time.sleep(0.02)


@posix_only
def test_child_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    """PR_SET_PDEATHSIG is about the forking thread, so a start from a short-lived thread is the case to test."""
    children: list[Child] = []
    thread = threading.Thread(target=lambda: children.append(sleeper(tmp_path)))
    thread.start()
    thread.join()
    child = children[0]
    try:
        wait_for_output(tmp_path / "o")
        assert not child.wait(0.2)
        assert os.getsid(child.pid) == child.pid
    finally:
        child.terminate()
        assert child.wait(5)
    assert child.exit_code == -signal.SIGTERM
    child.kill()  # of an ended process: nothing happens


def test_child_that_cannot_start_raises(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        Child([sys.executable, "-c", ""], tmp_path / "nowhere", tmp_path / "o")


@posix_only
def test_pidfile_refuses_a_live_owner_and_stops_an_orphan(tmp_path: Path) -> None:
    path = tmp_path / "broker.pid"
    pidfile.claim(path)
    path.write_text("not json")
    pidfile.claim(path)
    child = sleeper(tmp_path)
    try:
        pidfile.write(path, child.pid)
        with pytest.raises(LauncherError, match=rf"another Kafka \(pid {child.pid}\) already runs"):
            pidfile.claim(path)
        owner = json.loads(path.read_text())
        # The pid was used again: not the broker that was written down.
        path.write_text(json.dumps({**owner, "started": owner["started"] - 100}))
        pidfile.claim(path)
        assert child.running
        # The launcher is gone: the broker is an orphan.
        path.write_text(json.dumps({**owner, "launcher_started": owner["launcher_started"] - 100}))
        pidfile.claim(path)
        assert child.wait(5)
    finally:
        child.kill()
    assert not psutil.pid_exists(child.pid)
