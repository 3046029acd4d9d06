"""The other frames of GPS103 devices: OBD records, the frame that ends with `*`, photos."""

from __future__ import annotations

import re

from processors.decoders.fields import dmy_ms, hms_ms, number_or_none, unroll_ms, whole_or_none
from processors.decoders.gps103_clock import device_time_ms
from schemas.errors import DecodeError, Reason
from schemas.records import Attribute, Position

MOST_ODOMETER_KM = 2_000_000
"""A larger number of the odometer is no vehicle's kilometres but metres."""
TROUBLE_CODE = re.compile(rb"[PCBU][0-9A-F]{4}")
ALTERNATIVE_FIELDS = 19

_NO_RPM = 16383
_OBD_ATTRIBUTES = (
    (4, "fuel_consumption_raw"),
    (5, "fuel_consumption_average_raw"),
    (6, "engine_hours_h"),
    (7, "obd_speed_kmh"),
    (8, "engine_load_percent"),
    (9, "coolant_temperature_c"),
    (10, "throttle_percent"),
    (11, "engine_rpm"),
)
"""Index and name of the OBD numbers that are taken as they are; the unit of consumption is not documented."""
_ALTERNATIVE_TEXTS = ((1, "device_name"), (2, "event"), (3, "sensor_id"), (18, "error"))
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2})*")


def odometer_m(kilometres: float) -> float:
    """Metres of an odometer field, which counts kilometres."""
    return kilometres if kilometres > MOST_ODOMETER_KM else kilometres * 1000


def read_obd(fields: list[bytes], received_ms: int | None) -> Position:
    """`imei,OBD,time,odometer,...`: no position; the time is local, the voltage that of the vehicle's battery."""
    report = Position(clock="local", device_time_ms=device_time_ms(fields[2], received_ms))
    fields = fields + [b""] * (13 - len(fields))
    kilometres = number_or_none(fields[3])
    report.odometer_m = None if kilometres is None else odometer_m(kilometres)
    report.power_v = number_or_none(fields[12])
    for at, name in _OBD_ATTRIBUTES:
        value = number_or_none(fields[at].removesuffix(b"%"))
        if value is not None and not (name == "engine_rpm" and value == _NO_RPM):
            report.attributes[name] = value
    codes = [code for code in fields[13:] if TROUBLE_CODE.fullmatch(code)]
    if codes:
        report.attributes["dtcs"] = b",".join(codes).decode("ascii")
    return report


def read_alternative(fields: list[bytes], received_ms: int | None) -> Position:
    """The frame that ends with `*`: decimal degrees, km/h, UTC; a run of `-` is no value, fix 0 an old place."""
    report = Position()
    try:
        report.device_time_ms = unroll_ms(dmy_ms(fields[6]) + hms_ms(fields[5]), received_ms)
    except DecodeError:
        report.device_time_ms = None
    _alternative_place(report, fields, received_ms)
    report.rssi = whole_or_none(fields[7])
    report.hdop, report.satellites = number_or_none(fields[14]), whole_or_none(fields[15])
    if fields[16] in (b"0", b"1"):
        report.ignition = fields[16] == b"1"
    if fields[17] in (b"0", b"1"):
        report.attributes["charge"] = fields[17] == b"1"
    volts = number_or_none(fields[4])
    if volts is not None:
        report.attributes["sensor_v"] = volts
    for at, name in _ALTERNATIVE_TEXTS:
        text = fields[at].strip()
        if text.strip(b"-"):
            report.attributes[name] = text.decode("latin-1")
    return report


def _alternative_place(report: Position, fields: list[bytes], received_ms: int | None) -> None:
    latitude, longitude = number_or_none(fields[9]), number_or_none(fields[10])
    valid = fields[8] == b"1"
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        if valid:
            raise DecodeError(Reason.BAD_COORDINATES, b",".join(fields[9:11]).decode("latin-1"))
        return
    report.latitude, report.longitude = latitude, longitude
    report.valid = valid and not latitude == longitude == 0
    report.fix_time_ms = report.device_time_ms if report.device_time_ms is not None else received_ms
    report.speed_kmh, course = number_or_none(fields[11]), number_or_none(fields[12])
    report.course_deg = course if course is not None and 0 <= course <= 360 else None
    report.altitude_m = number_or_none(fields[13])


def read_photo(fields: list[bytes]) -> Position:
    """`imei,vr,hex`: index of the packet and its length, little-endian, then a part of a JPEG picture and two bytes.

    The frame with `vt` and a number before it says how many packets there are. Raises DecodeError (short, bad_format).
    """
    text = fields[2].strip() if len(fields) > 2 else b""
    if not _HEX.fullmatch(text):
        raise DecodeError(Reason.BAD_FORMAT, "photo packet")
    data = bytes.fromhex(text.decode("ascii"))
    length = int.from_bytes(data[2:4], "little")
    if len(data) < 4 or len(data) < 4 + length:
        raise DecodeError(Reason.SHORT, f"photo packet of {len(data)} bytes")
    attributes: dict[str, Attribute] = {
        "photo_packet": int.from_bytes(data[:2], "little"),
        "photo_bytes": length,
        "photo_hex": data[4 : 4 + length].hex(),
    }
    return Position(attributes=attributes)
