"""Laws of step() that hold for any stream: repeats, splits, late fixes, purity, edges."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.derive.deadlines import Clock, Deadlines, next_deadline_ms
from processors.derive.entries import Entry, Heard, Report, SessionClosed, SessionOpened, Tick
from processors.derive.fences import Fence, FenceIndex, fence_from
from processors.derive.fleet import Fleet
from processors.derive.geofences import visits_of
from processors.derive.rules import Parameters, Rules
from processors.derive.state import RECENT_ENTRIES, DeviceState, copy_of, from_columns, merge, to_columns
from processors.derive.step import Derived, step
from schemas.codec import decode, encode
from schemas.records import Event, Flag, Geofence, Position, Snapshot

T0 = 1_767_225_600_000
DEVICE = "356938035643809"
PARAMETERS = Parameters(
    speed_limit_kmh=60,
    overspeed_min_duration_s=20.0,
    min_stop_duration_s=60.0,
    geofence_confirm_s=30.0,
    geofence_dwell_s=120.0,
    maintenance_distance_m=2000.0,
)


def fence(name: str, from_m: float, to_m: float) -> Fence:
    """A box across the meridian of the streams, between two distances north of their origin."""
    south, north = 45 + from_m / 111_195, 45 + to_m / 111_195
    ring = [[8.9, south], [9.1, south], [9.1, north], [8.9, north], [8.9, south]]
    return fence_from(Geofence(name, 0, json.dumps({"type": "Polygon", "coordinates": [ring]})), 1)


FENCES = FenceIndex([fence("near", 20, 300), fence("far", 200, 5000), fence("thin", 900, 930)], 1)
RULES = Rules(1, PARAMETERS, fences=FENCES)
LEVELS = frozenset({"sos", "door", "power_cut"})
LIVE_KINDS = {
    "device_moving",
    "device_stopped",
    "overspeed_started",
    "overspeed_ended",
    "ignition_on",
    "ignition_off",
    "alarm_cleared",
    "geofence_entered",
    "geofence_exited",
    "geofence_crossed",
    "geofence_dwell",
    "fuel_drop",
    "fuel_increase",
    "power_cut",
    "power_restored",
    "maintenance_due",
    "driver_changed",
}
LONG_TRACK_KINDS = {
    "device_moving",
    "device_stopped",
    "overspeed_started",
    "overspeed_ended",
    "ignition_on",
    "ignition_off",
    "alarm_cleared",
    "alarm_raised",
    "maintenance_due",
}

# a move: seconds since the last report, speed between them; most of them make a plausible track, some do not
moves = st.tuples(
    st.sampled_from([10, 10, 10, 30, 60, 60, 300, 1000, 5000, 0, -1, -40, -4000]),
    st.sampled_from([0.0, 0.0, 0.0, 0.5, 3.0, 20.0, 50.0, 90.0, 130.0, 4000.0]),
)
details: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "valid": st.booleans(),
        "tells_speed": st.booleans(),
        "has_fix": st.booleans(),
        "has_clock": st.booleans(),
        "zone_h": st.sampled_from([0, 0, 8, -3]),
        "clock": st.sampled_from(["utc", "local", "unknown"]),
        "ignition": st.booleans(),
        "alarms": st.lists(st.sampled_from(["sos", "door", "power_cut", "vibration"]), max_size=3),
        "level_alarms": st.sampled_from([frozenset(), LEVELS, frozenset({"door"}), frozenset({"sos"})]),
        "delay_s": st.sampled_from([0, 2, 60, 3600]),
        "revision": st.sampled_from([1, 1, 2]),
        "fuel_percent": st.sampled_from([90.0, 90.0, 90.0, 40.0, 5.0]),
        "power_v": st.sampled_from([12.5, 12.0, 0.0]),
        "driver_id": st.sampled_from(["7", "8"]),
        "accuracy_m": st.sampled_from([5.0, 900.0]),
    },
)


@st.composite
def streams(draw: st.DrawFn) -> list[Report]:
    """Reports of one device on a meridian, in order of arrival, with frame keys that differ."""
    reports: list[Report] = []
    second, north_m, arrival = 0, 0.0, 0
    for key, ((passed_s, speed_kmh), told) in enumerate(draw(st.lists(st.tuples(moves, details), max_size=45))):
        second += passed_s
        north_m += max(passed_s, 0) * speed_kmh / 3.6
        arrival = max(arrival, second + told.get("delay_s", 0))
        time_ms = T0 + (second + told.get("zone_h", 0) * 3600) * 1000
        position = Position(
            clock=told.get("clock", "utc"),
            ignition=told.get("ignition"),
            alarms=told.get("alarms", []),
            level_alarms=told.get("level_alarms", frozenset()),
            fuel_percent=told.get("fuel_percent"),
            power_v=told.get("power_v"),
            accuracy_m=told.get("accuracy_m"),
            attributes={"driver_id": told["driver_id"]} if "driver_id" in told else {},
        )
        if told.get("has_clock", True):
            position.device_time_ms = time_ms
        if told.get("has_fix", True):
            position.fix_time_ms = time_ms
            position.valid = told.get("valid", True)
            position.latitude, position.longitude = 45 + north_m / 111_195, 9.0
            position.speed_kmh = speed_kmh if told.get("tells_speed", True) else None
        reports.append(Report(position, DEVICE, "h02", T0 + arrival * 1000, key, told.get("revision", 1)))
    return reports


def run(state: DeviceState, entries: list[Entry]) -> tuple[DeviceState, list[Event], list[Derived]]:
    events: list[Event] = []
    rows: list[Derived] = []
    for entry in entries:
        state, found, derived = step(state, entry, RULES)
        events += found
        if derived is not None:
            rows.append(derived)
    return state, events, rows


def tells_time(report: Report) -> bool:
    return report.position.fix_time_ms is not None or report.position.device_time_ms is not None


def reload(old: DeviceState | None, live: DeviceState, added: bytes) -> DeviceState:
    """What a loader makes of the state before a range and the range's columns, through Avro."""
    columns = to_columns([live], [added])
    (delta,) = from_columns(decode(encode(Snapshot(0, 0, 0, 0, 0, 0, states=columns)), Snapshot).states)
    return merge(old, delta)


