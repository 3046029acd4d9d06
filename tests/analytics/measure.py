"""Makes the history, asks it, weighs it."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from deploy.cli.report.places import geofence_parameters
from deploy.cli.report.run import ask
from schemas.clients import clickhouse
from schemas.queries import PARAMETERS, load_queries
from schemas.records import Geofence
from tests.integration.clickhouse_server import clickhouse_server

MADE_SQL, MADE_EVENTS_SQL = (Path(__file__).parent / name for name in ("made.sql", "made_events.sql"))
FIRST_DEVICE = 864_035_000_000_000
PER_DAY = 333
FIRST_DAY = datetime(2026, 9, 1, tzinfo=UTC)
ROWS_PER_INSERT = 1_665_000
ZONE = ZoneInfo("Europe/Berlin")
RUNS = 7
LIVE_ROWS, LIVE_EVERY_S = 1000, 0.5
DEVICE_MONTH_S, FLEET_DAY_S, LATEST_S = 0.3, 1.5, 0.05
BYTES_PER_POSITION = 14.0
QUESTION = "device month"
LIMIT_KMH = 50.0
"""Of the overspeed report: low, so that the made drives exceed it."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Size:
    """How much history."""

    positions: int
    devices: int

    @property
    def days(self) -> int:
        """Days that so many positions of so many devices fill."""
        return max(1, round(self.positions / self.devices / PER_DAY))


def run(folder: Path, size: Size, say: Say, runs: int = RUNS) -> dict[str, Any]:
    """Everything, each question `runs` times; returns what was measured, and `missed`: the bounds that do not hold."""
    with clickhouse_server(folder / "clickhouse") as url:
        client = clickhouse.connect(url)
        clickhouse.migrate(client)
        fill(client, size, say)
        settle(client, say)
        weight = weigh(client, say)
        live = Live(url, size)
        live.start()
        try:
            times = Asker(client, say, runs).ask_all(size)
        finally:
            live.stop()
        say(f"live load meanwhile: {live.rows_per_s:,.0f} rows/s in blocks of {LIVE_ROWS}, {live.blocks} blocks")
        client.close()
    missed = [name for name, row in times.items() if row["bound_s"] and row["median_s"] > row["bound_s"]]
    if weight["bytes_per_position"] > BYTES_PER_POSITION:
        missed.append("bytes per position")
    say(f"missed: {', '.join(missed)}" if missed else "every bound holds")
    return {"size": {"days": size.days, "devices": size.devices}, "weight": weight, "times": times, "missed": missed}


def fill(client: Any, size: Size, say: Say) -> None:
    """Insert day by day what is not there yet."""
    positions, events = (
        "\n".join(line for line in file.read_text().splitlines() if not line.startswith("--"))
        for file in (MADE_SQL, MADE_EVENTS_SQL)
    )
    total, started = size.devices * PER_DAY, time.monotonic()
    for day in range(size.days):
        begin = FIRST_DAY + timedelta(days=day)
        there = client.command(
            f"SELECT count() FROM positions_raw WHERE toDate(time_ms) = '{begin:%Y-%m-%d}' AND time_ms >= '{begin:%Y-%m-%d}'"
        )
        if there >= total:
            continue
        day_ms = round(begin.timestamp() * 1000)
        for first in range(0, total, ROWS_PER_INSERT):
            rows = min(ROWS_PER_INSERT, total - first)
            client.command(positions, parameters={"day": day, "day_ms": day_ms, "first_row": first, "rows": rows})
        client.command(events, parameters={"day_ms": day_ms, "devices": size.devices})
        made = (day + 1) * total
        say(f"{made:,} positions made, {made / (time.monotonic() - started):,.0f} a second")


def settle(client: Any, say: Say) -> None:
    """Wait until background merges have nothing left to do, as in a system that has run for a while."""
    started, parts, since = time.monotonic(), -1, time.monotonic()
    while time.monotonic() - since < 10 and time.monotonic() - started < 600:
        now = client.command("SELECT count() FROM system.parts WHERE active AND table = 'positions_raw'")
        if now != parts or client.command("SELECT count() FROM system.merges"):
            parts, since = now, time.monotonic()
        time.sleep(1)
    say(f"settled after {time.monotonic() - started:.0f} s: {parts} parts")


def weigh(client: Any, say: Say) -> dict[str, Any]:
    """Bytes per position of every column, and on disk altogether."""
    client.command("OPTIMIZE TABLE latest_raw FINAL")
    wide = "active AND table = 'positions_raw' AND part_type = 'Wide'"  # small parts keep all columns in one file
    rows = client.command(f"SELECT sum(rows) FROM system.parts WHERE {wide}")
    if not rows:
        raise RuntimeError("no part is large enough to weigh its columns: make more positions")
    per_column = dict(
        client.query(
            "SELECT column, sum(column_data_compressed_bytes) FROM system.parts_columns "
            f"WHERE {wide} GROUP BY column ORDER BY 2 DESC, 1"
        ).result_rows
    )
    disk = client.command(f"SELECT sum(bytes_on_disk) FROM system.parts WHERE {wide}")
    told = {name: size / rows for name, size in per_column.items() if name != "attributes"}
    say(f"{rows:,} rows, {disk / 1e9:.2f} GB on disk, {disk / rows:.2f} bytes a position with marks and index")
    for name, size in told.items():
        say(f"  {name:<20} {size:6.3f} bytes")
    say(f"  {'all but attributes':<20} {sum(told.values()):6.2f} bytes a position, key and version included")
    return {"rows": rows, "disk_bytes": disk, "bytes_per_position": sum(told.values()), "columns": told}


