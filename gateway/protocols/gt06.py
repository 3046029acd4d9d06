"""GT06 (Concox, Jimi and many clones): binary frames `78 78` and `79 79`, TCP, rarely UDP. Wire: gt06_wire.

Only the login says who the device is; its content is kept in facts.login and travels with the frames of the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from gateway.protocols.base import NO_IDENTITY, Facts, Identity, Reply, Rule, Verdict
from gateway.protocols.fields import crc_x25, imei_of, plain_text, whole_number
from gateway.protocols.gt06_wire import (
    BARE_PLACES,
    END,
    EXTENDED,
    LOGIN,
    SCANS,
    SHORT,
    SHORTEST_LENGTH,
    Unit,
    is_checked,
    message,
    packed_imei,
    unit_of,
)
from gateway.protocols.gt06_wire import resync as resync
from gateway.protocols.gt06_wire import split as split
from gateway.protocols.gt06_wire import strong_start as strong_start
from schemas.records import Attribute

NAME = "gt06"
QUIET_MS = 5_000

_LONGEST_DETECTED = 4096
_LOGIN_BYTES = 15
"""Bytes of a login that tell GT06 from Topin, whose login ends with them."""
_TOPIN_TYPES = frozenset((0x08, 0x13, 0x30, 0x57, 0x80, 0x81, 0x82, 0x83, 0x92, 0x93, 0x94, 0x99, 0xB3))
"""Types whose frames of Topin, which have no CRC, end where those of GT06 do."""

_COMMAND, _ANSWER_PHOTO, _ADDRESS, _TIME, _PHOTO = 0x80, 0x36, 0x97, 0x8A, 0x35
_PHOTO_PART_BYTES = 1024
_NO_ADDRESS = b"\x0b\x00\x00\x00\x00NA&&NA&&0##"
_NO_SERIAL = b"\x00\x00"
_FIX_BYTES = 18
_EXTENDED_ACKS = frozenset((0x32, 0x33, 0x41))
_ACKED = {
    # type: bytes of content without which there is nothing to acknowledge
    **dict.fromkeys((0x10, 0x12, 0x16, 0x1E, 0x22, 0x26, 0x27, 0x2D, 0x31, 0x37, 0xA0, 0xA4), _FIX_BYTES),
    **dict.fromkeys((0x11, 0x18, 0x24, 0x28, 0x2C, 0x2E, 0x32, 0x33, 0xA1, 0xA2, 0xA9), 8),
    **dict.fromkeys((0x01, 0x19, 0x25, 0x61, 0xA5, 0xA7), 8),
    **dict.fromkeys((0x08, 0x13, 0x14, 0x1F, 0x23, 0x36, 0x39, 0x40, 0x41, 0x70, 0x95, 0xA3, 0xF1, 0xF2), 1),
}
_ADDRESS_REQUESTS = frozenset((0x1A, 0x2A))
_UNANSWERED_LENGTH = {0x24: 0x2E}
_IMEI_AT = {0x25: 1, 0x61: 0}
"""Where types other than the login carry an IMEI, in their content."""


def detect_short(buffer: bytes, ended: bool) -> Verdict:
    """Rule 34: a login that is none of Topin, a whole frame that its CRC proves, or that ends as no Topin frame does.

    Topin sends the same start, end and types without serial number and CRC.
    """
    if not SHORT.startswith(buffer[:2]) or (len(buffer) > 2 and buffer[2] < SHORTEST_LENGTH):
        return Verdict.NO
    more = Verdict.NO if ended else Verdict.MORE
    if len(buffer) < 4:
        return more
    length, kind = buffer[2], buffer[3]
    if not kind:
        return Verdict.NO  # Anytrek: the length is two bytes, least significant first
    if kind == LOGIN and length >= 13:
        if len(buffer) < _LOGIN_BYTES:
            return more
        if packed_imei(buffer[4:12]):
            topin = length == 13 and buffer[13:15] == END and crc_x25(buffer[2:14]) >> 8 != END[1]
            return Verdict.NO if topin else Verdict.YES
    total = length + 5
    if len(buffer) < total:
        return more
    if buffer[total - 2 : total] != END:
        return Verdict.NO
    return Verdict.YES if kind not in _TOPIN_TYPES or is_checked(buffer[:total], total) else Verdict.NO


def detect_extended(buffer: bytes, ended: bool) -> Verdict:
    """Rule 35: `79 79` and a length of 5 to 4096."""
    if not EXTENDED.startswith(buffer[:2]):
        return Verdict.NO
    if len(buffer) < 5:
        return Verdict.NO if ended else Verdict.MORE
    return Verdict.YES if SHORTEST_LENGTH <= int.from_bytes(buffer[2:4]) <= _LONGEST_DETECTED else Verdict.NO


RULES: tuple[Rule, ...] = (
    Rule(34, NAME, detect_short, whole=True, first=b"x"),
    Rule(35, NAME, detect_extended, first=b"y"),
)


def validates(frame: bytes) -> bool:
    """True when the CRC is right."""
    unit = unit_of(frame)
    return unit is not None and unit.checked and frame.endswith(END)


def imei_at(unit: Unit, content: bytes) -> int:
    """Where in the content of a position an IMEI stands before it, as some models send; -1 when there is none."""
    at = _IMEI_AT.get(unit.type)
    if at is not None:
        return at
    for at in (0, 1) if unit.type in (0x12, 0x22) else ():
        fix = at + 8 if unit.type == 0x12 else at + 14
        if content[at : at + 1] < b"\x10" and imei_of(packed_imei(content[at : at + 8])):
            month, day = content[fix + 1 : fix + 2], content[fix + 2 : fix + 3]
            if b"\x01" <= month <= b"\x0c" and b"\x01" <= day <= b"\x1f" and len(content) >= fix + _FIX_BYTES:
                return at
    return -1


def identify(frame: bytes, facts: Facts) -> Identity:
    """The IMEI of a login, or of the few positions that carry one; all else belongs to the session.

    Keeps the content of the login in facts.login.
    """
    unit = unit_of(frame)
    if unit is None:
        return NO_IDENTITY
    content = frame[unit.begin : unit.end]
    if unit.type == LOGIN:
        text = packed_imei(content[:8])
        if not text:
            return NO_IDENTITY
        if facts.login != content:
            facts.login = content
        return Identity(text, imei_of(text))
    if unit.type not in _IMEI_AT and unit.type not in (0x12, 0x22):
        return NO_IDENTITY
    at = imei_at(unit, content)
    imei = imei_of(packed_imei(content[at : at + 8])) if at >= 0 else ""
    return Identity(imei, imei) if imei else NO_IDENTITY


# -- replies --------------------------------------------------------------------------------------------


def reply(frame: bytes, facts: Facts, now_ms: int) -> Reply | None:
    """Type and serial number again to most types; the time, an address or the next photo part to those that ask.

    A login's reply is not at once: the device waits 5 s for it, durability takes a hundredth of that.
    """
    unit = unit_of(frame)
    if unit is None or (unit.begin >= unit.end and unit.type != _TIME):
        return None
    kind, content = unit.type, frame[unit.begin : unit.end]
    if kind in SCANS and not unit.checked:
        return _scan_reply(kind, content, facts)
    if kind == _TIME:
        clock = datetime.fromtimestamp(now_ms / 1000, UTC)
        parts = (clock.year % 100, clock.month, clock.day, clock.hour, clock.minute, clock.second)
        return Reply(message(kind, bytes(parts), unit.serial or _NO_SERIAL))
    if kind in _ADDRESS_REQUESTS:
        return Reply(message(_ADDRESS, _NO_ADDRESS, _NO_SERIAL, extended=True))
    if kind == _PHOTO or (kind == _ANSWER_PHOTO and unit.extended):
        return _photo_request(kind, content)
    least = 1 if kind in SCANS else _ACKED.get(kind)
    if least is None or len(content) < least or _UNANSWERED_LENGTH.get(kind) == len(content) + SHORTEST_LENGTH:
        return None
    # A position without a serial number is acknowledged too, with the bytes that stand where it would.
    serial = unit.serial or (frame[-6:-4] if kind in BARE_PLACES else b"")
    return Reply(message(kind, b"", serial, unit.extended and kind in _EXTENDED_ACKS)) if serial else None


def _scan_reply(kind: int, content: bytes, facts: Facts) -> Reply | None:
    """Its own time; no serial number, no CRC. Without a login it may be of Topin, and is not answered."""
    if not facts.login or len(content) < 6:
        return None
    return Reply(SHORT + bytes((0, kind)) + content[:6] + END)


def _photo_request(kind: int, content: bytes) -> Reply | None:
    """Ask for the first part of an announced photo, or for the part behind the one that came, if that was a full one.

    Announced: time 6, 9 bytes, camera, source, format, size u32, id u32. Part: id u32, offset u32, length u16, bytes.
    """
    if kind == _PHOTO:
        if len(content) < 26:
            return None
        photo, offset, size = content[22:26], 0, int.from_bytes(content[18:22])
    else:
        photo, size = content[:4], int.from_bytes(content[8:10])
        if len(content) < 10 or size < _PHOTO_PART_BYTES:
            return None
        offset = (int.from_bytes(content[4:8]) + size) & 0xFFFFFFFF
    part = photo + offset.to_bytes(4) + min(size, _PHOTO_PART_BYTES).to_bytes(2)
    return Reply(message(_ANSWER_PHOTO, part, _NO_SERIAL))


# -- commands -------------------------------------------------------------------------------------------


_TEXTS = {
    "engine_stop": "Relay,1",
    "engine_resume": "Relay,0",
    "position_single": "WHERE",
    "get_device_status": "STATUS",
    "reboot": "RESET",
}
_ENGINE = {"engine_stop": "DYD", "engine_resume": "HFYD"}


def encode_command(kind: str, parameters: Mapping[str, Attribute], facts: Facts, now_ms: int) -> bytes:
    """Bytes of a command: type 80, length, a flag that the answer repeats, text that ends in `#`.

    Parameters: engine_stop and engine_resume form "DYD" for firmware that takes DYD and HFYD in place of Relay, then
    password (absent: none is sent); position_single form "DWXX"; position_periodic interval_s and parked_s (seconds
    between positions with the ignition on and off; parked_s absent: the same); custom data. Raises ValueError for a
    command that these devices have not.
    """
    text = _command_text(kind, parameters)
    if not text.endswith("#"):
        text += "#"
    data = text.encode()
    if len(data) > 200:
        raise ValueError("the text must not be longer than 200 characters")
    return message(_COMMAND, bytes((len(data) + 4,)) + bytes(4) + data, _NO_SERIAL)


def _command_text(kind: str, parameters: Mapping[str, Attribute]) -> str:
    form = parameters.get("form")
    if kind in _ENGINE and form == "DYD":
        password = f",{plain_text(parameters, 'password', ',#')}" if "password" in parameters else ""
        return _ENGINE[kind] + password
    if kind == "position_single" and form == "DWXX":
        return "DWXX"
    if kind in _TEXTS:
        return _TEXTS[kind]
    if kind == "position_periodic":
        interval_s = whole_number(parameters, "interval_s", 1, 0xFFFF)
        parked_s = whole_number(parameters, "parked_s", 1, 0xFFFF) if "parked_s" in parameters else interval_s
        return f"TIMER,{interval_s},{parked_s}"
    if kind == "custom":
        return plain_text(parameters, "data")
    raise ValueError(f"gt06 devices have no command {kind}")
