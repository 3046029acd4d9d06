"""GPS103 (Coban): `##,imei:ID,A;` logins, `imei:ID,keyword,...;` frames and bare-digit heartbeats, TCP and UDP.

A frame has no length, checksum or serial number. It ends with `;`, CR, LF or `*`, where the next one begins, or with
silence: some firmware sends no end at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

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
from gateway.protocols.fields import imei_of, plain_text, started, verdict, visible_id, whole_number
from schemas.errors import FrameError, Reason
from schemas.records import Attribute

NAME = "gps103"
QUIET_MS = 2_000
NUMERIC_DIALECT = "numeric"
"""facts.dialect of a device with commands of three digits; empty for those of one letter."""
LONGEST_BOUND_ID = 17
"""A longer login id is two numbers run together: answered, but later frames decide whose the connection is."""
KEEP_ALIVE_BYTES = 30
"""Longest `imei:ID,...` without data that wants the answer of a login."""

_IMEI = (b"i", b"m", b"e", b"i", b":")
_LOGIN_WHOLE = re.compile(rb"##, ?imei:")
_LOGIN_BEGUN = re.compile(started((b"#", b"#", b",")) + rb"|##, ?" + started(_IMEI))
_DATA_WHOLE = re.compile(rb"imei:\d{1,24},")
_DATA_BEGUN = re.compile(started(_IMEI) + rb"|imei:\d{0,24}\Z")
_BEAT_WHOLE = re.compile(rb"\d{14,17}(?:;|imei:)|(\d{15})(?:[\r\n]++\1)*+[\r\n]++(?:imei:|##,)")
_BEAT_BEGUN = re.compile(
    rb"\d{0,17}\Z|\d{14,17}"
    + started(_IMEI)
    + rb"|(\d{15})(?:[\r\n]++\1)*+[\r\n]++(?:\d{0,15}\Z|"
    + started(_IMEI)
    + rb"|"
    + started((b"#", b"#"))
    + rb")"
)
_BEAT_ENDED = re.compile(rb"(\d{15})(?:[\r\n]++\1)*+[\r\n]*+\Z")

_NOISE = re.compile(rb"[\x00\r\n ;]*+(?:,{1,8}+(?:[;\r\n]|\Z)[\x00\r\n ;]*+)*+")
"""Between frames: blanks, line ends, empty frames, and what stands behind a line end inside of a frame (`,;`)."""
_END = re.compile(rb"[;\r\n*]")
_DIGITS = re.compile(rb"\d{1,%d}" % (TEXT_FRAME_BYTES + 1))
_BEAT_END = frozenset(b";\r\n \x00")
_PHOTO = re.compile(rb"imei:\d{1,24},vr,")
_RESYNC = re.compile(
    rb"imei:\d{1,24},|imei:\d{0,24}\Z|##, ?imei:|%b|%b|%b"
    rb"|(?<!\d)(?:\d{1,17}(?:[;\r\n \x00]|imei:|%b)|\d+\Z)"
    % (started(_IMEI), started((b"#", b"#", b",")), rb"##, ?" + started(_IMEI), started(_IMEI))
)
_FIX_OR_NOT = rb"imei:%b,[^,;]{0,40},[^,;]{0,40},[^,;]{0,40},[FL],"
_STRONG = re.compile(_FIX_OR_NOT % rb"\d{15}" + rb"|##,imei:\d{15},A")
_PROOF = re.compile(
    _FIX_OR_NOT % rb"\d{1,24}"
    + rb"|##,imei:\d{15},A|imei:\d{1,24},[^,]{0,40},\d\d/?(?:0[1-9]|1[0-2])/?(?:0[1-9]|[12]\d|3[01])[ \d]"
)
_WITHOUT_END = re.compile(
    # what silence ends: a login, a fix with both hemispheres or without one, no fix, or an OBD record
    rb"##, ?imei:[^,;]{1,24},A\Z|imei:\d{1,24},(?:[^,]*,[^,]*,[^,]*,(?:L(?:,|\Z)|F,(?:[^,]*,){5})"
    rb"|OBD,(?:[^,]*,){10})"
)
_HEAD = re.compile(rb"(?:##, ?)?imei:([^,;*\r\n]{1,24})(?:,([^,;*\r\n]*))?")
_BEAT = re.compile(rb"(\d{1,17})[;\r\n \x00]?")
_LETTER_ECHO = re.compile(rb"[A-Qa-q][TFtf]")
_NUMBER_ECHO = re.compile(rb"[15](?:0\d|1[0-6]|22|60)")


def detect_login(buffer: bytes, ended: bool) -> Verdict:
    """Rule 8: `##,` and `imei:`."""
    return verdict(_LOGIN_WHOLE, _LOGIN_BEGUN, buffer, ended)


def detect_data(buffer: bytes, ended: bool) -> Verdict:
    """Rule 9: `imei:`, 1 to 24 digits and a comma."""
    return verdict(_DATA_WHOLE, _DATA_BEGUN, buffer, ended)


def detect_heartbeat(buffer: bytes, ended: bool) -> Verdict:
    """Rule 10, its part of this protocol: 14 to 17 digits and `;` or a frame, or 15 digits that nothing follows."""
    if ended:
        return Verdict.YES if _BEAT_WHOLE.match(buffer) or _BEAT_ENDED.match(buffer) else Verdict.NO
    return verdict(_BEAT_WHOLE, _BEAT_BEGUN, buffer, ended)


RULES: tuple[Rule, ...] = (
    Rule(8, NAME, detect_login, first=b"#"),
    Rule(9, NAME, detect_data, first=b"i"),
    Rule(10, NAME, detect_heartbeat, first=b"0123456789"),
)


def strong_start(buffer: bytes, start: int) -> int:
    """Index of `imei:` 15 digits and fields up to F or L, or of a login with 15 digits, at or after start, or -1."""
    match = _STRONG.search(buffer, start)
    return match.start() if match else -1


def split(buffer: bytes, start: int, facts: Facts, quiet: bool) -> Split:
    """Frame up to its end, which belongs to it, up to the next `imei:`, or in silence (quiet) to the end of the buffer.

    Raises FrameError (too_long) when none ends within 1 KiB, 32 KiB for a photo.
    """
    begin = start
    if buffer[start : start + 1] != b"i":
        match = _NOISE.match(buffer, start)
        begin = match.end() if match else start
        if begin >= len(buffer):
            # commas at the end may become an empty frame yet, or not
            return Split(Status.MORE, start + len(buffer[start:].rstrip(b",")) if not quiet else begin)
    first = buffer[begin]
    if first == 0x69:
        whole, begun = _DATA_WHOLE, _DATA_BEGUN
    elif 0x30 <= first <= 0x39:
        return _split_heartbeat(buffer, begin, facts, quiet)
    elif first == 0x23:
        whole, begun = _LOGIN_WHOLE, _LOGIN_BEGUN
    else:
        return Split(Status.FOREIGN, begin)
    head = whole.match(buffer, begin)
    if head is None:
        return Split(Status.MORE if begun.match(buffer, begin) else Status.FOREIGN, begin)
    return _split_text(buffer, begin, head.end(), quiet)


def _split_text(buffer: bytes, begin: int, head: int, quiet: bool) -> Split:
    """The frame whose head ends before byte `head`."""
    limit = begin + TEXT_FRAME_BYTES
    end = _END.search(buffer, head, limit)
    if end is None and len(buffer) >= limit and _PHOTO.match(buffer, begin):
        limit = begin + LARGE_FRAME_BYTES
        end = _END.search(buffer, head, limit)
    following = buffer.find(b"imei:", head, end.start() if end else limit)
    if following >= 0:
        if buffer[following - 4 : following] == b"##, ":
            following -= 4
        elif buffer[following - 3 : following] == b"##,":
            following -= 3
        return Split(Status.FRAME, begin, max(following, head))
    if end is not None:
        return Split(Status.FRAME, begin, end.end())
    if len(buffer) >= limit:
        raise FrameError(Reason.TOO_LONG, "no end of frame", begin)
    complete = quiet and _WITHOUT_END.match(buffer, begin)
    return Split(Status.FRAME if complete else Status.MORE, begin, len(buffer))


def _split_heartbeat(buffer: bytes, begin: int, facts: Facts, quiet: bool) -> Split:
    """Bare digits: 15, or as many as the id has that the device is known by, or 14 to 17 while it is not known."""
    match = _DIGITS.match(buffer, begin)
    assert match is not None
    digits, end = match[0], match.end()
    if end == len(buffer) and not quiet:
        # kept whole, however long: where a run of digits was cut must not make a heartbeat of its tail
        return Split(Status.MORE if len(digits) <= TEXT_FRAME_BYTES else Status.FOREIGN, begin)
    if len(digits) > LONGEST_BOUND_ID:
        return Split(Status.FOREIGN, begin)
    if end < len(buffer):
        if buffer[end] in _BEAT_END:
            end += 1
        elif not buffer.startswith(b"imei:", end):
            waits = not quiet and _DATA_BEGUN.match(buffer, end)
            return Split(Status.MORE if waits else Status.FOREIGN, begin)
    known = facts.login or facts.device_id.encode()
    mine = len(digits) == 15 or digits == known or (len(digits) >= 14 and not known)
    return Split(Status.FRAME if mine else Status.FOREIGN, begin, end)


def resync(buffer: bytes, start: int) -> int:
    """The next byte where a login, a data frame or a heartbeat begins or may begin, or the end of the buffer."""
    match = _RESYNC.search(buffer, start)
    return match.start() if match else len(buffer)


def validates(frame: bytes) -> bool:
    """True for a whole frame with a plausible date or the mark of a fix or of none at its place, and for a login."""
    return frame[-1:] in (b";", b"*", b"\r", b"\n") and _PROOF.match(frame) is not None


def identify(frame: bytes, facts: Facts) -> Identity:
    """The id in the frame; every kind of frame has one. An over-long login id does not bind.

    Keeps the id in facts.login, to address commands, and in facts.dialect which commands the device has echoed.
    """
    match = _HEAD.match(frame)
    if match is None:
        beat = _BEAT.fullmatch(frame)
        if beat is None:
            return NO_IDENTITY
        text = beat[1].decode("ascii")
        return Identity(text, imei_of(text))
    text = visible_id(match[1])
    if not text:
        return NO_IDENTITY
    if frame[:1] == b"#" and len(text) > LONGEST_BOUND_ID:
        return Identity(text, binds=False)
    if facts.login != match[1]:
        facts.login = match[1]
    keyword = match[2]
    if keyword and len(keyword) <= 3:
        if _NUMBER_ECHO.fullmatch(keyword):
            facts.dialect = NUMERIC_DIALECT
        elif facts.dialect and _LETTER_ECHO.fullmatch(keyword):
            facts.dialect = ""
    return Identity(text, imei_of(text))


def reply(frame: bytes, facts: Facts, now_ms: int) -> Reply | None:
    """LOAD to a login and to a keep-alive without data, ON to a heartbeat, `E` to an SOS; nothing to other data."""
    if frame[:1] == b"#":
        return Reply(b"LOAD")
    match = _HEAD.match(frame)
    if match is None:
        return Reply(b"ON") if _BEAT.fullmatch(frame) else None
    keyword = match[2]
    if keyword is not None and keyword.strip(b" !").lower() == b"help me":
        return Reply(b"**,imei:%b,E;" % match[1]) if visible_id(match[1]) else None
    if len(frame) <= KEEP_ALIVE_BYTES + 1 and frame.count(b",") < 4:
        return Reply(b"LOAD")
    return None


_COMMANDS: dict[str, str] = {
    "position_single": "B",
    "position_stop": "D",
    "alarm_clear": "E",
    "movement_alarm": "G",
    "engine_stop": "J",
    "engine_resume": "K",
    "alarm_arm": "L",
    "alarm_disarm": "M",
    "mode_sms": "N",
    "remove_geofence": "P",
    "mode_suppress_parked": "A",
    "request_photo": "160",
}
_NUMBERS: dict[str, str] = {
    letter: str(number)
    for letter, number in zip("BCDFEGHIJKLMNOPQ", (100, 101, 102, 103, 104, *range(106, 117)), strict=True)
}
"""Numeric codes; `A` has none."""


def encode_command(kind: str, parameters: Mapping[str, Attribute], facts: Facts, now_ms: int) -> bytes:
    """Bytes of a command, `**,imei:ID,CODE[,arguments];`, with the id that the device itself uses.

    The code is a letter, or three digits for a device that has echoed such (facts.dialect) or with form "numeric".
    Parameters: position_periodic interval_s (sent in whole hours, minutes or seconds, the rest cut off) or distance_m;
    alarm_speed speed_kmh; set_timezone offset_h; set_geofence latitude1, longitude1, latitude2, longitude2 (degrees);
    upload_log date ("yyyymmdd"); set_connection server and port; custom data (what follows the id). Many devices cut
    the engine only below 20 km/h and with a fix; mode_sms ends the connection. Raises ValueError for no command.
    """
    address = visible_id(facts.login) or facts.device_id
    if not address:
        raise ValueError("the device has not said who it is")
    if kind == "custom":
        text = plain_text(parameters, "data", ";")
    else:
        code, arguments = _code(kind, parameters)
        form = parameters.get("form", NUMERIC_DIALECT if facts.dialect == NUMERIC_DIALECT else "letter")
        if form not in ("letter", NUMERIC_DIALECT):
            raise ValueError(f'form must be "letter" or "{NUMERIC_DIALECT}", not {form!r}')
        if form == NUMERIC_DIALECT and not code.isdigit():
            if code not in _NUMBERS:
                raise ValueError(f"gps103 devices with numeric codes have no command {kind}")
            code = _NUMBERS[code]
        text = code + arguments
    return f"**,imei:{address},{text};".encode()


def _code(kind: str, parameters: Mapping[str, Attribute]) -> tuple[str, str]:
    """Code (a letter where there is one) and arguments of a command."""
    if kind in _COMMANDS:
        return _COMMANDS[kind], ""
    if kind == "position_periodic":
        if "distance_m" in parameters:
            return "F", f",{whole_number(parameters, 'distance_m', 1, 9999):04}m"
        return "C", "," + _interval(whole_number(parameters, "interval_s", 1, 99 * 3600))
    if kind == "alarm_speed":
        return "H", f",{whole_number(parameters, 'speed_kmh', 1, 999):03}"
    if kind == "set_timezone":
        return "I", f",{whole_number(parameters, 'offset_h', -12, 14)}"
    if kind == "set_geofence":
        corners = [_degrees(parameters, name + end, most) for end in "12" for name, most in _CORNER]
        return "O", ",{},{};{},{}".format(*corners)
    if kind == "upload_log":
        date = plain_text(parameters, "date")
        if not re.fullmatch(r"20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])", date):
            raise ValueError(f"date must be yyyymmdd, not {date!r}")
        return "Q", "," + date
    if kind == "set_connection":
        return "122", f",{plain_text(parameters, 'server', ',; ')},{whole_number(parameters, 'port', 1, 65535)}"
    raise ValueError(f"gps103 devices have no command {kind}")


_CORNER = (("latitude", 90), ("longitude", 180))


def _interval(interval_s: int) -> str:
    """Two digits and a unit; what the largest fitting unit cannot say is cut off."""
    if interval_s >= 3600:
        return f"{interval_s // 3600:02}h"
    return f"{interval_s // 60:02}m" if interval_s >= 60 else f"{interval_s:02}s"


def _degrees(parameters: Mapping[str, Attribute], name: str, most: int) -> str:
    value = parameters.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -most <= value <= most:
        raise ValueError(f"{name} must be degrees from {-most} to {most}, not {value!r}")
    return f"{value:.6f}"
