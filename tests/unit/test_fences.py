"""Geofences on the globe against brute force: areas with holes, circles and strips, over poles and the antimeridian."""

from __future__ import annotations

import json
from math import cos, radians
from random import Random
from typing import Any

import pytest
import shapely

from processors.derive.fence_shapes import Strip, great_circle_m
from processors.derive.fences import CELLS_KEPT, Fence, FenceIndex, fence_from
from schemas.records import Geofence

METRES_PER_DEGREE = 111_195.08


def fence(name: str, kind: str, coordinates: Any, **fields: float) -> Fence:
    return fence_from(Geofence(name, 0, json.dumps({"type": kind, "coordinates": coordinates}), **fields), 1)  # type: ignore[arg-type]


def inside(index: FenceIndex, longitude: float, latitude: float) -> set[str]:
    return {f.geofence_id for f in index.containing(round(latitude * 1e7), round(longitude * 1e7))}


def wrapped(longitude: float) -> float:
    return (longitude + 180) % 360 - 180


@pytest.mark.parametrize("centre", [(10.0, 50.0), (179.98, -17.0), (-179.99, 60.0), (0.0, 0.0), (25.0, 78.0)])
def test_areas_with_holes_equal_shapely_on_unwrapped_copies(centre: tuple[float, float]) -> None:
    noise = Random(str(centre))
    shapes: dict[str, shapely.Geometry] = {}
    fences = []
    for number in range(60):
        x, y = centre[0] + noise.uniform(-0.2, 0.2), centre[1] + noise.uniform(-0.2, 0.2)
        outer = shapely.Point(x, y).buffer(noise.uniform(0.001, 0.1), quad_segs=noise.randint(1, 5))
        shape = outer.difference(shapely.Point(x, y).buffer(0.0004)) if number % 3 == 0 else outer
        rings = [[[wrapped(a), b] for a, b in ring.coords] for ring in (shape.exterior, *shape.interiors)]
        kind, coordinates = ("Polygon", rings) if number % 2 else ("MultiPolygon", [rings])
        shapes[f"f{number}"] = shape
        fences.append(fence(f"f{number}", kind, coordinates))
    index = FenceIndex(fences, 1)
    met = 0
    for _ in range(1500):
        x, y = centre[0] + noise.uniform(-0.3, 0.3), centre[1] + noise.uniform(-0.3, 0.3)
        expected = {name for name, shape in shapes.items() if shape.intersects(shapely.Point(x, y))}
        near_edge = {n for n, s in shapes.items() if s.boundary.distance(shapely.Point(x, y)) < 1e-6}
        found = inside(index, wrapped(x), y)
        assert found ^ expected <= near_edge
        met += len(found)
        for name in noise.sample(sorted(shapes), 3):
            given_m = index.fences[name].distance_m(round(y * 1e7), round(wrapped(x) * 1e7))
            narrowing = cos(radians(y))
            flat = shapely.affinity.scale(shapes[name], narrowing, 1.0, origin=(0, 0))
            true_m = flat.distance(shapely.Point(x * narrowing, y)) * METRES_PER_DEGREE
            if name not in near_edge:
                assert (given_m == 0) == (name in expected)
            if 0 < true_m < 1500:
                assert given_m == pytest.approx(true_m, rel=0.01, abs=0.5)
            elif true_m > 3000:
                assert given_m > 1500
    assert met > 500


