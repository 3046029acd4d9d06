"""Declaration of `lodestream replay`."""

from __future__ import annotations

import sys
from typing import Any

import click

from deploy.cli.options import BOOTSTRAP, CLICKHOUSE


@click.command()
@click.option("--from", "from_", metavar="TIME", help="Begin of the range, by arrival; default: the oldest frame kept.")
@click.option("--to", metavar="TIME", help="End of the range; default: --behind seconds ago.")
@click.option("--device", "devices", multiple=True, metavar="ID", help="Only this device (repeatable).")
@click.option("--protocol", "protocols", multiple=True, help="Only rows of this protocol (repeatable).")
@click.option("--rejected", is_flag=True, help="Only frames that could not be decoded or were unknown.")
@click.option("--dry-run", is_flag=True, help="Write nothing; print what would appear, change and vanish.")
@click.option("--resume", type=int, metavar="RUN", help="Go on with a run that was interrupted.")
@click.option(
    "--share", default="0/1", show_default=True, help="I/N: work on this part of the partitions (several workers)."
)
@click.option("--list", "listed", is_flag=True, help="Show all runs.")
@click.option(
    "--warm-up", "warm_up_h", default=24.0, show_default=True, help="Hours before the range that states begin with."
)
@click.option(
    "--behind",
    "behind_s",
    default=120.0,
    show_default=True,
    help="Seconds within which frames stand in the log after their arrival; a range ends at least so long ago.",
)
@click.option(
    "--speed-limit", default=0.0, show_default=True, help="Speed limit of the server, as the workers have it, km/h."
)
@click.option("--group", default="lodestream", show_default=True, help="Prefix of the consumer groups.")
@click.option("--format", "form", default="text", show_default=True, type=click.Choice(["text", "json"]))
@click.option("--user", default="", help="ClickHouse user.")
@click.option("--password", default="", envvar="LODESTREAM_CLICKHOUSE_PASSWORD", help="ClickHouse password.")
@BOOTSTRAP
@CLICKHOUSE
def replay(**options: Any) -> None:
    """Decode history again from the raw frames, with today's decoders and rules, and correct it in place.

    Rows keep their ids and get the number of the run as version: the highest is shown. Rows of the range that the run did
    not write again are withdrawn. Live traffic, state and webhooks are not touched. TIME is 2026-01-15,
    2026-01-15T10:11:12Z, or how long ago: 2h, 7d.

    \b
    Example: lodestream replay --from 7d --protocol h02 --dry-run
    Example: lodestream replay --from 2026-01-15 --to 2026-01-16 --device 356938035643809
    Example: lodestream replay --rejected
    """
    from deploy.cli.replay import run

    sys.exit(run(options))