@given(streams())
def test_feeding_a_stream_twice_adds_nothing(stream: list[Report]) -> None:
    stream = [r for r in stream if tells_time(r)]  # without a clock each report is new, by design
    state, _, first = run(DeviceState.new(DEVICE), list(stream))
    again, events, second = run(state, list(stream))
    assert again is state
    assert events == []
    assert all(row.flags & Flag.DUPLICATE for row in second)
    assert [row.time_ms for row in second] == [row.time_ms for row in first]


@given(streams())
def test_each_report_twice_is_each_report_once(stream: list[Report]) -> None:
    stream = [r for r in stream if tells_time(r)]
    once = run(DeviceState.new(DEVICE), list(stream))
    twice = run(DeviceState.new(DEVICE), [r for report in stream for r in (report, report)])
    assert twice[0] == once[0]
    assert twice[1] == once[1]


@given(streams(), st.data())
def test_splitting_with_a_reload_changes_nothing(stream: list[Report], data: st.DataObject) -> None:
    whole = run(DeviceState.new(DEVICE), list(stream))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=6)))
    stored: DeviceState | None = None
    events: list[Event] = []
    rows: list[Derived] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        before = DeviceState.new(DEVICE) if stored is None else stored
        after, found, derived = run(before, list(stream[start:end]))
        entries = after.reports - before.reports
        stored = reload(stored, after, after.recent[-12 * min(entries, RECENT_ENTRIES) :] if entries else b"")
        events += found
        rows += derived
        assert stored == after
    assert (stored, events, rows) == whole


def long_track(chance: Random) -> list[Report]:
    """2,000 reports of drives and rests with noise, repeats, late fixes and gaps, in order of arrival."""
    reports: list[Report] = []
    second, north_m, speed_kmh = 0, 0.0, 0.0
    for key in range(2000):
        if key % 40 == 0:
            speed_kmh = 0.0 if speed_kmh else chance.uniform(30, 90)
        passed_s = 10 if chance.random() < 0.99 else 4000
        second += passed_s
        north_m += passed_s * speed_kmh / 3.6
        behind_s = 100 if chance.random() < 0.02 else 0
        position = Position(
            fix_time_ms=T0 + (second - behind_s + 8 * 3600) * 1000,
            clock="local",
            valid=chance.random() < 0.98,
            latitude=(north_m + chance.gauss(0, 6)) % 9e6 / 111_195,
            longitude=9.0,
            speed_kmh=max(0.0, speed_kmh + chance.gauss(0, 2)),
            ignition=speed_kmh > 0,
            alarms=["door"] if speed_kmh == 0 else [],
            level_alarms=LEVELS,
        )
        reports.append(Report(position, DEVICE, "gt06", T0 + second * 1000 + 1500, key, 1))
        if chance.random() < 0.05:
            reports.append(replace(chance.choice(reports[-20:]), received_ms=reports[-1].received_ms + 1))
    return reports


