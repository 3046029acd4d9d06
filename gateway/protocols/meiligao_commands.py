"""Frames to Meiligao devices: `@@`, length, the seven id bytes of the device, command, data, checksum, CR LF."""

from __future__ import annotations

import re
from binascii import crc_hqx
from collections.abc import Mapping

from gateway.protocols.base import Facts
from gateway.protocols.fields import plain_text, whole_number
from schemas.records import Attribute

OUTPUTS_DIALECT = "outputs"
"""facts.dialect of a device that refused command 4115: its engine relay is its first output (command 4114)."""

ID_AT, COMMAND_AT, DATA_AT = 4, 11, 13
SHORTEST = DATA_AT + 4
"""Bytes of a frame without data."""
CRC_START = 0xFFFF


def checksum(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 1021, start FFFF, nothing reflected; `123456789` gives 29B1."""
    return crc_hqx(data, CRC_START)


def packet(device: bytes, command: bytes, content: bytes) -> bytes:
    """A frame to the device. device: its seven id bytes. command: two bytes."""
    head = b"@@%b%b%b%b" % ((SHORTEST + len(content)).to_bytes(2), device, command, content)
    return head + checksum(head).to_bytes(2) + b"\r\n"


_PERIOD_UNIT_S = 10
_OUTPUTS = 5
_UNCHANGED = 2
_PLAIN: dict[str, bytes] = {
    "position_single": b"\x41\x01",
    "position_stop": b"\x41\x02\x00\x00",
    "request_photo": b"\x41\x51",
    "reboot": b"\x49\x02",
}


def encode_command(kind: str, parameters: Mapping[str, Attribute], facts: Facts, now_ms: int) -> bytes:
    """Bytes of a command, addressed with the id bytes that the device itself uses.

    Parameters: position_periodic interval_s (a multiple of 10); movement_alarm radius_m; engine_stop and engine_resume
    alternative (true: switch the first output, false: the engine relay; absent: the output once the relay was refused);
    output_control index (1 to 5) and enable; set_timezone utc_offset_s (whole minutes); custom data (hex of the command
    and its data). Raises ValueError for a command that these devices have not.
    """
    content = _content(kind, parameters, facts)
    return packet(_address(facts), content[:2], content[2:])


def _address(facts: Facts) -> bytes:
    if len(facts.login) == COMMAND_AT - ID_AT:
        return facts.login
    digits = facts.device_id[:14] if len(facts.device_id) == 15 else facts.device_id
    if not re.fullmatch("[0-9A-Ea-e]{1,14}", digits):
        raise ValueError("the device has not said who it is")
    return bytes.fromhex(digits.ljust(14, "F"))


def _content(kind: str, parameters: Mapping[str, Attribute], facts: Facts) -> bytes:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in ("engine_stop", "engine_resume"):
        return _engine(kind == "engine_stop", parameters.get("alternative"), facts)
    if kind == "output_control":
        index = whole_number(parameters, "index", 1, _OUTPUTS)
        enable = parameters.get("enable")
        if not isinstance(enable, bool):
            raise ValueError(f"enable must be true or false, not {enable!r}")
        return _outputs(index, enable)
    if kind == "position_periodic":
        return b"\x41\x02" + _multiple(parameters, "interval_s", _PERIOD_UNIT_S, 0, 0xFFFF).to_bytes(2)
    if kind == "movement_alarm":
        return b"\x41\x06" + whole_number(parameters, "radius_m", 0, 0xFFFF).to_bytes(2)
    if kind == "set_timezone":
        return b"\x41\x32%d" % _multiple(parameters, "utc_offset_s", 60, -12 * 60, 14 * 60)
    if kind == "custom":
        return _custom(plain_text(parameters, "data"))
    raise ValueError(f"meiligao devices have no command {kind}")


def _engine(stop: bool, alternative: Attribute | None, facts: Facts) -> bytes:
    if alternative is None:
        alternative = facts.dialect == OUTPUTS_DIALECT
    if not isinstance(alternative, bool):
        raise ValueError(f"alternative must be true or false, not {alternative!r}")
    return _outputs(1, stop) if alternative else b"\x41\x15" + bytes([stop])


def _outputs(index: int, enable: bool) -> bytes:
    states = [_UNCHANGED] * _OUTPUTS
    states[index - 1] = int(enable)
    return b"\x41\x14" + bytes(states)


def _multiple(parameters: Mapping[str, Attribute], name: str, unit: int, low: int, high: int) -> int:
    """A required whole number in units of `unit`, between low and high of them. Raises ValueError."""
    value = whole_number(parameters, name, low * unit, high * unit)
    if value % unit:
        raise ValueError(f"{name} must be a multiple of {unit}, not {value}")
    return value // unit


def _custom(text: str) -> bytes:
    try:
        content = bytes.fromhex(text)
    except ValueError:
        content = b""
    if not 2 <= len(content) < 1024:
        raise ValueError("data must be the hex digits of a command of two bytes and its data")
    return content
