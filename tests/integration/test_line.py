"""Device to query: what a user of the line sees, over TCP and UDP, with every part real."""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
import socket
import time
from typing import Any

import pytest

from tests.integration.line import Line, running_line, wait_until


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_line(tmp_path_factory.mktemp("line")) as started:
        yield started


def utc() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def login(short_id: str, imei: str, when: dt.datetime) -> bytes:
    place = "A5130.2500N00007.6500W036.5"
    return f"({short_id}BP05{imei}{when:%y%m%d}{place}{when:%H%M%S}045.5001000000L00001A2B)".encode()


def report(short_id: str, when: dt.datetime) -> bytes:
    return f"({short_id}BR00{when:%y%m%d}A5130.2500N00007.6500W036.5{when:%H%M%S}045.5001000000L00001A2B)".encode()


def v1(device_id: str, when: dt.datetime, status: str = "FFFFFFFF") -> bytes:
    place = "A,5130.2500,N,00007.6500,W,019.71,045"
    return f"*HQ,{device_id},V1,{when:%H%M%S},{place},{when:%d%m%y},{status}#".encode()


def binary(device_id: str, when: dt.datetime) -> bytes:
    tail = "513025000600007650060190 45ffffffffff000100000000 0000000000000000000000".replace(" ", "")
    return bytes.fromhex(f"24{device_id}{when:%H%M%S%d%m%y}{tail}"[:90].ljust(90, "0"))


class Device:
    """A socket that keeps what it got."""

    def __init__(self, line: Line, transport: str = "tcp") -> None:
        kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.settimeout(5)
        self.socket.connect(("127.0.0.1", line.port))

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(4096)
            if not more:
                break
            data += more
        return data

    def silent(self, seconds: float) -> bool:
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(4096) == b""
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(5)

    def close(self) -> None:
        self.socket.close()


def stored(line: Line, device_id: str) -> list[tuple[Any, ...]]:
    return line.query(
        "SELECT protocol, toUnixTimestamp64Milli(time_ms), valid, latitude, longitude, speed_kmh, course_deg, ignition, "
        f"odometer_m FROM lodestream.positions WHERE device_id = '{device_id}' ORDER BY time_ms"
    )


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_tk103_is_answered_and_queryable_within_two_seconds(line: Line, transport: str) -> None:
    number = 1 if transport == "tcp" else 2
    short_id, imei = f"08801234567{number}", f"35418801234567{number}"
    device, first = Device(line, transport), utc()
    second = first + dt.timedelta(seconds=1)
    device.send(login(short_id, imei, first))
    expected = f"({short_id}AP05)".encode()
    assert device.receive(len(expected)) == expected
    device.send(report(short_id, second))
    sent = time.monotonic()
    rows = wait_until(lambda: [r for r in [stored(line, imei)] if len(r) == 2], 10, "both positions")[0]
    assert time.monotonic() - sent < 2.0
    assert device.silent(0.3), "BR00 is not answered"
    assert [row[1] for row in rows] == [int(first.timestamp() * 1000), int(second.timestamp() * 1000)]
    for row in rows:
        assert row[0] == "tk103"
        assert row[2] is True
        assert row[3] == pytest.approx(51.504167, abs=1e-6)
        assert row[4] == pytest.approx(-0.1275, abs=1e-6)
        assert row[5:] == (36.5, 45.5, True, 6699)
    device.close()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_h02_text_and_binary(line: Line, transport: str) -> None:
    device_id = "8800123451" if transport == "tcp" else "8800123452"
    device, first = Device(line, transport), utc()
    device.send(v1(device_id, first))
    reply = device.receive(10)
    assert re.fullmatch(rb"\*HQ,%s,V4,V1,\d{14}#" % device_id.encode(), reply)
    stamp = dt.datetime.strptime(reply[-15:-1].decode(), "%Y%m%d%H%M%S").replace(tzinfo=dt.UTC)
    assert abs((stamp - utc()).total_seconds()) < 5
    device.send(binary(device_id, first + dt.timedelta(seconds=1)))
    rows = wait_until(lambda: [r for r in [stored(line, device_id)] if len(r) == 2], 10, "both positions")[0]
    for row in rows:
        assert row[:3] == ("h02", row[1], True)
        assert row[3] == pytest.approx(51.504167, abs=1e-6)
        assert row[4] == pytest.approx(-0.1275, abs=1e-6)
        assert row[6] == 45
        assert row[7] is True
    assert rows[0][5] == pytest.approx(19.71 * 1.852, abs=0.06)
    assert rows[1][5] == pytest.approx(19 * 1.852, abs=0.06)
    device.close()


