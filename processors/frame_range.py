"""One range of a partition's log being worked on: frames, ticks and sessions in, the records of its outputs out. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from zlib import crc32

from processors.columns import PositionRows, append_event
from processors.decoders.registry import DECODERS
from processors.derive.deadlines import Clock
from processors.derive.entries import Entry, Heard, Report, SessionClosed, SessionOpened
from processors.derive.fleet import Fleet
from processors.derive.rules import Rules
from processors.derive.state import MOTION_UNKNOWN, RECENT_ENTRY, DeviceState, to_columns
from processors.derive.step import Derived, step
from processors.detect import redetect
from schemas.errors import DecodeError, Reason
from schemas.records import (
    EntryKind,
    Event,
    EventBatch,
    Events,
    Flag,
    Frame,
    FrameBatch,
    FrameKind,
    Position,
    PositionBatch,
    Rejected,
    RejectedBatch,
    Source,
)

PART_BYTES = 700 * 1024
"""Packed size at which an output record is cut: below 1 MiB with its states and a margin for the estimate."""
STATE_BYTES = 340
RECENT_ENTRY_BYTES = RECENT_ENTRY.size
DUPLICATE = int(Flag.DUPLICATE)


@dataclass(slots=True)
class Counts:
    """What a range did, for the metrics."""

    frames: dict[str, int] = field(default_factory=dict)
    positions: int = 0
    duplicates: int = 0
    events: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Outputs:
    """The records of one range. `receipt` is sent last, when all others are acknowledged."""

    parts: list[PositionBatch]
    receipt: PositionBatch
    events: list[EventBatch]
    rejected: list[RejectedBatch]
    counts: Counts


class RangeRun:
    """One range being processed: the outputs of a fleet whose changes are a layer over the partition's states."""

    def __init__(self, fleet: Fleet, states: Mapping[str, DeviceState], source: Source) -> None:
        self._fleet = fleet
        self._base = states
        self._source = source
        self._counts = Counts()
        self._parts: list[PositionRows] = [PositionRows()]
        self._events: list[Events] = [Events()]
        self._event_bytes = 0
        self._rejected = Rejected()

    def run(self, records: list[tuple[int, FrameBatch]]) -> Outputs:
        frames = 0
        for offset, batch in records:
            frames += len(batch.frames.kind)
            for tick_ms in batch.ticks_ms:
                for outcome in self._fleet.tick(tick_ms):
                    self._collect(outcome.events)
            self._record(offset, batch)
        return self._outputs(frames)

    def _record(self, offset: int, batch: FrameBatch) -> None:
        columns, sessions = batch.frames, batch.sessions
        keys = [session_key(session_id) for session_id in sessions.session_id]
        entries = _entries_by_place(batch, keys)
        for index, (session, received_ms, kind, protocol, device_id, payload) in enumerate(
            zip(
                columns.session,
                columns.received_ms,
                columns.kind,
                columns.protocol,
                columns.device_id,
                columns.payload,
                strict=True,
            )
        ):
            if entries:
                self._session_entries(entries.pop(index, ()))
            frame = Frame(
                payload,
                protocol,
                device_id or None,
                received_ms,
                sessions.transport[session],
                sessions.dialect[session],
                sessions.login[session],
            )
            known = kind == FrameKind.FRAME and protocol in DECODERS
            for unit, reason in ((frame, None),) if known else _units(frame, kind):
                if reason is not None:
                    self._reject(reason, "", unit, offset, index, batch)
                    continue
                try:
                    self._frame(unit, keys[session], kind == FrameKind.QUARANTINED)
                except DecodeError as error:
                    self._reject(error.reason, str(error), unit, offset, index, batch)
        for rest in entries.values():
            self._session_entries(rest)

    def _frame(self, frame: Frame, session: int, quarantined: bool) -> None:
        """Decode one frame and derive from its reports; raises DecodeError before anything was changed."""
        decoder = DECODERS[frame.protocol]
        positions = decoder.decode(frame)
        counts = self._counts
        counts.frames[frame.protocol] = counts.frames.get(frame.protocol, 0) + 1
        device_id, received_ms = frame.device_id or "", frame.received_ms or 0
        if not positions:
            if device_id and not quarantined:
                self._step(device_id, Heard(device_id, received_ms, session))
            return
        content = crc32(decoder.content(frame))
        for index, position in enumerate(positions):
            _drop_impossible(position)
            key = frame_key(position, index, received_ms, content)
            report = Report(position, device_id, frame.protocol, received_ms, key, decoder.REVISION, session)
            derived = _apart(report) if quarantined else self._step(device_id, report)
            if derived is None or derived.flags & DUPLICATE:
                counts.duplicates += 1  # the row stands already, with the same id
                continue
            rows = self._parts[-1]
            if rows.bytes > PART_BYTES:
                rows = PositionRows()
                self._parts.append(rows)
            rows.append(device_id, frame.protocol, received_ms, key, position, derived)
            counts.positions += 1

    def _step(self, device_id: str, entry: Entry) -> Derived | None:
        """Derive from one entry of a device; collects its events."""
        _, events, derived = self._fleet.step(device_id, entry)
        if events:
            self._collect(events)
        return derived

    def _collect(self, events: list[Event]) -> None:
        for event in events:
            if self._event_bytes > PART_BYTES:
                self._events.append(Events())
                self._event_bytes = 0
            self._event_bytes += append_event(self._events[-1], event)
            self._counts.events[event.kind] = self._counts.events.get(event.kind, 0) + 1

    def _session_entries(self, entries: Iterable[SessionOpened | SessionClosed]) -> None:
        for entry in entries:
            self._step(entry.device_id, entry)

    def _reject(self, reason: Reason, detail: str, frame: Frame, offset: int, index: int, batch: FrameBatch) -> None:
        rows, session = self._rejected, batch.frames.session[index]
        rows.reason.append(reason)
        rows.detail.append(detail)
        rows.protocol.append(frame.protocol)
        rows.device_id.append(frame.device_id or "")
        rows.received_ms.append(frame.received_ms or 0)
        rows.session_id.append(batch.sessions.session_id[session])
        rows.peer.append(batch.sessions.peer[session])
        rows.frame_offset.append(offset)
        rows.frame_index.append(index)
        rows.payload.append(frame.payload)
        self._counts.rejected[reason] = self._counts.rejected.get(reason, 0) + 1

    # -- outputs ----------------------------------------------------------------------------------------------------

    def _outputs(self, frames: int) -> Outputs:
        source = self._source
        changed, clock = list(self._fleet.changed.values()), self._fleet.clock
        states = to_columns(changed, [added_reports(self._base.get(s.device_id), s) for s in changed])
        if self._parts[-1].bytes + STATE_BYTES * len(changed) > PART_BYTES and len(self._parts[-1]):
            self._parts.append(PositionRows())
        batches = [
            PositionBatch(replace(source, part=number), clock.now_ms, flat(clock), frames, rows.to_columns())
            for number, rows in enumerate(self._parts)
        ]
        receipt = batches.pop()
        receipt.source.is_last = True
        receipt.states = states
        events = [
            EventBatch(replace(source, part=number, is_last=number == len(self._events) - 1), part)
            for number, part in enumerate(self._events)
            if part.kind
        ]
        rejected = [
            RejectedBatch(replace(source, part=number), part)
            for number, part in enumerate(_cut_rejected(self._rejected))
        ]
        return Outputs(batches, receipt, events, rejected, self._counts)