@pytest.mark.parametrize(
    ("longitude", "latitude"), [(0, 89.9), (120, 90), (-60, -89.99), (180, 0), (-180, 45), (9, 50)]
)
def test_circles_equal_the_great_circle_distance(longitude: float, latitude: float) -> None:
    noise = Random(1)
    circle = fence("c", "Point", [longitude, latitude], radius_m=20_000.0)
    index = FenceIndex([circle], 1)
    seen = set()
    for _ in range(2000):
        y = max(-90.0, min(90.0, latitude + noise.uniform(-0.4, 0.4)))
        x = noise.uniform(-180, 180) if abs(latitude) > 89 else wrapped(longitude + noise.uniform(-0.5, 0.5))
        away_m = great_circle_m(x, y, longitude, latitude)
        if abs(away_m - 20_000) > 1:
            assert (inside(index, x, y) == {"c"}) == (away_m < 20_000)
            seen.add(away_m < 20_000)
        assert circle.distance_m(round(y * 1e7), round(x * 1e7)) == pytest.approx(max(0.0, away_m - 20_000), abs=0.5)
    assert seen == {True, False}


def test_the_antimeridian_itself_belongs_to_both_sides() -> None:
    west = fence("west", "Polygon", [[[179, 10], [180, 10], [180, 11], [179, 11], [179, 10]]])
    east = fence("east", "Polygon", [[[-180, 10], [-179, 10], [-179, 11], [-180, 11], [-180, 10]]])
    over = fence("over", "Polygon", [[[179.5, 10], [-179.5, 10], [-179.5, 11], [179.5, 11], [179.5, 10]]])
    index = FenceIndex([west, east, over], 1)
    for longitude in (180.0, -180.0):
        assert inside(index, longitude, 10.5) == {"west", "east", "over"}
    assert inside(index, 179.9, 10.5) == {"west", "over"}
    assert inside(index, -179.9, 10.5) == {"east", "over"}
    assert inside(index, 0.0, 10.5) == set()
    assert over.distance_m(105_000_000, -1_794_900_000) == pytest.approx(
        0.01 * METRES_PER_DEGREE * cos(radians(10.5)), rel=0.01
    )
    touched = index.crossed(105_000_000, 1_789_000_000, 105_000_000, -1_789_000_000)
    assert {f.geofence_id: round(t, 3) for f, t in touched} == {"west": 0.045, "east": 0.5, "over": 0.273}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_ring_around_the_pole_encloses_it(sign: int) -> None:
    ring = [[longitude, sign * 70] for longitude in (-170, -90, 0, 90, 170)]
    index = FenceIndex([fence("cap", "Polygon", [[*ring, ring[0]]])], 1)
    for longitude in (-180, -175, 0, 33, 179.99, 180):
        assert inside(index, longitude, sign * 75) == {"cap"}
        assert inside(index, longitude, sign * 90) == {"cap"}
        assert inside(index, longitude, sign * 69) == set()
        assert inside(index, longitude, -sign * 75) == set()


def test_strips_near_the_pole_and_over_the_antimeridian() -> None:
    polar = fence("polar", "LineString", [[0, 89], [180, 89]], width_m=2000.0)  # straight over the pole
    over = fence("over", "LineString", [[179.9, 10], [-179.9, 10.0]], width_m=1000.0)
    index = FenceIndex([polar, over], 1)
    assert inside(index, 77.0, 90.0) == {"polar"}
    assert inside(index, 0.0, 89.5) == {"polar"}
    assert inside(index, 90.0, 89.98) == set()
    assert inside(index, 90.0, 89.995) == {"polar"}
    assert inside(index, 180.0, 10.003) == {"over"}
    assert inside(index, -179.95, 10.006) == set()
    assert polar.distance_m(899_800_000, 900_000_000) == pytest.approx(0.02 * METRES_PER_DEGREE - 1000, abs=2)


def test_a_repeated_position_of_a_line_adds_nothing() -> None:
    plain, repeated = (
        Strip([[(10.0, 50.0), (10.1, 50.0)]], 50.0),
        Strip([[(10.0, 50.0)] * 2 + [(10.1, 50.0)] * 3], 50.0),
    )
    for place in ((10.05, 50.0), (10.05, 50.001), (-100.0, 20.0), (9.9999, 50.0)):
        assert repeated.distance_m(*place) == pytest.approx(plain.distance_m(*place))
    assert not repeated.contains(-100.0, 20.0)


