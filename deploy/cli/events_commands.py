"""Declaration of `lodestream events`."""

from __future__ import annotations

import sys

import click

from deploy.cli.options import BOOTSTRAP, CLICKHOUSE


@click.command()
@click.option(
    "--follow", "-f", "following", is_flag=True, help="Live from Kafka, as they are derived; else from ClickHouse."
)
@click.option("--device", "devices", multiple=True, metavar="ID", help="Only of this device (repeatable).")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only of this kind (repeatable).")
@click.option(
    "--from",
    "since",
    default="",
    metavar="TIME",
    help="Only since then: 15m, 2h, 7d (ago), 2026-01-15, 2026-01-15T10:30+01:00 (else UTC). With --follow: those first.",
)
@click.option(
    "--limit",
    type=click.IntRange(0, 10_000_000),
    help="Newest events shown, 50; with --follow end after so many; 0: all.",
)
@click.option("--format", "form", default="text", show_default=True, type=click.Choice(["text", "json"]))
@click.option("--kinds", "list_kinds", is_flag=True, help="Print every kind with its meaning, and end.")
@BOOTSTRAP
@CLICKHOUSE
@click.option("--user", default="", help="ClickHouse user.")
@click.option("--password", default="", envvar="LODESTREAM_CLICKHOUSE_PASSWORD", help="ClickHouse password.")
def events(
    following: bool,
    devices: tuple[str, ...],
    kinds: tuple[str, ...],
    since: str,
    limit: int | None,
    form: str,
    list_kinds: bool,
    bootstrap: str,
    url: str,
    user: str,
    password: str,
) -> None:
    """What happened: trips, stops, speeding, geofences, alarms, devices that come and go; newest last.

    \b
    Example: lodestream events --follow --kind geofence_entered --kind geofence_exited
    Example: lodestream events --device 356938035643809 --from 2d --limit 0
    Example: lodestream events --kind device_stopped --format json | jq .attributes.distance_m
    """
    from deploy.cli.events import Source, run
    from schemas.events import KINDS

    if list_kinds:
        for kind, meaning in KINDS.items():
            click.echo(f"{kind:<18} {meaning}")
        sys.exit(0)
    sys.exit(run(Source(bootstrap, url, user, password), following, devices, kinds, since, limit, form))
