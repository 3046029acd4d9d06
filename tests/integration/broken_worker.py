"""A track worker whose decoder of h02 is wrong on purpose: other hemisphere, an hour off, no speed, some frames refused."""

from __future__ import annotations

import sys
from typing import Any

from processors.__main__ import main
from processors.decoders.registry import DECODERS
from schemas.errors import DecodeError, Reason
from schemas.records import Frame, Position

HOUR_MS = 3_600_000


class Broken:
    """Stands in for a decoder module."""

    def __init__(self, right: Any) -> None:
        self._right = right
        self.REVISION = right.REVISION + 1000

    def content(self, frame: Frame) -> bytes:
        content: bytes = self._right.content(frame)
        return content

    def decode(self, frame: Frame) -> list[Position]:
        if (frame.device_id or "").endswith("4"):
            raise DecodeError(Reason.BAD_COORDINATES, "broken on purpose")
        positions: list[Position] = self._right.decode(frame)
        for position in positions:
            position.latitude = None if position.latitude is None else -position.latitude
            position.speed_kmh = None
            if position.fix_time_ms is not None:
                position.fix_time_ms -= HOUR_MS
        return positions


if __name__ == "__main__":
    DECODERS["h02"] = Broken(DECODERS["h02"])
    sys.exit(main())
