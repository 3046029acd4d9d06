"""What `lodestream status` says of what it sees, and how it shows it."""

from __future__ import annotations

import io

from prometheus_client import CollectorRegistry, Counter, Gauge
from rich.console import Console

from deploy.cli.status import kafka, layout, processes, store
from deploy.cli.status.judge import judge
from deploy.cli.status.model import KafkaState, Report, StoreState, Stranger, TopicState
from deploy.cli.status.run import as_json
from deploy.local.counters import Window
from schemas.clients.kafka import TopicPartition
from schemas.topics import TOPICS
from tests.unit.test_up_display import page_of


def window_of(registry: CollectorRegistry) -> Window:
    window = Window()
    window.add(0.0, page_of(registry))
    return window


def healthy() -> Report:
    topics = {name: TopicState(8, 5, 5) for name in TOPICS}
    lags: dict[str, int | None] = {"track": 0, "sink": 3, "webhook": None}
    return Report(KafkaState(topics, lags), StoreState("26"), {"u": window_of(CollectorRegistry())})


def shown(report: Report) -> str:
    console = Console(width=110, file=io.StringIO())
    for section in (kafka.show(report.kafka), store.show(report.store), *processes.show(report.pages)):
        console.print(section)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_what_does_not_answer_is_told_with_what_to_do() -> None:
    report = Report(
        KafkaState(error="no broker answers"),
        StoreState(error="Code: 60. DB::Exception: UNKNOWN_TABLE"),
        {"http://x:1/metrics": None},
    )
    judge(report, "k:9092", "http://c:8123")
    assert report.down
    text = "\n".join(report.problems)
    for part in ("Kafka does not answer at k:9092", "lodestream migrate", "No metrics at http://x:1/metrics"):
        assert part in text
    assert "does not answer" in shown(report)
    assert as_json(report)["processes"] == {"http://x:1/metrics": None}


def test_a_healthy_line_has_no_problems() -> None:
    report = healthy()
    judge(report, "k", "c")
    assert (report.down, report.problems) == (False, [])
    assert "webhook" not in shown(report), "nobody ran one"


def test_a_lag_is_told_with_where_it_goes() -> None:
    report = healthy()
    report.kafka.lags["sink"] = 5000
    judge(report, "k", "c")
    assert not report.down, "behind is not down"
    assert report.problems == ["5,000 records wait for the sink role: start more workers, or look at their logs."]
    report.kafka.lag_changes["sink"] = 20.0
    judge(report, "k", "c")
    assert "20 more a second: start more workers" in report.problems[0]
    report.kafka.lag_changes["sink"] = -100.0
    judge(report, "k", "c")
    assert report.problems == ["5,000 records wait for the sink role, 100 fewer a second: in 50 s it is done."]


def test_what_nobody_could_read_in_the_last_hour_is_told_with_who_sent_it() -> None:
    report = healthy()
    report.store.rejected = {"undecided": 9, "bad_checksum": 3, "not_decoded": 1}
    report.store.strangers = [Stranger("203.0.113.9", "", 7), Stranger("203.0.113.8", "http", 1)]
    report.store.stranger_count = 4
    judge(report, "k", "c")
    assert report.problems[0].startswith("4 frames of the last hour did not decode (bad_checksum 3, not_decoded 1)")
    assert "203.0.113.9 (unknown protocol, 7x), 203.0.113.8 (http, 1x) and 2 more" in report.problems[1]
    assert "lodestream doctor 203.0.113.9" in report.problems[1]


def test_rates_are_of_the_time_between_two_readings() -> None:
    registry = CollectorRegistry()
    events = Counter("webhook_events", "x", ["outcome"], registry=registry)
    Gauge("webhook_retry_seconds", "x", registry=registry).set(45)
    window = Window()
    window.add(0.0, page_of(registry))
    events.labels("taken").inc(30)
    window.add(2.0, page_of(registry))
    report = healthy()
    report.pages["u"] = window
    judge(report, "k", "c")
    assert report.problems == ["The webhook's receiver takes nothing: events wait in Kafka and are tried again."]
    text = shown(report)
    assert "webhook u" in text
    assert "15.0/s now; taken 30" in text
    assert as_json(report)["processes"]["u"]["per_s"] == {"webhook_events_total": 15.0}


def test_a_role_that_never_committed_waits_for_nothing() -> None:
    ends = {TopicPartition("frames", 0): 10, TopicPartition("frames", 1): 5, TopicPartition("events", 0): 99}

    class Committed:
        def __init__(self, offset: int) -> None:
            self.offset = offset

    assert kafka.lag_of({}, ends, ("frames",)) is None
    assert kafka.lag_of({TopicPartition("frames", 0): Committed(-1)}, ends, ("frames",)) is None
    assert kafka.lag_of({TopicPartition("frames", 0): Committed(7)}, ends, ("frames",)) == 3 + 5


def test_reasons_are_one_line() -> None:
    text = 'HTTPConnectionPool(...): (Caused by X("Failed: [Errno 111] Connection refused")) executing\nmore'
    assert layout.reason(RuntimeError(text)) == "Connection refused"
    assert layout.reason(RuntimeError("a\nb")) == "a"
    assert layout.reason(RuntimeError()) == "RuntimeError"
