"""Recognised protocols whose frames begin with `$` or `@@`: docs/design.md rules 10, 19-21, 23, 25-32."""

from __future__ import annotations

import re

from gateway.protocols.base import Rule, Verdict
from gateway.protocols.fields import crc_x25, packed
from gateway.protocols.recognised.checks import is_packed, sum_8, xor_8
from gateway.protocols.recognised.heads import MORE, NO, YES, Head
from gateway.protocols.recognised.kind import (
    IMPOSSIBLE,
    INCOMPLETE,
    Recognised,
    big,
    declared,
    either,
    little,
    rule,
    text,
    until,
)

LINE = rb"\n"
SENTENCE = rb"\n|\*[0-9A-Fa-f]{2}(?=\$)"
"""End of an NMEA-like line: LF, or the checksum when the next sentence is glued to it."""
LARGE_BYTES = 32 * 1024
_SUMMED = re.compile(rb"\*([0-9A-Fa-f]{2})\s*\Z")


def nmea_proof(buffer: bytes) -> bool:
    """True when the two hex digits at the end are the exclusive-or of what stands between `$` and `*`."""
    match = _SUMMED.search(buffer)
    return match is not None and int(match[1], 16) == xor_8(buffer[1 : match.start()])


def _starlink_proof(buffer: bytes) -> bool:
    match = _SUMMED.search(buffer)
    return match is not None and int(match[1], 16) == sum_8(buffer[1 : match.start()])


# -- Meitrack, Startek: an identifier and a decimal length before the first comma -------------------------------------

_MEITRACK = rb"\$\$[A-z]\d{2,4},\d{14,15},[A-Z][0-9A-Z]{2}[,*]"
_COMMA = re.compile(rb"[^,]{3,7},")
_SUM_END = re.compile(rb"\*[0-9A-F]{2}\r\n")
_BINARY_COMMANDS = re.compile(rb"[^,]*,[^,]*,(?:CCC|CCE|D00)")


def _meitrack_end(buffer: bytes, start: int, quiet: bool) -> int:
    """The declared length where CR LF stands there; text frames with a wrong one end after their checksum."""
    comma = _COMMA.match(buffer, start)
    if comma is None:
        return IMPOSSIBLE
    number = buffer[start + 3 : comma.end() - 1]
    if not number.isdigit():
        return IMPOSSIBLE
    end = comma.end() - 1 + int(number)
    if buffer[end - 2 : end] == b"\r\n":
        return end
    if len(buffer) < end and not quiet:
        return INCOMPLETE
    if _BINARY_COMMANDS.match(buffer, start):
        return end if len(buffer) >= end else INCOMPLETE
    match = _SUM_END.search(buffer, start, end + 4)
    if match:
        return match.end()
    return min(end, len(buffer))


def _meitrack_proof(buffer: bytes) -> bool:
    body, star, digits = buffer.rstrip(b"\r\n").rpartition(b"*")
    return len(digits) == 2 and b"%02X" % sum_8(body + star) == digits


meitrack = Recognised(
    "meitrack",
    (rule(19, "meitrack", _MEITRACK),),
    Head(rb"\$\$[A-z]\d{2,4},"),
    _meitrack_end,
    LARGE_BYTES,
    strong=_MEITRACK,
    proof=_meitrack_proof,
)

# -- Totem ------------------------------------------------------------------------------------------------------------

_TOTEM = rb"\$\$(?:0\d{3}(?:BB\d{15}|[0-9A-F]{2}\d{15}\|)|[1-9A-Fa-f][0-9A-Fa-f]\d{3,15}\|)"


def _totem_end(buffer: bytes, start: int, quiet: bool) -> int:
    """The declared length, which counts from `$$`; shorter where CR LF and the next frame come before."""
    head = buffer[start + 2 : start + 6]
    if len(head) < 4:
        return INCOMPLETE
    try:
        size = int(head) if head[0] == 0x30 else int(head[:2], 16)
    except ValueError:
        return IMPOSSIBLE
    cut = buffer.find(b"\r\n$$", start, start + size)
    if cut > 0:
        return cut
    if len(buffer) - start >= size:
        return start + size
    return len(buffer) if quiet and buffer.endswith(b"\n") else INCOMPLETE


