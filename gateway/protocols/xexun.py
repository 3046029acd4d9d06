"""Xexun: an RMC sentence without its `$`, then signal, status and `imei:ID,`; purely uplink, never answered. TCP, UDP.

    basic      GPRMC,...*CS,F,[status],imei:ID,
    full       SERIAL,PHONE,GPRMC,...*CS,F,[status], imei:ID,satellites,...,cell     and CR LF, LF CR or LF
    STC        as full up to the comma behind the id, then length and one or two raw check bytes, and no end
    cell only  ,PHONE,,L,, imei:ID,,,...,cell                                        and a line end

Only the comma behind the id is sure. What follows it ends with a line, where the next frame begins, at a byte that no
field of it can hold (another protocol's frame), or with silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import xor

from gateway.protocols.base import NO_IDENTITY, TEXT_FRAME_BYTES, Facts, Identity, Reply, Rule, Split, Status, Verdict
from gateway.protocols.fields import imei_of, plain_text, started, verdict
from schemas.records import Attribute

NAME = "xexun"
QUIET_MS = 2_000

_RMC = (b"G", b"[PN]", b"R", b"M", b"C", b",")
_PHONE = rb"[^\x00-\x1f,\x7f]{0,40}+"
_TIME = rb"\d{0,6}+(?:\.\d{0,6}+)?+"
_WHOLE = re.compile(rb"(?:(\d{1,14}+),%b,)?+G[PN]RMC,%b,[AV]" % (_PHONE, _TIME))
_BEGUN = re.compile(rb"(?:\d{1,14}+(?:\Z|,%b(?:\Z|,)))?+(?:%b|G[PN]RMC,%b(?:\Z|,\Z))" % (_PHONE, started(_RMC), _TIME))
_LEFT = re.compile(rb"\d{1,14}+,%b,(?=G[PN]RMC,)" % _PHONE)
_CELL = re.compile(rb",\+?\d{0,15}+,,[FL],")
_CELL_BEGUN = re.compile(rb"\Z|,\+?+\d{0,15}+" + started((b",", b",", b"[FL]", b",")))

_SENTENCE = rb"[0-9ADEFMNPRSVW.,+\- ]{0,160}+"
"""The sentence behind its validity letter. `G` is none of it: there the next frame begins."""
_STATUS = rb"[^\x00-\x1f\x7f$*(#\[~]"
"""Signal and status, up to `imei:`; without what frames of other protocols begin with."""
_TO_ID = rb"(?>%b{0,60}?imei:)" % _STATUS
_CORE = re.compile(
    rb"(?:%b%b\*[0-9A-Fa-f]{2}[\r\n]{0,2}+,[FL],|%b)%b\d{1,20}+(?:(,)|(?=[\r\n]))"
    % (_WHOLE.pattern, _SENTENCE, _CELL.pattern, _TO_ID)
)
_REACHED_ID = rb"(?:%b\d{0,20}+|%b{0,66}+)" % (_TO_ID, _STATUS)  # 66: 60, and `imei:` that may be cut
_REACHED = re.compile(
    rb"(?:%b(?:%b(?:\*(?:[0-9A-Fa-f](?:[0-9A-Fa-f](?:[\r\n]{0,2}+(?:,(?:[FL](?:,%b)?)?)?)?)?)?)?)|%b%b)"
    % (_WHOLE.pattern, _SENTENCE, _REACHED_ID, _CELL.pattern, _REACHED_ID)
)
"""As _CORE, as far as the bytes go along with it."""

_NOISE = re.compile(rb"[\r\n \x00]*+")
_NOT_TAIL = re.compile(rb"[^0-9A-Fa-fLlVvKkMm.,:/=%+\- ]")
"""A byte that is in no field behind the id."""
_STC = re.compile(rb"\d{1,4}+[^\d,]")
_BEAT_DIGITS = range(14, 18)
"""Digits of a gps103 heartbeat; no field behind the id has so many."""


def _begun_or_whole(classes: Sequence[bytes]) -> bytes:
    """Pattern of `classes` (one-byte patterns in order) that may end early where the input ends; the last is a group."""
    pattern = rb"(?:\Z|(%b))" % classes[-1]
    for one in reversed(classes[:-1]):
        pattern = rb"(?:\Z|" + one + pattern + rb")"
    return pattern


_PLAIN_PHONE = rb"[\w+ .&'\-]{0,40}+"
_NEXT = re.compile(rb"(?:(\d{1,14}+)(?:\Z|,%b(?:\Z|,)))?+%b" % (_PLAIN_PHONE, _begun_or_whole(_RMC)))
"""The head of a frame, up to the comma behind GPRMC, or what the input holds of it."""
_NEXT_BYTES = 64
"""More than the longest _NEXT."""
_RESYNC = re.compile(
    rb"\d{1,14}+(?:\Z|,%b(?:\Z|,%b))|%b|,\+?+\d{0,15}+%b"
    % (_PHONE, _begun_or_whole(_RMC), _begun_or_whole(_RMC), _begun_or_whole((b",", b",", b"[FL]", b",")))
)
_STRONG = re.compile(
    rb"(?<![$:=])(?:(?<!\d)\d{1,14}+,%b,)?+G[PN]RMC,%b\*[0-9A-Fa-f]{2}[\r\n]{0,2}+,[FL],%b\d{15},"
    % (_PLAIN_PHONE, _SENTENCE, _TO_ID)
)
_ID = re.compile(rb"imei:(\d{1,20})(?!\d)")
FRAME = re.compile(
    rb"(?:(\d{0,14}+),(%b),)?+(?:G[PN]RMC,([^*]*+)\*[0-9A-Fa-f]{2}[\r\n]{0,2}+)?+"
    rb",([FL]),(?>(%b{0,60}?)imei:)(\d{1,20}+)(?:,(.*+))?+" % (_PHONE, _STATUS),
    re.DOTALL,
)
"""A frame taken apart: serial, phone, sentence, signal, status text, id, what follows its comma."""
_PROOF = re.compile(
    rb"(?:\d{1,14},[^,]*,)?(G[PN]RMC,([^*]*))\*([0-9A-Fa-f]{2})[\r\n]{0,2},[FL],[^*]{0,60}?imei:\d{14,15},"
)
_CELL_PROOF = re.compile(_CELL.pattern + rb"[^,]{0,40},? ?imei:\d{14,15},[^,]*,[^,]*,[FL]:\d+\.\d+V")
_DATED = re.compile(
    rb"(?:[01]\d|2[0-3])[0-5]\d[0-5]\d(?:\.\d+)?,[AV],(?:[^,]*,){6}(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d\d"
)


def detect_sentence(buffer: bytes, ended: bool) -> Verdict:
    """Rule 67: perhaps serial and phone, then GPRMC or GNRMC without `$`, a time, and A or V."""
    return verdict(_WHOLE, _BEGUN, buffer, ended)


def detect_cell(buffer: bytes, ended: bool) -> Verdict:
    """Rule 66: the phone in the second column, no sentence, F or L."""
    return verdict(_CELL, _CELL_BEGUN, buffer, ended)


RULES: tuple[Rule, ...] = (
    Rule(66, NAME, detect_cell, first=b","),
    Rule(67, NAME, detect_sentence, first=b"G0123456789"),
)


def strong_start(buffer: bytes, start: int) -> int:
    """Index of a frame up to the comma behind an id of 15 digits, without `$`, at or after start, or -1."""
    if buffer.find(b"imei:", start) < 0:
        return -1
    match = _STRONG.search(buffer, start)
    return match.start() if match else -1


# -- framing --------------------------------------------------------------------------------------------


def split(buffer: bytes, start: int, facts: Facts, quiet: bool) -> Split:
    """Frame from its serial, or its sentence, to what ends it; line ends are left out.

    A frame that breaks off before its id is noise; the next one may begin inside of it. One that runs on for more than
    1 KiB behind its id is noise too. Raises nothing.
    """
    begin = start
    while True:
        core = _CORE.match(buffer, begin)
        if core is not None:
            end = _end(buffer, begin, core, quiet)
            if end:
                return Split(Status.FRAME, begin, end) if end > 0 else Split(Status.MORE, begin)
            begin += TEXT_FRAME_BYTES
            continue
        noise = _NOISE.match(buffer, begin)
        if noise is not None and noise.end() > begin:
            begin = noise.end()
            continue
        reached = _REACHED.match(buffer, begin)
        if reached is None:
            if _BEGUN.match(buffer, begin) or _CELL_BEGUN.match(buffer, begin):
                return Split(Status.MORE, begin)
            left = _LEFT.match(buffer, begin)  # skipped at once, else it would be refused again from each of its digits
            return Split(Status.FOREIGN, left.end() if left else begin)
        at = reached.end()
        if at >= len(buffer):
            return Split(Status.MORE, begin)
        # The byte at `at` fits no more: the head of the next frame lies over it, or it is nothing of this protocol.
        head = _WHOLE.match(buffer, begin) or _CELL.match(buffer, begin)
        following = _next_head(buffer, head.end() if head else at, at, 0, quiet)
        if following < 0:
            return Split(Status.MORE, begin)
        begin = following


def _end(buffer: bytes, begin: int, core: re.Match[bytes], quiet: bool) -> int:
    """Where the frame ends whose head is `core`; -1: not known yet; 0: nowhere within 1 KiB."""
    tail = core.end()
    if core[2] is None:
        return tail  # the line ends behind the id
    serial_bytes = core.end(1) - core.start(1)
    stc = _STC.match(buffer, tail)
    if stc:
        return _end_of_check(buffer, stc.end(), serial_bytes, quiet)
    limit = begin + TEXT_FRAME_BYTES
    match = _NOT_TAIL.search(buffer, tail, limit)
    if match is None:
        if len(buffer) >= limit:
            return 0
        if not quiet:
            return -1
        end = len(buffer)
    else:
        end = at = match.start()
        if buffer[at] == 0x69:  # of `imei:`
            cell = _CELL.search(buffer, tail, at)
            end = cell.start() if cell else at
        elif buffer[at] not in b"\r\n":
            end = _next_head(buffer, tail, at, serial_bytes, quiet)
    return tail if end - tail in _BEAT_DIGITS and buffer[tail:end].isdigit() else end


def _end_of_check(buffer: bytes, first: int, serial_bytes: int, quiet: bool) -> int:
    """End of an STC frame: one raw check byte before `first`, perhaps a second one, then the next frame or silence."""
    for at in (first, first + 1):
        following = _head_at(_NEXT.match(buffer, at, at + _NEXT_BYTES), buffer, serial_bytes)
        if following >= 0:
            return following
        if following == _BEGUN_HEAD:
            return -1 if not quiet else min(at, len(buffer))
    return first


_NO_HEAD = -1
_BEGUN_HEAD = -2


def _head_at(match: re.Match[bytes] | None, buffer: bytes, serial_bytes: int) -> int:
    """Index where the head begins that _NEXT has matched, _BEGUN_HEAD while it is incomplete, _NO_HEAD for none.

    A serial that stands right behind digits of the frame before it has as many digits as that frame's own.
    """
    if match is None:
        return _NO_HEAD
    if match[2] is None:
        return _BEGUN_HEAD
    if match[1] is None:
        return match.start()
    digits, start = len(match[1]), match.start()
    if digits in (10, 12) and not buffer[start - 1 : start].isdigit():
        own = digits
    elif serial_bytes:
        own = serial_bytes
    else:
        own = 12 if digits > 12 else 10
    return match.end(1) - min(own, digits)


def _next_head(buffer: bytes, low: int, at: int, serial_bytes: int, quiet: bool) -> int:
    """Where, from low on, the next frame begins whose head lies over byte `at`; `at` for none, -1 for not known yet."""
    match = _NEXT.search(buffer, max(low, at - _NEXT_BYTES), at + _NEXT_BYTES)
    if match is None or match.start() > at:
        return at
    following = _head_at(match, buffer, serial_bytes)
    if following == _BEGUN_HEAD:
        return at if quiet else -1
    return following


def resync(buffer: bytes, start: int) -> int:
    """The next byte where a serial and a sentence, a sentence, or a cell-only frame begins or may begin."""
    match = _RESYNC.search(buffer, start)
    return match.start() if match else len(buffer)


def validates(frame: bytes) -> bool:
    """True for a frame with a right checksum or a plausible date, or one without a sentence that tells its battery."""
    match = _PROOF.match(frame)
    if match is None:
        return _CELL_PROOF.match(frame) is not None
    return _DATED.match(match[2]) is not None or reduce(xor, match[1]) == int(match[3], 16)


# -- identity, reply, commands --------------------------------------------------------------------------


def identify(frame: bytes, facts: Facts) -> Identity:
    """The id behind `imei:`; every frame has one and decides for itself, a connection may carry several devices."""
    match = _ID.search(frame)
    if match is None:
        return NO_IDENTITY
    text = match[1].decode("ascii")
    return Identity(text, imei_of(text))


def reply(frame: bytes, facts: Facts, now_ms: int) -> Reply | None:
    """None: the protocol is purely uplink."""
    return None


DEFAULT_PASSWORD = "123456"
_COMMANDS = {"engine_stop": "powercar{} 11", "engine_resume": "powercar{} 00"}


def encode_command(kind: str, parameters: Mapping[str, Attribute], facts: Facts, now_ms: int) -> bytes:
    """Text of a command, without an end and without address: the device answers by SMS or not at all.

    Parameters: password of engine_stop and engine_resume (absent: 123456); custom data (the whole text, such as an SMS
    command; whether a model takes those from the connection is not known). Raises ValueError for no command.
    """
    if kind == "custom":
        return plain_text(parameters, "data").encode()
    if kind not in _COMMANDS:
        raise ValueError(f"xexun devices have no command {kind}")
    password = plain_text(parameters, "password", " ") if "password" in parameters else DEFAULT_PASSWORD
    return _COMMANDS[kind].format(password).encode()
