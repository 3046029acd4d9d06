"""TK103 parenthesis frames: `(ID CMD body)` with fixed widths (grammar A) and `(ID,CMD,...)` (grammar B), TCP and UDP.

A frame has no length, checksum or serial number: only its parentheses, and `$...$` around free text that may hold them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from gateway.protocols.base import (
    NO_IDENTITY,
    TEXT_FRAME_BYTES,
    Facts,
    Identity,
    Reply,
    Rule,
    Split,
    Status,
    Verdict,
)
from gateway.protocols.fields import imei_of, plain_text, started, visible_id, whole_number
from schemas.errors import FrameError, Reason
from schemas.records import Attribute

NAME = "tk103"
QUIET_MS = 2_000
COMMA_DIALECT = "comma"
"""facts.dialect of a device that speaks grammar B; empty for grammar A."""

_KNOWN = rb"(?:BP(?:0[0245]|12)|BR0[01256]|BO01|BZ00|BV0[01]|BQ8[16]|BS(?:5[01]|08)|BT00|BU00)"
_FAMILIES = (rb"B", rb"[PROZSVQ]"), (rb"Z", rb"C"), (rb"D", rb"W")
_FAMILY = rb"(?:" + rb"|".join(first + second for first, second in _FAMILIES) + rb")"
_HEX = rb"[0-9A-Fa-f]"


def _of_each_width(character: bytes, rest: bytes) -> bytes:
    return rb"|".join(rb"%b{%d}%b" % (character, width, rest) for width in (12, 11, 15))


_SURE = rb"\((?:" + _of_each_width(rb"[^(),]", _KNOWN) + rb"|\d{5,17}," + _FAMILY + _HEX + rb"{2},)"
_STRONG = re.compile(_SURE)
_WHOLE = re.compile(_SURE + rb"|\((?:" + _of_each_width(rb"[0-9A-Za-z]", rb"[AB][A-Z]\d\d") + rb")")
_BEGUN = re.compile(
    rb"\Z|\((?:[^(),]{0,15}\Z|\d{0,17}\Z|"
    + _of_each_width(rb"[0-9A-Za-z]", started((rb"[AB]", rb"[A-Z]", rb"\d")))
    + rb"|"
    + _of_each_width(rb"[^(),]", started((rb"B", rb"[PROZVQSTU]", rb"\d")))
    + rb"|\d{5,17},(?:\Z|"
    + rb"|".join(first + started((second, _HEX, _HEX)) for first, second in _FAMILIES)
    + rb"))"
)
_TOPFLYTECH = re.compile(rb"\(\d{15}BP00XG")
_TOPFLYTECH_BEGUN = re.compile(rb"\(\d{15}BP00(?:X|)\Z")


def _id_and_command(widths: tuple[int, ...], character: bytes, command: bytes) -> bytes:
    return rb"|".join(rb"(%b{%d})(%b)" % (character, width, command) for width in widths)


_COMMA_GROUPS = 2
_HEAD = re.compile(
    rb"\((?:(\d{5,17}),([A-Z]{2}[0-9A-F]{2})(?=[,)])|"
    + _id_and_command((12, 11, 15), rb"[^(),]", _KNOWN)
    + rb"|"
    + _id_and_command((12, 11, 15), rb"[0-9A-Za-z]", rb"[A-Z]{2}\d\d")
    + rb"|([^(),]{4,20}?)("
    + _KNOWN
    + rb"))"
)
_OTHER = re.compile(
    # digits and a comma, then what is no command of grammar B: Jt600 and jt808 text, for the table to decide
    rb"\(\d{5,20},(?![A-Z]{2}[0-9A-F]{2}[,)]|" + started((rb"[A-Z]", rb"[A-Z]", rb"[0-9A-F]", rb"[0-9A-F]")) + rb")"
)
_SPECIAL = re.compile(rb"[()$]")
_NOISE = re.compile(rb"[\r\n \x00]*")
_DATED = re.compile(
    rb"(?:\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[AV] *\d{2,4}\.\d+[NS]"
    rb"|,\d{6},[AV],\d{0,4}\.\d+[NS],\d{0,5}\.\d+[EW],)"
)


class Head(NamedTuple):
    """A frame taken apart: the id as sent, the command, what follows it (without the closing parenthesis)."""

    id: bytes
    command: bytes
    body: bytes
    comma: bool


def head_of(frame: bytes) -> Head | None:
    """Take a frame apart, or None when it has no command where one can stand.

    The id normally has 12 characters, so that place is tried first, then 11 and 15; only then is the command searched:
    ids may hold letters, even what looks like a command.
    """
    match = _HEAD.match(frame)
    if match is None or match.lastindex is None:
        return None
    command = match.lastindex
    return Head(match[command - 1], match[command], frame[match.end() : -1], command == _COMMA_GROUPS)


def detect(buffer: bytes, ended: bool) -> Verdict:
    """Rule 11: an id of 11, 12 or 15 characters and a command, or digits, comma and a command of grammar B."""
    if _WHOLE.match(buffer):
        if _TOPFLYTECH.match(buffer):
            return Verdict.NO
        return Verdict.MORE if not ended and _TOPFLYTECH_BEGUN.match(buffer) else Verdict.YES
    return Verdict.MORE if not ended and _BEGUN.match(buffer) else Verdict.NO


RULES: tuple[Rule, ...] = (Rule(11, NAME, detect, first=b"("),)


def strong_start(buffer: bytes, start: int) -> int:
    """Index of `(`, an id and a known command at or after start, or -1."""
    match = _STRONG.search(buffer, start)
    return match.start() if match else -1


def split(buffer: bytes, start: int, facts: Facts, quiet: bool) -> Split:
    """Frame from `(` to the `)` that no `$` text encloses; a nested `(` begins anew, other noise is FOREIGN.

    Raises FrameError (too_long) when none closes within 1 KiB, as an unpaired `$` makes it.
    """
    begin = start
    if buffer[start : start + 1] != b"(":
        match = _NOISE.match(buffer, start)
        begin = match.end() if match else start
        if begin >= len(buffer):
            return Split(Status.MORE, begin)
        if buffer[begin] != 0x28:
            return Split(Status.FOREIGN, begin)
    if _OTHER.match(buffer, begin):
        return Split(Status.FOREIGN, begin)
    end = buffer.find(b")", begin, begin + TEXT_FRAME_BYTES)
    if end > 0 and buffer.find(b"$", begin, end) < 0 and buffer.find(b"(", begin + 1, end) < 0:
        return _closed(buffer, begin, end + 1)
    return _scan(buffer, begin)


def _scan(buffer: bytes, start: int) -> Split:
    """The careful way of split: count `$`, begin anew at a nested `(`."""
    begin, enclosed = start, False
    for match in _SPECIAL.finditer(buffer, start + 1):
        at = match.start()
        if at - begin >= TEXT_FRAME_BYTES:
            return _overflow(start, begin)
        special = buffer[at]
        if special == 0x24:
            enclosed = not enclosed
        elif enclosed:
            continue
        elif special == 0x29:
            return _closed(buffer, begin, at + 1)
        elif _OTHER.match(buffer, at):
            return Split(Status.FOREIGN, at)
        else:
            begin = at
    if len(buffer) - begin >= TEXT_FRAME_BYTES:
        return _overflow(start, begin)
    return Split(Status.MORE, begin)


def _overflow(start: int, begin: int) -> Split:
    # Resynchronising starts behind `start`: raised only there, else every nested `(` would be scanned again and again.
    if begin == start:
        raise FrameError(Reason.TOO_LONG, "no closing parenthesis", start)
    return Split(Status.FOREIGN, begin)


def _closed(buffer: bytes, begin: int, end: int) -> Split:
    return Split(Status.FRAME if _HEAD.match(buffer, begin, end) else Status.FOREIGN, begin, end)


def resync(buffer: bytes, start: int) -> int:
    """The next `(`, or the end of the buffer."""
    at = buffer.find(b"(", start)
    return at if at >= 0 else len(buffer)


def validates(frame: bytes) -> bool:
    """True for a whole frame with a position of a plausible date, or a handshake."""
    head = head_of(frame)
    if head is None or frame[-1:] != b")":
        return False
    return _DATED.search(head.body) is not None or (head.command == b"BP00" and b"HSO" in head.body)


def identify(frame: bytes, facts: Facts) -> Identity:
    """The id as sent, and the IMEI when it is one or a login or handshake carries one beside it.

    Keeps the id as sent in facts.login and the grammar in facts.dialect: a command must be addressed with it.
    """
    head = head_of(frame)
    if head is None:
        return NO_IDENTITY
    text = visible_id(head.id)
    imei = imei_of(text)
    if not head.comma and head.command in (b"BP05", b"BP00") and head.body[:15].isdigit():
        second = head.body[:15].decode("ascii")
        if not second.startswith("000"):  # zeros and the short id stand there when no IMEI is set
            imei = imei_of(second) or imei
    if text:
        dialect = COMMA_DIALECT if head.comma else ""
        if facts.login != head.id or facts.dialect != dialect:
            facts.login, facts.dialect = head.id, dialect
    return Identity(text, imei) if text or imei else NO_IDENTITY


def reply(frame: bytes, facts: Facts, now_ms: int) -> Reply | None:
    """AP05 to a login, AP01HSO to a handshake, AS01 and the alarm's character to an alarm; grammar B has no replies."""
    head = head_of(frame)
    if head is None or head.comma or not visible_id(head.id):
        return None
    if head.command == b"BP05":
        answer = b"AP05"
    elif head.command == b"BP00" and not head.body.startswith(b"XG"):
        answer = b"AP01HSO"
    elif head.command == b"BO01" and head.body[:1].isalnum():
        answer = b"AS01" + head.body[:1]
    else:
        return None
    return Reply(b"(" + head.id + answer + b")")


