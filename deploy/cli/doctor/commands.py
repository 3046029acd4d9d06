"""Declaration of `lodestream doctor`."""

from __future__ import annotations

import sys
from typing import Any

import click

from deploy.cli.options import BOOTSTRAP, CLICKHOUSE


@click.command()
@click.argument("subject", default="", metavar="[DEVICE|IP]")
@click.option(
    "--frames",
    default=3,
    show_default=True,
    type=click.IntRange(0, 100),
    help="Newest frames that are shown, decoded.",
)
@click.option("--explain", "explained", is_flag=True, help="Add to each frame which bytes mean what.")
@click.option(
    "--protocol", "family", default="", metavar="NAME", help="What it speaks, when nothing arrived that tells it."
)
@click.option("--sms", is_flag=True, help="Only list the text messages that set trackers up, by clone family.")
@click.option(
    "--server",
    default="",
    metavar="HOST[:PORT]",
    envvar="GATEWAY_PUBLIC_ADDRESS",
    help="Where devices shall report, for the text messages; else HOST and PORT stand there.",
)
@click.option("--apn", default="", metavar="NAME", help="Access point of the SIM card, for the text messages.")
@click.option("--format", "form", default="text", show_default=True, type=click.Choice(["text", "json"]))
@BOOTSTRAP
@CLICKHOUSE
@click.option("--user", default="", help="ClickHouse user.")
@click.option("--password", default="", envvar="LODESTREAM_CLICKHOUSE_PASSWORD", help="ClickHouse password.")
def doctor(**options: Any) -> None:
    """Why is it silent? How far a device or an address has come, what it last sent, and what to do next.

    From a connection over login, heartbeats and cell towers to a fix: when each was last seen. Also for devices that nobody
    registered and for addresses that never said who they are. Works on what answers when Kafka or ClickHouse is away.

    \b
    Example: lodestream doctor 356938035643809
    Example: lodestream doctor 203.0.113.7 --frames 10 --explain
    Example: lodestream doctor 356938035643809 --protocol gt06 --server tracker.example.org --apn internet
    Example: lodestream doctor --sms --protocol h02
    """
    from deploy.cli.doctor.run import run

    sys.exit(run(options))
