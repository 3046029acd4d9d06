"""H02: `*HQ,id,type,...#` text and `$` or `X` binary frames, mixed on one connection, TCP and UDP.

Binary frames have no length and no end: one ends where the next one begins, or where the device falls silent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from zlib import crc32

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
from gateway.protocols.fields import imei_of, packed, plain_text, started, utc_text, verdict, visible_id, whole_number
from schemas.errors import FrameError, Reason
from schemas.records import Attribute

NAME = "h02"
QUIET_MS = 500
SHORTEST_BINARY_BYTES = 32
LONGEST_BINARY_BYTES = 64
STRONG_BYTES = 1024
"""How much behind a binary frame is looked at for the frame of another protocol; a binary one must be whole to count."""
HEAD_BYTES = 64
"""Bytes in which the start of another protocol's text frame shows itself."""
COPY_BYTES = 32
"""Length of an `X` frame: the copy of a record under a second id."""
CERTAIN_BYTES = 9
"""Bytes of a binary head (start, id, time) that are believed when silence cuts it off."""

_DIGITS = packed(0, 99)
_CLOCK = (packed(0, 23), packed(0, 59), packed(0, 59), packed(1, 31), packed(1, 12), _DIGITS)
_LATITUDE = (packed(0, 90), _DIGITS, _DIGITS, _DIGITS)
_LONGITUDE = (packed(0, 18), packed(0, 99), _DIGITS, _DIGITS, rb"[\x00-\x9f]")
_PLACE = (*_LATITUDE, rb"[\x00-\xff]", *_LONGITUDE)
_START = rb"[$X]"
_NARROW = (_START, *(_DIGITS,) * 5, *_CLOCK, *_PLACE)
_WIDE = (_START, *(_DIGITS,) * 7, rb"[\x00-\x9f]", *_CLOCK, *_PLACE)
"""Heads of binary frames with an id of 5 bytes (10 digits) and of 8 (15 digits and a nibble without meaning)."""
_GATOR = rb"(?!\$\$[\x80\x81\x21]\x00)"
_TEXT = (rb"\*", rb"[A-Za-z]", rb"[A-Za-z]", rb",")
_STRANGER = rb"(?!\*(?:ET|IW))"

_TEXT_WHOLE = re.compile(_STRANGER + rb"\*[A-Za-z]{2},\d{0,24},")
_TEXT_BEGUN = re.compile(_STRANGER + rb"(?:" + started(_TEXT) + rb"|\*[A-Za-z]{2},\d{0,24}\Z)")
_NARROW_WHOLE = re.compile(_GATOR + b"".join(_NARROW), re.DOTALL)
_WIDE_WHOLE = re.compile(_GATOR + b"".join(_WIDE), re.DOTALL)
_BINARY = rb"(?:" + b"".join(_NARROW) + rb"|" + b"".join(_WIDE) + rb")"
_BINARY_WHOLE = re.compile(_GATOR + _BINARY, re.DOTALL)
_BINARY_BEGUN = re.compile(_GATOR + rb"(?:" + started(_NARROW) + rb"|" + started(_WIDE) + rb")", re.DOTALL)
_ANY_WHOLE = re.compile(rb"\*[A-Za-z]{2},|" + _BINARY, re.DOTALL)
_ANY_BEGUN = re.compile(started(_TEXT) + rb"|" + started(_NARROW) + rb"|" + started(_WIDE), re.DOTALL)
_RESYNC = re.compile(
    rb"%b(?:\*[A-Za-z]{2},|%b)|%b|%b" % (_STRANGER, started(_TEXT), _BINARY_WHOLE.pattern, _BINARY_BEGUN.pattern),
    re.DOTALL,
)
_STRONG = re.compile(_STRANGER + rb"\*[A-Za-z]{2},\d{10,15},[A-Za-z]")
_NOISE = re.compile(rb"[\r\n %\x00]*")
_BOUNDARY = re.compile(rb"[*$X\r]")
_TEXT_HEAD = re.compile(rb"\*([A-Za-z]{2}),([^,#]*)(?:,([^,#]*))?")
_DATED = re.compile(rb",(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d\d[,#]")


def detect_text(buffer: bytes, ended: bool) -> Verdict:
    """Rule 18: `*`, two letters, comma, digits or nothing, comma."""
    return verdict(_TEXT_WHOLE, _TEXT_BEGUN, buffer, ended)


def detect_binary(buffer: bytes, ended: bool) -> Verdict:
    """Rule 33: packed decimal id, time, date, latitude and longitude where they must be."""
    return verdict(_BINARY_WHOLE, _BINARY_BEGUN, buffer, ended)


RULES: tuple[Rule, ...] = (Rule(18, NAME, detect_text, first=b"*"), Rule(33, NAME, detect_binary, first=b"$X"))


def strong_start(buffer: bytes, start: int) -> int:
    """Index of `*XX,` 10 to 15 digits, comma and a letter at or after start, or -1; binary starts are no proof."""
    match = _STRONG.search(buffer, start)
    return match.start() if match else -1


