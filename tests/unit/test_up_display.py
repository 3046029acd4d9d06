"""What `lodestream up` shows: figures, events, displays."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from rich.console import Console

from deploy.local import counters, events
from deploy.local.display import PlainDisplay, line_view, steps_view
from deploy.local.events import EventRow, Seen
from deploy.local.model import Model, Phase, Step, duration, milliseconds, status_line
from deploy.local.orphans import ProcessList
from deploy.local.supervisor import Service, Spec
from schemas.records import EventBatch, Events, Source

# Figures


def page_of(registry: CollectorRegistry) -> counters.Page:
    return counters.parse(generate_latest(registry).decode())


def test_page_sums_by_labels() -> None:
    registry = CollectorRegistry()
    frames = Counter("gateway_frames", "x", ["protocol"], registry=registry)
    frames.labels("h02").inc(3)
    frames.labels("tk103").inc(4)
    frames.labels("none").inc(0)
    page = page_of(registry)
    assert page.total("gateway_frames_total") == 7
    assert page.total("gateway_frames_total", protocol="h02") == 3
    assert page.by("gateway_frames_total", "protocol") == {"h02": 3, "tk103": 4}
    assert page.total("unheard_of") == 0


def test_quantile_is_linear_within_a_bucket() -> None:
    buckets = [(0.1, 10.0), (0.2, 20.0), (float("inf"), 20.0)]
    assert counters.quantile(buckets, 0.5) == pytest.approx(0.1)
    assert counters.quantile(buckets, 0.75) == pytest.approx(0.15)
    assert counters.quantile([(0.1, 0.0), (float("inf"), 5.0)], 0.5) == pytest.approx(0.1)
    assert counters.quantile([(0.1, 0.0), (float("inf"), 0.0)], 0.5) is None
    assert counters.quantile([], 0.5) is None


def test_window_rates_percentiles_and_restart() -> None:
    registry = CollectorRegistry()
    frames = Counter("frames", "x", registry=registry)
    reply = Histogram("reply_seconds", "x", buckets=(0.1, 1.0), registry=registry)
    window = counters.Window(("frames_total",), window_s=10.0)
    reply.observe(0.5)
    window.add(0.0, page_of(registry))
    frames.inc(50)
    reply.observe(0.05)
    window.add(5.0, page_of(registry))
    assert window.rate("frames_total") == 10.0
    assert window.quantile("reply_seconds", 0.99) == pytest.approx(0.099), "the observation before it does not count"
    window.add(20.0, page_of(registry))
    window.add(40.0, page_of(registry))
    assert window.rate("frames_total") == 0.0
    fresh = CollectorRegistry()
    Counter("frames", "x", registry=fresh).inc(5)
    window.add(41.0, page_of(fresh))
    assert window.since_start("frames_total") == 55, "a restarted process begins at 0, the total does not"
    assert window.rate("frames_total") == 0.0


def test_figures_and_status_line() -> None:
    gateway = CollectorRegistry()
    Gauge("gateway_connections", "x", ["transport"], registry=gateway).labels("tcp").set(20)
    sink = CollectorRegistry()
    rows = Counter("sink_rows", "x", ["table"], registry=sink)
    rows.labels("positions").inc(90)
    rows.labels("events").inc(5)
    figures = counters.Counters().add(0.0, {"gateway": page_of(gateway), "track": None, "sink": page_of(sink)})
    assert figures.connections_tcp == 20
    assert figures.positions == 90
    line = status_line(figures)
    assert "connections 20 tcp 0 udp" in line
    assert "positions 90" in line
    assert "no metrics from track" in line


def test_figures_for_people() -> None:
    assert [milliseconds(value) for value in (None, 0.0123, 1.25)] == ["-", "12 ms", "1.2 s"]
    assert duration(3725.9) == "1:02:05"
    assert events.figure("speed_max_kmh", 131.4) == "speed max 131 km/h"
    assert events.figure("distance_m", 12_345.0) == "distance 12.3 km"
    assert events.figure("duration_s", 600.0) == "duration 10 min"
    assert events.figure("late", True) == "late"
    assert events.figure("limit_source", "server") == "limit source server"


# Events and displays


def batch() -> EventBatch:
    rows = Events(
        ["1", "2"], ["overspeed_ended", "alarm_raised"], [1000, 2000], ["", "sos"], [1, 2], [0, 0], [0, 0], [0, 1],
        ['{"speed_max_kmh": 120.2}', ""],
    )  # fmt: skip
    return EventBatch(Source(0, 0, 0), rows)


def test_events_of_a_record_and_repeats() -> None:
    first, second = events.rows_of(batch())
    assert first.figures == "speed max 120 km/h"
    assert second.figures == "sos"
    assert second.replayed
    seen = Seen(most=1)
    assert seen.is_new(first)
    assert not seen.is_new(first), "a range that is processed again repeats its events"
    assert seen.is_new(second)
    assert seen.is_new(first), "memory is bounded"


def model(tmp_path: Path) -> Model:
    spec = Spec("part", "Part", [], {}, tmp_path)
    part = Service(spec, tmp_path / "part.log", ProcessList(tmp_path), lambda _text: None)
    steps = {"kafka": Step("Kafka"), "gateway": Step("Gateway")}
    return Model(steps, [part], [("devices", "port 8888")])


def test_plain_display(tmp_path: Path) -> None:
    shown, out = model(tmp_path), io.StringIO()
    display = PlainDisplay(shown, out)
    shown.steps["kafka"].begin()
    shown.steps["kafka"].detail = "downloading 1/46"
    display.refresh()
    display.refresh()
    shown.steps["kafka"].end(Phase.DONE)
    display.refresh()
    shown.ready_s = 1.5
    display.refresh()
    display.show_events(list(events.rows_of(batch())), False)
    display.show_events(list(events.rows_of(batch())), True)
    lines = out.getvalue().splitlines()
    assert lines[:4] == [
        "Kafka: downloading 1/46",
        "Kafka: ready, 0.0 s",
        "ready in 1.5 s",
        "  devices      port 8888",
    ]
    assert [line.split(maxsplit=1)[1] for line in lines[4:]] == [
        "event 1 overspeed_ended speed max 120 km/h",
        "event 2 alarm_raised sos",
    ]


def test_plain_display_outlives_its_reader(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        PlainDisplay(model(tmp_path), out).note("nobody reads this")


def test_live_views_fit_a_terminal(tmp_path: Path) -> None:
    shown = model(tmp_path)
    shown.events.extend(events.rows_of(batch()))
    shown.events.append(EventRow(3000, "[bold]hostile", "alarm_raised", "x" * 200))
    shown.notes.append("12:00:00 Gateway ended")
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=False)
    console.print(steps_view(shown))
    console.print(line_view(shown, 5))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    for part in ("Kafka", "port 8888", "overspeed_ended", "speed max 120 km/h", "[bold]hostile", "Gateway ended"):
        assert part in text
