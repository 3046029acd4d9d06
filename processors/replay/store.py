"""What a replay does in ClickHouse: its record, withdrawing what it did not write again, and `latest` made anew."""

from __future__ import annotations

import getpass
import json
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from processors.replay.selection import Place, Selection
from schemas.clients.clickhouse import Client
from schemas.errors import Reason
from schemas.topics import EVENTS, POSITIONS, REJECTED

LATEST_FEED = "latest_feed"
TABLES = {POSITIONS: "positions_raw", EVENTS: "events_raw", REJECTED: "rejected_raw"}
TARGET_REASONS = tuple(
    str(reason) for reason in Reason if reason not in (Reason.SINK, Reason.UNKNOWN_DEVICE, Reason.NO_IDENTITY)
)
SINK_POLL_S = 0.5


class ReplayError(Exception):
    """Something that an operator can mend; the message says what."""


@dataclass(frozen=True, slots=True)
class Run:
    """One replay."""

    number: int
    token: str
    started_ms: int
    selection: Selection
    code: str
    status: str


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _now_ms() -> int:
    return round(time.time() * 1000)


def begin(client: Client, selection: Selection, code: str) -> Run:
    """Take the next number and write the record of the run."""
    for _ in range(20):
        number = int(client.query("SELECT max(run) FROM replay_runs").result_rows[0][0]) + 1
        run = Run(number, secrets.token_hex(8), _now_ms(), selection, code, "running")
        record(client, run, {})
        tokens = [
            row[0]
            for row in client.query("SELECT token FROM replay_runs WHERE run = {n:UInt32}", {"n": number}).result_rows
        ]
        if min(tokens) == run.token:
            return run
    raise ReplayError("no number of a run is free: do many replays start at once?")


def record(client: Client, run: Run, counts: dict[str, Any]) -> None:
    """Write how far a run is."""
    row = [
        run.number,
        run.token,
        _moment(_now_ms()),
        _moment(run.started_ms),
        run.status,
        f"{getpass.getuser()}@{socket.gethostname()}",
        run.code,
        json.dumps(run.selection.options()),
        json.dumps(counts),
    ]
    names = ["run", "token", "updated_ms", "started_ms", "status", "who", "code", "options", "counts"]
    client.insert("replay_runs", [row], column_names=names)


def find(client: Client, number: int) -> Run:
    """A run by its number. Raises ReplayError."""
    rows = client.query(
        "SELECT token, toUnixTimestamp64Milli(started_ms), options, code, status FROM replay_runs FINAL "
        "WHERE run = {n:UInt32} ORDER BY token LIMIT 1",
        {"n": number},
    ).result_rows
    if not rows:
        raise ReplayError(f"there is no run {number}: `lodestream replay --list` shows them")
    token, started_ms, options, code, status = rows[0]
    return Run(number, token, started_ms, Selection.from_options(json.loads(options)), code, status)


def runs(client: Client) -> list[tuple[Any, ...]]:
    """All runs: number, begin, status, who, code, options, counts."""
    query = "SELECT run, started_ms, status, who, code, options, counts FROM replay_runs FINAL ORDER BY run"
    return list(client.query(query).result_rows)


def targets(client: Client, selection: Selection) -> frozenset[Place]:
    """Frames that were rejected in the range and may decode today."""
    query = (
        "SELECT frame_partition, frame_offset, frame_index FROM rejected WHERE reason IN {reasons:Array(String)} "
        "AND received_ms >= {from:DateTime64(3, 'UTC')} AND received_ms < {to:DateTime64(3, 'UTC')} "
        "AND (empty({protocols:Array(String)}) OR protocol IN {protocols:Array(String)})"
    )
    parameters = {
        "reasons": list(TARGET_REASONS),
        "from": _moment(selection.from_ms),
        "to": _moment(selection.to_ms),
        "protocols": list(selection.protocols),
    }
    return frozenset((int(p), int(o), int(i)) for p, o, i in client.query(query, parameters).result_rows)


def wait_for_sinks(
    client: Client, ends: dict[str, dict[int, int]], timeout_s: float, note: Callable[[str], None]
) -> None:
    """Wait until everything below these offsets (topic, partition) is stored. Raises ReplayError when nothing goes on."""
    missing, changed = -1, time.monotonic()
    while True:
        stored = {
            (topic, int(partition)): int(following)
            for topic, partition, following in client.query(
                "SELECT topic, partition, max(next) FROM sink_offsets GROUP BY topic, partition"
            ).result_rows
        }
        left = sum(
            max(0, end - stored.get((topic, p), 0)) for topic, places in ends.items() for p, end in places.items()
        )
        if not left:
            return
        if left != missing:
            missing, changed = left, time.monotonic()
            note(f"{left} records are written and not stored yet")
        elif time.monotonic() - changed > timeout_s:
            raise ReplayError(
                f"{left} records wait for a sink worker and none was stored in {timeout_s:.0f} s: is one running?"
            )
        time.sleep(SINK_POLL_S)


