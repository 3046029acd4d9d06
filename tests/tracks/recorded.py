"""Recorded GPS tracks, out of the source package of gpxpy (Apache-2.0), fetched by name, version and SHA-256.

Nobody wrote down their stops, so they are judged by other means: with the whole track in hand, a stay is a longest run of
fixes of min_stop_duration_s or more within stop_radius_m of their median.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from datetime import datetime
from pathlib import Path
from statistics import median

from deploy.local.kafka.jars import cache_root
from processors.derive.entries import Report
from processors.derive.geometry import distance_m
from schemas.records import Position
from tests.tracks.judge import events_of
from tests.tracks.model import DEVICE

PACKAGE = "gpxpy==1.6.2"
SHA256 = "a72c484b97ec42b80834353b029cc8ee1b79f0ffca1179b2210bb3baf26c01ae"
TRACKS = ("around-visnjan-with-car.gpx", "korita-zbevnica.gpx", "cerknicko-jezero.gpx", "Mojstrovka.gpx")
STOP_S, RADIUS_M = 180, 100.0


def fetch(folder: Path) -> Path:
    """The package, downloaded once. Raises CalledProcessError without a package registry."""
    name = PACKAGE.replace("==", "-") + ".tar.gz"
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
            wanted.write(f"{PACKAGE} --hash=sha256:{SHA256}\n")
            wanted.flush()
            options = ("--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes", "--quiet")
            command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), "-r", wanted.name]
            subprocess.run(command, check=True, capture_output=True)
    return folder / name


def tracks() -> dict[str, list[Report]]:
    """The recorded tracks as reports of a device that tells no speed."""
    found: dict[str, list[Report]] = {}
    with tarfile.open(fetch(cache_root() / "tracks")) as package:
        for member in package.getmembers():
            name = Path(member.name).name
            data = package.extractfile(member)
            if name in TRACKS and data is not None:
                found[name] = _reports(data.read())
    return found


def _reports(gpx: bytes) -> list[Report]:
    reports: list[Report] = []
    for point in ElementTree.fromstring(gpx).iter():  # the package was checked against its hash
        told = next((child.text for child in point if child.tag.endswith("}time")), None)
        if point.tag.endswith("}trkpt") and told:
            time_ms = round(datetime.fromisoformat(told).timestamp() * 1000)
            latitude, longitude = float(point.attrib["lat"]), float(point.attrib["lon"])
            position = Position(time_ms, time_ms, valid=True, latitude=latitude, longitude=longitude)
            reports.append(Report(position, DEVICE, "gpx", time_ms, len(reports), 1))
    return reports


def stays(reports: list[Report]) -> list[tuple[int, int]]:
    """(begin, end) of the stays of a whole track, ms: grown fix by fix while all are near their median."""
    found, start = [], 0
    while start < len(reports):
        end = start
        while end + 1 < len(reports) and _within(reports[start : end + 2]):
            end += 1
        begin_ms, end_ms = reports[start].received_ms, reports[end].received_ms
        if end_ms - begin_ms >= STOP_S * 1000:
            found.append((begin_ms, end_ms))
            start = end + 1
        else:
            start += 1
    return found


def _within(reports: list[Report]) -> bool:
    places = [(r.position.latitude or 0.0, r.position.longitude or 0.0) for r in reports]
    centre = [round(median(values) * 1e7) for values in zip(*places, strict=True)]
    return all(distance_m(*centre, round(a * 1e7), round(b * 1e7)) <= RADIUS_M / 2 for a, b in places)


def compare_recorded() -> None:
    """Print the stops of each recorded track, of derivation and of the stays."""
    try:
        recorded = tracks()
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"\nrecorded tracks cannot be fetched: {error}")
        return
    print("\nrecorded tracks: stays of the whole track, and device_stopped; minutes after the begin")
    for name, reports in recorded.items():
        zero_ms = reports[0].received_ms
        there = [f"{(b - zero_ms) / 60_000:.1f}-{(e - zero_ms) / 60_000:.1f}" for b, e in stays(reports)]
        told = [f"{(e.time_ms - zero_ms) / 60_000:.1f}" for e in events_of(reports) if e.kind == "device_stopped"]
        length_min = (reports[-1].received_ms - zero_ms) / 60_000
        print(f"  {name}: {len(reports)} fixes in {length_min:.0f} min")
        print(f"    stays    {', '.join(there) or 'none'}")
        print(f"    stopped  {', '.join(told) or 'none'}")
