"""Heads of frames as patterns that answer YES, MORE and NO: what may still become one is derived, not written twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from gateway.protocols.base import Verdict

NO, MORE, YES = Verdict.NO, Verdict.MORE, Verdict.YES
"""Names of the module: looking up a member of an enumeration costs as much as a short match."""

_TOKEN = re.compile(rb"\[\^?(?:\\.|[^\]\\])+\]|\\x[0-9a-f]{2}|\\.|\(\?:|\{\d+(?:,\d+)?\}|.", re.DOTALL)
_COUNTS = re.compile(rb"\{(\d+)(?:,(\d+))?\}")


class _Item(NamedTuple):
    """One byte class or group, low to high times. choices: the sequences of a group, else empty. width: longest, bytes."""

    source: bytes
    low: int
    high: int
    width: int
    choices: tuple[tuple[_Item, ...], ...]


class Head:
    """The head of a frame: a pattern of literals, classes, `.`, `\\d`, groups `(?:a|b)` (only `?` after them), `{n}`,
    `{m,n}` and `?`. Everything is bounded, so a match costs the length of the head at most.
    """

    __slots__ = ("_begun", "_begun_source", "first", "longest", "search", "source", "whole")

    def __init__(self, pattern: bytes) -> None:
        choices = _parsed(pattern)
        self.source = rb"(?:" + pattern + rb")"
        self.whole = re.compile(self.source, re.DOTALL)
        self.longest = max(map(_width, choices))
        self.first = bytes(sorted(set().union(*(firsts for choice in choices for firsts, _ in _steps(choice)))))
        self._begun_source = rb"(?:" + rb"|".join(map(_begun, choices)) + rb")"
        self._begun: re.Pattern[bytes] | None = None

    def begun(self, buffer: bytes, start: int = 0) -> bool:
        """True when buffer[start:] is shorter than a head and may become one."""
        if len(buffer) - start >= self.longest:
            return False
        if self._begun is None:  # compiled when it is first needed: most protocols never come
            self._begun = re.compile(self._begun_source, re.DOTALL)
        return self._begun.match(buffer, start) is not None

    def detect(self, buffer: bytes, ended: bool) -> Verdict:
        """The answer of a rule that asks for this head alone."""
        if self.whole.match(buffer):
            return YES
        return MORE if not ended and self.begun(buffer) else NO

    def find(self, buffer: bytes, start: int) -> int:
        """Index at or after start where a head stands or may have begun, len(buffer) when nowhere."""
        match = self.whole.search(buffer, start)
        if match:
            return match.start()
        for at in range(max(start, len(buffer) - self.longest + 1), len(buffer)):
            if self.begun(buffer, at):
                return at
        return len(buffer)


def first_two(pattern: bytes) -> dict[int, set[int]]:
    """The bytes that a pattern of the same kind can begin with, each with those that can follow it."""
    found: dict[int, set[int]] = {}
    for choice in _parsed(pattern):
        for firsts, rest in _steps(choice):
            seconds = set().union(*(seconds for seconds, _ in _steps(rest)))
            for byte in firsts:
                found.setdefault(byte, set()).update(seconds)
    return found


def _parsed(pattern: bytes) -> tuple[tuple[_Item, ...], ...]:
    tokens = _TOKEN.findall(pattern)[::-1]
    choices = _choices(tokens)
    if tokens:
        raise ValueError(f"unpaired parenthesis in {pattern!r}")
    return choices


def _choices(tokens: list[bytes]) -> tuple[tuple[_Item, ...], ...]:
    """Parse alternatives up to the end of their group; tokens are taken from the end of the list."""
    found: list[tuple[_Item, ...]] = []
    items: list[_Item] = []
    while tokens and tokens[-1] != b")":
        token = tokens.pop()
        if token == b"|":
            found.append(tuple(items))
            items = []
            continue
        choices: tuple[tuple[_Item, ...], ...] = ()
        width = 1
        if token == b"(?:":
            choices = _choices(tokens)
            if not tokens:
                raise ValueError("a group that does not end")
            tokens.pop()
            width = max(map(_width, choices))
            token = rb"(?:" + rb"|".join(map(_source, choices)) + rb")"
        low, high = _counts(tokens)
        items.append(_Item(token, low, high, width * high, choices))
    return (*found, tuple(items))


def _counts(tokens: list[bytes]) -> tuple[int, int]:
    if tokens and tokens[-1] == b"?":
        tokens.pop()
        return 0, 1
    match = _COUNTS.fullmatch(tokens[-1]) if tokens else None
    if match is None:
        return 1, 1
    tokens.pop()
    return int(match[1]), int(match[2] or match[1])


def _times(item: _Item, low: int, high: int) -> bytes:
    if low == high == 1:
        return item.source
    return item.source + (b"{%d,%d}" % (low, high))


def _source(items: tuple[_Item, ...]) -> bytes:
    return b"".join(_times(item, item.low, item.high) for item in items)


def _width(items: tuple[_Item, ...]) -> int:
    return sum(item.width for item in items)


def _steps(items: tuple[_Item, ...]) -> Iterator[tuple[set[int], tuple[_Item, ...]]]:
    """Ways to read one byte of a sequence: the bytes of a way, and the sequence that must follow."""
    for at, item in enumerate(items):
        rest = items[at + 1 :]
        if item.choices:
            for choice in item.choices:
                for firsts, tail in _steps(choice):
                    yield firsts, tail + rest
        else:
            one = re.compile(item.source, re.DOTALL)
            again = (item._replace(low=max(item.low - 1, 0), high=item.high - 1),) if item.high > 1 else ()
            yield {byte for byte in range(256) if one.match(bytes((byte,)))}, again + rest
        if item.low:
            break


def _begun(items: tuple[_Item, ...]) -> bytes:
    """Pattern of every beginning of a sequence that ends with the input; nested, so it is walked once."""
    if not items:
        return rb"\Z"
    item, rest = items[0], _begun(items[1:])
    options = [_times(item, item.low, item.high) + rest]
    if item.choices:
        options += map(_begun, item.choices)
    elif item.low == 1:
        options.append(rb"\Z")
    elif item.low:
        options.append(_times(item, 0, item.low - 1) + rb"\Z")
    return rb"(?:" + rb"|".join(options) + rb")"
