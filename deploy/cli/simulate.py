"""`lodestream simulate`: the fleet of deploy.simulator with the command's options."""

from __future__ import annotations

import json
from typing import Any

import click

from deploy.simulator.options import Options, SimulatorError
from deploy.simulator.runner import run_blocking

EXIT_USAGE = 2


def run(options: dict[str, Any]) -> int:
    """Run to the end and print the report; 1 when a reply was wrong or missing, 2 when the run could not begin."""
    form = options.pop("form")
    options["rate_hz"] = options.pop("rate")
    options["protocols"] = tuple(name.strip() for name in options["protocols"].split(",") if name.strip())
    try:
        result = run_blocking(Options(**options), lambda counts: click.echo(counts.line(), err=True))
    except SimulatorError as error:
        click.echo(f"simulate: {error}", err=True)
        return EXIT_USAGE
    click.echo(json.dumps(result.to_dict()) if form == "json" else result.table())
    return 0 if result.ok else 1
