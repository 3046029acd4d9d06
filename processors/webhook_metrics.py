"""Metrics of a webhook worker. Labels are bounded: words of ours, partitions."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.clients.metrics import LATENCY_BUCKETS_S


class WebhookMetrics:
    """All metrics of a webhook worker. under_way: for each partition, when its delivery was first tried (monotonic, s)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, doc: str, *labels: str) -> Counter:
            return Counter(f"webhook_{name}", doc, labels, registry=registry)

        def seconds(name: str, doc: str) -> Histogram:
            return Histogram(f"webhook_{name}", doc, buckets=LATENCY_BUCKETS_S, registry=registry)

        self.under_way: dict[int, float] = {}
        self.events = counter(
            "events", "Events by what became of them: taken, refused, filtered (not asked for), replayed.", "outcome"
        )
        self.requests = counter(
            "requests",
            "Requests by outcome: taken, not_now, timeout, unreachable (all tried again), refused.",
            "outcome",
        )
        self.refused = counter("refused", "Deliveries that the receiver refused for good; the log names each.")
        self.request_seconds = seconds("request_seconds", "Time of one request.")
        self.wait_seconds = seconds("wait_seconds", "From the event's record in Kafka to its first request.")
        self.missing = counter("missing_records", "Records that retention removed before they were delivered.")
        self.lag = Gauge("webhook_lag_records", "Records that wait in events.", ["partition"], registry=registry)
        retry = Gauge(
            "webhook_retry_seconds", "For how long the oldest unfinished delivery has been tried.", registry=registry
        )
        retry.set_function(self._oldest_s)

    def _oldest_s(self, *_: Any) -> float:
        """Called by the thread that serves the page."""
        return max((time.monotonic() - began_s for began_s in list(self.under_way.values())), default=0.0)
