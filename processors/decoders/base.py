"""What a decoder module offers: the meaning of one protocol's frames. Its wire is the twin in gateway/protocols.

Pure: a decoder sees one frame and the facts that travel with it, never a socket, a clock or another frame.
"""

from __future__ import annotations

from typing import Protocol

from schemas.records import Frame, Position


class DecoderModule(Protocol):
    """What registry.DECODERS lists."""

    NAME: str
    REVISION: int
    """Raised when times are read differently: learnt clock offsets of the old reading are then forgotten."""

    def decode(self, frame: Frame, /) -> list[Position]:
        """Decode one whole frame.

        Returns its positions, oldest first as in the frame; none for a frame that reports nothing (also one of an
        unknown type). Raises DecodeError when the frame should carry a report and cannot be read.
        """
        ...

    def content(self, frame: Frame, /) -> bytes:
        """The frame without serial number, checksum, counter and live/buffered mark: equal for a report sent again."""
        ...
