"""The two faces of `lodestream up`: lines for logs and pipes, a live screen for terminals."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.local.events import EventRow
from deploy.local.model import Model, Phase, duration, milliseconds, status_line
from deploy.local.supervisor import State

STATUS_S, DETAIL_S = 5.0, 1.0
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FIXED_LINES = 20  # of the live screen, without events
_SERVICES_A_ROW = 3
_STATE_STYLES = {State.READY: "green", State.FAILED: "bold red", State.WAITING: "yellow", State.STARTING: "yellow"}


class Display(Protocol):
    """How the line is shown; `interval_s` is how often `refresh` wants to be called once the line is ready."""

    interval_s: float

    def open(self) -> None: ...

    def refresh(self) -> None:
        """Something in the model may have changed."""

    def show_events(self, rows: Sequence[EventRow], new: bool) -> None:
        """Events came; new: since the start."""

    def note(self, text: str) -> None:
        """Say something that stays to be read."""

    def close(self) -> None: ...


def make_display(model: Model, plain: bool) -> Display:
    """The live screen when standard output is a terminal and nobody asked for lines."""
    return PlainDisplay(model, sys.stdout) if plain or not sys.stdout.isatty() else LiveDisplay(model, Console())


class PlainDisplay:
    """Lines. An output that is gone (a closed pipe) does not stop the line."""

    interval_s = STATUS_S

    def __init__(self, model: Model, out: TextIO) -> None:
        self._model = model
        self._out = out
        self._shown: dict[str, tuple[Phase, str, float]] = {}
        self._said_ready = False
        self._status_s = 0.0

    def open(self) -> None:
        """Nothing to prepare."""

    def refresh(self) -> None:
        """Lines for steps that moved on, then the places, then a status line every 5 s."""
        if not self._said_ready:
            self._show_steps()
            if self._model.ready_s is not None:
                self._said_ready = True
                self._status_s = time.monotonic()
                self._write(f"ready in {self._model.ready_s:.1f} s")
                for name, place in self._model.places:
                    self._write(f"  {name:<12} {place}")
        elif time.monotonic() - self._status_s >= STATUS_S * 0.9:
            self._status_s = time.monotonic()
            self._write(f"{_clock()} {status_line(self._model.figures)}")

    def _show_steps(self) -> None:
        now = time.monotonic()
        for name, step in self._model.steps.items():
            phase, detail, shown_s = self._shown.get(name, (Phase.PENDING, "", 0.0))
            if step.phase is not phase and step.phase is Phase.DONE:
                self._write(f"{step.title}: ready, {step.seconds:.1f} s{f' ({step.detail})' if step.detail else ''}")
            elif step.detail and step.detail != detail and step.phase is Phase.RUNNING and now - shown_s >= DETAIL_S:
                self._write(f"{step.title}: {step.detail}")
            else:
                continue
            self._shown[name] = (step.phase, step.detail, now)

    def show_events(self, rows: Sequence[EventRow], new: bool) -> None:
        """A line for each new event."""
        for row in rows if new else ():
            self._write(f"{row.time_text} event {row.device_id} {row.kind} {row.figures}".rstrip())

    def note(self, text: str) -> None:
        """A line with the time of day."""
        self._write(f"{_clock()} {text}")

    def close(self) -> None:
        """Nothing to put back."""

    def _write(self, line: str) -> None:
        try:
            self._out.write(f"{line}\n")
            self._out.flush()
        except OSError:  # nobody reads any more; what is still buffered must not fail again at the end
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._out.fileno())
            os.close(nowhere)


class LiveDisplay:
    """A screen that is drawn anew in place."""

    interval_s = 1.0

    def __init__(self, model: Model, console: Console) -> None:
        self._model = model
        self._console = console
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def open(self) -> None:
        """Begin to draw."""
        self._live.start()

    def refresh(self) -> None:
        """Draw."""
        with contextlib.suppress(OSError):  # the terminal was closed: SIGHUP stops the line in order
            drawn = steps_view(self._model) if self._model.ready_s is None else self._line_view()
            self._live.update(drawn, refresh=True)

    def _line_view(self) -> RenderableType:
        return line_view(self._model, max(3, self._console.height - _FIXED_LINES - len(self._model.notes)))

    def show_events(self, rows: Sequence[EventRow], new: bool) -> None:
        """They are in the model; the next refresh draws them."""

    def note(self, text: str) -> None:
        """Kept on the screen with the time of day, the last few."""
        self._model.notes.append(f"{_clock()} {text}")
        self.refresh()

    def close(self) -> None:
        """Leave the last picture where it is, below it goes on."""
        with contextlib.suppress(OSError):
            self._live.stop()


def _clock() -> str:
    return time.strftime("%H:%M:%S")


def steps_view(model: Model) -> RenderableType:
    """The set-up."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", width=7)
    table.add_column(no_wrap=True, overflow="ellipsis", style="dim")
    for step in model.steps.values():
        running = step.phase is Phase.RUNNING
        sign = {
            Phase.PENDING: Text("·", "dim"),
            Phase.RUNNING: Text(_SPINNER[int(model.uptime_s * 8) % len(_SPINNER)], "cyan"),
            Phase.DONE: Text("✓", "green"),
            Phase.FAILED: Text("✗", "bold red"),
        }[step.phase]
        seconds = time.monotonic() - step.began_s if running else step.seconds
        table.add_row(sign, step.title, f"{seconds:.1f} s" if step.phase is not Phase.PENDING else "", step.detail)
    return Group(Text("Lodestream is starting", "bold"), table, *(Text(note, "yellow") for note in model.notes))


