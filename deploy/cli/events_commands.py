"""Declaration of `lodestream events`."""

from __future__ import annotations

import sys

import click

from deploy.cli.options import BOOTSTRAP, CLICKHOUSE


@click.command()
@click.option(
    "--follow", "-f", "following", is_flag=True, help="Live, as they are derived; else the newest stored ones."
)
@click.option("--device", "devices", multiple=True, metavar="ID", help="Only of this device (repeatable).")
@click.option("--kind", "kinds", multiple=True, help="Only of this kind (repeatable).")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1_000_000), help="Stored events shown.")
@click.option("--format", "form", default="text", show_default=True, type=click.Choice(["text", "json"]))
@click.option("--kinds", "list_kinds", is_flag=True, help="Print every kind with its meaning, and end.")
@BOOTSTRAP
@CLICKHOUSE
def events(
    following: bool,
    devices: tuple[str, ...],
    kinds: tuple[str, ...],
    limit: int,
    form: str,
    list_kinds: bool,
    bootstrap: str,
    url: str,
) -> None:
    """What happened: trips, stops, speeding, geofences, alarms, devices that come and go.

    \b
    Example: lodestream events --follow --kind geofence_entered --kind geofence_exited
    Example: lodestream events --device 356938035643809 --limit 20 --format json
    """
    from deploy.cli.events import run
    from schemas.events import KINDS

    if list_kinds:
        for kind, meaning in KINDS.items():
            click.echo(f"{kind:<18} {meaning}")
        sys.exit(0)
    sys.exit(run(bootstrap, url, following, devices, kinds, limit, form))
