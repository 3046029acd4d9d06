"""HTTP, which is framed and kept, and what is no tracker at all and closed at once: docs/design.md rules 6 and 7."""

from __future__ import annotations

import re

from gateway.protocols.recognised.heads import Head
from gateway.protocols.recognised.kind import IMPOSSIBLE, INCOMPLETE, Recognised, all_of_it, rule

_HEAD_BYTES = 8 * 1024
_BODY_BYTES = 64 * 1024
_CHUNKS = 256
"""Most chunks of a body; they are walked again whenever bytes come."""
_CAP = _HEAD_BYTES + 2 * _BODY_BYTES
_VERSION = re.compile(rb" HTTP/1\.[01]\r?\n\Z")
_HEAD_END = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length: *(\d{1,9})\r?\n")
_CHUNKED = re.compile(rb"\ntransfer-encoding: *chunked\r?\n")
_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[^\n]{0,200}\n")
_head = Head(rb"(?:GET|POST|PUT|HEAD|OPTIONS) (?:/|\?|http://)")


def _http_end(buffer: bytes, start: int, quiet: bool) -> int:
    """Head up to the empty line, and the body that it declares; without a version in the first line it is none."""
    line = buffer.find(b"\n", start, start + _HEAD_BYTES) + 1
    if line and not _VERSION.search(buffer, max(start, line - 12), line):
        return IMPOSSIBLE
    match = _HEAD_END.search(buffer, start, start + _HEAD_BYTES)
    if match is None:
        return IMPOSSIBLE if len(buffer) - start >= _HEAD_BYTES else INCOMPLETE
    fields = buffer[line - 1 : match.end()].lower()
    if _CHUNKED.search(fields):
        return _chunks_end(buffer, match.end())
    length = _LENGTH.search(fields)
    size = int(length[1]) if length else 0
    if size > _BODY_BYTES:
        return IMPOSSIBLE
    end = match.end() + size
    return end if len(buffer) >= end else INCOMPLETE


def _chunks_end(buffer: bytes, start: int) -> int:
    at = start
    for _ in range(_CHUNKS):
        match = _SIZE.match(buffer, at)
        if match is None:
            return INCOMPLETE if len(buffer) - at < 210 else IMPOSSIBLE
        size = int(match[1], 16)
        at = match.end() + size + 2
        if at - start > _BODY_BYTES:
            return IMPOSSIBLE
        if not size:
            return _trailers_end(buffer, match.end())
        if len(buffer) < at:
            return INCOMPLETE
    return IMPOSSIBLE


def _trailers_end(buffer: bytes, start: int) -> int:
    """The empty line behind the last chunk, with or without trailers before it."""
    if buffer.startswith(b"\r\n", start) or buffer.startswith(b"\n", start):
        return buffer.index(b"\n", start) + 1
    match = _HEAD_END.search(buffer, start, start + _HEAD_BYTES)
    return match.end() if match else INCOMPLETE


http = Recognised("http", (rule(6, "http", _head, transport="tcp"),), _head, _http_end, _CAP)


def _refused(name: str, pattern: bytes) -> Recognised:
    head = Head(pattern)
    return Recognised(name, (rule(7, name, head, transport="tcp"),), head, all_of_it, served=False)


MODULES = (
    http,
    _refused("tls", rb"\x16\x03[\x00-\x04]|\x80.\x01\x03"),
    _refused("http2", rb"PRI \*"),
    _refused("mqtt", rb"\x10.\x00\x04MQ"),
)
