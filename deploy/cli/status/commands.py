"""Declaration of `lodestream status`."""

from __future__ import annotations

import sys

import click

from deploy.cli.options import BOOTSTRAP, CLICKHOUSE


@click.command()
@click.option(
    "--metrics", multiple=True, metavar="URL", help="Page of a process (repeatable); default: the local ones."
)
@click.option(
    "--seconds",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0, 60),
    help="Watch for so long, to tell what happens a second; 0: look once.",
)
@click.option("--format", "form", default="text", show_default=True, type=click.Choice(["text", "json"]))
@BOOTSTRAP
@CLICKHOUSE
def status(metrics: tuple[str, ...], seconds: float, form: str, bootstrap: str, url: str) -> None:
    """The line at a glance: what runs, rates, lag, errors, unknown peers, and in plain words what is wrong.

    Exit code 1 when a part does not answer.

    \b
    Example: lodestream status
    Example: lodestream status --seconds 10 --metrics http://10.0.0.5:9101/metrics --metrics http://10.0.0.6:9102/metrics
    """
    from deploy.cli.status.run import run

    sys.exit(run(bootstrap, url, list(metrics), seconds, form))
