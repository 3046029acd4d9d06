"""Geofences by place: which are near a point, which contain it, how far outside it is, which a segment runs through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.records import Geofence


@dataclass(frozen=True, slots=True)
class Fence:
    """One geofence, ready for questions. revision: offset behind the record that last changed its shape or its scope."""

    geofence_id: str
    name: str
    revision: int
    speed_limit_kmh: float | None
    dwell_s: float | None
    device_ids: frozenset[str]
    group_ids: frozenset[str]

    def applies_to(self, device_id: str, group_id: str) -> bool:
        """True when it is for this device: one of its devices or groups, or for all."""
        if not self.device_ids and not self.group_ids:
            return True
        return device_id in self.device_ids or group_id in self.group_ids

    def distance_m(self, latitude_e7: int, longitude_e7: int) -> float:
        """Metres from a point to the fence; 0.0 inside and on its edge."""
        raise NotImplementedError


class FenceIndex:
    """All geofences of one revision."""

    def __init__(self, fences: Iterable[Fence] = (), revision: int = 0) -> None:
        self.revision = revision
        self.fences = {fence.geofence_id: fence for fence in fences}

    def near(self, latitude_e7: int, longitude_e7: int) -> tuple[Fence, ...]:
        """Fences that may contain the point, and some that do not."""
        raise NotImplementedError

    def crossed(
        self, latitude_a_e7: int, longitude_a_e7: int, latitude_b_e7: int, longitude_b_e7: int
    ) -> list[tuple[Fence, float]]:
        """Fences that the straight segment from a to b touches, each with the fraction of the way at which it begins."""
        raise NotImplementedError


def fence_from(geofence: Geofence, revision: int) -> Fence:
    """A fence of its record. Raises ValueError with the reason when its geometry is bad."""
    raise NotImplementedError
