"""`lodestream doctor` and `lodestream listen` on a real line: devices and strangers in every state, parts that are away."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.cli.doctor import log, run
from deploy.cli.doctor.facts import Facts
from tests.integration.line import ROOT, Line, running_line, wait_until
from tests.integration.test_cli import lodestream
from tests.unit.test_doctor import GT06_HEARTBEAT, GT06_LOGIN, H02_FIX

H02_DEVICE, GT06_DEVICE, LOGIN_DEVICE = "8800123456", "868476060001122", "868476060001130"
LOGIN_ONLY = bytes.fromhex("78780d01086847606000113000012acf0d0a")
SHORT_ID = "088012345678"
TK103_LOGIN = b"(088012345678BP05354188012345678260115V5130.2500N00007.6500W035.2101112045.0001000000L00000000)"
IMEI = "354188012345678"
AWAY = "127.0.0.1:1"


def send(source: str, port: int, *parts: bytes) -> socket.socket:
    """Connect from an address of this machine and send."""
    connection = socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
    for part in parts:
        connection.sendall(part)
        time.sleep(0.05)
    return connection


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with running_line(tmp_path_factory.mktemp("doctor"), partitions=2) as started:
        open_ones = [
            send("127.0.0.2", started.port, H02_FIX),
            send("127.0.0.3", started.port, GT06_LOGIN, GT06_HEARTBEAT, GT06_HEARTBEAT),
            send("127.0.0.3", started.port, LOGIN_ONLY),
            send("127.0.0.3", started.port, TK103_LOGIN),
        ]
        for source, data in (
            ("127.0.0.4", b"\xaa\xbb\xcc\xdd" * 300),
            ("127.0.0.5", b"GET / HTTP/1.1\r\n\r\n"),
            ("127.0.0.6", b""),
            ("127.0.0.7", GT06_HEARTBEAT),
        ):
            connection = send(source, started.port, data)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(20)
            while connection.recv(1024):
                pass
            connection.close()
        sessions = "SELECT count() FROM lodestream.sessions WHERE status = 'closed' OR device_id != ''"
        wait_until(lambda: started.query(sessions)[0][0] == 8, 30, "the sessions")
        wait_until(lambda: started.query("SELECT count() FROM lodestream.latest")[0][0] == 1, 30, "the position")
        rejected = "SELECT count() FROM lodestream.rejected"
        wait_until(lambda: started.query(rejected)[0][0] == 3, 30, "what was rejected")
        yield started
        for connection in open_ones:
            connection.close()


def doctor(line: Line, subject: str, *more: str, kafka: str = "", url: str = "") -> dict[str, Any]:
    services = "--kafka", kafka or line.kafka.bootstrap, "--clickhouse", url or line.url
    out = lodestream("doctor", subject, *services, "--format", "json", *more)
    found: dict[str, Any] = json.loads(out)
    return found


STATES = {
    H02_DEVICE: "fix",
    GT06_DEVICE: "heartbeat",
    LOGIN_DEVICE: "login",
    "127.0.0.4": "unknown",
    "127.0.0.5": "unread",
    "127.0.0.6": "connected",
    "127.0.0.7": "anonymous",
    "127.0.0.9": "never_seen",
    "999": "never_seen",
}


@pytest.mark.parametrize(("subject", "state"), STATES.items())
@pytest.mark.parametrize("away", ["", "kafka", "clickhouse"])
def test_every_state_is_recognised_also_from_half_of_the_line(line: Line, subject: str, state: str, away: str) -> None:
    parts = {"kafka": {"kafka": AWAY}, "clickhouse": {"url": f"http://{AWAY}"}, "": {}}[away]
    found = doctor(line, subject, **parts)
    # without the log nobody knows what the few frames of a session were
    expected = "heartbeat" if (away, subject) == ("kafka", GT06_DEVICE) else state
    assert found["state"] == expected
    assert len(found["away"]) == bool(away)
    assert bool(found["frames"]) == (away != "kafka" and state not in ("connected", "never_seen"))
    if state != "never_seen":
        assert not found["silent"]
        assert found["sessions"]


def test_nothing_that_answers_is_one_message(line: Line) -> None:
    out = lodestream("doctor", "1", "--kafka", AWAY, "--clickhouse", f"http://{AWAY}", code=2)
    assert out == f"doctor: no Kafka broker answers at {AWAY}; ClickHouse at http://{AWAY} does not answer\n"


def test_the_text_shows_bytes_what_they_mean_and_what_to_do(line: Line) -> None:
    services = "--kafka", line.kafka.bootstrap, "--clickhouse", line.url
    text = lodestream("doctor", GT06_DEVICE, *services, "--frames", "5", "--explain")
    for part in ("> heartbeats or reports without a fix", "78 78 0d 01", "replies", "battery_percent", "PARAM#"):
        assert part in text, part
    stranger = lodestream("doctor", "127.0.0.4", *services)
    assert "begin with aa bb cc dd" in stranger
    assert "a web browser or a scanner" in lodestream("doctor", "127.0.0.5", *services)
    assert GT06_DEVICE in lodestream("doctor", "127.0.0.3", *services)


def test_a_short_id_leads_to_the_device_it_belongs_to(line: Line) -> None:
    found = doctor(line, SHORT_ID)
    assert (found["subject"], found["asked_as"], found["aliases"]) == (IMEI, SHORT_ID, [f"tk103:{SHORT_ID}"])
    assert found["state"] == "heartbeat", "a login with a report without a fix"
    lodestream("devices", "set", H02_DEVICE, "--name", "van 7", "--kafka", line.kafka.bootstrap)
    lodestream("devices", "alias", H02_DEVICE, "h02:1234567890", "--kafka", line.kafka.bootstrap)
    named = doctor(line, "h02:1234567890")
    assert doctor(line, "1234567890")["subject"] == named["subject"]
    assert (named["subject"], named["registered"]["name"]) == (H02_DEVICE, "van 7")


def test_an_imei_whose_device_sends_a_part_of_it_is_found(line: Line) -> None:
    found = doctor(line, f"35{H02_DEVICE}123")
    assert found["state"] == "never_seen"
    assert [similar["device_id"] for similar in found["similar"]] == [H02_DEVICE]


def test_frames_are_found_where_the_store_says_without_reading_the_log_backwards(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "SCAN_S", 0.0)
    for subject in (H02_DEVICE, "127.0.0.4", "127.0.0.7"):
        facts = Facts(subject, subject.startswith("127."), round(time.time() * 1000))
        options = {"bootstrap": line.kafka.bootstrap, "url": line.url, "user": "", "password": ""}
        asyncio.run(run.gather(facts, options | {"frames": 3, "explained": False}))
        assert facts.frames, subject
        assert "where the store says" in facts.scanned or not facts.scanned


def test_a_user_s_mistake_is_named() -> None:
    assert "which device or address?" in lodestream("doctor", code=2)
    assert "there are gps103" in lodestream("doctor", "1", "--protocol", "nokia", code=2)
    assert "no port" in lodestream("doctor", "1", "--server", "a:99999", code=2)
    listed = lodestream("doctor", "--sms", "--server", "10.0.0.1:9000", "--apn", "net")
    assert "adminip123456 10.0.0.1 9000" in listed
    assert listed.rstrip().endswith("of that very device")
    assert "gt06:" not in lodestream("doctor", "--sms", "--protocol", "h02")


# -- listen -----------------------------------------------------------------------------------------------------------


def listening(line: Line, *options: str) -> subprocess.Popen[str]:
    """A `listen` that already listens."""
    command = [sys.executable, "-m", "deploy.cli.main", "listen", "--kafka", line.kafka.bootstrap, "--seconds", "20"]
    child = subprocess.Popen([*command, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    assert "listening" in child.stderr.readline()
    return child


@pytest.mark.parametrize(
    ("options", "payload"),
    [
        (("--device", H02_DEVICE), H02_FIX),
        (("--protocol", "gt06"), GT06_LOGIN),
        (("--protocol", "unknown"), b"\xaa\xbb" * 600),
        (("--peer", "127.0.0.8", "--protocol", "h02"), H02_FIX),
    ],
)
def test_listen_shows_what_arrives_and_was_asked_for(line: Line, options: tuple[str, ...], payload: bytes) -> None:
    child = listening(line, *options, "--limit", "1", "--format", "json")
    others = [send("127.0.0.9", line.port, part) for part in (LOGIN_ONLY[:0], TK103_LOGIN)]
    own = send("127.0.0.8", line.port, payload)
    out, errors = child.communicate(timeout=40)
    assert child.returncode == 0, errors
    (row,) = [json.loads(text) for text in out.splitlines()]
    assert row["frame_hex"] == payload.hex()
    assert row["peer"].startswith("127.0.0.8:")
    if payload == H02_FIX:
        assert row["positions"][0]["latitude"] == pytest.approx(51.504167)
    for connection in (*others, own):
        connection.close()


def test_listen_explains_in_text(line: Line) -> None:
    child = listening(line, "--device", H02_DEVICE, "--limit", "1", "--explain")
    connection = send("127.0.0.8", line.port, H02_FIX)
    out, _ = child.communicate(timeout=40)
    connection.close()
    for part in (f"h02  {H02_DEVICE}  127.0.0.8:", "2a 48 51 2c", "*HQ,", "51.50417, -0.12750", "latitude"):
        assert part in out, part


def test_listen_names_a_mistake() -> None:
    assert "unknown protocol 'nokia'" in lodestream("listen", "--protocol", "nokia", code=2)
    assert "is no address" in lodestream("listen", "--peer", "office", code=2)
    assert "no Kafka broker" in lodestream("listen", "--kafka", AWAY, code=2)
