"""An event as a line for people: figures in words and units, columns that stay aligned, nothing a terminal would obey."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from deploy.local.events import figure
from schemas.records import Event

WIDTHS = (19, 15, 17, 8, 40)
"""Time, device, kind, subject, figures: the least widths. The place comes last."""
WIDEST = 48
"""Columns grow with what they hold up to this: one long name must not push all others away."""
MOST_CHARACTERS = 120


def span(seconds: float) -> str:
    """A duration as people say it: 45 s, 18 min, 3.5 h, 2 d."""
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.0f} s"


def distance(metres: float) -> str:
    """A distance as people say it: 340 m, 12.3 km."""
    return f"{metres / 1000:.1f} km" if metres >= 1000 else f"{metres:.0f} m"


NUMBERS: tuple[tuple[tuple[str, ...], Callable[..., str]], ...] = (
    (("distance_m", "duration_s"), lambda m, s: f"{distance(m)} in {span(s)}"),
    (("duration_s",), lambda s: f"for {span(s)}"),
    (("dwell_s",), lambda s: f"for {span(s)}"),
    (("silent_s",), lambda s: f"silent for {span(s)}"),
    (("distance_m",), distance),
    (("period_m",), lambda m: f"every {distance(m)}"),
    (("engine_h",), lambda h: f"{h:.0f} h"),
    (("period_h",), lambda h: f"every {h:g} h"),
    (("speed_kmh",), lambda v: f"{v:.0f} km/h"),
    (("speed_max_kmh",), lambda v: f"max {v:.0f} km/h"),
    (("speed_average_kmh",), lambda v: f"average {v:.0f} km/h"),
    (("limit_kmh",), lambda v: f"limit {v:g} km/h"),
    (("before_percent", "after_percent"), lambda a, b: f"from {a:.0f} to {b:.0f} %"),
    (("before_l", "after_l"), lambda a, b: f"from {a:.1f} to {b:.1f} l"),
    (("power_v",), lambda v: f"{v:.1f} V"),
)
"""Names of numbers and how they are told together, the first that fits."""
TEXTS: dict[str, Callable[[str], str]] = {
    "name": lambda text: text,
    "driver_name": lambda text: text,
    "result": lambda text: text,
    "limit_source": lambda text: f"set by {text.replace('_', ' ')}",
    "evidence": lambda text: f"by {text.replace('_', ' ')}",
    "previous_driver_id": lambda text: f"before: {text}",
}
REPEATS = frozenset({"driver_id", "change_percent", "change_l"})
"""Told by the subject or by other figures."""


def figures(attributes: Mapping[str, Any]) -> str:
    """All attributes in words: {"distance_m": 12345.6, "duration_s": 1080} is "12.3 km in 18 min"."""
    left = {name: value for name, value in attributes.items() if name not in REPEATS}
    told = []
    for name, say in TEXTS.items():
        if name in ("name", "driver_name", "result") and isinstance(left.get(name), str):
            told.append(say(left.pop(name)))
    for names, tell in NUMBERS:
        if all(isinstance(left.get(name), int | float) and not isinstance(left[name], bool) for name in names):
            told.append(tell(*(left.pop(name) for name in names)))
    for name, value in left.items():
        told.append(TEXTS[name](value) if name in TEXTS and isinstance(value, str) else figure(name, value))
    return ", ".join(told)


def printable(text: str, most: int = MOST_CHARACTERS) -> str:
    """A text that a terminal only shows: devices name themselves, and control characters of theirs are spelled out."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def cells(event: Event) -> list[str]:
    """Local time, device, kind, subject, figures, place."""
    try:
        when = datetime.fromtimestamp(event.time_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):  # a date that no calendar has
        when = f"{event.time_ms} ms"
    here = event.latitude is not None and event.longitude is not None
    place = f"{event.latitude:.5f},{event.longitude:.5f}" if here else ""
    texts = (event.device_id, event.kind, event.subject, figures(event.attributes))
    return [when, *map(printable, texts), place]


class Lines:
    """Lines whose columns stay under each other: they grow, and never shrink."""

    def __init__(self) -> None:
        self._widths = list(WIDTHS)

    def make_room(self, events: Iterable[Event]) -> None:
        """Be as wide as these events need."""
        for event in events:
            self._grow(cells(event))

    def _grow(self, row: list[str]) -> None:
        self._widths = [max(w, min(len(cell), WIDEST)) for w, cell in zip(self._widths, row, strict=False)]

    def line(self, event: Event) -> str:
        """One event."""
        row = cells(event)
        self._grow(row)
        head = [cell.ljust(width) for cell, width in zip(row, self._widths, strict=False)]
        return "  ".join([*head, row[-1]]).rstrip()
