"""Commands to watch devices: `[VV*id*LEN*content]`, with vendor, id and form that the device itself uses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from gateway.protocols.base import LARGE_FRAME_BYTES, Facts
from gateway.protocols.fields import plain_text, whole_number
from schemas.records import Attribute

INDEX_DIALECT = "index"
"""facts.dialect of firmware that counts its messages, with four hex digits before LEN; empty for the others."""
_DEFAULT_VENDOR = b"CS"
_COMMAND_INDEX = b"0001"
_QUARTER_HOUR_S = 900
_SPECIAL = re.compile(rb"[\x7d\[\],*]")
_ESCAPES = {b"\x7d": b"\x7d\x01", b"[": b"\x7d\x02", b"]": b"\x7d\x03", b",": b"\x7d\x04", b"*": b"\x7d\x05"}

Parameters = Mapping[str, Attribute]


def framed(vendor: bytes, device: bytes, index: bytes, content: bytes) -> bytes:
    """A frame to the device; index: four hex digits, or empty for the form without."""
    if index:
        return b"[%b*%b*%b*%04X*%b]" % (vendor, device, index, len(content), content)
    return b"[%b*%b*%04X*%b]" % (vendor, device, len(content), content)


def escape(data: bytes) -> bytes:
    """Escape what would end a frame or part its fields; LEN counts the escaped bytes."""
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], data)


def encode_command(kind: str, parameters: Parameters, facts: Facts, now_ms: int) -> bytes:
    """Bytes of a command.

    Parameters: position_periodic interval_s; sos_number index (1 to 3) and phone; alarm_sos, alarm_battery,
    alarm_remove, pedometer enable; set_timezone language (number of the vendor) and utc_offset_s; set_indicator count
    (hearts); voice_monitor phone; silence_time, alarm_clock, work_time data as the device takes it; set_phonebook data
    `number,name,number,name...`; message message (any language); voice_message data (hex of an AMR file); custom data
    (content as sent). Raises ValueError for a command that these devices have not.
    """
    content = _content(kind, parameters)
    if len(content) > LARGE_FRAME_BYTES:
        raise ValueError(f"the command has {len(content)} bytes, more than {LARGE_FRAME_BYTES}")
    vendor, _, device = facts.login.partition(b"*")
    if not device:
        vendor, device = _DEFAULT_VENDOR, facts.device_id.encode()
    if not device:
        raise ValueError("the device has not said who it is")
    return framed(vendor, device, _COMMAND_INDEX if facts.dialect == INDEX_DIALECT else b"", content)


def _content(kind: str, parameters: Parameters) -> bytes:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in _SWITCHES:
        return _SWITCHES[kind] + (b",1" if _enabled(parameters) else b",0")
    if kind in _TEXTS:
        word, name = _TEXTS[kind]
        return word + b"," + plain_text(parameters, name, "[]").encode()
    encode = _OTHERS.get(kind)
    if encode is None:
        raise ValueError(f"watch devices have no command {kind}")
    return encode(parameters)


def _enabled(parameters: Parameters) -> bool:
    value = parameters.get("enable")
    if not isinstance(value, bool):
        raise ValueError(f"enable must be true or false, not {value!r}")
    return value


def _sos_number(parameters: Parameters) -> bytes:
    number = whole_number(parameters, "index", 1, 3)
    return b"SOS%d,%b" % (number, plain_text(parameters, "phone", "[]*,").encode())


def _timezone(parameters: Parameters) -> bytes:
    """The zone is in hours with a sign, and a fraction where it needs one."""
    offset_s = whole_number(parameters, "utc_offset_s", -12 * 3600, 14 * 3600)
    if offset_s % _QUARTER_HOUR_S:
        raise ValueError(f"utc_offset_s must be a multiple of {_QUARTER_HOUR_S}, not {offset_s}")
    return f"LZ,{whole_number(parameters, 'language', 0, 255)},{offset_s / 3600:+g}".encode()


def _wide_text(text: str) -> bytes:
    return text.encode("utf-16-be").hex().upper().encode()


def _any_text(parameters: Parameters, name: str) -> str:
    value = parameters.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a text, not {value!r}")
    return value


def _phonebook(parameters: Parameters) -> bytes:
    parts = _any_text(parameters, "data").split(",")
    numbers = parts[::2]
    if len(parts) % 2 or not all(number.lstrip("+").isdigit() and number.isascii() for number in numbers):
        raise ValueError("data must be number,name,number,name and so on")
    return b"PHB," + b",".join(
        part.encode() if place % 2 == 0 else _wide_text(part) for place, part in enumerate(parts)
    )


def _voice(parameters: Parameters) -> bytes:
    try:
        return b"TK," + escape(bytes.fromhex(_any_text(parameters, "data")))
    except ValueError:
        raise ValueError("data must be the hex digits of an AMR file") from None


_PLAIN: dict[str, bytes] = {
    "position_single": b"CR",
    "reboot": b"RESET",
    "power_off": b"POWEROFF",
    "factory_reset": b"FACTORY",
    "get_version": b"VERNO",
    "get_device_status": b"TS",
}
_SWITCHES: dict[str, bytes] = {
    "alarm_sos": b"SOSSMS",
    "alarm_battery": b"LOWBAT",
    "alarm_remove": b"REMOVE",
    "pedometer": b"PEDO",
}
_TEXTS: dict[str, tuple[bytes, str]] = {
    "silence_time": (b"SILENCETIME", "data"),
    "alarm_clock": (b"REMIND", "data"),
    "work_time": (b"WORK", "data"),
    "voice_monitor": (b"MONITOR", "phone"),
}
_OTHERS: dict[str, Callable[[Parameters], bytes]] = {
    "position_periodic": lambda parameters: b"UPLOAD,%d" % whole_number(parameters, "interval_s", 1, 86_400),
    "sos_number": _sos_number,
    "set_timezone": _timezone,
    "set_indicator": lambda parameters: b"FLOWER,%d" % whole_number(parameters, "count", 0, 65_535),
    "set_phonebook": _phonebook,
    "message": lambda parameters: b"MESSAGE," + _wide_text(_any_text(parameters, "message")),
    "voice_message": _voice,
    "custom": lambda parameters: plain_text(parameters, "data", "[]").encode(),
}
