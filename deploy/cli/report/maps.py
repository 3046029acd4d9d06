"""Rows of a report as GeoJSON (RFC 7946), GPX 1.1 and KML 2.2: a route is a line, a trip a straight one, else points."""

from __future__ import annotations

import json
from datetime import date, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from deploy.cli.report.run import Answer

TURN = 180.0


def as_map(answer: Answer, form: str) -> str:
    """The text of the file. Raises ValueError for a report without places."""
    if answer.query.name == "route":
        return {"geojson": _route_geojson, "gpx": _route_gpx, "kml": _route_kml}[form](answer)
    columns = answer.query.columns
    if "latitude" in columns:
        names = [("", "latitude", "longitude")]
    elif "start_latitude" in columns:
        names = [("start ", "start_latitude", "start_longitude"), ("end ", "end_latitude", "end_longitude")]
    else:
        raise ValueError(f"--format {form}: a row of report {answer.query.name} has no place")
    rows = [row for row in _rows(answer) if all(row[name] is not None for _, *both in names for name in both)]
    if form == "geojson":
        return _collection([_feature(row, [(row[x], row[y]) for _, y, x in names]) for row in rows])
    places = [(label + _title(row), row[y], row[x], row) for row in rows for label, y, x in names]
    if form == "gpx":
        points = "".join(
            f'  <wpt lat="{latitude}" lon="{longitude}"><name>{escape(name)}</name><desc>{escape(_text(row))}</desc></wpt>\n'
            for name, latitude, longitude, row in places
        )
        return _gpx(points)
    marks = "".join(
        f"  <Placemark><name>{escape(name)}</name><description>{escape(_text(row))}</description>"
        f"<Point><coordinates>{longitude},{latitude}</coordinates></Point></Placemark>\n"
        for name, latitude, longitude, row in places
    )
    return _kml(marks, answer.query.name)


def _rows(answer: Answer) -> list[dict[str, Any]]:
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def _told(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def _title(row: dict[str, Any]) -> str:
    when = next((_told(row[name]) for name in ("start_ms", "time_ms") if row.get(name) is not None), "")
    return f"{row.get('device_id', row.get('fixes', ''))} {row.get('kind', '')} {when}".strip()


def _text(row: dict[str, Any]) -> str:
    return "; ".join(f"{name} {_told(value)}" for name, value in row.items() if value is not None)


# -- routes ---------------------------------------------------------------------------------------------


def _tracks(answer: Answer) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows of each device in order."""
    return [(device, list(rows)) for device, rows in groupby(_rows(answer), key=lambda row: row["device_id"])]


def _lines(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """A track cut where it crosses the antimeridian (RFC 7946, 3.1.9): a map would draw a line around the globe."""
    found: list[list[dict[str, Any]]] = [[]]
    for row in rows:
        if found[-1] and abs(row["longitude"] - found[-1][-1]["longitude"]) > TURN:
            found.append([])
        found[-1].append(row)
    return found


def _route_geojson(answer: Answer) -> str:
    features = []
    for device, rows in _tracks(answer):
        for line in _lines(rows):
            places = [(row["longitude"], row["latitude"]) for row in line]
            told = {"device_id": device, "times_ms": [_told(row["time_ms"]) for row in line]}
            features.append(_feature(told | {"speeds_kmh": [row["speed_kmh"] for row in line]}, places))
    return _collection(features)


def _feature(properties: dict[str, Any], places: list[tuple[float, float]]) -> dict[str, Any]:
    geometry = {"type": "Point", "coordinates": places[0]}
    if len(places) > 1:
        geometry = {"type": "LineString", "coordinates": places}
    told = {name: _told(value) for name, value in properties.items()}
    return {"type": "Feature", "geometry": geometry, "properties": told}


def _collection(features: list[dict[str, Any]]) -> str:
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False) + "\n"


def _route_gpx(answer: Answer) -> str:
    tracks = []
    for device, rows in _tracks(answer):
        points = "".join(
            f'      <trkpt lat="{row["latitude"]}" lon="{row["longitude"]}">'
            + (f"<ele>{row['altitude_m']}</ele>" if row["altitude_m"] is not None else "")
            + f"<time>{_told(row['time_ms'])}</time></trkpt>\n"
            for row in rows
        )
        tracks.append(f"  <trk><name>{escape(device)}</name><trkseg>\n{points}    </trkseg></trk>\n")
    return _gpx("".join(tracks))


def _gpx(body: str) -> str:
    name = quoteattr("Lodestream")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<gpx version="1.1" creator={name} xmlns="http://www.topografix.com/GPX/1/1">\n{body}</gpx>\n'


def _route_kml(answer: Answer) -> str:
    marks = []
    for device, rows in _tracks(answer):
        for line in _lines(rows):
            places = " ".join(f"{row['longitude']},{row['latitude']}" for row in line)
            marks.append(
                f"  <Placemark><name>{escape(device)}</name><LineString><tessellate>1</tessellate>"
                f"<coordinates>{places}</coordinates></LineString></Placemark>\n"
            )
    return _kml("".join(marks), "route")


def _kml(body: str, name: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
        f"<name>{escape(name)}</name>\n{body}</Document></kml>\n"
    )