def split(buffer: bytes, start: int, facts: Facts, quiet: bool) -> Split:
    """Frame at start: text up to `#`, binary up to the next valid start or silence (quiet).

    Keeps the length of the last binary frame in facts.frame_bytes. Raises FrameError (too_long) when text has no `#`
    within 1 KiB.
    """
    match = _NOISE.match(buffer, start)
    begin = match.end() if match else start
    if begin >= len(buffer):
        return Split(Status.MORE, begin)
    first = buffer[begin]
    if first == 0x2A:
        return _split_text(buffer, begin)
    if first in (0x24, 0x58):
        return _split_binary(buffer, begin, facts, quiet)
    return Split(Status.FOREIGN, begin)


def _split_text(buffer: bytes, begin: int) -> Split:
    head = buffer[begin : begin + 4]
    if head[1:3] in (b"ET", b"IW") or not (head[1:3].isalpha() or len(head) < 3) or head[3:] not in (b"", b","):
        return Split(Status.FOREIGN, begin)
    if len(head) == 2 and not head[1:].isalpha():
        return Split(Status.FOREIGN, begin)
    end = buffer.find(b"#", begin, begin + TEXT_FRAME_BYTES) + 1
    if not end:
        if len(buffer) - begin >= TEXT_FRAME_BYTES:
            raise FrameError(Reason.TOO_LONG, "no end of text", begin)
        return Split(Status.MORE, begin)
    if buffer.find(b"*", begin + 1, end) > 0:
        # a head inside means that the frame around it lost its end: only that one is given up
        for inner in _STRONG.finditer(buffer, begin + 1, end):
            begin = inner.start()
    return Split(Status.FRAME, begin, end)


def _split_binary(buffer: bytes, begin: int, facts: Facts, quiet: bool) -> Split:
    if not _BINARY_WHOLE.match(buffer, begin):
        return Split(Status.MORE if _BINARY_BEGUN.match(buffer, begin) else Status.FOREIGN, begin)
    available = len(buffer) - begin
    if buffer[begin] == 0x58:
        return Split(Status.FRAME if available >= COPY_BYTES else Status.MORE, begin, begin + COPY_BYTES)
    length = _binary_length(buffer, begin, facts, quiet)
    if not length:
        return Split(Status.MORE, begin)
    facts.frame_bytes = length
    return Split(Status.FRAME, begin, begin + length)


def _binary_length(buffer: bytes, begin: int, facts: Facts, quiet: bool) -> int:
    """Length of the binary frame at begin, 0 when only more bytes or silence can tell."""
    last = facts.frame_bytes
    if last:
        answer = _boundary(buffer, begin + last, quiet)
        if answer is not Verdict.NO:
            return last if answer is Verdict.YES else 0
    for match in _BOUNDARY.finditer(buffer, begin + SHORTEST_BINARY_BYTES, begin + LONGEST_BINARY_BYTES + 1):
        answer = _boundary(buffer, match.start(), quiet)
        if answer is not Verdict.NO:
            return match.start() - begin if answer is Verdict.YES else 0
    available = len(buffer) - begin
    other = facts.strong(buffer[begin : begin + LONGEST_BINARY_BYTES + STRONG_BYTES], SHORTEST_BINARY_BYTES)
    if SHORTEST_BINARY_BYTES <= other <= LONGEST_BINARY_BYTES:
        return other  # a frame of another protocol stands there
    if available <= LONGEST_BINARY_BYTES + (0 if quiet else HEAD_BYTES):
        return available if quiet and available >= SHORTEST_BINARY_BYTES else 0
    # What follows is no frame of this protocol. The report ends with byte 31 at the earliest; the rest is noise.
    return last or SHORTEST_BINARY_BYTES


def _boundary(buffer: bytes, at: int, quiet: bool) -> Verdict:
    """Whether a binary frame can end before byte `at`: the buffer ends there, or a frame or a line end stands there."""
    left = len(buffer) - at
    if left <= 0:
        return Verdict.MORE if not quiet else Verdict.YES if left == 0 else Verdict.NO
    if buffer[at] == 0x0D:
        if left == 1:
            return Verdict.YES if quiet else Verdict.MORE
        return _boundary(buffer, at + 2, quiet) if buffer[at + 1] == 0x0A else Verdict.NO
    if _ANY_WHOLE.match(buffer, at):
        return Verdict.YES
    if not _ANY_BEGUN.match(buffer, at):
        return Verdict.NO
    if not quiet:
        return Verdict.MORE
    return Verdict.YES if left >= CERTAIN_BYTES else Verdict.NO


def resync(buffer: bytes, start: int) -> int:
    """The next byte where a text or binary frame begins or may begin, or the end of the buffer."""
    match = _RESYNC.search(buffer, start)
    return match.start() if match else len(buffer)


def validates(frame: bytes) -> bool:
    """True for whole text with a plausible date, and for binary: its packed decimal time, date and place prove it."""
    if frame[:1] == b"*":
        return frame[-1:] == b"#" and _TEXT_WHOLE.match(frame) is not None and _DATED.search(frame) is not None
    return _BINARY_WHOLE.match(frame) is not None


