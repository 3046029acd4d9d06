"""Geofences by place: which contain a point, how far outside of one it is, which a segment runs through."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from schemas.records import Geofence

if TYPE_CHECKING:
    from processors.derive.fence_shapes import Shape

CELL_E7 = 100_000
"""Positions are first told apart by cells of 0.01 degree, about 1.1 km."""
CELLS_KEPT = 65_536
"""Cells that are remembered (200 bytes each and the fences in them); then all are forgotten and asked for again."""
EDGE_E7 = 1_800_000_000
LONG_LEG_E7 = 50_000_000
"""Nobody knows the way over 5 degrees and more."""


@dataclass(frozen=True, slots=True, eq=False)
class Fence:
    """One geofence, ready for questions. revision: offset behind the record that last changed its shape or its scope."""

    geofence_id: str
    name: str
    revision: int
    speed_limit_kmh: float | None
    dwell_s: float | None
    device_ids: frozenset[str]
    group_ids: frozenset[str]
    shape: Shape

    def applies_to(self, device_id: str, group_id: str) -> bool:
        """True when it is for this device: one of its devices or groups, or for all."""
        if not self.device_ids and not self.group_ids:
            return True
        return device_id in self.device_ids or group_id in self.group_ids

    def distance_m(self, latitude_e7: int, longitude_e7: int) -> float:
        """Metres from a point to the fence; 0.0 inside and on its edge. Within 1 % up to 2 km, then a rough figure."""
        return self.shape.distance_m(longitude_e7 / 1e7, latitude_e7 / 1e7)


Bounds = tuple[int, int, int, int, Fence]
"""West, south, east, north of a piece of a fence, degrees x 1e7, and the fence."""
Cell = tuple[tuple[Fence, ...], tuple[Bounds, ...]]
"""Fences that contain all of a cell, and those that must be asked for each point."""
EMPTY: Cell = ((), ())


class FenceIndex:
    """All geofences of one revision. The cost of a question grows with the fences near it, not with all.

    revision: that of the last change, removals included.
    """

    def __init__(self, fences: Iterable[Fence] = (), revision: int = 0) -> None:
        self.revision = revision
        self.fences = {fence.geofence_id: fence for fence in fences}
        self._cells: dict[int, Cell] = {}

    def containing(self, latitude_e7: int, longitude_e7: int) -> tuple[Fence, ...]:
        """The fences that contain a point, in no particular order."""
        if abs(longitude_e7) == EDGE_E7:  # both sides of the antimeridian
            sides = self._inside(latitude_e7, -EDGE_E7, -EDGE_E7), self._inside(latitude_e7, EDGE_E7 - 1, EDGE_E7)
            return tuple({fence.geofence_id: fence for side in sides for fence in side}.values())
        return self._inside(latitude_e7, longitude_e7, longitude_e7)

    def _inside(self, latitude_e7: int, cell_longitude_e7: int, longitude_e7: int) -> tuple[Fence, ...]:
        sure, asked = self._cell(latitude_e7 // CELL_E7, cell_longitude_e7 // CELL_E7)
        if not asked:
            return sure
        found = [
            fence
            for west, south, east, north, fence in asked
            if south <= latitude_e7 <= north
            and west <= longitude_e7 <= east
            and fence.shape.contains(longitude_e7 / 1e7, latitude_e7 / 1e7)
        ]
        return (*sure, *found) if found else sure

    def crossed(
        self,
        latitude_a_e7: int,
        longitude_a_e7: int,
        latitude_b_e7: int,
        longitude_b_e7: int,
        apart: Container[str] = (),
    ) -> list[tuple[Fence, float]]:
        """Fences that the straight segment from a to b touches, each with the fraction of the way at which it begins.

        apart: ids of fences that are not asked.

        The segment goes the short way round the earth; one of 5 degrees and more touches nothing.
        """
        row_a, column_a = latitude_a_e7 // CELL_E7, longitude_a_e7 // CELL_E7
        row_b, column_b = latitude_b_e7 // CELL_E7, longitude_b_e7 // CELL_E7
        if -1 <= row_b - row_a <= 1 and -1 <= column_b - column_a <= 1:  # by far the most, and nearly all see nothing
            known = self._cells.get
            if (
                known(row_a * CELLS_KEPT + column_a) is EMPTY
                and known(row_b * CELLS_KEPT + column_b) is EMPTY
                and known(row_a * CELLS_KEPT + column_b) is EMPTY
                and known(row_b * CELLS_KEPT + column_a) is EMPTY
            ):
                return []
        east_e7 = (longitude_b_e7 - longitude_a_e7 + EDGE_E7) % (2 * EDGE_E7) - EDGE_E7
        if abs(east_e7) >= LONG_LEG_E7 or abs(latitude_b_e7 - latitude_a_e7) >= LONG_LEG_E7:
            return []
        end_e7 = longitude_a_e7 + east_e7
        if abs(end_e7) < EDGE_E7:
            rows = latitude_a_e7 // CELL_E7, latitude_b_e7 // CELL_E7
            columns = longitude_a_e7 // CELL_E7, end_e7 // CELL_E7
            if rows[0] == rows[1] and columns[0] == columns[1]:
                cells = [self._cell(rows[0], columns[0])]
            elif abs(rows[1] - rows[0]) <= 1 and abs(columns[1] - columns[0]) <= 1:
                cells = [self._cell(row, column) for row in {*rows} for column in {*columns}]
            else:
                cells = []
            if cells:
                if not any(cell is not EMPTY for cell in cells):
                    return []
                near = {f.geofence_id: f for sure, _ in cells for f in sure if f.geofence_id not in apart}
                west, east = min(longitude_a_e7, end_e7), max(longitude_a_e7, end_e7)
                south, north = min(latitude_a_e7, latitude_b_e7), max(latitude_a_e7, latitude_b_e7)
                for _, asked in cells:
                    for w, s, e, n, fence in asked:
                        if s <= north and n >= south and w <= east and e >= west and fence.geofence_id not in apart:
                            near[fence.geofence_id] = fence
                return self._touched(near, latitude_a_e7, longitude_a_e7, latitude_b_e7, end_e7) if near else []
        near = self._along(latitude_a_e7, longitude_a_e7, latitude_b_e7, end_e7)
        near = {geofence_id: fence for geofence_id, fence in near.items() if geofence_id not in apart}
        return self._touched(near, latitude_a_e7, longitude_a_e7, latitude_b_e7, end_e7)

    def _touched(
        self, near: dict[str, Fence], latitude_a_e7: int, longitude_a_e7: int, latitude_b_e7: int, longitude_b_e7: int
    ) -> list[tuple[Fence, float]]:
        a, b = (longitude_a_e7 / 1e7, latitude_a_e7 / 1e7), (longitude_b_e7 / 1e7, latitude_b_e7 / 1e7)
        found = ((fence, fence.shape.first_touch(a, b)) for fence in near.values())
        return [(fence, fraction) for fence, fraction in found if fraction is not None]

    def _along(self, latitude_a_e7: int, longitude_a_e7: int, latitude_b_e7: int, end_e7: int) -> dict[str, Fence]:
        """The fences in the box of a way."""
        import shapely

        west, east = min(longitude_a_e7, end_e7) / 1e7, max(longitude_a_e7, end_e7) / 1e7
        south, north = min(latitude_a_e7, latitude_b_e7) / 1e7, max(latitude_a_e7, latitude_b_e7) / 1e7
        found: dict[str, Fence] = {}
        for shift in (-360.0, 0.0, 360.0):
            if east + shift >= -180 and west + shift <= 180:
                box = shapely.box(west + shift, south, east + shift, north)
                found.update((piece[4].geofence_id, piece[4]) for piece in self._pieces_in(box))
        return found

    def _cell(self, row: int, column: int) -> Cell:
        key = row * CELLS_KEPT + column
        cell = self._cells.get(key)
        if cell is None:
            if len(self._cells) >= CELLS_KEPT:
                self._cells.clear()
            cell = self._cells[key] = self._look_up(row, column) if self.fences else EMPTY
        return cell

    def _look_up(self, row: int, column: int) -> Cell:
        import shapely

        size = CELL_E7 / 1e7
        box = shapely.box(column * size, row * size, (column + 1) * size, (row + 1) * size)
        near = self._pieces_in(box)
        sure = {piece[4].geofence_id: piece[4] for piece in near if piece[4].shape.covers(box)}
        asked = tuple(piece for piece in near if piece[4].geofence_id not in sure)
        return (tuple(sure.values()), asked) if near else EMPTY

    def _pieces_in(self, box: Any) -> list[Bounds]:
        tree, bounds = self._tree
        return [bounds[number] for number in tree.query(box, predicate="intersects")]

    @cached_property
    def _tree(self) -> tuple[Any, list[Bounds]]:
        """A tree of the pieces of all fences, and the bounds of each."""
        import shapely

        pieces, bounds = [], []
        for fence in self.fences.values():
            for piece in fence.shape.pieces():
                west, south, east, north = piece.bounds
                pieces.append(piece)
                bounds.append((floor(west * 1e7), floor(south * 1e7), ceil(east * 1e7), ceil(north * 1e7), fence))
        return shapely.STRtree(pieces), bounds


def fence_from(geofence: Geofence, revision: int) -> Fence:
    """A fence of its record. Raises ValueError with the reason when its geometry or its figures are bad."""
    # Not above: shapely takes its time to import, and most processes have no geofence.
    from processors.derive.fence_geojson import shape_from

    for name in ("speed_limit_kmh", "dwell_s"):
        value = getattr(geofence, name)
        if not 0 <= value < 1e9:
            raise ValueError(f"{name} {value!r} is not a number from 0 up")
    return Fence(
        geofence.geofence_id,
        geofence.name,
        revision,
        geofence.speed_limit_kmh or None,
        geofence.dwell_s or None,
        frozenset(geofence.device_ids),
        frozenset(geofence.group_ids),
        shape_from(geofence.geometry, geofence.radius_m, geofence.width_m),
    )
