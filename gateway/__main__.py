"""Entry point of a gateway process: `python -m gateway` (or `lodestream gateway`)."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys

import uvloop
from prometheus_client import CollectorRegistry

from gateway.admission import Admission, Policy
from gateway.aliases import Aliases
from gateway.directory import Directory
from gateway.metrics import GatewayMetrics
from gateway.server import Server, now_ms
from gateway.settings import PREFIX, GatewaySettings
from schemas.clients.kafka import KafkaUnavailable, TopicMismatch, check_counts, partition_counts, wait_for_broker
from schemas.clients.metrics import serve_metrics
from schemas.clients.process import EXIT_USAGE, begin
from schemas.topics import ALIASES, DEVICES, FRAMES, SESSIONS

log = logging.getLogger("gateway")

BROKER_WAIT_S = 30.0


async def run(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises OSError, KafkaUnavailable, TopicMismatch when it cannot start."""
    gateway_id = settings.id or f"{socket.gethostname()}-{os.getpid()}"
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    aliases = Aliases()
    policy = Policy(settings.unknown_devices)
    admission = Admission(policy, settings.new_ids, settings.new_ids_per_address, now_ms())
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await wait_for_broker(settings.kafka_bootstrap, BROKER_WAIT_S, lambda note: log.info("%s; waiting", note))
    needed = (FRAMES, SESSIONS, ALIASES, DEVICES)
    check_counts(await partition_counts(settings.kafka_bootstrap), settings.kafka_partitions, needed)
    directory = Directory(settings.kafka_bootstrap, gateway_id, aliases, admission)
    await directory.load()
    server = Server(settings, gateway_id, metrics, aliases, admission)
    metrics_port = serve_metrics(registry, settings.metrics_host, settings.metrics_port)
    await server.start()
    follow = loop.create_task(directory.follow(server.publisher.send_alias))
    log.info("metrics on http://%s:%s/metrics", settings.metrics_host, metrics_port)
    sys.stdout.write(f"ready {settings.host}:{server.port}\n")
    sys.stdout.flush()
    # Long-lived objects of the start are not looked at again; the collector runs rarely (6 % of CPU otherwise).
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    waiter = loop.create_task(stop.wait())
    await asyncio.wait({waiter, follow}, return_when=asyncio.FIRST_COMPLETED)
    if follow.done():
        follow.result()
    follow.cancel()
    log.info("draining")
    await server.stop()
    await directory.stop()


def main(arguments: list[str] | None = None) -> int:
    """Run a gateway; returns the exit code. A user's mistake is one message, not a traceback."""
    settings = begin(
        "gateway",
        "Accept every tracker on one port and publish its frames to Kafka.",
        "GATEWAY_PORT=8888 gateway",
        GatewaySettings,
        PREFIX,
        arguments,
    )
    try:
        uvloop.run(run(settings))
    except (KafkaUnavailable, TopicMismatch) as error:
        sys.stderr.write(f"gateway: {error}\n")
        return EXIT_USAGE
    except OSError as error:
        sys.stderr.write(f"gateway: cannot listen on {settings.host}:{settings.port}: {error.strerror or error}\n")
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main())
