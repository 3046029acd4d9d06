"""`lodestream decode`: its input forms, sessions, time, the end of input, and what it says of malformed lines."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from typing import Any

import pytest

from deploy.cli import decode

REPORT = b"(088012345678BR00260115A5130.2500N00007.6500W036.5101113045.5001000000L00001A2B)"
LOGIN = b"(088012345678BP05354188012345678260115A5130.2500N00007.6500W036.5101112045.5001000000L00001A2B)"
H02_NO_ID = b"*HQ,,V1,101112,A,5130.2500,N,00007.6500,W,019.71,045,150126,FFFFFFFF#"
START_MS = 1_768_471_875_000


def run(*lines: str | bytes | dict[str, Any], text: bool = False) -> tuple[list[dict[str, Any]], int]:
    raw = [
        line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
        for line in lines
    ]
    out = io.StringIO()
    code = decode.run([line + b"\n" for line in raw], out, text)
    return [json.loads(line) for line in out.getvalue().splitlines()], code


def test_hex_text_and_json_are_the_same_chunk() -> None:
    by_hex, _ = run(LOGIN.hex())
    by_text, _ = run(LOGIN, text=True)
    by_json, _ = run({"hex": LOGIN.hex(), "session": ""})
    assert by_hex == by_text == by_json
    frame = by_hex[0]["frames"][0]
    assert frame["protocol"] == "tk103"
    assert frame["device_id"] == "354188012345678"
    assert bytes.fromhex(frame["reply_hex"]) == b"(088012345678AP05)"
    assert frame["rejected"] is None
    position = frame["positions"][0]
    assert position["latitude"] == pytest.approx(51.504167, abs=1e-6)
    assert position["fix_time_ms"] == 1_768_471_872_000
    assert "received_ms" not in position
    assert "altitude_m" not in position, "what a frame does not carry is absent"


def test_a_frame_belongs_to_the_line_that_completes_it() -> None:
    rows, code = run(REPORT[:40].hex(), REPORT[40:].hex())
    assert code == 0
    assert rows[0] == {"line": 1, "frames": [], "pending_bytes": 40}
    assert len(rows[1]["frames"]) == 1
    assert rows[1]["pending_bytes"] == 0
    assert rows[2] == {"session": "", "end": True, "frames": [], "unknown_bytes": 0}


def test_sessions_do_not_share_state() -> None:
    rows, _ = run(
        {"hex": LOGIN.hex(), "session": "a"},
        {"hex": REPORT.hex(), "session": "a"},
        {"hex": REPORT.hex(), "session": "b"},
    )
    assert [row["frames"][0]["device_id"] for row in rows[:3]] == ["354188012345678"] * 2 + ["088012345678"]
    assert [row["session"] for row in rows[3:]] == ["a", "b"]


def test_undecided_bytes_are_no_frames_and_counted_at_the_end() -> None:
    rows, code = run(b"hello".hex())
    assert code == 0, "unknown input is a result"
    assert rows == [
        {"line": 1, "frames": [], "pending_bytes": 5},
        {"session": "", "end": True, "frames": [], "unknown_bytes": 5},
    ]


def test_time_moves_only_by_received_ms() -> None:
    held = {"hex": H02_NO_ID.hex(), "received_ms": START_MS}
    rows, _ = run(held, {"hex": "0d0a", "received_ms": START_MS + 11_000})
    assert rows[0]["frames"] == []
    assert rows[1]["frames"][0]["rejected"] == "no_identity"
    rows, _ = run({"hex": H02_NO_ID.hex()}, {"hex": "0d0a"})
    assert rows[1]["frames"] == [], "without received_ms no time passes"
    assert rows[2]["frames"][0]["rejected"] == "no_identity"


def test_a_reply_with_a_clock_uses_the_time_of_arrival() -> None:
    text = b"*HQ,8800123456,V1,101112,A,5130.2500,N,00007.6500,W,019.71,045,150126,FFFFFFFF#"
    rows, _ = run({"hex": text.hex(), "received_ms": START_MS})
    assert bytes.fromhex(rows[0]["frames"][0]["reply_hex"]) == b"*HQ,8800123456,V4,V1,20260115101115#"
    assert rows[0]["frames"][0]["positions"][0]["received_ms"] == START_MS


def test_udp_is_by_the_datagram() -> None:
    rows, _ = run({"hex": REPORT[:40].hex(), "transport": "udp"}, {"hex": REPORT.hex(), "transport": "udp"})
    assert rows[0]["frames"] == []
    assert rows[0]["pending_bytes"] == 0
    assert len(rows[1]["frames"]) == 1
    assert rows[2]["unknown_bytes"] == 40


def test_a_rejected_frame_says_why() -> None:
    rows, code = run(REPORT.replace(b"5130.2500N", b"9930.2500N").hex())
    assert code == 0
    assert rows[0]["frames"][0]["rejected"].startswith("bad_coordinates")
    assert rows[0]["frames"][0]["positions"] == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("xyz", "not hex"),
        ('{"hex": "00"', "not JSON"),
        ('{"session": "a"}', 'no "hex"'),
        ('{"hex": "00", "transport": "carrier pigeon"}', "neither tcp nor udp"),
        ('{"hex": "00", "received_ms": "now"}', "no whole number"),
    ],
)
def test_a_malformed_line_is_named_and_the_others_go_on(line: str, why: str) -> None:
    rows, code = run(line, REPORT.hex())
    assert code == 1
    assert rows[0]["line"] == 1
    assert why in rows[0]["error"]
    assert len(rows[1]["frames"]) == 1


def test_text_understands_escapes() -> None:
    rows, _ = run(rb"(088012345678BP00000088012345678HSO)\r\n\x28088012345678BR05)", text=True)
    assert [bytes.fromhex(f["frame_hex"])[-5:] for f in rows[0]["frames"]] == [b"8HSO)", b"BR05)"]


def test_it_starts_in_half_a_second_and_streams() -> None:
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.cli.main", "decode", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(REPORT.hex().encode() + b"\n")
    process.stdin.flush()
    first = json.loads(process.stdout.readline())  # comes before the end of input
    elapsed_s = time.monotonic() - began
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()
    assert len(first["frames"]) == 1
    assert elapsed_s < 2.0, "half a second on a quiet machine; the bound leaves room for a busy one"
