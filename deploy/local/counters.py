"""What the processes' metrics pages say: fetched, parsed, turned into rates and percentiles of the last seconds."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

WINDOW_S = 10.0
FETCH_TIMEOUT_S = 2.0

Buckets = list[tuple[float, float]]
"""(upper bound, cumulative count) in order, the last bound infinite."""


@dataclass(slots=True)
class Page:
    """One reading of a metrics page: samples by name, each with labels and value."""

    samples: dict[str, list[tuple[dict[str, str], float]]] = field(default_factory=dict)

    def total(self, name: str, **labels: str) -> float:
        """Sum over all label values, or over those given; 0 when there are none."""
        return sum(value for own, value in self.samples.get(name, ()) if labels.items() <= own.items())

    def by(self, name: str, label: str) -> dict[str, float]:
        """Sums by the values of one label, zeros left out."""
        sums: dict[str, float] = {}
        for own, value in self.samples.get(name, ()):
            if value:
                sums[own.get(label, "")] = sums.get(own.get(label, ""), 0.0) + value
        return sums

    def buckets(self, name: str, **labels: str) -> Buckets:
        """Cumulative counts of a histogram."""
        sums: dict[float, float] = {}
        for own, value in self.samples.get(f"{name}_bucket", ()):
            if labels.items() <= own.items():
                bound = float(own["le"])
                sums[bound] = sums.get(bound, 0.0) + value
        return sorted(sums.items())


def parse(text: str) -> Page:
    """A page in the Prometheus text format; raises ValueError when it is none."""
    page = Page()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            page.samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return page


def fetch(url: str, timeout_s: float = FETCH_TIMEOUT_S) -> Page | None:
    """Read a metrics page; None when nothing (or nothing of that kind) answers there."""
    try:
        # No proxy of the environment: these are processes of this machine or network.
        with _OPENER.open(url, timeout=timeout_s) as answer:
            return parse(answer.read().decode("utf-8", "replace"))
    except (OSError, ValueError, urllib.error.URLError):
        return None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def quantile(buckets: Buckets, share: float) -> float | None:
    """The value that `share` of the observations did not exceed, linear within a bucket; None without observations.

    Beyond the last finite bound it is that bound.
    """
    total = buckets[-1][1] if buckets else 0.0
    if total <= 0:
        return None
    need, below, before = share * total, 0.0, 0.0
    for bound, count in buckets:
        if count >= need and count > before:
            if bound == float("inf"):
                return below
            return below + (bound - below) * (need - before) / (count - before)
        below, before = (below if bound == float("inf") else bound), count
    return below


class Window:
    """Readings of one process over the last seconds. A restart of the process starts it anew, and loses no totals."""

    def __init__(self, totals: Sequence[str] = (), window_s: float = WINDOW_S) -> None:
        """totals: names of counters that are summed over restarts."""
        self._carried = dict.fromkeys(totals, 0.0)
        self._window_s = window_s
        self._pages: deque[tuple[float, Page]] = deque()

    @property
    def page(self) -> Page:
        """The newest reading, an empty one before the first."""
        return self._pages[-1][1] if self._pages else Page()

    def add(self, now_s: float, page: Page) -> None:
        """Take a reading at a monotonic time."""
        if self._pages and self._restarted(page):
            for name in self._carried:
                self._carried[name] += self.page.total(name)
            self._pages.clear()
        self._pages.append((now_s, page))
        while len(self._pages) > 2 and now_s - self._pages[1][0] >= self._window_s:
            self._pages.popleft()

    def _restarted(self, page: Page) -> bool:
        return any(page.total(name) < self.page.total(name) for name in self._carried)

    def since_start(self, name: str) -> float:
        """A counter since this display began to read, restarts included; name must be one of `totals`."""
        return self._carried[name] + self.page.total(name)

    def rate(self, name: str) -> float:
        """A counter's growth a second over the window."""
        if len(self._pages) < 2:
            return 0.0
        (began, first), (ended, last) = self._pages[0], self._pages[-1]
        return (last.total(name) - first.total(name)) / (ended - began) if ended > began else 0.0

    def quantile(self, name: str, share: float, **labels: str) -> float | None:
        """A percentile of what a histogram observed within the window; None when it observed nothing."""
        now = self.page.buckets(name, **labels)
        if len(self._pages) > 1:
            before = dict(self._pages[0][1].buckets(name, **labels))
            now = [(bound, count - before.get(bound, 0.0)) for bound, count in now]
        return quantile(now, share)


@dataclass(slots=True)
class Figures:
    """The line in numbers. Rates and percentiles: of the last 10 s, None when nothing was observed."""

    connections_tcp: int = 0
    connections_udp: int = 0
    frames_per_s: float = 0.0
    frames: int = 0
    positions: int = 0
    rejected: int = 0
    unknown_bytes: int = 0
    events: int = 0
    lag_track_records: int = 0
    lag_sink_records: int = 0
    reply_p50_s: float | None = None
    reply_p99_s: float | None = None
    queryable_p50_s: float | None = None
    queryable_p99_s: float | None = None
    failures: int = 0
    silent: list[str] = field(default_factory=list)


class Counters:
    """Figures out of the pages of a gateway, a track worker and a sink worker."""

    def __init__(self) -> None:
        self.gateway = Window(("gateway_frames_total", "gateway_unknown_bytes_total", "gateway_produce_failures_total"))
        self.track = Window(("track_events_total", "track_rejected_total", "track_send_failures_total"))
        self.sink = Window(("sink_rows_total", "sink_insert_failures_total"))
        self._stored = Window(("positions",))

    def add(self, now_s: float, pages: dict[str, Page | None]) -> Figures:
        """Take readings by role (None: the process did not answer); returns the figures."""
        for role, window in (("gateway", self.gateway), ("track", self.track), ("sink", self.sink)):
            if (page := pages.get(role)) is not None:
                window.add(now_s, page)
        sink = pages.get("sink")
        if sink is not None:
            rows = sink.total("sink_rows_total", table="positions")
            self._stored.add(now_s, Page({"positions": [({}, rows)]}))
        return self._figures(sorted(role for role, page in pages.items() if page is None))

    def _figures(self, silent: Iterable[str]) -> Figures:
        gateway, track, sink = self.gateway, self.track, self.sink
        return Figures(
            connections_tcp=int(gateway.page.total("gateway_connections", transport="tcp")),
            connections_udp=int(gateway.page.total("gateway_connections", transport="udp")),
            frames_per_s=gateway.rate("gateway_frames_total"),
            frames=int(gateway.since_start("gateway_frames_total")),
            positions=int(self._stored.since_start("positions")),
            rejected=int(track.since_start("track_rejected_total")),
            unknown_bytes=int(gateway.since_start("gateway_unknown_bytes_total")),
            events=int(track.since_start("track_events_total")),
            lag_track_records=int(track.page.total("track_lag_records")),
            lag_sink_records=int(sink.page.total("sink_lag_records")),
            reply_p50_s=gateway.quantile("gateway_reply_seconds", 0.5),
            reply_p99_s=gateway.quantile("gateway_reply_seconds", 0.99),
            queryable_p50_s=sink.quantile("sink_receipt_to_queryable_seconds", 0.5, table="positions"),
            queryable_p99_s=sink.quantile("sink_receipt_to_queryable_seconds", 0.99, table="positions"),
            failures=int(
                gateway.since_start("gateway_produce_failures_total")
                + track.since_start("track_send_failures_total")
                + sink.since_start("sink_insert_failures_total")
            ),
            silent=list(silent),
        )
