"""A fleet in one process: connects its devices at the pace of the ramp, keeps their clock, and ends politely.

One wheel for all: time is cut into slots of a few milliseconds, each device stands in one slot of its period for ever,
and each turn of the loop lets the devices of the slots that passed send. There is no timer and no task per device.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from deploy.simulator.device import Device, Run
from deploy.simulator.ledger import Ledger
from deploy.simulator.options import Options, SimulatorError
from deploy.simulator.protocols import BY_NAME
from deploy.simulator.result import Result
from deploy.simulator.routes import Vehicle

Progress = Callable[[Result], None]
"""Called each second with the counts so far."""

_TURN_S = 0.005
_CONNECTING = 256
"""Most connections that are being opened at one time."""
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0)
"""Pause before connecting again, by the number of connections in a row that brought no answer."""
_TIMEOUTS_S = 0.25
_LATE_S = 0.1
"""At the end a frame that is due no longer than this is not behind."""
_BY_HAND_S = 3.0
"""After a stop by hand replies are awaited no longer than this."""
_SPARE_FILES = 64


class Stop:
    """How a run is told to end: asked once it waits a little for replies, asked again it does not."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        self.asked = 0

    def ask(self) -> None:
        self.asked += 1


class Fleet:
    """The devices with the given numbers out of those of the options."""

    def __init__(self, options: Options, numbers: Sequence[int], begin_s: float) -> None:
        """begin_s: wall clock at which the run starts. Makes the prebuilt frames, which takes its time."""
        options.check()
        self._options = options
        self._run = Run(options, begin_s, self._lost)
        self._devices = [self._device(number) for number in numbers]
        self._run.result.devices = self._run.result.unconnected = len(self._devices)
        self._ready: deque[Device] = deque()  # to be connected again, first come first served
        self._ramped = 0  # devices whose turn to connect for the first time has come
        self._allowance = 0.0
        self._connecting: set[asyncio.Task[None]] = set()
        self._address: tuple[str, int] = (options.host, options.port)
        self._turn = 0  # number of the last turn that was served, from the start of the run
        count = max(1, round(self._run.period / _TURN_S))
        self._turn_s = self._run.period / count or _TURN_S
        self._slots: list[list[Device]] = self._wheel(count)
        self._ending = False
        if options.prebuild:
            for device in self._devices:
                device.prebuild()

    def _device(self, number: int) -> Device:
        options = self._options
        names = options.protocols
        encoder = BY_NAME[names[number % len(names)]](options.seed, number)
        connects = number / options.ramp_per_s if options.rate_hz else 0.0
        # Reports are spread over the period, else all devices would report in the same instant.
        second_due = connects + self._run.period * (1 - Random(f"phase {options.seed} {number}").random())
        return Device(self._run, encoder, Vehicle(options.seed, number), connects, second_due)

    def _wheel(self, count: int) -> list[list[Device]]:
        slots: list[list[Device]] = [[] for _ in range(count)]
        for device in self._devices:
            turn = int(device.second_due / self._turn_s) + 1  # the first turn that is not before it is due
            slots[turn % count].append(device)
        return slots

    async def run(self, stop: Stop, progress: Progress | None = None) -> Result:
        """Drive the fleet until its time is over or it is stopped; returns the counts.

        Raises SimulatorError: host unknown, too few file descriptors, ledger cannot be written.
        """
        options, run = self._options, self._run
        self._provide_files()
        await self._resolve()
        if options.ledger:
            try:
                run.ledger = Ledger(options.ledger)
            except OSError as error:
                raise SimulatorError(f"cannot write the ledger: {error}") from error
        gc.collect()
        gc.freeze()  # frames made in advance are many and live to the end: the collector need not walk them
        try:
            await self._wait(stop)
            run.begin = time.perf_counter()
            await self._drive(stop, progress)
            await self._drain(stop)
        finally:
            gc.unfreeze()
            await self._close()
            if run.ledger is not None:
                run.ledger.close()
        return run.result

    async def _drive(self, stop: Stop, progress: Progress | None) -> None:
        """New frames, until the time is over."""
        run, options = self._run, self._options
        started = time.perf_counter()
        steady = cpu = 0.0
        steady_sent = 0
        last_check = last_report = started
        while not stop.asked:
            await asyncio.sleep(_TURN_S)
            now = time.perf_counter()
            self._connect_some(now)
            self._serve(now)
            if now - last_check >= _TIMEOUTS_S:
                last_check = now
                self._check(now)
            run.result.seconds = now - started
            if progress is not None and now - last_report >= 1:
                last_report += 1
                progress(run.result)
            if not steady and self._ramped == len(self._devices):
                steady, steady_sent, cpu = now, run.result.sent, time.process_time()
            if (steady and options.duration_s and now - steady >= options.duration_s) or self._finished():
                break
        now = time.perf_counter()
        if steady:
            run.result.steady_seconds = now - steady
            run.result.steady_frames = run.result.sent - steady_sent
            run.result.steady_cpu_s = time.process_time() - cpu
        if stop.asked:
            run.result.unconnected -= len(self._devices) - self._ramped
        else:
            run.result.behind = sum(device.behind(now - _LATE_S) for device in self._devices)
        run.stopping = True

    def _finished(self) -> bool:
        return self._run.finished == len(self._devices)

    def _serve(self, now: float) -> None:
        """Let the devices of the slots that passed send what is due."""
        if not self._run.period:
            return
        turn = int((now - self._run.begin) / self._turn_s)
        first = max(self._turn + 1, turn - len(self._slots) + 1)  # never twice in one turn
        for number in range(first, turn + 1):
            for device in self._slots[number % len(self._slots)]:
                device.pump(now)
        self._turn = turn

    def _check(self, now: float) -> None:
        for device in self._devices:
            device.check_timeout(now)
        if self._run.ledger is not None:
            self._run.ledger.flush()

    # Connecting

    def _connect_some(self, now: float) -> None:
        """Open as many connections as the ramp allows by now: new devices first, then those that lost theirs."""
        options = self._options
        rate = options.ramp_per_s / options.processes
        self._allowance = min(self._allowance + rate * _TURN_S, max(1.0, rate * 0.1))
        devices = self._devices
        due = min(len(devices), int((now - self._run.begin) * rate) + 1)
        while self._ramped < due and len(self._connecting) < _CONNECTING and not self._run.stopping:
            self._connect(devices[self._ramped])
            self._ramped += 1
        while self._ready and self._allowance >= 1 and len(self._connecting) < _CONNECTING:
            self._allowance -= 1
            self._connect(self._ready.popleft())

    def _connect(self, device: Device) -> None:
        task = asyncio.create_task(self._open(device))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _open(self, device: Device) -> None:
        loop = asyncio.get_running_loop()
        host, port = self._address
        try:
            if self._run.udp:
                await loop.create_datagram_endpoint(lambda: device, remote_addr=(host, port))
            else:
                await loop.create_connection(lambda: device, host, port)
        except OSError:
            self._run.result.connect_failures += 1
            device.failures += 1
            self._lost(device)

    def _lost(self, device: Device) -> None:
        """The device has no connection any more: let it have another after a pause."""
        if self._ending:
            return
        pause = _BACKOFF_S[min(device.failures, len(_BACKOFF_S)) - 1]
        asyncio.get_running_loop().call_later(pause, self._ready.append, device)

    async def _resolve(self) -> None:
        host, port = self._address
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise SimulatorError(f"host {host} is unknown: {error}") from error
        self._address = (str(found[0][4][0]), port)

    def _provide_files(self) -> None:
        need = len(self._devices) + _SPARE_FILES
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft >= need or soft == resource.RLIM_INFINITY:
            return
        if hard != resource.RLIM_INFINITY and hard < need:
            raise SimulatorError(f"{len(self._devices)} connections need {need} file descriptors, the limit is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))

    # Ending

    async def _drain(self, stop: Stop) -> None:
        """Wait for the replies that are still to come; connections that are lost meanwhile are opened again."""
        run = self._run
        started = time.perf_counter()
        while run.open:
            now = time.perf_counter()
            longest = min(_BY_HAND_S, run.options.timeout_s) if stop.asked else run.options.timeout_s + 1
            if stop.asked > 1 or now - started > longest:
                break
            self._connect_some(now)
            self._check(now)
            await asyncio.sleep(_TURN_S)
        left = sum(not frame.missing for device in self._devices for frame in device.unanswered())
        if stop.asked:
            run.result.unfinished += left
        else:
            run.result.missing += left

    async def _close(self) -> None:
        self._ending = True
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for device in self._devices:
            device.close()
        await asyncio.sleep(0)  # connection_lost of each
        await asyncio.sleep(_TURN_S)

    async def _wait(self, stop: Stop) -> None:
        """Until the run begins: at the second that prebuilt frames were made for, else now."""
        if not self._options.prebuild:
            self._run.begin_s = time.time()
        while time.time() < self._run.begin_s and not stop.asked:
            await asyncio.sleep(_TURN_S)
