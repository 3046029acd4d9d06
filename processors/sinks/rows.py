"""Batches to column blocks of ClickHouse tables: pure, no row objects; most columns pass untouched."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from schemas import topics
from schemas.errors import Reason
from schemas.records import EventBatch, Flag, PositionBatch, RejectedBatch, SessionBatch

Columns = list[Sequence[Any]]
"""One sequence a column, all of one length, in the order of the table's specification."""

ABSENT_I4 = (1 << 31) - 1
ABSENT_I8 = (1 << 63) - 1
TIME_LOW_MS, TIME_HIGH_MS = 0, 5_662_310_399_999
"""1970-01-01 to 2149-06-06: what a day number of 16 bits can name, and so what keys and partitions hold."""
INSTANT_LOW_MS, INSTANT_HIGH_MS = -2_208_988_800_000, 10_413_791_999_999
"""1900 to 2299: what a DateTime64(3) holds."""

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
MONDAY_MS = 3 * DAY_MS
"""The epoch was a Thursday: this makes weeks begin on Mondays, as partitions do."""
MAX_WEEKS = 50
STATUSES = {"opened": 0, "identified": 1, "active": 2, "closed": 3}


@dataclass(frozen=True, slots=True)
class Rows:
    """What one record adds to a table.

    received_ms: arrival of each row. clamped: rows with a value outside of its column's range, which became absent (or,
    the key time, the nearest that the column holds).
    """

    columns: Columns
    received_ms: Sequence[int]
    clamped: int = 0


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table and the topic that fills it; columns are (name, ClickHouse type), in the order of `Rows.columns`.

    partition_time: index of the column that partitions are made of. fed: how many rows of a block a materialized view
    copies to another table (servers count them as written, too); None: no such view.
    """

    name: str
    topic: str
    record: type[Any]
    columns: tuple[tuple[str, str], ...]
    rows: Callable[[Any], Rows]
    partition_time: int
    fed: Callable[[Columns], int] | None = None

    @property
    def table(self) -> str:
        """The stored table."""
        return f"{self.name}_raw"

    @property
    def column_names(self) -> list[str]:
        return [name for name, _ in self.columns]

    @property
    def column_types(self) -> list[str]:
        return [kind for _, kind in self.columns]


def _in_range(column: Sequence[int], low: int, high: int) -> bool:
    return not column or (min(column) >= low and max(column) <= high)


def _clamp(time_ms: int) -> int:
    return min(max(time_ms, TIME_LOW_MS), TIME_HIGH_MS)


def _offsets(column: Sequence[int], stored: Sequence[int], literal: Sequence[int], bad: set[int]) -> Sequence[int]:
    """Offsets to a time that may have moved into range; those that name no instant become absent, rows `bad`."""
    low, high = INSTANT_LOW_MS - TIME_LOW_MS, INSTANT_HIGH_MS - TIME_HIGH_MS
    if stored is literal and all(low <= value <= high or value == ABSENT_I8 for value in set(column)):
        return column
    result = list(column)
    for i, value in enumerate(column):
        instant = literal[i] + value
        if value == ABSENT_I8:
            continue
        if INSTANT_LOW_MS <= instant <= INSTANT_HIGH_MS:
            result[i] = instant - stored[i]
        else:
            result[i] = ABSENT_I8
            bad.add(i)
    return result


def _key_times(column: Sequence[int], bad: set[int]) -> Sequence[int]:
    """Key times that the table can hold: the nearest one where a device claims another, and the row is `bad`."""
    if _in_range(column, TIME_LOW_MS, TIME_HIGH_MS):
        return column
    bad.update(i for i, time_ms in enumerate(column) if time_ms != _clamp(time_ms))
    return [_clamp(time_ms) for time_ms in column]


def _delays(received_ms: Sequence[int], time_ms: Sequence[int]) -> list[int]:
    return [r // 100 - t // 100 for r, t in zip(received_ms, time_ms, strict=True)]


POSITION_COLUMNS: tuple[tuple[str, str], ...] = (
    ("device_id", "LowCardinality(String)"),
    ("protocol", "LowCardinality(String)"),
    ("time_ms", "DateTime64(3, 'UTC')"),
    ("frame_key", "UInt32"),
    ("version", "UInt32"),
    ("fix_offset_ms", "Int64"),
    ("device_offset_ms", "Int64"),
    ("delay_ds", "Int64"),
    ("flags", "UInt32"),
    ("valid", "UInt8"),
    ("latitude_e7", "Int32"),
    ("longitude_e7", "Int32"),
    ("altitude_m", "Int16"),
    ("speed_x10", "UInt16"),
    ("course_x10", "UInt16"),
    ("satellites", "UInt8"),
    ("hdop_x10", "UInt8"),
    ("accuracy_x10", "UInt16"),
    ("ignition", "UInt8"),
    ("odometer_m", "UInt32"),
    ("battery_percent_x10", "UInt16"),
    ("battery_mv", "UInt16"),
    ("power_mv", "UInt16"),
    ("rssi", "Int16"),
    ("fuel_percent_x10", "UInt16"),
    ("moving", "UInt8"),
    ("alarms", "LowCardinality(String)"),
    ("cells", "String"),
    ("wifi", "String"),
    ("attributes", "String"),
)
_POSITION_NAMES = [name for name, _ in POSITION_COLUMNS]
_POSITION_PLAIN = tuple(_POSITION_NAMES[9:])
_LATEST_CONDITION = tuple(
    map(_POSITION_NAMES.index, ("version", "delay_ds", "valid", "latitude_e7", "longitude_e7", "flags"))
)
NOT_LATEST = int(Flag.FILTERED | Flag.QUARANTINED)


def position_rows(batch: PositionBatch) -> Rows:
    """Columns of positions_raw. Key times outside of 1970-2149 become its nearest end, others absent; flagged."""
    p = batch.positions
    bad: set[int] = set()
    time_ms = _key_times(p.time_ms, bad)
    received_ms = _key_times(p.received_ms, bad)
    fix_offset_ms = _offsets(p.fix_offset_ms, time_ms, p.time_ms, bad)
    device_offset_ms = _offsets(p.device_offset_ms, time_ms, p.time_ms, bad)
    flags: Sequence[int] = p.flags
    if bad:
        flags = [value | Flag.OUT_OF_RANGE if i in bad else value for i, value in enumerate(flags)]
    columns: Columns = [
        p.device_id,
        p.protocol,
        time_ms,
        p.frame_key,
        [batch.source.version] * len(time_ms),
        fix_offset_ms,
        device_offset_ms,
        _delays(received_ms, time_ms),
        flags,
        *(getattr(p, name) for name in _POSITION_PLAIN),
    ]
    return Rows(columns, received_ms, len(bad))


def latest_fed(columns: Columns) -> int:
    """Rows of a positions block that the view `latest_feed` takes (migration 0008_latest_without_filtered.sql)."""
    version, delay_ds, valid, latitude_e7, longitude_e7, flags = (columns[i] for i in _LATEST_CONDITION)
    return sum(
        not v and d > -864_000 and ok == 1 and y != ABSENT_I4 and x != ABSENT_I4 and not f & NOT_LATEST
        for v, d, ok, y, x, f in zip(version, delay_ds, valid, latitude_e7, longitude_e7, flags, strict=True)
    )


EVENT_COLUMNS: tuple[tuple[str, str], ...] = (
    ("device_id", "LowCardinality(String)"),
    ("kind", "LowCardinality(String)"),
    ("time_ms", "DateTime64(3, 'UTC')"),
    ("subject", "LowCardinality(String)"),
    ("version", "UInt32"),
    ("delay_ds", "Int64"),
    ("latitude_e7", "Int32"),
    ("longitude_e7", "Int32"),
    ("replayed", "UInt8"),
    ("attributes", "String"),
)


def event_rows(batch: EventBatch) -> Rows:
    """Columns of events_raw; times as in `position_rows`."""
    e = batch.events
    bad: set[int] = set()
    time_ms, received_ms = _key_times(e.time_ms, bad), _key_times(e.received_ms, bad)
    version = [batch.source.version] * len(time_ms)
    delays = _delays(received_ms, time_ms)
    place = (e.latitude_e7, e.longitude_e7, e.replayed, e.attributes)
    return Rows([e.device_id, e.kind, time_ms, e.subject, version, delays, *place], received_ms, len(bad))


REJECTED_COLUMNS: tuple[tuple[str, str], ...] = (
    ("received_ms", "DateTime64(3, 'UTC')"),
    ("frame_partition", "Int32"),
    ("frame_offset", "Int64"),
    ("frame_index", "UInt16"),
    ("version", "UInt32"),
    ("reason", "LowCardinality(String)"),
    ("detail", "String"),
    ("protocol", "LowCardinality(String)"),
    ("device_id", "LowCardinality(String)"),
    ("session_id", "String"),
    ("peer", "String"),
    ("payload", "String"),
)


def rejected_rows(batch: RejectedBatch) -> Rows:
    """Columns of rejected_raw; payload stays bytes."""
    r, source = batch.rejected, batch.source
    bad: set[int] = set()
    received_ms = _key_times(r.received_ms, bad)
    count = len(received_ms)
    columns: Columns = [
        received_ms,
        [source.partition] * count,
        r.frame_offset,
        r.frame_index,
        [source.version] * count,
        r.reason,
        r.detail,
        r.protocol,
        r.device_id,
        r.session_id,
        r.peer,
        r.payload,
    ]
    return Rows(columns, received_ms, len(bad))


SESSION_COLUMNS: tuple[tuple[str, str], ...] = (
    ("session_id", "String"),
    ("version", "UInt64"),
    ("gateway", "LowCardinality(String)"),
    ("status", "LowCardinality(String)"),
    ("time_ms", "DateTime64(3, 'UTC')"),
    ("opened_ms", "DateTime64(3, 'UTC')"),
    ("peer", "String"),
    ("transport", "LowCardinality(String)"),
    ("protocol", "LowCardinality(String)"),
    ("device_id", "String"),
    ("frames", "UInt64"),
    ("bytes_in", "UInt64"),
    ("bytes_out", "UInt64"),
    ("replies", "UInt64"),
    ("unknown_bytes", "UInt64"),
    ("last_in", "String"),
    ("last_out", "String"),
    ("reason", "LowCardinality(String)"),
)
_SESSION_PLAIN = tuple(name for name, _ in SESSION_COLUMNS[6:])


def session_rows(batch: SessionBatch) -> Rows:
    """Columns of sessions_raw; the newest row of a session counts, at one millisecond the later status."""
    s = batch.sessions
    bad: set[int] = set()
    time_ms, opened_ms = _key_times(s.time_ms, bad), _key_times(s.opened_ms, bad)
    version = [t * 4 + STATUSES.get(status, 0) for t, status in zip(time_ms, s.status, strict=True)]
    columns: Columns = [s.session_id, version, [batch.gateway] * len(time_ms), s.status, time_ms, opened_ms]
    columns += [getattr(s, name) for name in _SESSION_PLAIN]
    return Rows(columns, time_ms, len(bad))


POSITIONS = TableSpec("positions", topics.POSITIONS, PositionBatch, POSITION_COLUMNS, position_rows, 2, latest_fed)
EVENTS = TableSpec("events", topics.EVENTS, EventBatch, EVENT_COLUMNS, event_rows, 2)
REJECTED = TableSpec("rejected", topics.REJECTED, RejectedBatch, REJECTED_COLUMNS, rejected_rows, 0)
SESSIONS = TableSpec("sessions", topics.SESSIONS, SessionBatch, SESSION_COLUMNS, session_rows, 5)
TABLES = (POSITIONS, EVENTS, REJECTED, SESSIONS)


def row_count(columns: Columns) -> int:
    return len(columns[0]) if columns else 0


def split_weeks(columns: Columns, partition_time: int, limit: int = MAX_WEEKS) -> list[Columns]:
    """Cut a block so that no piece spans more than `limit` weeks (a server takes at most 100 partitions an insert).

    Usually the block itself; otherwise its rows sorted by week.
    """
    weeks = [(time_ms + MONDAY_MS) // WEEK_MS for time_ms in columns[partition_time]]
    distinct = sorted(set(weeks))
    if len(distinct) <= limit:
        return [columns]
    piece_of = {week: number // limit for number, week in enumerate(distinct)}
    members: list[list[int]] = [[] for _ in range(-(-len(distinct) // limit))]
    for i in sorted(range(len(weeks)), key=weeks.__getitem__):
        members[piece_of[weeks[i]]].append(i)
    return [[[column[i] for i in rows] for column in columns] for rows in members]


def refused_row(spec: TableSpec, columns: Columns, error: str, now_ms: int) -> Columns:
    """The row of `rejected` for the one row of `columns` that ClickHouse refused: reason sink, payload its JSON.

    Its identity is arrival and content, so that a repeat is the same row again.
    """
    row = {name: column[0] for (name, _), column in zip(spec.columns, columns, strict=True)}
    text = json.dumps({"table": spec.table, **row}, default=_printable, ensure_ascii=True)
    received_ms = _arrival(row, now_ms)
    device_id, protocol = (_text(row.get(name, "")) for name in ("device_id", "protocol"))
    values = (received_ms, -1, 0, 0, 0, str(Reason.SINK), _text(error), protocol, device_id, "", "", text.encode())
    return [[value] for value in values]


def _arrival(row: dict[str, Any], now_ms: int) -> int:
    """Arrival of a row as far as it can be told, else now."""
    try:
        received_ms = row["time_ms"] // 100 * 100 + row["delay_ds"] * 100 if "delay_ds" in row else row["received_ms"]
    except (KeyError, TypeError):
        return now_ms
    good = isinstance(received_ms, int) and TIME_LOW_MS <= received_ms <= TIME_HIGH_MS
    return received_ms if good else now_ms


def _printable(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else repr(value)


def _text(value: Any) -> str:
    """Text that UTF-8 can carry."""
    return str(value).encode("utf-8", "backslashreplace").decode()
