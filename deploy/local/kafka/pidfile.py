"""Remember which process serves a data folder, so that two brokers never fight for it.

Kafka has a lock of its own there, but its message is a stack trace, and it cannot tell two cases apart: a broker
that another launcher runs (an error) and one whose launcher was killed a moment ago (it is stopped first).
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from deploy.local.kafka.errors import LauncherError

_ORPHAN_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Owner:
    """A broker and its launcher, each with its start time: pids are used again."""

    pid: int
    started: float
    launcher: int
    launcher_started: float


def write(path: Path, pid: int) -> None:
    try:
        owner = Owner(pid, _start_time(pid), os.getpid(), _start_time(os.getpid()))
    except psutil.Error:
        return  # it has ended already; the caller is about to see that
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(owner)), encoding="ascii")
    temporary.replace(path)


def clear(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def claim(path: Path) -> None:
    """Make sure that no broker serves the folder of this file: stop an orphan, refuse when a launcher owns it."""
    owner = _read(path)
    if owner is None or not _is_alive(owner.pid, owner.started):
        return
    if _is_alive(owner.launcher, owner.launcher_started):
        raise LauncherError(f"another Kafka (pid {owner.pid}) already runs on the data folder {path.parent}")
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(owner.pid).terminate()
        if not _wait_for_end(owner):
            psutil.Process(owner.pid).kill()
            _wait_for_end(owner)


def _wait_for_end(owner: Owner) -> bool:
    """Own loop instead of psutil's: that one also waits for init to collect the zombie, in a container for ever."""
    deadline = time.monotonic() + _ORPHAN_STOP_SECONDS
    while _is_alive(owner.pid, owner.started):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _read(path: Path) -> Owner | None:
    try:
        return Owner(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _start_time(pid: int) -> float:
    return psutil.Process(pid).create_time()


def _is_alive(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        # A zombie holds no file and no port.
        return abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
