"""Checksums of the recognised protocols: only so much that a frame can prove itself."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Iterable
from functools import reduce
from operator import xor

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc_kermit(data: bytes) -> int:
    """CRC-16/KERMIT: polynomial 0x1021 least significant bit first, start 0."""
    value = crc_hqx(data.translate(_REVERSED), 0)
    return _REVERSED[value & 0xFF] << 8 | _REVERSED[value >> 8]


def crc_false(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021 most significant bit first, start 0xFFFF."""
    return crc_hqx(data, 0xFFFF)


def crc_xmodem(data: bytes) -> int:
    """CRC-16/XMODEM: polynomial 0x1021 most significant bit first, start 0."""
    return crc_hqx(data, 0)


def _table_16(polynomial: int) -> tuple[int, ...]:
    def step(value: int) -> int:
        return value >> 1 ^ (polynomial if value & 1 else 0)

    return tuple(reduce(lambda value, _: step(value), range(8), byte) for byte in range(256))


_ARC = _table_16(0xA001)


def _crc_8005(data: bytes, value: int) -> int:
    table = _ARC
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return value


def crc_arc(data: bytes) -> int:
    """CRC-16/ARC: polynomial 0x8005 least significant bit first, start 0."""
    return _crc_8005(data, 0)


def crc_modbus(data: bytes) -> int:
    """CRC-16/MODBUS: polynomial 0x8005 least significant bit first, start 0xFFFF."""
    return _crc_8005(data, 0xFFFF)


def crc_8(data: bytes) -> int:
    """CRC-8 with polynomial 0x31 most significant bit first, start 0xFF; for heads of a few bytes."""
    value = 0xFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ (0x31 if value & 0x80 else 0)) & 0xFF
    return value


def xor_8(data: Iterable[int]) -> int:
    """All bytes exclusive-or."""
    return reduce(xor, data, 0)


def sum_8(data: bytes) -> int:
    """Low byte of the sum of all bytes."""
    return sum(data) & 0xFF


def is_packed(data: bytes) -> bool:
    """True when every half byte is a decimal digit."""
    return data.hex().isdigit() if data else True
