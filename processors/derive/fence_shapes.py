"""The shapes of geofences on the globe: areas, circles, and strips along lines. Coordinates are WGS-84 degrees.

Edges of areas are straight in longitude and latitude, as GeoJSON says (RFC 7946, 3.1.1); circles and strips are measured
on the sphere of processors.derive.geometry, so they are right at any latitude. What spans more than half a turn goes the
short way, over the antimeridian; a ring that winds around the globe encloses the pole that is nearer to it.
"""

from __future__ import annotations

from itertools import pairwise
from math import asin, atan2, ceil, cos, degrees, radians, sin, sqrt
from typing import Protocol

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import affine_transform, translate

from processors.derive.geometry import EARTH_DIAMETER_M

EARTH_RADIUS_M = EARTH_DIAMETER_M / 2
METRES_PER_DEGREE = radians(1) * EARTH_RADIUS_M
NEAR_DEGREES = 0.02
"""Distances are exact up to about 2 km: callers compare them with tens of metres."""
STEP_DEGREES = 1.0
FLAT_DEGREES = 0.05
BISECTIONS = 24
SAMPLES_MAX = 512

Point = tuple[float, float]
"""Longitude, latitude."""


class Shape(Protocol):
    """Where a geofence is. All answers count the edge as inside."""

    def contains(self, longitude: float, latitude: float) -> bool:
        """True when the point is in it."""

    def distance_m(self, longitude: float, latitude: float) -> float:
        """Metres from the point to it; 0.0 inside."""

    def covers(self, box: shapely.Polygon) -> bool:
        """True when it surely contains all of a small box."""

    def pieces(self) -> list[shapely.Geometry]:
        """Geometries within -180..180 that together contain it, for a spatial index."""

    def first_touch(self, a: Point, b: Point) -> float | None:
        """Fraction of the straight way from a to b at which it is first touched; None: it is not."""


def great_circle_m(longitude_a: float, latitude_a: float, longitude_b: float, latitude_b: float) -> float:
    """Great-circle distance in metres (haversine)."""
    north = sin(radians(latitude_b - latitude_a) / 2)
    east = sin(radians(longitude_b - longitude_a) / 2)
    narrowing = cos(radians(latitude_a)) * cos(radians(latitude_b))
    return EARTH_DIAMETER_M * asin(min(1.0, sqrt(north * north + narrowing * east * east)))


