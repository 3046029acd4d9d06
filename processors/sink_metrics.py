"""Metrics of the sinks. Labels are bounded: tables, topics and partitions of ours, two kinds of failure."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from schemas.clients.metrics import COUNT_BUCKETS, LATENCY_BUCKETS_S


class RowAges(Collector):
    """Histogram of seconds from receipt to queryable, each row counted: a block at a time, not an observation a row."""

    def __init__(self, bounds_s: Sequence[float] = LATENCY_BUCKETS_S) -> None:
        self._bounds_s = bounds_s
        self._counts: dict[str, list[int]] = {}
        self._sums_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def observe(self, table: str, received_ms: Sequence[int], now_ms: int) -> None:
        """Count the rows of a block by age; rows of the future have age 0."""
        arrivals = sorted(received_ms)
        at_most = [len(arrivals) - bisect_left(arrivals, now_ms - bound * 1000) for bound in self._bounds_s]
        past = arrivals[: bisect_left(arrivals, now_ms)]
        total_s = (now_ms * len(past) - sum(past)) / 1000
        with self._lock:
            counts = self._counts.setdefault(table, [0] * (len(self._bounds_s) + 1))
            for i, count in enumerate([*at_most, len(arrivals)]):
                counts[i] += count
            self._sums_s[table] = self._sums_s.get(table, 0.0) + total_s

    def describe(self) -> Iterable[HistogramMetricFamily]:
        return [self._family()]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Called by the registry: one family with a label `table`."""
        family = self._family()
        bounds = [*map(str, self._bounds_s), "+Inf"]
        with self._lock:
            for table, counts in self._counts.items():
                family.add_metric([table], list(zip(bounds, counts, strict=True)), self._sums_s[table])
        return [family]

    @staticmethod
    def _family() -> HistogramMetricFamily:
        name, doc = (
            "sink_receipt_to_queryable_seconds",
            "From arrival at the gateway until the row can be queried",
        )
        return HistogramMetricFamily(name, doc, labels=["table"])


class SinkMetrics:
    """All metrics of the sinks of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "sink_"
        self.rows = Counter(prefix + "rows", "Rows stored", ["table"], registry=registry)
        self.blocks = Counter(
            prefix + "blocks", "Blocks stored, empty ones (offsets only) included", ["table"], registry=registry
        )
        self.block_rows = Histogram(
            prefix + "block_rows", "Rows of a block", ["table"], buckets=COUNT_BUCKETS, registry=registry
        )
        self.insert_s = Histogram(
            prefix + "insert_seconds",
            "Time to store a block and its offsets, retries included",
            ["table"],
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.failures = Counter(
            prefix + "insert_failures",
            "Requests that failed: transient (retried) or refused (halved)",
            ["table", "kind"],
            registry=registry,
        )
        self.refused = Counter(
            prefix + "rejected_rows",
            "Rows that ClickHouse refused and that went to rejected",
            ["table"],
            registry=registry,
        )
        self.clamped = Counter(
            prefix + "clamped_rows", "Rows with a value outside of its column's range", ["table"], registry=registry
        )
        self.waiting = Gauge(prefix + "waiting_rows", "Rows that wait to be stored", ["table"], registry=registry)
        self.lag = Gauge(
            prefix + "lag_records",
            "Records of a partition that are not stored yet",
            ["topic", "partition"],
            registry=registry,
        )
        self.missing = Counter(
            prefix + "missing_records",
            "Records that retention removed before they were stored",
            ["topic"],
            registry=registry,
        )
        self.ages = RowAges()
        registry.register(self.ages)

    def stored(self, table: str, rows: int, refused: int, elapsed_s: float) -> None:
        """Count a stored block."""
        self.rows.labels(table).inc(rows)
        self.refused.labels(table).inc(refused)
        self.blocks.labels(table).inc()
        self.block_rows.labels(table).observe(rows + refused)
        self.insert_s.labels(table).observe(elapsed_s)

    def failure(self, table: str, kind: str) -> None:
        """Count a failed request of a table."""
        self.failures.labels(table, kind).inc()
