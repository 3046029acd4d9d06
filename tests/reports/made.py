"""Made positions for the reports: noisy routes with duplicates, corrections, late and withdrawn rows, and what is seen."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import Any

from schemas.records import Flag

ABSENT_I8, ABSENT_I4, ABSENT_U2, ABSENT_U1 = (1 << 63) - 1, (1 << 31) - 1, 65535, 255
COLUMNS = {
    "device_id": "LowCardinality(String)",
    "protocol": "LowCardinality(String)",
    "time_ms": "DateTime64(3, 'UTC')",
    "frame_key": "UInt32",
    "version": "UInt32",
    "withdrawn": "UInt8",
    "fix_offset_ms": "Int64",
    "delay_ds": "Int64",
    "valid": "UInt8",
    "latitude_e7": "Int32",
    "longitude_e7": "Int32",
    "speed_x10": "UInt16",
    "ignition": "UInt8",
    "fuel_percent_x10": "UInt16",
    "flags": "UInt32",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One stored row, in the columns of positions_raw that the reports read."""

    device_id: str
    time_ms: int
    frame_key: int
    version: int = 0
    withdrawn: int = 0
    delay_ds: int = 10
    valid: int = 1
    latitude_e7: int = ABSENT_I4
    longitude_e7: int = ABSENT_I4
    speed_x10: int = ABSENT_U2
    ignition: int = ABSENT_U1
    fuel_percent_x10: int = ABSENT_U2
    flags: int = 0

    @property
    def key(self) -> tuple[str, int, int]:
        """What the table collapses by."""
        return self.device_id, self.time_ms, self.frame_key

    @property
    def is_fix(self) -> bool:
        """Whether the reports count its place."""
        set_aside = Flag.ZERO | Flag.FILTERED | Flag.QUARANTINED
        return bool(self.valid and self.latitude_e7 != ABSENT_I4 and not self.flags & set_aside)

    @property
    def place(self) -> tuple[float, float]:
        """Latitude and longitude, degrees."""
        return self.latitude_e7 / 1e7, self.longitude_e7 / 1e7

    @property
    def speed_kmh(self) -> float | None:
        """As told."""
        return None if self.speed_x10 == ABSENT_U2 else self.speed_x10 / 10


def columns(rows: list[Row]) -> list[list[Any]]:
    """One list a column of COLUMNS."""
    fixed: dict[str, Any] = {"protocol": "tk103", "fix_offset_ms": 0}
    return [[fixed.get(name, getattr(row, name, None)) for row in rows] for name in COLUMNS]


def visible(rows: list[Row]) -> list[Row]:
    """What readers see: of equal keys the highest version, unless it is withdrawn; in the order of time."""
    newest: dict[tuple[str, int, int], Row] = {}
    for row in rows:
        before = newest.get(row.key)
        if before is None or row.version >= before.version:
            newest[row.key] = row
    shown = [row for row in newest.values() if not row.withdrawn]
    return sorted(shown, key=lambda row: (row.device_id, row.time_ms, row.latitude_e7, row.longitude_e7))


def route(draw: random.Random, device_id: str, begin_ms: int, end_ms: int, start: tuple[float, float]) -> list[Row]:
    """Drives, stops and silences of one device; some devices tell neither speed nor ignition nor fuel."""
    latitude, longitude = start
    tells_speed, tells_engine, tells_fuel = draw.random() < 0.8, draw.random() < 0.7, draw.random() < 0.6
    course, fuel, time_ms, rows = draw.uniform(0, 360), 70.0, begin_ms + draw.randrange(600_000), []
    while time_ms < end_ms:
        kind = draw.choices(("drive", "park", "idle", "silence"), (5, 4, 2, 1))[0]
        if kind == "silence":
            time_ms += draw.randrange(1_000_000, 20_000_000)
            if draw.random() < 0.5:
                latitude += draw.uniform(-0.05, 0.05)
                longitude += draw.uniform(-0.05, 0.05)
            continue
        for _ in range(draw.randrange(3, 60)):
            step_s = draw.choice((10, 30, 60)) if kind != "park" else draw.choice((60, 300, 600))
            speed = max(0.0, draw.gauss(60, 30)) if kind == "drive" else abs(draw.gauss(0, 1.2))
            course += draw.gauss(0, 15)
            metres = speed / 3.6 * step_s if kind == "drive" else abs(draw.gauss(0, 8))
            latitude += metres * math.cos(math.radians(course)) / 111_200
            longitude += metres * math.sin(math.radians(course)) / 111_200 / math.cos(math.radians(latitude))
            longitude = (longitude + 180) % 360 - 180
            time_ms += step_s * 1000 + draw.randrange(1000)
            fuel = fuel - metres / 20_000 if draw.random() > 0.002 else min(100.0, fuel + 40)
            rows.append(
                Row(
                    device_id,
                    time_ms,
                    draw.getrandbits(32),
                    delay_ds=draw.randrange(3, 40) if draw.random() > 0.05 else draw.randrange(600, 90_000),
                    latitude_e7=round(latitude * 1e7),
                    longitude_e7=round(longitude * 1e7),
                    speed_x10=round(speed * 10) if tells_speed and draw.random() > 0.02 else ABSENT_U2,
                    ignition=(int(kind != "park") if tells_engine else ABSENT_U1),
                    fuel_percent_x10=round(max(0.0, fuel) * 10) if tells_fuel and draw.random() > 0.3 else ABSENT_U2,
                )
            )
    return [_spoilt(draw, row) for row in rows]


def _spoilt(draw: random.Random, row: Row) -> Row:
    """Now and then a report without a place, invalid, at 0, 0, or set aside by a filter."""
    chance = draw.random()
    if chance < 0.01:
        return replace(row, latitude_e7=ABSENT_I4, longitude_e7=ABSENT_I4)
    if chance < 0.02:
        return replace(row, valid=0)
    if chance < 0.025:
        return replace(row, latitude_e7=0, longitude_e7=0, flags=int(Flag.ZERO))
    if chance < 0.035:
        return replace(row, latitude_e7=row.latitude_e7 + 9_000_000, flags=int(Flag.FILTERED))
    if chance < 0.05:
        return replace(row, flags=int(Flag.LATE))
    return row


def disturbed(draw: random.Random, rows: list[Row]) -> list[list[Row]]:
    """Blocks to insert in turn: late rows, rows twice, rows corrected by a replay, rows that a replay withdrew."""
    late = [row for row in rows if draw.random() < 0.1]
    twice = [row for row in rows if draw.random() < 0.05]
    # a wrong decoder told another place, and rows that are no longer derived
    wrong = {row.key for row in rows if draw.random() < 0.05}
    first = [
        replace(row, latitude_e7=row.latitude_e7 + 50_000, speed_x10=900)
        if row.key in wrong and row.latitude_e7 != ABSENT_I4
        else row
        for row in rows
    ]
    corrected = [replace(row, version=1) for row in rows if row.key in wrong]
    ghosts = [
        replace(row, time_ms=row.time_ms + 500, frame_key=row.frame_key ^ 1, latitude_e7=row.latitude_e7 + 70_000)
        for row in rows
        if draw.random() < 0.03 and row.latitude_e7 != ABSENT_I4
    ]
    gone = [replace(ghost, version=2, withdrawn=1) for ghost in ghosts]
    late_keys = {row.key for row in late}
    blocks = [[row for row in first if row.key not in late_keys] + ghosts, corrected, late, gone]
    # a resent row is the same row: only of those that were right from the start
    blocks.append([row for row in twice if row.key not in wrong])
    for block in blocks:
        draw.shuffle(block)
    return [block for block in blocks if block]
