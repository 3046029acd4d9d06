"""The fields that every watch report of a place has in common: from the date to the accuracy at the very end."""

from __future__ import annotations

import re

from processors.decoders.fields import (
    DAY_MS,
    add_cell,
    dmy_ms,
    hex_or_none,
    hms_ms,
    number_or_none,
    unroll_ms,
    whole_or_none,
)
from schemas.errors import DecodeError, Reason
from schemas.records import Position

_YEAR_MS = 365 * DAY_MS
_NEVER_SET_DAY = b"0101"
"""A clock that was never set runs from a first of January: day and month of a date without a fix."""

_STATUS = 15
_CELLS = 16
_STATE_BITS = {0: "low_battery", 1: "geofence_exit", 2: "geofence_enter", 14: "power_cut"}
_ALARM_BITS = {
    16: "sos",
    17: "low_battery",
    18: "geofence_exit",
    19: "geofence_enter",
    20: "removing",
    21: "fall_down",
    22: "fall_down",
}
_STATE_MASK = sum(1 << bit for bit in _STATE_BITS)
_ALARM_MASK = sum(1 << bit for bit in _ALARM_BITS)
_STATE_LEVELS = frozenset(_STATE_BITS.values())
_LEVELS = _STATE_LEVELS | frozenset(_ALARM_BITS.values())
_BRACELET, _MOVING = 1 << 3, 1 << 4
_WIDE_STATUS_DIGITS = 8