def line_view(model: Model, events: int) -> RenderableType:
    """The running line."""
    head = Text.assemble(("Lodestream", "bold"), f"  up {duration(model.uptime_s)}", ("   Ctrl-C stops it", "dim"))
    places = Table.grid(padding=(0, 2))
    places.add_column(style="cyan", no_wrap=True)
    places.add_column(overflow="fold")
    for name, place in model.places:
        places.add_row(name, Text(place))
    parts: list[RenderableType] = [head, Text(), places, Text(), _services_view(model), Text(), _figures_view(model)]
    parts += [Text(), _events_view(model, events)]
    parts += [Text(note, "yellow") for note in model.notes]
    return Group(*parts)


def _services_view(model: Model) -> Table:
    table = Table.grid(padding=(0, 3, 0, 0))
    cells = []
    for service in model.services:
        cell = Text.assemble((f"{service.spec.title} ", "cyan"), (service.state, _STATE_STYLES.get(service.state, "")))
        if service.restarts:
            cell.append(f", {service.restarts} restarts" if service.restarts > 1 else ", 1 restart", "yellow")
        cells.append(cell)
    for number in range(0, len(cells), _SERVICES_A_ROW):
        table.add_row(*cells[number : number + _SERVICES_A_ROW])
    return table


def _figures_view(model: Model) -> Table:
    figures = model.figures
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for style in ("cyan", "bold", "cyan", "bold", "cyan", "bold"):
        table.add_column(style=style, no_wrap=True)
    connections = f"{figures.connections_tcp} TCP, {figures.connections_udp} UDP"
    lag = f"{figures.lag_track_records} + {figures.lag_sink_records} records"
    rows = (
        ("connections", connections, "frames/s", f"{figures.frames_per_s:.1f}", "frames", f"{figures.frames}"),
        ("positions", f"{figures.positions}", "events", f"{figures.events}", "rejected", f"{figures.rejected}"),
        ("lag", lag, "unknown bytes", f"{figures.unknown_bytes}", "failures", f"{figures.failures}"),
        (
            *("reply p50", milliseconds(figures.reply_p50_s), "reply p99", milliseconds(figures.reply_p99_s)),
            *("queryable p50", milliseconds(figures.queryable_p50_s)),
        ),
    )
    for row in rows:
        table.add_row(*row)
    return table


def _events_view(model: Model, most: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    for name, width in (("time", 8), ("device", 15), ("latest events", 18)):
        table.add_column(name, no_wrap=True, width=width, overflow="ellipsis")
    table.add_column("figures", no_wrap=True, overflow="ellipsis", ratio=1)
    for row in list(model.events)[-most:][::-1]:
        table.add_row(row.time_text, Text(row.device_id), Text(row.kind), Text(row.figures))
    if not model.events:
        table.add_row("-", "none yet", "", "")
    return table