def withdraw(client: Client, run: Run) -> dict[str, int]:
    """Withdraw rows of the range that the run did not write again; returns how many, by table.

    By the time their frame arrived, for a mended clock changes ids. Repeating it changes nothing.
    """
    found = {}
    for topic, table in TABLES.items():
        if run.selection.rejected and topic != REJECTED:
            continue
        told, parameters = condition(topic, run)
        names = [
            row[0]
            for row in client.query(
                "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {t:String} "
                "AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') ORDER BY position",
                {"t": table},
            ).result_rows
        ]
        changed = {"version": "toUInt32({run:UInt32})", "withdrawn": "toUInt8(1)"}
        selected = ", ".join(changed.get(name, name) for name in names)
        before = client.query(f"SELECT count() FROM {table} FINAL WHERE {told}", parameters).result_rows[0][0]
        if before:
            client.command(
                f"INSERT INTO {table} ({', '.join(names)}) SELECT {selected} FROM {table} FINAL WHERE {told}",
                parameters,
            )
        found[topic] = int(before)
    return found


def condition(topic: str, run: Run) -> tuple[str, dict[str, Any]]:
    """Which rows a run should have written again and did not."""
    selection = run.selection
    parts = ["version < {run:UInt32}", "arrival >= {from:DateTime64(1, 'UTC')}", "arrival < {to:DateTime64(1, 'UTC')}"]
    parameters: dict[str, Any] = {
        "run": run.number,
        "from": _moment(selection.from_ms),
        "to": _moment(selection.to_ms),
    }
    if selection.device_ids:
        parts.append("device_id IN {devices:Array(String)}")
        parameters["devices"] = list(selection.device_ids)
    if selection.protocols:
        parameters["protocols"] = list(selection.protocols)
        if topic == EVENTS:  # events have no protocol: those of devices that speak it
            parts.append("device_id IN (SELECT device_id FROM positions_raw WHERE version = {run:UInt32})")
        else:
            parts.append("protocol IN {protocols:Array(String)}")
    if topic == REJECTED:
        parts.append("reason IN {reasons:Array(String)}")
        parameters["reasons"] = list(TARGET_REASONS)
    return " AND ".join(parts), parameters


def rebuild_latest(client: Client, run: Run) -> int:
    """Make `latest` of the devices that a run touched anew, under live load; returns how many devices.

    A second table with a feed of its own takes what is inserted meanwhile, is filled, and changes places with the first.
    """
    for kind, name in (("VIEW", "latest_next_feed"), ("TABLE", "latest_next_raw")):
        client.command(f"DROP {kind} IF EXISTS {name} SYNC")
    feed = client.query(
        "SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = {v:String}",
        {"v": LATEST_FEED},
    ).result_rows[0][0]
    client.command("CREATE TABLE latest_next_raw AS latest_raw")
    client.command(f"CREATE MATERIALIZED VIEW latest_next_feed TO latest_next_raw AS {feed}")
    touched = "(SELECT DISTINCT device_id FROM positions_raw WHERE version = {run:UInt32})"
    parameters = {"run": run.number}
    client.command(
        f"INSERT INTO latest_next_raw SELECT * FROM latest_raw FINAL WHERE device_id NOT IN {touched}", parameters
    )
    corrected = feed.replace("lodestream.positions_raw", "(SELECT * FROM lodestream.positions_raw FINAL)").replace(
        "(version = 0) AND ", ""
    )
    client.command(
        f"INSERT INTO latest_next_raw SELECT * FROM ({corrected}) WHERE device_id IN {touched} "
        "ORDER BY device_id, rank DESC LIMIT 1 BY device_id",
        parameters,
    )
    client.command("EXCHANGE TABLES latest_raw AND latest_next_raw")
    client.command("DROP VIEW latest_next_feed SYNC")
    client.command("DROP TABLE latest_next_raw SYNC")
    count = client.query("SELECT uniqExact(device_id) FROM positions_raw WHERE version = {run:UInt32}", parameters)
    return int(count.result_rows[0][0])
