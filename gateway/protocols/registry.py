"""The protocols the port understands, and the detection table made of their rules (a protocol is one line here)."""

from __future__ import annotations

from typing import NamedTuple

from gateway.protocols import gps103, gt06, h02, jt808, meiligao, tk103, watch, xexun
from gateway.protocols.base import ProtocolModule, Rule, Verdict
from gateway.protocols.recognised import table as recognised

MODULES: tuple[ProtocolModule, ...] = (tk103, h02, watch, gps103, jt808, gt06, meiligao, xexun)
"""Protocols that are decoded; each has a twin in processors/decoders."""
PROTOCOLS: dict[str, ProtocolModule] = {module.NAME: module for module in (*MODULES, *recognised.MODULES)}
"""Those, and the protocols that are only recognised: framed and kept under their name, never answered."""
TABLE: tuple[Rule, ...] = tuple(sorted((r for m in PROTOCOLS.values() for r in m.RULES), key=lambda r: r.number))
DETECT_BYTES = 33 * 1024
"""Bytes that detection looks at: the longest declared length (32 KiB) and its header."""
LEADING_NOISE = b"\r\n \x00"
"""Bytes that may stand before the first frame without meaning anything."""


def _by_first_byte(raw: bool) -> tuple[tuple[Rule, ...], ...]:
    """For each first byte the rules that can match, so that a datagram does not walk the whole table."""
    rules = [rule for rule in TABLE if rule.raw is raw]
    return tuple(tuple(rule for rule in rules if not rule.first or byte in rule.first) for byte in range(256))


RAW_RULES = _by_first_byte(raw=True)
RULES = _by_first_byte(raw=False)
_CANDIDATES: dict[bytes, tuple[Rule, ...]] = {}
"""Rules by the first two bytes, filled as beginnings come; 65,536 of them at most, nearly all without a rule."""


def _candidates(data: bytes) -> tuple[Rule, ...]:
    """The rules that the first two bytes do not exclude: a NO to a beginning is a NO to all that begins so."""
    head = data[:2]
    rules = _CANDIDATES.get(head)
    if rules is None:
        rules = tuple(rule for rule in RULES[head[0]] if rule.detect(head, False) is not Verdict.NO)
        _CANDIDATES[head] = rules
    return rules


class Detection(NamedTuple):
    """What the table says of bytes. start: where the frame begins (leading noise dropped).

    module None and more False: no protocol begins like this. whole: a rule with a declared length is waiting, longer than
    others may.
    """

    module: ProtocolModule | None
    start: int
    more: bool = False
    whole: bool = False


def detect(buffer: bytes, start: int, transport: str, ended: bool) -> Detection:
    """Walk the table over buffer[start:]: the first YES wins, unless a rule above it needs more bytes.

    ended: nothing more will come for now (datagram, silence): MORE counts as NO.
    """
    if start >= len(buffer):
        return Detection(None, start, more=not ended)
    data = buffer[start : start + DETECT_BYTES]
    verdict = _walk(RAW_RULES[data[0]], data, start, transport, ended)
    if verdict.module or verdict.more:
        return verdict
    stripped = data.lstrip(LEADING_NOISE)
    if not stripped:
        return Detection(None, start + len(data), more=not ended)
    return _walk(_candidates(stripped), stripped, start + len(data) - len(stripped), transport, ended)


def _walk(rules: tuple[Rule, ...], data: bytes, start: int, transport: str, ended: bool) -> Detection:
    more = whole = False
    for rule in rules:
        if rule.transport and rule.transport != transport:
            continue
        verdict = rule.detect(data, ended)
        if verdict is Verdict.YES:
            return Detection(None if more else PROTOCOLS[rule.protocol], start, more, whole)
        if verdict is Verdict.MORE and not ended:
            more = True
            whole = whole or rule.whole
    return Detection(None, start, more, whole)


def strong_start(buffer: bytes, start: int) -> tuple[int, ProtocolModule | None]:
    """The first index at or after start where some protocol's frame surely begins, and whose; (-1, None) when nowhere."""
    best: int
    owner: ProtocolModule | None
    best, owner = recognised.strong_start(buffer, start)
    for module in MODULES:
        index = module.strong_start(buffer, start)
        if index >= 0 and (best < 0 or index < best):
            best, owner = index, module
    return best, owner


def strong_index(buffer: bytes, start: int) -> int:
    """The first index at or after start where some protocol's frame surely begins, -1 when nowhere."""
    return strong_start(buffer, start)[0]
