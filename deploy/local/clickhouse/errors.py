"""Errors in ClickHouse's own form, because clients read the code, the name and the HTTP status from it."""

import re

SYNTAX_ERROR = 62
UNKNOWN_COMPRESSION_METHOD = 89
UNKNOWN_SETTING = 115
NOT_IMPLEMENTED = 48
BAD_ARGUMENTS = 36
QUERY_IS_TOO_LARGE = 229
CANNOT_DECOMPRESS = 271
INTO_OUTFILE_NOT_ALLOWED = 358
ACCESS_DENIED = 497
UNKNOWN_EXCEPTION = 1002

_NAMES = {
    SYNTAX_ERROR: "SYNTAX_ERROR",
    UNKNOWN_COMPRESSION_METHOD: "UNKNOWN_COMPRESSION_METHOD",
    UNKNOWN_SETTING: "UNKNOWN_SETTING",
    NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    BAD_ARGUMENTS: "BAD_ARGUMENTS",
    QUERY_IS_TOO_LARGE: "QUERY_IS_TOO_LARGE",
    CANNOT_DECOMPRESS: "CANNOT_DECOMPRESS",
    INTO_OUTFILE_NOT_ALLOWED: "INTO_OUTFILE_NOT_ALLOWED",
    ACCESS_DENIED: "ACCESS_DENIED",
    UNKNOWN_EXCEPTION: "UNKNOWN_EXCEPTION",
}

# As in the server (exceptionCodeToHTTPStatus): what the client got wrong is 400, what does not exist 404. Clients
# repeat requests on 429, 503 and 504, so a statement that can never succeed must not get one of these.
_BAD_REQUEST = (6, 16, 25, 26, 27, 33, 36, 38, 41, 53, 62, 72, 89, 117, 271, 358, 376, 386, 456, 457, 467)
_NOT_FOUND = (46, 47, 50, 56, 60, 73, 81, 115)
_STATUSES = {
    **dict.fromkeys(_BAD_REQUEST, 400),
    **dict.fromkeys(_NOT_FOUND, 404),
    NOT_IMPLEMENTED: 501,
    159: 408,
    QUERY_IS_TOO_LARGE: 413,
    ACCESS_DENIED: 403,
}

LOST_MESSAGE = "the engine refused it; its message quotes bytes that are not UTF-8, and this Python lost it"
"""Seen with CPython 3.11.2: where later ones raise UnicodeDecodeError, an empty RuntimeError arrives."""
_CODE = re.compile(r"Code: (\d+)\. ")


class EngineError(Exception):
    """A refused or failed statement; `message` is what the client gets to read."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        return _STATUSES.get(self.code, 500)


def refusal(code: int, reason: str) -> EngineError:
    """An error that this endpoint raises itself, worded as the engine words its own."""
    return EngineError(code, f"Code: {code}. DB::Exception: {reason}. ({_NAMES[code]})")


def from_engine(error: Exception) -> EngineError:
    """What chDB raised: always a RuntimeError with the code somewhere in its text, or a failure to decode that text."""
    if isinstance(error, UnicodeDecodeError):
        # The message quotes bytes of the statement or the data that are not UTF-8; Python keeps the original here.
        text = bytes(error.object).decode("utf-8", "replace")
    else:
        text = str(error)
    found = _CODE.search(text)
    if found is None:
        return refusal(UNKNOWN_EXCEPTION, text.strip().rstrip(".") or LOST_MESSAGE)
    return EngineError(int(found.group(1)), text[found.start() :].strip())
