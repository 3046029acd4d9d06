"""Grammar B of TK103: `(ID,CMD,field,...)`, dates `ddmmyy`, and what the hex command code itself says."""

from __future__ import annotations

import re

from gateway.protocols.tk103 import Head
from processors.decoders.fields import (
    DAY_MS,
    add_cell,
    day_ms,
    dmy_ms,
    hms_ms,
    number_or_none,
    unroll_ms,
    whole_or_none,
    ymd_ms,
)
from processors.decoders.tk103_block import STATE, apply_fix_time, apply_place, apply_state, read_trailer
from schemas.errors import DecodeError, Reason
from schemas.records import Position

_EARLIEST_MS = day_ms(2006, 1, 1)
"""No such device is older: an earlier date is another order of its digits."""
_COMMA_PLACE = re.compile(rb" *(\d{0,5}\.?\d*)([NSEW])")

_CODE_ALARMS = {
    0x11: "movement",
    0x12: "low_battery",
    0x13: "power_cut",
    0x17: "removing",
    0x25: "sos",
    0x26: "tampering",
    0x27: "low_power",
    0x28: "fault",
    0x2C: "fuel_leak",
}
_CODE_IGNITION = {0x15: True, 0x29: True, 0x16: False}
_CODE_FUEL_CUT = {0x2A: True, 0x2B: False}
_LIVE_CODES = {code: code - 0x20 for code in (0x31, 0x32, 0x33, 0x35, 0x36, 0x37)} | {
    code: code - 0x19 for code in range(0x3E, 0x43)
}
"""Command DWxx of a live report to the ZCxx it means; the Wi-Fi report has the same list, 0x20 above."""
_BATTERY_PERCENT = {6: 100, 5: 80, 4: 50, 3: 20, 2: 10}


def decode_comma(head: Head, received_ms: int | None) -> list[Position]:
    fields = head.body.split(b",")[1:]  # the body begins with the comma behind the command
    code = int(head.command[2:], 16)
    family = head.command[:2]
    if family == b"ZC":
        if code == 0x03:
            return [_command_result(fields, received_ms)]
        if code == 0x20:
            return [_battery(fields, received_ms)]
        if code == 0x01:
            return [_registration(fields, received_ms)]
        meaning = code
    elif family == b"DW":
        if 0x50 <= code < 0x70:
            report = _network(fields, received_ms)
            _mean(report, _LIVE_CODES.get(code - 0x20, 0))
            return [report]
        meaning = _LIVE_CODES.get(code, 0)
    else:
        meaning = 0
    report = _comma_position(fields, received_ms)
    _mean(report, meaning)
    return [report]


def _mean(report: Position, code: int) -> None:
    """Apply what the command code itself says."""
    if code in _CODE_ALARMS:
        report.alarms.append(_CODE_ALARMS[code])
    elif code in _CODE_IGNITION:
        report.ignition = _CODE_IGNITION[code]
    if code in _CODE_FUEL_CUT:
        report.attributes["fuel_cut"] = _CODE_FUEL_CUT[code]


def _comma_position(fields: list[bytes], received_ms: int | None) -> Position:
    """`DDMMYY,V,lat N,lon E,speed,HHMMSS,course[,altitude[,satellites]]` or `...,course,IO,L odometer`."""
    report = Position()
    if len(fields) < 6 or fields[1] not in (b"A", b"V"):
        return report
    valid = fields[1] == b"A"
    latitude, longitude = _COMMA_PLACE.fullmatch(fields[2]), _COMMA_PLACE.fullmatch(fields[3])
    if latitude and longitude and latitude[1] and longitude[1]:
        place = latitude[1], latitude[2], longitude[1], longitude[2]
        apply_place(report, valid, place, (fields[4], fields[6] if len(fields) > 6 else b""))
    elif valid:
        raise DecodeError(Reason.BAD_COORDINATES, b",".join(fields[2:4]).decode("latin-1"))
    report.device_time_ms = _comma_time(fields[0], fields[5], received_ms)
    apply_fix_time(report, received_ms)
    extras = fields[7:]
    if extras and STATE.fullmatch(extras[0]):
        apply_state(report, extras[0])
        if len(extras) > 1 and extras[1].startswith(b"L"):
            read_trailer(report, extras[1][1:])
    elif extras and report.latitude is not None:
        report.altitude_m = number_or_none(extras[0])
        report.satellites = whole_or_none(extras[1]) if len(extras) > 1 else None
    return report


