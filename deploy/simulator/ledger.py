"""The ledger: a JSON line for every frame that was answered, so a test can ask for each of them later."""

from __future__ import annotations

import os

from deploy.simulator.protocols.base import Frame

_FLUSH_BYTES = 128 * 1024


class Ledger:
    """Appends whole lines in single writes, so several processes may share one file.

    A line: device_id (as the server knows the device), protocol, kind, frame_hex, position (does it carry one),
    time_ms, latitude, longitude, speed_kmh (what the bytes of the frame say; null without a position), sent_ms (of the
    last sending), answered_ms; both by the wall clock here.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._lines: list[str] = []
        self._size = 0

    def add(self, protocol: str, device_id: str, frame: Frame, sent_ms: int, answered_ms: int) -> None:
        """Note an answered frame. Ids and kinds have no character that JSON would escape."""
        where = (
            f'"position":true,"time_ms":{frame.time_ms},"latitude":{frame.latitude:.7f},'
            f'"longitude":{frame.longitude:.7f},"speed_kmh":{frame.speed_kmh:.4f}'
            if frame.position
            else '"position":false,"time_ms":null,"latitude":null,"longitude":null,"speed_kmh":null'
        )
        line = (
            f'{{"device_id":"{device_id}","protocol":"{protocol}","kind":"{frame.kind}",{where},'
            f'"sent_ms":{sent_ms},"answered_ms":{answered_ms},"frame_hex":"{frame.data.hex()}"}}\n'
        )
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._lines:
            block = "".join(self._lines).encode()
            self._lines.clear()
            self._size = 0
            if os.write(self._file, block) != len(block):
                raise OSError("the ledger could not be written: is the disk full?")

    def close(self) -> None:
        self.flush()
        os.close(self._file)


def begin(path: str) -> None:
    """Empty the file before any process appends to it. Raises OSError when it cannot be written."""
    with open(path, "wb"):
        pass