class Asker:
    """Asks as `lodestream report` does, `runs` times after a first one, and notes the median and the largest time."""

    def __init__(self, client: Any, say: Say, runs: int) -> None:
        self._client, self._say, self._runs = client, say, runs
        self._found: dict[str, Any] = {}

    def ask_all(self, size: Size) -> dict[str, Any]:
        """Every report of one device and month, and those of the fleet that have a bound or are asked often."""
        end = FIRST_DAY + timedelta(days=size.days)
        number = size.devices // 20 * 10 + 8  # one of those that fill every column
        device, month = str(FIRST_DEVICE + number), end - timedelta(days=30)
        for name in load_queries():
            self._measure(f"{name}, {QUESTION}", name, [device], month, end, DEVICE_MONTH_S)
        middle = FIRST_DAY + timedelta(days=size.days // 2)
        day = middle, middle + timedelta(days=1)
        self._measure("summary, fleet day", "summary", [], *day, FLEET_DAY_S)
        self._measure("latest, whole fleet", "latest", [], *day, LATEST_S)
        for name in ("trips", "stops", "overspeed", "heatmap", "geofences", "quality", "ranking"):
            self._measure(f"{name}, fleet day", name, [], *day, None)
        week = middle - timedelta(days=min(3, size.days // 2)), middle + timedelta(days=4)
        self._measure("summary, fleet week", "summary", [], *week, None)
        return self._found

    def _measure(
        self, label: str, name: str, devices: list[str], begin: datetime, end: datetime, bound_s: float | None
    ) -> None:
        query = load_queries()[name]
        values: dict[str, Any] = {parameter.name: parameter.default for parameter in PARAMETERS.values()}
        values |= {"devices": devices, "kinds": [], "tz": str(ZONE), "period": "day", "limit_kmh": LIMIT_KMH}
        values |= geofence_parameters(depot(int(devices[0]) - FIRST_DEVICE if devices else 0))
        values |= {"from": f"{begin:%F %T.000}", "to": f"{end:%F %T.000}"} | query.settings
        times, rows = [], 0
        for _ in range(1 + (self._runs if bound_s else min(self._runs, 2))):
            started = time.perf_counter()
            rows = len(ask(self._client, query, values, ZONE).rows)
            times.append(time.perf_counter() - started)
        median_s, largest_s = statistics.median(times[1:]), max(times[1:])
        told = {"first_s": times[0], "median_s": median_s, "largest_s": largest_s}
        self._found[label] = told | {"rows": rows, "bound_s": bound_s}
        kept = "" if bound_s is None or median_s <= bound_s else ", MISSED"
        mark = "" if bound_s is None else f"  (bound {bound_s * 1000:,.0f}{kept})"
        self._say(
            f"{label:<28} {median_s * 1000:8,.0f} ms, largest {largest_s * 1000:,.0f}, "
            f"first {times[0] * 1000:,.0f}, {rows:,} rows{mark}"
        )


def depot(number: int) -> Geofence:
    """A circle over a part of where the device of this number drives (the middle of its curve in made.sql is its centre)."""
    centre = [5.0 + number % 89 * 0.11, 46.0 + number % 97 * 0.07]
    return Geofence("depot", 0, geometry=json.dumps({"type": "Point", "coordinates": centre}), radius_m=5_500.0)


class Live:
    """A sink that goes on inserting: blocks of the newest day, as many rows a second as a busy fleet reports."""

    def __init__(self, url: str, size: Size) -> None:
        self._url, self._size = url, size
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._insert, daemon=True)
        self._started = time.monotonic()
        self.blocks = 0

    @property
    def rows_per_s(self) -> float:
        """Rows inserted a second."""
        return self.blocks * LIVE_ROWS / (time.monotonic() - self._started)

    def start(self) -> None:
        """Begin."""
        self._started = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End; raises nothing: what went wrong shows in the number of blocks."""
        self._ending.set()
        self._thread.join(30)

    def _insert(self) -> None:
        client = clickhouse.connect(self._url)
        names = [
            "device_id",
            "protocol",
            "time_ms",
            "frame_key",
            "valid",
            "latitude_e7",
            "longitude_e7",
            "speed_x10",
            "delay_ds",
        ]
        types = ["LowCardinality(String)", "LowCardinality(String)", "DateTime64(3, 'UTC')", "UInt32", "UInt8"]
        types += ["Int32", "Int32", "UInt16", "Int64"]
        begin_ms = round((FIRST_DAY + timedelta(days=self._size.days)).timestamp() * 1000)
        while not self._ending.wait(LIVE_EVERY_S):
            numbers = [(self.blocks * LIVE_ROWS + i) % self._size.devices for i in range(LIVE_ROWS)]
            columns: list[list[Any]] = [
                [str(FIRST_DEVICE + number) for number in numbers],
                ["tk103"] * LIVE_ROWS,
                [begin_ms + self.blocks * 500 + number for number in numbers],
                [self.blocks] * LIVE_ROWS,
                [1] * LIVE_ROWS,
                [480_000_000 + number for number in numbers],
                [80_000_000 + self.blocks] * LIVE_ROWS,
                [300] * LIVE_ROWS,
                [10] * LIVE_ROWS,
            ]
            client.insert("positions_raw", columns, column_names=names, column_type_names=types, column_oriented=True)
            self.blocks += 1
        client.close()
