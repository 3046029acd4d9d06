"""Meaning of Meiligao frames: positions, alarms, stored positions, RFID tags, photos, OBD, command results.

Times are UTC. meiligao_position reads the position text that most of them carry.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from struct import Struct

from gateway.protocols.meiligao import TRAILER_BYTES
from gateway.protocols.meiligao_commands import COMMAND_AT, DATA_AT, ID_AT, SHORTEST
from processors.decoders.fields import number_or_none
from processors.decoders.meiligao_position import apply_place, apply_time, read_position
from schemas.errors import DecodeError, Reason
from schemas.records import Frame, Position

NAME = "meiligao"
REVISION = 1

_ALARMS = {
    0x01: "sos",
    0x10: "low_battery",
    0x11: "overspeed",
    0x12: "movement",
    0x13: "geofence_enter",
    0x50: "power_off",
    0x52: "hard_cornering",
    0x53: "gps_antenna_cut",
    0x60: "fatigue_driving",
    0x71: "hard_braking",
    0x72: "hard_braking",
    0x73: "hard_acceleration",
    0x74: "idle",
}
"""Alarm codes, all of them pulses. Others are events only: 14 the tracker was turned on, 15 and 16 a blind area."""
_INPUT_ACTIVE, _INPUT_RELEASED = range(0x01, 0x06), range(0x31, 0x36)

_STORED_HEADER_BYTES = 6
_MOST_RECORDS = 255
_TAGS = Struct(">15I")
_TAG_PLACE = re.compile(rb"\|(\d{5,6}(?:\.\d*)?),(\d{6}),([\d.]{3,12}),([NS]),([\d.]{3,12}),([EW])")
_PHOTO_DATA = Struct(">BHBB")

_OBD_NAMES = (
    "",
    "engine_rpm",
    "obd_speed_kmh",
    "throttle_percent",
    "engine_load_percent",
    "coolant_temperature_c",
    "fuel_consumption_raw",
    "fuel_consumption_average_raw",
    "range_km",
    "",
    "trip_fuel_l",
    "fuel_used_l",
    "dtc_count",
    "hard_accelerations",
    "hard_brakings",
)
"""Attributes of the numbers in a 9901 text, by place; the empty ones are fields of the position."""
_OBD_BATTERY, _OBD_ODOMETER = 0, 9
_TOTAL_NAMES = (
    "ignitions",
    "driving_h",
    "idling_h",
    "warm_up_average_s",
    "speed_average_kmh",
    "speed_max_kmh",
    "engine_rpm_max",
    "hard_accelerations",
    "hard_brakings",
)
"""Attributes of the numbers in a 9902 text, by place."""


def decode(frame: Frame) -> list[Position]:
    """Decode one frame. Raises DecodeError (short, bad_format, bad_coordinates) for a report that cannot be read."""
    payload = frame.payload
    if len(payload) < SHORTEST:
        return []
    command = payload[COMMAND_AT:DATA_AT]
    reader = _READERS.get(command)
    if reader is not None:
        return reader(payload[DATA_AT:-TRAILER_BYTES], frame.received_ms)
    if command[0] == 0x41 or command == b"\x49\x02":
        return [_command_result(command, payload[DATA_AT:-TRAILER_BYTES])]
    return []


def content(frame: Frame) -> bytes:
    """Id, command and data; of a position the id and the text alone, equal whether it is sent at once or from memory."""
    payload = frame.payload
    command = payload[COMMAND_AT:DATA_AT]
    if command == b"\x99\x55":
        return payload[ID_AT:COMMAND_AT] + payload[DATA_AT:-TRAILER_BYTES]
    if command == b"\x90\x16":
        return payload[ID_AT:COMMAND_AT] + payload[DATA_AT + _STORED_HEADER_BYTES : -TRAILER_BYTES]
    return payload[ID_AT:-TRAILER_BYTES]


# -- positions ------------------------------------------------------------------------------------------


def _position(data: bytes, received_ms: int | None) -> list[Position]:
    return [read_position(data, received_ms)]


def _stored(data: bytes, received_ms: int | None) -> list[Position]:
    """9016: six bytes of the device's memory, then the text."""
    report = read_position(data[_STORED_HEADER_BYTES:], received_ms)
    report.attributes["archive"] = True
    return [report]


def _alarm(data: bytes, received_ms: int | None) -> list[Position]:
    """9999: code and text. A text that cannot be read does not cost the alarm."""
    if not data:
        raise DecodeError(Reason.SHORT, "alarm without a code")
    try:
        report = read_position(data[1:], received_ms)
    except DecodeError:
        if data[0] not in _ALARMS:
            raise
        report = Position()
    _apply_alarm(report, data[0])
    return [report]


def _apply_alarm(report: Position, code: int) -> None:
    name = _ALARMS.get(code)
    if name:
        report.alarms.append(name)
    report.attributes["event"] = code
    if code in _INPUT_ACTIVE:
        report.attributes[f"input{code}"] = True
    elif code in _INPUT_RELEASED:
        report.attributes[f"input{code - 0x30}"] = False