@pytest.mark.parametrize("seed", range(3))
def test_a_long_track_with_reloads_is_the_track(seed: int) -> None:
    chance = Random(seed)
    track = long_track(chance)
    whole = run(DeviceState.new(DEVICE), list(track))
    stored: DeviceState | None = None
    events: list[Event] = []
    rows: list[Derived] = []
    at = 0
    while at < len(track):
        until = at + chance.choice([1, 2, 7, 30, 100])
        before = DeviceState.new(DEVICE) if stored is None else stored
        after, found, derived = run(before, list(track[at:until]))
        new = min(after.reports - before.reports, RECENT_ENTRIES)
        stored = reload(stored, after, after.recent[-12 * new :] if new else b"")
        events, rows, at = events + found, rows + derived, until
    assert (stored, events, rows) == whole
    kinds = [e.kind for e in events]
    for kind in LONG_TRACK_KINDS:  # else it would show nothing
        assert kinds.count(kind) >= 10, kind
    assert sum(bool(row.flags & Flag.DUPLICATE) for row in rows) >= 50
    assert sum(bool(row.flags & Flag.LATE) for row in rows) >= 20


@given(streams(), st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**5), details), min_size=1, max_size=8))
def test_late_fixes_add_no_live_event(stream: list[Report], late: list[tuple[int, int, dict[str, Any]]]) -> None:
    """Fixes older than the newest one, put in anywhere, raise pulses alone, and later events are what they were."""
    state = DeviceState.new(DEVICE)
    _, expected, _ = run(state, list(stream))
    found: list[Event] = []
    for i, report in enumerate(stream):
        state, events, _ = step(state, report, RULES)
        found += events
        for at, behind_s, told in late:
            if stream and at % len(stream) == i and state.fix_time_ms != 2**63 - 1:
                time_ms = state.fix_time_ms - behind_s * 1000
                position = Position(
                    fix_time_ms=time_ms,
                    valid=bool(told.get("valid", True)),
                    latitude=1.0,
                    longitude=1.0,
                    speed_kmh=150.0,
                    ignition=told.get("ignition"),
                    fuel_percent=told.get("fuel_percent"),
                    power_v=told.get("power_v"),
                    alarms=["vibration", "door"],
                    level_alarms=frozenset({"door"}),
                )
                key = 10**6 + at * 10 + behind_s % 10
                state, events, derived = step(state, Report(position, DEVICE, "h02", T0 + 10**9, key, 1), RULES)
                assert derived is not None
                assert derived.flags & Flag.LATE or derived.flags & Flag.DUPLICATE
                assert not {e.kind for e in events} & LIVE_KINDS
                assert all(e.subject == "vibration" and e.attributes == {"late": True} for e in events)
    assert found == expected


@given(streams())
def test_step_never_changes_its_input(stream: list[Report]) -> None:
    state = DeviceState.new(DEVICE)
    entries: list[Entry] = [*stream, Tick(T0), SessionOpened(DEVICE, T0), SessionClosed(DEVICE, T0)]
    for entry in entries:
        state_before, entry_before = deepcopy(state), deepcopy(entry)
        after, _, _ = step(state, entry, RULES)
        assert state == state_before
        assert entry == entry_before
        assert step(state, entry, RULES)[0] == after  # and gives the same again
        state = after


@given(streams())
@settings(max_examples=300)
def test_starts_and_ends_alternate(stream: list[Report]) -> None:
    state, events, _ = run(DeviceState.new(DEVICE), list(stream))
    for pair in (("device_moving", "device_stopped"), ("overspeed_started", "overspeed_ended")):
        kinds = [e.kind for e in events if e.kind in pair]
        assert kinds == [pair[i % 2] for i in range(len(kinds))]
        times = [e.time_ms for e in events if e.kind in pair]
        assert times == sorted(times)
    for geofence_id in FENCES.fences:
        visits = [e for e in events if e.subject == geofence_id and e.kind in ("geofence_entered", "geofence_exited")]
        assert all(a.kind != b.kind and a.time_ms <= b.time_ms for a, b in pairwise(visits))
        assert all(e.attributes["duration_s"] >= 0 for e in visits if e.kind == "geofence_exited")  # type: ignore[operator]
        if visits:
            inside = any(v.geofence_id == geofence_id and v.inside for v in visits_of(state.fences))
            assert inside == (visits[-1].kind == "geofence_entered")
    power = [e.kind for e in events if e.kind in ("power_cut", "power_restored")]
    assert all(a != b for a, b in pairwise(power))
    ignition = [e.kind for e in events if e.kind.startswith("ignition")]
    assert all(a != b for a, b in pairwise(ignition))
    moves = [e.kind for e in events if e.kind in ("device_moving", "device_stopped")]
    if moves:
        assert state.moving == (moves[-1] == "device_moving")
    for event in events:
        if event.kind == "device_stopped":
            assert event.attributes["duration_s"] >= 0  # type: ignore[operator]
            assert event.attributes["distance_m"] >= 0  # type: ignore[operator]


