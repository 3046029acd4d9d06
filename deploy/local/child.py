"""Run a program as a child that neither outlives its parent nor gets the terminal's Ctrl-C.

- A session of its own: Ctrl-C in a terminal goes to the launcher alone, which then stops the child in good order.
- On Linux the kernel sends SIGTERM to the child when its parent dies (PR_SET_PDEATHSIG), kill -9 included. The
  flag is set by a one-line Python program that then becomes the child by exec (same pid). It is not set by a
  `preexec_fn`, which is unsafe in a program with threads.
- The kernel takes "the parent dies" as "the THREAD that forked ends", so every child has a thread of its own that
  forks it and waits for it. A start from a pool or from `asyncio.to_thread` is then safe.
- Elsewhere (macOS) there is no such flag: see kafka/pidfile.py and orphans.py for what a killed launcher leaves.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

# Arguments: pid of the launcher, then the command. The check closes the gap between fork and prctl.
_TRAMPOLINE = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, ctypes.c_ulong(signal.SIGTERM))\n"
    "os.getppid() == int(sys.argv[1]) or sys.exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


class Child:
    """One process; its output goes to the end of a file."""

    def __init__(
        self,
        command: list[str],
        folder: Path,
        log_path: Path,
        environment: Mapping[str, str] | None = None,
        on_exit: Callable[[], None] | None = None,
    ) -> None:
        """`environment`: all of the child's variables (None: ours); `on_exit` is called in a thread of its own.

        Raises OSError when the log cannot be opened or the program cannot be started.
        """
        self._command = _with_death_signal(command)
        self._folder = folder
        self._log_path = log_path
        self._environment = environment
        self._on_exit = on_exit
        self._forked = threading.Event()
        self._exited = threading.Event()
        self._failure: BaseException | None = None
        self._process: subprocess.Popen[bytes] | None = None
        threading.Thread(target=self._run, name="child", daemon=True).start()
        self._forked.wait()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with self._log_path.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    cwd=self._folder,
                    env=self._environment,
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
        if self._on_exit is not None:
            self._on_exit()

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
