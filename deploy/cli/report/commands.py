"""Declaration of `lodestream report`: a command for each query, its options made from the query's header."""

from __future__ import annotations

import sys
from typing import Any

import click

from deploy.cli.options import BOOTSTRAP, CLICKHOUSE
from deploy.cli.report.plots import PLOTS
from schemas.queries import PARAMETERS, PERIODS, Query, load_queries

FORMATS = ("table", "csv", "json", "geojson", "gpx", "kml", "parquet")
EXAMPLES = {
    "trips": "lodestream report trips --device 356938035643809 --from 7d --tz Europe/Berlin",
    "route": "lodestream report route --device 356938035643809 --from 2026-01-15 --to 2026-01-16 --format gpx -o day.gpx",
    "stops": "lodestream report stops --device 356938035643809 --from 1d --plot speed.png",
    "summary": "lodestream report summary --group vans --from 2026-01-01 --to 2026-02-01 --period week",
    "geofences": "lodestream report geofences --geofence depot --from 30d --min-visit-s 600",
    "heatmap": "lodestream report heatmap --from 7d --cell-deg 0.05 --plot heat.png",
    "events": "lodestream report events --from 1d --kinds overspeed_ended,alarm_raised --format csv",
}


class Reports(click.Group):
    """The commands are the query files, and `list`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all reports."""
        return ["list", *load_queries()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of a report; None: there is none of that name."""
        if name == "list":
            return list_reports
        query = load_queries().get(name)
        return None if query is None else _command(query)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As usual, but a name that is unknown is told with those there are."""
        if args and args[0] not in self.list_commands(ctx):
            ctx.fail(f"unknown report {args[0]!r}; there are {', '.join(load_queries())}")
        return super().resolve_command(ctx, args)


def _command(query: Query) -> click.Command:
    columns = "\n".join(f"  {name:<18} {meaning}" for name, meaning in query.columns.items())
    example = EXAMPLES.get(query.name, f"lodestream report {query.name} --from 1d")
    text = f"{query.what[0].upper()}{query.what[1:]}.\n\n\b\nColumns:\n{columns}\n\n\b\nExample: {example}"

    def answer(**options: Any) -> None:
        from deploy.cli.report.run import run

        sys.exit(run(query, options))

    for option in reversed(_options(query)):
        answer = option(answer)
    return click.command(query.name, help=text, short_help=query.what)(answer)


def _options(query: Query) -> list[Any]:
    has = query.parameters
    found = [
        click.option("--device", "devices", multiple=True, metavar="ID", help="Only this device (repeatable)."),
        click.option("--group", "groups", multiple=True, metavar="ID", help="Only devices of this group (repeatable)."),
    ]
    if "from" in has:
        found += [
            click.option(
                "--from",
                "since",
                default="1d",
                show_default=True,
                metavar="TIME",
                help="Begin of the range: 2026-01-15, 2026-01-15T08:00, or how long ago: 2h, 7d.",
            ),
            click.option("--to", "until", default="", metavar="TIME", help="End of the range, not included; else now."),
        ]
    found.append(
        click.option(
            "--tz",
            "zone",
            default="UTC",
            show_default=True,
            metavar="ZONE",
            help="Time zone, such as Europe/Berlin: of the days, of the times given and shown.",
        )
    )
    if "period" in has:
        found.append(
            click.option(
                "--period", default="day", show_default=True, type=click.Choice(PERIODS), help="A row for each."
            )
        )
    if "geofence" in has:
        found += [
            click.option(
                "--geofence",
                "geofences",
                multiple=True,
                metavar="ID",
                help="Only this geofence (repeatable); else all.",
            ),
            click.option(
                "--geofences-file",
                "file",
                default="",
                metavar="FILE",
                help="Geofences of a GeoJSON file instead of those imported.",
            ),
        ]
    for name in has:
        parameter = PARAMETERS.get(name)
        if parameter is not None:
            text = f"{parameter.meaning[0].upper()}{parameter.meaning[1:]}."
            found.append(
                click.option(
                    f"--{name.replace('_', '-')}",
                    name,
                    default=parameter.default,
                    show_default=bool(parameter.default),
                    help=text,
                    metavar="VALUE",
                )
            )
    return [
        *found,
        click.option("--format", "form", default="table", show_default=True, type=click.Choice(FORMATS)),
        click.option("--output", "-o", default="-", metavar="FILE", help="Write there instead of standard output."),
        click.option(
            "--plot",
            default="",
            metavar="FILE.png",
            help=f"Also draw a picture ({', '.join(PLOTS)}).",
        ),
        click.option(
            "--sql", "show_sql", is_flag=True, help="Print the query and its parameters instead of asking it."
        ),
        BOOTSTRAP,
        CLICKHOUSE,
        click.option("--user", default="", help="ClickHouse user."),
        click.option("--password", default="", envvar="LODESTREAM_CLICKHOUSE_PASSWORD", help="ClickHouse password."),
    ]


@click.command("list", short_help="the reports there are")
def list_reports() -> None:
    """The reports there are, by what they are about."""
    queries = load_queries().values()
    for group in dict.fromkeys(query.group for query in queries):
        click.echo(f"{group}")
        for query in queries:
            if query.group == group:
                click.echo(f"  {query.name:<12} {query.what}")


@click.group(cls=Reports, subcommand_metavar="NAME [OPTIONS]...")
def report() -> None:
    """Ask what was: trips, stops, distances, speeding, visits, fuel, heat maps, data quality, and more.

    Computed from the stored positions whenever it is asked, so late and replayed data are in it. `lodestream report NAME
    --help` explains the columns and options of one.

    \b
    Example: lodestream report list
    Example: lodestream report trips --device 356938035643809 --from 7d --tz Europe/Berlin
    """
