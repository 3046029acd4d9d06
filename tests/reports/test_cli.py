"""`lodestream report` as a user runs it: every format, pictures, and what it says to mistakes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from schemas.clients import clickhouse
from tests.integration.clickhouse_server import ROOT, clickhouse_server
from tests.reports.made import COLUMNS, Row, columns

BEGIN_MS = 1_768_471_200_000  # 2026-01-15T10:00:00Z
RANGE = ("--from", "2026-01-15", "--to", "2026-01-16")
FENCE = {
    "type": "Feature",
    "id": "yard",
    "properties": {"radius_m": 500},
    "geometry": {"type": "Point", "coordinates": [13.0, 52.0]},
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One device: ten minutes parked, ten minutes north at 60 km/h, ten minutes parked."""
    with clickhouse_server(tmp_path_factory.mktemp("report")) as address:
        client = clickhouse.connect(address)
        clickhouse.migrate(client)
        rows = []
        for minute in range(31):
            north = min(max(minute - 10, 0), 10)
            moves = 10 < minute <= 20
            rows.append(
                Row(
                    "356938035643809",
                    BEGIN_MS + minute * 60_000,
                    minute,
                    latitude_e7=520_000_000 + north * 90_000,
                    longitude_e7=130_000_000,
                    speed_x10=600 if moves else 0,
                )
            )
        names, types = list(COLUMNS), list(COLUMNS.values())
        client.insert("positions_raw", columns(rows), column_names=names, column_type_names=types, column_oriented=True)
        client.close()
        yield address


def report(url: str, *arguments: str, code: int = 0) -> str:
    """Run it; returns what it printed, or with another code than 0 its message."""
    command = [sys.executable, "-m", "deploy.cli.main", "report", *arguments, "--clickhouse", url]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr if code else ended.stdout


def test_tables_and_rows(url: str) -> None:
    table = report(url, "trips", *RANGE, "--tz", "Europe/Berlin")
    assert "2026-01-15 11:10:00  2026-01-15 11:20:00   0:10:00" in table
    assert "10.01 km" in table
    (row,) = csv.DictReader(io.StringIO(report(url, "trips", *RANGE, "--format", "csv")))
    assert row["start_ms"] == "2026-01-15T10:10:00.000+00:00"
    assert row["speed_max_kmh"] == "60"
    stops = [json.loads(line) for line in report(url, "stops", *RANGE, "--format", "json").splitlines()]
    assert [stop["duration_s"] for stop in stops] == [600, 600]
    assert "no rows" in report(url, "overspeed", *RANGE)


def test_maps(url: str) -> None:
    (line,) = json.loads(report(url, "route", *RANGE, "--format", "geojson"))["features"]
    assert line["geometry"]["type"] == "LineString"
    assert line["geometry"]["coordinates"][0] == [13.0, 52.0]
    assert len(line["properties"]["times_ms"]) == 31
    stops = json.loads(report(url, "stops", *RANGE, "--format", "geojson"))["features"]
    assert [stop["geometry"]["type"] for stop in stops] == ["Point", "Point"]
    gpx = ElementTree.fromstring(report(url, "route", *RANGE, "--format", "gpx"))
    assert len(gpx.findall(".//{http://www.topografix.com/GPX/1/1}trkpt")) == 31
    kml = ElementTree.fromstring(report(url, "trips", *RANGE, "--format", "kml"))
    assert len(kml.findall(".//{http://www.opengis.net/kml/2.2}Point")) == 2


def test_files_and_pictures(url: str, tmp_path: Path) -> None:
    report(url, "route", *RANGE, "--format", "parquet", "-o", str(tmp_path / "route.parquet"))
    assert (tmp_path / "route.parquet").read_bytes()[:4] == b"PAR1"
    for name in ("route", "trips", "stops", "summary", "heatmap"):
        report(url, name, *RANGE, "--plot", str(tmp_path / f"{name}.png"))
        assert (tmp_path / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_geofences_of_a_file(url: str, tmp_path: Path) -> None:
    (tmp_path / "yard.json").write_text(json.dumps(FENCE))
    rows = report(url, "geofences", *RANGE, "--geofences-file", str(tmp_path / "yard.json"), "--format", "json")
    (visit,) = map(json.loads, rows.splitlines())
    assert (visit["geofence"], visit["dwell_s"], visit["open"]) == ("yard", 660, False)


def test_the_printed_query_gives_the_same_rows(url: str) -> None:
    client = clickhouse.connect(url)
    sql = report(url, "summary", *RANGE, "--sql")
    assert [row[4] for row in client.query(sql).result_rows] == [pytest.approx(10_012, abs=5)]
    client.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nope",), "unknown report 'nope'; there are engine,"),
        (("trips", "--tz", "Mars/Base"), "--tz 'Mars/Base' is no time zone"),
        (("trips", "--from", "yesterday"), "--from: 'yesterday' is no time"),
        (("trips", "--from", "2026-02-01", "--to", "2026-01-01"), "is not before --to"),
        (("trips", "--gap-s", "long"), "--gap-s 'long' is no number"),
        (("heatmap", "--cell-deg", "0"), "--cell-deg '0' is no number from 1e-06 to 90"),
        (("heatmap_h3", "--h3-resolution", "16"), "is no whole number from 0 to 15"),
        (("events", "--kinds", "boom"), "--kinds: unknown kind 'boom'"),
        (("summary", "--format", "gpx"), "a row of report summary has no place"),
        (("fuel", "--plot", "a.png"), "there is no picture of report fuel; there is of route"),
        (("route", "--plot", "a.doc"), "the name must end in .png"),
        (("geofences", "--geofences-file", "/nowhere.json"), "/nowhere.json"),
    ],
)
def test_mistakes_are_named(url: str, arguments: tuple[str, ...], message: str) -> None:
    assert message in report(url, *arguments, code=2)


def test_a_store_that_is_away_is_one_message() -> None:
    assert "ClickHouse at http://127.0.0.1:1 does not answer" in report("http://127.0.0.1:1", "trips", code=2)
