"""All recognised protocols, and one look for a certain start of any of them behind garbage."""

from __future__ import annotations

import re

from gateway.protocols.recognised import binary, binary_checked, dollar, hash_sign, text, web
from gateway.protocols.recognised.heads import first_bytes
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


def _by_first_byte() -> dict[int, tuple[tuple[re.Pattern[bytes], Recognised], ...]]:
    found: dict[int, tuple[tuple[re.Pattern[bytes], Recognised], ...]] = {}
    for module in MODULES:
        if module.strong:
            pattern = re.compile(module.strong, re.DOTALL)
            for byte in first_bytes(module.strong):
                found[byte] = (*found.get(byte, ()), (pattern, module))
    return found


_BY_FIRST = _by_first_byte()
_FIRST = re.compile(rb"[" + b"".join(b"\\x%02x" % byte for byte in sorted(_BY_FIRST)) + rb"]")


def strong_start(buffer: bytes, start: int) -> tuple[int, Recognised | None]:
    """The first index at or after start where a recognised protocol's frame surely begins, and whose; else (-1, None)."""
    for candidate in _FIRST.finditer(buffer, start):
        at = candidate.start()
        for pattern, module in _BY_FIRST[buffer[at]]:
            if not pattern.match(buffer, at) or (module.NAME == "teltonika" and at - start > LOGIN_BYTES):
                continue
            if module.is_sure(buffer, at):
                return at, module
    return -1, None
