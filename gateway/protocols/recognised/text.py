"""Recognised protocols of text that begins with another sign than `$`: docs/design.md rules 5, 14-17, 40-50."""

from __future__ import annotations

import re

from gateway.protocols.base import Rule, Verdict
from gateway.protocols.recognised.checks import crc_8, crc_false, crc_xmodem, is_packed, sum_8
from gateway.protocols.recognised.heads import MORE, NO, YES, Head
from gateway.protocols.recognised.kind import (
    IMPOSSIBLE,
    INCOMPLETE,
    LINE_NOISE,
    Recognised,
    big,
    declared,
    either,
    rule,
    text,
    until,
)

LARGE_BYTES = 32 * 1024
MANY_RECORDS_BYTES = 8 * 1024

# -- `*`: EasyTrack, Gosafe, Ulbotech, Upro ---------------------------------------------------------------------------

easytrack = text(14, "easytrack", rb"\*ET,\d{14,16},[A-Z]{2}", until(rb"#|(?=\r\n)"), strong=rb"\*ET,\d{15},[A-Z]{2}")

_F8_NOISE = re.compile(rb"[\r\n \x00]*(?:\xf8(?=\xf8))*")
"""F8 ends a frame and begins the next; two in a row are both."""
_F8_END = until(rb"\xf8")


def _escaped_crc(buffer: bytes, escapes: dict[bytes, bytes]) -> bool:
    """True when the CRC before the closing F8 is right once the escapes are undone."""
    body = buffer[1:-1]
    for coded, plain in escapes.items():
        body = body.replace(coded, plain)
    return len(body) > 4 and crc_xmodem(body[:-2]) == int.from_bytes(body[-2:])


gosafe = Recognised(
    "gosafe",
    (rule(15, "gosafe", rb"\*GS\d{2},\d{15}"), rule(57, "gosafe", rb"\xf8\x06[\x01\x41]")),
    Head(rb"\*GS\d{2},\d{15}|\xf8\x06"),
    either(until(rb"#|(?=\*GS\d\d,)", silent=True, cap=MANY_RECORDS_BYTES), _F8_END, b"\xf8"),
    MANY_RECORDS_BYTES,
    _F8_NOISE,
    strong=rb"\*GS\d{2},\d{15}",
    proof=lambda buffer: buffer[:1] == b"\xf8" and _escaped_crc(buffer, {b"\x1b\xe3": b"\xf8", b"\x1b\x00": b"\x1b"}),
)
ulbotech = Recognised(
    "ulbotech",
    (
        rule(16, "ulbotech", rb"\*TS\d{2},\d{15}"),
        rule(57.1, "ulbotech", rb"\xf8\x01\x01[\x00-\x09]"),
    ),
    Head(rb"\*TS\d{2},\d{15}|\xf8\x01\x01"),
    either(until(rb"#|(?=\*TS\d\d,)", silent=True), _F8_END, b"\xf8"),
    noise=_F8_NOISE,
    strong=rb"\*TS\d{2},\d{15}",
    proof=lambda buffer: buffer[:1] == b"\xf8" and _escaped_crc(buffer, {b"\xf7\x0f": b"\xf8", b"\xf7\x00": b"\xf7"}),
)
_UPRO = rb"\*[A-Z]{2}20[01]\d"
upro = text(17, "upro", _UPRO, until(rb"#(?=[\r\n]|" + _UPRO + rb")", silent=True, cap=2048), strong=_UPRO, cap=2048)

# -- `+`: Queclink ----------------------------------------------------------------------------------------------------

_QUECLINK_TEXT = Head(rb"\+(?:RESP|BUFF|ACK):GT|AT\+GTHBD=")
_QUECLINK_NEW = Head(rb"[+-]\x00[\x00-\x0f].{2}[\x00-\x09]")
_QUECLINK_LENGTHS = {
    **dict.fromkeys((b"+RSP", b"+BSP", b"+EVT", b"+BVT"), (9, 2)),
    **dict.fromkeys((b"+INF", b"+BNF"), (7, 2)),
    **dict.fromkeys((b"+CRD", b"+BRD", b"+LGN"), (6, 2)),
    b"+ACK": (6, 1),
    b"+HBD": (5, 1),
}
"""Where the length of a binary frame stands and its bytes, by header."""
_QUECLINK_CAP = 4 * 1024


