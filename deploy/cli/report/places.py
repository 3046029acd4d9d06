"""What a report needs to know from the rule topics: the devices of groups, and geofences as parameters of a query."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import shapely

from deploy.cli.rules import read_records
from deploy.rulefiles import geofences_from
from processors.derive.fence_geojson import shape_from
from processors.derive.fence_shapes import Area, Circle, Strip
from schemas.records import Device, Geofence, Group
from schemas.topics import DEVICES, GEOFENCES, GROUPS

NO_VECTORS = [(0.0, 0.0, 0.0)]
NO_AREA = [[[(0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)]]]
"""ClickHouse checks a polygon even where it is not asked for."""


async def devices_of(bootstrap: str, group_ids: Iterable[str]) -> list[str]:
    """The devices of groups. Raises ValueError, KafkaUnavailable, TopicMismatch."""
    groups: dict[str, Group] = await read_records(bootstrap, GROUPS)
    devices: dict[str, Device] = await read_records(bootstrap, DEVICES)
    known = groups.keys() | {device.group_id for device in devices.values() if device.group_id}
    wanted = set(group_ids)
    if wanted - known:
        raise ValueError(
            f"unknown group {sorted(wanted - known)[0]!r}; there are {', '.join(sorted(known)[:20]) or 'none'}"
        )
    found = sorted(device.device_id for device in devices.values() if device.group_id in wanted)
    if not found:
        raise ValueError(f"no device is in group {', '.join(sorted(wanted))}")
    return found


async def geofences_of(bootstrap: str, file: str, ids: Iterable[str]) -> list[Geofence]:
    """Geofences of a file, else of the topic; ids: only these. Raises ValueError, OSError, and as `read_records` does."""
    if file:
        known = {geofence.geofence_id: geofence for geofence in geofences_from(Path(file).read_text(encoding="utf-8"))}
    else:
        known = await read_records(bootstrap, GEOFENCES)
    wanted = list(ids) or sorted(known)
    for geofence_id in wanted:
        if geofence_id not in known:
            raise ValueError(f"unknown geofence {geofence_id!r}; there are {', '.join(sorted(known)[:20]) or 'none'}")
    if not wanted:
        raise ValueError("there are no geofences: `lodestream geofences import FILE`, or --geofences-file FILE")
    return [known[geofence_id] for geofence_id in wanted]


def geofence_parameters(geofence: Geofence) -> dict[str, Any]:
    """The parameters of schemas/clickhouse/queries/geofences.sql for one geofence. Raises ValueError."""
    shape = shape_from(geofence.geometry, geofence.radius_m, geofence.width_m)
    pieces = shape.pieces()
    west, south, east, north = (float(value) for value in shapely.union_all(pieces).bounds)
    found: dict[str, Any] = {
        "geofence": geofence.geofence_id,
        "west": west,
        "south": south,
        "east": east,
        "north": north,
        "radius_m": 0.0,
        "longitude": 0.0,
        "latitude": 0.0,
        "half_m": 0.0,
        "shape": NO_AREA,
        "starts": NO_VECTORS,
        "ends": NO_VECTORS,
        "normals": NO_VECTORS,
        "after_starts": NO_VECTORS,
        "before_ends": NO_VECTORS,
    }
    if isinstance(shape, Circle):
        found |= {"radius_m": shape.radius_m, "longitude": shape.longitude, "latitude": shape.latitude}
    elif isinstance(shape, Strip):
        names = ("starts", "ends", "normals", "after_starts", "before_ends")
        found |= {name: [tuple(vector) for vector in getattr(shape, name).tolist()] for name in names}
        found["half_m"] = shape.half_m
    elif isinstance(shape, Area):
        polygons = [part for piece in pieces for part in shapely.get_parts(piece) if part.geom_type == "Polygon"]
        found["shape"] = [[list(ring.coords) for ring in (part.exterior, *part.interiors)] for part in polygons]
    return found
