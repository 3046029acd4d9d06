"""`lodestream migrate`: bring ClickHouse's tables and views up to date."""

from __future__ import annotations

import click

from schemas.clients import clickhouse

EXIT_USAGE = 2


def migrate(url: str, user: str, password: str, dry_run: bool) -> int:
    """Apply what is missing and say so; returns the exit code."""
    try:
        with clickhouse.opened(url, user, password) as client:
            if dry_run:
                for name in clickhouse.pending(client):
                    click.echo(f"would apply {name}")
                return 0
            applied = clickhouse.migrate(client, lambda name: click.echo(f"applying {name}"))
    except (clickhouse.MigrationError, clickhouse.Unavailable, ValueError) as error:
        click.echo(f"migrate: {error}", err=True)
        return EXIT_USAGE
    click.echo(f"{len(applied)} migrations applied" if applied else "nothing to apply")
    return 0
