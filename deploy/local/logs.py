"""Log files of children: bounded, and read for the line that says "ready" and for why a child ended."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

LIMIT_BYTES = 16 * 1024 * 1024
SHOWN_LINES = 12
_READ_BYTES = 256 * 1024
_MESSAGE = re.compile(r"(error|gateway|worker|clickhouse|simulate): ")


def rotate(path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """Move a log that has grown beyond the limit aside (one old one is kept). Nobody may write it."""
    with suppress(FileNotFoundError):
        if path.stat().st_size > limit_bytes:
            path.replace(path.with_name(f"{path.name}.1"))


def cut(path: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """The same for a log that is being written (in append mode): copied and emptied; a line may be lost between."""
    with suppress(OSError):  # a full disk: try again later
        if path.stat().st_size > limit_bytes:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)


def size(path: Path) -> int:
    """Bytes of a log, 0 when there is none."""
    return path.stat().st_size if path.exists() else 0


def lines_since(path: Path, offset: int) -> list[str]:
    """The complete lines after a byte offset (of the last 256 KiB at most), blank ones left out."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(offset, size(path) - _READ_BYTES))
            data = stream.read(_READ_BYTES)
    except FileNotFoundError:
        return []
    complete = data[: data.rfind(b"\n") + 1]
    return [line for line in complete.decode(errors="replace").splitlines() if line.strip()]


def explain(lines: list[str], is_users_mistake: bool) -> str:
    """What a child said about its end: its own message when it wrote one for people, else its last lines."""
    if is_users_mistake:
        starts = [number for number, line in enumerate(lines) if _MESSAGE.match(line)]
        if starts:
            return "\n".join([_MESSAGE.sub("", lines[starts[-1]], count=1), *lines[starts[-1] + 1 :]])
    return "\n".join(lines[-SHOWN_LINES:]) or "it wrote nothing"
