"""One device on its socket: sends what is due, checks what comes back, and sends again what was not answered."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from deploy.simulator.ledger import Ledger
from deploy.simulator.options import Options
from deploy.simulator.protocols.base import Encoder, Expected, Frame
from deploy.simulator.result import Result
from deploy.simulator.routes import Vehicle, VehicleState

_AT_ONCE = 64
"""Most frames that one device writes before others have their turn."""
_REPLY_BYTES = 4096
_RELOGIN_NTH = 800
"""Logins outside of the mix take their scatter from here on: a prebuilt frame of the same second never has it."""
_CLOCK_S = 120


class Run:
    """What all devices of a process share: settings, counts, the clock, and the way back to a connection."""

    def __init__(self, options: Options, begin_s: float, lost: Callable[[Device], None]) -> None:
        self.options = options
        self.result = Result()
        self.ledger: Ledger | None = None
        self.lost = lost
        self.begin_s = begin_s  # wall clock at the start of the run, seconds since the epoch
        self.begin = 0.0  # the same moment on time.perf_counter
        self.period = 1 / options.rate_hz if options.rate_hz else 0.0
        self.window = options.in_flight
        self.udp = options.transport == "udp"
        self.stopping = False  # no new frames
        self.finished = 0  # devices that have sent all their frames
        self.open = 0  # frames that expect a reply, were sent, and have neither reply nor verdict
        self._minutes: frozenset[bytes] = frozenset()
        self._minutes_of = -1

    def clock_is_right(self, stamp: bytes) -> bool:
        """yyyyMMddHHmmss within 2 minutes of our clock (told by the minute, which is enough to see a wrong zone)."""
        now = int(time.time())
        if now // 30 != self._minutes_of:
            self._minutes_of = now // 30
            around = range(now - _CLOCK_S, now + _CLOCK_S + 31, 30)
            self._minutes = frozenset(time.strftime("%Y%m%d%H%M", time.gmtime(s)).encode() for s in around)
        return stamp[:12] in self._minutes


class Device(asyncio.Protocol, asyncio.DatagramProtocol):
    """Used again for each of its connections. Times are those of time.perf_counter unless they say wall clock."""

    __slots__ = (
        "_buffer",
        "_closing",
        "_count",
        "_flights",
        "_logged_in",
        "_next_at",
        "_nth",
        "_prebuilt",
        "_queue",
        "_reached",
        "_relogins",
        "_run",
        "_second",
        "_transport",
        "_vehicle",
        "encoder",
        "failures",
        "first_due",
        "second_due",
    )

    def __init__(self, run: Run, encoder: Encoder, vehicle: Vehicle, first_due: float, second_due: float) -> None:
        """first_due, second_due: seconds after the start of the run; from the second on frames are one period apart."""
        self._run = run
        self.encoder = encoder
        self._vehicle = vehicle
        self.first_due = first_due
        self.second_due = second_due
        self.failures = 0
        """Connections in a row that brought no answer."""
        self._next_at = 0.0  # the first frame goes as soon as there is a connection
        self._count = 0  # frames of the mix that were taken
        self._second = 0
        self._nth = 0
        self._relogins = 0
        self._prebuilt: list[Frame] = []
        self._queue: deque[Frame] = deque()  # to be sent again
        self._flights: deque[tuple[Frame, float]] = deque()  # sent on this connection, reply awaited
        self._buffer = b""
        self._reached = False
        self._closing = False
        self._logged_in = False
        self._transport: Any = None

    def prebuild(self) -> None:
        """Make the frames that the options ask for, and forget the vehicle's state of then."""
        options = self._run.options
        count = min(options.prebuild, options.frames) if options.frames else options.prebuild
        self._prebuilt = [self._make(number) for number in range(count)]
        self._second = 0

    def due(self, number: int) -> float:
        """When a frame of the mix is due, in seconds after the start of the run."""
        return self.second_due + (number - 1) * self._run.period if number else self.first_due

    def behind(self, now: float) -> int:
        """How many frames should have been sent by then and have not been."""
        run = self._run
        if not run.period or now < run.begin + self.first_due:
            return 0
        due = 1 + max(0, int((now - run.begin - self.second_due) / run.period + 1))
        return max(0, min(due, run.options.frames or due) - self._count)

    def unanswered(self) -> list[Frame]:
        """Frames that were sent and wait for a reply, here or in the queue."""
        return [frame for frame, _ in self._flights] + [frame for frame in self._queue if frame.expect is not None]

    # Connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        run = self._run
        if not self._reached:
            self._reached = True
            run.result.unconnected -= 1
        run.result.connected += 1
        self._transport = transport
        self._closing = False
        self._buffer = b""
        self._logged_in = not self.encoder.HAS_LOGIN
        self.pump(time.perf_counter())

    def connection_lost(self, exc: Exception | None) -> None:
        run = self._run
        self._transport = None
        run.result.connected -= 1
        if not self._closing:
            run.result.connections_lost += 1
        self._queue.extendleft(frame for frame, _ in reversed(self._flights))
        self._flights.clear()
        self.failures += 1
        run.lost(self)

    def error_received(self, exc: Exception) -> None:
        """UDP: nobody listens there now. What was in flight is lost, which is all a device can know."""
        if self._transport is not None and not self._closing:
            self._run.result.connections_lost += 1
            self.close()

    def close(self) -> None:
        """Close the connection; connection_lost follows."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    # Sending

    def pump(self, now: float) -> None:
        """Send everything that may be sent now."""
        run = self._run
        if self._transport is None or self._closing:
            return
        out: list[bytes] = []
        flights = self._flights
        while len(out) < _AT_ONCE:
            waiting = len(flights)
            if waiting and (waiting >= run.window or not self._logged_in):
                break
            again = self._queue or (not self._logged_in and self._count)
            frame = self._take_again() if again else self._take_new(now)
            if frame is None:
                break
            out.append(frame.data)
            if frame.expect is not None:
                flights.append((frame, now))
        if not out:
            return
        if run.udp:
            for data in out:
                self._transport.sendto(data)
        else:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _take_again(self) -> Frame | None:
        """What a later connection begins with: a login if the protocol has one, then what was not answered."""
        run = self._run
        if self._queue and (self._logged_in or self._queue[0].login):
            run.result.resent += 1
            return self._queue.popleft()
        if run.stopping and not self._queue:
            return None
        frame = self._relogin()
        self._first_sent(frame)
        return frame

    def _take_new(self, now: float) -> Frame | None:
        """The next frame of the mix, or None when none is due."""
        run = self._run
        if now < self._next_at or run.stopping:
            return None
        number = self._count
        limit = run.options.frames
        if limit and number >= limit:
            return None
        frame = self._prebuilt[number] if number < len(self._prebuilt) else self._make(number)
        self._count = number + 1
        if run.period:
            self._next_at = run.begin + self.second_due + number * run.period
        if limit == number + 1:
            run.finished += 1
        self._first_sent(frame)
        return frame

    def _first_sent(self, frame: Frame) -> None:
        result = self._run.result
        result.sent += 1
        if frame.position:
            result.sent_with_position += 1
        if frame.expect is not None:
            self._run.open += 1

    def _make(self, number: int) -> Frame:
        """Make a frame of the mix for the second at which it is due, or the present one when that is not known."""
        run = self._run
        ahead = 0 if run.period else run.options.prebuild
        if run.period:
            second = int(run.begin_s + self.due(number))
        elif number < ahead:
            second = int(run.begin_s) - ahead + number
        else:
            second = int(time.time())
        self._nth = self._nth + 1 if second == self._second else 0
        self._second = second
        return self.encoder.next_frame(self._at(second), second, self._nth)

    def _at(self, second: int) -> VehicleState:
        ahead = 0 if self._run.period else self._run.options.prebuild
        return self._vehicle.at(second - int(self._run.begin_s) + ahead)

    def _relogin(self) -> Frame:
        """The login that begins every connection after the first."""
        second = int(time.time())
        nth = _RELOGIN_NTH + self._relogins % _RELOGIN_NTH
        self._relogins += 1
        if self._count > len(self._prebuilt):
            return self.encoder.login(self._at(second), second, nth)
        # The vehicle is ahead of what was sent: report from where the last frame was.
        last = next(frame for frame in reversed(self._prebuilt[: self._count]) if frame.position)
        if not self._run.period and last.time_ms is not None:
            second = last.time_ms // 1000
        here = VehicleState(last.latitude, last.longitude, last.speed_kmh, 0.0, last.speed_kmh > 0, 0.0)
        return self.encoder.login(here, second, nth)

    # Receiving

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        now = time.perf_counter()
        flights = self._flights
        if flights and flights[0][0].expect == data and not self._buffer:
            self._answered(now)
        else:
            self._sort_out(data, now)
        if now >= self._next_at or self._queue:
            self.pump(now)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.data_received(data)
        if self._buffer and not self._closing:
            self._wrong(self._buffer)

    def _sort_out(self, data: bytes, now: float) -> None:
        """Several replies at once, parts of one, or one that is not simply equal to what is expected."""
        received = self._buffer + data
        while received and not self._closing:
            end = self.encoder.reply_end(received)
            if end == 0:
                break
            reply, received = received[:end], received[end:]
            if self._flights and self._right(self._flights[0][0].expect, reply):
                self._answered(now)
            else:
                self._wrong(reply)
        self._buffer = b"" if self._closing else received
        if len(received) > _REPLY_BYTES and not self._closing:
            self._wrong(received)

    def _right(self, expect: Expected | None, reply: bytes) -> bool:
        if isinstance(expect, re.Pattern):
            found = expect.fullmatch(reply)
            return found is not None and (expect.groups == 0 or self._run.clock_is_right(found[1]))
        return reply == expect

    def _answered(self, now: float) -> None:
        run = self._run
        if now - self._flights[0][1] > run.options.timeout_s:
            # The server may have left out the reply to this one; what came could be that to a later frame.
            self.check_timeout(now)
            return
        frame, sent = self._flights.popleft()
        self.failures = 0
        if frame.login:
            self._logged_in = True
        result = run.result
        result.answered += 1
        if not frame.missing:
            run.open -= 1
        if frame.position:
            result.answered_with_position += 1
        result.answered_after(now - sent)
        if run.ledger is not None:
            wall_ms = time.time_ns() // 1_000_000
            sent_ms = wall_ms - int((now - sent) * 1000)
            run.ledger.add(self.encoder.NAME, self.encoder.device_id, frame, sent_ms, wall_ms)

    def _wrong(self, reply: bytes) -> None:
        """Count it against the frame that waited longest, and begin anew: order means nothing here now."""
        run = self._run
        expected = "nothing"
        if self._flights:
            frame, _ = self._flights.popleft()
            if not frame.missing:
                run.open -= 1
            expect = frame.expect
            expected = repr(expect.pattern if isinstance(expect, re.Pattern) else expect)
        run.result.wrong_reply(self.encoder.NAME, self.encoder.device_id, expected, reply)
        self.close()

    def check_timeout(self, now: float) -> None:
        """Give the connection up when its oldest frame has waited too long; the frames go again over the next one."""
        run = self._run
        if self._closing or not self._flights or now - self._flights[0][1] <= run.options.timeout_s:
            return
        for frame, sent in self._flights:
            if now - sent > run.options.timeout_s and not frame.missing:
                frame.missing = True
                run.result.missing += 1
                run.open -= 1
        self.close()
