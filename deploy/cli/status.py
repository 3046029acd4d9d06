"""`lodestream status`: the line at a glance, in plain words, and what to do about what is wrong."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from clickhouse_connect.driver.exceptions import Error as ClickHouseError
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from deploy.local.counters import Page, fetch, quantile
from deploy.local.model import duration, milliseconds
from schemas.clients import clickhouse
from schemas.clients.kafka import KafkaError, KafkaUnavailable, TopicPartition, assigned_consumer, partition_counts
from schemas.topics import EVENTS, FRAMES, POSITIONS, REJECTED, SESSIONS, TOPICS

METRICS_URLS = tuple(f"http://127.0.0.1:{port}/metrics" for port in (9101, 9102, 9103))
GROUP = "lodestream"
ROLE_TOPICS = {"track": (FRAMES,), "sink": (POSITIONS, EVENTS, REJECTED, SESSIONS)}
VIEWS = ("positions", "events", "rejected", "sessions")
KAFKA_TIMEOUT_S = 10.0
COUNT_S = 10
LAG_RECORDS = 1000
"""More waiting records than this are worth a sentence."""
WIDTH = 100


@dataclass(slots=True)
class TopicState:
    """Partitions and records of a topic, kept and ever written."""

    partitions: int
    kept: int
    ever: int


@dataclass(slots=True)
class KafkaState:
    """What Kafka tells. lags: records that wait, by role; None: that role has never committed."""

    topics: dict[str, TopicState] = field(default_factory=dict)
    lags: dict[str, int | None] = field(default_factory=dict)
    error: str = ""


@dataclass(slots=True)
class StoreState:
    """What ClickHouse tells. rows: by view, None where counting took too long; newest_age_s: of the last arrival."""

    version: str = ""
    rows: dict[str, int | None] = field(default_factory=dict)
    devices: int | None = None
    newest_age_s: float | None = None
    error: str = ""


@dataclass(slots=True)
class Report:
    """Everything seen, and the sentences about what is wrong; `down`: a part does not answer."""

    kafka: KafkaState
    store: StoreState
    pages: dict[str, Page | None]
    problems: list[str] = field(default_factory=list)
    down: bool = False


def run(bootstrap: str, url: str, metrics_urls: list[str]) -> int:
    """Print the state; returns 1 when a part is down, else 0."""
    logging.disable(logging.CRITICAL)  # the libraries' own words for what is told here in plain ones
    report = asyncio.run(_gather(bootstrap, url, metrics_urls or list(METRICS_URLS)))
    judge(report, bootstrap, url)
    console = Console(width=min(Console().width, WIDTH), highlight=False)
    for section in (kafka_section(report.kafka), store_section(report.store), *process_sections(report.pages)):
        console.print(section)
        console.print()
    for problem in report.problems:
        console.print(Text(problem, "red" if report.down else "yellow"))
    if not report.problems:
        console.print(Text("All parts answer, nothing waits, nothing failed.", "green"))
    return 1 if report.down else 0


async def _gather(bootstrap: str, url: str, metrics_urls: Sequence[str]) -> Report:
    kafka = asyncio.create_task(_kafka_state(bootstrap))
    store = asyncio.create_task(asyncio.to_thread(_store_state, url))
    pages = await asyncio.gather(*(asyncio.to_thread(fetch, one) for one in metrics_urls))
    return Report(await kafka, await store, dict(zip(metrics_urls, pages, strict=True)))


# -- Kafka ----------------------------------------------------------------------------------------------------------


async def _kafka_state(bootstrap: str) -> KafkaState:
    state = KafkaState()
    try:
        async with asyncio.timeout(KAFKA_TIMEOUT_S):
            counts = await partition_counts(bootstrap)
            await _read_topics(bootstrap, counts, state)
    except KafkaUnavailable:
        state.error = f"no broker answers at {bootstrap}"
    except (KafkaError, OSError) as error:
        state.error = reason(error)
    except TimeoutError:
        state.error = f"{bootstrap} did not answer within {KAFKA_TIMEOUT_S:g} s"
    return state


async def _read_topics(bootstrap: str, counts: dict[str, int], state: KafkaState) -> None:
    consumer: AIOKafkaConsumer = assigned_consumer(bootstrap)
    await consumer.start()
    try:
        ends: dict[TopicPartition, int] = {}
        for name in (name for name in TOPICS if name in counts):
            parts = [TopicPartition(name, number) for number in range(counts[name])]
            begin, end = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
            ends |= end
            state.topics[name] = TopicState(len(parts), sum(end[p] - begin[p] for p in parts), sum(end.values()))
    finally:
        await consumer.stop()
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        for role, topics in ROLE_TOPICS.items():
            committed = await admin.list_consumer_group_offsets(f"{GROUP}-{role}")
            state.lags[role] = _lag(committed, ends, topics)
    finally:
        await admin.close()


def _lag(committed: dict[Any, Any], ends: dict[Any, int], topics: Sequence[str]) -> int | None:
    """Records that wait for a role; None when it has never committed. Partitions without a commit wait in full."""
    own: dict[Any, int] = {
        part: entry.offset for part, entry in committed.items() if part.topic in topics and entry.offset >= 0
    }
    if not own:
        return None
    return sum(max(0, end - own.get(part, 0)) for part, end in ends.items() if part.topic in topics)


def kafka_section(state: KafkaState) -> RenderableType:
    """Topics and lags."""
    if state.error:
        return _failed("Kafka", state.error)
    table = _table("topic", "partitions", "records kept", "ever written")
    table.add_column("read by")
    readers = {topic: role for role, topics in ROLE_TOPICS.items() for topic in topics}
    for name in TOPICS:
        topic = state.topics.get(name)
        if topic is None:
            table.add_row(name, Text("missing", "red"), "", "", "")
        else:
            table.add_row(name, str(topic.partitions), f"{topic.kept:,}", f"{topic.ever:,}", readers.get(name, ""))
    waits = ", ".join(f"{role} {'never ran' if lag is None else f'{lag:,}'}" for role, lag in state.lags.items())
    return _section("Kafka", table, f"records that wait: {waits}")


# -- ClickHouse -----------------------------------------------------------------------------------------------------


def _store_state(url: str) -> StoreState:
    state = StoreState()
    try:
        client = clickhouse.connect(url)
        state.version = str(client.server_version)
        for view in VIEWS:
            state.rows[view] = _count(client, view)
        devices, newest_ms = client.query(
            "SELECT count(), toUnixTimestamp64Milli(max(received_ms)) FROM lodestream.latest"
        ).result_rows[0]
        state.devices = int(devices)
        state.newest_age_s = time.time() - newest_ms / 1000 if devices else None
    except Exception as error:  # the driver's and urllib3's; whatever it is, ClickHouse cannot be used
        state.error = reason(error)
    return state


def _count(client: clickhouse.Client, view: str) -> int | None:
    """Rows of a view, duplicates left out; None when counting takes too long."""
    try:
        return int(client.command(f"SELECT count() FROM lodestream.{view}", settings={"max_execution_time": COUNT_S}))
    except ClickHouseError as error:
        if error.code == 159:  # TIMEOUT_EXCEEDED
            return None
        raise


def store_section(state: StoreState) -> RenderableType:
    """Rows and the newest arrival."""
    if state.error:
        return _failed("ClickHouse", state.error)
    table = _table("view", "rows")
    for view, rows in state.rows.items():
        table.add_row(f"lodestream.{view}", f"more than {COUNT_S} s to count" if rows is None else f"{rows:,}")
    age = "no position yet" if state.newest_age_s is None else f"newest position {_age(state.newest_age_s)} old"
    return _section(f"ClickHouse {state.version}", table, f"{state.devices or 0:,} devices with a position, {age}")


def _age(seconds: float) -> str:
    return milliseconds(max(0.0, seconds)) if seconds < 60 else duration(seconds)


# -- processes ------------------------------------------------------------------------------------------------------


def role_of(page: Page) -> str:
    """Which process a page is of, by its metrics."""
    for role in ("gateway", "track", "sink"):
        if any(name.startswith(f"{role}_") for name in page.samples):
            return role
    return "unknown"


def process_sections(pages: dict[str, Page | None]) -> list[RenderableType]:
    """One section a process."""
    sections: list[RenderableType] = []
    for url, page in pages.items():
        if page is None:
            sections.append(_failed(url, "does not answer"))
            continue
        role = role_of(page)
        table = Table(box=None, padding=_PADDING, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in _ROWS.get(role, lambda _page: [])(page):
            table.add_row(name, text)
        sections.append(_section(f"{role} {url}", table))
    return sections


def _gateway_rows(page: Page) -> list[tuple[str, str]]:
    replies = page.buckets("gateway_reply_seconds")
    return [
        ("connections", _by(page, "gateway_connections", "transport")),
        ("frames", _by(page, "gateway_frames_total", "protocol")),
        ("unknown bytes", f"{page.total('gateway_unknown_bytes_total'):,.0f}"),
        ("reply", f"p50 {milliseconds(quantile(replies, 0.5))}, p99 {milliseconds(quantile(replies, 0.99))}"),
        ("replies dropped", _by(page, "gateway_replies_dropped_total", "reason")),
        ("datagrams dropped", _by(page, "gateway_udp_dropped_total", "reason")),
        ("connections not read", f"{page.total('gateway_paused_connections'):,.0f}"),
        ("failed sends", f"{page.total('gateway_produce_failures_total'):,.0f}"),
    ]


def _track_rows(page: Page) -> list[tuple[str, str]]:
    return [
        ("devices", f"{page.total('track_devices'):,.0f}"),
        ("frames", _by(page, "track_frames_total", "protocol")),
        ("positions", f"{page.total('track_positions_total'):,.0f}"),
        ("events", _by(page, "track_events_total", "kind")),
        ("rejected", _by(page, "track_rejected_total", "reason")),
        ("records that wait", f"{page.total('track_lag_records'):,.0f}"),
        ("failed sends", f"{page.total('track_send_failures_total'):,.0f}"),
        ("lost to retention", f"{page.total('track_missing_records_total'):,.0f} records"),
    ]


def _sink_rows(page: Page) -> list[tuple[str, str]]:
    ages = page.buckets("sink_receipt_to_queryable_seconds", table="positions")
    return [
        ("rows stored", _by(page, "sink_rows_total", "table")),
        ("queryable", f"p50 {milliseconds(quantile(ages, 0.5))}, p99 {milliseconds(quantile(ages, 0.99))}"),
        ("rows refused", _by(page, "sink_rejected_rows_total", "table")),
        ("records that wait", f"{page.total('sink_lag_records'):,.0f}"),
        ("failed inserts", _by(page, "sink_insert_failures_total", "kind")),
        ("lost to retention", f"{page.total('sink_missing_records_total'):,.0f} records"),
    ]


_ROWS = {"gateway": _gateway_rows, "track": _track_rows, "sink": _sink_rows}


def _by(page: Page, name: str, label: str) -> str:
    return ", ".join(f"{key} {value:,.0f}" for key, value in sorted(page.by(name, label).items())) or "none"


_PADDING = (0, 2, 0, 2)


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None, padding=_PADDING, header_style="dim")
    table.add_column(first, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _section(title: str, table: Table, below: str = "") -> RenderableType:
    parts: list[RenderableType] = [Text(title, "bold"), table]
    return Group(*parts, Padding(below, _PADDING)) if below else Group(*parts)


def _failed(title: str, error: str) -> RenderableType:
    return Group(Text(title, "bold"), Padding(Text(error, "red"), _PADDING))


def reason(error: BaseException) -> str:
    """What an error says, in a line: the system's words when a connection failed, else the first line."""
    text = str(error).strip()
    if system := re.search(r"\[Errno -?\d+\] ([^\"'()\[\],]+)", text):
        return system.group(1).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__


