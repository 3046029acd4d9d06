"""All recognised protocols, and one look for a certain start of any of them behind garbage."""

from __future__ import annotations

import re

from gateway.protocols.recognised import binary, binary_checked, dollar, hash_sign, text, web
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
"""How far behind garbage the login of Teltonika counts: two bytes and digits are weak evidence (detection.md 1.3)."""


def _by_pattern() -> dict[bytes, tuple[Recognised, ...]]:
    found: dict[bytes, tuple[Recognised, ...]] = {}
    for module in MODULES:
        if module.strong:
            found[module.strong] = (*found.get(module.strong, ()), module)
    return found


_OWNERS = tuple(_by_pattern().values())
_STRONG = re.compile(rb"|".join(rb"(%b)" % owners[0].strong for owners in _OWNERS), re.DOTALL)


def strong_start(buffer: bytes, start: int) -> tuple[int, Recognised | None]:
    """The first index at or after start where a recognised protocol's frame surely begins, and whose; else (-1, None)."""
    at = start
    while match := _STRONG.search(buffer, at):
        at = match.start() + 1
        for module in _OWNERS[(match.lastindex or 1) - 1]:
            if module.NAME == "teltonika" and match.start() - start > LOGIN_BYTES:
                continue
            if module.is_sure(buffer, match.start()):
                return match.start(), module
    return -1, None
