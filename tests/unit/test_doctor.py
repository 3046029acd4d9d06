"""What `lodestream doctor` says of facts: ladder, state, findings, text messages, and how it is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.cli.doctor import show, sms
from deploy.cli.doctor.diagnosis import Place, diagnose, ladder
from deploy.cli.doctor.facts import Diagnosis, Facts, Refusals, ReportSeen, Rung, SessionSeen, Similar
from deploy.cli.doctor.findings import ago
from deploy.cli.doctor.log import session_rows
from deploy.cli.doctor.run import place_of
from deploy.cli.frame_view import FrameRow, view
from gateway.protocols.registry import MODULES
from schemas.records import Device, Event, Flag, Frame, FrameKind, SessionBatch, SessionRows

NOW_MS = 1_800_000_000_000
DEVICE = "868476060001122"
S, MIN, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
GT06_LOGIN = bytes.fromhex("78780d01086847606000112200018cdd0d0a")
GT06_HEARTBEAT = bytes.fromhex("78780a134004040001000fdcee0d0a")
H02_FIX = b"*HQ,8800123456,V1,101112,A,5130.2500,N,00007.6500,W,019.71,045,150126,FFFFFFFF#"
H02_NO_FIX = H02_FIX.replace(b",A,", b",V,")


def facts(**more: Any) -> Facts:
    return Facts(DEVICE, False, NOW_MS, **more)


def session(age_ms: int = MIN, **more: Any) -> SessionSeen:
    told: dict[str, Any] = {
        "session_id": "g1-1",
        "gateway": "g1",
        "status": "active",
        "time_ms": NOW_MS - age_ms,
        "opened_ms": NOW_MS - age_ms - 10 * MIN,
        "peer": "203.0.113.7:4000",
        "transport": "tcp",
        "protocol": "gt06",
        "device_id": DEVICE,
        "frames": 1,
        "bytes_in": 18,
        "bytes_out": 10,
        "replies": 1,
        "unknown_bytes": 0,
        "last_in": GT06_LOGIN,
        "last_out": b"",
        "reason": "",
    }
    return SessionSeen(**told | more)


def report(age_ms: int = MIN, **more: Any) -> ReportSeen:
    told: dict[str, Any] = {
        "received_ms": NOW_MS - age_ms,
        "time_ms": NOW_MS - age_ms,
        "device_time_ms": NOW_MS - age_ms,
        "valid": True,
        "latitude": 51.5,
        "longitude": -0.1,
        "located_by_cells": False,
        "satellites": 9,
        "battery_percent": None,
        "battery_v": None,
        "power_v": None,
        "rssi": None,
        "flags": 0,
        "protocol": "gt06",
    }
    return ReportSeen(**told | more)


def frame(
    payload: bytes,
    protocol: str = "gt06",
    age_ms: int = MIN,
    kind: FrameKind = FrameKind.FRAME,
    device: str | None = DEVICE,
    first: bool = False,
) -> dict[str, Any]:
    seen = Frame(payload, protocol, device, NOW_MS - age_ms)
    return view(FrameRow(seen, kind, 0, "g1-1", "203.0.113.7:4000", NOW_MS - HOUR)) | {"first": first}


def told(found: Diagnosis) -> str:
    return "\n".join(line for finding in found.findings for line in (finding.text, *finding.advice))


# -- the ladder -------------------------------------------------------------------------------------------------------

STRANGER = {"protocol": "", "device_id": "", "frames": 0}
STATES = [
    (Rung.CONNECTED, facts(sessions=[session(**STRANGER, bytes_in=0)])),
    (Rung.UNKNOWN, facts(sessions=[session(**STRANGER)])),
    (Rung.UNKNOWN, facts(frames=[frame(b"\xaa" * 20, "", kind=FrameKind.UNDECIDED, device=None)])),
    (Rung.UNREAD, facts(sessions=[session(protocol="teltonika", device_id="")])),
    (Rung.UNREAD, facts(frames=[frame(b"GET / HTTP/1.1\r\n\r\n", "http", device=None)])),
    (Rung.ANONYMOUS, facts(sessions=[session(device_id="")])),
    (Rung.ANONYMOUS, facts(frames=[frame(GT06_HEARTBEAT, kind=FrameKind.NO_IDENTITY, device=None)])),
    (Rung.REFUSED, facts(frames=[frame(GT06_LOGIN, kind=FrameKind.UNKNOWN_DEVICE)])),
    (Rung.REFUSED, facts(refusals=[Refusals("unknown_device", "gt06", 3, NOW_MS - MIN, "", GT06_LOGIN)])),
    (Rung.LOGIN, facts(sessions=[session()])),
    (Rung.LOGIN, facts(frames=[frame(GT06_LOGIN, first=True)])),
    (Rung.HEARTBEAT, facts(sessions=[session(frames=5)])),
    (Rung.HEARTBEAT, facts(frames=[frame(GT06_HEARTBEAT)])),
    (Rung.HEARTBEAT, facts(frames=[frame(H02_NO_FIX, "h02")])),
    (Rung.HEARTBEAT, facts(reports=[report(valid=False)])),
    (Rung.CELLS, facts(reports=[report(valid=False, located_by_cells=True)])),
    (Rung.FIX, facts(frames=[frame(H02_FIX, "h02")])),
    (Rung.FIX, facts(reports=[report()])),
]


@pytest.mark.parametrize(("rung", "given"), STATES)
def test_each_state_is_recognised_by_whatever_tells_of_it(rung: Rung, given: Facts) -> None:
    found = diagnose(given, Place())
    assert found.state is rung
    assert not found.silent
    assert found.headline
    assert (rung is Rung.FIX) == (not found.findings)


def test_the_state_is_the_best_of_its_last_half_hour_and_the_ladder_keeps_what_was_before() -> None:
    given = facts(
        sessions=[session(MIN, opened_ms=NOW_MS - 3 * HOUR)],
        reports=[report(MIN, valid=False), report(20 * MIN, valid=False, located_by_cells=True)],
        last={Rung.FIX: NOW_MS - 2 * DAY},
    )
    found = diagnose(given, Place())
    assert found.state is Rung.CELLS
    assert found.ladder[Rung.FIX] == NOW_MS - 2 * DAY
    assert list(found.ladder) == sorted(found.ladder)
    assert "last fix was 2 days ago" in told(found)
    assert found.online


def test_the_newest_of_each_rung_counts_wherever_it_is_told() -> None:
    given = facts(frames=[frame(H02_FIX, "h02", 30 * S)], reports=[report(2 * MIN)], last={Rung.FIX: NOW_MS - MIN})
    assert ladder(given) == dict.fromkeys((Rung.CONNECTED, Rung.FIX), NOW_MS - 30 * S)
    assert ladder(facts(reports=[report(MIN)])) == dict.fromkeys((Rung.CONNECTED, Rung.FIX), NOW_MS - MIN)
    assert ladder(facts()) == {}


# -- findings ---------------------------------------------------------------------------------------------------------


def test_a_device_that_was_never_seen_is_told_what_to_check_and_who_it_may_be() -> None:
    given = facts(
        similar=[Similar("08476060001", "h02", NOW_MS - 5 * MIN)],
        strangers=[session(peer="203.0.113.9:1", device_id=""), session(peer="203.0.113.9:2", device_id="")],
    )
    found = diagnose(given, Place())
    assert found.state is None
    assert "never seen" in found.headline
    assert "lodestream doctor 08476060001" in told(found)
    assert f"lodestream devices alias {DEVICE} h02:08476060001" in told(found)
    assert told(found).count("lodestream doctor 203.0.113.9") == 1
    assert found.messages == []
    of_family = diagnose(given, Place("tracker.example.org", "9999", "internet"), "gt06")
    texts = [text for _, text in of_family.messages]
    assert "SERVER,1,tracker.example.org,9999,0#" in texts
    assert "APN,internet#" in texts


def test_a_silent_device_is_told_how_it_ended() -> None:
    ended = session(3 * HOUR, status="closed", reason="device")
    event = Event(DEVICE, "power_cut", NOW_MS - 3 * HOUR, attributes={})
    found = diagnose(facts(sessions=[ended], reports=[report(3 * HOUR)], events=[event]), Place())
    assert found.silent
    assert not found.online
    assert found.headline.startswith("Silent for 3 h.")
    assert "the device closed its connection" in told(found)
    assert "power_cut, 3 h ago" in told(found)
    assert [text for _, text in found.messages][:2] == ["APN,APN#", "SERVER,1,HOST,PORT,0#"]


@pytest.mark.parametrize(
    ("start", "who"),
    [(b"GET / HTTP/1.1", "HTTP"), (b"\x16\x03\x01\x02", "TLS"), (b"SSH-2.0-x", "SSH"), (b"\x05\x01\x00", "SOCKS")],
)
def test_what_knocks_at_every_open_port_is_no_tracker(start: bytes, who: str) -> None:
    given = facts(frames=[frame(start, "", kind=FrameKind.UNDECIDED, device=None)])
    assert who in told(diagnose(given, Place()))
    odd = facts(frames=[frame(b"\xaa\xbb\xcc", "", kind=FrameKind.UNDECIDED, device=None)])
    assert "aa bb cc" in told(diagnose(odd, Place()))


def test_a_login_of_this_moment_is_given_time() -> None:
    new = session(S, opened_ms=NOW_MS - 5 * S)
    assert "a moment ago" in told(diagnose(facts(sessions=[new]), Place()))
    old = session(S, opened_ms=NOW_MS - 10 * MIN)
    assert "after the login nothing comes; it was answered" in told(diagnose(facts(sessions=[old]), Place()))


def test_what_was_not_asked_is_not_denied() -> None:
    given = facts(away=["no Kafka broker answers at x"])
    found = diagnose(given, Place())
    assert found.headline == "Nothing of it was found in what could be asked."
    assert "not registered" not in show.as_text(given, found, 3)
    assert "not registered" in show.as_text(facts(identified=True), diagnose(facts(), Place()), 3)


def test_refused_and_quarantined_devices_are_registered() -> None:
    refused = facts(refusals=[Refusals("unknown_device", "gt06", 3, NOW_MS - MIN, "", b"")])
    assert f"lodestream devices set {DEVICE}" in told(diagnose(refused, Place()))
    held = facts(reports=[report(flags=int(Flag.QUARANTINED))])
    assert f"lodestream devices set {DEVICE}" in told(diagnose(held, Place()))


def test_rejected_frames_are_told_unless_the_state_says_it() -> None:
    bad = Refusals("bad_checksum", "gt06", 12, NOW_MS - MIN, "bad_checksum at byte 3", GT06_LOGIN)
    found = diagnose(facts(reports=[report()], refusals=[bad]), Place())
    assert found.state is Rung.FIX
    assert "rejected as bad_checksum: 12 in the last month" in told(found)
    assert f"lodestream rejected --reason bad_checksum --device {DEVICE}" in told(found)
    undecided = Refusals("undecided", "", 1, NOW_MS - MIN, "", b"\xaa")
    assert "rejected as" not in told(diagnose(facts(refusals=[undecided]), Place()))


CLOCKS = [
    (0, 0, ""),
    (8 * HOUR, 0, "taken into account"),
    (8 * HOUR, 8 * HOUR, "--parameter clock_offset_s=28800"),
    (-5 * HOUR - 30 * MIN, -5 * HOUR - 30 * MIN, "UTC-5.5"),
    (-37 * MIN, -37 * MIN, "stored reports, or its clock is wrong"),
]


@pytest.mark.parametrize(("clock_ms", "dated_ms", "says"), CLOCKS)
def test_a_clock_that_is_wrong_is_told_with_what_was_made_of_it(clock_ms: int, dated_ms: int, says: str) -> None:
    ages = [n * MIN for n in range(1, 8)]
    reports = [report(a, device_time_ms=NOW_MS - a + clock_ms, time_ms=NOW_MS - a + dated_ms) for a in ages]
    found = diagnose(facts(reports=reports), Place())
    assert found.clock_ms == clock_ms
    assert says in told(found)
    assert bool(found.findings) == bool(clock_ms)


def test_a_clock_that_is_ahead_is_set_by_text_message() -> None:
    reports = [report(MIN, device_time_ms=NOW_MS + HOUR, time_ms=NOW_MS + 50 * MIN, flags=int(Flag.TIME_FUTURE))]
    found = diagnose(facts(reports=reports), Place())
    assert "dated by their arrival" in told(found)
    assert [text for _, text in found.messages] == ["GMT,E,0,0#"]


def test_low_batteries_and_flapping_connections_are_told() -> None:
    low = facts(reports=[report(battery_percent=9.0)])
    assert "battery was at 9 %" in told(diagnose(low, Place()))
    many = [session(n * MIN, opened_ms=NOW_MS - (n + 1) * MIN, session_id=f"s{n}", replies=0) for n in range(12)]
    assert "12 connections within an hour, 12 without a reply" in told(diagnose(facts(sessions=many), Place()))
    assert "connections within" not in told(diagnose(facts(sessions=many[:5]), Place()))


# -- text messages ----------------------------------------------------------------------------------------------------


def test_every_protocol_that_is_decoded_has_text_messages() -> None:
    assert set(sms.FAMILIES) == {module.NAME for module in MODULES}
    for name, family in sms.FAMILIES.items():
        assert set(family.messages) <= set(sms.PURPOSES)
        texts = [text for _, text in sms.messages(name, tuple(sms.PURPOSES), "10.0.0.1", "8888", "net")]
        assert any("10.0.0.1" in text and "8888" in text for text in texts), name
        assert any("net" in text for text in texts), name
        assert not any("{" in text for text in texts)
    assert sms.messages("nobody", ("apn",), "h", "1", "a") == []


def test_addresses_in_numbers_and_names_are_told_apart_where_the_message_must() -> None:
    (_, by_name), *_ = sms.messages("gt06", ("server",), "a.example.org", "1", "")
    (_, by_number), *_ = sms.messages("gt06", ("server",), "10.1.2.3", "1", "")
    assert (by_name, by_number) == ("SERVER,1,a.example.org,1,0#", "SERVER,0,10.1.2.3,1,0#")


def test_places() -> None:
    assert place_of("", "") == Place()
    assert place_of("a.example.org", "net") == Place("a.example.org", "8888", "net")
    assert place_of("a.example.org:5000", "") == Place("a.example.org", "5000", "APN")
    with pytest.raises(ValueError, match="70000 is no port"):
        place_of("a.example.org:70000", "")


# -- shown ------------------------------------------------------------------------------------------------------------


def test_text_and_json_hold_everything_and_no_control_characters() -> None:
    given = facts(
        device=Device(DEVICE, 0, name="van 7", group_id="vans"),
        aliases=["tk103:0880"],
        sessions=[session(status="closed", reason="idle", unknown_bytes=5, last_out=b"\x1b[31m")],
        reports=[report(satellites=7, battery_percent=80.0)],
        stored_reports=1234,
        frames=[frame(GT06_LOGIN, first=True), frame(b"\x1b[2J", "", kind=FrameKind.UNDECIDED)],
        refusals=[Refusals("bad_checksum", "gt06", 1, NOW_MS, "x\x07", b"\x00\x01")],
        events=[Event(DEVICE, "alarm_raised", NOW_MS, "sos", attributes={})],
        scanned="all that the log holds",
        away=["ClickHouse does not answer at x"],
    )
    found = diagnose(given, Place())
    text = show.as_text(given, found, 5)
    assert not any(ord(c) < 32 and c != "\n" for c in text)
    for part in (
        "van 7",
        "group vans",
        "tk103:0880",
        "closed: idle",
        "1,234 reports",
        "alarm_raised sos",
        "ClickHouse",
    ):
        assert part in text, part
    assert "> fix" in text
    assert "78 78 0d 01" in text
    row = json.loads(json.dumps(show.as_json(given, found)))
    assert row["state"] == "fix"
    assert row["sessions"][0]["last_in"] == GT06_LOGIN.hex()
    assert row["ladder_ms"]["fix"] == NOW_MS - MIN
    assert row["frames"][0]["frame_hex"] == GT06_LOGIN.hex()


def test_an_address_lists_the_devices_behind_it() -> None:
    sessions = [session(n * MIN, device_id=f"8800{n:06}", session_id=f"s{n}") for n in range(30)]
    given = Facts("203.0.113.7", True, NOW_MS, sessions=sessions)
    text = show.as_text(given, diagnose(given, Place()), 3)
    assert "Devices (30;" in text
    assert "8800000000" in text
    assert "and 10 more" in text


def test_rows_of_sessions_are_read_from_a_record() -> None:
    rows = SessionRows(*([[]] * 16))
    assert session_rows(SessionBatch("g1", rows)) == []
    one = session()
    columns = {name: [getattr(one, name)] for name in SessionRows.__slots__}
    assert session_rows(SessionBatch("g1", SessionRows(**columns))) == [one]


@pytest.mark.parametrize(
    ("ms", "text"), [(-5, "0 s"), (90_000, "90 s"), (5 * MIN, "5 min"), (30 * HOUR, "30 h"), (3 * DAY, "3 days")]
)
def test_spans_of_time(ms: int, text: str) -> None:
    assert ago(ms) == text
