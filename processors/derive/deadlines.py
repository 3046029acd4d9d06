"""When a device must be looked at although it says nothing: the clock of the log, and a heap of deadlines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

from processors.derive.geofences import dwell_deadline_ms
from processors.derive.presence import Pauses, inactive_deadline_ms, paused_since, unknown_deadline_ms
from processors.derive.rules import Rules
from processors.derive.state import ABSENT_I8, DeviceState

PAUSE_MS = 30_000
"""Gateways tick every 10 s: a longer gap between ticks means that the line was down, and nobody could be heard."""
PAUSES_KEPT = 16
GRID_MS = 10_000
FORGET_MS = 90 * 86_400_000
"""The state of a device that is silent for so long is dropped."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What ticks told so far: the largest, and the spans in which there was none."""

    now_ms: int = 0
    pauses: Pauses = ()

    def ticked(self, tick_ms: int) -> Clock:
        """The clock after a tick; the same one when it is not news (gateways tick side by side)."""
        if tick_ms <= self.now_ms:
            return self
        pauses = self.pauses
        if self.now_ms and tick_ms - self.now_ms > PAUSE_MS:
            pauses = (*pauses, (self.now_ms, tick_ms))[-PAUSES_KEPT:]
        return Clock(tick_ms, pauses)


def forget_deadline_ms(state: DeviceState, pauses: Pauses) -> int | None:
    """When the state of a device is dropped, unless it is heard; None: a state in which nothing is."""
    heard_ms = state.seen_ms if state.heard_ms == ABSENT_I8 else state.heard_ms
    return heard_ms + FORGET_MS + paused_since(pauses, heard_ms) if heard_ms else None


def is_forgotten(state: DeviceState | None, clock: Clock) -> bool:
    """True when a device was silent for so long that its state is dropped."""
    deadline_ms = None if state is None else forget_deadline_ms(state, clock.pauses)
    return deadline_ms is not None and deadline_ms <= clock.now_ms


def next_deadline_ms(state: DeviceState, rules: Rules, pauses: Pauses) -> int | None:
    """The first moment at which a tick changes the state or raises something; None: never."""
    parameters = rules.parameters(state.device_id)
    deadlines = (
        unknown_deadline_ms(state, parameters, pauses),
        inactive_deadline_ms(state, parameters, pauses),
        dwell_deadline_ms(state, rules, parameters, pauses) if state.fences else None,
        forget_deadline_ms(state, pauses),
    )
    return min((d for d in deadlines if d is not None), default=None)


class _Slot:
    """Devices that are to be looked at within the same GRID_MS."""

    __slots__ = ("device_ids", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.device_ids: list[str] = []


class Deadlines:
    """Devices by the time at which to look at them, which is their deadline or before it: most move on before it comes.

    A heap of slots, not of devices: that takes a third of the memory, and ticks come each 10 s anyway.
    """

    def __init__(self) -> None:
        self._heap: list[int] = []
        self._slots: dict[int, _Slot] = {}
        self._of: dict[str, _Slot] = {}

    def schedule(self, device_id: str, deadline_ms: int | None) -> None:
        """Look at a device at deadline_ms at the latest."""
        if deadline_ms is None:
            return
        number = deadline_ms // GRID_MS
        before = self._of.get(device_id)
        if before is not None and before.number <= number:
            return
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = _Slot(number)
            heappush(self._heap, number)
        slot.device_ids.append(device_id)
        self._of[device_id] = slot  # where it stood before it is passed over

    def due(self, now_ms: int) -> list[str]:
        """Devices to be looked at now; they stay. Some may have their deadline within the next GRID_MS only."""
        found, heap, ahead = [], self._heap, [0]
        while ahead:
            at = ahead.pop()
            if at < len(heap) and heap[at] <= now_ms // GRID_MS:
                slot = self._slots[heap[at]]
                found += [d for d in slot.device_ids if self._of.get(d) is slot]
                ahead += (2 * at + 1, 2 * at + 2)
        return found

    def settle(self, now_ms: int, deadline_of: Callable[[str], int | None]) -> None:
        """Take away what is due, and let each of these devices stand at its deadline of now."""
        moved = []
        while self._heap and self._heap[0] <= now_ms // GRID_MS:
            slot = self._slots.pop(heappop(self._heap))
            for device_id in slot.device_ids:
                if self._of.get(device_id) is slot:
                    del self._of[device_id]
                    moved.append(device_id)
        for device_id in moved:
            self.schedule(device_id, deadline_of(device_id))
