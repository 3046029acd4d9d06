"""The reports computed again, plainly and on their own: loops over rows in Python, no SQL, none of the project's code."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, pairwise
from statistics import median_high
from zoneinfo import ZoneInfo

from tests.reports.made import ABSENT_I4, ABSENT_U2, Row

GAP_S, STOP_S, TRIP_M, NOISE_M, MOVING_KMH, IDLE_S = 900.0, 180.0, 200.0, 100.0, 5.0, 300.0


def metres_between(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Distance on the WGS-84 ellipsoid by its radii of curvature halfway: exact to 1e-5 for some tens of kilometres."""
    semi_major, flattening = 6_378_137.0, 1 / 298.257223563
    e2 = flattening * (2 - flattening)
    middle = math.radians((a[0] + b[0]) / 2)
    w2 = 1 - e2 * math.sin(middle) ** 2
    meridian, normal = semi_major * (1 - e2) / w2**1.5, semi_major / math.sqrt(w2)
    east = (b[1] - a[1] + 180) % 360 - 180
    return math.hypot(meridian * math.radians(b[0] - a[0]), normal * math.cos(middle) * math.radians(east))


@dataclass(slots=True)
class Leg:
    """From one fix to the next. kind: moving, still, gap."""

    a: Row
    b: Row
    seconds: float
    metres: float
    kind: str

    @property
    def runs(self) -> bool:
        """With the engine on."""
        return self.a.ignition == 1 and self.seconds <= GAP_S


