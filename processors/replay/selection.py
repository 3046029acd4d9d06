"""What a replay works on: a range of arrival, devices, protocols, or only what was rejected. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from itertools import compress
from typing import Any, TypeVar

from schemas.records import Entries, FrameBatch

DAY_MS = 86_400_000
BEHIND_MS = 120_000

T = TypeVar("T")
Place = tuple[int, int, int]
"""Partition, offset and index of a frame."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The options of a run, as they are kept in its record.

    from_ms, to_ms: arrival, whole seconds, to_ms not included. device_ids, protocols: empty means all. rejected: only
    frames that were rejected. warm_up_ms: before from_ms, to know the state of devices at its begin. behind_ms: frames stand
    in the log within this time after their arrival.
    """

    from_ms: int
    to_ms: int
    device_ids: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    rejected: bool = False
    warm_up_ms: int = DAY_MS
    behind_ms: int = BEHIND_MS

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Selection:
        """The selection that `options` was made of."""
        return cls(**options | {name: tuple(options[name]) for name in ("device_ids", "protocols")})

    def options(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    def has_time(self, received_ms: int) -> bool:
        return self.from_ms <= received_ms < self.to_ms


def chosen(table: T, wanted: list[bool]) -> T:
    """The rows of a table of columns that are wanted."""
    columns = {f.name: list(compress(getattr(table, f.name), wanted)) for f in fields(table)}  # type: ignore[arg-type]
    return type(table)(**columns)


def cut(batch: FrameBatch, frames: list[bool], entries: list[bool]) -> FrameBatch:
    """A record with some of its frames and entries; ticks and sessions stay as they are."""
    before = [0]
    for kept in frames:
        before.append(before[-1] + kept)
    left: Entries = chosen(batch.entries, entries)
    left.at = [before[at] for at in left.at]
    return FrameBatch(
        batch.gateway, batch.partition, batch.ticks_ms, batch.sessions, chosen(batch.frames, frames), left
    )


def narrowed(batch: FrameBatch, device_ids: frozenset[str]) -> FrameBatch:
    """A record with the frames and entries of some devices only.

    Frames without a device stay as well: today's detection may find whose they are.
    """
    frames = [not device_id or device_id in device_ids for device_id in batch.frames.device_id]
    entries = [device_id in device_ids for device_id in batch.entries.device_id]
    return batch if all(frames) and all(entries) else cut(batch, frames, entries)
