"""What the displays show: set-up steps, places, processes, figures, events. No drawing here."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

from deploy.local.counters import Figures
from deploy.local.events import EventRow
from deploy.local.supervisor import Service

EVENTS_KEPT = 50
NOTES_KEPT = 3


class Phase(StrEnum):
    """Where a step of the set-up is."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True)
class Step:
    """One step of the set-up. seconds: how long it took, once it is done."""

    title: str
    phase: Phase = Phase.PENDING
    detail: str = ""
    began_s: float = 0.0
    seconds: float = 0.0

    def begin(self) -> None:
        """It runs now."""
        self.phase, self.began_s = Phase.RUNNING, time.monotonic()

    def end(self, phase: Phase, detail: str = "") -> None:
        """It is done, or failed."""
        self.phase, self.detail, self.seconds = phase, detail, time.monotonic() - self.began_s


@dataclass(slots=True)
class Model:
    """All that there is to show."""

    steps: dict[str, Step]
    services: list[Service]
    places: list[tuple[str, str]]
    began_s: float = field(default_factory=time.monotonic)
    ready_s: float | None = None
    figures: Figures = field(default_factory=Figures)
    events: deque[EventRow] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    notes: deque[str] = field(default_factory=lambda: deque(maxlen=NOTES_KEPT))

    @property
    def uptime_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began_s


def milliseconds(seconds: float | None) -> str:
    """A latency for people: "12 ms", "1.3 s", "-" when there is none."""
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def duration(seconds: float) -> str:
    """A time span for people: "0:03:12"."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def status_line(figures: Figures) -> str:
    """The figures in one line."""
    parts = [
        f"connections {figures.connections_tcp} tcp {figures.connections_udp} udp",
        f"{figures.frames_per_s:.1f} frames/s",
        f"positions {figures.positions}",
        f"events {figures.events}",
        f"rejected {figures.rejected}",
        f"lag {figures.lag_track_records}+{figures.lag_sink_records} records",
        f"reply p50 {milliseconds(figures.reply_p50_s)} p99 {milliseconds(figures.reply_p99_s)}",
        f"queryable p50 {milliseconds(figures.queryable_p50_s)}",
    ]
    if figures.unknown_bytes:
        parts.append(f"unknown bytes {figures.unknown_bytes}")
    if figures.failures:
        parts.append(f"failed sends and inserts {figures.failures} (repeated)")
    if figures.silent:
        parts.append(f"no metrics from {', '.join(figures.silent)}")
    return ", ".join(parts)
