"""Options of a report to parameters, the query, and its rows to where they shall go."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from clickhouse_connect.driver.binding import format_query_value

from deploy.cli.times import moment_ms
from schemas.clients import clickhouse
from schemas.clients.kafka import KafkaUnavailable, TopicMismatch
from schemas.queries import PARAMETERS, PLACEHOLDER, Query

EXIT_USAGE = 2
NUMBER = re.compile(r"-?\d+(\.\d+)?")
BOUNDS = {"h3_resolution": (0, 15), "top": (1, 4_294_967_295), "cell_deg": (1e-6, 90), "moving_kmh": (0.1, 1000)}
NUMBER_MAX = 1e9


@dataclass(frozen=True, slots=True)
class Answer:
    """What ClickHouse said."""

    query: Query
    zone: ZoneInfo
    rows: list[tuple[Any, ...]]

    @property
    def columns(self) -> list[str]:
        """Names, in order: those of the header, for an empty answer brings none."""
        return list(self.query.columns)

    def column(self, name: str) -> list[Any]:
        """All values of a column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


def run(query: Query, options: dict[str, Any]) -> int:
    """Answer a report; returns the exit code. A user's mistake and a service that is away are one message."""
    from deploy.cli.report.plots import check_plot

    name = f"report {query.name}"
    try:
        zone = _zone(options["zone"])
        check_plot(query.name, options["plot"])
        wanted = parameters(query, options, zone)
        if options["show_sql"]:
            click.echo(as_text(query, wanted[0]))
            return 0
        with clickhouse.opened(options["url"], options["user"], options["password"]) as client:
            _answer(client, query, wanted, zone, options)
    except BrokenPipeError:
        raise  # whoever reads the output has read enough
    except (ValueError, OSError, KafkaUnavailable, TopicMismatch, clickhouse.Unavailable) as error:
        click.echo(f"{name}: {error}", err=True)
        return EXIT_USAGE
    return 0


def parameters(query: Query, options: dict[str, Any], zone: ZoneInfo) -> list[dict[str, Any]]:
    """The parameters of the query, once for each geofence where it has one. Raises ValueError naming what is wrong."""
    from deploy.cli.report.places import devices_of, geofence_parameters, geofences_of

    devices = list(options["devices"])
    if options["groups"]:
        devices += asyncio.run(devices_of(options["bootstrap"], options["groups"]))
    found: dict[str, Any] = {"devices": devices, "tz": str(zone), **query.settings}
    if "from" in query.parameters:
        found |= _range(options, zone)
    if "period" in query.parameters:
        found["period"] = options["period"]
    for name in query.parameters:
        if name in PARAMETERS:
            found[name] = _value(name, options[name])
    if "geofence" not in query.parameters:
        return [found]
    geofences = asyncio.run(geofences_of(options["bootstrap"], options["file"], options["geofences"]))
    return [found | geofence_parameters(geofence) for geofence in geofences]


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"--tz {name!r} is no time zone; Europe/Berlin or America/Sao_Paulo is one") from None


def _range(options: dict[str, Any], zone: ZoneInfo) -> dict[str, str]:
    found = {}
    for name, option, text in (("from", "--from", options["since"]), ("to", "--to", options["until"] or "0s")):
        try:
            moment = datetime.fromtimestamp(moment_ms(text, zone=zone) / 1000, UTC)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{option}: {error}") from None
        if not 1970 <= moment.year < 2200:
            raise ValueError(f"{option}: {text} is out of range")
        found[name] = f"{moment:%Y-%m-%d %H:%M:%S.000}"
    if found["from"] >= found["to"]:
        raise ValueError(f"--from {found['from'][:19]} is not before --to {found['to'][:19]} (UTC)")
    return found


def _value(name: str, text: str) -> Any:
    parameter, option = PARAMETERS[name], f"--{name.replace('_', '-')}"
    if parameter.kind.startswith("Array"):
        values = [value for value in text.split(",") if value]
        if name == "kinds":
            from schemas.events import KINDS

            for value in values:
                if value not in KINDS:
                    raise ValueError(f"{option}: unknown kind {value!r}; `lodestream events --kinds` lists them")
        return values
    low, high = BOUNDS.get(name, (0, NUMBER_MAX))
    whole = parameter.kind.startswith("UInt")
    if not NUMBER.fullmatch(text) or (whole and "." in text) or not low <= float(text) <= high:
        raise ValueError(f"{option} {text!r} is no {'whole ' if whole else ''}number from {low:g} to {high:g}")
    return int(text) if whole else float(text)


def as_text(query: Query, values: dict[str, Any]) -> str:
    """The query with its parameters as literals: to be pasted into any client. Also for lists too long for a URL."""
    kinds = query.placeholders

    def literal(found: re.Match[str]) -> str:
        value = values[found[1]]
        text = "[" + ", ".join(map(_literal, value)) + "]" if isinstance(value, list) else _literal(value)
        return f"CAST({text} AS {kinds[found[1]]})"

    return PLACEHOLDER.sub(literal, query.sql)


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_literal, value)) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return str(format_query_value(value))


def ask(client: Any, query: Query, values: dict[str, Any], zone: ZoneInfo) -> Answer:
    """One answer. Times come as datetimes in UTC."""
    result = client.query(as_text(query, values))
    return Answer(query, zone, [tuple(row) for row in result.result_rows])


def _answer(client: Any, query: Query, wanted: list[dict[str, Any]], zone: ZoneInfo, options: dict[str, Any]) -> None:
    form, output = options["form"], options["output"]
    if form == "parquet":
        if output == "-" and sys.stdout.isatty():
            raise ValueError("parquet is no text: give --output FILE, or redirect the output")
        if len(wanted) > 1:
            raise ValueError("parquet holds one geofence: name it with --geofence")
        data = client.raw_query(as_text(query, wanted[0]), fmt="Parquet")
        _write(output, lambda: data)
        return
    answers = [ask(client, query, values, zone) for values in wanted]
    answer = Answer(query, zone, [row for part in answers for row in part.rows])
    if options["plot"]:
        from deploy.cli.report.plots import plot

        plot(client, answer, wanted[0], Path(options["plot"]))
    if form in ("geojson", "gpx", "kml"):
        from deploy.cli.report.maps import as_map

        _write(output, lambda: as_map(answer, form).encode())
        return
    from deploy.cli.report import tables

    if form == "table":
        width = None if output == "-" else 0
        _write(output, lambda: tables.as_table(answer, width).encode())
    else:
        _write(output, lambda: (tables.as_csv if form == "csv" else tables.as_json)(answer).encode())


def _write(output: str, make: Callable[[], bytes]) -> None:
    data = make()
    if output == "-":
        click.echo(data, nl=False)
    else:
        Path(output).write_bytes(data)
        click.echo(f"{len(data):,} bytes written to {output}", err=True)
