"""Every report against an independent computation over the same rows, as they are visible after late, repeated, corrected
and withdrawn ones: a day of 25 hours, the antimeridian, high latitudes and devices without any fix included."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import shapely

from deploy.cli.report.places import geofence_parameters
from deploy.cli.report.run import as_text, ask
from schemas.clients import clickhouse
from schemas.queries import PARAMETERS, load_queries
from schemas.records import Geofence
from tests.integration.clickhouse_server import clickhouse_server
from tests.reports import truth
from tests.reports.made import ABSENT_I4, COLUMNS, Row, columns, disturbed, route, visible

BERLIN, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")
BEGIN_MS = round(datetime(2026, 10, 23, tzinfo=BERLIN).timestamp() * 1000)
END_MS = round(datetime(2026, 10, 28, tzinfo=BERLIN).timestamp() * 1000)
"""The clocks go back in the night to 25 October."""
STARTS = {
    "berlin-1": (52.5, 13.4),
    "berlin-2": (52.4, 13.3),
    "taveuni": (-16.8, 179.97),
    "quito": (-0.01, -78.5),
    "svalbard": (78.2, 15.6),
    "sydney": (-33.9, 151.2),
}
NOWHERE, ONCE = "never-a-fix", "one-fix"


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """What was meant: the right rows, before anything is disturbed."""
    draw = random.Random(7)
    found = [
        row
        for device_id, start in STARTS.items()
        for row in route(draw, device_id, BEGIN_MS - 7_200_000, END_MS + 7_200_000, start)
    ]
    found += [Row(NOWHERE, BEGIN_MS + 3_600_000 * hour, hour) for hour in range(30)]
    return [*found, Row(ONCE, BEGIN_MS + 5_000_000, 1, latitude_e7=10_000_000, longitude_e7=20_000_000, speed_x10=300)]


@pytest.fixture(scope="module")
def seen(rows: list[Row]) -> list[Row]:
    """What must be visible."""
    return visible(rows)


@pytest.fixture(scope="module")
def client(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """ClickHouse with the rows, put there in a disturbed way."""
    with clickhouse_server(tmp_path_factory.mktemp("reports")) as url:
        found = clickhouse.connect(url)
        clickhouse.migrate(found)
        for block in disturbed(random.Random(3), rows):
            found.insert(
                "positions_raw",
                columns(block),
                column_names=list(COLUMNS),
                column_type_names=list(COLUMNS.values()),
                column_oriented=True,
            )
        yield found
        found.close()


Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def report(client: Any) -> Ask:
    """A report as rows with names."""

    def answer(name: str, zone: ZoneInfo = BERLIN, **values: Any) -> list[dict[str, Any]]:
        query = load_queries()[name]
        span = {"from": at(BEGIN_MS), "to": at(END_MS)}
        default = {parameter.name: parameter.default for parameter in PARAMETERS.values()}
        told = default | span | {"devices": [], "kinds": [], "tz": str(zone), "period": "day"} | query.settings | values
        found = ask(client, query, told, zone)
        return [dict(zip(found.columns, row, strict=True)) for row in found.rows]

    return answer


def at(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S.000}"


def ms(value: datetime) -> int:
    return round(value.timestamp() * 1000)


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-3, abs=1.1)


@pytest.mark.parametrize("name", load_queries())
def test_the_header_names_the_columns(client: Any, name: str) -> None:
    query = load_queries()[name]
    values = {parameter.name: parameter.default for parameter in PARAMETERS.values()}
    values |= (
        geofence_parameters(GEOFENCES["circle"])
        | {"devices": [], "kinds": [], "tz": "UTC", "period": "day"}
        | query.settings
    )
    sql = as_text(query, values | {"from": at(BEGIN_MS), "to": at(END_MS)}).partition("\nSETTINGS ")[0]
    assert [row[0] for row in client.query(f"DESCRIBE ({sql})").result_rows] == list(query.columns)


def test_the_rows_are_what_they_should_be(client: Any, rows: list[Row], seen: list[Row]) -> None:
    stored = client.query("SELECT device_id, toUnixTimestamp64Milli(time_ms) FROM positions ORDER BY 1, 2").result_rows
    assert stored == [(row.device_id, row.time_ms) for row in seen]
    assert client.command("SELECT count() FROM positions_raw") > len(rows)


def test_trips_and_stops(report: Ask, seen: list[Row]) -> None:
    trips, stops = truth.trips_and_stops(seen, BEGIN_MS, END_MS)
    found = report("trips")
    names = ("distance_m", "moving_s", "idle_s")
    assert [(r["device_id"], ms(r["start_ms"]), ms(r["end_ms"])) for r in found] == [trip[:3] for trip in trips]
    for row, trip in zip(found, trips, strict=True):
        assert [row[name] for name in names] == [near(value) for value in trip[3:]]
        assert (
            row["duration_s"] == round((trip[2] - trip[1]) / 1000, 0)
            or abs(row["duration_s"] * 1000 - trip[2] + trip[1]) <= 500
        )
        assert row["speed_avg_kmh"] == pytest.approx(trip[3] / trip[4] * 3.6, rel=1e-3, abs=0.06)
    assert len(found) > 100
    found = report("stops")
    assert [(r["device_id"], ms(r["start_ms"]), ms(r["end_ms"]), r["idle_s"]) for r in found] == [
        (*stop[:3], near(stop[3])) for stop in stops
    ]
    assert len(found) > 100


def test_trip_places_and_speeds_are_those_of_its_fixes(report: Ask, seen: list[Row]) -> None:
    by_time = {(row.device_id, row.time_ms): row for row in seen if row.is_fix}
    for trip in report("trips"):
        first = by_time[trip["device_id"], ms(trip["start_ms"])]
        last = by_time[trip["device_id"], ms(trip["end_ms"])]
        assert (trip["start_latitude"], trip["start_longitude"]) == first.place
        assert (trip["end_latitude"], trip["end_longitude"]) == last.place
        inside = [
            row
            for (device, time), row in by_time.items()
            if device == first.device_id and first.time_ms <= time <= last.time_ms
        ]
        fastest = max((row.speed_kmh for row in inside if row.speed_kmh is not None), default=None)
        assert trip["speed_max_kmh"] is None or trip["speed_max_kmh"] <= fastest


@pytest.mark.parametrize("period", ["day", "week", "month", "total"])
@pytest.mark.parametrize("zone", [BERLIN, LORD_HOWE, ZoneInfo("UTC"), ZoneInfo("America/Los_Angeles")], ids=str)
def test_summary(report: Ask, seen: list[Row], zone: ZoneInfo, period: str) -> None:
    expected = truth.summary(seen, BEGIN_MS, END_MS, zone, period)
    found = {(r["device_id"], r["period"]): r for r in report("summary", zone, period=period)}
    assert found.keys() == expected.keys()
    for key, told in expected.items():
        row = found[key]
        assert (row["positions"], row["fixes"]) == (told["positions"], told["fixes"])
        assert [row[n] for n in ("distance_m", "moving_s", "idle_s", "engine_s")] == [
            near(told[n]) for n in ("distance_m", "moving_s", "idle_s", "engine_s")
        ], key
        assert (row["speed_max_kmh"] or 0) == pytest.approx(told["speed_max_kmh"])
    assert any(row["fixes"] == 0 for row in found.values())


def test_days_add_up_to_the_range(report: Ask) -> None:
    """Also when asked day by day: what crosses midnight counts on both sides, once."""
    whole = {r["device_id"]: r for r in report("summary", period="total")}
    added: dict[str, Counter[str]] = defaultdict(Counter)
    day_ms, begin = 86_400_000, BEGIN_MS
    while begin < END_MS:
        end = min(begin + day_ms, END_MS)
        for row in report("summary", **{"from": at(begin), "to": at(end), "period": "total"}):
            for name in ("distance_m", "moving_s", "engine_s", "positions"):
                added[row["device_id"]][name] += row[name]
        begin = end
    for device_id, row in whole.items():
        assert added[device_id]["positions"] == row["positions"]
        for name in ("distance_m", "moving_s", "engine_s"):
            assert added[device_id][name] == pytest.approx(row[name], rel=1e-3, abs=5)


def test_ranking_and_utilisation_follow_the_summary(report: Ask, seen: list[Row]) -> None:
    whole = {r["device_id"]: r for r in report("summary", period="total")}
    ranking = report("ranking")
    assert [r["rank"] for r in ranking] == list(range(1, len(whole) + 1))
    assert [r["distance_m"] for r in ranking] == sorted((r["distance_m"] for r in whole.values()), reverse=True)
    total = sum(r["distance_m"] for r in whole.values())
    for row in ranking:
        assert row["idle_s"] == whole[row["device_id"]]["idle_s"]
        assert row["share_percent"] == pytest.approx(100 * row["distance_m"] / total, abs=0.02)
    days = truth.summary(seen, BEGIN_MS, END_MS, BERLIN, "day")
    lengths = set()
    for row in report("utilisation"):
        told = days[row["device_id"], row["period"]]
        lengths.add(row["period_s"])
        assert row["moving_percent"] == pytest.approx(100 * told["moving_s"] / row["period_s"], abs=0.1)
        assert row["idle_percent"] == pytest.approx(100 * told["idle_s"] / row["period_s"], abs=0.1)
        assert row["engine_percent"] == pytest.approx(100 * told["engine_s"] / row["period_s"], abs=0.1)
    assert lengths == {86_400, 90_000}  # the day of 25 hours
    gaps = [
        sum(
            leg.metres
            for leg in truth.legs_of([r for r in own if r.is_fix and BEGIN_MS <= r.time_ms < END_MS])
            if leg.kind == "gap"
        )
        for _, own in truth.by_device(seen)
    ]
    assert sum(r["gap_distance_m"] for r in report("utilisation", period="total")) == pytest.approx(sum(gaps), rel=1e-3)


def test_engine_and_idle_spells(report: Ask, seen: list[Row]) -> None:
    for name, idle in (("engine", False), ("idle", True)):
        expected = truth.spells(seen, BEGIN_MS, END_MS, idle)
        assert [(r["device_id"], ms(r["start_ms"]), ms(r["end_ms"])) for r in report(name)] == expected
        assert len(expected) > 20


def test_overspeed(report: Ask, seen: list[Row]) -> None:
    expected = truth.overspeed(seen, BEGIN_MS, END_MS, 90, 120)
    found = report("overspeed", limit_kmh=90.0, hold_s=120.0)
    assert [(r["device_id"], ms(r["start_ms"]), ms(r["end_ms"]), r["fixes"], r["speed_max_kmh"]) for r in found] == [
        (*episode[:4], pytest.approx(episode[4])) for episode in expected
    ]
    assert len(found) > 50


def test_fuel(report: Ask, seen: list[Row]) -> None:
    expected = truth.fuel(seen, BEGIN_MS, END_MS, BERLIN, 8)
    found = {(r["device_id"], r["period"]): r for r in report("fuel")}
    assert found.keys() == expected.keys()
    for key, (filled, dropped, used) in expected.items():
        row = found[key]
        assert [row["filled_percent"], row["dropped_percent"], row["used_percent"]] == [
            pytest.approx(value, abs=0.11) for value in (filled, dropped, used)
        ]
    assert any(row["filled_percent"] for row in found.values())


def test_quality(report: Ask, seen: list[Row]) -> None:
    expected = truth.quality(seen, BEGIN_MS, END_MS, 300)
    found = {r["device_id"]: r for r in report("quality")}
    assert found.keys() == expected.keys()
    for device_id, told in expected.items():
        for name, value in told.items():
            assert (found[device_id][name] or 0) == pytest.approx(value, abs=0.051), (device_id, name)


def test_heat_maps(report: Ask, client: Any, seen: list[Row]) -> None:
    fixes = [row for row in seen if row.is_fix and BEGIN_MS <= row.time_ms < END_MS]
    cells = Counter((math.floor(row.place[0] / 0.01), math.floor(row.place[1] / 0.01)) for row in fixes)
    found = {
        (math.floor(r["latitude"] / 0.01), math.floor(r["longitude"] / 0.01)): r["fixes"]
        for r in report("heatmap", cell_deg=0.01)
    }
    assert found == cells
    h3 = {r["h3"]: r["fixes"] for r in report("heatmap_h3", h3_resolution=7)}
    assert sum(h3.values()) == len(fixes)
    exact = dict(
        client.query(
            "SELECT h3ToString(geoToH3(latitude, longitude, 7)) AS h3, count() FROM positions "
            "WHERE valid AND bitAnd(flags, 1120) = 0 AND latitude IS NOT NULL "
            f"AND time_ms >= '{at(BEGIN_MS)}' AND time_ms < '{at(END_MS)}' "
            "GROUP BY h3 SETTINGS geotoh3_argument_order = 'lat_lon'"
        ).result_rows
    )
    wrong = sum(abs(h3.get(cell, 0) - count) for cell, count in exact.items()) / 2
    assert wrong / len(fixes) < 0.03  # the grid is 20 times finer than the cells


def test_route_is_the_fixes_in_order(report: Ask, seen: list[Row]) -> None:
    fixes = [row for row in seen if row.is_fix and BEGIN_MS <= row.time_ms < END_MS]
    assert [(r["device_id"], ms(r["time_ms"]), r["latitude"], r["longitude"]) for r in report("route")] == [
        (row.device_id, row.time_ms, *row.place) for row in fixes
    ]
    assert [r["device_id"] for r in report("route", devices=["quito"], top=3)] == ["quito"] * 3


GEOFENCES = {
    "circle": Geofence("circle", geometry='{"type":"Point","coordinates":[13.4,52.5]}', radius_m=9000.0, updated_ms=0),
    "over the antimeridian": Geofence(
        "over the antimeridian",
        geometry='{"type":"Polygon","coordinates":[[[179.9,-17.2],[-179.8,-17.2],[-179.8,-16.4],[179.9,-16.4],[179.9,-17.2]]]}',
        updated_ms=0,
    ),
    "with a hole": Geofence(
        "with a hole",
        geometry='{"type":"Polygon","coordinates":[[[12.9,52.1],[13.9,52.1],[13.9,52.9],[12.9,52.9],[12.9,52.1]],[[13.3,52.4],[13.5,52.4],[13.5,52.6],[13.3,52.6],[13.3,52.4]]]}',
        updated_ms=0,
    ),
    "strip": Geofence(
        "strip",
        geometry='{"type":"LineString","coordinates":[[15.0,78.2],[15.0,78.2],[16.5,78.2],[16.5,78.6]]}',
        width_m=16_000.0,
        updated_ms=0,
    ),
    "line over the antimeridian": Geofence(
        "line over the antimeridian",
        geometry='{"type":"LineString","coordinates":[[179.5,-17.9],[-179.6,-18.4]]}',
        width_m=20_000.0,
        updated_ms=0,
    ),
}


def on_sphere(places: list[tuple[float, float]]) -> Any:
    """Unit vectors of longitudes and latitudes."""
    x, y = np.radians(np.array(places)).T
    return np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], axis=1)


def way(corners: list[tuple[float, float]]) -> Any:
    """Points close together along the great circles between corners: chords, cut evenly and lifted to the sphere."""
    ends = on_sphere(corners)
    points = np.concatenate([a + (b - a) * np.linspace(0, 1, 4000)[:, None] for a, b in pairwise(ends)])
    return points / np.linalg.norm(points, axis=1, keepdims=True)


WAYS = {
    "circle": on_sphere([(13.4, 52.5)]),
    "strip": way([(15.0, 78.2), (16.5, 78.2), (16.5, 78.6)]),
    "line over the antimeridian": way([(179.5, -17.9), (-179.6, -18.4)]),
}


def inside(name: str, latitude: float, longitude: float) -> bool | None:
    """By shapely, and by chords to points of a line; None: too near to the edge to be sure."""
    if name in WAYS:
        chord = float(np.linalg.norm(WAYS[name] - on_sphere([(longitude, latitude)]), axis=1).min())
        geofence = GEOFENCES[name]
        away = 6_371_009 * 2 * math.asin(chord / 2) - (geofence.radius_m or geofence.width_m / 2)
    else:
        shape: Any = shapely.box(179.9, -17.2, 180.2, -16.4)
        if name == "with a hole":
            shape, turn = shapely.box(12.9, 52.1, 13.9, 52.9).difference(shapely.box(13.3, 52.4, 13.5, 52.6)), longitude
        else:
            turn = longitude % 360
        return bool(shape.covers(shapely.Point(turn, latitude)))
    return away < 0 if abs(away) > 0.2 else None


@pytest.mark.parametrize("name", GEOFENCES)
def test_geofence_visits(report: Ask, seen: list[Row], name: str) -> None:
    found = report("geofences", **geofence_parameters(GEOFENCES[name]))
    expected, unsure = [], set()
    for device_id, own in truth.by_device(seen):
        fixes = [row for row in own if row.is_fix and BEGIN_MS <= row.time_ms < END_MS]
        marks = [inside(name, *row.place) for row in fixes]
        if None in marks:
            unsure.add(device_id)
        entered = None
        for i, (row, mark) in enumerate(zip(fixes, marks, strict=True)):
            if not mark:
                continue
            follows = fixes[i + 1] if i + 1 < len(fixes) else None
            entered = row.time_ms if entered is None else entered
            broken = follows is None or follows.time_ms - row.time_ms > truth.GAP_S * 1000
            if broken or not marks[i + 1]:
                expected.append((device_id, entered, row.time_ms if broken else follows.time_ms))  # type: ignore[union-attr]
                entered = None
    sure = [visit for visit in expected if visit[0] not in unsure]
    assert [
        (r["device_id"], ms(r["entered_ms"]), ms(r["left_ms"])) for r in found if r["device_id"] not in unsure
    ] == sure
    assert sure
    assert all(r["dwell_s"] == pytest.approx((ms(r["left_ms"]) - ms(r["entered_ms"])) / 1000, abs=0.51) for r in found)


def test_events_and_latest(report: Ask, client: Any, seen: list[Row]) -> None:
    names = [
        "device_id",
        "kind",
        "time_ms",
        "subject",
        "version",
        "withdrawn",
        "delay_ds",
        "latitude_e7",
        "longitude_e7",
        "attributes",
    ]
    types = [
        "String",
        "String",
        "DateTime64(3, 'UTC')",
        "String",
        "UInt32",
        "UInt8",
        "Int64",
        "Int32",
        "Int32",
        "String",
    ]
    one = ["quito", "alarm_raised", BEGIN_MS + 1000, "sos", 0, 0, 1, 10_000_000, 20_000_000, '{"a":1}']
    two = ["quito", "ignition_on", BEGIN_MS + 2000, "", 0, 0, 1, ABSENT_I4, ABSENT_I4, ""]
    gone = [*two[:4], 1, 1, *two[6:]]
    for row in (one, one, two, gone):
        client.insert("events_raw", [row], column_names=names, column_type_names=types)
    found = report("events")
    assert [(r["kind"], r["subject"], json.loads(r["attributes"])) for r in found] == [
        ("alarm_raised", "sos", {"a": 1})
    ]
    assert report("events", kinds=["ignition_on"]) == []
    newest = {
        device_id: max((r.time_ms for r in own if r.is_fix), default=None) for device_id, own in truth.by_device(seen)
    }
    latest = {r["device_id"]: ms(r["time_ms"]) for r in report("latest")}
    assert NOWHERE not in latest
    assert latest[ONCE] == newest[ONCE]
