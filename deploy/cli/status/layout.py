"""How the sections of `lodestream status` look."""

from __future__ import annotations

import re

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

PADDING = (0, 2, 0, 2)


def table(first: str, *numbers: str) -> Table:
    """A table whose other columns are numbers."""
    rows = Table(box=None, padding=PADDING, header_style="dim")
    rows.add_column(first, no_wrap=True)
    for name in numbers:
        rows.add_column(name, justify="right")
    return rows


def section(title: str, rows: Table, below: str = "") -> RenderableType:
    """A title, its rows, and a line below them."""
    parts: list[RenderableType] = [Text(title, "bold"), rows]
    return Group(*parts, Padding(below, PADDING)) if below else Group(*parts)


def failed(title: str, error: str) -> RenderableType:
    """A part that does not answer."""
    return Group(Text(title, "bold"), Padding(Text(error, "red"), PADDING))


def reason(error: BaseException) -> str:
    """What an error says, in a line: the system's words when a connection failed, else the first line."""
    text = str(error).strip()
    if system := re.search(r"\[Errno -?\d+\] ([^\"'()\[\],]+)", text):
        return system.group(1).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__