def test_a_long_strip_follows_the_great_circle() -> None:
    strip = fence("s", "LineString", [[0, 60], [40, 60]], width_m=1000.0)
    index = FenceIndex([strip], 1)
    assert inside(index, 20.0, 60.0) == set()
    middle = next(60 + n / 1000 for n in range(3000) if inside(index, 20.0, 60 + n / 1000))
    assert middle == pytest.approx(61.52, abs=0.01)  # atan(tan 60 / cos 20)


@pytest.mark.parametrize("seed", range(3))
def test_a_way_touches_what_lies_on_it(seed: int) -> None:
    noise = Random(seed)
    fences = []
    for number in range(40):
        x, y = 10 + noise.uniform(-0.1, 0.1), 50 + noise.uniform(-0.1, 0.1)
        if number % 3 == 0:
            fences.append(fence(f"f{number}", "Point", [x, y], radius_m=noise.uniform(50, 900)))
        elif number % 3 == 1:
            fences.append(fence(f"f{number}", "LineString", [[x, y], [x + 0.01, y + 0.004]], width_m=200.0))
        else:
            square = [[x, y], [x + 0.01, y], [x + 0.01, y + 0.006], [x, y + 0.006], [x, y]]
            fences.append(fence(f"f{number}", "Polygon", [square]))
    index, met = FenceIndex(fences, 1), 0
    for _ in range(60):
        size = noise.choice((0.002, 0.05, 0.2))
        a = (10 + noise.uniform(-0.1, 0.1), 50 + noise.uniform(-0.1, 0.1))
        b = (a[0] + noise.uniform(-size, size), a[1] + noise.uniform(-size, size))
        places = [(t / 3000, a[0] + (b[0] - a[0]) * t / 3000, a[1] + (b[1] - a[1]) * t / 3000) for t in range(3001)]
        first: dict[str, float] = {}
        for t, x, y in places:
            for name in inside(index, x, y):
                first.setdefault(name, t)
        ends = [round(value * 1e7) for value in (a[1], a[0], b[1], b[0])]
        found = {f.geofence_id: t for f, t in index.crossed(*ends)}
        assert first.keys() <= found.keys()
        for name, t in found.items():
            if name in first:
                assert t == pytest.approx(first[name], abs=2e-3)
                met += 1
    assert met > 15


def test_nobody_knows_a_way_over_five_degrees() -> None:
    index = FenceIndex([fence("c", "Point", [10, 50], radius_m=500.0)], 1)
    assert index.crossed(500_000_000, 80_000_000, 500_000_000, 120_000_000) != []
    assert index.crossed(500_000_000, 60_000_000, 500_000_000, 140_000_000) == []


def test_large_areas_need_no_test_per_point_and_memory_is_bounded() -> None:
    country = fence("country", "Polygon", [[[5, 45], [15, 45], [15, 55], [5, 55], [5, 45]]])
    index = FenceIndex([country], 1)
    assert inside(index, 10.005, 50.005) == {"country"}
    assert index._cells[5000 * CELLS_KEPT + 1000] == ((country,), ())
    noise = Random(2)
    for _ in range(CELLS_KEPT + 5000):
        index._cells[noise.randrange(2**40)] = ((), ())
        if len(index._cells) >= CELLS_KEPT:
            inside(index, noise.uniform(-180, 180), noise.uniform(-90, 90))
    assert len(index._cells) <= CELLS_KEPT


def test_scope() -> None:
    everyone = fence("a", "Point", [0, 0], radius_m=5.0)
    some = fence_from(
        Geofence("b", 0, '{"type":"Point","coordinates":[0,0]}', radius_m=5.0, device_ids=["d"], group_ids=["g"]), 1
    )
    assert everyone.applies_to("x", "")
    assert some.applies_to("d", "")
    assert some.applies_to("x", "g")
    assert not some.applies_to("x", "")
