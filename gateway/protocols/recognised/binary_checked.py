"""Recognised binary protocols that only their checks tell apart: docs/design.md rules 34, 53, 54, 61, 62."""

from __future__ import annotations

import re

from gateway.protocols.base import LARGE_FRAME_BYTES, Rule, Verdict
from gateway.protocols.fields import crc_x25
from gateway.protocols.recognised.checks import crc_8, crc_arc, crc_false, crc_modbus, xor_8
from gateway.protocols.recognised.heads import MORE, NO, YES, Head
from gateway.protocols.recognised.kind import (
    IMPOSSIBLE,
    INCOMPLETE,
    Recognised,
    big,
    declared,
    until,
)

END = b"\r\n"

# -- Topin: starts, ends and types of GT06, without its serial number and CRC -----------------------------------------

_LOGIN = 1
_WIFI = (0x17, 0x69)
_WIFI_WIDE = (0x18, 0x19, 0x1A)
_SHAPES = frozenset((0x08, 0x30, 0x57, 0x80, 0x81, 0x82, 0x83, 0x92, 0x93, 0x94, 0x99, 0xB3))
_TOPIN_CAP = 512


def _topin_ends(buffer: bytes, start: int) -> tuple[list[int], bool]:
    """Where the frame at start may end by its type (topin.md section 2); and whether bytes to say so are missing."""
    length, kind = buffer[start + 2], buffer[start + 3]
    if kind == _LOGIN:
        return [start + 15], False
    if kind in (0x10, 0x11):
        return [start + length + 6], False
    if kind == 0x13:
        return [start + length + 5, start + length + 4], False
    if kind not in _WIFI and kind not in _WIFI_WIDE:
        return [start + length + 5], False
    count_at = start + 10 + 7 * length
    if count_at >= len(buffer):
        return [], True
    cells, base = buffer[count_at], count_at + 4
    sizes = (5,) if kind in _WIFI else (9, 5)
    return [base + size * cells + alarm + 2 for size in sizes for alarm in (1, 0)], False


def _topin_end(buffer: bytes, start: int, quiet: bool) -> int:
    """The first candidate that 0D 0A ends; 0D 0A also stands in coordinates, so it is never searched."""
    if len(buffer) - start < 4:
        return INCOMPLETE
    ends, missing = _topin_ends(buffer, start)
    if missing:
        return INCOMPLETE
    if len(buffer) < max(ends) and not quiet:
        return INCOMPLETE
    for end in ends:
        if end <= len(buffer) and buffer[end - 2 : end] == END:
            return end
    if len(buffer) < max(ends):
        return INCOMPLETE
    fallback = buffer.find(b"\r\nxx", start, start + _TOPIN_CAP)
    return fallback + 2 if fallback > 0 else IMPOSSIBLE


def _detect_topin(buffer: bytes, ended: bool) -> Verdict:
    """Rule 34, its part of this protocol: what GT06 would have proved by its CRC is not Topin."""
    more = NO if ended else MORE
    if not b"xx".startswith(buffer[:2]):
        return NO
    if len(buffer) < 4:
        return more
    length, kind = buffer[2], buffer[3]
    if kind == _LOGIN and length == 0x0D:
        if len(buffer) < 15:
            return more
        check = crc_x25(buffer[2:14])
        if buffer[13:15] != END or (check >> 8 == 0x0A and len(buffer) >= 16 and buffer[15] == check & 0xFF):
            return NO
        return YES if check >> 8 != 0x0A or len(buffer) >= 16 or ended else MORE
    total = length + 5
    if len(buffer) >= total > 5 and _gt06_proves(buffer[:total]):
        return NO
    shaped = kind in (0x10, 0x11, 0x13) or kind in _WIFI or kind in _WIFI_WIDE or kind in _SHAPES
    if not shaped:
        return NO
    if len(buffer) < total and not ended:
        return MORE
    return _topin_shape(buffer, ended)


def _topin_shape(buffer: bytes, ended: bool) -> Verdict:
    ends, missing = _topin_ends(buffer, 0)
    if any(end <= len(buffer) and buffer[end - 2 : end] == END for end in ends):
        return YES
    waiting = missing or len(buffer) < max(ends, default=0)
    return MORE if waiting and not ended else NO


