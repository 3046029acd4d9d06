"""Metrics of the sinks. Labels are bounded: tables, topics and partitions of ours, two kinds of failure."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.clients.metrics import COUNT_BUCKETS, LATENCY_BUCKETS_S, AgeHistogram


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
        self.ages = AgeHistogram(
            prefix + "receipt_to_queryable_seconds", "From arrival at the gateway until the row can be queried", "table"
        )
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
