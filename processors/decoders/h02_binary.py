"""H02 binary frames: `$` or `X`, packed decimal id, time and place, then a tail whose form its length tells."""

from __future__ import annotations

from struct import unpack_from

from gateway.protocols.h02 import id_bytes
from processors.decoders.fields import KNOT_KMH, add_cell, degrees_of, packed_digits
from processors.decoders.h02_common import apply_status, battery_percent, new_report
from processors.decoders.h02_position import apply_time
from schemas.errors import DecodeError, Reason
from schemas.records import Position

_TAIL = 29
"""Where the tail begins in a frame with an id of 5 bytes."""
_NUMBERED = frozenset((32, 37, 44, 45, 47, 48, 51))
"""Lengths of the forms whose last byte is a running number."""
_VALID, _NORTH, _EAST = 2, 4, 8


def decode_binary(frame: bytes, received_ms: int | None) -> Position:
    """Read one frame. Raises DecodeError (short, bad_number, bad_date, bad_coordinates)."""
    shift = id_bytes(frame) - 5
    if len(frame) < _TAIL + shift:
        raise DecodeError(Reason.SHORT, f"binary frame of {len(frame)} bytes")
    digits = packed_digits(frame[6 + shift : 16 + shift])  # hhmmss ddmmyy ddmmmmmm
    place = frame[17 + shift : 22 + shift].hex()  # dddmmmmmm and a nibble of flags
    movement = packed_digits(frame[22 + shift : 25 + shift])
    if not place[:9].isdigit():
        raise DecodeError(Reason.BAD_NUMBER, f"not packed decimal: {place}")
    report = new_report()
    flags = int(place[9], 16)
    latitude, longitude = digits[12:], place[:9]
    if int(latitude) or int(longitude):
        north = b"N" if flags & _NORTH else b"S"
        east = b"E" if flags & _EAST else b"W"
        report.latitude = degrees_of(int(latitude[:2]), int(latitude[2:]) / 10_000, north)
        report.longitude = degrees_of(int(longitude[:3]), int(longitude[3:]) / 10_000, east)
        report.valid = flags & _VALID != 0
        report.speed_kmh = int(movement[:3]) * KNOT_KMH
        course_deg = int(movement[3:])
        report.course_deg = float(course_deg) if course_deg <= 360 else None
    apply_time(report, digits[6:12].encode(), digits[:6].encode(), received_ms)
    report.battery_percent = battery_percent(frame[16 + shift])
    apply_status(report, int.from_bytes(frame[25 + shift : 29 + shift]))
    _read_tail(report, frame)
    return report


def binary_content(frame: bytes) -> bytes:
    """The frame without the byte that only tells the first and the second server apart, and without its number."""
    return frame[1:-1] if len(frame) in _NUMBERED else frame[1:]


def _read_tail(report: Position, frame: bytes) -> None:
    length = len(frame)
    if length == 32:
        if frame[29] != 0xFF:
            report.attributes["user_alarm"] = frame[29]
    elif length in (45, 47):
        if frame[29:31] == b"\xff\x00":
            report.rssi, report.satellites = frame[31], frame[32]
        _read_mileage_and_cell(report, frame, 33)
        if length == 47:
            report.attributes["voltage_raw"] = int.from_bytes(frame[44:46])
    elif length == 51:
        report.rssi, report.satellites = frame[31], frame[32]
        _read_mileage_and_cell(report, frame, 33)
        report.power_v = int.from_bytes(frame[44:46]) / 10
    elif length == 44:
        report.rssi, report.satellites = frame[30], frame[31]
        _read_mileage_and_cell(report, frame, 32)
    elif length == 37:
        report.rssi, report.satellites = frame[29], frame[31]
        report.attributes["mileage"] = int.from_bytes(frame[32:36])
    elif length == 46:
        _read_fuel_form(report, frame)


def _read_mileage_and_cell(report: Position, frame: bytes, at: int) -> None:
    """Mileage (its unit is not documented), then country, network, area and cell, big-endian."""
    mileage, mcc, mnc, lac, cid = unpack_from(">IHBHH", frame, at)
    report.attributes["mileage"] = mileage
    add_cell(report.cells, mcc, mnc, lac, cid)


def _read_fuel_form(report: Position, frame: bytes) -> None:
    """46 bytes: odometer in packed decimal metres, temperature, fuel, altitude, area and cell without a country."""
    odometer = frame[33:37].hex()
    if odometer.isdigit():
        report.odometer_m = float(odometer)
    celsius, percent, fraction, altitude_m, lac, cid = unpack_from(">bBBHHH", frame, 37)
    if percent <= 100:
        report.fuel_percent = percent + fraction / 100
    report.altitude_m = float(altitude_m)
    report.attributes |= {"temperature_c": celsius, "cell_lac": lac, "cell_cid": cid}