def _gt06_proves(frame: bytes) -> bool:
    return frame.endswith(END) and crc_x25(frame[2:-4]) == int.from_bytes(frame[-4:-2])


topin = Recognised(
    "topin",
    (Rule(34.5, "topin", _detect_topin, whole=True, first=b"x"),),
    Head(rb"xx"),
    _topin_end,
    2 * _TOPIN_CAP * 5,
)

# -- Navis ------------------------------------------------------------------------------------------------------------

_navis_head = Head(rb"@NTC.{12}")


def _detect_navis(buffer: bytes, ended: bool) -> Verdict:
    """Rule 53: the preamble and the checksum of the header."""
    answer = _navis_head.detect(buffer, ended)
    return NO if answer is YES and xor_8(buffer[:15]) != buffer[15] else answer


def _navis_sure(buffer: bytes) -> bool:
    end = 16 + int.from_bytes(buffer[12:14], "little")
    return _detect_navis(buffer, True) is YES and len(buffer) >= end and xor_8(buffer[16:end]) == buffer[14]


_navis_command = declared(
    16, lambda buffer, start: 16 + int.from_bytes(buffer[start + 12 : start + 14], "little"), 4096
)
_navis_flex = until(rb"(?=@NTC)", silent=True, cap=LARGE_FRAME_BYTES)


def _navis_end(buffer: bytes, start: int, quiet: bool) -> int:
    """The declared length; FLEX frames have the length that the session agreed on, which nobody follows here yet."""
    return (_navis_command if buffer[start] == 0x40 else _navis_flex)(buffer, start, quiet)


navis = Recognised(
    "navis",
    (Rule(53, "navis", _detect_navis, first=b"@"),),
    Head(rb"@NTC|~[ATCEX]"),
    _navis_end,
    LARGE_FRAME_BYTES,
    strong=rb"@NTC.{12}",
    sure=_navis_sure,
    proof=_navis_sure,
    QUIET_MS=500,
)

# -- ATrack -----------------------------------------------------------------------------------------------------------

_ATRACK_TEXT = rb"@[PRZ],[0-9A-F]{4},\d{1,5},"
_atrack_text = Head(_ATRACK_TEXT + rb"|[\x02\x03][\x01\x03],[0-9A-F]{4},\d{1,5},\d{1,10},\d{5,16},")
_atrack_alive = Head(rb"\xfe\x02\x00[\x00-\x23].{8}")
_atrack_prefix = Head(rb"@[PRZ]|\x02\x03|\x03\x01")
_ATRACK_LENGTH = re.compile(rb"..,[0-9A-F]{4},(\d{1,5}),", re.DOTALL)


def _detect_atrack(buffer: bytes, ended: bool) -> Verdict:
    """Rule 54: text with a CRC and a length, binary whose CRC is right, or the keep-alive with an id below 10^16."""
    if buffer[0] == 0xFE:
        answer = _atrack_alive.detect(buffer, ended)
        return NO if answer is YES and int.from_bytes(buffer[2:10]) >= 10**16 else answer
    text = _atrack_text.detect(buffer, ended)
    if text is not NO:
        return text
    if not _atrack_prefix.whole.match(buffer):
        return MORE if not ended and _atrack_prefix.begun(buffer) else NO
    if len(buffer) < 6:
        return NO if ended else MORE
    size = int.from_bytes(buffer[4:6]) + 6
    if not 18 <= size <= LARGE_FRAME_BYTES:
        return NO
    if len(buffer) < size:
        return NO if ended else MORE
    return YES if crc_arc(buffer[4:size]) == int.from_bytes(buffer[2:4]) else NO


def _atrack_end(buffer: bytes, start: int, quiet: bool) -> int:
    first = buffer[start]
    if first == 0x24:
        return _atrack_line(buffer, start, quiet)
    if first == 0xFE:
        return start + 12 if len(buffer) - start >= 12 else INCOMPLETE
    match = _ATRACK_LENGTH.match(buffer, start)
    if match:
        end = match.end() - 1 + int(match[1])
        return end if len(buffer) >= end else INCOMPLETE
    return _atrack_binary(buffer, start, quiet)


_atrack_line = until(rb"\n", silent=True)
_atrack_binary = declared(6, big(4, 2, 6), LARGE_FRAME_BYTES)


