"""Run the broker as a child that neither outlives its parent nor gets the terminal's Ctrl-C.

- A session of its own: Ctrl-C in a terminal goes to the launcher alone, which then stops the broker in good order.
- On Linux the kernel sends SIGTERM to the broker when its parent dies (PR_SET_PDEATHSIG), kill -9 included. The
  flag is set by a one-line Python program that then becomes Java by exec (same pid). It is not set by a
  `preexec_fn`, which is unsafe in a program with threads.
- The kernel takes "the parent dies" as "the THREAD that forked ends", so every child has a thread of its own that
  forks it and waits for it. A start from a pool or from `asyncio.to_thread` is then safe.
- Elsewhere (macOS, Windows) there is no such flag: see pidfile.py for the orphan that a killed launcher leaves.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

# Arguments: pid of the launcher, then the command. The check closes the gap between fork and prctl.
_TRAMPOLINE = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, ctypes.c_ulong(signal.SIGTERM))\n"
    "os.getppid() == int(sys.argv[1]) or sys.exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


class Child:
    """One process; its output goes to a file."""

    def __init__(self, command: list[str], folder: Path, log_path: Path) -> None:
        self._command = _with_death_signal(command)
        self._folder = folder
        self._log_path = log_path
        self._forked = threading.Event()
        self._exited = threading.Event()
        self._failure: BaseException | None = None
        self._process: subprocess.Popen[bytes] | None = None
        threading.Thread(target=self._run, name="kafka-broker-child", daemon=True).start()
        self._forked.wait()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with self._log_path.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except BaseException as error:
            self._failure = error
            return
        finally:
            self._forked.set()
        self._process.wait()
        self._exited.set()

    @property
    def _popen(self) -> subprocess.Popen[bytes]:
        assert self._process is not None  # the constructor has raised otherwise
        return self._process

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return not self._exited.is_set()

    @property
    def exit_code(self) -> int | None:
        return self._popen.returncode if self._exited.is_set() else None

    def wait(self, timeout_s: float | None = None) -> bool:
        """True when the process has ended."""
        return self._exited.wait(timeout_s)

    def terminate(self) -> None:
        self._popen.terminate()

    def kill(self) -> None:
        self._popen.kill()


def _with_death_signal(command: list[str]) -> list[str]:
    if not sys.platform.startswith("linux") or not sys.executable:
        return command
    return [sys.executable, "-I", "-S", "-c", _TRAMPOLINE, str(os.getpid()), *command]