def _comma_time(day: bytes, clock: bytes, received_ms: int | None) -> int | None:
    """Time of `ddmmyy` and `hhmmss`; `yymmdd` is tried when that is no date, or none that such a device can send."""
    times: list[int] = []
    for read in (dmy_ms, ymd_ms):
        try:
            time_ms = unroll_ms(read(day) + hms_ms(clock), received_ms)
        except DecodeError:
            continue
        if time_ms >= _EARLIEST_MS and (received_ms is None or time_ms <= received_ms + DAY_MS):
            return time_ms
        times.append(time_ms)
    return times[0] if times else None


def _registration(fields: list[bytes], received_ms: int | None) -> Position:
    """ZC01: `DDMMYY,HHMMSS,password,phone...`; the password is not kept."""
    report = Position()
    if len(fields) >= 2:
        report.device_time_ms = _comma_time(fields[0], fields[1], received_ms)
    for number, phone in enumerate((phone for phone in fields[3:] if phone), 1):
        report.attributes[f"phone_{number}"] = phone.decode("latin-1")
    return report


def _battery(fields: list[bytes], received_ms: int | None) -> Position:
    """ZC20: `DDMMYY,HHMMSS,level,battery V x 100,external V x 10,installed`; 255 and 65535 are not available."""
    if len(fields) < 5:
        raise DecodeError(Reason.SHORT, "battery report")
    report = Position(device_time_ms=_comma_time(fields[0], fields[1], received_ms))
    level, battery, external = (whole_or_none(field) for field in fields[2:5])
    if level in _BATTERY_PERCENT:
        report.battery_percent = float(_BATTERY_PERCENT[level])
    if battery is not None and battery != 65535:
        report.battery_v = battery / 100
    if external is not None and external != 65535:
        report.power_v = external / 10
    installed = whole_or_none(fields[5]) if len(fields) > 5 else None
    if installed is not None and installed != 255:
        report.attributes["installed"] = installed
    return report


def _command_result(fields: list[bytes], received_ms: int | None) -> Position:
    """ZC03: `DDMMYY,HHMMSS,$text$`, the text as the device sends it, commas and lines included."""
    report = Position()
    if len(fields) >= 2:
        report.device_time_ms = _comma_time(fields[0], fields[1], received_ms)
    text = b",".join(fields[2:]).strip()
    report.attributes["command_result"] = text.strip(b"$").decode("latin-1")
    return report


def _network(fields: list[bytes], received_ms: int | None) -> Position:
    """DW5x: `mcc,mnc,lac,cid,n`, n times `MAC*rssi*channel`, then `DDMMYY,HHMMSS`; all decimal."""
    if len(fields) < 5:
        raise DecodeError(Reason.SHORT, "network report")
    report = Position()
    mcc, mnc, lac, cid = (whole_or_none(field) for field in fields[:4])
    add_cell(report.cells, mcc, mnc, lac, cid)
    rest = fields[5:]
    for point in rest:
        parts = point.split(b"*")
        if len(parts) >= 2 and parts[0].count(b":") == 5:
            rssi = number_or_none(parts[1])
            report.wifi.append({"mac": parts[0].decode("latin-1").lower(), "rssi": None if rssi is None else int(rssi)})
    if len(rest) >= 2:
        report.device_time_ms = _comma_time(rest[-2], rest[-1], received_ms)
    return report
