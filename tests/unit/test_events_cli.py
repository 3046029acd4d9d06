"""Events as lines for people, and their vocabulary."""

from __future__ import annotations

import ast
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from deploy.cli.event_text import WIDEST, WIDTHS, Lines, distance, figures, printable, span
from deploy.cli.events import events_of, json_line
from deploy.cli.main import cli
from schemas.events import KINDS
from schemas.records import Event
from tests.unit.test_webhook import ABSENT, batch

DERIVE = Path(__file__).parent.parent.parent / "processors" / "derive"
NOW_MS = 1_768_471_872_000


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Local time is that of Kolkata: neither UTC nor whole hours away from it."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# Words


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        (
            {"distance_m": 12_345.6, "duration_s": 1080.0, "speed_max_kmh": 87.4, "speed_average_kmh": 41.2},
            "12.3 km in 18 min, max 87 km/h, average 41 km/h",
        ),
        (
            {"speed_kmh": 96.4, "limit_kmh": 80.0, "limit_source": "device_sent"},
            "96 km/h, limit 80 km/h, set by device sent",
        ),
        ({"name": "Depot", "duration_s": 7260}, "Depot, for 2.02 h"),
        ({"name": "Depot", "dwell_s": 1800.0}, "Depot, for 30 min"),
        ({"silent_s": 600, "count": 2}, "silent for 10 min, count 2"),
        ({"before_percent": 61.2, "after_percent": 47.9, "change_percent": -13.3}, "from 61 to 48 %"),
        ({"before_l": 61.25, "after_l": 40.0, "change_l": -21.25}, "from 61.2 to 40.0 l"),
        ({"evidence": "power_v", "power_v": 2.04}, "2.0 V, by power v"),
        ({"distance_m": 30_000, "period_m": 15_000, "count": 2}, "30.0 km, every 15.0 km, count 2"),
        ({"driver_id": "77", "driver_name": "Ada", "previous_driver_id": "76"}, "Ada, before: 76"),
        ({"result": "OK!", "late": True}, "OK!, late"),
        ({"temperature_c": 21.26}, "temperature 21.3 °C"),
        ({"speed_kmh": "fast", "name": 5, "duration_s": True, "a": [1]}, "speed fast, name 5, duration, a [1]"),
        ({}, ""),
    ],
)
def test_figures_in_words_and_units(attributes: dict[str, Any], words: str) -> None:
    assert figures(attributes) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(45, "45 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (2e5, "2.31 d")]
)
def test_spans(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_distances() -> None:
    assert [distance(m) for m in (0.4, 999, 1000, 12_345.6)] == ["0 m", "999 m", "1.0 km", "12.3 km"]


def test_a_line_has_time_device_kind_subject_figures_and_place() -> None:
    told = {"distance_m": 12_345.6, "duration_s": 1080.0}
    event = Event("356938035643809", "device_stopped", NOW_MS, "", NOW_MS, 51.5, -0.125, told)
    assert Lines().line(event) == (
        "2026-01-15 15:41:12  356938035643809  device_stopped               12.3 km in 18 min"
        "                         51.50000,-0.12500"
    )
    bare = Lines().line(Event("a", "alarm_raised", NOW_MS, "sos"))
    assert bare == "2026-01-15 15:41:12  a                alarm_raised       sos"


def test_columns_stay_under_each_other() -> None:
    short = Event("1", "power_cut", 0, "", 0, 1.0, 2.0)
    long = Event("d" * 30, "alarm_raised", 0, "hard_acceleration", 0, 1.0, 2.0)
    lines = Lines()
    lines.make_room([short, long])
    assert lines.line(short).index("1.00000,2") == lines.line(long).index("1.00000,2")
    before = lines.line(short)
    lines.line(Event("x" * 500, "power_cut", 0))
    after = lines.line(short)
    assert len(before) < len(after) <= len(before) + WIDEST - WIDTHS[1], "one hostile name moves the others so far"


def test_nothing_that_a_terminal_obeys_is_printed() -> None:
    hostile = "\x1b[2J\x07\r\n\x9b1A\u202eü"
    assert printable(hostile) == r"\x1b[2J\x07\r\n\x9b1A\u202eü"
    event = Event(hostile, "alarm_raised", 0, hostile, attributes={"result": hostile, hostile: hostile})
    assert Lines().line(event).isprintable()
    assert len(printable("x" * 1000)) == 120


def test_a_date_that_no_calendar_has_is_shown_as_a_number() -> None:
    assert Lines().line(Event("a", "power_cut", 2**62)).startswith(f"{2**62} ms  a ")


def test_json_has_the_names_of_the_contract_always() -> None:
    event = Event("a", "alarm_raised", 5, "sos", 6, 51.5, 0.25, {"late": True})
    assert json.loads(json_line(event)) == {
        "device_id": "a",
        "kind": "alarm_raised",
        "time_ms": 5,
        "subject": "sos",
        "received_ms": 6,
        "latitude": 51.5,
        "longitude": 0.25,
        "attributes": {"late": True},
    }
    bare = json.loads(json_line(Event("a", "device_online", 5)))
    assert (bare["subject"], bare["latitude"], bare["longitude"], bare["attributes"]) == ("", None, None, {})


def test_events_of_a_record() -> None:
    record = batch(("a", "alarm_raised", 5, "sos", 515_000_000), ("b", "device_online", 6, "", ABSENT))
    record.events.attributes[0] = '{"late":true}'
    assert list(events_of(record)) == [
        Event("a", "alarm_raised", 5, "sos", 5, 51.5, 51.5, {"late": True}),
        Event("b", "device_online", 6, "", 6),
    ]


# Options


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--kind", "geofence_enter"), "unknown kind 'geofence_enter'; there are device_moving,"),
        (("--follow", "--kind", "sos"), "unknown kind 'sos'; there are device_moving,"),
        (("--from", "noon"), "--from 'noon' is no time"),
        (("--limit", "-1"), "--limit"),
    ],
)
def test_wrong_options_are_one_message(arguments: tuple[str, ...], problem: str) -> None:
    result = CliRunner().invoke(cli, ["events", *arguments])
    assert result.exit_code == 2
    assert problem in result.output
    assert "Traceback" not in result.output


def test_the_kinds_are_listed() -> None:
    shown = CliRunner().invoke(cli, ["events", "--kinds"]).output
    assert [line.split()[0] for line in shown.splitlines()] == list(KINDS)


def test_the_vocabulary_holds_what_derivation_raises() -> None:
    texts = set()
    for path in DERIVE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                for argument in ast.walk(node):
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        texts.add(argument.value)
            elif isinstance(node, ast.Tuple | ast.IfExp | ast.Assign):
                texts |= {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    assert set(KINDS) <= texts
    prefixes = ("device_", "geofence_", "overspeed_", "fuel_", "power_", "ignition_")
    endings = ("moving", "stopped", "entered", "exited", "crossed", "dwell", "online", "offline", "unknown", "inactive")
    raised = {t for t in texts if t.startswith(prefixes) and t.endswith(endings)}
    assert raised <= set(KINDS)
