"""Whatever is killed between two sends: after loading the log again, everything equals a run that was never disturbed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.aliases import Aliases
from gateway.batch import Batch
from gateway.session import Session
from processors.derive.rules import Parameters, Rules
from processors.partition import SLICES, Accept, Partition
from schemas import codec
from schemas.records import EntryKind, EventBatch, FrameBatch, PositionBatch, RejectedBatch, Snapshot

START_MS = 1_768_471_872_000
RULES = Rules(1, Parameters(speed_limit_kmh=50.0), {})


def drive(seed: int, count: int) -> list[FrameBatch]:
    """Records of a few devices that move, stop, speed, alarm, repeat and send rubbish, as a gateway would cut them."""
    rng = random.Random(seed)
    sessions = {}
    aliases = Aliases()
    records, batch = [], Batch()
    minutes = dict.fromkeys((f"0880123456{n:02}" for n in range(4)), 7.0)
    frames: list[tuple[str, bytes]] = []
    for step in range(count):
        now_ms = START_MS + step * 7_000
        name = rng.choice(list(minutes))
        speed = rng.choice((0, 0, 30, 60, 90))
        minutes[name] += speed / 3600 * 7 * 0.5
        seconds = now_ms // 1000 % 86_400
        clock = f"{seconds // 3600:02}{seconds // 60 % 60:02}{seconds % 60:02}"
        place = f"A,5130.2500,N,{minutes[name]:010.5f},W,{speed / 1.852:06.2f},045,150126"
        status = rng.choice(("FFFFFFFF", "FFFFFBFF", "FFFFFFFE"))
        kind = rng.random()
        if kind < 0.1 and frames:
            name, payload = rng.choice(frames)
        elif kind < 0.2:
            payload = f"*HQ,{name},V1,{clock},A,9930.2500,N,00007.6500,W,0,0,150126,{status}#".encode()
        else:
            payload = f"*HQ,{name},V1,{clock},{place},{status}#".encode()
            frames.append((name, payload))
        session = sessions.setdefault(name, Session(f"s-{name}", "192.0.2.1:1", "tcp", now_ms, aliases))
        turn = session.receive(payload, now_ms)
        for device_id in turn.opened:
            batch.add_entry(session.row, EntryKind.OPENED, device_id, now_ms)
        for out in turn.frames:
            batch.add_frame(out)
        if rng.random() < 0.1:
            batch.ticks_ms.append(now_ms)
        if rng.random() < 0.3:
            records.append(batch.to_record("g", 0))
            batch = Batch()
    records.append(batch.to_record("g", 0))
    return [codec.decode(codec.encode(record), FrameBatch) for record in records]


@dataclass
class Log:
    """The topics of one partition as they would be read back: encoded records only."""

    positions: list[bytes] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)
    rejected: list[bytes] = field(default_factory=list)
    snapshots: dict[int, bytes] = field(default_factory=dict)

    def load(self) -> Partition:
        partition = Partition(0, "test")
        slices = [codec.decode(value, Snapshot) for value in self.snapshots.values()]
        start = partition.load_snapshots(slices)
        for offset in range(start, len(self.positions)):
            partition.apply(codec.decode(self.positions[offset], PositionBatch), offset)
        partition.loaded()
        return partition

    def snapshot(self, partition: Partition, numbers: list[int]) -> None:
        for snapshot in partition.snapshots(0, numbers):
            self.snapshots[snapshot.slice] = codec.encode(snapshot)

    def rows(self) -> dict[tuple[object, ...], tuple[object, ...]]:
        """What ClickHouse would show: one row an id, the last written."""
        shown: dict[tuple[object, ...], tuple[object, ...]] = {}
        for value in self.positions:
            table = codec.decode(value, PositionBatch).positions
            columns = [getattr(table, name) for name in type(table).__slots__]
            for row in zip(*columns, strict=True):
                shown["position", row[0], row[2], row[3]] = row
        for value in self.events:
            table = codec.decode(value, EventBatch).events
            columns = [getattr(table, name) for name in type(table).__slots__]
            for row in zip(*columns, strict=True):
                shown["event", *row[:4]] = row
        for value in self.rejected:
            table = codec.decode(value, RejectedBatch).rejected
            columns = [getattr(table, name) for name in type(table).__slots__]
            for row in zip(*columns, strict=True):
                shown["rejected", row[7], row[8]] = row
        return shown


class Crash(Exception):
    """The process is gone."""


def run(log: Log, partition: Partition, records: list[FrameBatch], rng: random.Random, crashes: bool) -> None:
    """Process from partition.next to the end; with crashes, sometimes stop between two sends."""

    def send(topic: list[bytes], value: bytes) -> int:
        if crashes and rng.random() < 0.08:
            raise Crash
        topic.append(value)
        if crashes and rng.random() < 0.04:
            raise Crash  # taken by the broker, its acknowledgement lost
        return len(topic) - 1

    while partition.next < len(records):
        count = rng.randint(1, 4) if crashes else 1
        taken = [(o, records[o]) for o in range(partition.next, min(len(records), partition.next + count))]
        assert all(partition.accept(o) is (Accept.PROCESS if o == partition.next else Accept.STOP) for o, _ in taken)
        outputs = partition.process(taken, RULES, 1)
        for batch in outputs.events:
            send(log.events, codec.encode(batch))
        for rejected in outputs.rejected:
            send(log.rejected, codec.encode(rejected))
        for part in outputs.parts:
            send(log.positions, codec.encode(part))
        partition.apply(outputs.receipt, send(log.positions, codec.encode(outputs.receipt)))
        if rng.random() < 0.3:
            log.snapshot(partition, rng.sample(range(SLICES), 20) if rng.random() < 0.7 else list(range(SLICES)))


def undisturbed(records: list[FrameBatch]) -> tuple[Log, Partition]:
    log = Log()
    partition = Partition(0, "test")
    run(log, partition, records, random.Random(0), crashes=False)
    return log, partition


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), chaos=st.integers(0, 10_000))
def test_any_crash_equals_no_crash(seed: int, chaos: int) -> None:
    records = drive(seed, 120)
    expected_log, expected = undisturbed(records)
    assert expected.states
    assert any(key[0] == "event" for key in expected_log.rows())
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
    assert final.now_ms == expected.now_ms


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
    import processors.partition as module

    assert len(codec.encode(outputs.receipt)) < 1024 * 1024
    assert module.PART_BYTES < 1024 * 1024
    for part in outputs.parts:
        assert not part.source.is_last
        assert part.states.device_id == []
        assert not partition.apply(part, 0)
    assert partition.next == 0
    assert partition.apply(outputs.receipt, 1)
    assert partition.next == len(records)
