"""Keep processes running: start, wait for their ready line, start again when they end, stop in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from deploy.local import logs
from deploy.local.child import Child
from deploy.local.errors import UpError
from deploy.local.orphans import ProcessList, kill_tree

log = logging.getLogger(__name__)

EXIT_USAGE = 2
EXIT_OFFSETS = 71
"""Offsets do not fit what was processed or stored: a restart would not help, `lodestream topics repair` does."""
FIRST_DELAY_S, MOST_DELAY_S = 0.5, 30.0
STEADY_S = 60.0
"""A process that ran for so long is healthy: earlier failures no longer count."""
ATTEMPTS = 3
"""How often a process that was never ready is tried."""
_POLL_S = 0.03
_LOG_CHECK_S = 15.0


@dataclass(slots=True)
class Backoff:
    """Decides whether and when a process that ended is started again."""

    failures: int = 0

    def after(self, code: int, ran_s: float, was_ready: bool) -> float | None:
        """Seconds to wait before the next start, None when there is to be none.

        code: exit code (negative: ended by that signal). ran_s: how long it ran. was_ready: whether any start of this
        run got as far as its ready line; what never did fails the set-up soon, what did is started again for ever.
        """
        if code == EXIT_OFFSETS:
            return None
        self.failures = 1 if ran_s >= STEADY_S else self.failures + 1
        if not was_ready and (code == EXIT_USAGE or self.failures >= ATTEMPTS):
            return None
        return float(min(FIRST_DELAY_S * 2 ** min(self.failures - 1, 10), MOST_DELAY_S))


def describe_exit(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"


class State(StrEnum):
    """What a service does at the moment."""

    IDLE = "not started"
    STARTING = "starting"
    READY = "running"
    WAITING = "waiting to restart"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Spec:
    """One process to keep. ready: how the line begins that says it is ready; empty: it is as soon as it runs."""

    name: str
    title: str
    command: list[str]
    environment: dict[str, str]
    folder: Path
    ready: str = "ready "
    start_timeout_s: float = 60.0


@dataclass(slots=True, eq=False)
class Service:
    """A process that is kept running. `tell` gets a sentence about each unexpected end."""

    spec: Spec
    log_path: Path
    processes: ProcessList
    tell: Callable[[str], None]
    state: State = State.IDLE
    restarts: int = 0
    message: str = ""
    ready_line: str = ""
    _child: Child | None = None
    _exited: asyncio.Event = field(default_factory=asyncio.Event)
    _first: asyncio.Future[None] | None = None
    _task: asyncio.Task[None] | None = None
    _log_start: int = 0
    _was_ready: bool = False
    _took_too_long: bool = False

    def start(self) -> None:
        """Begin to keep it; needs a running event loop."""
        loop = asyncio.get_running_loop()
        self._first = loop.create_future()
        self._task = loop.create_task(self._keep(), name=self.spec.name)

    async def ready(self) -> None:
        """Wait until it is ready for the first time; raises UpError when it will not be."""
        assert self._first is not None, "start() comes first"
        await asyncio.shield(self._first)

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None and self._child.running else None

    @property
    def progress(self) -> str:
        """The last line that it wrote in this start."""
        lines = logs.lines_since(self.log_path, self._log_start)
        return lines[-1] if lines else ""

    async def _keep(self) -> None:
        backoff = Backoff()
        try:
            while True:
                began = time.monotonic()
                code = await self._run_once()
                delay_s = backoff.after(code, time.monotonic() - began, self._was_ready)
                if self._took_too_long and not self._was_ready:
                    delay_s = None  # whoever waits for the set-up has waited long enough
                self.message = self._reason(code)
                if delay_s is None:
                    self._give_up(code)
                    return
                self.state = State.WAITING
                self.restarts += 1
                self._say(f"{self.spec.title} ended ({describe_exit(code)}), starts again in {delay_s:g} s")
                await asyncio.sleep(delay_s)
        except OSError as error:
            self._fail(f"{self.spec.title} cannot be started: {error.filename or ''} {error.strerror or error}")

    async def _run_once(self) -> int:
        """One start until its end; returns the exit code."""
        self._launch()
        child = self._child
        assert child is not None
        if await self._until_ready():
            self.state = State.READY
            self._was_ready = True
            if self._first is not None and not self._first.done():
                self._first.set_result(None)
            log.info("%s is ready (pid %s)", self.spec.name, child.pid)
        elif child.running:
            self._took_too_long = True
            kill_tree(child.pid)
        while not await self._exit_within(_LOG_CHECK_S):
            logs.cut(self.log_path)
        self.processes.remove(child.pid)
        return child.exit_code or 0

    def _launch(self) -> None:
        logs.rotate(self.log_path)
        self._log_start = logs.size(self.log_path)
        self._exited = exited = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_exit() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended before the child
                loop.call_soon_threadsafe(exited.set)

        spec = self.spec
        self.state = State.STARTING
        self._child = Child(spec.command, spec.folder, self.log_path, spec.environment, on_exit)
        self.processes.add(self._child.pid)

    async def _until_ready(self) -> bool:
        """False when it ended first or took too long."""
        if not self.spec.ready:
            return True
        deadline = time.monotonic() + self.spec.start_timeout_s
        while time.monotonic() < deadline:
            for line in logs.lines_since(self.log_path, self._log_start):
                if line.startswith(self.spec.ready):
                    self.ready_line = line
                    return True
            if await self._exit_within(_POLL_S):
                return False
        return False

    async def _exit_within(self, timeout_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._exited.wait(), timeout_s)
        return self._exited.is_set()

    def _reason(self, code: int) -> str:
        mistake = code in (EXIT_USAGE, EXIT_OFFSETS)
        return logs.explain(logs.lines_since(self.log_path, self._log_start), mistake)

    def _give_up(self, code: int) -> None:
        """The process is not started again: during the set-up an error, later a sentence."""
        if self._was_ready:
            self._fail(f"{self.spec.title} ended ({describe_exit(code)}) and is not started again:\n{self.message}")
        elif code == EXIT_USAGE:
            self._fail(f"{self.spec.title}: {self.message}")
        else:
            timeout = f"not ready within {self.spec.start_timeout_s:g} s"
            reason = timeout if self._took_too_long else describe_exit(code)
            last = f"the last lines of {self.log_path}:\n{self.message}"
            self._fail(f"{self.spec.title} does not start ({reason}); {last}")

    def _fail(self, message: str) -> None:
        self.state = State.FAILED
        if self._first is not None and not self._first.done():
            self._first.set_exception(UpError(message))
            self._first.exception()  # whoever waits gets it; nobody has to
        else:
            self._say(message)

    def _say(self, message: str) -> None:
        log.warning("%s", message)
        self.tell(message)

    async def stop(self, timeout_s: float, force: asyncio.Event) -> bool:
        """SIGTERM; SIGKILL for all of its processes after the timeout, or at once when `force` is set.

        True when it ended by itself.
        """
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._first is not None:
            self._first.cancel()
        child = self._child
        if child is None or self.state is State.FAILED:
            return True
        self.state = State.STOPPING
        child.terminate()
        clean = await self._exit_or(force, timeout_s)
        if not clean:
            kill_tree(child.pid)
            await self._exit_within(2.0)
        self.processes.remove(child.pid)
        self.state = State.STOPPED
        return clean

    async def _exit_or(self, force: asyncio.Event, timeout_s: float) -> bool:
        waits = [asyncio.ensure_future(self._exited.wait()), asyncio.ensure_future(force.wait())]
        try:
            await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
        return self._exited.is_set()


Stage = tuple[Sequence[Service], float]
"""Services that stop together, and the seconds that they have."""


async def stop_all(stages: Sequence[Stage], force: asyncio.Event) -> list[Service]:
    """Stop stage after stage; time that one does not need is left to those after it. Returns what had to be killed."""
    deadline = time.monotonic()
    killed = []
    for services, limit_s in stages:
        deadline += limit_s
        left_s = max(0.1, deadline - time.monotonic())
        clean = await asyncio.gather(*(service.stop(left_s, force) for service in services))
        killed += [service for service, ended in zip(services, clean, strict=True) if not ended]
    return killed
