"""Run a fleet to its end, in this process or shared among several, and give one result."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from types import FrameType

import uvloop

from deploy.simulator import ledger
from deploy.simulator.fleet import Fleet, Progress, Stop
from deploy.simulator.options import Options, SimulatorError
from deploy.simulator.result import Result, add

_SAMPLE = 50
_SPAWN_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(options: Options) -> Result:
    """Run without progress; see run_blocking."""
    return run_blocking(options)


def run_blocking(options: Options, progress: Progress | None = None) -> Result:
    """Run to the end of the duration, or to SIGINT or SIGTERM (the second one does not wait for replies), which are
    handled only in the main thread of a process. progress gets the counts each second.

    Raises SimulatorError with what to change when the run cannot begin.
    """
    options.check()
    if options.ledger:
        try:
            ledger.begin(options.ledger)
        except OSError as error:
            raise SimulatorError(f"cannot write the ledger: {error}") from error
    begin_s = time.time() + _preparation_s(options)
    if options.processes == 1:
        result: Result = uvloop.run(_one(options, range(options.devices), begin_s, progress, None))
        return result
    return _several(options, begin_s + _SPAWN_S, progress)


def _preparation_s(options: Options) -> float:
    """How long making the prebuilt frames will take, by trying a few: their times depend on when the run begins."""
    frames = options.devices * options.prebuild
    if not frames:
        return 0.0
    few = replace(options, devices=len(options.protocols), prebuild=min(_SAMPLE, options.prebuild), processes=1)
    started = time.perf_counter()
    Fleet(few, range(few.devices), time.time())
    each = (time.perf_counter() - started) / (few.devices * few.prebuild)
    return 1.5 * each * frames / options.processes + 0.1


async def _one(
    options: Options, numbers: range, begin_s: float, progress: Progress | None, parent: Connection | None
) -> Result:
    """One fleet with its ways to be stopped: signals, or a word from (or the end of) the parent process."""
    stop = Stop()
    loop = asyncio.get_running_loop()
    fleet = Fleet(options, numbers, begin_s)
    if parent is not None:
        loop.add_reader(parent.fileno(), _heard, parent, stop)
    elif threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            loop.add_signal_handler(number, stop.ask)
    try:
        return await fleet.run(stop, progress)
    finally:
        if parent is not None:
            loop.remove_reader(parent.fileno())


def _heard(parent: Connection, stop: Stop) -> None:
    try:
        parent.recv()
    except EOFError:  # it died
        asyncio.get_running_loop().remove_reader(parent.fileno())
    stop.ask()


def _child(options: Options, first: int, begin_s: float, pipe: Connection) -> None:
    """A process of several: every options.processes-th device from `first`. Sends Results, or why it cannot run."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # a terminal signals the whole group; the parent tells us
    numbers = range(first, options.devices, options.processes)
    try:
        pipe.send((True, uvloop.run(_one(options, numbers, begin_s, lambda so_far: pipe.send((False, so_far)), pipe))))
    except SimulatorError as error:
        pipe.send((True, str(error)))
    except BrokenPipeError:  # the parent is gone, nobody wants the result
        return


def _several(options: Options, begin_s: float, progress: Progress | None) -> Result:
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    children = []
    for first in range(options.processes):
        ours, theirs = context.Pipe()
        child = context.Process(target=_child, args=(options, first, begin_s, theirs))
        child.start()
        theirs.close()
        pipes.append(ours)
        children.append(child)
    try:
        with _signals_to(pipes):
            results = _collect(pipes, progress)
    finally:
        for pipe in pipes:
            pipe.close()
        for child in children:
            child.join()
    reasons = [result for result in results if isinstance(result, str)]
    if reasons:
        raise SimulatorError(reasons[0])
    return add(result for result in results if isinstance(result, Result))


def _collect(pipes: list[Connection], progress: Progress | None) -> list[Result | str]:
    """Read what the children send until each has sent its last; progress is called once for each round of them."""
    latest: dict[int, Result | str] = {}
    open_pipes = {pipe: number for number, pipe in enumerate(pipes)}
    shown = time.monotonic()
    while open_pipes:
        for pipe in wait(list(open_pipes)):
            assert isinstance(pipe, Connection)
            number = open_pipes[pipe]
            try:
                last, latest[number] = pipe.recv()
            except EOFError:
                last, latest[number] = True, "a process of the simulator died"
            if last:
                del open_pipes[pipe]
        if progress is not None and len(latest) == len(pipes) and time.monotonic() - shown >= 0.9:
            shown = time.monotonic()
            progress(add(result for result in latest.values() if isinstance(result, Result)))
    return list(latest.values())


@contextlib.contextmanager
def _signals_to(pipes: list[Connection]) -> Iterator[None]:
    """While inside, SIGINT and SIGTERM tell the children to end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def tell(_number: int, _frame: FrameType | None) -> None:
        for pipe in pipes:
            with contextlib.suppress(OSError):
                pipe.send("stop")

    before = [signal.signal(number, tell) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)
