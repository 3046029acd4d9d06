"""What is wrong with the line, and what to do about it: sentences, most urgent first. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from deploy.cli.status.model import KafkaState, Report, StoreState
from deploy.local.counters import Page
from deploy.local.webhook import AWAY_S
from schemas.errors import Reason
from schemas.topics import TOPICS

LAG_RECORDS = 1000
"""More waiting records than this are worth a sentence."""
STEADY_PER_S = 1.0
"""A lag that changes by less than this in a second neither grows nor falls."""


def judge(report: Report, bootstrap: str, url: str) -> None:
    """Fill in `problems` and `down`."""
    kafka, store = report.kafka, report.store
    missing = [name for name in TOPICS if name not in kafka.topics]
    silent = [address for address, window in report.pages.items() if window is None]
    report.down = bool(kafka.error or missing or store.error or silent)
    report.problems = [*_parts(report, missing, silent, bootstrap, url), *_lags(kafka)]
    for window in report.pages.values():
        if window is not None:
            report.problems += _process(window.page)
    if not store.error:
        report.problems += _unread(store)


def _parts(report: Report, missing: list[str], silent: list[str], bootstrap: str, url: str) -> Iterator[str]:
    """Parts that do not answer, or are not set up."""
    store = report.store
    if report.kafka.error:
        yield (
            f"Kafka does not answer at {bootstrap}: devices are not answered. Start it (`lodestream up`), or --kafka."
        )
    elif missing:
        yield f"Topics are missing ({', '.join(missing)}): run `lodestream topics create`."
    if store.error:
        if "UNKNOWN_TABLE" in store.error or "UNKNOWN_DATABASE" in store.error:
            yield f"ClickHouse at {url} has no tables: run `lodestream migrate`."
        else:
            yield f"ClickHouse cannot be used at {url}: positions wait in Kafka. Start it, or --clickhouse."
    if silent:
        yield f"No metrics at {', '.join(silent)}: is it running? Its log says why it ended. --metrics names other pages."


def _lags(kafka: KafkaState) -> Iterator[str]:
    for role, lag in kafka.lags.items():
        if lag is None or lag <= LAG_RECORDS:
            continue
        change = kafka.lag_changes.get(role, 0.0)
        if change <= -STEADY_PER_S:
            falls = f"{-change:,.0f} fewer a second: in {lag / -change:,.0f} s it is done"
            yield f"{lag:,} records wait for the {role} role, {falls}."
        else:
            grows = f", {change:,.0f} more a second" if change >= STEADY_PER_S else ""
            yield f"{lag:,} records wait for the {role} role{grows}: start more workers, or look at their logs."


def _process(page: Page) -> Iterator[str]:
    """What a metrics page tells that is wrong."""
    if page.total("gateway_paused_connections"):
        yield "The gateway does not read some connections: Kafka is away or slow, or devices do not read."
    if lost := page.total("track_missing_records_total") + page.total("sink_missing_records_total"):
        yield f"{lost:,.0f} records were removed by retention before they were read: workers were too slow."
    if refused := page.total("sink_insert_failures_total", kind="refused"):
        yield f"ClickHouse refused {refused:,.0f} requests: the sink worker's log says which rows and why."
    if page.total("webhook_retry_seconds") > AWAY_S:
        yield "The webhook's receiver takes nothing: events wait in Kafka and are tried again."


def _unread(store: StoreState) -> Iterator[str]:
    """What nobody could read in the last hour, and from whom."""
    rejected = {reason: count for reason, count in store.rejected.items() if reason != Reason.UNDECIDED}
    if rejected:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in rejected.items())
        count = f"{sum(rejected.values()):,} frames of the last hour"
        yield f"{count} did not decode ({reasons}): `lodestream rejected --since 1h` says why."
    if store.strangers:
        addresses = ", ".join(
            f"{s.address} ({s.protocol or 'unknown protocol'}, {s.sessions}x)" for s in store.strangers
        )
        more = store.stranger_count - len(store.strangers)
        others = f" and {more:,} more" if more > 0 else ""
        yield (
            f"In the last hour {addresses}{others} sent something and never said who they are: "
            f"`lodestream doctor {store.strangers[0].address}` tells more."
        )