_COMMANDS: dict[str, bytes] = {
    "position_single": b"AP00",
    "position_stop": b"AR0000000000",
    "engine_stop": b"AV010",
    "engine_resume": b"AV011",
    "reboot": b"AT00",
    "get_version": b"AP07",
    "reset_odometer": b"AX01",
}
_COMMA_COMMANDS: dict[str, str] = {
    "position_single": "*getposl*",
    "position_periodic": "*routetrack*99*",
    "position_stop": "*routetrackoff*",
    "reboot": "88888888",
    "get_device_status": "*status*",
    "get_version": "*about*",
    "device_identification": "999999",
    "power_off": "*turnoff*",
    "mode_deep_sleep": "*sleep*2*",
}


def encode_command(kind: str, parameters: Mapping[str, Attribute], facts: Facts, now_ms: int) -> bytes:
    """Bytes of a command, addressed with the id that the device itself uses (facts.login, kept by identify).

    Parameters: position_periodic interval_s (grammar B has no choice) and duration_s (absent: endless); output_control
    index 1 and enable; set_connection server (IPv4) and port; sos_number phone and password; mode_power_saving and
    alarm_sos enable; custom data. Raises ValueError for a command that the device's grammar has not.
    """
    if facts.dialect == COMMA_DIALECT:
        return f"[begin]sms2,{_comma_text(kind, parameters)},[end]".encode()
    address = visible_id(facts.login) or facts.device_id
    if not address:
        raise ValueError("the device has not said who it is")
    return b"(" + address.encode() + _fixed_text(kind, parameters) + b")"


