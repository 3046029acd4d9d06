"""Meiligao frames: `$$`, length, packed id, command, data, checksum, CR LF in binary; the data is mostly ASCII text.

TCP and UDP, big-endian. Old units send no length or a wrong one, so a frame whose length does not lead to CR LF ends at
a CR LF with the right checksum before it, or with another frame, padding or silence behind it.
"""

from __future__ import annotations

import re
from binascii import crc_hqx

from gateway.protocols.base import (
    NO_IDENTITY,
    Facts,
    Identity,
    Reply,
    Rule,
    Split,
    Status,
    Verdict,
)
from gateway.protocols.fields import started, verdict
from gateway.protocols.meiligao_commands import (
    COMMAND_AT,
    CRC_START,
    DATA_AT,
    ID_AT,
    OUTPUTS_DIALECT,
    SHORTEST,
    checksum,
    packet,
)
from gateway.protocols.meiligao_commands import encode_command as encode_command
from schemas.errors import FrameError, Reason

NAME = "meiligao"
QUIET_MS = 2_000
TRAILER_BYTES = 4
"""Checksum and CR LF."""
_LINE_END = b"\r\n"
_LINE_END_NUMBER = 0x0D0A

_SCAN_BYTES = 2048
"""How far a frame with a wrong length may go; what needs no length is text."""
_LENGTH_SLACK = 16
_ENDS_TRIED = 4
_SEARCHED_BYTES = 64 * 1024
"""What one search for a strong start looks at, at most, in heads and checksums: keeps hostile input linear."""

_COMMANDS_OF = {
    0x00: b"[\x01\x02]",
    0x08: b"\x00",
    0x0F: b"\x80",
    0x41: b".",
    0x49: b"\x02",
    0x50: b"\x00",
    0x66: b"\x88",
    0x90: b"\x16",
    0x99: b"[\x01-\x03\x55\x66\x77\x88\x99]",
    0xAA: b"\x00",
}
"""First and second byte of the commands that devices send (reference section 8), and of 4902, the answer to a reboot."""
_KNOWN = b"(?:" + b"|".join(re.escape(bytes([first])) + rest for first, rest in _COMMANDS_OF.items()) + b")"
_KNOWN_FIRST = b"[" + b"".join(b"\\x%02x" % first for first in _COMMANDS_OF) + b"]"
_SHORT = b"[\x00-\x07]"
"""First byte of a length below 2048: no letter, so no text protocol with `$$`."""
_ANY = (b".",) * 8

_DEVICE = b"\\$\\$" + _SHORT + b".{8}" + _KNOWN
_PHOTO = b"\\$\\$[\x08-\x7f].{8}\x99\x88"
_OBD = b"@@" + _SHORT + b".{8}\x99[\x01-\x03]"
_DEVICE_BEGUN = started((b"\\$", b"\\$", _SHORT, *_ANY, _KNOWN_FIRST))
_PHOTO_BEGUN = started((b"\\$", b"\\$", b"[\x08-\x7f]", *_ANY, b"\x99"))
_OBD_BEGUN = started((b"@", b"@", _SHORT, *_ANY, b"\x99"))

_DEVICE_HEAD = re.compile(_DEVICE, re.DOTALL)
_DEVICE_STARTED = re.compile(_DEVICE_BEGUN, re.DOTALL)
_OBD_HEAD = re.compile(_OBD, re.DOTALL)
_OBD_STARTED = re.compile(_OBD_BEGUN, re.DOTALL)
_HEAD = re.compile(_DEVICE + b"|" + _OBD + b"|" + _PHOTO, re.DOTALL)
_UNKNOWN_HEAD = re.compile(b"\\$\\$" + _SHORT + b".{10}", re.DOTALL)
_STARTED = re.compile(b"(?:" + _DEVICE_BEGUN + b"|" + _OBD_BEGUN + b"|" + _PHOTO_BEGUN + b")", re.DOTALL)
_UNKNOWN_STARTED = re.compile(started((b"\\$", b"\\$", _SHORT, *_ANY, b".")), re.DOTALL)
_POSSIBLE = re.compile(
    # A group stands for a command that is known. Without one the length decides, or what is still to come.
    b"(?=\\$(?:\\Z|\\$(?:\\Z|"
    + _SHORT
    + b"(.{8}"
    + _KNOWN
    + b")?|[\x08-\x7f](?:(.{8}\x99\x88)|.{0,8}\\Z|.{8}\x99\\Z)))"
    + b"|@(?:\\Z|@(?:\\Z|"
    + _SHORT
    + b"(?:(.{8}\x99[\x01-\x03])|.{0,8}\\Z|.{8}\x99\\Z))))",
    re.DOTALL,
)
_NOISE = re.compile(rb"[\r\n \x00]*")
_FOLLOWED = re.compile(rb"[\r\n \x00]{0,16}(?:\$\$|@@)|[\r\n \x00]{17}")
_OPEN_END = re.compile(rb"[\r\n \x00]{0,16}[$@]?\Z")
_DATED = re.compile(
    rb".{0,12}?\d{5,6}(?:\.\d{0,3})?,[AV],\d{3,4}\.\d+,[NS],\d{3,5}\.\d+,[EW],[\d.]{0,8},[\d.]{0,8},"
    rb"(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d\d",
    re.DOTALL,
)


