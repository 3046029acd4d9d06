"""What is checked before anything starts: options, data folder, disk, ports. Every problem is told at once."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import UpError

LOOPBACK, ALL = "127.0.0.1", "0.0.0.0"
FREE_BYTES = 500 * 1024 * 1024
LOCK_NAME = "lock"


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a part of the line takes. kind: "tcp" or "udp"; option: what gives it another number."""

    number: int
    kind: str
    host: str
    purpose: str
    option: str


def port_problem(port: Port) -> str | None:
    """Why the port cannot be had, as a sentence that names it; None when it is free."""
    kind = socket.SOCK_STREAM if port.kind == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as attempt:
        if port.kind == "tcp":  # as the servers do: old connections that are still closing do not count
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((port.host, port.number))
        except OSError as error:
            reason = "is already in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
            name = f"port {port.number} {port.kind.upper()} ({port.purpose}) on {port.host} {reason}"
            return f"{name}; choose another with {port.option}"
    return None


def check_ports(ports: Iterable[Port]) -> None:
    """Raises UpError with a line for each port that cannot be had."""
    problems = [problem for port in ports if (problem := port_problem(port)) is not None]
    if problems:
        raise UpError("\n".join(problems))


def free_port(wanted: int, taken: set[int]) -> int:
    """The wanted port of this machine when it is free and not among `taken`, else any free one."""
    if wanted not in taken and port_problem(Port(wanted, "tcp", LOOPBACK, "", "")) is None:
        return wanted
    while True:
        with socket.socket() as attempt:
            attempt.bind((LOOPBACK, 0))
            number: int = attempt.getsockname()[1]
        if number not in taken:
            return number


def prepare_data(folder: Path) -> None:
    """Make the data folder and its logs; raises UpError when it cannot be written or the disk is nearly full."""
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        place = error.filename or folder
        raise UpError(f"cannot write the data folder: {place}: {error.strerror}; choose another with --data") from error
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        raise UpError(
            f"not enough disk space for {folder}: {free >> 20} MB free, {FREE_BYTES >> 20} MB needed; "
            "make room or choose another folder with --data"
        )


class DataLock:
    """Held while a line runs on a data folder; the kernel lets go of it when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock; raises UpError when another run holds it."""
        self._handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._handle, 20, 0).decode(errors="replace").strip()
            self.release()
            who = f" (pid {owner})" if owner else ""
            raise UpError(
                f"another `lodestream up`{who} runs on the data folder {folder}; stop it, or choose another with --data"
            ) from error
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have the folder."""
        os.close(self._handle)
