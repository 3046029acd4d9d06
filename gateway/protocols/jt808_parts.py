"""Messages in sub-packages: their parts travel in the session's `login`, so that a decoder of one frame can join them.

`login` of a session is the device's own header (what a command repeats), then the parts that came of messages that
are not complete yet, and of the last complete one. A part is decoded when no part before it is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

from gateway.protocols.jt808_wire import MARK, OTHER_MARK, Address, Head

PARTS_BYTES = 32 * 1024
"""Most that a session keeps of parts; what is older is given up."""
_HEADER = Struct(">10sHHHH")
_ADDRESS = Struct(">BhB")


class Part(NamedTuple):
    """One sub-package: id of the device, message id, count of parts, number from 1, its piece of the body."""

    id: bytes
    message: int
    total: int
    number: int
    body: bytes

    @property
    def of(self) -> tuple[bytes, int, int]:
        """The message that it belongs to."""
        return self.id, self.message, self.total


def part_of(head: Head, content: bytes) -> Part:
    """The part that a frame carries."""
    return Part(head.address.id.ljust(10, b"\xff"), head.message, head.total, head.number, content[head.body_at : -1])


def pack_address(address: Address) -> bytes:
    """The beginning of `login`."""
    return _ADDRESS.pack(address.mark, address.version, len(address.id)) + address.id


def read_address(login: bytes) -> Address | None:
    """The address at the beginning of `login`, None when there is none."""
    if len(login) < _ADDRESS.size or login[0] not in (MARK, OTHER_MARK):
        return None
    mark, version, length = _ADDRESS.unpack_from(login)
    device = login[_ADDRESS.size : _ADDRESS.size + length]
    return Address(mark, version, device) if len(device) == length else None


def read_parts(login: bytes) -> list[Part]:
    """The parts in `login`, in the order of arrival."""
    address = read_address(login)
    parts: list[Part] = []
    if address is None:
        return parts
    at = _ADDRESS.size + len(address.id)
    while at + _HEADER.size <= len(login):
        device, message, total, number, length = _HEADER.unpack_from(login, at)
        at += _HEADER.size
        parts.append(Part(device, message, total, number, login[at : at + length]))
        at += length
    return parts


def _without_complete(parts: list[Part]) -> list[Part]:
    numbers: dict[tuple[bytes, int, int], set[int]] = {}
    for one in parts:
        numbers.setdefault(one.of, set()).add(one.number)
    return [one for one in parts if len(numbers[one.of]) < one.total]


def _pack(address: Address, parts: list[Part]) -> bytes:
    packed = (_HEADER.pack(one.id, one.message, one.total, one.number, len(one.body)) + one.body for one in parts)
    return pack_address(address) + b"".join(packed)


def readdressed(login: bytes, address: Address) -> bytes:
    """`login` for a frame that is no part: the address of its device, and the parts of messages not yet complete."""
    return _pack(address, _without_complete(read_parts(login)))


def add_part(login: bytes, address: Address, part: Part) -> bytes:
    """`login` with one more part: a message that was complete makes room, and so does one that begins again."""
    parts = _without_complete(read_parts(login))
    if part.number == 1 and any(one.of == part.of and one.number == 1 and one.body != part.body for one in parts):
        parts = [one for one in parts if one.of != part.of]
    parts = [one for one in parts if (one.of, one.number) != (part.of, part.number)]
    parts.append(part)
    while sum(len(one.body) for one in parts) > PARTS_BYTES and len(parts) > 1:
        parts = [one for one in parts if one.of != parts[0].of or one is part]
        if parts[0] is part:
            break
    return _pack(address, parts)


class Joined(NamedTuple):
    """Parts put together: the body from part 1 on without a gap, and how much of it came before the part at hand.

    reached: no part before the one at hand is missing. whole: no part is missing.
    """

    body: bytes
    before: int
    reached: bool
    whole: bool


def joined(parts: Iterable[Part], part: Part) -> Joined:
    """Put a part together with those of its message that came."""
    bodies = {one.number: one.body for one in parts if one.of == part.of}
    bodies[part.number] = part.body
    pieces: list[bytes] = []
    before = -1
    for number in range(1, part.total + 1):
        if number == part.number:
            before = sum(map(len, pieces))
        if number not in bodies:
            break
        pieces.append(bodies[number])
    return Joined(b"".join(pieces), before, before >= 0, len(pieces) == part.total)