def detect_device(buffer: bytes, ended: bool) -> Verdict:
    """Rule 22: `$$`, a length below 2048 and a command that devices send."""
    return verdict(_DEVICE_HEAD, _DEVICE_STARTED, buffer, ended)


def detect_obd(buffer: bytes, ended: bool) -> Verdict:
    """Rule 24: `@@` from a device, which one firmware sends with OBD texts."""
    return verdict(_OBD_HEAD, _OBD_STARTED, buffer, ended)


RULES: tuple[Rule, ...] = (
    Rule(22, NAME, detect_device, first=b"$"),
    Rule(24, NAME, detect_obd, first=b"@"),
)


# -- framing --------------------------------------------------------------------------------------------


def strong_start(buffer: bytes, start: int) -> int:
    """Index of a complete frame with the right checksum at or after start, or -1."""
    left = _SEARCHED_BYTES
    match = _HEAD.search(buffer, start)
    while match and left > 0:
        begin = match.start()
        end = _declared_end(buffer, begin)
        left -= SHORTEST
        if not end:
            end = buffer.find(_LINE_END, begin + DATA_AT + 2, begin + _SCAN_BYTES) + 2
        if end >= begin + SHORTEST:
            left -= end - begin
            if _proven(buffer, begin, end):
                return begin
        match = _HEAD.search(buffer, begin + 1)
    return -1


def _proven(buffer: bytes, begin: int, end: int) -> bool:
    return checksum(buffer[begin : end - TRAILER_BYTES]) == int.from_bytes(buffer[end - 4 : end - 2])


def _length(buffer: bytes, begin: int) -> int:
    return buffer[begin + 2] << 8 | buffer[begin + 3]


def _declared_end(buffer: bytes, begin: int) -> int:
    """Where the length puts the end: 0 when it is wrong, -1 when so much has not come. buffer holds a whole head."""
    length = _length(buffer, begin)
    if length < SHORTEST:
        return 0
    end = begin + length
    if end > len(buffer):
        return -1
    return end if buffer[end - 2 : end] == _LINE_END else 0


def _limit(buffer: bytes, begin: int) -> int:
    """Where the search for the end of a frame with a wrong length gives up."""
    return begin + max(_SCAN_BYTES, _length(buffer, begin) + _LENGTH_SLACK)


def split(buffer: bytes, start: int, facts: Facts, quiet: bool) -> Split:
    """Frame from `$$` (or `@@` of an OBD text) to its CR LF; a frame begun again inside another wins.

    A command that is not known is a frame when its length is right. Raises FrameError (bad_length) when no end is found.
    """
    begin = start
    if buffer[start : start + 2] not in (b"$$", b"@@"):
        match = _NOISE.match(buffer, start)
        begin = match.end() if match else start
        if begin >= len(buffer):
            return Split(Status.MORE, begin)
    if not _HEAD.match(buffer, begin):
        return _split_unknown(buffer, begin, quiet)
    while True:
        end = _declared_end(buffer, begin)
        if end > 0:
            return Split(Status.FRAME, begin, end)
        if end < 0 and not quiet:
            return Split(Status.MORE, begin)
        first = buffer.find(_LINE_END, begin + DATA_AT + 2, _limit(buffer, begin))
        again = _begun_again(buffer, begin, first)
        if not again:
            break
        begin = again
    found = _scan(buffer, begin, first, quiet)
    if found:
        return found
    if begin != start:
        return Split(Status.FOREIGN, begin)
    raise FrameError(Reason.BAD_LENGTH, f"no frame ends within {_limit(buffer, begin) - begin} bytes", begin)


def _split_unknown(buffer: bytes, begin: int, quiet: bool) -> Split:
    """What begins without a command that is known: its length must be right."""
    if _UNKNOWN_HEAD.match(buffer, begin):
        end = _declared_end(buffer, begin)
        if end > 0:
            return Split(Status.FRAME, begin, end)
        if end < 0 and not quiet:
            return Split(Status.MORE, begin)
    elif _STARTED.match(buffer, begin) or _UNKNOWN_STARTED.match(buffer, begin):
        return Split(Status.MORE, begin)
    return Split(Status.FOREIGN, begin)


