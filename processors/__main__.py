"""Entry point of a worker process: `python -m processors` (or `lodestream worker`)."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry

from processors.rulebook import RULE_TOPICS
from processors.settings import PREFIX, WorkerSettings
from schemas.clients.kafka import KafkaUnavailable, TopicMismatch, check_counts, partition_counts, wait_for_broker
from schemas.clients.metrics import serve_metrics
from schemas.clients.process import EXIT_USAGE, begin
from schemas.clients.settings import SettingsError
from schemas.topics import EVENTS, FRAMES, POSITIONS, REJECTED, SESSIONS, SNAPSHOTS

log = logging.getLogger("worker")

BROKER_WAIT_S = 30.0
ASSIGN_S = 30.0
STOP_S = 15.0
EXIT_STOPPED_LATE = 75
CODE = "lodestream 0.1.0"


async def _check(settings: WorkerSettings) -> None:
    await wait_for_broker(settings.kafka_bootstrap, BROKER_WAIT_S, lambda note: log.info("%s; waiting", note))
    needed = (FRAMES, POSITIONS, EVENTS, REJECTED, SNAPSHOTS, SESSIONS, *RULE_TOPICS)
    check_counts(await partition_counts(settings.kafka_bootstrap), settings.kafka_partitions, needed)


def check_webhook(settings: WorkerSettings) -> None:
    """Raises SettingsError that names every wrong setting of the role webhook."""
    from processors.sinks.webhook import Filter, check_url

    mistakes = []
    for name, check in (
        ("URL", lambda: check_url(settings.webhook_url)),
        ("KINDS", lambda: Filter.from_text(settings.webhook_kinds, settings.webhook_devices)),
    ):
        try:
            check()
        except ValueError as error:
            mistakes.append(f"{PREFIX}WEBHOOK_{name}: {error}")
    if mistakes:
        raise SettingsError("wrong settings:\n" + "\n".join(mistakes))


class Runner:
    """One worker: its Faust app, and what must start before it and stop after it."""

    def __init__(self, settings: WorkerSettings, registry: CollectorRegistry) -> None:
        from processors.app import build_app  # Faust takes half a second to import: not for --help

        self._settings = settings
        self.app = build_app(settings)
        self._part: Any = None
        if settings.role == "track":
            from processors.agents.track import TrackWorker, register_track
            from processors.metrics import TrackMetrics

            metrics = TrackMetrics(registry)
            self._part = TrackWorker(settings, metrics, CODE)
            register_track(self.app, settings, self._part)
        elif settings.role == "webhook":
            from processors.agents.webhook import WebhookWorker, register_webhook
            from processors.webhook_metrics import WebhookMetrics

            self._part = WebhookWorker(settings, WebhookMetrics(registry))
            register_webhook(self.app, self._part)
        else:
            from processors.agents.sink import register_sinks
            from processors.sink_metrics import SinkMetrics

            register_sinks(self.app, settings, SinkMetrics(registry))

    async def start(self) -> None:
        if self._part is not None:
            await self._part.start(self.app)
        assigned = asyncio.Event()

        @self.app.on_rebalance_complete.connect(weak=False)  # type: ignore[untyped-decorator]
        def _assigned(*_: Any, **__: Any) -> None:
            assigned.set()

        self.app.finalize()
        await self.app.start()
        try:
            await asyncio.wait_for(assigned.wait(), ASSIGN_S)
        except TimeoutError:
            log.warning("no partitions were assigned within %s s; still waiting for the group", ASSIGN_S)

    async def stop(self) -> None:
        """Stop consuming, then write what the next start needs."""
        await self.app.stop()
        if self._part is not None:
            await self._part.stop()


async def run(settings: WorkerSettings) -> None:
    """Work until SIGTERM or SIGINT. Raises KafkaUnavailable, TopicMismatch or OSError when it cannot start."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await _check(settings)
    registry = CollectorRegistry()
    runner = Runner(settings, registry)
    port = serve_metrics(registry, settings.metrics_host, settings.metrics_port)
    log.info("metrics on http://%s:%s/metrics", settings.metrics_host, port)
    await runner.start()
    sys.stdout.write(f"ready {settings.role} {settings.id}\n")
    sys.stdout.flush()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    ended = [loop.create_task(stop.wait()), loop.create_task(runner.app.wait_until_stopped())]
    await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        raise RuntimeError("the Faust app stopped by itself")
    log.info("stopping")
    try:
        await asyncio.wait_for(runner.stop(), STOP_S)
    except TimeoutError:
        # Faust waits without limit for a broker that is away. Nothing is lost: what was not acked is read again.
        log.warning("not stopped within %s s (is Kafka away?); ending now", STOP_S)
        logging.shutdown()
        os._exit(EXIT_STOPPED_LATE)


def main(arguments: list[str] | None = None) -> int:
    """Run a worker; returns the exit code. A user's mistake is one message, not a traceback."""
    settings = begin(
        "worker",
        "Decode frames and derive events (role track), store them in ClickHouse (role sink), or post events (role webhook).",
        "WORKER_ROLE=sink worker",
        WorkerSettings,
        PREFIX,
        arguments,
    )
    try:
        if settings.role == "webhook":
            check_webhook(settings)
        uvloop.run(run(settings))
    except (KafkaUnavailable, TopicMismatch, SettingsError) as error:
        sys.stderr.write(f"worker: {error}\n")
        return EXIT_USAGE
    except OSError as error:
        sys.stderr.write(f"worker: cannot start: {error.strerror or error}\n")
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
