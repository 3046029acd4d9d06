"""The metrics pages of gateways and workers, with what happens a second."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import RenderableType
from rich.table import Table

from deploy.cli.status.layout import PADDING, failed, section
from deploy.local.counters import Page, Window, quantile
from deploy.local.model import duration, milliseconds

ROLES = ("gateway", "track", "sink", "webhook")


def role_of(page: Page) -> str:
    """Which process a page is of, by its metrics."""
    for role in ROLES:
        if any(name.startswith(f"{role}_") for name in page.samples):
            return role
    return "unknown"


def show(pages: dict[str, Window | None]) -> list[RenderableType]:
    """One section a process."""
    sections: list[RenderableType] = []
    for url, window in pages.items():
        if window is None:
            sections.append(failed(url, "does not answer"))
            continue
        role = role_of(window.page)
        rows = Table(box=None, padding=PADDING, show_header=False)
        rows.add_column(no_wrap=True)
        rows.add_column(overflow="fold")
        for name, text in _ROWS[role](window) if role in _ROWS else ():
            rows.add_row(name, text)
        sections.append(section(f"{role} {url}", rows))
    return sections


def _gateway_rows(window: Window) -> list[tuple[str, str]]:
    page = window.page
    replies = page.buckets("gateway_reply_seconds")
    return [
        ("connections", _by(page, "gateway_connections", "transport")),
        ("frames", _flow(window, "gateway_frames_total", "protocol")),
        ("unknown bytes", f"{page.total('gateway_unknown_bytes_total'):,.0f}"),
        ("reply", f"p50 {milliseconds(quantile(replies, 0.5))}, p99 {milliseconds(quantile(replies, 0.99))}"),
        ("replies dropped", _by(page, "gateway_replies_dropped_total", "reason")),
        ("datagrams dropped", _by(page, "gateway_udp_dropped_total", "reason")),
        ("connections not read", f"{page.total('gateway_paused_connections'):,.0f}"),
        ("failed sends", f"{page.total('gateway_produce_failures_total'):,.0f}"),
    ]


def _track_rows(window: Window) -> list[tuple[str, str]]:
    page = window.page
    return [
        ("devices", f"{page.total('track_devices'):,.0f}"),
        ("frames", _flow(window, "track_frames_total", "protocol")),
        ("positions", f"{page.total('track_positions_total'):,.0f}"),
        ("events", _flow(window, "track_events_total", "kind")),
        ("rejected", _by(page, "track_rejected_total", "reason")),
        ("records that wait", f"{page.total('track_lag_records'):,.0f}"),
        ("failed sends", f"{page.total('track_send_failures_total'):,.0f}"),
        ("lost to retention", f"{page.total('track_missing_records_total'):,.0f} records"),
    ]


def _sink_rows(window: Window) -> list[tuple[str, str]]:
    page = window.page
    ages = page.buckets("sink_receipt_to_queryable_seconds", table="positions")
    return [
        ("rows stored", _flow(window, "sink_rows_total", "table")),
        ("queryable", f"p50 {milliseconds(quantile(ages, 0.5))}, p99 {milliseconds(quantile(ages, 0.99))}"),
        ("rows refused", _by(page, "sink_rejected_rows_total", "table")),
        ("records that wait", f"{page.total('sink_lag_records'):,.0f}"),
        ("failed inserts", _by(page, "sink_insert_failures_total", "kind")),
        ("lost to retention", f"{page.total('sink_missing_records_total'):,.0f} records"),
    ]


def _webhook_rows(window: Window) -> list[tuple[str, str]]:
    page = window.page
    requests = page.buckets("webhook_request_seconds")
    return [
        ("events", _flow(window, "webhook_events_total", "outcome")),
        ("requests", _by(page, "webhook_requests_total", "outcome")),
        ("request", f"p50 {milliseconds(quantile(requests, 0.5))}, p99 {milliseconds(quantile(requests, 0.99))}"),
        ("tried for", duration(page.total("webhook_retry_seconds"))),
        ("records that wait", f"{page.total('webhook_lag_records'):,.0f}"),
        ("lost to retention", f"{page.total('webhook_missing_records_total'):,.0f} records"),
    ]


_ROWS: dict[str, Callable[[Window], list[tuple[str, str]]]] = {
    "gateway": _gateway_rows,
    "track": _track_rows,
    "sink": _sink_rows,
    "webhook": _webhook_rows,
}


def _flow(window: Window, name: str, label: str) -> str:
    """A counter: a second now, and by the values of a label since its process began."""
    return f"{window.rate(name):,.1f}/s now; {_by(window.page, name, label)}"


def _by(page: Page, name: str, label: str) -> str:
    return ", ".join(f"{key} {value:,.0f}" for key, value in sorted(page.by(name, label).items())) or "none"
