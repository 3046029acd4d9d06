"""Reading helpers that decoders share: numbers, civil time, coordinates, cells. Pure, and strict where it matters.

Fields come as `bytes` cut from a frame. A helper named `..._or_none` takes anything and answers None for what is no
such value; the others raise DecodeError with the reason.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from schemas.errors import DecodeError, Reason

KNOT_KMH = 1.852
DAY_MS = 86_400_000
WEEK_ROLLOVER_MS = 7168 * DAY_MS
"""1024 weeks: GPS receivers with an old firmware fall back by this."""
EPOCH_DAY = date(1970, 1, 1).toordinal()

_NUMBER_BYTES = 64
_NUMBER = re.compile(rb" *([+-]?\d+(?:\.\d*)?|[+-]?\.\d+) *")


# -- numbers --------------------------------------------------------------------------------------------


def number_or_none(field: bytes) -> float | None:
    """A decimal number with optional sign, point and padding blanks; None for anything else (also nan, 1e5, 1_0).

    So many digits that no float holds them are no number either.
    """
    if len(field) <= _NUMBER_BYTES and (field.replace(b".", b"", 1).isdigit() or _NUMBER.fullmatch(field)):
        return float(field)
    return None


def whole_or_none(field: bytes) -> int | None:
    """An unsigned whole decimal number, padding blanks allowed; None for anything else."""
    field = field.strip(b" ")
    return int(field) if field.isdigit() and len(field) <= 18 else None


def hex_or_none(field: bytes) -> int | None:
    """An unsigned hexadecimal number of at most 16 digits, padding blanks allowed; None for anything else."""
    field = field.strip(b" ")
    if not field or len(field) > 16:
        return None
    try:
        return int(field, 16) if field.isalnum() else None
    except ValueError:
        return None


def packed_digits(data: bytes) -> str:
    """The digits of packed decimal (BCD) bytes. Raises DecodeError (bad_number) on a nibble above 9."""
    digits = data.hex()
    if not digits.isdigit():
        raise DecodeError(Reason.BAD_NUMBER, f"not packed decimal: {digits}")
    return digits


# -- time -----------------------------------------------------------------------------------------------


def day_ms(year: int, month: int, day: int) -> int:
    """Start of a civil day in UTC, milliseconds since the epoch. Two-digit years are 2000..2099.

    Raises DecodeError (bad_date) when there is no such day.
    """
    if year < 100:
        year += 2000
    try:
        return (date(year, month, day).toordinal() - EPOCH_DAY) * DAY_MS
    except ValueError:
        raise DecodeError(Reason.BAD_DATE, f"{year:04}-{month:02}-{day:02}") from None


def clock_ms(hour: int, minute: int, second: int) -> int:
    """Time of day in milliseconds. Raises DecodeError (bad_date) when there is no such time (a leap second is one)."""
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second <= 60):
        raise DecodeError(Reason.BAD_DATE, f"{hour:02}:{minute:02}:{second:02}")
    return ((hour * 60 + minute) * 60 + second) * 1000


def _pairs(field: bytes) -> tuple[int, int, int]:
    if len(field) != 6 or not field.isdigit():
        raise DecodeError(Reason.BAD_DATE, field.decode("latin-1"))
    number = int(field)
    return number // 10000, number // 100 % 100, number % 100


@lru_cache(maxsize=512)
def ymd_ms(field: bytes) -> int:
    """Start of the day `yymmdd` (six digits). Raises DecodeError (bad_date)."""
    year, month, day = _pairs(field)
    return day_ms(year, month, day)


@lru_cache(maxsize=512)
def dmy_ms(field: bytes) -> int:
    """Start of the day `ddmmyy` (six digits). Raises DecodeError (bad_date)."""
    day, month, year = _pairs(field)
    return day_ms(year, month, day)


def hms_ms(field: bytes) -> int:
    """Time of day `hhmmss` (six digits) in milliseconds. Raises DecodeError (bad_date)."""
    return clock_ms(*_pairs(field))


def lenient_hms_ms(field: bytes) -> int:
    """As hms_ms, but minutes and seconds above 59 roll over (`160169` is 16:02:09), as some firmwares count."""
    hour, minute, second = _pairs(field)
    return ((hour * 60 + minute) * 60 + second) * 1000


def unroll_ms(time_ms: int, received_ms: int | None) -> int:
    """time_ms, or 1024 weeks later when that falls within a day of arrival: the receiver's week number rolled over."""
    if received_ms is not None and abs(time_ms + WEEK_ROLLOVER_MS - received_ms) <= DAY_MS:
        return time_ms + WEEK_ROLLOVER_MS
    return time_ms


# -- coordinates ----------------------------------------------------------------------------------------


_LIMITS = {
    letter: limit
    for limit, letters in ((90, "Nn"), (-90, "Ss"), (180, "Ee"), (-180, "Ww"))
    for letter in map(str.encode, letters)
}
"""Largest degrees by hemisphere letter, negative where the sign is."""


def degrees_of(degrees: int, minutes: float, hemisphere: bytes) -> float:
    """Signed degrees of unsigned degrees and minutes; hemisphere is one letter of `NSEW` in either case.

    Raises DecodeError (bad_coordinates) when minutes exceed 60, the result exceeds the half or quarter circle, or the
    hemisphere is no such letter.
    """
    value = degrees + minutes / 60
    limit = _LIMITS.get(hemisphere, 0)
    if minutes > 60 or not limit or value > abs(limit):
        raise DecodeError(Reason.BAD_COORDINATES, f"{degrees} {minutes} {hemisphere.decode('latin-1')}")
    return -value if limit < 0 else value


def ddmm_degrees(field: bytes, hemisphere: bytes) -> float:
    """Signed degrees of `ddmm.mmmm` with any count of digits: the last two before the point are minutes.

    Degrees may lack leading zeros or be missing (`38.6508` is 0 degrees 38.6508 minutes), blanks may pad. Raises
    DecodeError (bad_coordinates).
    """
    field = field.strip(b" ")
    if not field.replace(b".", b"", 1).isdigit():
        raise DecodeError(Reason.BAD_COORDINATES, field.decode("latin-1"))
    point = field.find(b".")
    cut = (len(field) if point < 0 else point) - 2
    return degrees_of(int(field[:cut]) if cut > 0 else 0, float(field[cut:] if cut > 0 else field), hemisphere)


# -- radio ----------------------------------------------------------------------------------------------


def add_cell(
    cells: list[dict[str, int]],
    mcc: int | None,
    mnc: int | None,
    lac: int | None,
    cid: int | None,
    rssi: int | None = None,
) -> None:
    """Append a cell unless it is none: no country (MCC 0 or absent), a missing part, or area and cell both 0."""
    if not mcc or mnc is None or lac is None or cid is None or (lac == 0 and cid == 0):
        return
    cell = {"mcc": mcc, "mnc": mnc, "lac": lac, "cid": cid}
    if rssi is not None:
        cell["rssi"] = rssi
    cells.append(cell)