def on_globe(geometry: shapely.Geometry) -> list[shapely.Geometry]:
    """Cut a geometry whose longitudes run on beyond 180 into pieces within -180..180."""
    west, _, east, _ = geometry.bounds
    if west >= -180 and east <= 180:
        return [geometry]
    found = []
    for turn in range(int((west + 180) // 360), int((east + 180) // 360) + 1):
        window = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        piece = translate(geometry.intersection(window), -360.0 * turn)
        if not piece.is_empty:
            found.append(piece)
    return found


class Area:
    """A polygon or several, with holes."""

    def __init__(self, geometry: shapely.Geometry) -> None:
        pieces = on_globe(geometry)
        self._geometry = pieces[0] if len(pieces) == 1 else shapely.union_all(pieces)
        self._prepared = False

    def _ready(self) -> shapely.Geometry:
        if not self._prepared:
            shapely.prepare(self._geometry)
            self._prepared = True
        return self._geometry

    def contains(self, longitude: float, latitude: float) -> bool:
        geometry = self._ready()
        if shapely.intersects_xy(geometry, longitude, latitude):
            return True
        return abs(longitude) == 180.0 and bool(shapely.intersects_xy(geometry, -longitude, latitude))

    def distance_m(self, longitude: float, latitude: float) -> float:
        if self.contains(longitude, latitude):
            return 0.0
        narrowing = max(cos(radians(latitude)), 1e-6)
        east = min(NEAR_DEGREES / narrowing, 180.0)
        found = []
        for shift in (-360.0, 0.0, 360.0):
            x = longitude + shift
            if not -180 - east <= x <= 180 + east:
                continue
            near = shapely.clip_by_rect(
                self._geometry, x - east, latitude - NEAR_DEGREES, x + east, latitude + NEAR_DEGREES
            )
            if not near.is_empty:
                flat = affine_transform(near, (narrowing, 0.0, 0.0, 1.0, -x * narrowing, -latitude))
                found.append(flat.distance(shapely.Point(0, 0)) * METRES_PER_DEGREE)
        if found:
            return float(min(found))
        nearest = shapely.shortest_line(shapely.Point(longitude, latitude), self._geometry).coords[-1]
        return great_circle_m(longitude, latitude, *nearest)

    def covers(self, box: shapely.Polygon) -> bool:
        return bool(self._ready().covers(box))

    def pieces(self) -> list[shapely.Geometry]:
        return list(shapely.get_parts(self._geometry))

    def first_touch(self, a: Point, b: Point) -> float | None:
        found = []
        for shift in (-360.0, 0.0, 360.0):
            if max(a[0], b[0]) + shift < -180 or min(a[0], b[0]) + shift > 180:
                continue
            line = shapely.LineString([(a[0] + shift, a[1]), (b[0] + shift, b[1])])
            if self._ready().intersects(line):
                inside = line.intersection(self._geometry)
                places = shapely.points(shapely.get_coordinates(inside))
                found.append(float(shapely.line_locate_point(line, places, normalized=True).min()))
        return min(found, default=None)


class Circle:
    """All within a distance of a point."""

    def __init__(self, longitude: float, latitude: float, radius_m: float) -> None:
        self.longitude, self.latitude, self.radius_m = longitude, latitude, radius_m

    def contains(self, longitude: float, latitude: float) -> bool:
        return great_circle_m(longitude, latitude, self.longitude, self.latitude) <= self.radius_m

    def distance_m(self, longitude: float, latitude: float) -> float:
        return max(0.0, great_circle_m(longitude, latitude, self.longitude, self.latitude) - self.radius_m)

    def covers(self, box: shapely.Polygon) -> bool:
        return all(self.contains(*corner) for corner in box.exterior.coords)

    def pieces(self) -> list[shapely.Geometry]:
        return on_globe(_cap_box(self.longitude, self.latitude, self.radius_m))

    def first_touch(self, a: Point, b: Point) -> float | None:
        pieces = max(1, ceil(max(abs(b[0] - a[0]), abs(b[1] - a[1])) / FLAT_DEGREES))
        for number in range(pieces):  # what is straight in longitude and latitude is so on a plane for a short way only
            found = self._touch(_between(a, b, number / pieces), _between(a, b, (number + 1) / pieces))
            if found is not None:
                return (number + found) / pieces
        return None

    def _touch(self, a: Point, b: Point) -> float | None:
        (ax, ay), (bx, by) = self._flat(a), self._flat(b)
        dx, dy = bx - ax, by - ay
        length, along = dx * dx + dy * dy, ax * dx + ay * dy
        beyond = ax * ax + ay * ay - self.radius_m**2
        if beyond <= 0:
            return 0.0
        root = along * along - length * beyond
        if length == 0 or root < 0:
            return None
        fraction = (-along - sqrt(root)) / length
        return fraction if 0 <= fraction <= 1 else None

    def _flat(self, point: Point) -> tuple[float, float]:
        """Metres east and north of the centre, azimuthal equidistant."""
        away_m = great_circle_m(self.longitude, self.latitude, *point)
        east = radians(point[0] - self.longitude)
        here, there = radians(self.latitude), radians(point[1])
        bearing = atan2(sin(east) * cos(there), cos(here) * sin(there) - sin(here) * cos(there) * cos(east))
        return away_m * sin(bearing), away_m * cos(bearing)


class Strip:
    """All within half a width of the great circles between the points of lines."""

    def __init__(self, lines: list[list[Point]], width_m: float) -> None:
        self.half_m = width_m / 2
        self._lines = [_densified(line) for line in lines]
        starts = _vectors([a for line in self._lines for a in line[:-1]])
        ends = _vectors([b for line in self._lines for b in line[1:]])
        normals = np.cross(starts, ends)
        lengths = np.linalg.norm(normals, axis=1, keepdims=True)
        self.starts, self.ends = starts, ends
        self.normals = np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)
        self.after_starts, self.before_ends = np.cross(self.normals, starts), np.cross(ends, self.normals)
        """Normals of the planes across the ends of each part: beside it is what lies on the inner side of both."""
        self._has_length = lengths[:, 0] > 0
        """A position that is repeated makes a part without a direction: only its ends count."""

    def contains(self, longitude: float, latitude: float) -> bool:
        return self.distance_m(longitude, latitude) == 0.0

    def distance_m(self, longitude: float, latitude: float) -> float:
        point = _vectors([(longitude, latitude)])[0]
        across = self.normals @ point
        beside = self._has_length & (self.after_starts @ point >= 0) & (self.before_ends @ point >= 0)
        ends = np.minimum(_angles(self.starts, point), _angles(self.ends, point))
        angle = np.where(beside, np.arcsin(np.clip(np.abs(across), 0.0, 1.0)), ends).min()
        return max(0.0, float(angle) * EARTH_RADIUS_M - self.half_m)

    def covers(self, box: shapely.Polygon) -> bool:
        return False

    def pieces(self) -> list[shapely.Geometry]:
        boxes = []
        for line in self._lines:
            for a, b in pairwise(line):
                ends = [_cap_box(*point, self.half_m) for point in (a, b)]
                boxes += on_globe(shapely.box(*shapely.union_all(ends).bounds))
        return boxes

    def first_touch(self, a: Point, b: Point) -> float | None:
        length_m = great_circle_m(*a, *b)
        steps = min(SAMPLES_MAX, max(2, ceil(4 * length_m / max(self.half_m, 1.0))))
        before = 0.0
        for number in range(steps + 1):
            fraction = number / steps
            if self.contains(*_between(a, b, fraction)):
                return self._edge(a, b, before, fraction) if number else 0.0
            before = fraction
        return None

    def _edge(self, a: Point, b: Point, outside: float, inside: float) -> float:
        for _ in range(BISECTIONS):
            middle = (outside + inside) / 2
            if self.contains(*_between(a, b, middle)):
                inside = middle
            else:
                outside = middle
        return inside


def _between(a: Point, b: Point, fraction: float) -> Point:
    return a[0] + (b[0] - a[0]) * fraction, a[1] + (b[1] - a[1]) * fraction


def _vectors(points: list[Point]) -> NDArray[np.float64]:
    """Unit vectors of places."""
    longitude, latitude = np.radians(np.asarray(points, dtype=float).reshape(-1, 2)).T
    return np.column_stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    )