def id_bytes(frame: bytes) -> int:
    """Bytes of the packed id in a binary frame: 8 for the form with an IMEI, else 5. Later fields shift by the rest."""
    if _NARROW_WHOLE.match(frame) and not (len(frame) == 42 and _WIDE_WHOLE.match(frame)):
        return 5
    return 8 if _WIDE_WHOLE.match(frame) else 5


def identify(frame: bytes, facts: Facts) -> Identity:
    """The id in the frame: 10 digits, or an IMEI; text may have none. An `X` copy has another id and does not bind.

    Keeps the head of text (`*HQ,id,`) in facts.login: a command must use the letters and the id of the device.
    """
    if frame[:1] == b"*":
        match = _TEXT_HEAD.match(frame)
        text = visible_id(match[2]) if match else ""
        if match is None or not text:
            return NO_IDENTITY
        login = b"*%b,%b," % (match[1], match[2])
        if facts.login != login:
            facts.login = login
        return Identity(text, imei_of(text))
    text = frame[1:9].hex()[:15] if id_bytes(frame) == 8 else frame[1:6].hex()
    if not text.isdigit():
        return NO_IDENTITY
    return Identity(text, imei_of(text), binds=frame[:1] != b"X")


def reply(frame: bytes, facts: Facts, now_ms: int) -> Reply | None:
    """V4 with the server's time (UTC) to V1 and NBR; the head again to the heartbeats HTBT and V0; else None.

    Vendor letters and id are those of the frame. A device that sends the same report again at once (SinoTrack ST-901L and
    relatives do until they see an R12) gets R12 to this and to its later reports without an answer of their own.
    """
    if frame[:1] == b"$":
        text = frame[1:9].hex()[:15] if id_bytes(frame) == 8 else frame[1:6].hex()
        return _acknowledge(frame, b"HQ", text.encode(), facts, now_ms)
    match = _TEXT_HEAD.match(frame)
    if match is None or not match[3] or (match[2] and not visible_id(match[2])):
        return None
    kind = match[3]
    if kind in (b"V1", b"NBR"):
        return Reply(b"*%b,%b,V4,%b,%b#" % (match[1], match[2], kind, utc_text(now_ms, "%Y%m%d%H%M%S")))
    if kind in (b"HTBT", b"V0"):
        return Reply(b"*%b,%b,%b#" % (match[1], match[2], kind))
    return _acknowledge(frame, match[1], match[2], facts, now_ms) if kind in _REPORTS else None


def _acknowledge(frame: bytes, vendor: bytes, device: bytes, facts: Facts, now_ms: int) -> Reply | None:
    """R12 to a device that repeats its reports; None to the others, which need no answer."""
    mark = crc32(frame)
    facts.repeats = facts.repeats or mark == facts.last_report
    facts.last_report = mark
    return Reply(b"*%b,%b,R12,%b#" % (vendor, device, utc_text(now_ms, "%H%M%S"))) if facts.repeats else None


_REPORTS = frozenset((b"V2", b"V5", b"V6", b"V8", b"V9", b"V19", b"VI1"))
"""Text reports that carry a time and get no answer of their own."""


_COMMANDS: dict[str, tuple[bytes, bytes]] = {
    "engine_stop": (b"S20", b",1,1"),
    "engine_resume": (b"S20", b",1,0"),
    "alarm_arm": (b"SCF", b",0,0"),
    "alarm_disarm": (b"SCF", b",1,1"),
    "get_device_status": (b"S26", b""),
    "position_single": (b"CR", b""),
    "reboot": (b"CQ", b""),
    "factory_reset": (b"RESET", b""),
}


def encode_command(kind: str, parameters: Mapping[str, Attribute], facts: Facts, now_ms: int) -> bytes:
    """Bytes of a command: `*HQ,id,CMD,HHMMSS[,parameters]#` with the sending time in UTC, which the answer echoes.

    Parameters: position_periodic interval_s, and form "D1" for firmware that takes D1 in place of S71; custom data
    (text sent as it is). Raises ValueError for a command that these devices have not.
    """
    if kind == "custom":
        return plain_text(parameters, "data").encode()
    if kind == "position_periodic":
        interval_s = whole_number(parameters, "interval_s", 1, 65535)
        short_form = parameters.get("form") == "D1"
        command, arguments = (b"D1" if short_form else b"S71"), (b",%d" if short_form else b",22,%d") % interval_s
    elif kind in _COMMANDS:
        command, arguments = _COMMANDS[kind]
    else:
        raise ValueError(f"h02 devices have no command {kind}")
    head = facts.login if _TEXT_HEAD.match(facts.login) else b""
    if not head and facts.device_id:
        head = b"*HQ,%b," % facts.device_id.encode()
    if not head:
        raise ValueError("the device has not said who it is")
    return head + command + b"," + utc_text(now_ms, "%H%M%S") + arguments + b"#"
