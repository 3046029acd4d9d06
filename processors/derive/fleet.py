"""Entries of many devices in the order of the log: each to its device, and the clock to those whose deadline passed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from processors.derive.deadlines import Clock, Deadlines, is_forgotten, next_deadline_ms
from processors.derive.entries import Entry, Tick
from processors.derive.rules import Rules
from processors.derive.state import DeviceState
from processors.derive.step import Derived, Step, step
from schemas.records import Event


class Outcome(NamedTuple):
    """What one entry gave for one device; derived: of a report, else None."""

    device_id: str
    events: list[Event]
    derived: Derived | None


class Fleet:
    """A layer of changed states over those of before, which stay as they are.

    states, deadlines, clock: what was known before; nothing by default. `changed` and `clock` are what came of it; a blank
    state there means that the device was silent for so long that nothing is kept of it.
    """

    def __init__(
        self,
        rules: Rules,
        states: Mapping[str, DeviceState] | None = None,
        deadlines: Deadlines | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.rules = rules
        self.clock = clock or Clock()
        self.changed: dict[str, DeviceState] = {}
        self._states = {} if states is None else states
        self._before = deadlines or Deadlines()
        self._deadlines = Deadlines()
        self._unscheduled: set[str] = set()

    def state(self, device_id: str) -> DeviceState | None:
        """The present state of a device; None when it has none."""
        return self.changed.get(device_id) or self._states.get(device_id)

    def step(self, device_id: str, entry: Entry) -> Step:
        """Apply an entry of one device."""
        own = self.changed.get(device_id)
        before = own or self._states.get(device_id) or DeviceState.new(device_id)
        result = step(before, entry, self.rules, own is not None)
        if result.state is not before:
            self.changed[device_id] = result.state
            self._unscheduled.add(device_id)
        elif own is not None:
            self._unscheduled.add(device_id)  # it may have changed where it stands
        return result

    def tick(self, tick_ms: int) -> list[Outcome]:
        """Let the clock go on; outcomes of the devices whose deadline passed, in the order of their deadlines."""
        clock = self.clock.ticked(tick_ms)
        if clock is self.clock:
            return []
        self.clock = clock
        for device_id in self._unscheduled:
            self._deadlines.schedule(device_id, self._deadline_ms(device_id))
        self._unscheduled.clear()
        due = []
        for device_id in {*self._before.due(clock.now_ms), *self._deadlines.due(clock.now_ms)}:
            deadline_ms = self._deadline_ms(device_id)
            if deadline_ms is not None and deadline_ms <= clock.now_ms:
                due.append((deadline_ms, device_id))
        outcomes = []
        for _, device_id in sorted(due):
            events = self.step(device_id, Tick(clock.now_ms, clock.pauses)).events
            outcomes.append(Outcome(device_id, events, None))
            if is_forgotten(self.state(device_id), clock):
                self.changed[device_id] = DeviceState.new(device_id)
        self._deadlines.settle(clock.now_ms, self._deadline_ms)
        return outcomes

    def feed(self, entry: Entry) -> list[Outcome]:
        """Apply any entry: a tick gives outcomes of devices whose deadline passed, every other one exactly one."""
        if isinstance(entry, Tick):
            return self.tick(entry.now_ms)
        _, events, derived = self.step(entry.device_id, entry)
        return [Outcome(entry.device_id, events, derived)]

    def _deadline_ms(self, device_id: str) -> int | None:
        state = self.state(device_id)
        return None if state is None else next_deadline_ms(state, self.rules, self.clock.pauses)
