"""JT/T 808 frames as bytes: delimiters and escapes, checksum, header, ids. Shared by the wire module and the decoder.

Layouts: JT/T 808 of 2011, 2013 and 2019, and the form between `E7` delimiters (jt808.md sections 1 and 2).
"""

from __future__ import annotations

from functools import reduce
from operator import xor
from struct import pack, unpack_from
from typing import NamedTuple

MARK = 0x7E
OTHER_MARK = 0xE7
"""Delimiter of the form whose id has 7 bytes and whose escapes are others."""
HEADER_BYTES = 12
SHORTEST_CONTENT_BYTES = HEADER_BYTES + 1

ENCRYPTED, SUBPACKAGED, VERSIONED, WANTS_REPLY = 0x1C00, 0x2000, 0x4000, 0x8000
"""Bits of the header's attributes. WANTS_REPLY is known of 5501 and 5502 only."""

LOCATION_2, LOCATION_BLIND = 0x5501, 0x5502
JOINTECH = frozenset((LOCATION_2, LOCATION_BLIND))
"""Messages of the Jointech form: a serial number of one byte, encryption bits that mean something else."""


class Address(NamedTuple):
    """What a message to the device repeats of the device's own: delimiter, version byte (-1: none), id as sent."""

    mark: int
    version: int
    id: bytes


class Head(NamedTuple):
    """Header of a frame. total, number: sub-packages and which of them, from 1; both 0 for a whole message.

    body_at: where the body begins in the content.
    """

    message: int
    attributes: int
    address: Address
    serial: int
    total: int
    number: int
    body_at: int


def content_of(frame: bytes) -> bytes:
    """What stands between the delimiters, unescaped: header, body and checksum. A lost first delimiter is no harm."""
    if frame[-1:] == b"\xe7":
        content = frame.strip(b"\xe7")
        if b"\xe6" in content or b"\x3e" in content:
            content = content.replace(b"\xe6\x02", b"\xe7").replace(b"\xe6\x01", b"\xe6")
            content = content.replace(b"\x3e\x02", b"\x3d").replace(b"\x3e\x01", b"\x3e")
        return content
    content = frame.strip(b"\x7e")
    if b"\x7d" in content:
        content = content.replace(b"\x7d\x02", b"\x7e").replace(b"\x7d\x01", b"\x7d")
    return content


def read_head(content: bytes, mark: int = MARK) -> Head | None:
    """Header of an unescaped content; None when it is cut off."""
    if len(content) < 4:
        return None
    message, attributes = unpack_from(">HH", content)
    at, version = 4, -1
    if attributes & VERSIONED:
        if len(content) < 5:
            return None
        version, at, id_bytes = content[4], 5, 10
    else:
        id_bytes = 7 if mark == OTHER_MARK else 6
    address = Address(mark, version, content[at : at + id_bytes])
    at += id_bytes
    serial_bytes = 1 if message in JOINTECH else 2
    serial = int.from_bytes(content[at : at + serial_bytes])
    at += serial_bytes
    total = number = 0
    if attributes & SUBPACKAGED:
        if len(content) < at + 4:
            return None
        total, number = unpack_from(">HH", content, at)
        at += 4
    return Head(message, attributes, address, serial, total, number, at) if len(content) > at else None


def checksum(data: bytes) -> int:
    """XOR of all bytes."""
    return reduce(xor, data, 0)


def sum_is_right(content: bytes) -> bool:
    """True when the last byte of a content is the checksum of the others."""
    return checksum(content) == 0


def length_is_right(content: bytes, head: Head) -> bool:
    """True when the body has the length that the header declares."""
    return len(content) == head.body_at + (head.attributes & 0x3FF) + 1


def mark_of(frame: bytes) -> int:
    """Delimiter of a frame."""
    return OTHER_MARK if frame[-1:] == b"\xe7" else MARK


def id_text(address: Address) -> tuple[str, str]:
    """(id as it is known, IMEI or "").

    Six or seven bytes of decimal nibbles are the id, zeros kept. Six bytes with other nibbles are a 48-bit number of 14
    digits: an IMEI without its check digit. 20 digits are an IMEI when 15 of them are left without the leading zeros.
    """
    digits = address.id.hex()
    if digits.isdigit():
        if len(digits) == 20:
            short = digits.lstrip("0")
            if len(short) == 15:
                return short, short
        return digits, ""
    if len(address.id) == 6:
        number = str(int(digits, 16))
        if len(number) == 14:
            imei = number + luhn_digit(number)
            return imei, imei
    return digits, ""


def luhn_digit(digits: str) -> str:
    """The check digit that belongs behind these digits (ISO/IEC 7812)."""
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if at % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def message_to(address: Address, message: int, body: bytes, serial: bytes = b"\x00\x00") -> bytes:
    """A frame for the device: own serial number 0, same id, version and delimiter as the device uses."""
    attributes = len(body) & 0x3FF
    version = b""
    if address.version >= 0:
        attributes |= VERSIONED
        version = bytes((address.version,))
    content = pack(">HH", message, attributes) + version + address.id + serial + body
    content += bytes((checksum(content),))
    if address.mark == OTHER_MARK:
        content = content.replace(b"\xe6", b"\xe6\x01").replace(b"\xe7", b"\xe6\x02")
        content = content.replace(b"\x3e", b"\x3e\x01").replace(b"\x3d", b"\x3e\x02")
        return b"\xe7" + content + b"\xe7"
    return b"\x7e" + content.replace(b"\x7d", b"\x7d\x01").replace(b"\x7e", b"\x7d\x02") + b"\x7e"
