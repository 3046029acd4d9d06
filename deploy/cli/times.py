"""Times as people write them on a command line."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, tzinfo

RELATIVE = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)")
SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def moment_ms(text: str, now_ms: int | None = None, zone: tzinfo = UTC) -> int:
    """Milliseconds since the epoch of 2026-01-15, 2026-01-15T10:11:12Z (in `zone` when it names none), or 2h, 7d (ago).

    Whole seconds: a part of one is cut off. Raises ValueError.
    """
    text = text.strip()
    now_ms = round(time.time() * 1000) if now_ms is None else now_ms
    ago = RELATIVE.fullmatch(text)
    if ago:
        return (now_ms - round(float(ago[1]) * SECONDS[ago[2]] * 1000)) // 1000 * 1000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: 2026-01-15, 2026-01-15T10:11:12Z or, for how long ago, 90min, 2h, 7d"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return int(moment.timestamp()) * 1000
