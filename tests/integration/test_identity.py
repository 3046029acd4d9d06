"""Who a frame is from, decided in the gateway: learnt pairs, forged ones, frames before the login, a killed gateway."""

from __future__ import annotations

import datetime as dt
import socket
import struct
import time
from typing import Any

import pytest

from gateway.protocols.fields import crc_x25
from tests.integration.line import Line, running_line, wait_until

IMEI = "354188012345671"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Any:
    environment = {"GATEWAY_UDP_SESSION_S": "3"}
    with running_line(tmp_path_factory.mktemp("identity"), partitions=2, **environment) as started:
        yield started


def gt06(kind: int, content: bytes, serial: int) -> bytes:
    body = bytes((len(content) + 5, kind)) + content + struct.pack(">H", serial)
    return b"\x78\x78" + body + struct.pack(">H", crc_x25(body)) + b"\r\n"


def gt06_login(imei: str) -> bytes:
    return gt06(0x01, bytes.fromhex("0" + imei), 1)


def gt06_place(when: dt.datetime, serial: int) -> bytes:
    """12: date, satellites, latitude and longitude in 1/30000 minute, speed, course and status (fixed, east? no: west)."""
    clock = bytes((when.year % 100, when.month, when.day, when.hour, when.minute, when.second))
    latitude, longitude = round(51.504167 * 1_800_000), round(0.1275 * 1_800_000)
    status = 45 | 0x1000 | 0x0400 | 0x0800  # fixed, north, west
    return gt06(
        0x12,
        clock + b"\xc9" + struct.pack(">IIBH", latitude, longitude, 36, status) + bytes.fromhex("00ea0a07029c8c"),
        serial,
    )


def tk103(short_id: str, imei: str, command: str, when: dt.datetime) -> bytes:
    body = f"{when:%y%m%d}A5130.2500N00007.6500W036.5{when:%H%M%S}045.5001000000L00001A2B"
    return f"({short_id}{command}{imei}{body})".encode()


def utc(back_s: int = 0) -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(seconds=back_s)


def connect(line: Line) -> socket.socket:
    device = socket.create_connection(("127.0.0.1", line.port))
    device.settimeout(5)
    return device


def rows(line: Line, device_id: str) -> int:
    return int(line.query(f"SELECT count() FROM lodestream.positions WHERE device_id = '{device_id}'")[0][0])


def test_a_learnt_pair_survives_a_killed_gateway_and_a_forged_one_is_only_counted(line: Line) -> None:
    with connect(line) as device:
        device.sendall(tk103("088012345671", IMEI, "BP05", utc(60)))
        assert device.recv(100) == b"(088012345671AP05)"
    line.gateway.kill()
    line.gateway.start()
    with connect(line) as forger:
        forger.sendall(tk103("088012345671", "999999999999999", "BP05", utc(50)))
        assert forger.recv(100) == b"(088012345671AP05)"
    with connect(line) as device:
        device.sendall(tk103("088012345671", "", "BR00", utc(40)))
        wait_until(lambda: rows(line, IMEI) == 2, 15, "the report under the first IMEI")
    assert rows(line, "088012345671") == 0
    assert rows(line, "999999999999999") == 1, "the forger's own login is its own device"
    wait_until(lambda: line.metric(line.gateway, "gateway_alias_conflicts_total") == 1, 5, "the conflict is counted")


def test_frames_before_the_login_are_held_and_lost_by_nobody(line: Line) -> None:
    imei, when = "354188012345688", utc(30)
    early = gt06_place(when, 7)
    with connect(line) as device:
        device.sendall(early)
        device.settimeout(1.0)
        with pytest.raises(TimeoutError):
            device.recv(100)
        line.gateway.kill()
    line.gateway.start()
    with connect(line) as device:  # never answered, so the device sends it again, this time behind its login
        device.sendall(early)
        time.sleep(0.2)
        device.sendall(gt06_login(imei))
        answers = b""
        while b"\x78\x78\x05\x01" not in answers:
            more = device.recv(100)
            assert more
            answers += more
    wait_until(lambda: rows(line, imei) == 1, 15, "the early report under the device")
    found = line.query(
        f"SELECT protocol, valid, latitude, longitude, speed_kmh FROM lodestream.positions WHERE device_id = '{imei}'"
    )
    assert found[0][:2] == ("gt06", True)
    assert found[0][2:] == (pytest.approx(51.504167, abs=1e-6), pytest.approx(-0.1275, abs=1e-6), 36.0)


def test_without_a_login_they_are_kept_as_no_identity(line: Line) -> None:
    with connect(line) as device:
        device.sendall(gt06_place(utc(20), 9))
        wait_until(
            lambda: line.query("SELECT count() FROM lodestream.rejected WHERE reason = 'no_identity'") == [(1,)],
            25,
            "kept without device",
        )


def test_a_udp_peer_keeps_its_identity_for_frames_without_one(line: Line) -> None:
    imei = "354188012345695"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        device.settimeout(5)
        device.connect(("127.0.0.1", line.port))
        device.send(gt06_login(imei))
        assert device.recv(100)[:4] == b"\x78\x78\x05\x01"
        device.send(gt06_place(utc(10), 2))
        wait_until(lambda: rows(line, imei) == 1, 15, "the report of the peer")
        time.sleep(7)  # longer than the life of a silent peer, and the sweep that ends it
        device.send(gt06_place(utc(5), 3))
        refused = "SELECT count() FROM lodestream.rejected WHERE reason = 'no_identity' AND device_id = ''"
        wait_until(lambda: line.query(refused) == [(2,)], 15, "a peer that was forgotten must log in again")
    assert rows(line, imei) == 1
