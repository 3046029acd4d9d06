"""The simulator over real sockets, against a small server that answers rightly, wrongly, late, or not at all."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.simulator.options import Options, SimulatorError
from deploy.simulator.result import Result
from deploy.simulator.runner import run, run_blocking

ROOT = Path(__file__).parents[2]


def right_answer(frame: bytes) -> bytes:
    """The reply of the protocol documents, empty when there is none."""
    if frame[:1] == b"(":
        head, kind = frame[:13], frame[13:17]
        replies = {b"BP05": b"AP05", b"BP00": b"AP01HSO", b"BO01": b"AS01" + frame[17:18]}
        return head + replies[kind] + b")" if kind in replies else b""
    if frame[:1] == b"$":
        return b""
    head_text, kind_text = frame.rstrip(b"#").split(b",")[:2], frame.rstrip(b"#").split(b",")[2]
    if kind_text == b"HTBT":
        return b",".join([*head_text, b"HTBT#"])
    return b",".join([*head_text, b"V4", b"V1", time.strftime("%Y%m%d%H%M%S", time.gmtime()).encode() + b"#"])


class Server:
    """What is common to all connections: what came, in order, and how to behave.

    answer(frame, number) -> bytes to send, or None to close the connection unanswered.
    """

    def __init__(self, answer: Callable[[bytes, int], bytes | None]) -> None:
        self.answer = answer
        self.frames: list[bytes] = []
        self.connections = 0
        self.port = 0

    def feed(self, received: bytes, send: Callable[[bytes], Any], close: Callable[[], Any]) -> bytes:
        """Cut whole frames off, answer them in one piece; returns the rest."""
        out = b""
        while received:
            if received[:1] == b"$":
                end = 45 if len(received) >= 45 else 0
            else:
                end = received.find(b")" if received[:1] == b"(" else b"#") + 1
            if not end:
                break
            frame, received = received[:end], received[end:]
            self.frames.append(frame)
            reply = self.answer(frame, len(self.frames))
            if reply is None:
                close()
                return b""
            out += reply
        if out:
            send(out)
        return received


class Tcp(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self.server, self.rest = server, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.connections += 1

    def data_received(self, data: bytes) -> None:
        self.rest = self.server.feed(self.rest + data, self.transport.write, self.transport.abort)


class Udp(asyncio.DatagramProtocol):
    def __init__(self, server: Server) -> None:
        self.server = server

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.server.feed(data, lambda out: self.transport.sendto(out, addr), lambda: None)


@contextmanager
def serving(answer: Callable[[bytes, int], bytes | None] = lambda frame, _: right_answer(frame)) -> Iterator[Server]:
    """A server on TCP and UDP, in a thread of its own."""
    server = Server(answer)
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def listen() -> None:
        tcp = await loop.create_server(lambda: Tcp(server), "127.0.0.1", 0, backlog=512)
        server.port = tcp.sockets[0].getsockname()[1]
        await loop.create_datagram_endpoint(lambda: Udp(server), local_addr=("127.0.0.1", server.port))
        ready.set()

    loop.create_task(listen())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        assert ready.wait(5)
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def expects_reply(frame: bytes) -> bool:
    return right_answer(frame) != b""


def has_place(frame: bytes) -> bool:
    return frame[13:17] in (b"BP05", b"BR00", b"BO01") or frame[:1] == b"$" or b",V1," in frame


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_right_answers(transport: str, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    with serving() as server:
        options = Options(devices=40, rate_hz=20, duration_s=2, ramp_per_s=200, ledger=str(ledger))
        result = run(replace(options, port=server.port, transport=transport))
    assert result.ok
    assert result.to_dict()["ok"] is True
    answerable = [frame for frame in server.frames if expects_reply(frame)]
    assert result.sent == len(server.frames) > 1500
    assert result.answered == len(answerable)
    assert result.answered_with_position == sum(map(has_place, answerable)) >= result.sent / 2
    assert result.sent_with_position == sum(map(has_place, server.frames))
    assert (result.resent, result.unfinished, result.connections_lost, result.behind) == (0, 0, 0, 0)
    p50, p99 = result.latency_ms(50), result.latency_ms(99)
    assert p50 is not None
    assert p99 is not None
    assert 0 < p50 <= p99 <= result.latency_max_s * 1000
    rows = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert Counter(row["frame_hex"] for row in rows) == Counter(frame.hex() for frame in answerable)
    places = [(row["device_id"], row["time_ms"], row["frame_hex"]) for row in rows if row["position"]]
    assert len(set(places)) == len(places) == result.answered_with_position
    assert all(abs(row["time_ms"] - row["answered_ms"]) < 3000 for row in rows if row["position"])
    assert all(row["sent_ms"] <= row["answered_ms"] for row in rows)
    assert {len(row["device_id"]) for row in rows} == {10, 15}


def test_saturating_sends_as_soon_as_answered() -> None:
    with serving() as server:
        result = run(Options(devices=10, rate_hz=0, port=server.port, duration_s=1))
    assert result.ok
    assert result.answered > 2000
    assert result.sent == len(server.frames)


def test_wrong_bytes_are_counted_and_shown() -> None:
    def answer(frame: bytes, _: int) -> bytes:
        return right_answer(frame).replace(b"AP05", b"AP50")

    with serving(answer) as server:
        result = run(Options(devices=4, rate_hz=5, protocols=("tk103",), port=server.port, duration_s=1))
    assert not result.ok
    assert result.wrong >= 4
    assert result.answered == 0
    assert "AP05" in result.examples[0]
    assert "AP50" in result.examples[0]


def test_replies_in_the_wrong_order_are_wrong() -> None:
    held: dict[bytes, bytes] = {}

    def answer(frame: bytes, _: int) -> bytes:
        """Holds the reply to a handshake back until the one to the next frame is sent."""
        reply = right_answer(frame)
        if frame[13:17] == b"BP00":
            held[frame[1:13]] = reply
            return b""
        return reply + held.pop(frame[1:13], b"") if reply else b""

    with serving(answer) as server:
        result = run(Options(devices=2, rate_hz=40, protocols=("tk103",), port=server.port, duration_s=1, timeout_s=1))
    assert result.wrong >= 2
    assert not result.ok
    assert any("AP01HSO" in example for example in result.examples)


@pytest.mark.parametrize("hours", [-3, 2])
def test_a_local_clock_in_the_reply_is_wrong(hours: int) -> None:
    def answer(frame: bytes, _: int) -> bytes:
        local = time.strftime("%Y%m%d%H%M%S", time.gmtime(time.time() + 3600 * hours)).encode()
        return re.sub(rb"V1,\d{14}#", b"V1," + local + b"#", right_answer(frame))

    with serving(answer) as server:
        result = run(Options(devices=2, rate_hz=5, protocols=("h02",), port=server.port, duration_s=1))
    assert result.wrong >= 2
    assert result.answered_with_position == 0


def test_replies_cut_and_glued_are_right() -> None:
    pending = {"rest": b""}

    def answer(frame: bytes, number: int) -> bytes:
        """Sends all but the last 4 bytes; what was kept goes in front of the next reply. One device only."""
        out = pending["rest"] + right_answer(frame)
        keep = 0 if number < 3 else 4
        pending["rest"] = out[len(out) - keep :]
        return out[: len(out) - keep]

    with serving(answer) as server:
        result = run(Options(devices=1, rate_hz=30, protocols=("h02",), port=server.port, duration_s=1, timeout_s=0.5))
    assert result.wrong == 0
    assert result.answered > 15


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_without_answers_frames_are_missing_and_sent_again(transport: str) -> None:
    with serving(lambda _frame, _number: b"") as server:
        options = Options(devices=3, rate_hz=5, protocols=("tk103",), duration_s=4, timeout_s=0.6)
        result = run(replace(options, port=server.port, transport=transport))
    assert not result.ok
    assert result.answered == 0
    assert result.missing == 3 == result.sent
    assert result.resent >= 6
    assert len(server.frames) == result.sent + result.resent
    assert min(Counter(server.frames).values()) >= 3
    assert len(set(server.frames)) == 3


@pytest.mark.parametrize("protocol", ["tk103", "h02"])
def test_lost_connections_are_opened_again_and_frames_sent_again_byte_for_byte(protocol: str, tmp_path: Path) -> None:
    dropped: list[bytes] = []

    def answer(frame: bytes, number: int) -> bytes | None:
        if number % 37 == 36 and expects_reply(frame):
            dropped.append(frame)
            return None
        return right_answer(frame)

    ledger = tmp_path / "ledger.jsonl"
    with serving(answer) as server:
        result = run(
            Options(devices=10, rate_hz=20, protocols=(protocol,), port=server.port, duration_s=3, ledger=str(ledger))
        )
    assert len(dropped) > 5
    assert result.ok
    assert result.connections_lost == len(dropped)
    assert server.connections == 10 + len(dropped)
    assert result.resent >= len(dropped)
    answered = Counter(json.loads(line)["frame_hex"] for line in ledger.read_text().splitlines())
    assert result.answered == sum(answered.values())
    for frame in dropped:
        assert server.frames.count(frame) >= 2
        assert answered[frame.hex()] >= 1
    placed = {frame.hex() for frame in server.frames if has_place(frame) and expects_reply(frame)}
    assert placed == {frame_hex for frame_hex in answered if has_place(bytes.fromhex(frame_hex))}
    assert all(answered[frame_hex] == 1 for frame_hex in placed)


def test_tk103_begins_each_connection_with_a_login() -> None:
    firsts: list[bytes] = []
    known = {"connections": 0}
    with serving() as server:

        def answer(frame: bytes, number: int) -> bytes | None:
            if server.connections != known["connections"]:
                known["connections"] = server.connections
                firsts.append(frame)
            return None if number % 9 == 8 else right_answer(frame)

        server.answer = answer
        result = run(Options(devices=1, rate_hz=20, protocols=("tk103",), port=server.port, duration_s=3))
    assert len(firsts) == server.connections >= 3
    assert all(frame[13:17] == b"BP05" for frame in firsts)
    assert result.ok


def test_nothing_listens() -> None:
    with serving() as server:
        port = server.port
    result = run(Options(devices=3, rate_hz=5, port=port, duration_s=0.5))
    assert not result.ok
    assert result.unconnected == 3
    assert result.sent == 0
    assert result.connect_failures >= 3
    result = run(Options(devices=2, rate_hz=5, port=port, transport="udp", duration_s=0.5, timeout_s=1))
    assert not result.ok
    assert result.missing == 2
    assert result.answered == 0
    with pytest.raises(SimulatorError, match="no-such-host"):
        run(Options(host="no-such-host.invalid"))


def test_frame_limit_ends_the_run_and_several_processes_share_it(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    seen: list[Result] = []
    with serving() as server:
        options = Options(
            devices=30,
            rate_hz=10,
            frames=25,
            prebuild=25,
            processes=2,
            port=server.port,
            duration_s=60,
            ledger=str(ledger),
        )
        started = time.monotonic()
        result = run_blocking(options, lambda so_far: seen.append(so_far))
    assert time.monotonic() - started < 20
    assert result.ok
    assert result.sent == 750 == len(server.frames)
    assert result.devices == 30
    assert len({frame for frame in server.frames if has_place(frame)}) == result.sent_with_position
    assert len(ledger.read_text().splitlines()) == result.answered
    assert seen
    assert seen[-1].devices == 30
    assert "sent" in seen[-1].line()


def simulate(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.simulator", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_exit_codes() -> None:
    with serving() as server:
        good = simulate(
            "--port", str(server.port), "--devices", "5", "--duration-s", "1.2", "--format=json", "--progress"
        )
        out, err = good.communicate(timeout=30)
    assert good.returncode == 0
    assert json.loads(out)["ok"] is True
    assert "answered" in err.splitlines()[0]
    with serving(lambda frame, _: b"(" + right_answer(frame)) as server:
        bad = simulate("--port", str(server.port), "--devices", "2", "--duration-s", "1")
        out, _ = bad.communicate(timeout=30)
    assert bad.returncode == 1
    assert "FAILED" in out
    assert "wrong: " in out
    refused = simulate("--devices", "0", "--protocols", "morse")
    _, err = refused.communicate(timeout=30)
    assert refused.returncode == 2
    assert "devices" in err
    assert "morse" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("processes", ["1", "2"])
def test_interrupt_ends_with_the_report(processes: str) -> None:
    with serving() as server:
        child = simulate(
            *("--port", str(server.port), "--devices", "6", "--rate-hz", "10", "--duration-s", "0"),
            *("--processes", processes, "--format", "json"),
        )
        deadline = time.monotonic() + 15
        while len(server.frames) < 60 and time.monotonic() < deadline:
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=10)
    report = json.loads(out)
    assert child.returncode == 0, err
    assert report["ok"]
    assert report["sent"] == len(server.frames) >= 60
    assert report["unfinished"] == 0
    assert "Traceback" not in err


def test_cost_of_a_frame() -> None:
    """Printed, and held to a bound that only a mistake in the design would break on a busy machine."""
    with serving() as server:
        paced = run(
            Options(devices=400, rate_hz=10, prebuild=50, port=server.port, duration_s=3, ramp_per_s=2000)
        ).cpu_us_per_frame
    assert paced is not None
    print(f"\nload generator: {paced:.1f} us CPU a frame (with that of the server's thread, paced, prebuilt)")
    assert paced < 150
