"""Batches to columns: what is stored, what is out of range, and how blocks are cut by week."""

from __future__ import annotations

import json
from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from processors.sinks.rows import (
    ABSENT_I4,
    ABSENT_I8,
    EVENTS,
    INSTANT_HIGH_MS,
    INSTANT_LOW_MS,
    MONDAY_MS,
    POSITIONS,
    REJECTED,
    SESSIONS,
    TABLES,
    TIME_HIGH_MS,
    WEEK_MS,
    Columns,
    Rows,
    TableSpec,
    refused_row,
    split_weeks,
)
from schemas.records import (
    EventBatch,
    Events,
    Flag,
    PositionBatch,
    Positions,
    Rejected,
    RejectedBatch,
    SessionBatch,
    SessionRows,
    Source,
)

NOW_MS = 1_760_000_000_123
SOURCE = Source(partition=3, first=10, last=12, version=7)


def positions(**columns: list[int]) -> Positions:
    """As many reports as the columns given have values; everything else ordinary."""
    count = len(next(iter(columns.values())))
    ordinary: dict[str, object] = {f.name: [0] * count for f in fields(Positions)}
    ordinary |= {name: ["x"] * count for name in ("device_id", "protocol", "alarms", "cells", "wifi", "attributes")}
    ordinary |= {"time_ms": [NOW_MS] * count, "received_ms": [NOW_MS + 2500] * count, "valid": [1] * count}
    return Positions(**(ordinary | columns))  # type: ignore[arg-type]


def by_name(spec: TableSpec, rows: Rows) -> dict[str, list[object]]:
    assert len(rows.columns) == len(spec.columns)
    return {name: list(column) for name, column in zip(spec.column_names, rows.columns, strict=True)}


def store(**columns: list[int]) -> tuple[dict[str, list[object]], Rows]:
    rows = POSITIONS.rows(PositionBatch(SOURCE, positions=positions(**columns)))
    return by_name(POSITIONS, rows), rows


def test_ordinary_positions_pass_untouched() -> None:
    p = positions(latitude_e7=[1, 2], altitude_m=[5, 6])
    rows = POSITIONS.rows(PositionBatch(SOURCE, positions=p))
    stored = by_name(POSITIONS, rows)
    own = [f.name for f in fields(Positions) if f.name != "received_ms"]
    assert {name: stored[name] for name in own} == {name: getattr(p, name) for name in own}
    assert rows.columns[POSITIONS.column_names.index("latitude_e7")] is p.latitude_e7
    assert stored["version"] == [7, 7]
    assert rows.clamped == 0


def test_delay_is_between_tenths_of_seconds() -> None:
    stored, _ = store(time_ms=[1_000_099, 1_000_100, 2_000_000], received_ms=[1_000_200, 1_000_199, 1_999_999])
    assert stored["delay_ds"] == [2, 0, -1]


def test_key_time_out_of_range_moves_and_keeps_the_instants() -> None:
    stored, rows = store(
        time_ms=[-5000, TIME_HIGH_MS + 7000, NOW_MS],
        fix_offset_ms=[0, 0, 0],
        device_offset_ms=[-1000, ABSENT_I8, 0],
    )
    assert stored["time_ms"] == [0, TIME_HIGH_MS, NOW_MS]
    assert stored["fix_offset_ms"] == [-5000, 7000, 0]
    assert stored["device_offset_ms"] == [-6000, ABSENT_I8, 0]
    assert stored["flags"] == [Flag.OUT_OF_RANGE, Flag.OUT_OF_RANGE, 0]
    assert rows.clamped == 2


def test_instants_that_no_column_holds_become_absent() -> None:
    stored, rows = store(
        fix_offset_ms=[INSTANT_HIGH_MS - NOW_MS, INSTANT_HIGH_MS - NOW_MS + 1, 0],
        device_offset_ms=[INSTANT_LOW_MS - NOW_MS, 0, INSTANT_LOW_MS - NOW_MS - 1],
        flags=[0, int(Flag.LATE), 0],
    )
    assert stored["fix_offset_ms"] == [INSTANT_HIGH_MS - NOW_MS, ABSENT_I8, 0]
    assert stored["device_offset_ms"] == [INSTANT_LOW_MS - NOW_MS, 0, ABSENT_I8]
    assert stored["flags"] == [0, Flag.LATE | Flag.OUT_OF_RANGE, Flag.OUT_OF_RANGE]
    assert rows.clamped == 2


EXTREME = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-(10**13), 10**13))


@given(st.lists(st.tuples(EXTREME, EXTREME, EXTREME), min_size=1, max_size=5))
def test_whatever_times_arrive_the_stored_ones_fit(times: list[tuple[int, int, int]]) -> None:
    time_ms, received_ms, offsets = (list(column) for column in zip(*times, strict=True))
    stored, rows = store(time_ms=time_ms, received_ms=received_ms, device_offset_ms=offsets)
    for t, delay, offset, literal, given_offset in zip(
        stored["time_ms"], stored["delay_ds"], stored["device_offset_ms"], time_ms, offsets, strict=True
    ):
        assert isinstance(t, int)
        assert isinstance(delay, int)
        assert isinstance(offset, int)
        assert 0 <= t <= TIME_HIGH_MS
        assert 0 <= t // 100 + delay <= TIME_HIGH_MS // 100
        assert offset == ABSENT_I8 or t + offset == literal + given_offset
        assert offset == ABSENT_I8 or INSTANT_LOW_MS <= t + offset <= INSTANT_HIGH_MS
    assert all(0 <= r <= TIME_HIGH_MS for r in rows.received_ms)


