"""Wire helpers that protocol modules share: byte classes, three-valued patterns, packed decimal, command parts."""

from __future__ import annotations

import re
from binascii import crc_hqx
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from gateway.protocols.base import Verdict
from schemas.records import Attribute

PRINTABLE = re.compile(rb"[\x21-\x7e]+")
"""An id that may be a key: visible ASCII only."""
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits in the opposite order."""


def packed(low: int, high: int) -> bytes:
    """Pattern of one byte that holds a packed decimal number (BCD) between low and high, both 0..99 and included."""
    values = bytes(int(str(number), 16) for number in range(low, high + 1))
    return b"[" + b"".join(b"\\x%02x" % value for value in values) + b"]"


def started(classes: Sequence[bytes]) -> bytes:
    """Pattern of what may still become `classes` (one-byte patterns in order): every prefix that ends with the input.

    Nested, so the engine walks it once and never goes back: linear whatever the input.
    """
    pattern = rb"\Z"
    for one in reversed(classes):
        pattern = rb"(?:\Z|" + one + pattern + rb")"
    return pattern


def verdict(whole: re.Pattern[bytes], begun: re.Pattern[bytes], buffer: bytes, ended: bool) -> Verdict:
    """Answer of a detection rule from the pattern of a whole head and the pattern of a head that has begun."""
    if whole.match(buffer):
        return Verdict.YES
    return Verdict.MORE if not ended and begun.match(buffer) else Verdict.NO


def visible_id(raw: bytes) -> str:
    """The id as text, or "" when it holds bytes that can be no key (control bytes, blanks, bytes above 0x7E)."""
    return raw.decode("ascii") if PRINTABLE.fullmatch(raw) else ""


def imei_of(text: str) -> str:
    """text when it is 15 digits (no Luhn test: many genuine devices fail it), else ""."""
    return text if len(text) == 15 and text.isascii() and text.isdigit() else ""


def crc_x25(data: bytes) -> int:
    """CRC-16/X-25 (reflected 0x1021, start 0xFFFF, final XOR 0xFFFF; b"123456789" gives 0x906E).

    The library has this polynomial only most significant bit first, so bits are reversed on the way in and out.
    """
    value = crc_hqx(data.translate(_REVERSED), 0xFFFF)
    return (_REVERSED[value & 0xFF] << 8 | _REVERSED[value >> 8]) ^ 0xFFFF


def utc_text(now_ms: int, form: str) -> bytes:
    """now_ms (milliseconds since the epoch) in UTC, to the second, in the form of strftime."""
    return _utc_text(now_ms // 1000, form)


@lru_cache(maxsize=16)
def _utc_text(now_s: int, form: str) -> bytes:
    return datetime.fromtimestamp(now_s, UTC).strftime(form).encode()


def whole_number(parameters: Mapping[str, Attribute], name: str, low: int, high: int) -> int:
    """A required whole number of a command between low and high. Raises ValueError."""
    value = parameters.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
    return value


def plain_text(parameters: Mapping[str, Attribute], name: str, forbidden: str = "") -> str:
    """A required text of a command, visible ASCII and blanks, without the forbidden characters. Raises ValueError."""
    value = parameters.get(name)
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise ValueError(f"{name} must be a text of visible ASCII characters, not {value!r}")
    if any(character in forbidden for character in value):
        raise ValueError(f"{name} must not contain any of {forbidden!r}: {value!r}")
    return value
