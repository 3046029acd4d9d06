"""Watch protocol of SeTracker phones and pet trackers: `[3G*ID*LEN*TYPE,field,...]`, TCP; voice, pictures are binary.

LEN counts the bytes of the content, but many firmwares count wrong and the content may hold brackets: LEN is believed
where a `]` stands behind it, else brackets are counted, and the head of the next frame ends this one at the latest.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.protocols.base import (
    LARGE_FRAME_BYTES,
    NO_IDENTITY,
    Facts,
    Identity,
    Reply,
    Rule,
    Split,
    Status,
    Verdict,
)
from gateway.protocols.fields import imei_of, verdict
from gateway.protocols.watch_commands import INDEX_DIALECT, framed
from gateway.protocols.watch_commands import encode_command as encode_command
from schemas.errors import FrameError, Reason

NAME = "watch"
QUIET_MS = 2_000

_ALNUM = rb"[0-9A-Za-z]"
_HEX = rb"[0-9A-Fa-f]"
_STAR = rb"(?:\*|\x7d\x05)"
"""What separates the parts of a head; some firmware escapes the whole frame, its head too."""
_SURE = rb"\[" + _ALNUM + rb"{2}" + _STAR + rb"\d{6,16}" + _STAR + _HEX + rb"{4}" + _STAR
_BEGUN_STAR = rb"\x7d?\Z"
_WHOLE = re.compile(_SURE)
_BEGUN = re.compile(
    rb"\Z|\[(?:%(a)b?\Z|%(a)b{2}(?:%(b)b|%(s)b(?:\d{0,5}\Z|\d{6,16}(?:%(b)b|%(s)b(?:%(h)b{0,3}\Z|%(h)b{4}%(b)b)))))"
    % {b"a": _ALNUM, b"b": _BEGUN_STAR, b"s": _STAR, b"h": _HEX}
)
_HEAD = re.compile(
    rb"\[(%b{2})(%b)(\d{6,16})%b(?:(%b{4})%b)?(%b{4})%b" % (_ALNUM, _STAR, _STAR, _HEX, _STAR, _HEX, _STAR)
)
_RESYNC = re.compile(rb"\[(?:%b{0,2}\Z|%b{2}(?:\x7d\Z|%b))" % (_ALNUM, _ALNUM, _STAR))
_NOISE = re.compile(rb"[\r\n \x00]*")
_BRACKET = re.compile(rb"[\[\]]")
_DATED = re.compile(rb"\w+,(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d\d,(?:[01]\d|2[0-3])[0-5]\d[0-5]\d,[AV],")
_ESCAPED = re.compile(rb"\x7d([\x01-\x05])")
_ESCAPES = {b"\x01": b"\x7d", b"\x02": b"[", b"\x03": b"]", b"\x04": b",", b"\x05": b"*"}


class Head(NamedTuple):
    """A frame taken apart. counter: four hex digits where the firmware counts its messages, else empty.

    content: TYPE and its fields. plain: the escapes of binary content are already undone.
    """

    vendor: bytes
    id: bytes
    counter: bytes
    content: bytes
    plain: bool


def unescape(data: bytes) -> bytes:
    """Undo the escapes of binary content; 7D before another byte stands for itself."""
    return _ESCAPED.sub(lambda match: _ESCAPES[match[1]], data)


def head_of(frame: bytes) -> Head | None:
    """Take a frame apart, or None when it does not begin as one."""
    match = _HEAD.match(frame)
    if match is None:
        return None
    vendor, star, device, index, length = match.groups()
    if star == b"*":
        return Head(vendor, device, index or b"", frame[match.end() : -1], False)
    plain = unescape(frame)
    again = _HEAD.match(plain)
    if again is None:
        return None
    begin, end = again.end(), again.end() + int(length, 16)
    # more than one frame may have been escaped together: LEN, right here, tells where the first one ends
    return Head(vendor, device, index or b"", plain[begin : end if plain[end : end + 1] == b"]" else -1], True)


def detect(buffer: bytes, ended: bool) -> Verdict:
    """Rule 38: `[`, two letters or digits, `*`, 6 to 16 digits, `*`, four hex digits, `*`."""
    return verdict(_WHOLE, _BEGUN, buffer, ended)


RULES: tuple[Rule, ...] = (Rule(38, NAME, detect, first=b"["),)


def strong_start(buffer: bytes, start: int) -> int:
    """Index of a whole head at or after start, or -1."""
    match = _WHOLE.search(buffer, start)
    return match.start() if match else -1


def split(buffer: bytes, start: int, facts: Facts, quiet: bool) -> Split:
    """Frame from `[` to its `]`; a frame that is begun again inside another wins, other noise is FOREIGN.

    Raises FrameError (too_long) when none ends within 32 KiB.
    """
    begin = start
    if buffer[start : start + 1] != b"[":
        match = _NOISE.match(buffer, start)
        begin = match.end() if match else start
        if begin >= len(buffer):
            return Split(Status.MORE, begin)
    while True:
        head = _HEAD.match(buffer, begin)
        if head is None:
            return Split(Status.MORE if _BEGUN.match(buffer, begin) else Status.FOREIGN, begin)
        body = head.end()
        end = body + int(head[5], 16)
        if buffer[end : end + 1] == b"]" and end - begin < LARGE_FRAME_BYTES and buffer.find(b"[", body, end) < 0:
            return Split(Status.FRAME, begin, end + 1)
        next_head = _WHOLE.search(buffer, body, begin + LARGE_FRAME_BYTES)
        bound = next_head.start() if next_head else min(len(buffer), begin + LARGE_FRAME_BYTES)
        close = _close(buffer, body, end, bound, next_head is not None, quiet)
        if close >= 0:
            return Split(Status.FRAME, begin, close + 1)
        if next_head is None:
            break
        begin = bound  # cut off, and begun again
    if len(buffer) - begin < LARGE_FRAME_BYTES:
        return Split(Status.MORE, begin)
    if begin != start:
        return Split(Status.FOREIGN, begin)
    raise FrameError(Reason.TOO_LONG, "no closing bracket", start)


def _close(buffer: bytes, body: int, end: int, bound: int, followed: bool, quiet: bool) -> int:
    """Index of the `]` that ends a frame, -1 when it cannot be told or there is none.

    body: where the content begins. end: where its LEN puts the `]`. bound: nothing from there on belongs to the frame.
    followed: the next frame stands at bound. quiet: nothing follows.
    """
    if end < bound:
        # LEN is right, or counts too little: brackets before `end` are part of names
        close = end if buffer[end : end + 1] == b"]" else _balanced(buffer, end, bound)
        if close >= 0:
            return close
    if not (followed or quiet):
        return -1
    last = buffer.rfind(b"]", body, bound)
    if last >= 0 and not buffer[last + 1 : bound].strip(b"\r\n \x00"):
        return last
    return _balanced(buffer, body, bound)


def _balanced(buffer: bytes, start: int, bound: int) -> int:
    """Index of the first `]` in buffer[start:bound] that closes no `[` of it, or -1."""
    depth = 1
    for match in _BRACKET.finditer(buffer, start, bound):
        if buffer[match.start()] == 0x5B:
            depth += 1
            continue
        depth -= 1
        if not depth:
            return match.start()
    return -1


def resync(buffer: bytes, start: int) -> int:
    """The next `[`, two letters or digits and `*`, or what so begins at the end of the buffer; else its end."""
    match = _RESYNC.search(buffer, start)
    return match.start() if match else len(buffer)


def validates(frame: bytes) -> bool:
    """True for a frame whose LEN is right, or that reports a place with a plausible date."""
    match = _HEAD.match(frame)
    if match is None or frame[-1:] != b"]":
        return False
    return match.end() + int(match[5], 16) == len(frame) - 1 or _DATED.match(frame, match.end()) is not None


def identify(frame: bytes, facts: Facts) -> Identity:
    """The id in the frame: the ten digits printed on the case, or an IMEI.

    Keeps vendor and id in facts.login, and whether messages are counted in facts.dialect: a command needs them.
    """
    match = _HEAD.match(frame)
    if match is None:
        return NO_IDENTITY
    login = match[1] + b"*" + match[3]
    if facts.login != login:
        facts.login = login
    facts.dialect = INDEX_DIALECT if match[4] else ""
    text = match[3].decode("ascii")
    return Identity(text, imei_of(text))


_REPLIES = {b"LK": b"LK", b"INIT": b"INIT,1", b"TKQ": b"TKQ", b"TKQ2": b"TKQ2", b"JXTK": b"JXTKR,1"}


def reply(frame: bytes, facts: Facts, now_ms: int) -> Reply | None:
    """The word again to LK, TKQ, TKQ2; `INIT,1`; `AL` to each kind of alarm; `JXTKR,1` to a part of a voice; else None.

    Vendor, id and index are those of the frame.
    """
    head = head_of(frame)
    if head is None:
        return None
    kind = head.content.partition(b",")[0]
    answer = b"AL" if kind.startswith(b"AL") else _REPLIES.get(kind)
    return None if answer is None else Reply(framed(head.vendor, head.id, head.counter, answer))
