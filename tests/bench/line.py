"""The whole line under load, idle, and with silent connections: every part a process of its own, all on this machine."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import resource
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from tests.integration.line import ROOT, Child, Line, running_line

PROTOCOLS = "tk103,h02"
WARM_UP_S = 8.0
PERCENTILES = (50, 90, 99)


def throughput(path: Path, devices: int, seconds: float) -> dict[str, Any]:
    """Saturating load, then half of what it gave: rate until queryable, CPU by process, latencies."""
    print(f"\nwhole line: {devices} devices ({PROTOCOLS}), loopback TCP, at least half of the frames answered")
    with running_line(path) as line:
        simulate(line, devices // 3, 0, WARM_UP_S)  # the broker's compiler, caches and first parts are not the subject
        settled(line)
        full = measured(line, devices, 0, seconds)
        show("saturated", full)
        half = measured(line, devices, full["frames_per_s"] / 2 / devices, seconds)
        show("half load", half)
        stored = line.query(
            "SELECT sum(data_compressed_bytes) / sum(rows) FROM system.parts "
            "WHERE active AND database = 'lodestream' AND table = 'positions_raw'"
        )[0][0]
    print(f"  stored bytes per position: {stored:.1f}")
    return {"saturated": full, "half": half, "bytes_per_position": round(stored, 2)}


def measured(line: Line, devices: int, rate_hz: float, seconds: float) -> dict[str, Any]:
    """One load: what the simulator saw, how long until the last frame was queryable, CPU of every process."""
    before = cpu_seconds(line)
    ages, event_ages = age_counts(line, "positions"), age_counts(line, "events")
    began = time.monotonic()
    result = simulate(line, devices, rate_hz, seconds)
    sent_s = time.monotonic() - began
    elapsed_s = settled(line) - began
    after = cpu_seconds(line)
    frames = result["sent"]
    # The ramp of connections is not part of the load: the rate is that of the steady part, drained at the end.
    steady_s = result["steady_seconds"] + max(0.0, elapsed_s - sent_s)
    cpu = {name: round((after[name] - before[name]) / frames * 1e6, 1) for name in before}
    return {
        "devices": devices,
        "frames": frames,
        "answered_share": round(result["answered"] / frames, 3),
        "frames_per_s": round(result["steady_frames"] / steady_s),
        "seconds": round(elapsed_s, 1),
        "drain_s": round(elapsed_s - sent_s, 2),
        "cpu_us_per_frame": cpu | {"line": round(sum(cpu.values()), 1), "load_generator": result["cpu_us_per_frame"]},
        "reply_ms": result["latency_ms"],
        "queryable_ms": percentiles_ms(ages, age_counts(line, "positions")),
        "event_queryable_ms": percentiles_ms(event_ages, age_counts(line, "events")),
        "wrong": result["wrong"],
        "missing": result["missing"],
    }


def simulate(line: Line, devices: int, rate_hz: float, seconds: float) -> dict[str, Any]:
    """Run the simulator as a process of its own; returns its JSON report."""
    arguments = [
        *("--devices", str(devices), "--rate", f"{rate_hz:.4f}", "--duration", str(seconds), "--protocol", PROTOCOLS),
        *("--port", str(line.port), "--format", "json", "--ramp", "1000", "--seed", str(time.time_ns() % 1_000_000)),
    ]
    if rate_hz:
        arguments += ["--prebuild", str(int(rate_hz * seconds) + 2)]
    ended = subprocess.run(
        [sys.executable, "-m", "deploy.cli.main", "simulate", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    if ended.returncode not in (0, 1):
        raise RuntimeError(ended.stderr[-2000:])
    report: dict[str, Any] = json.loads(ended.stdout)
    return report


def settled(line: Line) -> float:
    """Wait until every frame that the gateway published is decoded and every position is stored; returns that moment.

    Compared are counts: frames published and processed, positions decoded and stored. The moment is that of the last
    change, not of the poll that found it.
    """
    changed, last = time.monotonic(), (-1.0, -1.0)
    while True:
        published = line.metric(line.gateway, "gateway_record_frames_sum")
        processed = line.metric(line.track, "track_range_frames_sum")
        decoded = line.metric(line.track, "track_positions_total")
        stored = metric_of(line, line.sink, 'sink_rows_total{table="positions"}')
        now = time.monotonic()
        if (processed, stored) != last:
            changed, last = now, (processed, stored)
        if processed >= published and stored >= decoded and now - changed > 1.0:
            return changed
        if now - changed > 60:
            raise RuntimeError(f"not settled: {published=} {processed=} {decoded=} {stored=}")
        time.sleep(0.1)


def metric_of(line: Line, child: Child, name: str) -> float:
    """One sample of a metrics page by its full name with labels; 0 when it is not there yet."""
    for text in urllib.request.urlopen(line.metrics_url(child), timeout=5).read().decode().splitlines():
        if text.startswith(name + " "):
            return float(text.rsplit(" ", 1)[1])
    return 0.0


def age_counts(line: Line, table: str) -> dict[float, float]:
    """Rows of a table by seconds from receipt to queryable (upper bound -> count so far)."""
    counts = {}
    for text in urllib.request.urlopen(line.metrics_url(line.sink), timeout=5).read().decode().splitlines():
        if text.startswith("sink_receipt_to_queryable_seconds_bucket") and f'table="{table}"' in text:
            bound = text.split('le="', 1)[1].split('"', 1)[0]
            counts[float("inf") if bound == "+Inf" else float(bound)] = float(text.rsplit(" ", 1)[1])
    return counts


def percentiles_ms(before: dict[float, float], after: dict[float, float]) -> dict[str, float]:
    """Percentiles between two readings of a histogram, interpolated in its buckets."""
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    total, out = max(counts.values(), default=0.0), {}
    for percent in PERCENTILES:
        low, seen = 0.0, 0.0
        for bound, count in counts.items():
            if total and count >= total * percent / 100:
                share = (total * percent / 100 - seen) / (count - seen)
                out[f"p{percent}"] = round((low + (bound - low) * share) * 1000) if bound != float("inf") else -1
                break
            low, seen = bound, count
    return out


def cpu_seconds(line: Line) -> dict[str, float]:
    """User and system time of every process of the line."""
    pids = {
        "gateway": line.gateway.pid,
        "track": line.track.pid,
        "sink": line.sink.pid,
        "kafka": line.kafka.pid,
        "clickhouse": line.clickhouse.pid,
    }
    return {name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in pids.items()}


def show(title: str, found: dict[str, Any]) -> None:
    cpu = ", ".join(f"{name} {value}" for name, value in found["cpu_us_per_frame"].items())
    print(
        f"  {title}: {found['frames_per_s']} frames/s until queryable ({found['frames']} frames, "
        f"{found['answered_share']:.0%} answered, drained in {found['drain_s']} s after the last)\n"
        f"    CPU us per frame: {cpu}\n"
        f"    reply ms {found['reply_ms']}, queryable ms {found['queryable_ms']}, events {found['event_queryable_ms']}, "
        f"wrong {found['wrong']}, missing {found['missing']}"
    )


def idle(path: Path, seconds: float) -> dict[str, Any]:
    """One device, one frame a second: reply and queryable latency of each, CPU of the idle line."""
    replies, queryable = [], []
    with running_line(path) as line:
        warm = asyncio.run(_lone(line, 3.0))
        assert warm[0]
        before, began = cpu_seconds(line), time.monotonic()
        replies, queryable = asyncio.run(_lone(line, seconds))
        spent = {n: (s - before[n]) / (time.monotonic() - began) for n, s in cpu_seconds(line).items()}
    found = {
        "frames": len(replies),
        "reply_ms": _spread(replies),
        "queryable_ms": _spread(queryable),
        "cpu_cores": {name: round(value, 3) for name, value in spent.items()},
    }
    print(f"\nidle line, one device at 1 Hz: reply ms {found['reply_ms']}, queryable ms {found['queryable_ms']}")
    print(f"  cores used (the polling of this test included): {found['cpu_cores']}")
    return found


async def _lone(line: Line, seconds: float) -> tuple[list[float], list[float]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
    replies, queryable, deadline = [], [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        when, began = dt.datetime.now(dt.UTC), time.monotonic()
        place = f"A,5130.2500,N,00007.6500,W,019.71,045,{when:%d%m%y}"
        writer.write(f"*HQ,8800123456,V1,{when:%H%M%S},{place},FFFFFFFF#".encode())
        await reader.readuntil(b"#")
        replies.append((time.monotonic() - began) * 1000)
        time_ms = int(when.replace(microsecond=0).timestamp() * 1000)
        sql = f"SELECT count() FROM lodestream.positions WHERE time_ms = fromUnixTimestamp64Milli({time_ms})"
        while not (await asyncio.to_thread(line.query, sql))[0][0]:
            await asyncio.sleep(0.02)
        queryable.append((time.monotonic() - began) * 1000)
        await asyncio.sleep(max(0.0, 1.0 - (time.monotonic() - began)))
    writer.close()
    return replies, queryable


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {f"p{p}": round(ordered[min(len(ordered) - 1, len(ordered) * p // 100)], 1) for p in PERCENTILES} | {
        "max": round(ordered[-1], 1)
    }


def connections(path: Path, count: int) -> dict[str, Any]:
    """Memory of the gateway for silent connections, and after each has sent a login."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with running_line(path) as line:
        process = psutil.Process(line.gateway.pid)
        empty = process.memory_info().rss
        found = asyncio.run(_connect_all(line, count, process))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    out = {
        "connections": count,
        "rss_empty_mib": round(empty / 2**20, 1),
        "idle_kib_each": round((found[0] - empty) / count / 1024, 2),
        "after_login_kib_each": round((found[1] - empty) / count / 1024, 2),
    }
    print(f"\n{count} connections: gateway {out['rss_empty_mib']} MiB empty, {out['idle_kib_each']} KiB each while silent, "
          f"{out['after_login_kib_each']} KiB each after a login")  # fmt: skip
    return out


async def _connect_all(line: Line, count: int, process: psutil.Process) -> tuple[int, int]:
    pairs = []
    for _ in range(0, count, 200):
        pairs += await asyncio.gather(*(asyncio.open_connection("127.0.0.1", line.port) for _ in range(200)))
    await asyncio.sleep(3)
    silent = process.memory_info().rss
    when = dt.datetime.now(dt.UTC)
    for number, (_, writer) in enumerate(pairs):
        place = f"{when:%y%m%d}A5130.2500N00007.6500W036.5{when:%H%M%S}045.5001000000L00001A2B"
        writer.write(f"(0{88_000_000_000 + number}BP05{354_188_000_000_000 + number}{place})".encode())
    await asyncio.gather(*(reader.readuntil(b")") for reader, _ in pairs))
    await asyncio.sleep(3)
    after = process.memory_info().rss
    for _, writer in pairs:
        writer.close()
    return silent, after
