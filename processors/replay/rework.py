"""One partition of a replay: records of frames in, the outputs of a run out. Pure.

It has a state of its own, from the begin of the warm-up on; live state, receipts and snapshots are never touched. A row is
written when its frame arrived in the range and it is of a chosen device and protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from zlib import crc32

from processors.decoders.registry import DECODERS
from processors.derive.rules import Rules
from processors.detect import redetect
from processors.frame_range import frame_key
from processors.partition import Partition
from processors.replay.selection import Place, Selection, chosen, narrowed
from schemas.errors import DecodeError
from schemas.records import EventBatch, Frame, FrameBatch, FrameKind, PositionBatch, RejectedBatch

Output = PositionBatch | EventBatch | RejectedBatch


@dataclass(slots=True)
class Counts:
    """What a replay did so far."""

    frames: int = 0
    positions: dict[str, int] = field(default_factory=dict)
    """By protocol."""
    events: dict[str, int] = field(default_factory=dict)
    """By kind."""
    rejected: dict[str, int] = field(default_factory=dict)
    """By reason."""


class Rework:
    """Works through one partition. targets: with Selection.rejected, the frames that are tried again."""

    def __init__(
        self,
        number: int,
        run: int,
        code: str,
        rules: Rules,
        selection: Selection,
        targets: frozenset[Place] = frozenset(),
    ) -> None:
        self.partition = Partition(number, code, rules)
        self.counts = Counts()
        self._run = run
        self._rules = rules
        self._selection = selection
        self._devices = frozenset(selection.device_ids)
        self._protocols = frozenset(selection.protocols)
        self._targets = targets

    def work(self, records: list[tuple[int, FrameBatch]], writes: bool = True) -> list[Output]:
        """Process records in order of their offsets; returns what is to be written of them.

        writes: False for records whose outputs were written before an interruption.
        """
        if self._devices:
            records = [(offset, narrowed(batch, self._devices)) for offset, batch in records]
        wanted = self._wanted_keys(records) if self._selection.rejected else None
        self.partition.next = records[0][0]
        outputs = self.partition.process(records, self._rules, 0)
        self.partition.apply(outputs.receipt, 0)
        self.counts.frames += sum(len(batch.frames.kind) for _, batch in records)
        if not writes:
            return []
        found: list[Output] = []
        for positions in (*outputs.parts, outputs.receipt):
            found += self._positions(positions, wanted)
        for events in outputs.events:
            found += self._events(events, wanted)
        for rejected in outputs.rejected:
            found += self._rejected(rejected)
        return found

    def _positions(self, batch: PositionBatch, wanted: set[tuple[str, int]] | None) -> list[Output]:
        rows, has_time, protocols = batch.positions, self._selection.has_time, self._protocols
        keep = [
            has_time(received_ms)
            and (not protocols or protocol in protocols)
            and self._is_chosen(device_id)
            and (wanted is None or (device_id, key) in wanted)
            for received_ms, protocol, device_id, key in zip(
                rows.received_ms, rows.protocol, rows.device_id, rows.frame_key, strict=True
            )
        ]
        if not any(keep):
            return []
        rows = chosen(rows, keep)
        for protocol in rows.protocol:
            self.counts.positions[protocol] = self.counts.positions.get(protocol, 0) + 1
        source = replace(batch.source, version=self._run)
        return [PositionBatch(source, frames=0, positions=rows)]

    def _events(self, batch: EventBatch, wanted: set[tuple[str, int]] | None) -> list[Output]:
        rows = batch.events
        keep = [
            self._selection.has_time(received_ms)
            and self._is_chosen(device_id)
            and (wanted is None or (device_id, -received_ms) in wanted)
            and self._speaks(device_id)
            for received_ms, device_id in zip(rows.received_ms, rows.device_id, strict=True)
        ]
        if not any(keep):
            return []
        rows = chosen(rows, keep)
        rows.replayed = [1] * len(rows.kind)
        for kind in rows.kind:
            self.counts.events[kind] = self.counts.events.get(kind, 0) + 1
        return [EventBatch(replace(batch.source, version=self._run), rows)]

    def _rejected(self, batch: RejectedBatch) -> list[Output]:
        rows, number = batch.rejected, batch.source.partition
        keep = [
            self._selection.has_time(received_ms)
            and (not self._protocols or protocol in self._protocols)
            and (not self._devices or device_id in self._devices)
            and (not self._selection.rejected or (number, offset, index) in self._targets)
            for received_ms, protocol, device_id, offset, index in zip(
                rows.received_ms, rows.protocol, rows.device_id, rows.frame_offset, rows.frame_index, strict=True
            )
        ]
        if not any(keep):
            return []
        rows = chosen(rows, keep)
        for reason in rows.reason:
            self.counts.rejected[reason] = self.counts.rejected.get(reason, 0) + 1
        return [RejectedBatch(replace(batch.source, version=self._run), rows)]

    def _is_chosen(self, device_id: str) -> bool:
        return not self._devices or device_id in self._devices

    def _speaks(self, device_id: str) -> bool:
        """True when the device's last report is of a chosen protocol: events have none of their own."""
        if not self._protocols:
            return True
        state = self.partition.states.get(device_id)
        return state is not None and state.protocol in self._protocols

    def _wanted_keys(self, records: list[tuple[int, FrameBatch]]) -> set[tuple[str, int]]:
        """(device, frame key) of the reports of the targets, and (device, -arrival) of their events."""
        found: set[tuple[str, int]] = set()
        for offset, batch in records:
            for index, payload in enumerate(batch.frames.payload):
                if (self.partition.number, offset, index) not in self._targets:
                    continue
                session = batch.frames.session[index]
                frame = Frame(
                    payload,
                    batch.frames.protocol[index],
                    batch.frames.device_id[index] or None,
                    batch.frames.received_ms[index],
                    batch.sessions.transport[session],
                    batch.sessions.dialect[session],
                    batch.sessions.login[session],
                )
                known = batch.frames.kind[index] == FrameKind.FRAME and frame.protocol in DECODERS
                for unit, reason in ((frame, None),) if known else redetect(frame):
                    if reason is None:
                        found |= _keys(unit)
        return found


def _keys(frame: Frame) -> set[tuple[str, int]]:
    decoder, device_id, received_ms = DECODERS[frame.protocol], frame.device_id or "", frame.received_ms or 0
    try:
        positions = decoder.decode(frame)
    except DecodeError:
        return set()
    content = crc32(decoder.content(frame))
    keys = {(device_id, frame_key(position, index, received_ms, content)) for index, position in enumerate(positions)}
    return keys | {(device_id, -received_ms)}
