"""Rows of a report as a table that fits the terminal, as CSV, and as JSON lines."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from deploy.local.model import duration

if TYPE_CHECKING:
    from deploy.cli.report.run import Answer

GAP = "  "
CELL_MAX = 40


def as_csv(answer: Answer) -> str:
    """A line of names, then one a row; times in ISO 8601 with the offset of the zone, absent values empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows([["" if value is None else _plain(value, answer) for value in row] for row in answer.rows])
    return out.getvalue()


def as_json(answer: Answer) -> str:
    """One object a line; times in ISO 8601 with the offset of the zone."""
    rows = (dict(zip(answer.columns, (_plain(value, answer) for value in row), strict=True)) for row in answer.rows)
    return "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)


def _plain(value: Any, answer: Answer) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(answer.zone).isoformat(timespec="milliseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def as_table(answer: Answer, width: int | None = None) -> str:
    """Aligned columns with units people use. width: of the terminal; None: asked; 0: as wide as needed.

    Columns that do not fit are left out from the right, and that is said.
    """
    if not answer.rows:
        return "no rows: nothing of that kind in the range\n"
    if width is None:
        width = shutil.get_terminal_size((120, 24)).columns
    makers = [_cell(name, answer) for name in answer.columns]
    heads = [_head(name) for name in answer.columns]
    cells = [[make(value) for make, value in zip(makers, row, strict=True)] for row in answer.rows]
    widths = [max(len(head), *(len(row[i]) for row in cells)) for i, head in enumerate(heads)]
    shown = len(heads)
    while width and shown > 1 and sum(widths[:shown]) + len(GAP) * (shown - 1) > width:
        shown -= 1
    right = [all(isinstance(row[i], int | float | None) for row in answer.rows) for i in range(shown)]
    lines = [
        GAP.join(
            text.rjust(widths[i]) if right[i] else text.ljust(widths[i]) for i, text in enumerate(row[:shown])
        ).rstrip()
        for row in [heads, *cells]
    ]
    left_out = answer.columns[shown:]
    if left_out:
        lines.append(f"(left out, the terminal is too narrow: {', '.join(left_out)}; --format csv has all)")
    return "\n".join(lines) + "\n"


def _head(name: str) -> str:
    for suffix in ("_ms", "_s", "_m"):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def _cell(name: str, answer: Answer) -> Callable[[Any], str]:
    """How values of a column look."""

    def show(value: Any) -> str:
        if value is None:
            return "-"
        if isinstance(value, datetime):
            return f"{value.astimezone(answer.zone):%Y-%m-%d %H:%M:%S}"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if name.endswith("_s") and not name.startswith("delay"):
            return duration(round(value))
        if name.endswith("_m") and isinstance(value, float):
            return f"{value / 1000:,.2f} km" if abs(value) >= 1000 else f"{value:,.0f} m"
        if isinstance(value, float):
            return f"{value:.5f}" if name.endswith(("latitude", "longitude")) else f"{value:,.1f}"
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        return text if len(text) <= CELL_MAX else text[: CELL_MAX - 1] + "…"

    return show
