"""Declarations of `lodestream frames`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from deploy.cli.options import BOOTSTRAP

FILTERS = (
    click.option("--from", "from_", default="", metavar="TIME", help="By arrival: 2026-01-15, a time, or 2h, 7d ago."),
    click.option("--to", default="", metavar="TIME", help="End of the range, not included."),
    click.option("--device", "devices", multiple=True, metavar="ID", help="Only this device (repeatable)."),
    click.option("--protocol", "protocols", multiple=True, help="Only this protocol (repeatable)."),
)


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(FILTERS):
        command = option(command)
    return command


@click.group()
def frames() -> None:
    """Raw frames to Avro object container files and back: an archive beyond Kafka's retention, or a bug report."""


@frames.command("export")
@filters
@click.option("--limit", default=0, help="Stop after about so many frames; 0: never.")
@click.option("--redact", is_flag=True, help="Other ids, addresses and places; what cannot be proved so is left out.")
@click.option("-o", "--output", required=True, help="The file; - is standard output.")
@BOOTSTRAP
def frames_export(output: str, limit: int, redact: bool, bootstrap: str, **options: Any) -> None:
    """Write raw frames to a file, which gets its name when it is whole.

    A file holds what devices sent, ids and places included: mind who gets it. With --redact ids become pseudonyms, peers
    documentation addresses, and places move by whole degrees, the same ones in the whole file; a frame is kept only when
    its decoder reads just that and nothing else that is private (cells, Wi-Fi, SIM cards, names, texts).

    \b
    Example: lodestream frames export --from 2026-01-01 --to 2026-02-01 -o january.avro
    Example: lodestream frames export --from 1h --device 356938035643809 --redact -o report.avro
    """
    from deploy.cli import frames as command

    sys.exit(command.export(bootstrap, output, options, limit, redact))


@frames.command("import")
@click.argument("files", nargs=-1, required=True)
@filters
@click.option("--dry-run", is_flag=True, help="Read and count only.")
@click.option("--yes", "sure", is_flag=True, help="Also when the topic holds records already.")
@BOOTSTRAP
def frames_import(files: tuple[str, ...], dry_run: bool, sure: bool, bootstrap: str, **options: Any) -> None:
    """Write the frames of files to the topic, where the workers take them as if they had just arrived.

    Arrival times are kept. Meant for a fresh line: where devices reported since, their old frames come late, so they raise
    no live events; rows that are there already are not shown twice.

    \b
    Example: lodestream frames import january.avro
    """
    from deploy.cli import frames as command

    sys.exit(command.import_files(bootstrap, files, options, dry_run, sure))


@frames.command("show")
@click.argument("file")
@click.option("--hex", "as_hex", is_flag=True, help="Also every frame, a JSON line each.")
def frames_show(file: str, as_hex: bool) -> None:
    """Say what a file holds.

    \b
    Example: lodestream frames show report.avro --hex | head
    """
    from deploy.cli import frames as command

    sys.exit(command.show(file, as_hex))
