"""Processes of a run that was killed: remembered in the data folder, and ended before the next run begins.

On Linux the kernel has told them already that their parent died, and they are on their way; they still hold ports and
folders for as long as that takes.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import psutil

FILE_NAME = "processes.json"
_POLL_S = 0.05
_KILLED_S = 2.0


class ProcessList:
    """Pids with their start times (pids are used again), in a file of the data folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._started: dict[int, float] = {}

    def add(self, pid: int) -> None:
        """Remember a child; one that has ended already is left out."""
        with contextlib.suppress(psutil.Error):
            self._started[pid] = psutil.Process(pid).create_time()
            self._write()

    def remove(self, pid: int) -> None:
        """Forget a child that has ended."""
        if self._started.pop(pid, None) is not None:
            self._write()

    def stop_orphans(self, timeout_s: float) -> int:
        """End what the file of an earlier run names and still runs; returns how many that were. Needs the lock."""
        orphans = [process for pid, started in self._read().items() if (process := _living(pid, started))]
        trees = [child for process in orphans for child in process_tree(process)]
        for process in orphans:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        _wait(trees, timeout_s)
        for process in trees:
            with contextlib.suppress(psutil.Error):
                process.kill()
        _wait(trees, _KILLED_S)
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        return len(orphans)

    def _write(self) -> None:
        # Only a help for the next start: a full disk must not stop the supervisor.
        with contextlib.suppress(OSError):
            temporary = self._path.with_suffix(".new")
            temporary.write_text(json.dumps(self._started), encoding="ascii")
            temporary.replace(self._path)

    def _read(self) -> dict[int, float]:
        try:
            return {int(pid): float(started) for pid, started in json.loads(self._path.read_bytes()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def _wait(processes: list[psutil.Process], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and any(is_alive(process) for process in processes):
        time.sleep(_POLL_S)


def _living(pid: int, started: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return process if abs(process.create_time() - started) < 1.0 and is_alive(process) else None
    except psutil.Error:
        return None


def is_alive(process: psutil.Process) -> bool:
    """Whether it still holds ports and files: a zombie does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def process_tree(process: psutil.Process) -> list[psutil.Process]:
    """The process and all below it."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def kill_tree(pid: int) -> None:
    """SIGKILL for a process and all below it."""
    try:
        tree = process_tree(psutil.Process(pid))
    except psutil.Error:
        return
    for process in tree:
        with contextlib.suppress(psutil.Error):
            process.kill()