def _retransmission(data: bytes, received_ms: int | None) -> list[Position]:
    """6688: how many, then alarm code and text of each, a backslash between.

    Texts that cannot be read are left out; the last DecodeError is raised when none can.
    """
    if len(data) < 2:
        raise DecodeError(Reason.SHORT, "retransmission without records")
    reports: list[Position] = []
    failure: DecodeError | None = None
    for record in data[1:].split(b"\\", _MOST_RECORDS)[:_MOST_RECORDS]:
        if not record:
            continue
        try:
            report = read_position(record[1:], received_ms)
        except DecodeError as error:
            failure = error
            continue
        if record[0]:
            _apply_alarm(report, record[0])
        report.attributes["archive"] = True
        reports.append(report)
    if failure is not None and not reports:
        raise failure
    return reports


def _tags(data: bytes, received_ms: int | None) -> list[Position]:
    """9966: 15 numbers of RFID tags, 0 for none, and `|HHMMSS,DDMMYY,lat,N,lon,E`, which has no mark of validity."""
    if len(data) < _TAGS.size:
        raise DecodeError(Reason.SHORT, f"tags of {len(data)} bytes")
    report = Position()
    for number, tag in enumerate(_TAGS.unpack_from(data), 1):
        if tag:
            report.attributes[f"card{number}"] = f"{tag:010}"
    match = _TAG_PLACE.match(data, _TAGS.size)
    if match:
        clock, day, *place = match.groups()
        apply_place(report, True, place)
        apply_time(report, day, clock, report.valid, received_ms)
    return [report]


# -- photos ---------------------------------------------------------------------------------------------


def _photo_position(data: bytes, received_ms: int | None) -> list[Position]:
    """9977: number and type of a photo that is complete, and where it was taken."""
    if len(data) < 2:
        raise DecodeError(Reason.SHORT, "photo position")
    report = read_position(data[2:], received_ms)
    report.attributes |= {"media": "photo", "media_id": data[0], "media_type": data[1]}
    return [report]


def _photo_data(data: bytes, received_ms: int | None) -> list[Position]:
    """9988: number of the photo, footage, number of packets, number of this one, then a part of a JPEG picture."""
    if len(data) < _PHOTO_DATA.size:
        raise DecodeError(Reason.SHORT, f"photo packet of {len(data)} bytes")
    photo, footage, total, number = _PHOTO_DATA.unpack_from(data)
    report = Position()
    report.attributes |= {"media": "photo", "media_id": photo, "media_footage": footage}
    report.attributes |= {"media_part": number, "media_parts": total, "media_bytes": len(data) - _PHOTO_DATA.size}
    return [report]


# -- vehicle and command results --------------------------------------------------------------------------


def _numbers(data: bytes, names: tuple[str, ...]) -> tuple[Position, list[float | None]]:
    """A report with the numbers of a comma separated text as attributes. Raises DecodeError (bad_format) without any."""
    values = [number_or_none(field) for field in data.split(b",", len(names))[: len(names)]]
    if all(value is None for value in values):
        raise DecodeError(Reason.BAD_FORMAT, "no numbers")
    report = Position()
    for name, value in zip(names, values, strict=False):
        if name and value is not None:
            report.attributes[name] = value
    return report, values + [None] * (len(names) - len(values))


def _obd(data: bytes, received_ms: int | None) -> list[Position]:
    """9901: battery V, rpm, speed, throttle, load, coolant, consumption, range, odometer, fuel, counts; no time.

    The odometer is in kilometres: a device that sends 104 here reports 104000 metres in the position beside it, and its
    litres over that way are a car's consumption.
    """
    report, values = _numbers(data, _OBD_NAMES)
    report.battery_v = values[_OBD_BATTERY]
    kilometres = values[_OBD_ODOMETER]
    report.odometer_m = None if kilometres is None or kilometres < 0 else kilometres * 1000
    return [report]


def _obd_totals(data: bytes, received_ms: int | None) -> list[Position]:
    """9902: sums since the installation; no time."""
    return [_numbers(data, _TOTAL_NAMES)[0]]


def _trouble_codes(data: bytes, received_ms: int | None) -> list[Position]:
    """9903: codes, comma separated, perhaps none."""
    codes = [code.decode("latin-1") for code in map(bytes.strip, data.split(b",")) if code]
    return [Position(attributes={"dtcs": ",".join(codes)})]


def _command_result(command: bytes, data: bytes) -> Position:
    """The command's number and what the device says of it: 01 done, 00 failed, anything else in hex."""
    words = {b"\x01": "ok", b"\x00": "failed"}
    return Position(attributes={"command_result": f"{command.hex()} {words.get(data, data.hex())}".rstrip()})


_READERS: dict[bytes, Callable[[bytes, int | None], list[Position]]] = {
    b"\x99\x55": _position,
    b"\x99\x99": _alarm,
    b"\x90\x16": _stored,
    b"\x66\x88": _retransmission,
    b"\x99\x66": _tags,
    b"\x99\x77": _photo_position,
    b"\x99\x88": _photo_data,
    b"\x99\x01": _obd,
    b"\x99\x02": _obd_totals,
    b"\x99\x03": _trouble_codes,
}
