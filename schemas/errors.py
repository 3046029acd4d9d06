"""What a device can do wrong, and how it is named: the reason is the label of the metric and of the rejected row."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why bytes were not taken. Every name is a value of the bounded `reason` label."""

    # framing
    TOO_LONG = "too_long"
    BAD_LENGTH = "bad_length"
    UNDECIDED = "undecided"
    # decoding
    SHORT = "short"
    BAD_CHECKSUM = "bad_checksum"
    BAD_FORMAT = "bad_format"
    BAD_DATE = "bad_date"
    BAD_COORDINATES = "bad_coordinates"
    BAD_NUMBER = "bad_number"
    NO_IDENTITY = "no_identity"
    UNKNOWN_DEVICE = "unknown_device"
    NOT_DECODED = "not_decoded"
    # storing
    SINK = "sink"


class DeviceError(Exception):
    """Something a device sent is wrong. Anything else that is raised is our bug and must surface."""

    def __init__(self, reason: Reason, detail: str = "", offset: int | None = None) -> None:
        super().__init__(reason, detail, offset)
        self.reason = reason
        self.detail = detail
        self.offset = offset

    def __str__(self) -> str:
        where = "" if self.offset is None else f" at byte {self.offset}"
        return f"{self.reason}{where}: {self.detail}" if self.detail else f"{self.reason}{where}"


class FrameError(DeviceError):
    """Bytes that cannot be a frame: resynchronise or close."""


class DecodeError(DeviceError):
    """A whole frame whose content is wrong: it goes to `rejected` with the reason."""
