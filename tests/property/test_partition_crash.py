"""Whatever is killed between two sends: after loading the log again, everything equals a run that was never disturbed."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.partition import SLICES, Partition
from schemas import codec
from schemas.records import FrameBatch
from tests.property.partition_log import RULES, START_MS, Crash, Log, drive, run, undisturbed

kinds: set[str] = set()
"""Kinds of events that the undisturbed runs of test_any_crash_equals_no_crash raised."""


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), chaos=st.integers(0, 10_000))
def test_any_crash_equals_no_crash(seed: int, chaos: int) -> None:
    records = drive(seed, 120)
    expected_log, expected = undisturbed(records)
    assert expected.states
    kinds.update(str(key[2]) for key in expected_log.rows() if key[0] == "event")
    rng, log = random.Random(chaos), Log()
    for _ in range(200):
        partition = log.load()
        try:
            run(log, partition, records, rng, crashes=True)
            break
        except Crash:
            continue
    else:
        raise AssertionError("never came to the end")
    assert log.rows() == expected_log.rows()
    final = log.load()
    assert final.next == expected.next == len(records)
    assert final.states == expected.states == partition.states
    assert final.clock == expected.clock


def test_the_runs_above_raised_what_can_be_lost() -> None:
    assert {"device_moving", "device_online", "device_offline", "device_unknown", "overspeed_started"} <= kinds
    assert {"geofence_entered", "geofence_exited", "geofence_dwell", "ignition_on", "alarm_raised"} <= kinds


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), chaos=st.integers(0, 10_000))
def test_a_woken_worker_that_writes_stale_receipts_changes_nothing(seed: int, chaos: int) -> None:
    records = drive(seed, 80)
    expected_log, expected = undisturbed(records)
    rng, log = random.Random(chaos), Log()
    owner = log.load()
    half = len(records) // 2
    run(log, owner, records[:half], rng, crashes=False)
    frozen = log.load()
    stale = [frozen.process([(half, records[half])], RULES, 1)] if half < len(records) else []
    fresh = log.load()
    taken = [(o, records[o]) for o in range(half, min(len(records), half + rng.randint(1, 3)))]
    outputs = fresh.process(taken, RULES, 2)
    order = [*[(o, None) for o in stale], (outputs, fresh)]
    rng.shuffle(order)
    for produced, by in order:
        log.events += [codec.encode(b) for b in produced.events]
        log.rejected += [codec.encode(b) for b in produced.rejected]
        log.positions.append(codec.encode(produced.receipt))
        if by is not None:
            by.apply(produced.receipt, len(log.positions) - 1)
        if rng.random() < 0.5:
            log.snapshot(by or frozen, list(range(SLICES)))
    reloaded = log.load()
    assert reloaded.states == fresh.states
    assert reloaded.next == fresh.next
    run(log, reloaded, records, rng, crashes=False)
    assert log.rows() == expected_log.rows()
    assert log.load().states == expected.states


def test_a_range_of_rejected_frames_only_leaves_a_receipt() -> None:
    log, partition = undisturbed(drive(3, 10))
    before = len(log.positions)
    bad = FrameBatch("g", 0)
    bad.sessions.session_id, bad.sessions.peer, bad.sessions.transport = ["s"], ["p"], ["tcp"]
    bad.sessions.opened_ms, bad.sessions.dialect, bad.sessions.login = [0], [""], [b""]
    frames = bad.frames
    frames.session, frames.received_ms, frames.kind = [0], [START_MS], [1]
    frames.protocol, frames.device_id, frames.payload = ["tk103"], [""], [b"garbage"]
    outputs = partition.process([(partition.next, bad)], RULES, 1)
    assert outputs.rejected[0].rejected.reason == ["undecided"]
    assert outputs.receipt.positions.time_ms == []
    assert outputs.receipt.source.is_last
    partition.apply(outputs.receipt, before)
    assert partition.next == outputs.receipt.source.last + 1


def test_a_large_range_is_cut_into_parts_and_only_the_last_counts() -> None:
    records = drive(5, 4000)
    partition = Partition(0, "test")
    merged = [(o, record) for o, record in enumerate(records)]
    outputs = partition.process(merged, RULES, 1)
    import processors.frame_range as module

    assert len(codec.encode(outputs.receipt)) < 1024 * 1024
    assert module.PART_BYTES < 1024 * 1024
    for part in outputs.parts:
        assert not part.source.is_last
        assert part.states.device_id == []
        assert not partition.apply(part, 0)
    assert partition.next == 0
    assert partition.apply(outputs.receipt, 1)
    assert partition.next == len(records)
