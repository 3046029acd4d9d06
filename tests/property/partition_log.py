"""The log of one partition as a test sees it: records as a gateway cuts them, what is written, and what is read back."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field

from gateway.aliases import Aliases
from gateway.batch import Batch
from gateway.session import Session
from processors.derive.fences import FenceIndex, fence_from
from processors.derive.rules import Parameters, Rules
from processors.partition import SLICES, Accept, Partition
from schemas import codec
from schemas.records import EntryKind, EventBatch, FrameBatch, Geofence, PositionBatch, RejectedBatch, Snapshot

START_MS = 1_768_471_872_000
RING = [[-0.123, 51.4], [-0.119, 51.4], [-0.119, 51.6], [-0.123, 51.6], [-0.123, 51.4]]
FENCE = Geofence("west", 0, json.dumps({"type": "Polygon", "coordinates": [RING]}), dwell_s=60.0)
RULES = Rules(1, Parameters(speed_limit_kmh=50.0), fences=FenceIndex([fence_from(FENCE, 1)], 1))


def drive(seed: int, count: int, prefix: str = "0880123456") -> list[FrameBatch]:
    """Records of a few devices that move, stop, speed, alarm, sleep, repeat, reconnect and send rubbish, as a gateway
    would cut them: with ticks each 10 s, but for spells in which the line is down."""
    rng = random.Random(seed)
    sessions: dict[str, Session] = {}
    aliases = Aliases()
    records, batch = [], Batch()
    minutes = dict.fromkeys((f"{prefix}{n:02}" for n in range(4)), 7.0)
    frames: list[tuple[str, bytes]] = []
    now_ms = START_MS
    for number in range(count):
        spell = rng.random()
        if spell < 0.03:  # nobody says anything for a while, or the line is down
            for _ in range(rng.randrange(30, 90)):
                now_ms += 10_000
                if spell < 0.02:
                    batch.ticks_ms.append(now_ms)
        now_ms += 7_000
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
        elif kind < 0.3:
            payload = f"*HQ,{name},HTBT,98#".encode()
        else:
            payload = f"*HQ,{name},V1,{clock},{place},{status}#".encode()
            frames.append((name, payload))
        session = sessions.setdefault(name, Session(f"s-{name}-{number}", "192.0.2.1:1", "tcp", now_ms, aliases))
        turn = session.receive(payload, now_ms)
        for device_id in turn.opened:
            batch.add_entry(session.row, EntryKind.OPENED, device_id, now_ms)
        for out in turn.frames:
            batch.add_frame(out)
        if rng.random() < 0.05:
            batch.add_entry(session.row, EntryKind.CLOSED, name, now_ms)
            del sessions[name]
        if rng.random() < 0.7:
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