def by_device(rows: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Rows of each device, in order."""
    for device_id, own in groupby(rows, key=lambda row: row.device_id):
        yield device_id, list(own)


def legs_of(fixes: list[Row]) -> list[Leg]:
    """All legs of one device."""
    found = []
    for a, b in pairwise(fixes):
        seconds, metres = (b.time_ms - a.time_ms) / 1000, metres_between(a.place, b.place)
        mean_kmh = metres / seconds * 3.6 if seconds else math.inf
        told = b.speed_kmh is not None and b.speed_kmh >= MOVING_KMH
        if seconds > GAP_S:
            kind = "gap" if metres > TRIP_M else "still"
        elif (told and mean_kmh >= MOVING_KMH / 5) or (metres > NOISE_M and mean_kmh >= MOVING_KMH):
            kind = "moving"
        else:
            kind = "still"
        found.append(Leg(a, b, seconds, metres, kind))
    return found


@dataclass(slots=True)
class Segment:
    """A trip, a stop or a gap."""

    kind: str
    legs: list[Leg]

    @property
    def begin_ms(self) -> int:
        """Begin."""
        return self.legs[0].a.time_ms

    @property
    def end_ms(self) -> int:
        """End."""
        return self.legs[-1].b.time_ms

    @property
    def moved_m(self) -> float:
        """Way in motion."""
        return sum(leg.metres for leg in self.legs if leg.kind == "moving")


def segments_of(legs: list[Leg]) -> list[Segment]:
    """Trips, stops and gaps of one device, in order."""
    pieces: list[Segment] = []
    open_piece: list[Leg] = []

    def close() -> None:
        nonlocal open_piece
        if open_piece:
            drive = Segment("trip", open_piece)
            if drive.moved_m < TRIP_M:
                drive.kind = "stop"
            pieces.append(drive)
        open_piece = []

    for kind, run in groupby(legs, key=lambda leg: leg.kind):
        span = Segment(kind, list(run))
        if kind == "gap" or (kind == "still" and span.end_ms - span.begin_ms >= STOP_S * 1000):
            close()
            pieces.append(Segment("gap" if kind == "gap" else "stop", span.legs))
        else:
            open_piece += span.legs
    close()
    merged: list[Segment] = []
    for piece in pieces:
        if merged and merged[-1].kind == piece.kind:
            merged[-1].legs += piece.legs
        else:
            merged.append(piece)
    return merged


def trips_and_stops(rows: list[Row], from_ms: int, to_ms: int) -> tuple[list[tuple], list[tuple]]:  # type: ignore[type-arg]
    """([device, begin, end, metres, moving s, idle s]), ([device, begin, end, idle s])."""
    trips, stops = [], []
    for device_id, own in by_device(rows):
        fixes = [row for row in own if row.is_fix and from_ms <= row.time_ms < to_ms]
        if not fixes:
            continue
        for segment in segments_of(legs_of(fixes)):
            idle = sum(leg.seconds for leg in segment.legs if leg.kind == "still" and leg.runs)
            if segment.kind == "trip":
                moving = sum(leg.seconds for leg in segment.legs if leg.kind == "moving")
                trips.append((device_id, segment.begin_ms, segment.end_ms, segment.moved_m, moving, idle))
            elif segment.kind == "stop" and segment.end_ms - segment.begin_ms >= STOP_S * 1000:
                stops.append((device_id, segment.begin_ms, segment.end_ms, idle))
    return trips, stops


def period_of(time_ms: int, zone: ZoneInfo, period: str, from_ms: int) -> date:
    """The first day of the period that a moment is in."""
    day = datetime.fromtimestamp((from_ms if period == "total" else time_ms) / 1000, UTC).astimezone(zone).date()
    if period == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == "month" else day


def begin_of(day: date, zone: ZoneInfo) -> int:
    """Midnight of a day, ms."""
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)


def summary(
    rows: list[Row], from_ms: int, to_ms: int, zone: ZoneInfo, period: str
) -> dict[tuple[str, date], dict[str, float]]:
    """Figures by device and period: legs are cut into milliseconds of each period by walking from border to border."""
    found: dict[tuple[str, date], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for device_id, own in by_device(rows):
        for row in own:
            if from_ms <= row.time_ms < to_ms:
                told = found[device_id, period_of(row.time_ms, zone, period, from_ms)]
                told["positions"] += 1
                told["fixes"] += row.is_fix
                if row.is_fix and row.speed_kmh is not None:
                    told["speed_max_kmh"] = max(told["speed_max_kmh"], row.speed_kmh)
        for leg in legs_of([row for row in own if row.is_fix]):
            if leg.seconds > GAP_S:
                continue
            for start, end in parts_of(leg, from_ms, to_ms, zone):
                key = device_id, period_of(start, zone, period, from_ms)
                if key not in found:
                    continue  # no report of its own in that period
                told, seconds = found[key], (end - start) / 1000
                if leg.kind == "moving":
                    told["moving_s"] += seconds
                    told["distance_m"] += leg.metres * seconds / leg.seconds if leg.seconds else leg.metres
                elif leg.runs:
                    told["idle_s"] += seconds
                if leg.runs:
                    told["engine_s"] += seconds
    return found


def parts_of(leg: Leg, from_ms: int, to_ms: int, zone: ZoneInfo) -> Iterator[tuple[int, int]]:
    """A leg within the range, cut at every midnight."""
    start, last = max(leg.a.time_ms, from_ms), min(leg.b.time_ms, to_ms)
    while start < last:
        day = datetime.fromtimestamp(start / 1000, UTC).astimezone(zone).date()
        end = min(last, begin_of(day + timedelta(days=1), zone))
        yield start, end
        start = end


def overspeed(rows: list[Row], from_ms: int, to_ms: int, limit: float, hold_s: float) -> list[tuple]:  # type: ignore[type-arg]
    """[device, begin, end, fixes, highest speed]."""
    found = []
    for device_id, own in by_device(rows):
        fast = [r for r in own if r.is_fix and from_ms <= r.time_ms < to_ms and (r.speed_kmh or 0) > limit]
        episode: list[Row] = []
        for row in [*fast, None]:
            if episode and (row is None or row.time_ms - episode[-1].time_ms > hold_s * 1000):
                speeds = [r.speed_kmh or 0 for r in episode]
                found.append((device_id, episode[0].time_ms, episode[-1].time_ms, len(episode), max(speeds)))
                episode = []
            if row is not None:
                episode.append(row)
    return found


def spells(rows: list[Row], from_ms: int, to_ms: int, idle: bool) -> list[tuple]:  # type: ignore[type-arg]
    """Engine spells, or idle ones: [device, begin, end]."""
    found = []
    for device_id, own in by_device(rows):
        legs = legs_of([row for row in own if row.is_fix and from_ms <= row.time_ms < to_ms])
        for on, run in groupby(legs, key=lambda leg: leg.runs and (leg.kind == "still" or not idle)):
            group = list(run)
            begin, end = group[0].a.time_ms, group[-1].b.time_ms
            if on and end > begin and (not idle or end - begin >= IDLE_S * 1000):
                found.append((device_id, begin, end))
    return found


def fuel(
    rows: list[Row], from_ms: int, to_ms: int, zone: ZoneInfo, step: float
) -> dict[tuple[str, date], tuple[float, float, float]]:
    """(filled, dropped, used) by device and day."""
    slots: dict[tuple[str, date], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if from_ms <= row.time_ms < to_ms and row.fuel_percent_x10 != ABSENT_U2:
            day = period_of(row.time_ms, zone, "day", from_ms)
            slots[row.device_id, day][row.time_ms // 600_000].append(row.fuel_percent_x10 / 10)
    found = {}
    for key, levels in slots.items():
        medians = [median_high(levels[slot]) for slot in sorted(levels)]
        steps = [b - a for a, b in pairwise(medians)]
        filled, dropped = sum(s for s in steps if s >= step), -sum(s for s in steps if s <= -step)
        found[key] = filled, dropped, medians[0] + filled - medians[-1]
    return found


def quality(rows: list[Row], from_ms: int, to_ms: int, jump_kmh: float) -> dict[str, dict[str, float]]:
    """Figures by device."""
    found = {}
    for device_id, every in by_device(rows):
        own = [row for row in every if from_ms <= row.time_ms < to_ms]
        if not own:
            continue
        count = len(own)
        placed = [row for row in own if row.latitude_e7 != ABSENT_I4]
        pauses = [(b.time_ms - a.time_ms) / 1000 for a, b in pairwise(own)]
        gaps = [pause for pause in pauses if pause > GAP_S]
        counted = [row for row in placed if row.valid and not row.flags & 32]
        jumps = 0
        for a, b in pairwise(counted):
            seconds = max(1.0, (b.time_ms - a.time_ms) / 1000)
            jumps += metres_between(a.place, b.place) / seconds * 3.6 > jump_kmh
        delays = sorted(row.delay_ds / 10 - row.time_ms % 100 / 1000 for row in own)
        found[device_id] = {
            "positions": count,
            "no_fix_percent": 100 * (count - len(placed)) / count,
            "invalid_percent": 100 * sum(1 for row in placed if not row.valid) / count,
            "filtered_percent": 100 * sum(1 for row in own if row.flags & 64) / count,
            "late_percent": 100 * sum(1 for row in own if row.flags & 1) / count,
            "gaps": len(gaps),
            "longest_gap_s": max(gaps, default=0),
            "jumps": jumps,
            "delay_p50_s": median_high(delays),
        }
    return found