totem = Recognised("totem", (rule(20, "totem", _TOTEM),), Head(_TOTEM), _totem_end, 10 * 1024, strong=_TOTEM)
xirgo = text(
    21, "xirgo", rb"\$\$\d{5,15},\d{4},", until(rb"##|(?=\$\$)|\r\n", silent=True), strong=rb"\$\$\d{5,15},\d{4},"
)

# -- Castel -----------------------------------------------------------------------------------------------------------

_CASTEL_ID_BYTES = 20
_CASTEL_LONGEST_BYTES = 2048
_CASTEL_ID = re.compile(rb"[\x21-\x7e]{1,20}\x00*\Z")


def _detect_castel(buffer: bytes, ended: bool) -> Verdict:
    """Rule 23: `$$` or `@@`, a length, a printable id, CR LF at the declared end, and the CRC."""
    if buffer[:2] not in (b"$$", b"@@"):
        return NO if len(buffer) > 1 or buffer not in (b"$", b"@") or ended else MORE
    if len(buffer) < 4:
        return NO if ended else MORE
    size = int.from_bytes(buffer[2:4], "little")
    if not 30 <= size <= _CASTEL_LONGEST_BYTES:
        return NO
    begin = 5 if buffer[0] == 0x40 else 4
    if len(buffer) < size:
        id_begun = buffer[begin : begin + _CASTEL_ID_BYTES]
        return NO if ended or (id_begun and not _CASTEL_ID.match(id_begun)) else MORE
    return YES if castel_proof(buffer) else NO


def castel_proof(buffer: bytes) -> bool:
    """True when a whole frame with a right CRC stands at the beginning."""
    size = int.from_bytes(buffer[2:4], "little")
    begin = 5 if buffer[:1] == b"@" else 4
    return (
        30 <= size <= min(len(buffer), _CASTEL_LONGEST_BYTES)
        and buffer[size - 2 : size] == b"\r\n"
        and _CASTEL_ID.match(buffer[begin : begin + _CASTEL_ID_BYTES]) is not None
        and crc_x25(buffer[: size - 4]) == int.from_bytes(buffer[size - 4 : size - 2], "little")
    )


_CASTEL = rb"(?:\$\$|@@).[\x00-\x08]"
castel = Recognised(
    "castel",
    (Rule(23, "castel", _detect_castel, whole=True, first=b"$@"),),
    Head(_CASTEL),
    declared(30, little(2, 2, 0), _CASTEL_LONGEST_BYTES, b"\r\n"),
    _CASTEL_LONGEST_BYTES,
    strong=_CASTEL,
    sure=castel_proof,
    proof=castel_proof,
)

# -- lines ------------------------------------------------------------------------------------------------------------

_LAIPAC = rb"\$(?:AVRMC|AVSYS|EAVSYS|ECHK),"
laipac = text(25, "laipac", _LAIPAC, until(SENTENCE, silent=True), strong=_LAIPAC, proof=nmea_proof)
starlink = text(
    28,
    "starlink",
    rb"\$SLU[0-9A-F]{6}",
    until(SENTENCE, silent=True),
    strong=rb"\$SLU[0-9A-F]{6}",
    proof=_starlink_proof,
)
globalsat = text(
    29,
    "globalsat",
    rb"\$\d{14,15},\d{1,3},|GS[rhbsgd],",
    until(rb"!"),
    strong=rb"\$\d{14,15},\d{1,3},|GS[rhbsgd],\d",
)

# -- Arnavi: text lines, and binary packages behind a binary header ---------------------------------------------------

_ARNAVI_HEADER = rb"\xff[\x22-\x25].{6}[\x00-\x03]\x00"
_ARNAVI_RECORDS = (0, 1, 3, 4, 6)
_ARNAVI_MOST_RECORDS = 512
_ARNAVI_CAP = 64 * 1024
_arnavi_header = Head(_ARNAVI_HEADER)


