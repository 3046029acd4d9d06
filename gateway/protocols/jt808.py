"""JT/T 808 ("Huabao", most 4G boxes): binary frames between `7E` or `E7` with escapes, `(..)` text beside; TCP, UDP.

Parts: jt808_wire (delimiters, header, checksum), jt808_parts (messages in sub-packages), jt808_commands.
"""

from __future__ import annotations

import re
from struct import pack

from gateway.protocols.base import (
    LARGE_FRAME_BYTES,
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
from gateway.protocols.fields import imei_of, started, utc_text, verdict
from gateway.protocols.jt808_commands import encode_command as encode_command
from gateway.protocols.jt808_parts import add_part, pack_address, part_of, readdressed
from gateway.protocols.jt808_wire import (
    JOINTECH,
    MARK,
    OTHER_MARK,
    SHORTEST_CONTENT_BYTES,
    WANTS_REPLY,
    Head,
    content_of,
    id_text,
    length_is_right,
    mark_of,
    message_to,
    read_head,
    sum_is_right,
)
from schemas.errors import FrameError, Reason

NAME = "jt808"
QUIET_MS = 2_000
HEADLESS_BYTES = 4 * 1024
"""Longest frame without a first delimiter that is waited for: a body of 1023 bytes, all of them escaped, and more."""
SWALLOWED_MARKS = 3
"""Doubled delimiters in front of a frame that belong to it."""

REGISTER, AUTHENTICATE, TIME_REQUEST, PHOTO = 0x0100, 0x0102, 0x0109, 0x8888
SILENT = frozenset((0x0001, 0x0104, 0x0201, 0x0701, 0x1300, 0x2070))
"""Messages that are answers themselves, or need none."""
JOINED = frozenset((0x0104, 0x0107, 0x0200, 0x0201, 0x0210, 0x0701, 0x0702, 0x0704, 0x0900, 0x1300, 0x6006))
"""Messages whose parts are put together; parts of others (photos, unknown ones) stay alone."""

_GROUPS = (
    (rb"\x00", rb"[\x01-\x03]"),
    (rb"\x01", rb"[\x00\x02\x04\x07\x09]"),
    (rb"\x02", rb"[\x00\x01\x10]"),
    (rb"\x05", rb"\x06"),
    (rb"\x07", rb"[\x01\x02\x04]"),
    (rb"\x09", rb"\x00"),
    (rb"\x10", rb"\x07"),
    (rb"\x13", rb"\x00"),
    (rb"\x20", rb"\x70"),
    (rb"\x60", rb"\x06"),
    (rb"\x88", rb"\x88"),
)
_TWIN = (rb"\x55", rb"[\x01\x02]")
_KNOWN = (*_GROUPS, _TWIN)
_PLAIN = b"[" + b"".join(b"\\x%02x" % byte for byte in range(256) if not byte & 0x1C) + b"]"
"""High byte of the attributes without an encryption bit."""
_BYTE, _OTHER_BYTE = rb"[^\x7e]", rb"[^\xe7]"
_HEADS = (*((*group, _PLAIN, *(_BYTE,) * 9) for group in _GROUPS), (*_TWIN, *(_BYTE,) * 10))
_OTHER_HEADS = tuple((*group, *(_OTHER_BYTE,) * 10) for group in _KNOWN)


def _any_of(heads: tuple[tuple[bytes, ...], ...]) -> bytes:
    return b"(?:" + b"|".join(b"".join(head) for head in heads) + b")"


def _any_begun(heads: tuple[tuple[bytes, ...], ...]) -> bytes:
    return b"(?:" + b"|".join(started(head) for head in heads) + b")"


_WHOLE = re.compile(rb"\x7e\x7e?%b|\xe7%b" % (_any_of(_HEADS), _any_of(_OTHER_HEADS)), re.DOTALL)
_BEGUN = re.compile(rb"\x7e\x7e?%b|\xe7%b" % (_any_begun(_HEADS), _any_begun(_OTHER_HEADS)), re.DOTALL)
_KNOWN_ID = re.compile(_any_of(_KNOWN), re.DOTALL)
_HEADLESS = re.compile(_any_of(_HEADS), re.DOTALL)
_HEADLESS_BEGUN = re.compile(_any_begun(_HEADS), re.DOTALL)
_NOISE = re.compile(rb"(?:[\r\n ]|\x00(?![\x01-\x03]|\Z))*")
"""What may stand between frames; a NUL that may begin a message id is none."""
_TOO_SHORT = {
    mark: re.compile(rb"(?:%b[^%b]{0,%d}(?=%b))*" % (one, one, SHORTEST_CONTENT_BYTES - 1, one), re.DOTALL)
    for mark, one in ((MARK, rb"\x7e"), (OTHER_MARK, rb"\xe7"))
}
"""Delimiters with less than a frame up to the next one: what looks like a start was an end, and what follows it noise."""

_WORDS = (b",1,001,BASE,", b",1,001,ELOCK,")
_TEXT_WHOLE = re.compile(rb"\(\d{10,12}(?:%b)" % b"|".join(_WORDS))
_ONE_BY_ONE = b"(?:" + b"|".join(started([b"%c" % byte for byte in word]) for word in _WORDS) + b")"
_TEXT_BEGUN = re.compile(rb"\((?:\d{0,12}\Z|\d{10,12}%b)" % _ONE_BY_ONE)
_FOREIGN_WORD = rb"(?!\d+,(?:\d+,){0,2}(?:[UWPS]\d\d|@?JT|WLNET,|(?:B[PROZSVQ]|ZC|DW)[0-9A-Fa-f]{2},))"
"""What text of Jt600 and of tk103 (comma form) has behind its id."""
_TEXT = re.compile(rb"\(%b\d{10,12},[^()]*\)" % _FOREIGN_WORD)
_TEXT_ID = re.compile(rb"\(\d{10,12},|\(\d{0,12}\Z")
_TEXT_STOP = re.compile(rb"[^\x20-\x27\x2a-\x7d]")
_TIME_REQUEST = re.compile(rb"\(\d{10,12},1,001,BASE,\d+,TIME\)")
_RESYNC = re.compile(
    rb"(?:\x7e{1,4}+|\xe7{1,4}+)(?:\Z|(?=[%b])(?:%b|%b))|%b"
    % (b"".join(first for first, _ in _KNOWN), _any_of(_KNOWN), _any_begun(_KNOWN), _TEXT_ID.pattern),
    re.DOTALL,
)
"""With the doubled delimiters that belong to a frame (SWALLOWED_MARKS)."""


def detect_text(buffer: bytes, ended: bool) -> Verdict:
    """Rule 13: `(`, 10 to 12 digits, `,1,001,BASE,` or `,1,001,ELOCK,`."""
    return verdict(_TEXT_WHOLE, _TEXT_BEGUN, buffer, ended)


def detect_binary(buffer: bytes, ended: bool) -> Verdict:
    """Rule 37: a delimiter, a message id that devices send, no encryption, and a whole header."""
    return verdict(_WHOLE, _BEGUN, buffer, ended)


RULES: tuple[Rule, ...] = (Rule(13, NAME, detect_text, first=b"("), Rule(37, NAME, detect_binary, first=b"\x7e\xe7"))


def strong_start(buffer: bytes, start: int) -> int:
    """Index of the first complete frame with a known message id and a right checksum at or after start, or -1."""
    for match in _WHOLE.finditer(buffer, start):
        mark = buffer[match.start()]
        begin = match.start() + (1 if buffer[match.start() + 1] == mark else 0)
        end = buffer.find(mark, begin + 1)
        if end >= 0 and validates(buffer[begin : end + 1]):
            return match.start()
    return -1


def split(buffer: bytes, start: int, facts: Facts, quiet: bool) -> Split:
    """Frame at start: from a delimiter to the next one, or `(` to `)`.

    A frame that shares its first delimiter with the end of the one before is taken when length and checksum are right.
    Raises FrameError (too_long) when no end comes within 32 KiB (text: 1 KiB).
    """
    at = start
    while True:
        match = _NOISE.match(buffer, at)
        at = match.end() if match else at
        if at >= len(buffer):
            return Split(Status.MORE, at)
        first = buffer[at]
        if first in (MARK, OTHER_MARK):
            found = _split_binary(buffer, at)
        elif first == 0x28:
            found = _split_text(buffer, at)
        else:
            found = _split_headless(buffer, at)
        if isinstance(found, Split):
            return found
        at = found


def _split_binary(buffer: bytes, at: int) -> Split | int:
    """What stands at a delimiter; a number: noise, go on there."""
    mark = buffer[at]
    match = _TOO_SHORT[mark].match(buffer, at)
    start = begin = match.end() if match else at
    while begin > max(at, start - SWALLOWED_MARKS) and buffer[begin - 1] == mark:
        begin -= 1
    body = start + 1
    end = buffer.find(mark, body)
    if end < 0:
        if len(buffer) - begin > LARGE_FRAME_BYTES:
            raise FrameError(Reason.TOO_LONG, "no end of frame", begin)
        return Split(Status.MORE, begin)
    if _KNOWN_ID.match(buffer, body) or _proves_itself(buffer[start : end + 1]):
        return Split(Status.FRAME, begin, end + 1)
    if validates(buffer[start : end + 1]):
        return end + 1  # a right frame that no device sends
    return Split(Status.FOREIGN, start)


def _split_headless(buffer: bytes, at: int) -> Split:
    if not _HEADLESS.match(buffer, at):
        return Split(Status.MORE if _HEADLESS_BEGUN.match(buffer, at) else Status.FOREIGN, at)
    end = buffer.find(MARK, at, at + HEADLESS_BYTES)
    if end >= 0:
        return Split(Status.FRAME if _proves_itself(buffer[at : end + 1]) else Status.FOREIGN, at, end + 1)
    return Split(Status.MORE if len(buffer) - at < HEADLESS_BYTES else Status.FOREIGN, at)


def _split_text(buffer: bytes, at: int) -> Split | int:
    if not _TEXT_ID.match(buffer, at):
        return Split(Status.FOREIGN, at)
    stop = _TEXT_STOP.search(buffer, at + 1, at + TEXT_FRAME_BYTES)
    if stop is None:
        if len(buffer) - at >= TEXT_FRAME_BYTES:
            raise FrameError(Reason.TOO_LONG, "no end of text", at)
        return Split(Status.MORE, at)
    if stop[0] != b")":
        return stop.start()  # what begins there stands for itself
    return Split(Status.FRAME if _TEXT.match(buffer, at) else Status.FOREIGN, at, stop.end())


def _proves_itself(frame: bytes) -> bool:
    """True for a device's frame whose declared length and checksum are right."""
    content = content_of(frame)
    head = read_head(content, mark_of(frame))
    if head is None or (head.message >= 0x8000 and head.message != PHOTO):
        return False
    return length_is_right(content, head) and sum_is_right(content)


def resync(buffer: bytes, start: int) -> int:
    """The next delimiter with a known message id behind it, or `(` with an id, or where either may begin."""
    match = _RESYNC.search(buffer, start)
    return match.start() if match else len(buffer)


def validates(frame: bytes) -> bool:
    """True when the checksum is right; for text, when its words are those of this protocol."""
    if frame[:1] == b"(":
        return frame[-1:] == b")" and _TEXT_WHOLE.match(frame) is not None
    content = content_of(frame)
    return len(content) >= SHORTEST_CONTENT_BYTES and sum_is_right(content)


def identify(frame: bytes, facts: Facts) -> Identity:
    """The id in the header (or in the text); 0102 of 2019 carries the IMEI beside it.

    Keeps the form of the device's headers in facts.dialect and facts.login, and there the parts of its messages.
    """
    if frame[:1] == b"(":
        text = frame[1 : frame.find(b",")].decode("latin-1")
        return Identity(text, imei_of(text)) if text.isascii() and text.isdigit() else NO_IDENTITY
    content = content_of(frame)
    head = read_head(content, mark_of(frame))
    if head is None:
        return NO_IDENTITY
    _remember(head, content, facts)
    device, imei = id_text(head.address)
    if head.message == AUTHENTICATE and head.address.version >= 0 and not imei:
        at = head.body_at + 1 + content[head.body_at]
        imei = imei_of(content[at : at + 15].decode("latin-1"))
    return Identity(device, imei)


def _remember(head: Head, content: bytes, facts: Facts) -> None:
    dialect = "e7" if head.address.mark == OTHER_MARK else "2019" if head.address.version >= 0 else "2011"
    if facts.dialect != dialect:
        facts.dialect = dialect
    if head.total and head.message in JOINED:
        facts.login = add_part(facts.login, head.address, part_of(head, content))
        return
    address = pack_address(head.address)
    if facts.login != address:
        facts.login = readdressed(facts.login, head.address)


def reply(frame: bytes, facts: Facts, now_ms: int) -> Reply | None:
    """8001 to most messages, 8100 to a registration (the id as its key), 8109 to a time request, 4401 where 5501 asks.

    None to answers, to 2070, and to an unknown message that has not the right checksum. Text: the time, when asked.
    """
    if frame[:1] == b"(":
        if _TIME_REQUEST.fullmatch(frame):
            return Reply(frame[:-5] + utc_text(now_ms, "%Y%m%d%H%M%S") + b")")
        return None
    content = content_of(frame)
    head = read_head(content, mark_of(frame))
    if head is None or head.message in SILENT or (head.message >= 0x8000 and head.message != PHOTO):
        return None
    if head.message in JOINTECH:
        if not head.attributes & WANTS_REPLY:
            return None
        return Reply(message_to(head.address, 0x4401, pack(">HB", head.message, 0), serial=b"\x01"))
    if head.message == REGISTER:
        digits = head.address.id.hex()
        key = digits if digits.isdigit() else id_text(head.address)[0]
        return Reply(message_to(head.address, 0x8100, pack(">HB", head.serial, 0) + key.encode()))
    if head.message == TIME_REQUEST:
        return Reply(message_to(head.address, 0x8109, _clock(now_ms)))
    if not _KNOWN_ID.match(content) and not sum_is_right(content):
        return None
    return Reply(message_to(head.address, 0x8001, pack(">HHB", head.serial, head.message, 0)))


def _clock(now_ms: int) -> bytes:
    """UTC as year u16, month, day, hour, minute, second, 0."""
    digits = utc_text(now_ms, "%Y%m%d%H%M%S")
    return pack(">H", int(digits[:4])) + bytes(int(digits[at : at + 2]) for at in range(4, 14, 2)) + b"\x00"
