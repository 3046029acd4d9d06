"""The device states of a partition: those used lately as they are, the others packed. Pure.

A DeviceState takes about 2.5 KB as Python objects and 0.5 KB packed, and a large fleet reports seldom: most of its states
wait. Packing costs about 15 microseconds, so a partition keeps its busiest devices unpacked.
"""

from __future__ import annotations

import marshal
from array import array
from collections.abc import Iterator, MutableMapping
from functools import cache
from itertools import accumulate, chain, pairwise
from struct import Struct

import cramjam

from processors.derive.state import RECENT_ENTRY, DeviceState, values_of

UNPACKED_DEVICES = 500


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


ALL_ONES = 2**64 - 1


@cache
def _entries(count: int) -> Struct:
    """Entries of DeviceState.recent, their times without sign: steps between them are taken modulo 2^64."""
    return Struct("<" + "IQ" * count)


def packed(state: DeviceState) -> bytes:
    """A state as few bytes, for this process only.

    The keys of its recent reports are random: they stay as they are. Their times become steps, which repeat.
    """
    *values, recent = values_of(state)
    numbers = _entries(len(recent) // RECENT_ENTRY.size).unpack(recent)
    times = numbers[1::2]
    steps = array("Q", [(after - before) & ALL_ONES for before, after in pairwise(times)]).tobytes()
    rest = bytes(cramjam.zstd.compress(marshal.dumps((values, times[:1], steps)), 1))
    return b"".join((bytes((len(times),)), array("I", numbers[::2]).tobytes(), rest))


def unpacked(data: bytes) -> DeviceState:
    """The state that `packed` was given."""
    count = data[0]
    keys, rest = data[1 : 1 + 4 * count], data[1 + 4 * count :]
    values, first, steps = marshal.loads(bytes(cramjam.zstd.decompress(rest)))
    times = accumulate([*first, *memoryview(steps).cast("Q")], lambda time, step: (time + step) & ALL_ONES)
    numbers = chain.from_iterable(zip(memoryview(keys).cast("I"), times, strict=True))
    values.append(_entries(count).pack(*numbers))
    return DeviceState(*values)