# -- judgement ------------------------------------------------------------------------------------------------------


def judge(report: Report, bootstrap: str, url: str) -> None:
    """Fill in what is wrong and what to do, most urgent first."""
    say = report.problems.append
    kafka, store = report.kafka, report.store
    if kafka.error:
        report.down = True
        say(f"Kafka does not answer at {bootstrap}: devices are not answered. Start it (`lodestream up`), or --kafka.")
    elif missing := [name for name in TOPICS if name not in kafka.topics]:
        report.down = True
        say(f"Topics are missing ({', '.join(missing)}): run `lodestream topics create`.")
    if store.error:
        report.down = True
        if "UNKNOWN_TABLE" in store.error or "UNKNOWN_DATABASE" in store.error:
            say(f"ClickHouse at {url} has no tables: run `lodestream migrate`.")
        else:
            say(f"ClickHouse cannot be used at {url}: positions wait in Kafka. Start it, or --clickhouse.")
    if silent := [address for address, page in report.pages.items() if page is None]:
        report.down = True
        say(
            f"No metrics at {', '.join(silent)}: is it running? Its log says why it ended. --metrics names other pages."
        )
    for role, lag in kafka.lags.items():
        if lag is not None and lag > LAG_RECORDS:
            say(f"{lag:,} records wait for the {role} role: start more workers, or look at their logs.")
    for page in report.pages.values():
        if page is not None:
            report.problems += _page_problems(page)


def _page_problems(page: Page) -> list[str]:
    problems = []
    if page.total("gateway_paused_connections"):
        problems.append("The gateway does not read some connections: Kafka is away or slow, or devices do not read.")
    if unknown := page.total("gateway_unknown_bytes_total"):
        problems.append(f"{unknown:,.0f} bytes were of no known protocol: SELECT * FROM lodestream.rejected has them.")
    if rejected := page.total("track_rejected_total"):
        problems.append(f"{rejected:,.0f} frames did not decode: SELECT * FROM lodestream.rejected says why.")
    if lost := page.total("track_missing_records_total") + page.total("sink_missing_records_total"):
        problems.append(f"{lost:,.0f} records were removed by retention before they were read: workers were too slow.")
    if refused := page.total("sink_insert_failures_total", kind="refused"):
        problems.append(f"ClickHouse refused {refused:,.0f} requests: the sink worker's log says which rows and why.")
    return problems