def _begun_again(buffer: bytes, begin: int, first: int) -> int:
    """Where the last head before index first begins when the frame at begin was cut off and begun again, else 0."""
    again = 0
    if first >= 0:
        for match in _HEAD.finditer(buffer, begin + 2, first):
            again = match.start()
    return again


def _scan(buffer: bytes, begin: int, first: int, quiet: bool) -> Split | None:
    """The frame at begin has a wrong length: try the CR LF from index first on as its end. None when it has no end."""
    limit = _limit(buffer, begin)
    photo = buffer[begin + COMMAND_AT : begin + DATA_AT] == b"\x99\x88"
    crc, done, at = CRC_START, begin, first
    for _ in range(_ENDS_TRIED):
        if at < 0:
            if len(buffer) < limit:
                return Split(Status.MORE, begin)
            break
        crc = crc_hqx(buffer[done : at - 2], crc)
        done = at - 2
        if buffer.startswith(_LINE_END, at + 2) and crc_hqx(buffer[done:at], crc) == _LINE_END_NUMBER:
            return Split(Status.FRAME, begin, at + 4)  # what looks like the end is the checksum
        if crc == int.from_bytes(buffer[done:at]) or _FOLLOWED.match(buffer, at + 2):
            return Split(Status.FRAME, begin, at + 2)
        if _OPEN_END.match(buffer, at + 2):
            # a photo holds any bytes: silence after CR LF is no sign of its end
            return Split(Status.FRAME, begin, at + 2) if quiet and not photo else Split(Status.MORE, begin)
        at = buffer.find(_LINE_END, at + 2, limit)
    return None


def resync(buffer: bytes, start: int) -> int:
    """Index at or after start where a frame may begin: a head that can still be or has been completed, else the end."""
    first, size = -1, len(buffer)
    for match in _POSSIBLE.finditer(buffer, start):
        begin = match.start()
        if size - begin < DATA_AT or _declared_end(buffer, begin):
            return begin
        if not match.lastindex:
            continue
        if first < begin + DATA_AT + 2:
            first = buffer.find(_LINE_END, begin + DATA_AT + 2)
            first = size if first < 0 else first
        limit = _limit(buffer, begin)
        if first + 2 <= min(limit, size):
            return _begun_again(buffer, begin, first) or begin
        if size < limit:
            return begin
    return size


# -- identity and replies -------------------------------------------------------------------------------


def validates(frame: bytes) -> bool:
    """True for a frame with the right checksum, or with a place and a plausible date."""
    if len(frame) < SHORTEST or frame[-2:] != _LINE_END or frame[:2] not in (b"$$", b"@@"):
        return False
    return _proven(frame, 0, len(frame)) or _DATED.match(frame, DATA_AT) is not None


def identify(frame: bytes, facts: Facts) -> Identity:
    """The id: digits up to the first nibble F. 14 of them are an IMEI without its check digit, and stay as they are.

    All F is an id that was never set; so is all zeros, which is kept as sent where the session knows no better. Keeps the
    seven bytes in facts.login (a command repeats them), and in facts.dialect that command 4115 was refused.
    """
    raw = frame[ID_AT:COMMAND_AT]
    text = raw.hex().partition("f")[0].upper()
    if not text or len(raw) < COMMAND_AT - ID_AT:
        return NO_IDENTITY
    if not text.strip("0"):
        return NO_IDENTITY if facts.device_id else Identity(text, binds=False)
    if facts.login != raw:
        facts.login = raw
    if frame[COMMAND_AT:-TRAILER_BYTES] == b"\x41\x15\x00":
        facts.dialect = OUTPUTS_DIALECT
    return Identity(text)


def reply(frame: bytes, facts: Facts, now_ms: int) -> Reply | None:
    """4000 and 01 to a login (5000), 0001 and 01 to a heartbeat, 8801 and 6688 to the begin and end of a photo; else None.

    A login comes again after 30 s, so its reply can wait for durability. The question for the server's address (0002)
    is answered where the port was told how it is reached from outside.
    """
    if len(frame) < SHORTEST or frame[:2] != b"$$":
        return None
    command, data = frame[COMMAND_AT:DATA_AT], frame[DATA_AT:-TRAILER_BYTES]
    if command == b"\x50\x00":
        answer, content = b"\x40\x00", b"\x01"
    elif command == b"\x00\x01":
        answer, content = command, b"\x01"
    elif command == b"\x08\x00" and data:
        answer, content = b"\x88\x01", data[:1]
    elif command == b"\x0f\x80" and data:
        answer, content = b"\x66\x88", data[:1] + b"\x00\x00"
    elif command == b"\x00\x02" and facts.server:
        answer, content = command, facts.server.encode()
    else:
        return None
    return Reply(packet(frame[ID_AT:COMMAND_AT], answer, content))
