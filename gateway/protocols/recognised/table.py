"""All recognised protocols, and one look for a certain start of any of them behind garbage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gateway.protocols.recognised import binary, binary_checked, dollar, hash_sign, text, web
from gateway.protocols.recognised.heads import first_two
from gateway.protocols.recognised.kind import Recognised

MODULES: tuple[Recognised, ...] = (
    *web.MODULES,
    *text.MODULES,
    *hash_sign.MODULES,
    *dollar.MODULES,
    *binary.MODULES,
    *binary_checked.MODULES,
)
LOGIN_BYTES = 6
"""How far behind garbage the login of Teltonika counts: two bytes and digits are weak evidence (docs/design.md)."""
FALSE_STARTS = 16
"""Heads without a right checksum after which no further one is looked at: hostile noise must stay cheap."""


class _Heads(NamedTuple):
    """Certain heads that begin with one byte: one pattern with a group for each, and the protocols in that order."""

    pattern: re.Pattern[bytes]
    owners: tuple[Recognised, ...]


def _by_first_byte() -> tuple[dict[int, _Heads], re.Pattern[bytes]]:
    """Those by their first byte; and a pattern of the places worth a look, by the first two: a class each, so it is fast."""
    found: dict[int, list[Recognised]] = {}
    followers: dict[int, set[int]] = {}
    for module in MODULES:
        for byte, seconds in first_two(module.strong).items() if module.strong else ():
            found.setdefault(byte, []).append(module)
            followers.setdefault(byte, set()).update(seconds)
    heads = {
        byte: _Heads(re.compile(rb"|".join(rb"(%b)" % owner.strong for owner in owners), re.DOTALL), tuple(owners))
        for byte, owners in found.items()
    }
    places = (b"\\x%02x(?=[%b])" % (byte, _class(seconds)) for byte, seconds in sorted(followers.items()))
    # three `$` or four `@` in a row begin nothing, and noise may be full of them
    return heads, re.compile(rb"(?:" + rb"|".join(places) + rb")(?!(?<=\$)\$\$|(?<=@)@@@)", re.DOTALL)


def _class(values: set[int]) -> bytes:
    return b"".join(b"\\x%02x" % value for value in sorted(values))


_BY_FIRST, _PLACES = _by_first_byte()


def strong_start(buffer: bytes, start: int) -> tuple[int, Recognised | None]:
    """The first index at or after start where a recognised protocol's frame surely begins, and whose; else (-1, None)."""
    doubts = FALSE_STARTS
    for candidate in _PLACES.finditer(buffer, start):
        at = candidate.start()
        heads = _BY_FIRST[buffer[at]]
        match = heads.pattern.match(buffer, at)
        if match is None:
            continue
        for module in _claimants(heads, match.lastindex or 1):
            if module.is_sure(buffer, at) and (module.NAME != "teltonika" or at - start <= LOGIN_BYTES):
                return at, module
        doubts -= 1
        if doubts <= 0:
            break
    return -1, None


def _claimants(heads: _Heads, group: int) -> Iterator[Recognised]:
    """The protocol whose head matched, and those that share it: V680 and TLT-2H."""
    first = heads.owners[group - 1]
    return (owner for owner in heads.owners[group - 1 :] if owner.strong == first.strong)
