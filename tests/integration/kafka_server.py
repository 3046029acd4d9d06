"""A real local Kafka for the other tests, as a context manager."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.kafka import LocalKafka


@contextmanager
def kafka_server(path: Path, *, java: str | None = None, port: int = 0) -> Iterator[LocalKafka]:
    """A broker with its data under `path`, ready on entry, gone on exit. `java` as for LocalKafka."""
    kafka = LocalKafka(path, port, java=java)
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()