def test_rows_that_the_latest_view_takes_are_counted() -> None:
    assert POSITIONS.fed is not None
    live = Source(0, 0, 0)
    day_ahead = [NOW_MS, NOW_MS, NOW_MS, NOW_MS + 2 * 86_400_000]
    p = positions(valid=[1, 0, 1, 1], latitude_e7=[1, 1, ABSENT_I4, 1], time_ms=day_ahead)
    assert POSITIONS.fed(POSITIONS.rows(PositionBatch(live, positions=p)).columns) == 1
    assert POSITIONS.fed(POSITIONS.rows(PositionBatch(SOURCE, positions=p)).columns) == 0
    filtered, quarantined = Flag.FILTERED | Flag.JUMP, Flag.QUARANTINED
    p = positions(
        flags=[filtered, quarantined, Flag.CLOCK_CORRECTED, Flag.LATE],
        **dict.fromkeys(("valid", "latitude_e7", "longitude_e7"), [1] * 4),
    )
    assert POSITIONS.fed(POSITIONS.rows(PositionBatch(live, positions=p)).columns) == 2


def test_events_rejected_and_sessions() -> None:
    event = Events(["d"], ["sos"], [NOW_MS], ["s"], [NOW_MS + 1000], [1], [2], [0], ["{}"])
    stored = by_name(EVENTS, EVENTS.rows(EventBatch(SOURCE, event)))
    assert (stored["kind"], stored["delay_ds"], stored["version"]) == (["sos"], [10], [7])
    bad = Rejected(["bad_date"], ["why"], ["gt06"], ["d"], [NOW_MS], ["s"], ["p"], [11], [2], [b"\x00\xff"])
    stored = by_name(REJECTED, REJECTED.rows(RejectedBatch(SOURCE, bad)))
    assert (stored["frame_partition"], stored["frame_offset"], stored["payload"]) == ([3], [11], [b"\x00\xff"])
    two = SessionRows(**{f.name: [0, 0] for f in fields(SessionRows)})  # type: ignore[arg-type]
    two.status, two.time_ms, two.opened_ms = ["opened", "closed"], [NOW_MS, NOW_MS], [NOW_MS, NOW_MS]
    stored = by_name(SESSIONS, SESSIONS.rows(SessionBatch("gw", two)))
    assert stored["gateway"] == ["gw", "gw"]
    assert stored["version"] == [NOW_MS * 4, NOW_MS * 4 + 3]


def test_empty_batches_give_empty_columns() -> None:
    for spec, batch in zip(
        TABLES, (PositionBatch(SOURCE), EventBatch(SOURCE), RejectedBatch(SOURCE), SessionBatch("gw")), strict=True
    ):
        rows = spec.rows(batch)
        assert [len(column) for column in rows.columns] == [0] * len(spec.columns)


def test_few_weeks_are_one_block_untouched() -> None:
    columns: Columns = [[0, WEEK_MS, 2 * WEEK_MS], ["a", "b", "c"]]
    assert split_weeks(columns, 0, limit=3)[0] is columns


@given(st.lists(st.integers(0, TIME_HIGH_MS), min_size=1, max_size=60), st.integers(1, 5))
def test_pieces_hold_every_row_once_and_few_weeks(times: list[int], limit: int) -> None:
    pieces = split_weeks([times, list(range(len(times)))], 0, limit)
    assert sorted(i for piece in pieces for i in piece[1]) == list(range(len(times)))
    for piece in pieces:
        weeks = [(t + MONDAY_MS) // WEEK_MS for t in piece[0]]
        assert len(set(weeks)) <= limit
        assert len(pieces) == 1 or weeks == sorted(weeks)
        assert all(times[i] == t for t, i in zip(*piece, strict=True))


def test_a_refused_row_tells_what_it_was() -> None:
    rows = POSITIONS.rows(PositionBatch(SOURCE, positions=positions(odometer_m=[5])))
    rows.columns[0] = ["\udcff1"]
    first, second = (refused_row(POSITIONS, rows.columns, "no\udcff", NOW_MS + later) for later in (0, 9999))
    assert first == second  # its arrival is the row's, so a repeat is the same row
    row = dict(zip(REJECTED.column_names, (column[0] for column in first), strict=True))
    assert (row["reason"], row["protocol"], row["received_ms"]) == ("sink", "x", (NOW_MS + 2500) // 100 * 100)
    assert json.loads(row["payload"])["odometer_m"] == 5
    assert all(text.encode() for text in (row["device_id"], row["detail"]))
    session = SESSIONS.rows(SessionBatch("gw", SessionRows(**{f.name: [1] for f in fields(SessionRows)})))  # type: ignore[arg-type]
    assert refused_row(SESSIONS, session.columns, "no", NOW_MS)[0] == [NOW_MS]
