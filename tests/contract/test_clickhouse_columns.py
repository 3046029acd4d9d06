"""Avro columns, table columns, view columns and what the sink sends agree; nobody else reads the stored tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from processors.sinks.rows import EVENTS, POSITIONS, REJECTED, SESSIONS, TABLES, TableSpec
from schemas.clients.clickhouse import DATABASE, load_migrations
from schemas.codec import current_schemas, named_types

ROOT = Path(__file__).parents[2]
SQL = "\n".join(statement for migration in load_migrations() for statement in migration.statements(DATABASE))
TYPES = {
    **{f"<u{n}": f"UInt{8 * n}" for n in (1, 2, 4, 8)},
    **{f"<i{n}": f"Int{8 * n}" for n in (1, 2, 4, 8)},
}
TIME = "DateTime64(3, 'UTC')"
TABLE_RECORD = {"positions": "Positions", "events": "Events", "rejected": "Rejected", "sessions": "SessionRows"}

# README "Words"
POSITION_WORDS = [
    *(
        "device_id",
        "protocol",
        "time_ms",
        "fix_time_ms",
        "device_time_ms",
        "received_ms",
        "valid",
        "latitude",
        "longitude",
    ),
    *("altitude_m", "speed_kmh", "course_deg", "satellites", "hdop", "accuracy_m", "ignition", "odometer_m"),
    *("battery_percent", "battery_v", "power_v", "rssi", "fuel_percent", "flags", "moving", "alarms", "cells", "wifi"),
    "attributes",
]
EVENT_WORDS = [
    *("device_id", "kind", "time_ms", "subject", "received_ms", "latitude", "longitude", "replayed", "attributes"),
]
VIEW_NAMES = {"positions": POSITION_WORDS, "events": EVENT_WORDS}


def avro_columns(spec: TableSpec) -> dict[str, Any]:
    schema = current_schemas()[spec.record.__name__]
    table = named_types(schema.declaration)[f"lodestream.{TABLE_RECORD[spec.name]}"]
    return {field["name"]: field["type"] for field in table["fields"]}


def stored_columns(table: str) -> dict[str, str]:
    """Name to type, as the CREATE TABLE statement says (columns that the server computes left out)."""
    body = re.search(rf"CREATE TABLE IF NOT EXISTS {DATABASE}\.{table}\n\(\n(.*?)\n\)\n", SQL, re.DOTALL)
    assert body, table
    columns = {}
    for line in body[1].splitlines():
        found = re.match(r"    (\w+) (\w+(?:\(\w+(?:, '\w+')?\))?)", line)
        if found and found[1] != "INDEX" and not re.search(r"\b(ALIAS|MATERIALIZED)\b", line):
            columns[found[1]] = found[2]
    return columns


def view_columns(view: str) -> dict[str, str]:
    """Name to expression, as the CREATE VIEW statement says."""
    body = re.search(rf"CREATE VIEW IF NOT EXISTS {DATABASE}\.{view} AS\nSELECT\n(.*?)\nFROM ", SQL, re.DOTALL)
    assert body, view
    lines = [line.strip().rstrip(",").rpartition(" AS ") for line in body[1].splitlines()]
    return {name: expression for expression, _, name in lines}


@pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.name)
def test_the_sink_sends_every_column_with_its_type(spec: TableSpec) -> None:
    stored = stored_columns(spec.table)
    stored.pop("withdrawn", None)  # only a replay sets it; 0 unless sent
    assert dict(spec.columns) == stored


@pytest.mark.parametrize("spec", TABLES, ids=lambda spec: spec.name)
def test_every_avro_column_is_stored_as_it_travels(spec: TableSpec) -> None:
    stored = dict(spec.columns)
    for name, declared in avro_columns(spec).items():
        if name == "received_ms" and name not in stored:
            name, expected = "delay_ds", "Int64"
        elif name in ("time_ms", "received_ms", "opened_ms"):
            expected = TIME
        elif isinstance(declared, dict) and "items" in declared:
            expected = TYPES[declared["items"]]
        else:
            assert stored.pop(name) in ("String", "LowCardinality(String)"), name
            continue
        assert stored.pop(name) == expected, name
    ours = {"positions": {"version"}, "events": {"version"}, "rejected": {"version", "frame_partition"}}
    assert set(stored) == ours.get(spec.name, {"version", "gateway"})


@pytest.mark.parametrize("spec", [POSITIONS, EVENTS, REJECTED], ids=lambda spec: spec.name)
def test_tables_that_a_replay_corrects_have_version_withdrawn_arrival(spec: TableSpec) -> None:
    stored = stored_columns(spec.table)
    assert (stored["version"], stored["withdrawn"]) == ("UInt32", "UInt8")
    assert f"{DATABASE}.{spec.table}" in SQL
    assert re.search(rf"{spec.table}\n\(.*?arrival DateTime64\(1, 'UTC'\) ALIAS.*?\n\)\n", SQL, re.DOTALL)


@pytest.mark.parametrize("view", ["positions", "latest", "events"])
def test_absent_numbers_are_null_in_the_views(view: str) -> None:
    spec = POSITIONS if view != "events" else EVENTS
    table = "latest_raw" if view == "latest" else spec.table
    absent = {n: t["absent"] for n, t in avro_columns(spec).items() if isinstance(t, dict) and "absent" in t}
    assert len(absent) >= 2
    expressions = "\n".join(view_columns(view).values())
    for name in sorted(absent.keys() & stored_columns(table).keys()):
        if view == "latest" and name.endswith("_e7"):
            continue  # its feed takes no row without a place
        value = absent[name]
        assert f"nullIf(raw.{name}, {value})" in expressions or f"if(raw.{name} = {value}, NULL" in expressions, name


@pytest.mark.parametrize("view", VIEW_NAMES)
def test_views_have_the_names_of_the_contract(view: str) -> None:
    assert list(view_columns(view)) == VIEW_NAMES[view]


def test_views_of_rejected_and_sessions_show_every_column() -> None:
    assert set(view_columns("rejected")) == set(avro_columns(REJECTED)) | {"frame_partition"}
    assert set(view_columns("sessions")) == set(avro_columns(SESSIONS)) | {"gateway"}
    assert set(view_columns("latest")) < set(VIEW_NAMES["positions"])


def test_every_view_collapses_repeats() -> None:
    views = re.findall(
        rf"CREATE VIEW IF NOT EXISTS {DATABASE}\.(\w+) AS.*?FROM {DATABASE}\.(\w+) AS raw FINAL\b", SQL, re.DOTALL
    )
    assert views == [(name, f"{name}_raw") for name in ("positions", "latest", "events", "rejected", "sessions")]
    assert len(re.findall(r"CREATE VIEW", SQL)) == len(views) + 1  # daily, which reads the view of positions


def test_durable_tables_are_synced() -> None:
    tables = re.findall(r"CREATE TABLE.*?(?=\nCREATE|\Z)", SQL, re.DOTALL)
    assert len(tables) == 8
    for table in tables:
        for setting in ("fsync_after_insert = 1", "fsync_part_directory = 1", "min_rows_to_fsync_after_merge = 1"):
            assert setting in table


STORED = re.compile(r"\b(positions|events|rejected|sessions|latest)_raw\b")
MAY_READ = ("schemas/clickhouse/migrations/", "processors/sinks/", "processors/replay/", "tests/", ".venv/")


def test_nothing_else_reads_the_stored_tables() -> None:
    searched, guilty = 0, []
    for room in ("gateway", "processors", "schemas", "deploy", "docs"):
        for path in sorted((ROOT / room).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix not in {".py", ".sql", ".json", ".yaml", ".yml", ".sh", ".toml"} or name.startswith(
                MAY_READ
            ):
                continue
            searched += 1
            if STORED.search(path.read_text(encoding="utf-8")):
                guilty.append(name)
    assert guilty == []
    assert searched > 20