def _atrack_proof(buffer: bytes) -> bool:
    return buffer[2:3] != b"," and _detect_atrack(buffer, True) is YES


atrack = Recognised(
    "atrack",
    (Rule(54, "atrack", _detect_atrack, whole=True, first=b"@\x02\x03\xfe"),),
    Head(rb"@[PRZ]|\x02\x03|\x03\x01|\xfe\x02|\$[A-Z]"),
    _atrack_end,
    LARGE_FRAME_BYTES,
    strong=rb"@[PRZ]",
    sure=lambda buffer: _detect_atrack(buffer, True) is YES,
    proof=_atrack_proof,
)

# -- EGTS, Galileosky -------------------------------------------------------------------------------------------------

_EGTS = rb"\x01.[\x00-\x3f][\x0b\x10]"
_egts_head = Head(rb"\x01.(?:[\x00-\x1f]\x0b.{5}[\x00-\x02].|[\x20-\x3f]\x10.{5}[\x00-\x02].{6})")
_EGTS_CAP = 0xFFFF + 18


def _detect_egts(buffer: bytes, ended: bool) -> Verdict:
    """Rule 61: version, header length by its flags, a known type, and the CRC of the header."""
    answer = _egts_head.detect(buffer, ended)
    if answer is not YES:
        return answer
    size = 16 if buffer[2] & 0x20 else 11
    return YES if buffer[3] == size and crc_8(buffer[: size - 1]) == buffer[size - 1] else NO


def _egts_length(buffer: bytes, start: int) -> int:
    body = int.from_bytes(buffer[start + 5 : start + 7], "little")
    return buffer[start + 3] + body + (2 if body else 0)


def _egts_proof(buffer: bytes) -> bool:
    if _detect_egts(buffer, True) is not YES:
        return False
    end = _egts_length(buffer, 0)
    body = buffer[buffer[3] : end - 2]
    return len(buffer) >= end and crc_false(body) == int.from_bytes(buffer[end - 2 : end], "little")


egts = Recognised(
    "egts",
    (Rule(61, "egts", _detect_egts, first=b"\x01"),),
    Head(_EGTS),
    declared(11, _egts_length, _EGTS_CAP),
    _EGTS_CAP,
    strong=_EGTS,
    sure=_egts_proof,
    proof=_egts_proof,
)

_GALILEO_CAP = 16 * 1024
_galileo_head = Head(rb"\x01..[\x01-\x04\x10\x11\x20\x30]")
_IRIDIUM = rb"\x01..\x01\x00\x1c"
_iridium_head = Head(_IRIDIUM)


def _galileo_length(buffer: bytes, start: int) -> int:
    if _iridium_head.whole.match(buffer, start):
        return int.from_bytes(buffer[start + 1 : start + 3]) + 3
    return (int.from_bytes(buffer[start + 1 : start + 3], "little") & 0x7FFF) + 5


def _detect_galileo(buffer: bytes, ended: bool) -> Verdict:
    """Rule 62: a length, a tag that records begin with, and the CRC; or the envelope of Iridium."""
    if _iridium_head.whole.match(buffer):
        return YES
    if not _galileo_head.whole.match(buffer):
        return MORE if not ended and _galileo_head.begun(buffer) else NO
    if not ended and _iridium_head.begun(buffer):
        return MORE
    size = (int.from_bytes(buffer[1:3], "little") & 0x7FFF) + 5
    if not 9 <= size <= 8192 + 5:
        return NO
    if len(buffer) < size:
        return NO if ended else MORE
    return YES if _galileo_proof(buffer[:size]) else NO


def _galileo_proof(buffer: bytes) -> bool:
    return (
        len(buffer) > 5
        and len(buffer) == _galileo_length(buffer, 0)
        and crc_modbus(buffer[:-2]) == int.from_bytes(buffer[-2:], "little")
    )


galileo = Recognised(
    "galileo",
    (Rule(62, "galileo", _detect_galileo, whole=True, first=b"\x01"),),
    Head(rb"[\x01\x06-\x08].."),
    declared(5, _galileo_length, _GALILEO_CAP),
    _GALILEO_CAP,
    proof=_galileo_proof,
)

MODULES = (topin, navis, atrack, egts, galileo)
