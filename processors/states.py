"""The device states of a partition: those used lately as they are, the others packed. Pure.

A DeviceState takes about 2.5 KB as Python objects and 0.7 KB packed, and a large fleet reports seldom: most of its states
wait. Packing costs 10-20 microseconds, so a partition keeps its busiest devices unpacked.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator, MutableMapping

import cramjam
import numpy as np

from processors.derive.state import RECENT_ENTRY, DeviceState, values_of

UNPACKED_DEVICES = 500
RECENT = np.dtype([("key", "<u4"), ("time", "<u8")])
"""Entries of DeviceState.recent, their times without sign: steps between them are taken modulo 2^64."""

if RECENT.itemsize != RECENT_ENTRY.size:  # pragma: no cover - a slip in this file
    raise ImportError("entries of recent have another size")


class StateStore(MutableMapping[str, DeviceState]):
    """A mapping from device_id to its state.

    A state that was read is not written back when it is changed: set it again, as with any value.
    """

    def __init__(self, unpacked: int = UNPACKED_DEVICES) -> None:
        self._most = unpacked
        self._hot: dict[str, DeviceState] = {}
        self._cold: dict[str, bytes] = {}

    def __getitem__(self, device_id: str) -> DeviceState:
        state = self._hot.get(device_id)
        return unpacked(self._cold[device_id]) if state is None else state

    def __setitem__(self, device_id: str, state: DeviceState) -> None:
        if self._hot.pop(device_id, None) is None:
            self._cold.pop(device_id, None)
            if len(self._hot) >= self._most:
                oldest = next(iter(self._hot))
                self._cold[oldest] = packed(self._hot.pop(oldest))
        self._hot[device_id] = state

    def __delitem__(self, device_id: str) -> None:
        if self._hot.pop(device_id, None) is None:
            del self._cold[device_id]

    def __contains__(self, device_id: object) -> bool:
        return device_id in self._hot or device_id in self._cold

    def clear(self) -> None:
        self._hot.clear()
        self._cold.clear()

    def __len__(self) -> int:
        return len(self._hot) + len(self._cold)

    def __iter__(self) -> Iterator[str]:
        yield from self._hot
        yield from self._cold


def packed(state: DeviceState) -> bytes:
    """A state as few bytes, for this process only.

    The keys of its recent reports are random: they stay as they are. Their times become steps, which repeat.
    """
    *values, recent = values_of(state)
    entries = np.frombuffer(recent, RECENT)
    steps = entries["time"].copy()
    steps[1:] -= entries["time"][:-1]
    rest = cramjam.lz4.compress_block(marshal.dumps((values, steps.tobytes())))
    return b"".join((bytes((len(entries),)), entries["key"].tobytes(), bytes(rest)))


def unpacked(data: bytes) -> DeviceState:
    """The state that `packed` was given."""
    keys_end = 1 + 4 * data[0]
    values, steps = marshal.loads(bytes(cramjam.lz4.decompress_block(data[keys_end:])))
    entries = np.empty(data[0], RECENT)
    entries["key"] = np.frombuffer(data[1:keys_end], "<u4")
    entries["time"] = np.cumsum(np.frombuffer(steps, "<u8"), dtype=np.uint64)
    values.append(entries.tobytes())
    return DeviceState(*values)
