"""Real frames through the sockets of the running line: what ClickHouse returns equals what the corpus says."""

from __future__ import annotations

import importlib.util
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.line import Line, running_line, wait_until

ROOT = Path(__file__).parent.parent.parent
DISPUTED = ROOT / "tests" / "frames" / "DISPUTED.md"
PROTOCOLS = ("tk103", "h02")
NUMBERS = ["fix_time_ms", "latitude", "longitude", "altitude_m", "speed_kmh", "course_deg", "satellites", "hdop"]
NUMBERS += ["odometer_m", "battery_percent", "battery_v", "power_v", "rssi", "fuel_percent"]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with running_line(tmp_path_factory.mktemp("line")) as started:
        yield started


def judge(corpus: Path) -> Any:
    """The comparison of shared/tools/check.py, so that both judge alike."""
    spec = importlib.util.spec_from_file_location("check", corpus.parent / "tools" / "check.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cases(corpus: Path) -> list[dict[str, Any]]:
    disputed = DISPUTED.read_text()
    found = []
    for path in [*(corpus / "public" / f"{p}.jsonl" for p in PROTOCOLS), corpus / "field" / "cases.jsonl"]:
        for text in path.read_text().splitlines():
            case = json.loads(text)
            usable = case.get("confidence", "sure") != "open" and not case.get("config") and not case.get("received")
            identified = case["expect"].get("device_id") or any(case["expect"].get("ids_any") or [])
            usable = usable and identified  # a frame whose connection never identified has no rows
            if case["protocol"] in PROTOCOLS and usable and case["id"] not in disputed:
                found.append(case)
    return found


def send(line: Line, case: dict[str, Any]) -> str:
    """Deliver the chunks of a case over one connection (or socket); returns the peer that the server saw."""
    kind = socket.SOCK_DGRAM if case["transport"] == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as device:
        device.connect(("127.0.0.1", line.port))
        peer = "{}:{}".format(*device.getsockname())
        for chunk in [*case.get("setup", []), *case["chunks"]]:
            device.sendall(bytes.fromhex(chunk))
            time.sleep(0.02)
        if kind == socket.SOCK_STREAM:
            device.shutdown(socket.SHUT_WR)
            device.settimeout(5)
            while device.recv(4096):
                pass
    return peer


def test_clickhouse_returns_what_the_corpus_says(line: Line, corpus: Path) -> None:
    check, wrong, judged = judge(corpus), [], 0
    peers = [(case, send(line, case)) for case in cases(corpus)]
    time.sleep(1)  # the last of several rows of a case
    for case, peer in peers:
        want = [p for p in case["expect"].get("positions", []) if "latitude" in p and not factory_clock(case, p)]
        if not want or case["expect"].get("rejected"):
            continue
        device = f"SELECT DISTINCT device_id FROM lodestream.sessions WHERE peer = '{peer}' AND device_id != ''"
        ids = wait_until(lambda sql=device: line.query(sql), 15, f"session of {case['id']}")
        got = wait_until(lambda ids=ids: rows(line, [row[0] for row in ids]), 15, f"rows of {case['id']}")
        judged += 1
        for position in want:
            if not any(not check.pos_wrong(position, row) for row in got):
                nearest = min((check.pos_wrong(position, row) for row in got), key=len)
                wrong.append((case["id"], nearest))
    assert judged > 80
    assert not wrong, f"{len(wrong)} of {judged}: {wrong[:8]}"


def factory_clock(case: dict[str, Any], position: dict[str, Any]) -> bool:
    """H02 units whose clock was never set count from 2015: sent today, arrival is their time, not what they say."""
    return case["protocol"] == "h02" and not position.get("valid") and position.get("fix_time", "").startswith("2015")


def rows(line: Line, device_ids: list[str]) -> list[dict[str, Any]]:
    """The stored positions of devices as mappings, under the names that the corpus uses."""
    ids = ",".join("'" + i.replace("\\", "\\\\").replace("'", "\\'") + "'" for i in device_ids)
    names = [*NUMBERS, "valid", "ignition", "alarms", "cells", "wifi", "attributes"]
    fields = ["toUnixTimestamp64Milli(fix_time_ms)" if n == "fix_time_ms" else n for n in names]
    found = line.query(f"SELECT {', '.join(fields)} FROM lodestream.positions WHERE device_id IN ({ids})")
    out = []
    for values in found:
        row = dict(zip(names, values, strict=True))
        for name in ("cells", "wifi", "attributes"):
            if isinstance(row[name], str):
                row[name] = json.loads(row[name] or ("{}" if name == "attributes" else "[]"))
        out.append(row)
    return out