def _queclink_length(buffer: bytes, start: int) -> int:
    """Length of a binary frame, 0 while its bytes are missing, -1 when there is none."""
    head = buffer[start : start + 4]
    at, width = (2, 2) if head[1] == 0 else _QUECLINK_LENGTHS.get(head, (0, 0))
    if not at:
        return -1
    number = buffer[start + at : start + at + width]
    return int.from_bytes(number) if len(number) == width else 0


def _detect_queclink_binary(buffer: bytes, ended: bool) -> Verdict:
    """Rule 41: a header of four letters and a plausible length, or the new form, whose end and CRC must be right."""
    more = NO if ended else MORE
    if buffer[:1] not in (b"+", b"-"):
        return NO
    if buffer[1:2] == b"\x00":
        return _detect_queclink_new(buffer, more)
    head = buffer[:4]
    if len(head) < 4:
        return more if any(known.startswith(head) for known in _QUECLINK_LENGTHS) else NO
    if head not in _QUECLINK_LENGTHS or buffer[4:5] == b":":
        return NO
    size = _queclink_length(buffer, 0)
    if not size:
        return more
    return YES if 12 <= size <= _QUECLINK_CAP else NO


def _detect_queclink_new(buffer: bytes, more: Verdict) -> Verdict:
    if not _QUECLINK_NEW.whole.match(buffer):
        return more if _QUECLINK_NEW.begun(buffer) else NO
    size = int.from_bytes(buffer[2:4])
    if size < 20 or not is_packed(buffer[5:13]):
        return NO
    if len(buffer) < size:
        return more
    return YES if buffer[size - 1 : size] == b"$" and crc_8(buffer[: size - 2]) == buffer[size - 2] else NO


def _queclink_binary(buffer: bytes, start: int, quiet: bool) -> int:
    size = _queclink_length(buffer, start)
    if size < 0 or size > _QUECLINK_CAP or 0 < size < 8:
        return IMPOSSIBLE
    return start + size if size and len(buffer) - start >= size else INCOMPLETE


_queclink_text = until(rb",[0-9A-Fa-f]{4}\$|\$(?=[+\r\n\x00])|(?=\x00)", silent=True, cap=_QUECLINK_CAP)
_TEXT_START = re.compile(rb"\+(?:RESP|BUFF|ACK|QRY):|AT\+")


def _queclink_end(buffer: bytes, start: int, quiet: bool) -> int:
    return (_queclink_text if _TEXT_START.match(buffer, start) else _queclink_binary)(buffer, start, quiet)


def _queclink_proof(buffer: bytes) -> bool:
    return buffer[-2:] == b"\r\n" and crc_false(buffer[4:-4]) == int.from_bytes(buffer[-4:-2])


gl200 = Recognised(
    "gl200",
    (
        rule(40, "gl200", _QUECLINK_TEXT),
        Rule(41, "gl200", _detect_queclink_binary, whole=True, first=b"+-"),
    ),
    Head(rb"\+(?:RESP|BUFF|ACK|QRY):|AT\+GTHBD=|\+(?:[BR]SP|[EB]VT|[IB]NF|[CB]RD|LGN|ACK|HBD)[^:]|[+-]\x00"),
    _queclink_end,
    _QUECLINK_CAP,
    strong=rb"\+RESP:GT[A-Z]{3},",
    proof=_queclink_proof,
)
tt8850 = Recognised(
    "tt8850",
    (rule(5, "tt8850", rb"\x00[\x04\x05],[0-9A-Fa-f]{4},", raw=True),),
    Head(rb"\x00[\x04\x05],"),
    until(rb"\$|(?=\x00[\x04\x05],)", silent=True),
    noise=re.compile(LINE_NOISE),
)

# -- Suntech: semicolons, and two packed forms ------------------------------------------------------------------------