def _fixed_text(kind: str, parameters: Mapping[str, Attribute]) -> bytes:
    if kind in _COMMANDS:
        return _COMMANDS[kind]
    if kind == "position_periodic":
        interval_s = whole_number(parameters, "interval_s", 1, 0xFFFF)
        duration_s = whole_number(parameters, "duration_s", 60, 255 * 3600) if "duration_s" in parameters else 0
        return b"AR00%04X%02X%02X" % (interval_s, duration_s // 3600, duration_s // 60 % 60)
    if kind == "output_control":
        whole_number(parameters, "index", 1, 1)
        return b"AV001" if _enabled(parameters) else b"AV000"
    if kind == "custom":
        return plain_text(parameters, "data", "()").encode()
    raise ValueError(f"tk103 devices have no command {kind}")


def _comma_text(kind: str, parameters: Mapping[str, Attribute]) -> str:
    if kind in _COMMA_COMMANDS:
        return _COMMA_COMMANDS[kind]
    if kind == "mode_power_saving":
        return "*sleepv*" if _enabled(parameters) else "*sleepoff*"
    if kind == "alarm_sos":
        return "*soson*" if _enabled(parameters) else "*sosoff*"
    if kind == "set_connection":
        numbers = plain_text(parameters, "server").split(".")
        if len(numbers) != 4 or not all(part.isdigit() and int(part) < 256 for part in numbers):
            raise ValueError("server must be an IPv4 address: the device takes no name")
        return f"*setip*{'*'.join(numbers)}*{whole_number(parameters, 'port', 1, 65535)}*"
    if kind == "sos_number":
        return f"*master*{plain_text(parameters, 'password', '*,[]')}*{plain_text(parameters, 'phone', '*,[]')}*"
    if kind == "custom":
        return plain_text(parameters, "data", "[]")
    raise ValueError(f"tk103 devices with comma frames have no command {kind}")


def _enabled(parameters: Mapping[str, Attribute]) -> bool:
    value = parameters.get("enable")
    if not isinstance(value, bool):
        raise ValueError(f"enable must be true or false, not {value!r}")
    return value