_MAC = re.compile(rb"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_MAC_BYTES = 17
_RSSI = re.compile(rb"-?\d{1,3}")
_HEX_LETTER = re.compile(rb"[A-Fa-f]")
_CELL_FIELDS = 3
_WIFI_FIELDS = 3


def position_stands(fields: list[bytes], loose: bool) -> bool:
    """True when date, time, validity and a place can stand in the fields behind a TYPE.

    loose: the TYPE says that they do, so date and time may be damaged.
    """
    if len(fields) < 7 or fields[2] not in (b"A", b"V"):
        return False
    return loose or all(len(field) == 6 and field.isdigit() for field in fields[:2])


def read_position(fields: list[bytes], received_ms: int | None, is_alarm: bool) -> Position:
    """Read the fields behind the TYPE of a report.

    is_alarm: it is sent because of an alarm, so nothing of its place rejects it. Raises DecodeError (bad_date,
    bad_coordinates) for other reports with a fix.
    """
    report = Position()
    _read_place(report, fields, is_alarm)
    _read_time(report, fields, received_ms, is_alarm)
    count = len(fields)
    if count > 10:
        report.satellites = whole_or_none(fields[10])
    if count > 11:
        report.rssi = whole_or_none(fields[11])
    if count > 12:
        battery = whole_or_none(fields[12])
        report.battery_percent = float(battery) if battery is not None and battery <= 100 else None
    for at, name in ((13, "steps"), (14, "rolls")):
        value = whole_or_none(fields[at]) if at < count else None
        if value is not None:
            report.attributes[name] = value
    read_status(report, fields[_STATUS] if count > _STATUS else b"", is_alarm)
    if count > _CELLS:
        _read_network(report, fields)
    return report


# -- time and place ---------------------------------------------------------------------------------------


def _read_time(report: Position, fields: list[bytes], received_ms: int | None, is_alarm: bool) -> None:
    """The clock, and the time of the fix; arrival where the clock was never set, or is none and this is an alarm."""
    located = report.latitude is not None
    try:
        time_ms: int | None = unroll_ms(dmy_ms(fields[0]) + hms_ms(fields[1]), received_ms)
    except DecodeError:
        if located and not is_alarm:
            raise
        time_ms, report.valid = None, False
    unset = fields[0].startswith(_NEVER_SET_DAY) and not report.valid
    if unset and time_ms is not None and received_ms is not None and received_ms - time_ms > _YEAR_MS:
        time_ms = None
    report.device_time_ms = time_ms
    if located:
        report.fix_time_ms = time_ms if time_ms is not None else received_ms


def _read_place(report: Position, fields: list[bytes], is_alarm: bool) -> None:
    """Place, speed, course and altitude as sent; 0, 0 is what a device sends for "nowhere": never valid."""
    valid = fields[2] == b"A"
    latitude = _degrees(fields[3], fields[4], b"Ss", 90)
    longitude = _degrees(fields[5], fields[6], b"Ww", 180)
    if latitude is None or longitude is None:
        if valid and not is_alarm and (fields[3] or fields[5]):
            raise DecodeError(Reason.BAD_COORDINATES, b",".join(fields[3:7]).decode("latin-1"))
        return
    report.latitude, report.longitude = latitude, longitude
    report.valid = valid and not latitude == longitude == 0
    speed, course, altitude = (number_or_none(field) for field in (*fields[7:10], b"", b"", b"")[:3])
    if speed is not None and speed >= 0:
        report.speed_kmh = speed
    if course is not None and 0 <= course <= 360:
        report.course_deg = course
    report.altitude_m = altitude


def _degrees(field: bytes, hemisphere: bytes, negative: bytes, limit: int) -> float | None:
    """Degrees with their sign, None for what is none.

    S and W make the value negative whatever its sign; beside N, E or nothing the sign of the value counts.
    """
    value = number_or_none(field)
    if value is None or not -limit <= value <= limit:
        return None
    return -abs(value) if hemisphere and hemisphere in negative else value


# -- status -----------------------------------------------------------------------------------------------


def read_status(report: Position, field: bytes, is_alarm: bool) -> None:
    """The status word, 4 or 8 hex digits, and the alarms that it asserts; an alarm without a known bit is `general`.

    In a report that is sent because of an alarm, its alarm bits (or its states, when it has none) are that alarm, so
    they are pulses. Otherwise a bit stays as long as the state lasts.
    """
    word = hex_or_none(field) if 4 <= len(field) <= _WIDE_STATUS_DIGITS else None
    if word is None:
        if is_alarm:
            report.alarms = ["general"]
        return
    report.attributes["status"] = word
    if word & _BRACELET:
        report.attributes["bracelet"] = True
    if word & _MOVING:
        report.attributes["motion"] = True
    levels = _LEVELS if len(field) == _WIDE_STATUS_DIGITS else _STATE_LEVELS
    if is_alarm or word & (_STATE_MASK | _ALARM_MASK):
        states = [name for bit, name in _STATE_BITS.items() if word >> bit & 1]
        alarms = [name for bit, name in _ALARM_BITS.items() if word >> bit & 1]
        if is_alarm:
            alarms = alarms or states or ["general"]
            levels = levels.difference(alarms)
        report.alarms = list(dict.fromkeys(alarms + states))
    report.level_alarms = levels


# -- cells, Wi-Fi, accuracy -------------------------------------------------------------------------------


def _read_network(report: Position, fields: list[bytes]) -> None:
    """`cells[,timing advance],MCC,MNC` and the cells, `points` and the access points, and what ends the report."""
    count = whole_or_none(fields[_CELLS])
    at = _CELLS + 1
    if count:
        at += 3  # timing advance, country, network
        end = at + _CELL_FIELDS * min(count, len(fields))
        read_cells(report, fields[at - 2 : at], fields[at:end])
        at = end
    rest = fields[at:]
    if rest:
        _read_tail(report, rest, _read_points(report, rest))


def read_cells(report: Position, network: list[bytes], fields: list[bytes]) -> None:
    """Cells as area, cell and signal in turn, of one network (country and network code).

    Some firmware writes area and cell in hex: that shows in one letter anywhere. A country that is no number (`FFFF`)
    stands where there is no network.
    """
    if len(network) < 2:
        return
    mcc, mnc = whole_or_none(network[0]), whole_or_none(network[1])
    if not mcc or mnc is None:
        return
    areas, cells = fields[::_CELL_FIELDS], fields[1::_CELL_FIELDS]
    read = hex_or_none if _HEX_LETTER.search(b"".join(areas + cells)) else whole_or_none
    signals = fields[2::_CELL_FIELDS]
    for place, (area, cell) in enumerate(zip(areas, cells, strict=False)):
        signal = signals[place] if place < len(signals) else b""
        rssi = int(signal) if _RSSI.fullmatch(signal) else None
        add_cell(report.cells, mcc, mnc, read(area), read(cell), rssi)


def _read_points(report: Position, rest: list[bytes]) -> int:
    """Access points, found by their addresses, for names may hold anything; returns where what follows them begins."""
    count = whole_or_none(rest[0])
    end = 1 + _WIFI_FIELDS * count if count else 1
    last = 0
    for at in range(2, len(rest)):
        if len(rest[at]) != _MAC_BYTES or not _MAC.fullmatch(rest[at]):
            continue
        signal = rest[at + 1] if at + 1 < len(rest) else b""
        if len(signal) == _MAC_BYTES and _MAC.fullmatch(signal):
            continue  # a name that looks like an address
        rssi = int(signal) if _RSSI.fullmatch(signal) else None
        report.wifi.append({"mac": rest[at].decode("ascii").lower(), "rssi": rssi})
        last = at + 2
    return last or end


def _read_tail(report: Position, rest: list[bytes], at: int) -> None:
    """The last field: accuracy in metres where it has a decimal point, else two digits that nobody documents."""
    field = rest[-1] if at < len(rest) or len(rest) == 1 else b""
    if b"." in field:
        accuracy = number_or_none(field)
        if accuracy and accuracy > 0 and (report.latitude or report.longitude):
            report.accuracy_m = accuracy
    elif len(field) == 2 and field.isdigit():
        report.attributes["flags"] = field.decode("ascii")
