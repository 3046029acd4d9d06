"""What one partition's log means: which records to take, what they give, and the state they leave behind. Pure.

The receipt of a range (the last PositionBatch of it) is also the changelog: `apply` is the only way the state changes,
live and when it is loaded again, so both are equal. Rules: docs/design.md, "Delivery".
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from zlib import crc32

from processors.derive.deadlines import Clock, Deadlines, next_deadline_ms
from processors.derive.fleet import Fleet
from processors.derive.rules import Rules
from processors.derive.state import DeviceState, from_columns, is_blank, merge, to_columns
from processors.frame_range import RECENT_ENTRY_BYTES, Outputs, RangeRun, flat
from processors.states import UNPACKED_DEVICES, StateStore
from schemas.records import FrameBatch, PositionBatch, Snapshot, Source

SLICES = 64
PROBATION_REPORTS = 5
PROBATION_DEVICES = 5_000
"""Devices with fewer reports than PROBATION_REPORTS whose state a partition keeps: made-up ids cannot fill the memory.

A device that falls out starts anew: its rows have the same ids, its first words are silent baselines again."""


def slice_of(device_id: str) -> int:
    """Which of the 64 slices of a partition a device's state is kept in."""
    return crc32(device_id.encode("utf-8", "surrogateescape")) % SLICES


class Accept(Enum):
    """What to do with a record."""

    PROCESS = "process"
    SKIP = "skip"
    """Already in the state and in the outputs."""
    STOP = "stop"
    """Records before it were never processed: somebody committed past them."""


class Partition:
    """State of one partition. next: offset of the first frames record that is not in it."""

    def __init__(
        self, number: int, code: str, rules: Rules | None = None, unpacked_devices: int = UNPACKED_DEVICES
    ) -> None:
        self.number = number
        self.code = code
        self.next = 0
        self.output_next = 0
        """Offset in `positions` behind the last receipt that was applied."""
        self.states = StateStore(unpacked_devices)
        self._deadline_rules = rules or Rules.default()
        self._forget_all()

    def _forget_all(self) -> None:
        self.clock = Clock()
        self.states.clear()
        self._slice_next = [0] * SLICES
        self._probation: dict[str, None] = {}
        self._deadlines = Deadlines()
        """Of all states, under _deadline_rules."""

    # -- the log ----------------------------------------------------------------------------------------------------

    def accept(self, offset: int, taken: int = 0) -> Accept:
        """Decide on the record of `frames` at offset; taken: records accepted before it and not applied yet."""
        expected = self.next + taken
        if offset < expected:
            return Accept.SKIP
        return Accept.PROCESS if offset == expected else Accept.STOP

    def apply(self, batch: PositionBatch, offset: int) -> bool:
        """Take a receipt from the log (or the one just acknowledged): install its states, move `next`.

        Returns False for a record that changes nothing: a part that is no receipt, or a range that was already seen (a
        worker that was frozen writes such when it wakes). A range that begins in what was seen and ends beyond it is
        taken: its states are those at its end.
        """
        self.output_next = max(self.output_next, offset + 1)
        source = batch.source
        if not source.is_last or source.last < self.next:
            return False
        for delta in from_columns(batch.states):
            seen = max(self.next, self._slice_next[slice_of(delta.device_id)])
            if source.last < seen:
                continue
            before = self.states.get(delta.device_id)
            if before is not None and source.first < seen:
                delta.recent = without_known(before.recent, delta.recent)
            self._install(merge(before, delta))
        self.next = source.last + 1
        self._take_clock(batch.now_ms, batch.pauses_ms)
        self._deadlines.settle(self.clock.now_ms, self._deadline_ms)
        return True

    def _install(self, state: DeviceState) -> None:
        device_id = state.device_id
        if is_blank(state):
            self.states.pop(device_id, None)
            self._probation.pop(device_id, None)
            return
        self.states[device_id] = state
        if state.reports < PROBATION_REPORTS:
            self._probation[device_id] = None
            if len(self._probation) > PROBATION_DEVICES:
                oldest = next(iter(self._probation))
                del self._probation[oldest], self.states[oldest]
        elif self._probation:
            self._probation.pop(device_id, None)
        self._deadlines.schedule(device_id, next_deadline_ms(state, self._deadline_rules, self.clock.pauses))

    def _take_clock(self, now_ms: int, pauses_ms: list[int]) -> None:
        if now_ms > self.clock.now_ms:
            self.clock = Clock(now_ms, tuple(zip(pauses_ms[::2], pauses_ms[1::2], strict=True)))

    def _deadline_ms(self, device_id: str) -> int | None:
        state = self.states.get(device_id)
        return None if state is None else next_deadline_ms(state, self._deadline_rules, self.clock.pauses)

    def load_snapshots(self, snapshots: Iterable[Snapshot]) -> int:
        """Start from the newest snapshot of each slice, each given once; returns where in `positions` the tail begins.

        Until all slices were written once the tail is the whole log.
        """
        tails, nexts = [], []
        for snapshot in snapshots:
            self._slice_next[snapshot.slice] = snapshot.next
            self._take_clock(snapshot.now_ms, snapshot.pauses_ms)
            for state in from_columns(snapshot.states):
                self._install(state)
            tails.append(snapshot.output_offset)
            nexts.append(snapshot.next)
        if len(tails) < SLICES:
            self._forget_all()
            return 0
        self.next = min(nexts)
        return min(tails)

    def loaded(self) -> None:
        """The tail was applied: from here on every slice is as far as the partition."""
        self.next = max(self.next, *self._slice_next)

    def snapshots(self, written_ms: int, numbers: list[int]) -> list[Snapshot]:
        """The present states of some slices."""
        groups: dict[int, list[DeviceState]] = {number: [] for number in numbers}
        for state in self.states.values():
            group = groups.get(slice_of(state.device_id))
            if group is not None:
                group.append(state)
        return [
            Snapshot(
                self.number,
                number,
                self.next,
                self.output_next,
                self.clock.now_ms,
                written_ms,
                flat(self.clock),
                to_columns(states, [s.recent for s in states]),
            )
            for number, states in groups.items()
        ]

    # -- processing -------------------------------------------------------------------------------------------------

    def process(self, records: list[tuple[int, FrameBatch]], rules: Rules, generation: int) -> Outputs:
        """Decode and derive one range of records, (offset, batch) in order. The state is not changed: see `apply`."""
        source = Source(self.number, records[0][0], records[-1][0], 0, False, generation, rules.revision, 0, self.code)
        if any(batch.ticks_ms for _, batch in records):
            self._schedule(rules)
        return RangeRun(Fleet(rules, self.states, self._deadlines, self.clock), self.states, source).run(records)

    def _schedule(self, rules: Rules) -> None:
        """Let `_deadlines` hold the deadlines under these rules; only those that changed are looked at when they are few."""
        before, self._deadline_rules = self._deadline_rules, rules
        if before is rules:
            return
        changed: Iterable[str] = self.states
        if rules.defaults == before.defaults and rules.fences is before.fences:
            named = rules.devices.keys() | before.devices.keys()
            changed = [d for d in named if rules.devices.get(d) is not before.devices.get(d) and d in self.states]
        for device_id in changed:
            self._deadlines.schedule(device_id, self._deadline_ms(device_id))


def without_known(before: bytes, added: bytes) -> bytes:
    """The entries of `added` that `before` does not hold: the part of an overlapping range that is new."""
    size = RECENT_ENTRY_BYTES
    known = {before[at : at + size] for at in range(0, len(before), size)}
    return b"".join(e for at in range(0, len(added), size) if (e := added[at : at + size]) not in known)
