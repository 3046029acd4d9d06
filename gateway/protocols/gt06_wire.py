"""GT06 frames as bytes: `78 78` with a length of one byte, `79 79` with one of two; how they are cut, built and read.

A frame is start, length, type, content, serial number (2), CRC-16/X-25 (2), 0D 0A; the length counts from the type to
the CRC. Wi-Fi scans and some positions have neither serial number nor CRC, and their length byte means something else.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.protocols.base import LARGE_FRAME_BYTES, Facts, Split, Status
from gateway.protocols.fields import crc_x25

SHORT, EXTENDED = b"xx", b"yy"
END = b"\r\n"
LOGIN, PLACE, PLACE_OR_CELL, SCAN, SCAN_STORED = 0x01, 0x10, 0x11, 0x17, 0x69
SCANS = frozenset((SCAN, SCAN_STORED))
"""Types that are Wi-Fi scans, whose length byte counts access points, unless a right CRC says otherwise."""
BARE_PLACES = frozenset((PLACE, PLACE_OR_CELL))
"""Types that some firmware sends without serial number and CRC; the length then counts the content alone."""
SHORTEST_LENGTH = 5
LONGEST_SHORT_BYTES = 512
"""Bytes in which a short frame must end, whatever its length byte says (that can say 260)."""
STRAY_BYTES = 260
"""Bytes behind the declared end in which the end of an extended frame of wrong length is looked for."""
MOST_ACCESS_POINTS, MOST_CELLS = 32, 32
NO_TYPES = b"xy"
"""Bytes that are no types, so that a run of them costs nothing."""
_LEAST = 8
"""Bytes in front of the end of a frame of wrong length, at least."""
CHECKED_PER_BYTE = 16
"""Bytes that strong_start may run a checksum over, for each byte it looks at: keeps hostile input linear."""

_NOISE = re.compile(rb"[\r\n \x00]*")
_BEGIN = re.compile(rb"xx(?:.?\Z|.[^xy])|yy(?:.{0,2}\Z|[\x00-\x7f].[^xy])|[xy]\Z", re.DOTALL)
"""A start with a length and a type, as far as they are there."""
_ANY_START = re.compile(rb"(?=xx[\x05-\xff][^\x00xy]|yy[\x00-\x10].[^xy])", re.DOTALL)
_SURE_END = re.compile(rb"\r\n(?=xx|yy)")


class Unit(NamedTuple):
    """A frame taken apart. serial: 2 bytes, or empty in the forms without one. begin, end: content in the frame.

    checked: the CRC is right.
    """

    type: int
    extended: bool
    begin: int
    end: int
    serial: bytes
    checked: bool


def is_checked(frame: bytes, total: int) -> bool:
    """True when the CRC before the last two of the first `total` bytes is right."""
    return crc_x25(frame[2 : total - 4]) == int.from_bytes(frame[total - 4 : total - 2])


def unit_of(frame: bytes) -> Unit | None:
    """Take a frame apart; None when it is too short to have a type."""
    extended = frame[:2] == EXTENDED
    begin = 5 if extended else 4
    if len(frame) < begin + 2:
        return None
    kind = frame[begin - 1]
    total = int.from_bytes(frame[2:4]) + 6 if extended else frame[2] + 5
    if begin + 6 <= total <= len(frame) and is_checked(frame, total):
        return Unit(kind, extended, begin, total - 6, frame[total - 6 : total - 4], True)
    if len(frame) < begin + 6 or (not extended and (kind in SCANS or _is_bare(kind, len(frame), total))):
        return Unit(kind, extended, begin, len(frame) - 2, b"", False)
    return Unit(kind, extended, begin, len(frame) - 6, frame[-6:-4], False)


def _is_bare(kind: int, size: int, total: int) -> bool:
    return kind in BARE_PLACES and size == total + 1


def message(kind: int, content: bytes, serial: bytes, extended: bool = False) -> bytes:
    """A frame to the device. Raises ValueError when the content is too long for the form."""
    length = len(content) + SHORTEST_LENGTH
    if length > (0xFFFF if extended else 0xFF):
        raise ValueError(f"{len(content)} bytes are too many for one frame")
    body = (length.to_bytes(2) if extended else bytes((length,))) + bytes((kind,)) + content + serial
    return (EXTENDED if extended else SHORT) + body + crc_x25(body).to_bytes(2) + END


def packed_imei(data: bytes) -> str:
    """The id in 8 bytes of packed decimal: the first digit dropped when 0, padding nibbles F at the end; "" for none.

    It is the 15 digits of the IMEI, unless the device was given something else.
    """
    digits = data.hex().rstrip("f") if len(data) == 8 else ""
    if not digits.isdigit():
        return ""
    return digits[1:] if len(digits) == 16 and digits[0] == "0" else digits


# -- framing --------------------------------------------------------------------------------------------


def split(buffer: bytes, start: int, facts: Facts, quiet: bool) -> Split:
    """Frame at start by its length and 0D 0A, or by what a wrong length leaves to go by.

    Where 0D 0A is not at the declared end it is one byte on, or the first one that the next frame or silence follows.
    What cannot end is noise, and the next start is looked for at once: nothing is raised.
    """
    begin = start
    if buffer[start] not in b"xy":
        match = _NOISE.match(buffer, start)
        begin = match.end() if match else start
    if begin >= len(buffer):
        return Split(Status.MORE, begin)
    if buffer[begin : begin + 2] not in (SHORT, EXTENDED, b"x", b"y"):
        return Split(Status.FOREIGN, begin)
    total = _declared(buffer, begin)
    if total > 0 and len(buffer) >= begin + total and _ends_well(buffer, begin, total):
        return Split(Status.FRAME, begin, begin + total)
    return _split_irregular(buffer, begin, quiet)


def _ends_well(buffer: bytes, begin: int, total: int) -> bool:
    """True when 0D 0A is at the declared end, and the frame is no scan, whose length byte declares nothing."""
    if buffer[begin + total - 2 : begin + total] != END:
        return False
    return buffer[begin + 3] not in SCANS or buffer[begin] != 0x78 or not _may_be_scan(buffer, begin, total)


def _split_irregular(buffer: bytes, begin: int, quiet: bool) -> Split:
    """The careful way of split. Each search goes on where the last one stopped, so all starts together cost one."""
    nearest = sure = searched = 0  # the next 0D 0A; the next one before a start; where the search for that goes on
    while begin < len(buffer):
        total = _declared(buffer, begin)
        if total < 0:
            begin = resync(buffer, begin + 1)
            continue
        if not total or (len(buffer) < begin + total and not quiet):
            return Split(Status.MORE, begin)
        limit = begin + max(total + STRAY_BYTES, LONGEST_SHORT_BYTES)
        if nearest < begin + 4:
            nearest = buffer.find(END, begin + 4)
            nearest = nearest if nearest >= 0 else len(buffer) + 2 * LARGE_FRAME_BYTES
        if nearest < limit:
            size = _frame_bytes(buffer, begin, total, quiet)
            if size:
                return Split(Status.FRAME, begin, begin + size) if size > 0 else Split(Status.MORE, begin)
            if sure < begin + _LEAST and searched < limit:
                match = _SURE_END.search(buffer, max(begin + _LEAST, searched), limit)
                sure, searched = (match.start(), match.end()) if match else (0, limit - 3)
            if begin + _LEAST <= sure <= limit - 4:
                return _found(buffer, begin, sure + 2)
            if quiet and len(buffer) <= limit and buffer.endswith(END, begin + _LEAST):
                return _found(buffer, begin, len(buffer))
        if len(buffer) < (begin + total if quiet else limit):
            return Split(Status.MORE, begin)
        begin = resync(buffer, begin + 1)
    return Split(Status.MORE, begin)


def _found(buffer: bytes, begin: int, end: int) -> Split:
    """The frame of wrong length, unless a start that was none hides one that its CRC proves."""
    inner = strong_start(buffer[begin + 1 : end], 0)
    if inner < 0:
        return Split(Status.FRAME, begin, end)
    begin += 1 + inner
    return Split(Status.FRAME, begin, begin + _declared(buffer, begin))


def _frame_bytes(buffer: bytes, begin: int, total: int, quiet: bool) -> int:
    """Bytes of the frame by its own numbers, the length or the counts of a scan; 0: they lead nowhere, -1: wait."""
    end = begin + total
    if _ends_well(buffer, begin, total):
        return total
    if buffer[begin] == 0x78 and buffer[begin + 3] in SCANS:
        size = _scan_bytes(buffer, begin)
        if size > 0 and buffer[begin + size - 2 : begin + size] == END:
            return size
        if size and not quiet and len(buffer) < begin + abs(size):
            return -1
        if buffer[end - 2 : end] == END:
            return total
    if buffer[end - 1 : end + 1] == END:
        return total + 1
    return -1 if len(buffer) == end and buffer[end - 1] == 0x0D and not quiet else 0


def _declared(buffer: bytes, begin: int) -> int:
    """Bytes of the frame at begin by its length field, 0 while the type is not there, -1 when they cannot be right."""
    head = buffer[begin : begin + 5]
    if len(head) < 4:
        return 0
    if head[0] == 0x78:
        return head[2] + 5 if head[3] not in NO_TYPES else -1
    total = int.from_bytes(head[2:4]) + 6
    if not SHORTEST_LENGTH + 6 <= total <= LARGE_FRAME_BYTES:
        return -1
    return 0 if len(head) < 5 else total if head[4] not in NO_TYPES else -1


def _may_be_scan(buffer: bytes, begin: int, total: int) -> bool:
    return buffer[begin + 2] <= MOST_ACCESS_POINTS and not is_checked(buffer[begin : begin + total], total)


def _scan_bytes(buffer: bytes, begin: int) -> int:
    """Bytes of a Wi-Fi scan by its counts; 0 when it can be none, negative: so many are needed to know.

    Layout: start 2, count 1, type 1, time 6, access points of 7, cell count 1, network 3, cells of 5, end 2.
    """
    points = buffer[begin + 2]
    if points > MOST_ACCESS_POINTS:
        return 0
    at = 10 + 7 * points
    if len(buffer) <= begin + at:
        return -at - 1
    cells = buffer[begin + at]
    return at + 6 + 5 * cells if cells <= MOST_CELLS else 0


def resync(buffer: bytes, start: int) -> int:
    """The next `78 78` or `79 79` that a length and a type may follow, or the end of the buffer."""
    match = _BEGIN.search(buffer, start)
    return match.start() if match else len(buffer)


def strong_start(buffer: bytes, start: int) -> int:
    """Index of a whole frame with a right CRC at or after start, or -1."""
    if buffer.find(END, start) < 0:
        return -1
    budget = CHECKED_PER_BYTE * (len(buffer) - start) + LARGE_FRAME_BYTES
    for match in _ANY_START.finditer(buffer, start):
        begin = match.start()
        total = _declared(buffer, begin)
        end = begin + total
        if total < SHORTEST_LENGTH + 5 or buffer[end - 2 : end] != END:
            continue
        budget -= total
        if budget < 0:
            return -1
        if is_checked(buffer[begin:end], total):
            return begin
    return -1