def _angles(vectors: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles between unit vectors, exact for small ones too."""
    chords = np.linalg.norm(vectors - point, axis=1)
    return np.asarray(2 * np.arcsin(np.clip(chords / 2, 0.0, 1.0)))


def _densified(line: list[Point]) -> list[Point]:
    """A line with points at most STEP_DEGREES apart along its great circles, longitudes running on."""
    found = [line[0]]
    for a, b in pairwise(line):
        start, end = _vectors([a, b])
        angle = float(_angles(start[None], end)[0])
        for step in range(1, max(1, ceil(degrees(angle) / STEP_DEGREES)) + 1):
            fraction = step * STEP_DEGREES / degrees(angle) if angle else 1.0
            if fraction >= 1:
                place = b
            else:
                x, y, z = (sin((1 - fraction) * angle) * start + sin(fraction * angle) * end) / sin(angle)
                place = (degrees(atan2(y, x)), degrees(asin(max(-1.0, min(1.0, z)))))
            turns = round((found[-1][0] - place[0]) / 360)
            found.append((place[0] + 360 * turns, place[1]))
    return found


def _cap_box(longitude: float, latitude: float, radius_m: float) -> shapely.Polygon:
    """Bounding box of a circle; its longitudes may run on beyond 180."""
    reach = degrees(radius_m / EARTH_RADIUS_M)
    south, north = latitude - reach, latitude + reach
    if south <= -90 or north >= 90:
        return shapely.box(-180, max(-90.0, south), 180, min(90.0, north))
    east = degrees(asin(min(1.0, sin(radians(reach)) / cos(radians(latitude)))))
    return shapely.box(longitude - east, south, longitude + east, north)
