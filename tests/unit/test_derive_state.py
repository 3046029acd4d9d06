"""The state as columns, duplicates, and what no report may do."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from processors.derive.state import (
    RECENT_BYTES,
    RECENT_ENTRY,
    DeviceState,
    copy_of,
    from_columns,
    merge,
    recent_times,
    to_columns,
    with_recent,
)
from schemas.codec import decode, encode
from schemas.records import Flag, PositionBatch, Snapshot, Source, States
from tests.unit.derive_helpers import T0, Device, drive, report, rest


def states() -> list[DeviceState]:
    device = Device(speed_limit_kmh=50, overspeed_min_duration_s=20.0)
    found = [device.state]
    levels = frozenset({"door", "sos"})
    for one in [
        *rest(0, 300, 60, 0, ignition=False),
        *drive(310, 600, 10, 100, 61.7, ignition=True, level_alarms=levels, alarms=["door", "sos"]),
        *rest(610, 900, 10, 6000, clock="unknown"),
    ]:
        device.feed(one)
        found.append(device.state)
    return found


def test_columns_are_the_fields() -> None:
    assert [f.name for f in fields(States)] == [f.name for f in fields(DeviceState)]


def test_columns_give_the_states_back_through_avro() -> None:
    before = states()
    columns = to_columns(before, [s.recent for s in before])
    assert from_columns(columns) == before
    snapshot = decode(encode(Snapshot(0, 0, 0, 0, 0, 0, states=columns)), Snapshot)
    assert from_columns(snapshot.states) == before
    batch = decode(encode(PositionBatch(Source(0, 0, 0), states=columns)), PositionBatch)
    assert from_columns(batch.states) == before


def test_no_state_is_no_row() -> None:
    assert from_columns(to_columns([], [])) == []


def test_merge_appends_the_recent_entries_alone() -> None:
    old, new = states()[3], states()[-1]
    (delta,) = from_columns(to_columns([new], [b"\1" * 24]))
    before = copy_of(old)
    merged = merge(old, delta)
    assert merged.recent == old.recent + b"\1" * 24
    merged.recent = new.recent
    assert merged == new
    assert old == before
    (delta,) = from_columns(to_columns([new], [b"\1" * 24]))
    assert merge(None, copy_of(delta)) == delta
    old.recent = bytes(RECENT_BYTES)
    assert merge(old, delta).recent == bytes(RECENT_BYTES - 24) + b"\1" * 24


def test_recent_is_searched_by_entry() -> None:
    recent = b""
    for i in range(70):
        recent = with_recent(recent, i, T0 + i)
    assert len(recent) == RECENT_BYTES
    assert recent_times(recent, 5) == []  # pushed out
    assert recent_times(recent, 6) == [T0 + 6]
    assert recent_times(recent, 69) == [T0 + 69]
    # bytes of a time, or of two entries' seam, are no key
    inside = RECENT_ENTRY.pack(1, 0x0A0B0C0D) + RECENT_ENTRY.pack(0x0A0B0C0D, 9)
    assert recent_times(inside, 0x0A0B0C0D) == [9]
    assert recent_times(b"", 0) == []


def test_a_report_sent_again_is_the_first_one() -> None:
    device = Device()
    first = report(0, 0, alarms=["sos"], ignition=True)
    assert len(device.feed(first)) == 1
    device.feed(*drive(10, 300, 10, 100, 36))
    before = device.state
    assert device.feed(first) == []
    assert device.state is before
    assert device.rows[-1].time_ms == T0
    assert device.rows[-1].flags == Flag.DUPLICATE
    last = report(300, 3000, key=recent_key(before))
    device.feed(last)
    assert device.state is before
    assert device.rows[-1].moving == 1


def recent_key(state: DeviceState) -> int:
    key: int = RECENT_ENTRY.unpack(state.recent[-12:])[0]
    return key


def test_the_same_key_at_another_time_is_another_report() -> None:
    device = Device()
    device.feed(report(0, 0, key=7), report(30, 0, key=7))
    assert device.state.reports == 2
    assert [r.flags for r in device.rows] == [0, 0]


def test_reports_without_a_clock_are_new_each_time() -> None:
    device = Device()
    device.feed(*[report(None, None, arrives=s, key=7) for s in (10, 11, 12)])
    assert device.state.reports == 3
    # the same millisecond is the same row: two equal heartbeats in one chunk
    device.feed(report(None, None, arrives=12, key=7, alarms=["sos"]))
    assert device.state.reports == 3
    assert device.rows[-1] == (T0 + 12_000, None, None, Flag.DUPLICATE, 255)
    assert device.events == []


def test_sent_again_after_the_zone_was_learnt() -> None:
    device = Device()
    live = [report(s - 3 * 3600, 0, arrives=s, clock="local") for s in (0, 30, 60, 90)]
    device.feed(*live)
    before = device.state
    device.feed(*live)
    assert device.state is before
    assert [r.time_ms for r in device.rows[4:]] == [r.time_ms for r in device.rows[:4]]
    assert [r.flags for r in device.rows[4:]] == [r.flags | Flag.DUPLICATE for r in device.rows[:4]]


def test_sent_again_from_the_future() -> None:
    device = Device()
    ahead = report(1000, 0, arrives=0)
    device.feed(ahead)
    before = device.state
    ahead.received_ms += 20_000
    device.feed(ahead)
    assert device.state == replace(before, heard_ms=T0 + 20_000)  # a sign of life, and nothing else
    assert device.rows[1][:4] == (T0, T0, T0 + 1_000_000, Flag.DUPLICATE | Flag.TIME_FUTURE)


@pytest.mark.parametrize(
    ("latitude", "longitude", "flags"),
    [(0.0, 0.0, Flag.ZERO), (91.0, 0.0, 0), (float("nan"), 1.0, 0), (1e300, float("inf"), 0), (None, 5.0, 0)],
)
def test_what_is_no_place_is_no_fix(latitude: float | None, longitude: float, flags: int) -> None:
    device = Device()
    device.feed(*rest(0, 60, 60, 0))
    before = device.state
    assert device.feed(report(70, 0, latitude=latitude, longitude=longitude, speed_kmh=90)) == []
    assert device.rows[-1].flags == flags
    assert device.state.fix_time_ms == before.fix_time_ms
    assert device.state.latitude_e7 == before.latitude_e7


def test_a_late_fix_changes_nothing_but_the_counts() -> None:
    device = Device(speed_limit_kmh=50)
    device.feed(*rest(0, 300, 60, 0), *drive(310, 600, 10, 100, 36))
    before = device.state
    assert device.feed(report(305, 90_000, speed_kmh=200, arrives=601)) == []
    assert device.state.reports == before.reports + 1
    assert len(device.state.recent) == len(before.recent) + 12
    unlike = ("reports", "recent", "seen_ms", "heard_ms")
    assert replace(device.state, **{name: getattr(before, name) for name in unlike}) == before