@given(streams())
def test_a_level_that_stays_is_raised_once(stream: list[Report]) -> None:
    stuck = [replace(r, position=replace(r.position, alarms=["sos", "door"], level_alarms=LEVELS)) for r in stream]
    _, events, _ = run(DeviceState.new(DEVICE), list(stuck))
    alarms = [(e.kind, e.subject) for e in events if e.kind.startswith("alarm")]
    assert alarms == ([("alarm_raised", "sos")] if stuck else [])


@given(streams())
def test_nothing_of_the_future_is_kept(stream: list[Report]) -> None:
    state = DeviceState.new(DEVICE)
    for report in stream:
        state, events, derived = step(state, report, RULES)
        assert derived is not None
        newest_ms = report.received_ms + 5 * 60_000
        assert derived.time_ms <= newest_ms
        assert all(e.time_ms <= newest_ms for e in events)
        for kept_ms in (state.fix_time_ms, state.candidate_ms, state.motion_since_ms, state.overspeed_since_ms):
            assert kept_ms <= newest_ms or kept_ms == 2**63 - 1


@st.composite
def lives(draw: st.DrawFn) -> list[Entry]:
    """Reports, heartbeats, ticks and sessions of one device in the order of the log, with pauses of the line."""
    entries: list[Entry] = []
    reports = draw(streams())
    newest_ms = T0
    for report in reports:
        for kind in draw(st.lists(st.sampled_from(["tick", "tick", "long", "opened", "closed", "heard"]), max_size=3)):
            newest_ms = max(newest_ms, report.received_ms - 60_000)
            if kind in ("tick", "long"):
                newest_ms += 10_000 if kind == "tick" else draw(st.sampled_from([40_000, 700_000, 4_000_000]))
                entries.append(Tick(newest_ms))
            elif kind == "heard":
                entries.append(Heard(DEVICE, newest_ms, 1))
            else:
                session = draw(st.sampled_from([0, 1, 2]))
                entries.append((SessionOpened if kind == "opened" else SessionClosed)(DEVICE, newest_ms, session))
        entries.append(report)
    return entries


@given(lives(), st.data())
@settings(max_examples=150)
def test_a_fleet_cut_anywhere_tells_the_same(entries: list[Entry], data: st.DataObject) -> None:
    whole = Fleet(RULES)
    expected = [event for entry in entries for outcome in whole.feed(entry) for event in outcome.events]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(entries)), max_size=5)))
    states: dict[str, DeviceState] = {}
    clock, found = Clock(), []
    for start, end in zip([0, *cuts], [*cuts, len(entries)], strict=True):
        deadlines = Deadlines()
        for device_id, state in states.items():
            deadlines.schedule(device_id, next_deadline_ms(state, RULES, clock.pauses))
        part = Fleet(RULES, dict(states), deadlines, clock)
        found += [event for entry in entries[start:end] for outcome in part.feed(entry) for event in outcome.events]
        states |= part.changed
        clock = part.clock
    assert found == expected
    assert states == whole.changed
    told = [(e.kind, e.time_ms, e.subject) for e in found if e.kind.startswith(("device_", "geofence_"))]
    assert len(set(told)) == len(told)  # an id of its own for each


@given(lives())
@settings(max_examples=150)
def test_presence_follows_its_events(entries: list[Entry]) -> None:
    fleet = Fleet(RULES)
    presence: list[str] = []
    for entry in entries:
        for outcome in fleet.feed(entry):
            presence += [
                e.kind for e in outcome.events if e.kind in ("device_online", "device_offline", "device_unknown")
            ]
    assert all((a == "device_online") != (b == "device_online") for a, b in pairwise(presence))
    assert presence[:1] in ([], ["device_online"])


@given(streams())
def test_a_state_of_ones_own_may_be_changed_and_gives_the_same(stream: list[Report]) -> None:
    plain, own = DeviceState.new(DEVICE), DeviceState.new(DEVICE)
    for report in stream:
        first, second = step(plain, report, RULES), step(copy_of(own), report, RULES, is_own=True)
        assert first == second
        plain, own = first.state, second.state