_SUNTECH = rb"S[TA]\d{3}(?:[A-Z]{3})?;|(?:STT|ALT|ALV|EMG|EVT|UEX|BLE|BSA|RES|CRR|SNB|HTE);\d"


def _detect_suntech_zip(buffer: bytes, ended: bool) -> Verdict:
    """Rule 63: `02`, length, type, packed id, and 03 at the end; or `81` and `82` with a length below 256."""
    more = NO if ended else MORE
    if len(buffer) < 3:
        return more
    short = buffer[0] != 2
    size = int.from_bytes(buffer[1:3])
    if not 20 <= size <= (255 if short else 1000):
        return NO
    if not short and not 0x10 <= buffer[3:4].ljust(1, b"\x10")[0] <= 0x16:
        return NO
    if not is_packed(buffer[3:8] if short else buffer[4:9]):
        return NO
    total = size + (3 if short else 4)
    if len(buffer) < total:
        return more
    return YES if short or buffer[total - 1] == 3 else NO


def _suntech_zip(buffer: bytes, start: int, quiet: bool) -> int:
    return (_suntech_old if buffer[start] == 2 else _suntech_universal)(buffer, start, quiet)


_suntech_old = declared(24, big(1, 2, 4), 1100, b"\x03")
_suntech_universal = declared(23, big(1, 2, 3), 300)
suntech = Recognised(
    "suntech",
    (rule(45, "suntech", _SUNTECH), Rule(63, "suntech", _detect_suntech_zip, whole=True, first=b"\x02\x81\x82")),
    Head(_SUNTECH + rb"|[\x02\x81\x82][\x00-\x03]"),
    either(until(rb"\r(?=[^\n])", silent=True, cap=2048), _suntech_zip, b"\x02\x81\x82"),
    2048,
    strong=rb"ST\d{3}[A-Z]{3};\d{6,15};",
    QUIET_MS=500,
)

# -- MiniFinder, TRV, TAIP, Startek -----------------------------------------------------------------------------------

minifinder = text(47, "minifinder", rb"![1345ABCD],", until(rb";"), strong=rb"!1,\d{15}")

_TRV = rb"(?:TRV|IW)[A-Z]P[0-9A-Z]{2}"
_TRV_CAP = 4 * 1024
_trv_certain = until(rb"#(?=[\r\n]|TRV|IW)", silent=True, cap=_TRV_CAP)


def _trv_end(buffer: bytes, start: int, quiet: bool) -> int:
    """`#`; names of Wi-Fi networks, which come behind a `|`, may hold one: then what follows must look like a start."""
    end = buffer.find(b"#", start, start + _TRV_CAP) + 1
    if not end:
        return INCOMPLETE
    return end if buffer.find(b"|", start, end) < 0 else _trv_certain(buffer, start, quiet)


trv = text(48, "trv", _TRV, _trv_end, strong=rb"(?:TRV|IW)AP00\d{15}", cap=_TRV_CAP)
taip = text(
    49, "taip", rb">R[A-Z]{2} ?[0-9+,-]", until(rb"<|(?=>)|\r\n", silent=True), strong=rb">R[A-Z]{2}[^<>]{1,200};ID="
)

_STARTEK = rb"&&.\d{1,4},\d{15},"
_STARTEK_CAP = 10 * 1024


def _startek_length(buffer: bytes, start: int) -> int:
    """The number before the first comma counts from that comma to the checksum, which has two digits and CR LF."""
    comma = buffer.index(b",", start + 4)
    return comma - start + int(buffer[start + 3 : comma]) + 4


startek = text(
    50,
    "startek",
    _STARTEK,
    declared(23, _startek_length, _STARTEK_CAP, b"\r\n"),
    strong=_STARTEK,
    cap=_STARTEK_CAP,
    proof=lambda buffer: b"%02X" % sum_8(buffer[:-4]) == buffer[-4:-2],
)

MODULES = (
    easytrack,
    gosafe,
    ulbotech,
    upro,
    gl200,
    tt8850,
    suntech,
    minifinder,
    trv,
    taip,
    startek,
)
