"""Metrics are declared once, as attributes of one class per process, with their meaning in the help text.

Labels are bounded: a value that comes from outside (protocol, reason) must be one of a fixed set; `bounded` folds the rest
into "other", so hostile input cannot grow the registry.
"""

from __future__ import annotations

from collections.abc import Collection

from prometheus_client import CollectorRegistry, start_http_server

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


def bounded(value: str, allowed: Collection[str]) -> str:
    """value when it is allowed as a label, else "other"."""
    return value if value in allowed else "other"


def serve_metrics(registry: CollectorRegistry, host: str, port: int) -> int:
    """Serve /metrics in a thread; port 0 takes a free one. Returns the port. Raises OSError when it is in use."""
    server, _ = start_http_server(port, addr=host, registry=registry)
    return int(server.server_port)
