"""Metrics are declared once, as attributes of one class per process, with their meaning in the help text.

Labels are bounded: their values come from registries and enums, never from what a device sent, so hostile input cannot
grow the registry.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

LATENCY_BUCKETS_S = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.15,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
)
COUNT_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)


def serve_metrics(registry: CollectorRegistry, host: str, port: int) -> int:
    """Serve /metrics in a thread; port 0 takes a free one. Returns the port. Raises OSError when it is in use."""
    server, _ = start_http_server(port, addr=host, registry=registry)
    return int(server.server_port)


class AgeHistogram(Collector):
    """Histogram of ages in seconds that takes many at a time: an observation each would cost 2 microseconds a frame."""

    def __init__(self, name: str, doc: str, label: str, bounds_s: Sequence[float] = LATENCY_BUCKETS_S) -> None:
        self._name, self._doc, self._label = name, doc, label
        self._bounds_s = bounds_s
        self._counts: dict[str, list[int]] = {}
        self._sums_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def observe(self, value: str, since_ms: Sequence[int], now_ms: int) -> None:
        """Count what began at each of since_ms and ends now; beginnings in the future have age 0. value: of the label."""
        begun = sorted(since_ms)
        at_most = [len(begun) - bisect_left(begun, now_ms - bound * 1000) for bound in self._bounds_s]
        past = begun[: bisect_left(begun, now_ms)]
        total_s = (now_ms * len(past) - sum(past)) / 1000
        with self._lock:
            counts = self._counts.setdefault(value, [0] * (len(self._bounds_s) + 1))
            for i, count in enumerate([*at_most, len(begun)]):
                counts[i] += count
            self._sums_s[value] = self._sums_s.get(value, 0.0) + total_s

    def describe(self) -> Iterable[HistogramMetricFamily]:
        return [self._family()]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Called by the registry: one family."""
        family = self._family()
        bounds = [*map(str, self._bounds_s), "+Inf"]
        with self._lock:
            for value, counts in self._counts.items():
                family.add_metric([value], list(zip(bounds, counts, strict=True)), self._sums_s[value])
        return [family]

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self._name, self._doc, labels=[self._label])
