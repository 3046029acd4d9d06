"""Declaration of `lodestream listen`."""

from __future__ import annotations

import sys
from typing import Any

import click

from deploy.cli.options import BOOTSTRAP


@click.command()
@click.option("--device", "devices", multiple=True, metavar="ID", help="Only this device (repeatable).")
@click.option("--peer", "peers", multiple=True, metavar="IP[:PORT]", help="Only from this address (repeatable).")
@click.option(
    "--protocol", "protocols", multiple=True, metavar="NAME", help="Only this protocol (repeatable); unknown: of none."
)
@click.option("--explain", "explained", is_flag=True, help="Add to each frame which bytes mean what.")
@click.option("--limit", default=0, type=click.IntRange(0), help="Stop after so many frames; 0: never.")
@click.option("--seconds", default=0.0, type=click.FloatRange(0), help="Stop after so long; 0: never.")
@click.option("--format", "form", default="text", show_default=True, type=click.Choice(["text", "json"]))
@BOOTSTRAP
def listen(**options: Any) -> None:
    """Watch frames arrive: who sent them, the bytes, and what they mean. Bytes of no known protocol are shown as well.

    \b
    Example: lodestream listen --device 356938035643809
    Example: lodestream listen --peer 203.0.113.7 --explain
    Example: lodestream listen --protocol unknown --format json
    """
    from deploy.cli.listen import run

    sys.exit(run(**options))
