"""`lodestream derive`: each kind of line, what may be left out, what is refused, and where its parameters are told."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from deploy.cli.derive import parameter_docs
from deploy.cli.main import cli
from processors.derive.rules import Parameters
from tests.unit.derive_helpers import DEVICE, METRES_PER_DEGREE, T0

ROOT = Path(__file__).parent.parent.parent


def line(second: float, north_m: float | None = 0.0, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"device_id": DEVICE, "time_ms": T0 + round(second * 1000)}
    if north_m is not None:
        row |= {"latitude": 50 + north_m / METRES_PER_DEGREE, "longitude": 10.0}
    return row | more


def derive(lines: list[Any], *options: str) -> Result:
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
    return CliRunner().invoke(cli, ["derive", *options], input=text + "\n")


def events(lines: list[Any], *options: str) -> list[dict[str, Any]]:
    result = derive(lines, *options)
    assert result.exit_code == 0, result.output
    return [json.loads(one) for one in result.stdout.splitlines()]


def told(lines: list[Any], *options: str) -> list[tuple[str, float]]:
    return [(e["kind"], (e["time_ms"] - T0) / 1000) for e in events(lines, *options)]


TRIP = [line(s, s * 10, speed_kmh=36) for s in range(0, 301, 10)] + [
    line(s, 3000, speed_kmh=0) for s in range(310, 601, 30)
]


def test_positions_give_events_in_order() -> None:
    assert told(TRIP) == [("device_online", 0), ("device_moving", 0), ("device_stopped", 310)]
    stopped = events(TRIP)[-1]
    assert stopped["device_id"] == DEVICE
    assert stopped["attributes"]["distance_m"] == pytest.approx(3000, rel=0.01)
    assert stopped["latitude"] == pytest.approx(50 + 3000 / METRES_PER_DEGREE, abs=1e-6)
    assert "subject" not in stopped


def test_the_same_lines_again_add_nothing() -> None:
    assert events(TRIP + TRIP) == events(TRIP)
    assert events(TRIP + TRIP[5:9] + TRIP[-3:]) == events(TRIP)


def test_a_line_that_is_older_than_those_before_it_is_a_late_upload() -> None:
    rows = derive([*TRIP, line(200, 90_000, speed_kmh=150)], "--positions").stdout.splitlines()
    last = json.loads(rows[-1])
    assert last["flags"] == ["late"]
    assert last["received_ms"] == T0 + 580_000
    assert last["moving"] is None


def test_ticks_and_sessions_are_entries() -> None:
    lines = [
        "# a comment",
        {"session": "opened", "device_id": "a", "time_ms": T0},
        "",
        {"session": "opened", "device_id": "a", "time_ms": T0 + 1000},
        {"session": "closed", "device_id": "a", "time_ms": T0 + 2000},  # the older one
        {"session": "closed", "device_id": "a", "time_ms": T0 + 3000},
        {"session": "opened", "device_id": "b", "time_ms": T0 + 4000, "session_id": "s1"},
        *({"tick_ms": T0 + s * 1000} for s in range(10, 700, 10)),
    ]
    assert [(e["device_id"], e["kind"], (e["time_ms"] - T0) / 1000) for e in events(lines)] == [
        ("a", "device_online", 0),
        ("a", "device_offline", 3),
        ("b", "device_online", 4),
        ("b", "device_unknown", 604),
    ]


def test_rows_as_clickhouse_prints_them() -> None:
    row = {
        "device_id": DEVICE,
        "protocol": "gt06",
        "time_ms": "2026-01-01 00:00:10.000",
        "fix_time_ms": "2026-01-01 00:00:10.000",
        "device_time_ms": None,
        "received_ms": "2026-01-01 00:00:10.400",
        "valid": True,
        "latitude": 50,
        "longitude": 10,
        "satellites": 7,
        "ignition": True,
        "flags": 0,
        "moving": False,
        "alarms": ["sos"],
        "cells": [],
        "wifi": [],
        "attributes": '{"driver_id":"7"}',
    }
    assert ("alarm_raised", 10.0) in told([row])


def test_lines_of_decode_are_taken_as_they_are() -> None:
    frame = "*HQ,8800123456,V1,101112,A,5130.2500,N,00007.6500,W,019.71,045,150126,FFFFFFFF#"
    decoded = CliRunner().invoke(cli, ["decode", "--text", "-"], input=frame + "\n").stdout
    (online,) = events(decoded.splitlines())
    assert (online["kind"], online["device_id"]) == ("device_online", "8800123456")


def test_positions_with_what_derivation_says() -> None:
    rows = [json.loads(one) for one in derive(TRIP, "--positions").stdout.splitlines()]
    assert len(rows) == len(TRIP)
    assert [row["moving"] for row in rows[:3]] == [False, False, True] or rows[-1]["moving"] is False
    assert rows[5]["speed_kmh"] == 36
    zero = derive([line(0, latitude=0, longitude=0)], "--positions").stdout
    assert json.loads(zero)["flags"] == ["zero"]
    again = derive([TRIP[0], TRIP[0]], "--positions").stdout.splitlines()
    assert json.loads(again[1])["flags"] == ["duplicate"]


def test_level_alarms_are_told_by_the_line() -> None:
    levels = {"level_alarms": ["power_cut"]}
    lines = [line(0, None, **levels), line(60, None, alarms=["power_cut"], **levels), line(120, None, **levels)]
    assert [e["kind"] for e in events(lines) if e.get("subject")] == ["alarm_raised", "alarm_cleared"]


def test_alarms_that_are_states_are_raised_once_also_when_the_line_does_not_say_so() -> None:
    alarms = [[], ["low_battery", "vibration"], ["low_battery", "vibration"], ["low_battery"], []]
    lines = [line(60 * n, None, alarms=names) for n, names in enumerate(alarms)]
    assert [(e["kind"], e["subject"], (e["time_ms"] - T0) // 1000) for e in events(lines) if e.get("subject")] == [
        ("alarm_raised", "vibration", 60),
        ("alarm_raised", "low_battery", 60),
        ("alarm_raised", "vibration", 120),
        ("alarm_cleared", "low_battery", 240),
    ]
    assert not [e for e in events([line(0), line(60)]) if e["kind"].startswith(("alarm", "power"))]


def test_rules_of_a_file(tmp_path: Path) -> None:
    ring = [[9.9, 50.005], [10.1, 50.005], [10.1, 50.02], [9.9, 50.02], [9.9, 50.005]]
    depot = {"type": "Feature", "id": "depot", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}}
    rules = {
        "parameters": {"min_stop_duration_s": 60},
        "groups": [{"group_id": "vans", "parameters": {"speed_limit_kmh": 30}}],
        "devices": [{"device_id": DEVICE, "group_id": "vans"}],
        "geofences": {"type": "FeatureCollection", "features": [depot]},
    }
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(rules))
    found = events(TRIP, "--rules", str(path))
    assert {e["kind"] for e in found} >= {"geofence_entered", "geofence_exited", "overspeed_started", "overspeed_ended"}
    (started,) = [e for e in found if e["kind"] == "overspeed_started"]
    assert started["attributes"]["limit_source"] == "group"
    path.write_text('{"devices": [{}]}')
    refused = derive(TRIP, "--rules", str(path))
    assert refused.exit_code == 2
    assert f"derive: {path}: devices: entry 1: device_id is missing" in refused.output
    assert derive(TRIP, "--rules", "/nowhere.json").exit_code == 2


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ("{", "not JSON"),
        ("[1]", "a JSON object was expected"),
        ({"time_ms": 1}, "device_id is missing"),
        ({"device_id": 5}, "device_id 5 is not text"),
        (line(0, time_ms="2026-01-01T00:00:00Z"), "time_ms '2026-01-01T00:00:00Z' is no whole number of milliseconds"),
        (line(0, time_ms="2026-99-01 00:00:00"), "is no date"),
        (line(0, speed_kmh="fast"), "speed_kmh 'fast' is not a number"),
        (line(0, latitude=True), "latitude True is not a number"),
        (line(0, satellites=1.5), "satellites 1.5 is no whole number"),
        (line(0, ignition="on"), "ignition 'on' is neither true nor false"),
        (line(0, alarms="sos"), "alarms is no array of names"),
        (line(0, attributes=[1]), "attributes is no object"),
        (line(0, attributes={"a": None}), "attributes.a is neither"),
        (line(0, clock="mars"), "clock 'mars' is none of"),
        (line(0, cells=5), "cells is no array"),
        ({"tick_ms": "now"}, "tick_ms 'now' is no whole number"),
        ({"session": "open", "device_id": "a", "time_ms": 1}, "session 'open' is neither"),
        ({"session": "opened", "device_id": "a"}, "time_ms is missing"),
        ({"session": "opened", "device_id": "a", "time_ms": 1, "tim": 2}, "unknown key 'tim': is time_ms meant?"),
    ],
)
def test_a_bad_line_is_named_and_ends_it_unless_told_otherwise(bad: Any, problem: str) -> None:
    result = derive([TRIP[0], bad, *TRIP[1:]])
    assert result.exit_code == 2
    assert "standard input line 2: " in result.stderr
    assert problem in result.stderr
    kept = derive([TRIP[0], bad, *TRIP[1:]], "--keep-going")
    assert kept.exit_code == 1
    assert [json.loads(one)["kind"] for one in kept.stdout.splitlines()][-1] == "device_stopped"


def test_an_unknown_key_is_ignored_and_told_once() -> None:
    result = derive([line(0, sped_kmh=5), line(10, sped_kmh=6)])
    assert result.exit_code == 0
    assert result.stderr.count("unknown key 'sped_kmh': is speed_kmh meant?; it is ignored") == 1


def test_a_file_that_is_not_there() -> None:
    result = CliRunner().invoke(cli, ["derive", "/nowhere"])
    assert result.exit_code == 2
    assert "cannot read /nowhere" in result.output


def test_every_parameter_is_told_with_its_reason() -> None:
    docs = parameter_docs()
    assert set(docs) == {f.name for f in fields(Parameters)}
    assert all(len(text) > 20 for text in docs.values())
    shown = CliRunner().invoke(cli, ["derive", "--parameters"]).stdout
    assert "min_trip_distance_m = 200   (1 to 1e+06)" in shown
    assert "filter_static = false" in shown
    rows = CliRunner().invoke(cli, ["derive", "--parameters", "--format", "json"]).stdout.splitlines()
    assert {json.loads(row)["name"] for row in rows} == set(docs) - {"speed_limit_source"}


def test_events_come_while_the_input_goes_on() -> None:
    command = [sys.executable, "-m", "deploy.cli.main", "derive", "-"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(TRIP[0]).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["kind"] == "device_online"
        process.stdin.close()
        assert process.wait(10) == 0
