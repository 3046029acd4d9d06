"""Recognised protocols whose frames begin with `#`: Wialon IPS, V680 and TLT-2H (docs/design.md rules 42-44)."""

from __future__ import annotations

import re

from gateway.protocols.base import Rule, Verdict
from gateway.protocols.recognised.heads import MORE, NO, YES, Head
from gateway.protocols.recognised.kind import INCOMPLETE, Recognised, rule, until

# -- Wialon IPS -------------------------------------------------------------------------------------------------------

_WIALON_CAP = 96 * 1024
_TYPES = rb"#(?:L|D|SD|P|B|M|I|IT|T)#"
_WITH_ID = rb"(?:\d\.\d;)?[0-9A-Za-z_.-]{3,32}#(?:SD|D|B|P|M)#"
_with_id = Head(_WITH_ID)
_BLOCK = re.compile(rb"#(?:I|T)#(\d{1,6});")


def _detect_wialon_datagram(buffer: bytes, ended: bool) -> Verdict:
    """Rule 43: the form of datagrams, with the id first. On TCP silence decides, and an id alone postpones nothing."""
    if _with_id.whole.match(buffer):
        return YES if ended else MORE
    return MORE if not ended and len(buffer) < 3 and _with_id.begun(buffer) else NO


def _wialon_end(buffer: bytes, start: int, quiet: bool) -> int:
    """A line; headers of pictures and tachograph files are followed by as many raw bytes as their first field says."""
    if buffer[start] == 0xFF:
        size = 3 + int.from_bytes(buffer[start + 1 : start + 3], "little")
        return start + size if len(buffer) - start >= size else INCOMPLETE
    end = buffer.find(b"\n", start, start + _WIALON_CAP) + 1
    if not end:
        return len(buffer) if quiet and len(buffer) - start < _WIALON_CAP else INCOMPLETE
    block = _BLOCK.match(buffer, start)
    if block:
        end += int(block[1])
    return end if len(buffer) >= end else INCOMPLETE


wialon = Recognised(
    "wialon",
    (
        rule(42, "wialon", _TYPES),
        Rule(43, "wialon", _detect_wialon_datagram, whole=True, first=_with_id.first),
    ),
    Head(_TYPES + rb"|\xff..|" + _WITH_ID),
    _wialon_end,
    _WIALON_CAP,
    strong=rb"#(?:L|D|SD)#",
)

# -- V680 and TLT-2H: the same first 17 bytes -------------------------------------------------------------------------

_UNDECIDED_BYTES = 512
_ID = Head(rb"#\d{14,15}#")
_TLT2H = re.compile(rb"#\d{14,15}#[^$]{0,200}?\r\n[^$]{0,60}\$(?:GPRMC|WIFI),")
_V680_END = rb"#(?:\d{6}|0)#(?:\d{6}(?:\.\d{1,3})?|0)##"
_V680 = re.compile(rb"#\d{14,15}#[^\r\n]{0,400}?" + _V680_END)
_V680_SILENT = re.compile(rb"#\d{14,15}#(?:#?\Z|[^#\r\n]{0,30}#\d{0,2}#\d{0,8}#[A-Za-z]{2,6}#\d{1,2}#)")


def _detect_hash(buffer: bytes, ended: bool) -> tuple[Verdict, str]:
    if not _ID.whole.match(buffer):
        return (MORE if not ended and _ID.begun(buffer) else NO), ""
    head = buffer[:_UNDECIDED_BYTES]
    if _TLT2H.match(head):
        return YES, "tlt2h"
    if _V680.match(head) or (ended and _V680_SILENT.match(head)):
        return YES, "v680"
    return (NO if ended or len(buffer) >= _UNDECIDED_BYTES else MORE), ""


def _detect_v680(buffer: bytes, ended: bool) -> Verdict:
    """Rule 44: `#`, an id, `#` without line ends up to a date and a time; in silence an id alone or an event."""
    answer, name = _detect_hash(buffer, ended)
    return answer if name != "tlt2h" else NO


def _detect_tlt2h(buffer: bytes, ended: bool) -> Verdict:
    """Rule 44: the same with CR LF behind its header, and `$GPRMC,` or `$WIFI,` in the line after it."""
    answer, name = _detect_hash(buffer, ended)
    return answer if name != "v680" else NO


_LOGIN_BEFORE_ANOTHER = re.compile(rb"#\d{14,15}##(?=#\d{14})")
_v680_text = until(_V680_END, silent=True, cap=2048)


def _v680_end(buffer: bytes, start: int, quiet: bool) -> int:
    """Date, time and `##`. An empty field looks like an end too, so a login ends only in silence or before another id."""
    login = _LOGIN_BEFORE_ANOTHER.match(buffer, start)
    return login.end() if login else _v680_text(buffer, start, quiet)


_STRONG = rb"#\d{15}#[^#\r\n]{0,30}#[^#\r\n]{0,8}#"
v680 = Recognised(
    "v680",
    (Rule(44, "v680", _detect_v680, whole=True, first=b"#"),),
    Head(rb"#\d{14,15}#|\d{1,2}#\d{4}#[A-Z]{2}"),
    _v680_end,
    2048,
    strong=_STRONG,
    sure=lambda buffer: _detect_hash(buffer, True)[1] == "v680",
)
tlt2h = Recognised(
    "tlt2h",
    (Rule(44.1, "tlt2h", _detect_tlt2h, whole=True, first=b"#"),),
    _ID,
    until(rb"\n##|(?=\r\n#\d{14,15}#[^$]{0,200}\r\n)", silent=True, cap=8192),
    8192,
    strong=_STRONG,
    sure=lambda buffer: _detect_hash(buffer, True)[1] == "tlt2h",
)

MODULES = (wialon, v680, tlt2h)
