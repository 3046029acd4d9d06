"""The core that H02 text reports of a position have in common: from the time to the status word and what follows it."""

from __future__ import annotations

import re

from processors.decoders.fields import (
    KNOT_KMH,
    add_cell,
    ddmm_degrees,
    degrees_of,
    hex_or_none,
    number_or_none,
    whole_or_none,
)
from processors.decoders.h02_common import apply_status, battery_percent, device_time_ms, new_report
from schemas.errors import DecodeError
from schemas.records import Position

_DASHED = re.compile(rb"-?(\d{1,3})-(\d{1,2}(?:\.\d*)?)")
_LETTERS = re.compile(rb"[A-Fa-f]")
_STATUS = re.compile(rb"[0-9A-Fa-f]{8}")

NORTH_SOUTH = frozenset((b"N", b"S", b"n", b"s"))
EAST_WEST = frozenset((b"E", b"W", b"e", b"w"))
_NO_HEMISPHERE = frozenset((b"", b"0"))
_VALIDITIES = frozenset((b"A", b"V", b"B", b""))
_LONGEST_STATUS_GAP = 4
_MOST_NEIGHBOURS = 16
_PADDED_BYTES = 6
_ICCID_BYTES = 18


def core_stands(fields: list[bytes], at: int, loose: bool) -> bool:
    """True when time, validity, latitude, hemisphere, longitude, hemisphere can stand from fields[at] on.

    loose: a hemisphere may be empty or 0, as without a fix.
    """
    if len(fields) < at + 7:
        return False
    validity, north, east = fields[at + 1], fields[at + 3], fields[at + 5]
    if validity not in _VALIDITIES and not (validity.isdigit() and len(validity) == 1):
        return False
    return (north in NORTH_SOUTH or (loose and north in _NO_HEMISPHERE)) and (
        east in EAST_WEST or (loose and east in _NO_HEMISPHERE)
    )


def read_position(fields: list[bytes], at: int, received_ms: int | None) -> Position:
    """Read the report whose time stands at fields[at]; fields are those of the whole frame.

    Raises DecodeError (bad_coordinates, bad_date) for a solution that cannot be read.
    """
    report = new_report()
    date_at = at + 8
    has_battery = not _is_date(fields, date_at) and _is_date(fields, date_at + 1)
    if has_battery:
        step = whole_or_none(fields[date_at])
        report.battery_percent = None if step is None else battery_percent(step)
        date_at += 1
    apply_place(report, fields[at + 1 : at + 8])
    apply_time(report, fields[date_at] if date_at < len(fields) else b"", fields[at], received_ms)
    status_at = _status_at(fields, date_at)
    if status_at:
        for field in fields[date_at + 1 : status_at]:
            _read_caller(report, field)
        apply_status(report, int(fields[status_at], 16))
        if status_at + 1 < len(fields):
            read_extras(report, fields[status_at + 1 :])
    return report


def _is_date(fields: list[bytes], at: int) -> bool:
    return at < len(fields) and len(fields[at]) == 6 and fields[at].isdigit()


def _status_at(fields: list[bytes], date_at: int) -> int:
    """Index of the status word, 0 without one: behind the date, or behind a caller id, which may look like one."""
    first = date_at + 1
    if first < len(fields) and _STATUS.fullmatch(fields[first]) and fields[2] not in (b"V9", b"V19"):
        return first
    for at in range(min(first + _LONGEST_STATUS_GAP, len(fields)) - 1, first - 1, -1):
        if _STATUS.fullmatch(fields[at]):
            return at
    return 0


def apply_time(report: Position, day: bytes, clock: bytes, received_ms: int | None) -> None:
    """Device time, and the time of the fix; without a clock that is arrival, which is UTC.

    A clock that was never set makes the fix invalid. Raises DecodeError (bad_date) for a fix.
    """
    located = report.latitude is not None
    try:
        report.device_time_ms = device_time_ms(day, clock, received_ms, report.valid)
    except DecodeError:
        if located:
            raise
        return
    if not located:
        return
    if report.device_time_ms is not None:
        report.fix_time_ms = report.device_time_ms
        return
    if day:
        report.valid = False
    report.fix_time_ms, report.clock = received_ms, "utc"


def apply_place(report: Position, fields: list[bytes]) -> None:
    """Validity, latitude, hemisphere, longitude, hemisphere, speed (knots), course; zeros or nothing are no place."""
    fields += [b""] * (7 - len(fields))
    validity, latitude, north, longitude, east, speed, course = fields
    if not latitude.strip(b"0. -") and not longitude.strip(b"0. -"):
        return
    valid = validity in (b"A", b"B") or validity.isdigit()
    try:
        report.latitude = _degrees(latitude, north)
        report.longitude = _degrees(longitude, east)
    except DecodeError:
        if valid:
            raise
        report.latitude = None
        return
    report.valid = valid
    knots, degrees = number_or_none(speed), number_or_none(course)
    if knots is not None and knots >= 0:
        report.speed_kmh = knots * KNOT_KMH
    if degrees is not None and 0 <= degrees <= 360:
        report.course_deg = degrees


