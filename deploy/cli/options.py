"""Options that many commands have."""

from __future__ import annotations

import click

BOOTSTRAP = click.option(
    "--kafka",
    "bootstrap",
    default="127.0.0.1:9092",
    show_default=True,
    envvar="LODESTREAM_KAFKA",
    help="Kafka brokers.",
)
CLICKHOUSE = click.option(
    "--clickhouse",
    "url",
    default="http://127.0.0.1:8123",
    show_default=True,
    envvar="LODESTREAM_CLICKHOUSE",
    help="ClickHouse HTTP interface.",
)
