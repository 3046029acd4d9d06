"""Recognised binary protocols with a declared length: docs/design.md rules 1-4, 36, 39, 46, 51-53, 55, 58, 60, 64, 65."""

from __future__ import annotations

import re

from gateway.protocols.base import LARGE_FRAME_BYTES, Rule, Verdict
from gateway.protocols.fields import packed
from gateway.protocols.recognised.checks import crc_arc, crc_kermit, crc_modbus, crc_xmodem, sum_8, xor_8
from gateway.protocols.recognised.heads import MORE, NO, YES, Head
from gateway.protocols.recognised.kind import (
    IMPOSSIBLE,
    INCOMPLETE,
    LINE_NOISE,
    Recognised,
    all_of_it,
    big,
    declared,
    little,
    rule,
    until,
)

_DIGITS = packed(0, 99)

# -- Teltonika --------------------------------------------------------------------------------------------------------

_LOGIN = rb"\x00(?:" + rb"|".join(b"\\x%02x[0-9A-F]{%d}" % (size, size) for size in range(10, 21)) + rb")"
_DATA = rb"\x00{6}(?:\x00[\x03-\xff]|[\x01-\x7f].|\x80\x00)[\x07\x08\x0c-\x10\x8e]"
_teltonika_login = Head(_LOGIN)


def _detect_teltonika_datagram(buffer: bytes, ended: bool) -> Verdict:
    """Rule 1: length, packet id, 01, packet id, and the length and digits of an IMEI; the datagram is whole."""
    if not ended:
        return MORE
    digits = buffer[8 : 8 + int.from_bytes(buffer[6:8])] if len(buffer) >= 23 else b""
    if 10 <= len(digits) <= 20 and buffer[4] == 1 and digits.isdigit():
        return YES if int.from_bytes(buffer[:2]) == len(buffer) - 2 else NO
    return NO


def _teltonika_end(buffer: bytes, start: int, quiet: bool) -> int:
    first = buffer[start : start + 2]
    if first[0] == 0xFF:
        return start + 1  # a ping
    if first == b"\x00\x00":
        return _teltonika_data(buffer, start, quiet)
    if len(buffer) - start > 4 and buffer[start + 4] == 1:
        size = int.from_bytes(first) + 2
    else:
        size = first[1] + 2
    return start + size if len(buffer) - start >= size else INCOMPLETE


_teltonika_data = declared(12, big(4, 4, 12), LARGE_FRAME_BYTES + 12)


def _teltonika_proof(buffer: bytes) -> bool:
    return (
        buffer[:4] == bytes(4)
        and len(buffer) == int.from_bytes(buffer[4:8]) + 12
        and crc_arc(buffer[8:-4]) == int.from_bytes(buffer[-4:])
    )


teltonika = Recognised(
    "teltonika",
    (
        Rule(1, "teltonika", _detect_teltonika_datagram, raw=True, transport="udp", first=bytes(range(8))),
        rule(2, "teltonika", _teltonika_login, raw=True),
        rule(3, "teltonika", _DATA, raw=True),
    ),
    Head(rb"\x00{4}|" + _LOGIN + rb"|\xff|[\x00-\x07].{3}\x01.\x00[\x0a-\x14]\d{10}"),
    _teltonika_end,
    LARGE_FRAME_BYTES + 12,
    re.compile(LINE_NOISE),
    strong=rb"\x00\x0f\d{15}",
    proof=_teltonika_proof,
)

# -- Ruptela ----------------------------------------------------------------------------------------------------------

_ruptela_head = Head(rb"[\x00-\x04].\x00[\x00-\x03].{6}[\x01-\x12\x1e-\x26\x44]")


def _detect_ruptela(buffer: bytes, ended: bool) -> Verdict:
    """Rule 4: length 9 to 1100, an IMEI as a number, a known command, and the CRC."""
    if not _ruptela_head.whole.match(buffer):
        return MORE if not ended and _ruptela_head.begun(buffer) else NO
    size = int.from_bytes(buffer[:2])
    if not 9 <= size <= 1100 or not 10**12 <= int.from_bytes(buffer[2:10]) < 10**15:
        return NO
    if len(buffer) < size + 4:
        return NO if ended else MORE
    return YES if _ruptela_proof(buffer[: size + 4]) else NO


