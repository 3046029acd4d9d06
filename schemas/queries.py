"""The report queries (schemas/clickhouse/queries): what each is, its parameters and columns, and its SQL.

A query file begins with comment lines: `NAME: what it is`, then `group`, `include` (parts, in order, that become its WITH
clause), `parameters`, `set NAME: value` and `column NAME: meaning`. Other comment lines are for who reads the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

DIRECTORY = Path(__file__).parent / "clickhouse" / "queries"
HEADER = re.compile(r"-- (group|include|parameters|set \w+|column \w+): (.*)")
PLACEHOLDER = re.compile(r"\{(\w+):([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of queries. kind: ClickHouse's type. default: as text, empty when there is none."""

    name: str
    kind: str
    default: str
    meaning: str


PARAMETERS = {
    parameter.name: parameter
    for parameter in (
        Parameter("gap_s", "Float64", "900", "silence after which nobody knows what a device did"),
        Parameter("stop_s", "Float64", "180", "shortest stop; shorter ones belong to the trip"),
        Parameter("trip_m", "Float64", "200", "shortest trip"),
        Parameter("noise_m", "Float64", "100", "what a parked receiver may wander between two fixes"),
        Parameter("moving_kmh", "Float64", "5", "slowest motion"),
        Parameter("idle_s", "Float64", "300", "shortest time at rest with the engine on that counts as idling"),
        Parameter("limit_kmh", "Float64", "90", "speed limit"),
        Parameter("hold_s", "Float64", "120", "time without a fix above the limit that ends an episode"),
        Parameter("min_visit_s", "Float64", "0", "shortest visit to a geofence"),
        Parameter("fuel_step_percent", "Float64", "8", "change within ten minutes that is no consumption"),
        Parameter("jump_kmh", "Float64", "300", "speed between two fixes that no vehicle has"),
        Parameter("cell_deg", "Float64", "0.01", "edge of a cell, degrees; 0.01 is about 1.1 km"),
        Parameter("h3_resolution", "UInt8", "8", "resolution of the cells, 0 to 15; 8 is about 1 km across"),
        Parameter("top", "UInt32", "1000000", "most rows"),
        Parameter("kinds", "Array(String)", "", "kinds of event, joined by commas; empty: all"),
    )
}
"""What `--set NAME=VALUE` changes. Devices, range, time zone, period and geofence have options of their own."""

PERIODS = ("day", "week", "month", "total")


@dataclass(frozen=True, slots=True)
class Query:
    """One report. columns: meaning by name, in order. settings: parameters that it sets itself."""

    name: str
    what: str
    group: str
    parameters: tuple[str, ...]
    columns: dict[str, str]
    sql: str
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def placeholders(self) -> dict[str, str]:
        """ClickHouse's type of every parameter that the SQL names."""
        return dict(PLACEHOLDER.findall(self.sql))


@cache
def load_queries(directory: Path = DIRECTORY) -> dict[str, Query]:
    """All queries by name. Raises ValueError naming the file whose header is not as it should be."""
    return {path.stem: _parse(path) for path in sorted(directory.glob("*.sql"))}


def _parse(path: Path) -> Query:
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if line.startswith("--")]
    start = f"-- {path.stem}: "
    if not head or not head[0].startswith(start):
        raise ValueError(f"{path.name}: the first line must be `{start}what it is`")
    told: dict[str, str] = {}
    for line in head[1:]:
        found = HEADER.fullmatch(line)
        if found:
            told[found[1]] = found[2]
    columns = {name.removeprefix("column "): text for name, text in told.items() if name.startswith("column ")}
    settings = {name.removeprefix("set "): text for name, text in told.items() if name.startswith("set ")}
    if not columns or not {"group", "parameters"} <= told.keys():
        raise ValueError(f"{path.name}: its header lacks group, parameters or columns")
    body = "\n".join(line for line in lines if not line.startswith("--")).strip()
    parts = [_part(path.parent / "parts" / f"{name}.sql") for name in told.get("include", "").split()]
    sql = "WITH\n" + ",\n".join(parts) + "\n" + body if parts else body
    return Query(
        path.stem, head[0][len(start) :], told["group"], tuple(told["parameters"].split()), columns, sql, settings
    )


def _part(path: Path) -> str:
    """A part without its comments."""
    text = path.read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip()
