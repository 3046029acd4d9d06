"""Decode a request body, every frame of it, in pieces of bounded size.

clickhouse-connect compresses each block of about 16,000 rows as a frame of its own. A decoder that stops after the
first frame loses the other rows and the insert still succeeds, so the loop here goes on until the input is used up and
refuses a body that ends inside a frame. Pieces are bounded so that a small body cannot claim all memory.
"""

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import lz4.frame

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from .errors import CANNOT_DECOMPRESS, UNKNOWN_COMPRESSION_METHOD, refusal

# What follows a frame is copied once per frame, so input goes in by small slices (64 KiB measured fastest).
_SLICE_BYTES = 1 << 16
_PIECE_BYTES = 1 << 20
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class _Frame(Protocol):
    """One compressed frame: the interface that lz4 and zstd share."""

    def decompress(self, data: bytes, max_length: int) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


class _ZlibFrame:
    """zlib's decompressor behind the same interface."""

    def __init__(self, window_bits: int) -> None:
        self._zlib = zlib.decompressobj(window_bits)
        self.needs_input = True

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.needs_input = len(piece) < max_length
        return piece

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data


_FRAMES: dict[str, Callable[[], _Frame]] = {
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": zstd.ZstdDecompressor,
    "gzip": lambda: _ZlibFrame(_GZIP_WINDOW),
    "deflate": lambda: _ZlibFrame(zlib.MAX_WBITS),
}


def decode(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The decoded body in pieces; `encoding` is the Content-Encoding header, "" or "identity" for none."""
    if encoding in ("", "identity"):
        return iter(chunks)
    if encoding not in _FRAMES:
        known = ", ".join(_FRAMES)
        raise refusal(
            UNKNOWN_COMPRESSION_METHOD, f"Content-Encoding {encoding!r} is not supported; use {known} or none"
        )
    return _decode_frames(chunks, encoding)


def _decode_frames(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    frame: _Frame | None = None
    try:
        for data in _slices(chunks):
            while data:
                frame = frame or _FRAMES[encoding]()
                yield from _pieces(frame, data)
                data, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    except (RuntimeError, zstd.ZstdError, zlib.error) as error:
        raise refusal(CANNOT_DECOMPRESS, f"Cannot decompress the {encoding} body: {error}") from error
    if frame is not None:
        raise refusal(CANNOT_DECOMPRESS, f"Cannot decompress the {encoding} body: it ends inside a frame")


def _slices(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), _SLICE_BYTES):
            yield chunk[start : start + _SLICE_BYTES]


def _pieces(frame: _Frame, data: bytes) -> Iterator[bytes]:
    piece = frame.decompress(data, _PIECE_BYTES)
    while piece:
        yield piece
        if frame.eof or frame.needs_input:
            return
        piece = frame.decompress(b"", _PIECE_BYTES)
