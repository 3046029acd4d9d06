"""A cursor over the content of a binary frame: every value is read under its name, so that a reading can be explained.

A subclass that notes offset, size, name and value in its methods explains a frame by decoding it.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

from schemas.errors import DecodeError, Reason


class Layout:
    """Neighbouring fields of fixed size, big-endian: struct codes, one a field, and their names."""

    __slots__ = ("codes", "names", "size", "unpack_from")

    def __init__(self, *fields: tuple[str, str]) -> None:
        self.codes = tuple(code for code, _ in fields)
        self.names = tuple(name for _, name in fields)
        struct = Struct(">" + "".join(self.codes))
        self.size = struct.size
        self.unpack_from = struct.unpack_from


class Cursor:
    """Reads data[at:end] from the front; every method raises DecodeError (short) behind the end."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data = data
        self.at = at
        self.end = end

    def left(self) -> int:
        return self.end - self.at

    def rest(self) -> bytes:
        """What is left, without moving on."""
        return self.data[self.at : self.end]

    def fields(self, layout: Layout) -> tuple[Any, ...]:
        at = self.at
        self.at = at + layout.size
        if self.at > self.end:
            raise DecodeError(Reason.SHORT, layout.names[0], at)
        return layout.unpack_from(self.data, at)

    def number(self, size: int, name: str) -> int:
        """An unsigned number."""
        return int.from_bytes(self.take(size, name))

    def signed(self, size: int, name: str) -> int:
        return int.from_bytes(self.take(size, name), signed=True)

    def take(self, size: int, name: str) -> bytes:
        at = self.at
        self.at = at + size
        if self.at > self.end:
            raise DecodeError(Reason.SHORT, name, at)
        return self.data[at : self.at]