def added_reports(before: DeviceState | None, after: DeviceState) -> bytes:
    """The entries of `recent` that a range added: what the receipt carries instead of all 64."""
    if before is None or not before.recent:
        return after.recent
    last = before.recent[-RECENT_ENTRY_BYTES:]
    at = after.recent.rfind(last)
    while at >= 0 and at % RECENT_ENTRY_BYTES:
        at = after.recent.rfind(last, 0, at + RECENT_ENTRY_BYTES - 1)
    return after.recent if at < 0 else after.recent[at + RECENT_ENTRY_BYTES :]


def frame_key(position: Position, index: int, received_ms: int, content: int) -> int:
    """32 bits that tell reports of one device and time apart, equal whenever the same report is read again.

    A report without a device clock is new each time it arrives, so its arrival is part of the key.
    """
    clock = position.device_time_ms if position.device_time_ms is not None else position.fix_time_ms
    return crc32(struct.pack("<qH", received_ms if clock is None else clock, index), content)


def _drop_impossible(position: Position) -> None:
    """Coordinates outside the globe are no place, whatever a decoder let through."""
    latitude, longitude = position.latitude, position.longitude
    if latitude is None or longitude is None or not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        position.latitude = position.longitude = None


def _units(frame: Frame, kind: int) -> Iterator[tuple[Frame, Reason | None]]:
    """What a row of `frames` holds that is no frame of a decoded protocol: what is rejected and why, or frames after all."""
    if kind == FrameKind.QUARANTINED and frame.protocol in DECODERS:
        yield frame, None
    elif kind == FrameKind.NO_IDENTITY:
        yield frame, Reason.NO_IDENTITY
    elif kind == FrameKind.UNKNOWN_DEVICE:
        yield frame, Reason.UNKNOWN_DEVICE
    elif kind in (FrameKind.FRAME, FrameKind.QUARANTINED):
        yield frame, Reason.NOT_DECODED
    elif frame.protocol:
        yield frame, Reason.UNDECIDED
    else:
        yield from redetect(frame)


def session_key(session_id: str) -> int:
    """A session as the state keeps it: CRC-32 of its id, never 0."""
    return crc32(session_id.encode()) or 1


def _entries_by_place(batch: FrameBatch, keys: list[int]) -> dict[int, list[SessionOpened | SessionClosed]]:
    """Openings and closings by the number of frames that come before them.

    The end of a UDP session is only silence, which the clock tells: it is left out.
    """
    found: dict[int, list[SessionOpened | SessionClosed]] = {}
    entries, transports = batch.entries, batch.sessions.transport
    for at, time_ms, kind, device_id, session in zip(
        entries.at, entries.time_ms, entries.kind, entries.device_id, entries.session, strict=True
    ):
        if kind == EntryKind.OPENED:
            found.setdefault(at, []).append(SessionOpened(device_id, time_ms, keys[session]))
        elif transports[session] != "udp":
            found.setdefault(at, []).append(SessionClosed(device_id, time_ms, keys[session]))
    return found


def _apart(report: Report) -> Derived:
    """What can be said of a quarantined report without any state."""
    derived = step(DeviceState.new(report.device_id), report, Rules.default()).derived
    assert derived is not None
    return derived._replace(flags=derived.flags | Flag.QUARANTINED, moving=MOTION_UNKNOWN)


def _cut_rejected(rows: Rejected) -> list[Rejected]:
    """Rows in records of a bounded size."""
    if not rows.reason:
        return []
    parts, start, size = [], 0, 0
    columns = {name: getattr(rows, name) for name in Rejected.__slots__}
    for index, payload in enumerate(rows.payload):
        size += len(payload) + 200
        if size > PART_BYTES:
            parts.append((start, index + 1))
            start, size = index + 1, 0
    parts.append((start, len(rows.payload)))
    return [Rejected(**{name: column[a:b] for name, column in columns.items()}) for a, b in parts if b > a]


def flat(clock: Clock) -> list[int]:
    return [edge_ms for pause in clock.pauses for edge_ms in pause]
