"""Events as lines for people, and their vocabulary."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.cli.events import span, text_line
from deploy.cli.main import cli
from schemas.events import KINDS

DERIVE = Path(__file__).parent.parent.parent / "processors" / "derive"


def test_a_line_tells_figures_in_words_and_units() -> None:
    stopped = {
        "device_id": "356938035643809",
        "kind": "device_stopped",
        "time_ms": 1_768_471_872_000,
        "latitude": 51.5,
        "longitude": -0.125,
        "attributes": {"distance_m": 12_345.6, "duration_s": 1080.0, "speed_max_kmh": 87.5, "speed_average_kmh": 41.2},
    }
    line = text_line(stopped)
    assert "356938035643809  device_stopped" in line
    assert line.endswith("51.50000,-0.12500      12.3 km, for 18 min, max 87.5 km/h, average 41.2 km/h")
    assert "alarm_raised sos" in text_line({"device_id": "a", "kind": "alarm_raised", "subject": "sos", "time_ms": 0})


@pytest.mark.parametrize(
    ("seconds", "words"), [(45, "45 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (2e5, "2.31 d")]
)
def test_spans(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_an_unknown_kind_is_refused_with_the_list() -> None:
    result = CliRunner().invoke(cli, ["events", "--kind", "geofence_enter"])
    assert result.exit_code == 2
    assert "unknown kind 'geofence_enter'; there are device_moving," in result.output
    shown = CliRunner().invoke(cli, ["events", "--kinds"]).output
    assert all(kind in shown for kind in KINDS)


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