def _ruptela_proof(buffer: bytes) -> bool:
    return len(buffer) > 12 and crc_kermit(buffer[2:-2]) == int.from_bytes(buffer[-2:])


ruptela = Recognised(
    "ruptela",
    (Rule(4, "ruptela", _detect_ruptela, raw=True, whole=True, first=bytes(range(5))),),
    Head(rb"[\x00-\x07].\x00[\x00-\x03]"),
    declared(13, big(0, 2, 4), 2048),
    2048,
    re.compile(LINE_NOISE),
    proof=_ruptela_proof,
)

# -- GT02, Tk102, Eelink, TZone, Cellocator ---------------------------------------------------------------------------

_GT02 = rb"hh[\x0d-\xff]..[\x00-\x09]" + _DIGITS + rb"{7}..[\x10\x1a\x1c]"


_gt02_head = Head(_GT02)


def _gt02_ends(buffer: bytes) -> bool:
    return buffer[buffer[2] + 3 : buffer[2] + 5] == b"\r\n"


gt02 = Recognised(
    "gt02",
    (rule(36, "gt02", _gt02_head),),
    Head(rb"hh[\x0d-\xff]"),
    declared(18, big(2, 1, 5), 260, b"\r\n"),
    strong=_GT02,
    sure=_gt02_ends,
    proof=lambda buffer: _gt02_head.whole.match(buffer) is not None and _gt02_ends(buffer),
)
_tk102_head = Head(rb"\[.\d{10}.")


def _detect_tk102(buffer: bytes, ended: bool) -> Verdict:
    """Rule 39: `[`, any byte, ten digits, a length, and `]` behind so many bytes."""
    if not _tk102_head.whole.match(buffer):
        return MORE if not ended and _tk102_head.begun(buffer) else NO
    end = 13 + buffer[12]
    if len(buffer) <= end:
        return NO if ended else MORE
    return YES if buffer[end] == 0x5D else NO


tk102 = Recognised(
    "tk102",
    (Rule(39, "tk102", _detect_tk102, whole=True, first=b"["),),
    _tk102_head,
    declared(14, big(12, 1, 14), 269, b"]"),
)

_eelink_tcp = Head(rb"gg[\x01-\x08\x12\x14-\x1b\x1e\x1f\x80\x81][\x00-\x05]")
_EELINK_CAP = 4 * 1024


def _eelink_end(buffer: bytes, start: int, quiet: bool) -> int:
    return (_eelink_datagram if buffer[start] == 0x45 else _eelink_package)(buffer, start, quiet)


_eelink_datagram = declared(16, big(2, 2, 4), _EELINK_CAP)
_eelink_package = declared(7, big(3, 2, 5), _EELINK_CAP)
eelink = Recognised(
    "eelink",
    (rule(46, "eelink", _eelink_tcp), rule(46.1, "eelink", rb"EL.{12}gg", transport="udp")),
    Head(rb"gg.[\x00-\x05]|EL.{12}gg"),
    _eelink_end,
    _EELINK_CAP,
)

_TZONE = rb"TZ[\x00-\x05].\$\$"


def _tzone_proof(buffer: bytes) -> bool:
    size = int.from_bytes(buffer[2:4]) + 6
    return (
        24 <= size <= len(buffer)
        and buffer[size - 2 : size] == b"\r\n"
        and crc_modbus(buffer[4 : size - 4]) == int.from_bytes(buffer[size - 4 : size - 2])
    )


tzone = Recognised(
    "tzone",
    (rule(51, "tzone", _TZONE),),
    Head(_TZONE),
    declared(30, big(2, 2, 6), 2048, b"\r\n"),
    2048,
    strong=_TZONE,
    sure=lambda buffer: buffer[int.from_bytes(buffer[2:4]) + 4 :][:2] == b"\r\n",
    proof=_tzone_proof,
)

