"""How long a worker takes to know 100,000 devices again, and how much memory they take: snapshots in a real Kafka."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from random import Random
from typing import Any

import psutil

from processors.derive.state import RECENT_ENTRIES, RECENT_ENTRY, DeviceState, to_columns
from processors.partition import SLICES, slice_of
from schemas import codec
from schemas.clients.producer import DurableProducer
from schemas.records import FrameBatch, Snapshot
from schemas.topics import FRAMES, SNAPSHOTS, partition_of
from tests.integration.line import Line, running_line

DEVICES = 100_000
NOW_MS = 1_768_471_872_000
LOADED = re.compile(r"frames-\d+: (\d+) devices, next \d+, loaded in ([\d.]+) s")


def state(number: int, noise: Random) -> DeviceState:
    """A device as it is after a day of reports each 30 s: every field in use, all recent reports kept."""
    seen_ms = NOW_MS - noise.randrange(500_000)  # nobody is silent for too long
    place = noise.randrange(-9 * 10**8, 9 * 10**8), noise.randrange(-18 * 10**8, 18 * 10**8)
    found = DeviceState(f"{356938035000000 + number}", "gt06", 2880, seen_ms, seen_ms, *place, noise.randrange(1000), 0)
    found.motion_since_ms, found.heard_ms, found.running_ms = seen_ms - 900_000, seen_ms, seen_ms
    found.anchor_latitude_e7, found.anchor_longitude_e7 = place
    found.distance_m, found.engine_s = noise.uniform(0, 1e6), noise.uniform(0, 1e6)
    found.ignition, found.presence, found.power, found.session = 0, 1, 1, noise.randrange(2**32)
    found.fences, found.fences_revision = f'[["depot-{number % 500}",1,{seen_ms},0,0,0,0]]', 12
    times = [seen_ms - 30_000 * n + noise.choice((0, 0, 0, 1000)) for n in range(RECENT_ENTRIES, 0, -1)]
    found.recent = b"".join(RECENT_ENTRY.pack(noise.randrange(2**32), time_ms) for time_ms in times)
    return found


async def write_snapshots(line: Line) -> int:
    """Snapshots of all slices of all partitions; returns their bytes."""
    noise = Random(1)
    slices: dict[tuple[int, int], list[DeviceState]] = {
        (p, n): [] for p in range(line.partitions) for n in range(SLICES)
    }
    for number in range(DEVICES):
        made = state(number, noise)
        slices[partition_of(made.device_id, line.partitions), slice_of(made.device_id)].append(made)
    producer, size = DurableProducer(line.kafka.bootstrap, "bench", lambda: None), 0
    await producer.start()
    for (partition, number), states in slices.items():
        columns = to_columns(states, [s.recent for s in states])
        value = codec.encode(Snapshot(partition, number, 0, 0, 0, 0, states=columns))
        size += len(value)
        await producer.send(SNAPSHOTS, value, partition, f"{partition}-{number}".encode())
    await producer.stop()
    return size


def run(path: Path) -> dict[str, Any]:
    """Measure and print."""
    with running_line(path, with_gateway=False) as line:
        line.track.stop()
        size = asyncio.run(write_snapshots(line))
        before = psutil.Process(line.sink.pid).memory_info().rss
        line.track = line.new_worker("track", "0")
        began = time.monotonic()
        line.track.start()
        ready_s = time.monotonic() - began
        loaded: dict[str, tuple[int, float]] = {}
        asyncio.run(wake(line))
        while len(loaded) < line.partitions:
            loaded = {m[0]: (int(m[1]), float(m[2])) for m in LOADED.finditer(line.track._log.read_text())}
            if time.monotonic() - began > 120:
                raise RuntimeError("not all partitions were loaded")
            time.sleep(0.05)
        took_s = time.monotonic() - began
        rss = psutil.Process(line.track.pid).memory_info().rss
    devices = sum(count for count, _ in loaded.values())
    found = {
        "devices": devices,
        "start_to_ready_s": round(ready_s, 2),
        "ready_to_all_loaded_s": round(took_s - ready_s, 2),
        "worker_rss_mib": round(rss / 2**20),
        "snapshot_bytes_per_device": round(size / DEVICES),
        "sink_worker_rss_mib": round(before / 2**20),
    }
    print("\nrecovery (aims: 5 s, 150 MB): " + ", ".join(f"{name} {value}" for name, value in found.items()))
    return found


async def wake(line: Line) -> None:
    """A tick for every partition: a partition is loaded with its first record."""
    producer = DurableProducer(line.kafka.bootstrap, "bench", lambda: None)
    await producer.start()
    for partition in range(line.partitions):
        value = codec.encode(FrameBatch("bench", partition, [NOW_MS]))
        await producer.send(FRAMES, value, partition)
    await producer.stop()