def _degrees(field: bytes, hemisphere: bytes) -> float:
    """Signed degrees of any spelling that is seen: `ddmm.mmmm`, `-dd-mm.mmmm` (the minus signs say nothing: the letter
    rules), and `ddmmmmmm` without a point, four decimals."""
    if b"-" in field:
        dashed = _DASHED.fullmatch(field.strip())
        if dashed:
            return degrees_of(int(dashed[1]), float(dashed[2]), hemisphere)
        field = field.strip().removeprefix(b"-")
    if b"." not in field and len(field) > 4:
        field = field[:-4] + b"." + field[-4:]
    return ddmm_degrees(field, hemisphere)


# -- what follows the status word -----------------------------------------------------------------------


def _read_caller(report: Position, field: bytes) -> None:
    """Caller id, address or SIM card number between date and status (V9, V19)."""
    text = field.rstrip(b"?").strip().decode("latin-1")
    if not text.strip("0"):
        return
    if len(text) >= _ICCID_BYTES:
        report.attributes["iccid"] = text
    elif "." in text:
        report.attributes["ip"] = text
    else:
        report.attributes["phone"] = text


def read_extras(report: Position, fields: list[bytes]) -> None:
    """Cells, battery, odometer, SIM card number, whatever form it is; numbers without a known meaning become io1..n."""
    fields = list(fields)
    while fields and not fields[-1].strip():
        fields.pop()
    if fields and len(fields[-1]) >= _ICCID_BYTES:
        report.attributes["iccid"] = fields.pop().rstrip(b"?").strip().decode("latin-1")
    if not fields or _read_neighbours(report, fields) or _read_vehicle(report, fields):
        return
    rest, first = fields, 1
    cell = _cell(fields)
    if cell is not None:
        add_cell(report.cells, *cell)
        rest, first = fields[4:], 1
        step = whole_or_none(rest[0]) if len(rest) == 1 else None
        if step is not None and 1 <= step <= 6:
            report.attributes["battery_step"] = step
            return
    for number, field in enumerate(rest, first):
        if field.strip():
            value = whole_or_none(field)
            report.attributes[f"io{number}"] = field.strip().decode("latin-1") if value is None else value


def _read_neighbours(report: Position, fields: list[bytes]) -> bool:
    """`battery %,count,MCC,MNC` and count times `LAC,CID,rssi`, all decimal."""
    if len(fields) < 7:
        return False
    battery, count, mcc, mnc = (whole_or_none(field) for field in fields[:4])
    if battery is None or count is None or mcc is None or mnc is None:
        return False
    if battery > 100 or not 1 <= count <= _MOST_NEIGHBOURS or not is_country(mcc):
        return False
    report.battery_percent = float(battery)
    for at in range(4, min(4 + 3 * count, len(fields) - 2), 3):
        lac, cid, rssi = (whole_or_none(field) for field in fields[at : at + 3])
        add_cell(report.cells, mcc, mnc, lac, cid, rssi)
    return True


def _read_vehicle(report: Position, fields: list[bytes]) -> bool:
    """`odometer m,temperature C,fuel %,altitude m,LAC hex,CID hex`; the fuel has a decimal point."""
    if len(fields) != 6 or b"." not in fields[2]:
        return False
    odometer, celsius, fuel, altitude = (number_or_none(field) for field in fields[:4])
    lac, cid = hex_or_none(fields[4]), hex_or_none(fields[5])
    if odometer is None or celsius is None or fuel is None or altitude is None or lac is None or cid is None:
        return False
    report.odometer_m = odometer
    report.fuel_percent = fuel if 0 <= fuel <= 100 else None
    report.altitude_m = altitude
    report.attributes |= {"temperature_c": celsius, "cell_lac": lac, "cell_cid": cid}
    return True


def is_country(mcc: int) -> bool:
    """True for a number that can be a mobile country code."""
    return 200 <= mcc <= 750 or mcc == 901


def _cell(fields: list[bytes]) -> tuple[int, int, int, int] | None:
    """MCC, MNC, LAC, CID of the first four fields, None when they are no cell.

    Six digits padded with zeros are plain hex. Decimal country and network may have an area and a cell in hex (4G). The
    unpadded or blank-padded hex form has a fault in its network: d1*100 + d2*10 + d1, so the tens are the real number.
    """
    if len(fields) < 4:
        return None
    country, network, area, cell = fields[:4]
    padded = len(country) == len(network) == len(area) == len(cell) == _PADDED_BYTES
    spaced = b" " in country or b" " in network or b" " in area or b" " in cell
    mcc, mnc = whole_or_none(country), whole_or_none(network)
    if not padded and not spaced and mcc is not None and mnc is not None and is_country(mcc):
        read = hex_or_none if _LETTERS.search(area) or _LETTERS.search(cell) else whole_or_none
        lac, cid = read(area), read(cell)
    else:
        mcc, mnc, lac, cid = (hex_or_none(field) for field in fields[:4])
        if mnc is not None and not padded:
            mnc //= 10
    if mcc is None or mnc is None or lac is None or cid is None or not is_country(mcc):
        return None
    return mcc, mnc, lac, cid