_CELLOCATOR = rb"MCGP[\x00\x03\x07-\x09\x0b]|MCPG"
_CELLOCATOR_FIXED = {0: 70, 3: 31, 7: 70}
_CELLOCATOR_LENGTHS = {8: (16, 2, 19), 9: (13, 1, 15), 11: (13, 2, 16)}
"""Where the length stands, its bytes, what must be added to it; by message type."""


def _cellocator_length(buffer: bytes, start: int) -> int:
    kind = buffer[start + 4]
    at, width, extra = _CELLOCATOR_LENGTHS.get(kind, (0, 0, _CELLOCATOR_FIXED.get(kind, 0)))
    return int.from_bytes(buffer[start + at : start + at + width], "little") + extra


def _cellocator_proof(buffer: bytes) -> bool:
    size = _cellocator_length(buffer, 0) if len(buffer) > 18 and buffer[:4] == b"MCGP" else 0
    return 19 <= size <= len(buffer) and sum_8(buffer[4 : size - 1]) == buffer[size - 1]


cellocator = Recognised(
    "cellocator",
    (rule(52, "cellocator", _CELLOCATOR),),
    Head(rb"MC(?:GP|PG)"),
    declared(19, _cellocator_length, 2048),
    2048,
    strong=rb"MCGP[\x00\x03\x07-\x09\x0b]",
    sure=_cellocator_proof,
    proof=_cellocator_proof,
)

# -- MiniFinder2, HuaSheng, KHD, Xexun2 -------------------------------------------------------------------------------

_minifinder2_head = Head(rb"\xab[\x00\x08\x10\x18].{6}[\x01-\x05\x7e\x7f]")


def _detect_minifinder2(buffer: bytes, ended: bool) -> Verdict:
    """Rule 55: AB, properties, a length, a known command; the CRC, or items that end where the body ends."""
    if not _minifinder2_head.whole.match(buffer):
        return MORE if not ended and _minifinder2_head.begun(buffer) else NO
    size = int.from_bytes(buffer[2:4], "little")
    if not 1 <= size <= LARGE_FRAME_BYTES:
        return NO
    if len(buffer) < 8 + size:
        return NO if ended else MORE
    return YES if _minifinder2_proof(buffer) or _items_fit(buffer, 9, 8 + size) else NO


def _items_fit(buffer: bytes, at: int, end: int) -> bool:
    while at < end and buffer[at]:
        at += 1 + buffer[at]
    return at == end


def _minifinder2_proof(buffer: bytes) -> bool:
    end = 8 + int.from_bytes(buffer[2:4], "little")
    return 8 < end <= len(buffer) and crc_xmodem(buffer[8:end]) == int.from_bytes(buffer[4:6], "little")


minifinder2 = Recognised(
    "minifinder2",
    (Rule(55, "minifinder2", _detect_minifinder2, whole=True, first=b"\xab"),),
    Head(rb"\xab[\x00\x08\x10\x18]"),
    declared(9, little(2, 2, 8), LARGE_FRAME_BYTES + 8),
    LARGE_FRAME_BYTES + 8,
    proof=_minifinder2_proof,
)
huasheng = Recognised(
    "huasheng",
    (rule(58, "huasheng", rb"\xc0[\x00\x01][\x00\x0c](?:[\x01-\x03].|\x00[\x0c-\xff])[\x00\xaa].\x00\x00"),),
    Head(rb"\xc0[\x00\x01]"),
    until(rb"\xc0"),
    noise=re.compile(rb"[\r\n \x00]*(?:\xc0(?=\xc0))*"),
)

_khd_head = Head(rb"\)\)[\x80-\x86\x8e\xa3\xb1]..")
_KHD_CAP = 1024 + 5
_KHD_SEARCH_BYTES = 128
"""How far the end of a frame with a wrong length is searched."""


def _khd_length(buffer: bytes) -> int:
    """Length of the frame at the beginning: as declared, or up to the next 0D with a right checksum; 0: none yet."""
    size = int.from_bytes(buffer[3:5]) + 5
    if len(buffer) >= size and buffer[size - 1] == 0x0D and xor_8(buffer[: size - 2]) == buffer[size - 2]:
        return size
    check = 0
    for at, byte in enumerate(buffer[:_KHD_SEARCH_BYTES]):
        if at >= 10 and byte == 0x0D and check == 0:
            return at + 1
        check ^= byte
    return 0