def _detect_arnavi_header(buffer: bytes, ended: bool) -> Verdict:
    """Rule 56: FF, version 22 to 25, and an id below 10^15."""
    answer = _arnavi_header.detect(buffer, ended)
    return NO if answer is YES and int.from_bytes(buffer[2:10], "little") >= 10**15 else answer


def _arnavi_package(buffer: bytes, start: int, quiet: bool) -> int:
    """A header has 10 bytes (version 24: 18); a package is walked record by record, 5D also occurs in data."""
    if buffer[start] == 0xFF:
        size = 18 if buffer[start + 1] == 0x24 else 10
        return start + size if len(buffer) - start >= size else INCOMPLETE
    if buffer[start + 1] == 0xFD:
        return start + 4  # the result of a command: the head has it whole
    at = start + 2
    for _ in range(_ARNAVI_MOST_RECORDS):
        if at >= len(buffer):
            return INCOMPLETE
        if buffer[at] == 0x5D:
            return at + 1
        if buffer[at] not in _ARNAVI_RECORDS:
            return IMPOSSIBLE
        if len(buffer) < at + 3:
            return INCOMPLETE
        at += 8 + int.from_bytes(buffer[at + 1 : at + 3], "little")
        if at - start > _ARNAVI_CAP:
            break
    return IMPOSSIBLE


arnavi = Recognised(
    "arnavi",
    (rule(26, "arnavi", rb"\$AV,"), Rule(56, "arnavi", _detect_arnavi_header, first=b"\xff")),
    Head(rb"\$[A-Z]{2}|\[[\x01-\xfb]|\[\xfd.\]|" + _ARNAVI_HEADER),
    either(until(LINE, silent=True), _arnavi_package, b"\xff["),
    _ARNAVI_CAP,
)

# -- Megastek ---------------------------------------------------------------------------------------------------------

_MEGASTEK_END = re.compile(rb";!|\n")
_megastek_head = Head(rb"\$MGV\d{3},|(?:LOG)?STX,|STX[ -~]{16}..\$GPRMC")


def _megastek_end(buffer: bytes, start: int, quiet: bool) -> int:
    """Four digits before `$MGV` declare the length up to `!`; they can be wrong, then `;!` or the line end counts."""
    if buffer[start : start + 4].isdigit():
        end = start + 4 + int(buffer[start : start + 4])
        if len(buffer) < end and not quiet:
            return INCOMPLETE
        if buffer[end - 1 : end] == b"!":
            return end
    match = _MEGASTEK_END.search(buffer, start, start + 1024)
    if match:
        return match.end()
    return len(buffer) if quiet and len(buffer) - start <= 1024 else INCOMPLETE


megastek = Recognised(
    "megastek",
    (rule(10.1, "megastek", rb"\d{4}\$MGV"), rule(27, "megastek", _megastek_head)),
    Head(rb"(?:\d{4})?\$MGV\d{3},|(?:LOG)?STX[ -~]"),
    _megastek_end,
    strong=rb"\$MGV\d{3},|(?:LOG)?STX,\d{15},",
)

# -- T55: plain NMEA sentences with an identity somewhere -------------------------------------------------------------

_SENTENCE_NAMES = rb"GPRMA|GPIOP|GPTXT|GPFID|PGID|DEVID|PCPTI|PSIWMDID|CONNECT|ID|TRCCR|PUBX"
_t55_prefixed = Head(rb"[0-9A-F/,]{6,32}\$G[PNLAB](?:RMC|GGA|GLL),")
_t55_head = Head(
    rb"\$G[PNLAB](?:(?:RMC|GGA),(?:\d{6}(?:\.\d{0,4})?)?,|GLL,)|\$(?:"
    + _SENTENCE_NAMES
    + rb"),|\$IMEI=|QZE,\d{15}|IMEI[ :=]\d{15}"
)
t55 = Recognised(
    "t55",
    (rule(10.2, "t55", _t55_prefixed), rule(30, "t55", _t55_head)),
    Head(rb"\$[A-Z]{2}|QZE,|IMEI|[0-9A-Za-z_/,.-]{4}"),
    until(SENTENCE, silent=True),
    proof=nmea_proof,
)

