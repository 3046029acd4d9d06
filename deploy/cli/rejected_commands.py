"""Declaration of `lodestream rejected`."""

from __future__ import annotations

import sys
from typing import Any

import click

from deploy.cli.options import CLICKHOUSE


@click.command()
@click.option(
    "--top", default=10, show_default=True, type=click.IntRange(1, 10_000), help="Groups shown, the largest first."
)
@click.option(
    "--since", default="", metavar="TIME", help="Only from this time on: 2026-01-15, or how long ago: 2h, 7d."
)
@click.option("--reason", default="", help="Only this reason.")
@click.option("--protocol", default="", help="Only this protocol (as far as it was recognised).")
@click.option("--peer", default="", metavar="IP", help="Only from this address.")
@click.option("--device", default="", metavar="ID", help="Only of this device.")
@click.option("--format", "form", default="text", show_default=True, type=click.Choice(["text", "json"]))
@CLICKHOUSE
def rejected(**options: Any) -> None:
    """What could not be decoded: by protocol, reason and address, with an example in hex and text, and what it may mean.

    \b
    Example: lodestream rejected --since 1d
    Example: lodestream rejected --reason undecided --peer 203.0.113.7
    """
    from deploy.cli.rejected import run

    sys.exit(run(**options))