def _detect_khd(buffer: bytes, ended: bool) -> Verdict:
    """Rule 60: `29 29`, a known type, a plausible length, and a right checksum with 0D at the end."""
    if not _khd_head.whole.match(buffer):
        return MORE if not ended and _khd_head.begun(buffer) else NO
    size = int.from_bytes(buffer[3:5])
    if not 6 <= size <= 1024:
        return NO
    if len(buffer) >= size + 5 and _khd_length(buffer):
        return YES
    return NO if ended or len(buffer) >= max(size + 5, _KHD_SEARCH_BYTES) else MORE


def _khd_end(buffer: bytes, start: int, quiet: bool) -> int:
    if len(buffer) - start < 5:
        return INCOMPLETE
    size = int.from_bytes(buffer[start + 3 : start + 5]) + 5
    if size > _KHD_CAP:
        return IMPOSSIBLE
    if len(buffer) - start < size:
        return INCOMPLETE
    found = _khd_length(buffer[start : start + _KHD_CAP])
    if found:
        return start + found
    return IMPOSSIBLE if quiet or len(buffer) - start >= max(size, _KHD_SEARCH_BYTES) else INCOMPLETE


khd = Recognised(
    "khd",
    (Rule(60, "khd", _detect_khd, whole=True, first=b")"),),
    Head(rb"\)\)[\x80-\xff]"),
    _khd_end,
    _KHD_CAP,
    strong=_khd_head.source,
    sure=lambda buffer: _detect_khd(buffer, True) is YES,
    proof=lambda buffer: _detect_khd(buffer, True) is YES,
)
xexun2 = Recognised(
    "xexun2",
    (rule(65, "xexun2", rb"\xfa\xaf"),),
    Head(rb"\xfa\xaf"),
    until(rb"\xfa\xaf", silent=True, cap=4096),
    4096,
    noise=re.compile(rb"[\r\n \x00]*(?:\xfa\xaf(?=\xfa\xaf))*"),
)

# -- CalAmp -----------------------------------------------------------------------------------------------------------

_CALAMP_MINIMA = {0: 0, 1: 6, 2: 40, 3: 56, 4: 40, 5: 40, 6: 0, 7: 0, 8: 38, 9: 42, 10: 20, 11: 12, 12: 0, 13: 0}
"""Shortest body of a message by its type (calamp.md section 3)."""


def _detect_calamp(buffer: bytes, ended: bool) -> Verdict:
    """Rule 64, datagrams only: an options header with a mobile id, then a service, a type and its shortest body."""
    if not ended:
        return MORE
    if len(buffer) < 6 or not buffer[0] & 0x80 or not buffer[0] & 1 or not 1 <= buffer[1] <= 10:
        return NO
    at, kind = 1, 0
    for bit in range(7):
        if not buffer[0] >> bit & 1:
            continue
        size = buffer[at] if at < len(buffer) else 255
        if size > 16 or at + 1 + size > len(buffer):
            return NO
        if bit == 1:
            kind = buffer[at + 1] if size else 255
        at += 1 + size
    digits = buffer[2 : 2 + buffer[1]].hex().rstrip("f")
    if kind > 7 or not digits or not (digits.isdigit() or kind == 7):
        return NO
    if len(buffer) < at + 4 or buffer[at] > 2:
        return NO
    return YES if len(buffer) - at - 4 >= _CALAMP_MINIMA.get(buffer[at + 1], 0xFFFF) else NO


calamp = Recognised(
    "calamp",
    (Rule(64, "calamp", _detect_calamp, transport="udp", first=bytes(range(0x81, 0x100, 2))),),
    Head(rb"[\x80-\xff]"),
    all_of_it,
    1500,
)

MODULES = (
    teltonika,
    ruptela,
    gt02,
    tk102,
    eelink,
    tzone,
    cellocator,
    minifinder2,
    huasheng,
    khd,
    xexun2,
    calamp,
)