def test_a_report_sent_again_is_one_row(line: Line) -> None:
    when = utc()
    for _ in range(3):
        device = Device(line)
        device.send(v1("8800123453", when))
        assert device.receive(10)
        device.close()
    wait_until(lambda: stored(line, "8800123453"), 10, "the position")
    time.sleep(1.5)
    assert len(stored(line, "8800123453")) == 1
    assert line.query("SELECT count() FROM lodestream.latest WHERE device_id = '8800123453'") == [(1,)]


def test_alarms_and_overspeed_become_events(line: Line) -> None:
    device, when = Device(line), utc()
    for step, status in enumerate(("FFFFFFFF", "FFFFFFFE", "FFFFFFFF")):
        device.send(v1("8800123454", when + dt.timedelta(seconds=step), status))
        assert device.receive(10)
    sql = (
        "SELECT kind, subject FROM lodestream.events WHERE device_id = '8800123454' AND subject != '' ORDER BY time_ms"
    )
    wait_until(lambda: len(line.query(sql)) >= 2, 10, "both events")
    assert line.query(sql) == [("alarm_raised", "vibration"), ("alarm_cleared", "vibration")]
    device.close()


def test_bad_frames_are_kept_with_the_reason_and_harm_nobody(line: Line) -> None:
    good, bad = Device(line), Device(line)
    when = utc()
    bad.send(f"*HQ,8800123455,V1,101112,A,9930.2500,N,00007.6500,W,0,0,{when:%d%m%y},FFFFFFFF#".encode())
    scanner = Device(line)
    scanner.send(b"SSH-2.0-scanner\r\n" + b"x" * 1500)
    good.send(v1("8800123456", when))
    assert good.receive(10).startswith(b"*HQ,8800123456,V4,V1,")
    assert scanner.receive(1) == b"", "closed without an answer"
    sql = "SELECT reason, protocol FROM lodestream.rejected WHERE {} ORDER BY received_ms"
    wait_until(lambda: line.query(sql.format("device_id = '8800123455'")), 10, "the rejected frame")
    assert line.query(sql.format("device_id = '8800123455'")) == [("bad_coordinates", "h02")]
    wait_until(lambda: line.query(sql.format("position(payload, 'SSH-2.0') > 0")), 10, "the unknown bytes")
    for device in (good, bad, scanner):
        device.close()


def test_sessions_tell_what_became_of_a_connection(line: Line) -> None:
    device = Device(line)
    device.send(v1("8800123457", utc()))
    assert device.receive(10)
    device.close()
    sql = (
        "SELECT status, protocol, transport, frames, replies, reason FROM lodestream.sessions "
        "WHERE device_id = '8800123457'"
    )
    wait_until(lambda: line.query(sql)[:1] == [("closed", "h02", "tcp", 1, 1, "device")], 10, "the closed session")


def test_a_device_that_only_sends_then_half_closes_is_answered(line: Line) -> None:
    device = Device(line)
    device.send(v1("8800123458", utc()))
    device.socket.shutdown(socket.SHUT_WR)
    assert device.receive(10).startswith(b"*HQ,8800123458,V4,V1,")
    assert device.receive(1) == b""
    device.close()


def test_kafka_away_means_no_answer_and_nothing_lost(line: Line) -> None:
    device, when = Device(line), utc()
    os.kill(line.kafka.pid or 0, signal.SIGSTOP)
    try:
        device.send(v1("8800123459", when))
        assert device.silent(2.0), "not durable, not answered"
    finally:
        os.kill(line.kafka.pid or 0, signal.SIGCONT)
    assert device.receive(10).startswith(b"*HQ,8800123459,V4,V1,")
    wait_until(lambda: stored(line, "8800123459"), 15, "the position")
    device.close()


def test_sigterm_answers_what_was_read_and_ends_cleanly(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_line(tmp_path_factory.mktemp("drain")) as line:
        device = Device(line)
        device.send(v1("8800123460", utc()))
        time.sleep(0.02)
        assert line.gateway.stop(15) == 0
        assert device.receive(10).startswith(b"*HQ,8800123460,V4,V1,")
        wait_until(lambda: stored(line, "8800123460"), 10, "the position")
        assert line.track.stop(15) == 0
        assert line.sink.stop(15) == 0
        line.clickhouse.stop()
