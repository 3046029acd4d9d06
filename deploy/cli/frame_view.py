"""Frames as people look at them: the rows of a record, what the decoder reads in each, and that in a few lines of text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deploy.cli.event_text import printable
from deploy.cli.explain import explain
from processors.decoders.registry import DECODERS
from schemas.errors import DecodeError, Reason
from schemas.records import Frame, FrameBatch, FrameKind, Position

DUMP_BYTES = 256
ROW_BYTES = 16
LINE_CHARACTERS = 1000
"""Longest line of text: a device may send a lot of attributes."""
FUTURE_MS = 300_000
POSITION_FIELDS = tuple(name for name in Position.__slots__ if name not in ("clock", "level_alarms", "silent_alarms"))
FIGURES = {
    "altitude_m": "altitude {:g} m",
    "satellites": "{} satellites",
    "hdop": "hdop {:g}",
    "accuracy_m": "accuracy {:g} m",
    "odometer_m": "odometer {:,.0f} m",
    "battery_percent": "battery {:g} %",
    "battery_v": "battery {:g} V",
    "power_v": "power {:g} V",
    "rssi": "signal {}",
    "fuel_percent": "fuel {:g} %",
}
"""How the numbers of a position are said."""
REFUSALS = {
    FrameKind.UNDECIDED: Reason.UNDECIDED,
    FrameKind.NO_IDENTITY: Reason.NO_IDENTITY,
    FrameKind.UNKNOWN_DEVICE: Reason.UNKNOWN_DEVICE,
}
"""Kinds of rows that are rejected whatever the decoder reads in them."""


@dataclass(frozen=True, slots=True)
class FrameRow:
    """One row of `frames` with what its session says. session: index of its session in the record."""

    frame: Frame
    kind: FrameKind
    session: int
    session_id: str
    peer: str
    opened_ms: int


def frame_rows(batch: FrameBatch) -> Iterator[FrameRow]:
    """The rows of a record, undecided bytes among them."""
    columns, sessions = batch.frames, batch.sessions
    for session, received_ms, kind, protocol, device_id, payload in zip(
        columns.session,
        columns.received_ms,
        columns.kind,
        columns.protocol,
        columns.device_id,
        columns.payload,
        strict=True,
    ):
        frame = Frame(
            payload,
            protocol,
            device_id or None,
            received_ms,
            sessions.transport[session],
            sessions.dialect[session],
            sessions.login[session],
        )
        told = sessions.session_id[session], sessions.peer[session], sessions.opened_ms[session]
        yield FrameRow(frame, FrameKind(kind), session, *told)


# -- what the decoder reads -------------------------------------------------------------------------------------------


def reading(frame: Frame, kind: FrameKind, explained: bool = False) -> dict[str, Any]:
    """`positions` under their contract names, `rejected` (a reason or None) and, when asked for, `explain`."""
    rejected: str | None = None
    positions: list[Position] = []
    decoder = DECODERS.get(frame.protocol)
    if kind == FrameKind.UNDECIDED:
        decoder = None
    elif decoder is None:
        rejected = str(Reason.NOT_DECODED)
    else:
        try:
            positions = decoder.decode(frame)
        except DecodeError as error:
            rejected = str(error)
    if kind in REFUSALS:
        rejected = str(REFUSALS[kind])  # what it reads is shown all the same; the line keeps it in `rejected`
    told: dict[str, Any] = {"positions": [position_row(p, frame) for p in positions], "rejected": rejected}
    if explained and decoder is not None:
        told["explain"] = explain(frame)
    return told


def position_row(position: Position, frame: Frame) -> dict[str, Any]:
    """A position under its contract names; what the frame does not say is left out."""
    received_ms = frame.received_ms
    time_ms = next((t for t in (position.fix_time_ms, position.device_time_ms, received_ms) if t is not None), None)
    if time_ms is not None and received_ms is not None and time_ms > received_ms + FUTURE_MS:
        time_ms = received_ms
    row: dict[str, Any] = {"device_id": frame.device_id or "", "protocol": frame.protocol}
    row |= {"time_ms": time_ms, "received_ms": received_ms}
    row.update((name, getattr(position, name)) for name in POSITION_FIELDS)
    return {name: value for name, value in row.items() if value is not None and value != [] and value != {}}


def view(row: FrameRow, explained: bool = False) -> dict[str, Any]:
    """A row as `listen` and `doctor` print it in JSON."""
    frame = row.frame
    head = {
        "received_ms": frame.received_ms,
        "device_id": frame.device_id,
        "protocol": frame.protocol or None,
        "peer": row.peer,
        "transport": frame.transport,
        "session_id": row.session_id,
        "kind": row.kind.name.lower(),
        "frame_hex": frame.payload.hex(),
    }
    return head | reading(frame, row.kind, explained)


# -- text -------------------------------------------------------------------------------------------------------------


def dump(data: bytes) -> Iterator[str]:
    """Offset, hex and ASCII of the first bytes, a line for each 16."""
    for at in range(0, min(len(data), DUMP_BYTES), ROW_BYTES):
        row = data[at : at + ROW_BYTES]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{at:04x}  {row.hex(' '):<47}  {text}"
    if len(data) > DUMP_BYTES:
        yield f"... {len(data) - DUMP_BYTES} bytes more"


def moment(time_ms: float) -> str:
    """A time of the log for people, UTC."""
    try:
        return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # a date that no calendar has
        return f"{time_ms:.0f} ms"


def lines(told: dict[str, Any], indent: str = "    ") -> Iterator[str]:
    """What `view` gave, for people: who, when and whence; the bytes; what they mean."""
    data = bytes.fromhex(told["frame_hex"])
    who = printable(told["device_id"] or "no device")
    yield (
        f"{moment(told['received_ms'])}.{told['received_ms'] % 1000:03}  {told['protocol'] or 'unknown protocol'}  {who}  "
        f"{told['peer']} {told['transport']}  {len(data)} bytes"
    )
    yield from (indent + line for line in dump(data))
    if told["rejected"]:
        yield f"{indent}rejected: {printable(told['rejected'])}"
    elif not told["positions"]:
        yield f"{indent}no report in it: a login, a heartbeat or an answer"
    for position in told["positions"]:
        yield indent + position_text(position)
    for part in told.get("explain", ()):
        unit = f" {part['unit']}" if "unit" in part else ""
        value = "" if part["value"] is None else f" = {printable(str(part['value']))}{unit}"
        shown = printable(part.get("text", part["hex"]))
        yield f"{indent}  {part['offset']:>4}  {shown:<24}  {part['field']}{value}"


def position_text(position: dict[str, Any]) -> str:
    """One position in a line: time, place, motion, what else it says."""
    told = [moment(position["time_ms"])] if "time_ms" in position else []
    if "latitude" in position and "longitude" in position:
        told.append(f"{position['latitude']:.5f}, {position['longitude']:.5f}")
    if not position.get("valid"):
        told.append("no fix")
    if "speed_kmh" in position:
        told.append(f"{position['speed_kmh']:.1f} km/h")
    if "course_deg" in position:
        told.append(f"{position['course_deg']:.0f} deg")
    told += [text.format(position[name]) for name, text in FIGURES.items() if name in position]
    if "ignition" in position:
        told.append(f"ignition {'on' if position['ignition'] else 'off'}")
    if position.get("alarms"):
        told.append(f"alarms {', '.join(position['alarms'])}")
    for name in ("cells", "wifi"):
        if position.get(name):
            told.append(f"{len(position[name])} {name}")
    if position.get("attributes"):
        told.append(json.dumps(position["attributes"], ensure_ascii=False))
    return printable("  ".join(told), LINE_CHARACTERS)
