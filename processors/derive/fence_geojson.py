"""GeoJSON geometries to the shapes of geofences; what is wrong with one is told in words (RFC 7946)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isfinite
from typing import Any

import shapely
from shapely.affinity import translate

from processors.derive.fence_shapes import Area, Circle, Point, Shape, Strip

VERTICES_MAX = 100_000
RADIUS_MAX_M = 5_000_000.0
WIDTH_MAX_M = 1_000_000.0


def shape_from(geometry: str, radius_m: float, width_m: float) -> Shape:
    """The shape of a GeoJSON geometry. Raises ValueError with the reason."""
    try:
        read = json.loads(geometry)
    except ValueError as error:
        raise ValueError(f"geometry is not JSON: {error}") from None
    if not isinstance(read, dict) or "type" not in read:
        raise ValueError('geometry is no GeoJSON geometry: {"type": …, "coordinates": …} was expected')
    kind, coordinates = read["type"], read.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon", "Point", "LineString", "MultiLineString"):
        raise ValueError(
            f"type {kind!r} is none of Polygon, MultiPolygon, Point with radius_m, LineString with width_m"
        )
    for name, value, kinds in (
        ("radius_m", radius_m, ("Point",)),
        ("width_m", width_m, ("LineString", "MultiLineString")),
    ):
        if not isfinite(value) or value < 0:
            raise ValueError(f"{name} {value!r} is no length")
        if value and kind not in kinds:
            raise ValueError(f"{name} is for a {kinds[0]}, not for a {kind}")
        if not value and kind in kinds:
            raise ValueError(f"a {kind} needs {name}, in metres")
    if not isinstance(coordinates, list):
        raise ValueError(f"coordinates of a {kind} are missing")
    if kind == "Point":
        if radius_m > RADIUS_MAX_M:
            raise ValueError(f"radius_m {radius_m:g} is above {RADIUS_MAX_M:g}")
        return Circle(*_position(coordinates, "coordinates"), radius_m)
    if kind in ("LineString", "MultiLineString"):
        if width_m > WIDTH_MAX_M:
            raise ValueError(f"width_m {width_m:g} is above {WIDTH_MAX_M:g}")
        lines = [coordinates] if kind == "LineString" else coordinates
        return Strip([_line(line, f"line {n}") for n, line in enumerate(lines)] or _nothing("lines"), width_m)
    polygons = [coordinates] if kind == "Polygon" else coordinates
    parts = [_polygon(rings, f"polygon {n} " if kind == "MultiPolygon" else "") for n, rings in enumerate(polygons)]
    if sum(shapely.get_num_coordinates(part) for part in parts) > VERTICES_MAX:
        raise ValueError(f"more than {VERTICES_MAX:,} positions: simplify it")
    return Area(parts[0] if len(parts) == 1 else shapely.union_all(parts or _nothing("polygons")))


def _nothing(what: str) -> Any:
    raise ValueError(f"there are no {what} in it")


def _position(value: Any, where: str) -> Point:
    if not isinstance(value, list) or len(value) < 2:
        raise ValueError(f"{where}: {value!r} is no position [longitude, latitude]")
    for number in value[:2]:
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not isfinite(number):
            raise ValueError(f"{where}: {number!r} is not a number")
    longitude, latitude = float(value[0]), float(value[1])
    if abs(latitude) > 90:
        raise ValueError(f"{where}: latitude {latitude:g} is outside -90..90; the order is longitude, latitude")
    if abs(longitude) > 180:
        raise ValueError(f"{where}: longitude {longitude:g} is outside -180..180")
    return longitude, latitude


def _positions(value: Any, where: str) -> list[Point]:
    if not isinstance(value, list):
        raise ValueError(f"{where}: a list of positions was expected")
    if len(value) > VERTICES_MAX:
        raise ValueError(f"{where}: more than {VERTICES_MAX:,} positions: simplify it")
    return [_position(position, f"{where} position {n}") for n, position in enumerate(value)]


def _line(value: Any, where: str) -> list[Point]:
    points = _positions(value, where)
    if len(set(points)) < 2:
        raise ValueError(f"{where}: two different positions are the least")
    return points


def _polygon(rings: Any, where: str) -> shapely.Geometry:
    if not isinstance(rings, list) or not rings:
        raise ValueError(f"{where}has no ring")
    shell, *holes = [_ring(ring, f"{where}ring {n}") for n, ring in enumerate(rings)]
    for number, hole in enumerate(holes, 1):
        turns = [hole, *(translate(hole, turn) for turn in (-360.0, 360.0))]
        placed = next((turn for turn in turns if shell.covers(turn)), None)
        if placed is None:
            raise ValueError(f"{where}ring {number}: the hole is not inside of ring 0")
        shell = shell.difference(placed)
    return shell


def _ring(value: Any, where: str) -> shapely.Polygon:
    points = _positions(value, where)
    if len(points) < 4:
        raise ValueError(f"{where}: {len(points)} positions; 4 are the least, the last equal to the first")
    if points[0] != points[-1]:
        raise ValueError(
            f"{where} is not closed: its last position {list(points[-1])} is not its first {list(points[0])}"
        )
    unwrapped = list(_unwrapped(points))
    turned = unwrapped[-1][0] - unwrapped[0][0]
    if abs(turned) > 180:  # it winds around the globe
        pole = 90.0 if sum(latitude for _, latitude in points) > 0 else -90.0
        unwrapped += [(unwrapped[-1][0], pole), (unwrapped[0][0], pole), unwrapped[0]]
    polygon = shapely.Polygon(unwrapped)
    if not polygon.is_valid:
        raise ValueError(f"{where}: {shapely.is_valid_reason(polygon)}")
    if polygon.area == 0:
        raise ValueError(f"{where} has no area")
    return polygon


def _unwrapped(points: list[Point]) -> Iterator[Point]:
    """Longitudes that run on: no step is longer than half a turn."""
    before = points[0][0]
    for longitude, latitude in points:
        before += (longitude - before + 180) % 360 - 180
        yield before, latitude
