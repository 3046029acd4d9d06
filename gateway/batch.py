"""The record that grows for one partition: frames and entries of many sessions as columns. Pure."""

from __future__ import annotations

from typing import Any

from gateway.turn import OutFrame, SessionRow
from schemas.records import Entries, EntryKind, FrameBatch, Frames, Sessions

SESSIONS_LIMIT = 60_000
"""Session rows in one record: their index is 16 bits."""


class Batch:
    """Frames in order, the sessions they point to, and the chunks whose replies wait for this record."""

    __slots__ = ("bytes", "entries", "frames", "rows", "ticks_ms", "waiters")

    def __init__(self) -> None:
        self.frames = Frames()
        self.entries = Entries()
        self.rows: dict[SessionRow, int] = {}
        self.ticks_ms: list[int] = []
        self.bytes = 0
        self.waiters: list[Any] = []

    def __bool__(self) -> bool:
        return bool(self.frames.kind or self.entries.kind or self.ticks_ms)

    def add_frame(self, out: OutFrame) -> None:
        frames = self.frames
        frames.session.append(self.rows.setdefault(out.row, len(self.rows)))
        frames.received_ms.append(out.received_ms)
        frames.kind.append(out.kind)
        frames.protocol.append(out.protocol)
        frames.device_id.append(out.device_id)
        frames.payload.append(out.payload)
        self.bytes += len(out.payload)

    def add_entry(self, row: SessionRow, kind: EntryKind, device_id: str, time_ms: int) -> None:
        entries = self.entries
        entries.session.append(self.rows.setdefault(row, len(self.rows)))
        entries.at.append(len(self.frames.kind))
        entries.time_ms.append(time_ms)
        entries.kind.append(kind)
        entries.device_id.append(device_id)

    def to_record(self, gateway: str, partition: int) -> FrameBatch:
        columns: list[list[Any]] = [list(column) for column in zip(*self.rows, strict=True)] or [[] for _ in range(6)]
        return FrameBatch(gateway, partition, self.ticks_ms, Sessions(*columns), self.frames, self.entries)
