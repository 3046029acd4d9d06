"""Meaning of JT/T 808 frames: locations with their items, batches, the Jointech form, reports without a place.

Parts: jt808_location (the body that messages share), jt808_items and jt808_blocks (what stands behind it),
jt808_jointech (5501), jt808_transparent (0900), jt808_reports (the rest).
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.protocols.jt808 import JOINED
from gateway.protocols.jt808_parts import joined, part_of, read_parts
from gateway.protocols.jt808_wire import ENCRYPTED, JOINTECH, MARK, Head, content_of, mark_of, read_head, sum_is_right
from processors.decoders.jt808_jointech import read_jointech
from processors.decoders.jt808_location import CORE_BYTES, read_location, time_or_none
from processors.decoders.jt808_reports import REPORTS, read_text
from processors.decoders.jt808_transparent import read_transparent
from schemas.errors import DecodeError, Reason
from schemas.records import Frame, Position

NAME = "jt808"
REVISION = 1

LOCATION, LOCATION_ANSWER, BATCH, BATCH_2, TRANSPARENT = 0x0200, 0x0201, 0x0704, 0x0210, 0x0900
_BATTERY_BYTES = 7
_ARCHIVE = 1
_QUERY_POSITION = "8201"


def decode(frame: Frame) -> list[Position]:
    """Decode one frame.

    Raises DecodeError: short, bad_coordinates, bad_date, not_decoded (encrypted), and short for a part of a message
    when a part before it has not come. Of a batch the reports that can be read are given; only when none can it raises.
    """
    payload = frame.payload
    if payload[:1] == b"(":
        return read_text(payload)
    content = content_of(payload)
    mark = mark_of(payload)
    head = read_head(content, mark)
    if head is None:
        raise DecodeError(Reason.SHORT, f"frame of {len(payload)} bytes")
    if head.attributes & ENCRYPTED and mark == MARK and head.message not in JOINTECH:
        raise DecodeError(Reason.NOT_DECODED, "encrypted")
    body, before = content[head.body_at : -1], 0
    if head.total and head.message in JOINED:
        body, before, reached, whole = joined(read_parts(frame.login), part_of(head, content))
        if not reached:
            raise DecodeError(Reason.SHORT, f"part {head.number} of {head.total}: one before it has not come")
        if not whole and head.message != BATCH:
            return []
    reports = _read(head, body, before, frame.received_ms)
    if reports and not sum_is_right(content):
        for report in reports:
            report.attributes["checksum_wrong"] = True
    return reports


def _read(head: Head, body: bytes, before: int, received_ms: int | None) -> list[Position]:
    message = head.message
    if message == LOCATION:
        return [read_location(body, 0, len(body), received_ms)]
    if message == BATCH:
        return read_batch(body, before, received_ms)
    if message == BATCH_2:
        return read_short_batch(body, received_ms)
    if message in JOINTECH:
        return [read_jointech(head, body, received_ms)]
    if message == LOCATION_ANSWER:
        report = read_location(body, 2, len(body), received_ms)
        report.attributes["command_result"] = _QUERY_POSITION
        return [report]
    if message == TRANSPARENT:
        return read_transparent(body, received_ms)
    reader = REPORTS.get(message)
    return reader(head, body) if reader is not None else []


def read_batch(body: bytes, before: int, received_ms: int | None) -> list[Position]:
    """0704: count u16, kind u8 (1: stored), then length u16 and a location each.

    before: bytes of the body that came with earlier parts; locations that ended there were told with those.
    """
    if len(body) < 3:
        raise DecodeError(Reason.SHORT, f"batch of {len(body)} bytes")
    spans = []
    at = 3
    for _ in range(int.from_bytes(body[:2])):
        if at + 2 > len(body):
            break
        begin, at = at + 2, at + 2 + int.from_bytes(body[at : at + 2])
        if at > len(body):
            break
        if at > before:
            spans.append((begin, at))
    reports = _each(body, spans, received_ms)
    if body[2] == _ARCHIVE:
        for report in reports:
            report.attributes["archive"] = True
    return reports


def read_short_batch(body: bytes, received_ms: int | None) -> list[Position]:
    """0210: length u8 and a location each; or, in 7 bytes, battery percent and a time."""
    if len(body) == _BATTERY_BYTES:
        percent = float(body[0]) if body[0] <= 100 else None
        return [Position(clock="unknown", device_time_ms=time_or_none(body[1:]), battery_percent=percent)]
    spans = []
    at = 0
    while at < len(body):
        begin, at = at + 1, at + 1 + body[at]
        if at <= len(body) and at > begin:
            spans.append((begin, at))
    return _each(body, spans, received_ms)


def _each(body: bytes, spans: list[tuple[int, int]], received_ms: int | None) -> list[Position]:
    """The locations in the spans that can be read; raises what is wrong with the first when none can."""
    reports = []
    failure: DecodeError | None = None
    for begin, end in spans:
        if end - begin < CORE_BYTES:
            failure = failure or DecodeError(Reason.SHORT, f"location of {end - begin} bytes")
            continue
        try:
            reports.append(read_location(body, begin, end, received_ms))
        except DecodeError as error:
            failure = failure or error
    if failure is not None and not reports:
        raise failure
    return reports


_CONTENT: dict[int, Callable[[bytes], bytes]] = {
    BATCH: lambda body: body[:2] + body[3:],
    LOCATION_ANSWER: lambda body: body[2:],
    TRANSPARENT: lambda body: body[:7] + body[8:] if body[:1] == b"\xf0" else body,
}
"""What a body is without its live/buffered mark and the serial number of what it answers."""


def content(frame: Frame) -> bytes:
    """Message, id, sub-package and body, without serial numbers, checksum and the mark of stored data."""
    payload = frame.payload
    if payload[:1] == b"(":
        return payload
    data = content_of(payload)
    head = read_head(data, mark_of(payload))
    if head is None:
        return payload
    body = data[head.body_at : -1]
    reduce = _CONTENT.get(head.message)
    if reduce is not None and head.number <= 1:
        body = reduce(body)
    message = data[:1] if head.message in JOINTECH else data[:2]
    return message + head.address.id + head.number.to_bytes(2) + body
