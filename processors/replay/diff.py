"""A dry run: what a replay would write goes into tables of its own, and ClickHouse compares them with what is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from processors.replay.rework import Output
from processors.replay.store import TABLES, Run, condition
from processors.sinks.rows import EVENT_COLUMNS, EVENTS, POSITION_COLUMNS, POSITIONS, TableSpec
from schemas.clients.clickhouse import Client
from schemas.records import EventBatch, PositionBatch

EXAMPLES = 5
SPECS: dict[str, TableSpec] = {"positions": POSITIONS, "events": EVENTS}
KEYS = {"positions": ("device_id", "time_ms", "frame_key"), "events": ("device_id", "kind", "time_ms", "subject")}
GROUPS = {"positions": "protocol", "events": "kind"}
APART = frozenset({"version", "withdrawn", "delay_ds", "replayed"})


@dataclass(slots=True)
class Difference:
    """Of positions or events. groups: by protocol or kind, (appear, change, vanish). fields: how often each changes."""

    groups: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    fields: dict[str, int] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)


class DryTables:
    """Takes outputs into tables that are gone at the end."""

    def __init__(self, client: Client, run: Run) -> None:
        self._client = client
        self._run = run
        self._names = {name: f"replay_dry_{run.token}_{name}" for name in SPECS}

    def __enter__(self) -> DryTables:
        for name, table in self._names.items():
            self._client.command(f"CREATE TABLE {table} AS {TABLES[name]}")
        return self

    def __exit__(self, *_: object) -> None:
        for table in self._names.values():
            self._client.command(f"DROP TABLE IF EXISTS {table} SYNC")

    def take(self, _: int, outputs: list[Output]) -> None:
        """Insert the rows of outputs."""
        for output in outputs:
            name = (
                "positions" if isinstance(output, PositionBatch) else "events" if isinstance(output, EventBatch) else ""
            )
            if name:
                spec = SPECS[name]
                self._client.insert(
                    self._names[name],
                    spec.rows(output).columns,
                    column_names=spec.column_names,
                    column_type_names=spec.column_types,
                    column_oriented=True,
                )

    def differences(self) -> dict[str, Difference]:
        """Compare what was taken with what is stored."""
        return {name: self._difference(name) for name in SPECS}

    def _difference(self, name: str) -> Difference:
        columns = [c for c, _ in (POSITION_COLUMNS if name == "positions" else EVENT_COLUMNS) if c not in APART]
        keys, group = KEYS[name], GROUPS[name]
        compared = [column for column in columns if column not in keys]
        told, parameters = condition(name, self._run)
        listed = ", ".join(columns)
        changes = ", ".join(f"('{c}', toString(o.{c}), toString(n.{c}))" for c in compared)
        joined = (
            f"SELECT if(n.here, toString(n.{group}), toString(o.{group})) AS grouped, n.here AS new, o.here AS old, "
            f"{', '.join(f'if(n.here, n.{k}, o.{k}) AS {k}_key' for k in keys)}, "
            f"arrayFilter(c -> new AND old AND c.2 != c.3, [{changes}]) AS changes "
            f"FROM (SELECT {listed}, 1 AS here FROM {TABLES[name]} FINAL WHERE {told}) AS o "
            f"FULL OUTER JOIN (SELECT {listed}, 1 AS here FROM {self._names[name]} FINAL) AS n "
            f"ON {' AND '.join(f'o.{k} = n.{k}' for k in keys)}"
        )
        found = Difference()
        rows = self._client.query(
            f"SELECT grouped, countIf(NOT old), countIf(notEmpty(changes)), countIf(NOT new) FROM ({joined}) "
            "GROUP BY grouped ORDER BY grouped",
            parameters,
        ).result_rows
        found.groups = {str(row[0]): (int(row[1]), int(row[2]), int(row[3])) for row in rows if any(row[1:])}
        rows = self._client.query(
            f"SELECT arrayJoin(changes).1 AS name, count() FROM ({joined}) GROUP BY name ORDER BY count() DESC",
            parameters,
        ).result_rows
        found.fields = {str(field_name): int(count) for field_name, count in rows}
        rows = self._client.query(
            f"SELECT {', '.join(f'toString({k}_key)' for k in keys)}, new, old, changes FROM ({joined}) "
            f"WHERE notEmpty(changes) OR NOT new OR NOT old ORDER BY notEmpty(changes) DESC LIMIT {EXAMPLES}",
            parameters,
        ).result_rows
        for *values, new, old, changed in rows:
            what = "changes" if new and old else "appears" if new else "vanishes"
            fields = {c: {"stored": a, "new": b} for c, a, b in changed}
            found.examples.append(dict(zip(keys, values, strict=True)) | {"what": what, "fields": fields})
        return found
