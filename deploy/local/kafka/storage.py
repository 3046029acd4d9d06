"""What the broker reads from its data folder: the config file, written anew at each start, and the formatted log.

Ports are in the config alone: the quorum is static (`controller.quorum.voters`), so the metadata log holds no
address of its own and the same data starts on any port.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from deploy.local.kafka.errors import LauncherError

HOST = "127.0.0.1"
MESSAGE_MAX_BYTES = 4 * 1024 * 1024
INTERNAL_TOPIC_PARTITIONS = 4  # the defaults (50) cost 115 MB of memory on one machine
_FORMAT_SECONDS = 60


@dataclass(frozen=True)
class Layout:
    """The files of one data folder."""

    data_dir: Path

    @property
    def config(self) -> Path:
        return self.data_dir / "server.properties"

    @property
    def log_dir(self) -> Path:
        return self.data_dir / "log"

    @property
    def output(self) -> Path:
        return self.data_dir / "broker.log"

    @property
    def pid(self) -> Path:
        return self.data_dir / "broker.pid"


def config_text(log_dir: Path, port: int, controller_port: int) -> str:
    """The text of server.properties: one node that is broker and controller, on this machine only."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "log.dirs": escape_property(str(log_dir)),
        "message.max.bytes": str(MESSAGE_MAX_BYTES),
        # A topic that appears by itself has the wrong number of partitions: Lodestream declares its own.
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.num.partitions": str(INTERNAL_TOPIC_PARTITIONS),
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": str(INTERNAL_TOPIC_PARTITIONS),
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": str(INTERNAL_TOPIC_PARTITIONS),
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # The default takes 128 MB of heap at the start; this still maps 1.2 million keys per pass of compaction.
        "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),
        # After a kill the controller waits for the old broker's session to end: 9 s by default.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def escape_property(value: str) -> str:
    """A value as java.util.Properties reads it: backslashes doubled, all but ASCII as UTF-16 escapes."""
    escaped: list[str] = []
    for character in value:
        if character == "\\":
            escaped.append("\\\\")
        elif " " <= character <= "~":
            escaped.append(character)
        else:
            units = character.encode("utf-16-be", "surrogatepass")
            escaped += [f"\\u{units[index : index + 2].hex()}" for index in range(0, len(units), 2)]
    return "".join(escaped)


def new_cluster_id() -> str:
    """16 random bytes in Kafka's base64; never with a leading dash, which command lines take for an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if not text.startswith("-"):
            return text


def write_config(layout: Layout, port: int, controller_port: int) -> None:
    temporary = layout.config.with_suffix(".new")
    temporary.write_text(config_text(layout.log_dir, port, controller_port), encoding="ascii")
    os.replace(temporary, layout.config)


def read_cluster_id(layout: Layout) -> str:
    """The cluster id that the storage was formatted with."""
    path = layout.log_dir / "meta.properties"
    try:
        lines = path.read_text(encoding="latin-1").splitlines()
    except OSError as error:
        raise LauncherError(f"the data folder has no readable {path}: {error.strerror}") from error
    for line in lines:
        name, _, value = line.partition("=")
        if name.strip() == "cluster.id":
            return value.strip()
    raise LauncherError(f"{path} names no cluster id: it is not a Kafka data folder")


def format_storage(layout: Layout, java_command: list[str], plain_command: list[str]) -> None:
    """Format the log folder. `plain_command` is Java without the startup archive, for when that one fails.

    Done in a folder of another name that is renamed at the end: a half-formatted folder of a run that was killed
    never counts as formatted. (Kafka stores no path of its own in there.)
    """
    work = Path(tempfile.mkdtemp(prefix="format-", dir=layout.data_dir))
    try:
        new_log, config = work / "log", work / "format.properties"
        config.write_text(config_text(new_log, port=1, controller_port=2), encoding="ascii")  # ports: any, not kept
        arguments = ["kafka.tools.StorageTool", "format", f"--cluster-id={new_cluster_id()}", "-c", str(config)]
        for command in (java_command, plain_command):
            result = subprocess.run(
                [*command, *arguments],
                cwd=work,  # where Java would leave a crash report
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_FORMAT_SECONDS,
            )
            if result.returncode == 0 and (new_log / "meta.properties").is_file():
                os.rename(new_log, layout.log_dir)
                return
            shutil.rmtree(new_log, ignore_errors=True)
        raise LauncherError(f"Kafka could not format {layout.log_dir}: {last_line(result.stdout)}")
    except subprocess.TimeoutExpired as error:
        raise LauncherError(f"formatting {layout.log_dir} took more than {_FORMAT_SECONDS} s") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def last_line(output: bytes) -> str:
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"