# -- PT502 ------------------------------------------------------------------------------------------------------------

_PT502_LINE = rb"\$[A-Z0-9]{3}[0-9-]{0,8},\d{3,15},\d{6}\.\d{1,4},[AV],"
_PHOTO = re.compile(rb"\$PHD\d{1,6},(\d{1,5}),")


def _pt502_line(buffer: bytes, start: int, quiet: bool) -> int:
    photo = _PHOTO.match(buffer, start)
    if photo:
        end = photo.end() + int(photo[1]) + 2
        return end if len(buffer) >= end else INCOMPLETE
    return _pt502_text(buffer, start, quiet)


_pt502_text = until(rb"[\r\n]", silent=True)
pt502 = Recognised(
    "pt502",
    (rule(31, "pt502", _PT502_LINE + rb"|\$FUS\d{2}|\$PHD\d{1,6},"), rule(59, "pt502", rb"\xbf\xfb...\$")),
    Head(rb"\$[A-Z0-9]{3}|\xbf\xfb"),
    either(_pt502_line, declared(6, little(3, 2, 0), LARGE_BYTES), b"\xbf"),
    LARGE_BYTES,
    strong=_PT502_LINE,
)

# -- Jt600: `(..)` text and a binary form that looks like the binary one of H02 ---------------------------------------

_JT600_TEXT = rb"\(\d{5,20},(?:\d{1,12},)?(?:\d{1,12},)?(?:[UWPS]\d\d|@JT|JT|WLNET,)"
_JT600_BYTES = 16
_JT600_RECORD_BYTES = 27
_JT600_LONGEST_BYTES = 2048
_CLOCK = re.compile(
    b"".join((packed(1, 31), packed(1, 12), packed(0, 99), packed(0, 23), packed(0, 59), packed(0, 59))), re.DOTALL
)


def _detect_jt600(buffer: bytes, ended: bool) -> Verdict:
    """Rule 32: packed decimal id, then a record length that fits and a date at its place (jt600.md section 2)."""
    if buffer[:1] != b"$" or not is_packed(buffer[1:6]):
        return NO
    if len(buffer) < _JT600_BYTES:
        return NO if ended else MORE
    if buffer[8] == 0:
        return YES if 35 <= buffer[9] <= 120 and _CLOCK.match(buffer, 10) else NO
    size = int.from_bytes(buffer[7:9])
    if buffer[6] >> 4 not in (1, 2, 3) or not size or size % _JT600_RECORD_BYTES:
        return NO
    for at in range(9, min(9 + size, len(buffer) - 5), _JT600_RECORD_BYTES):
        if not _CLOCK.match(buffer, at) and buffer[at : at + 6] != bytes(6):
            return NO
    # 54 and 81 are packed decimal too, so minutes and seconds of H02: only the second record tells
    if size in (54, 81) and len(buffer) < 9 + _JT600_RECORD_BYTES + 6:
        return NO if ended else MORE
    return YES


def _jt600_binary(buffer: bytes, start: int, quiet: bool) -> int:
    return (_jt600_long if buffer[start + 8 : start + 9] == b"\x00" else _jt600_short)(buffer, start, quiet)


_jt600_long = declared(37, big(8, 2, 10), _JT600_LONGEST_BYTES)
_jt600_short = declared(37, big(7, 2, 10), _JT600_LONGEST_BYTES)
jt600 = Recognised(
    "jt600",
    (rule(12, "jt600", _JT600_TEXT), Rule(32, "jt600", _detect_jt600, first=b"$")),
    Head(rb"\$|\(\d{5,20},"),
    either(until(rb"\)"), _jt600_binary, b"$"),
    _JT600_LONGEST_BYTES,
)

MODULES = (
    meitrack,
    totem,
    xirgo,
    castel,
    laipac,
    starlink,
    globalsat,
    arnavi,
    megastek,
    t55,
    pt502,
    jt600,
)
