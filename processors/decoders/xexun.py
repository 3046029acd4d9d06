"""Meaning of Xexun frames: position, signal, alarm or ignition, battery of the unit, cell, odometer. Times are UTC.

A clock that was never set is no clock: the place then stands at the time of arrival. Only a fix whose place cannot be
read rejects a frame.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from gateway.protocols.xexun import FRAME
from processors.decoders.fields import (
    KNOT_KMH,
    add_cell,
    day_ms,
    ddmm_degrees,
    dmy_ms,
    hex_or_none,
    hms_ms,
    number_or_none,
    unroll_ms,
    whole_or_none,
)
from schemas.errors import DecodeError, Reason
from schemas.records import Frame, Position

NAME = "xexun"
REVISION = 1

_EARLIEST_MS = day_ms(2005, 1, 1)
"""No such device is older: its clock was never set."""
_SENTENCE_FIELDS = 9
_FULL_FIELDS = 6
"""Fields behind the id, up to the check number, of a tail that has more than a length and a check number."""
_MOST_SATELLITES = 99

_ALARMS = {
    b"helpme": "sos",
    b"lowbattery": "low_battery",
    b"move": "movement",
    b"moved": "movement",
    b"speed": "overspeed",
    b"stockade": "geofence",
}
"""Status texts that are alarms, each an event of its frame. The device repeats an SOS until its owner ends it by SMS."""
_IGNITION = {b"accon": True, b"accstart": True, b"accoff": False, b"accstop": False}

_NOT_WORD = re.compile(rb"[^0-9a-z]+")
_BATTERY = re.compile(rb" *([FL]):(\d{1,3}(?:\.\d*)?)V?((?:/[^/,]*)*)")
_ANALOG = re.compile(rb"/ADC(\d)=(\d{1,4}(?:\.\d*)?)V?")
_DISTANCE = re.compile(rb" *(\d{1,9}(?:\.\d*)?)km", re.IGNORECASE)


class _Status(NamedTuple):
    """What the text between signal and id says. event: a text that is none of the known ones."""

    alarm: str = ""
    ignition: bool | None = None
    event: str = ""


def decode(frame: Frame) -> list[Position]:
    """Decode one frame. Raises DecodeError (bad_format, bad_coordinates) for a report that cannot be read."""
    match = FRAME.fullmatch(frame.payload)
    if match is None:
        raise DecodeError(Reason.BAD_FORMAT, "no sentence, or no signal and id behind it")
    serial, phone, sentence, signal, text, _, tail = match.groups()
    report = Position()
    attributes = report.attributes
    attributes["signal"] = "F" if signal == b"F" else "L"
    if sentence is not None:
        _read_sentence(report, sentence, frame.received_ms)
    if text:
        status = _status(text)
        if status.alarm:
            report.alarms.append(status.alarm)
        report.ignition = status.ignition
        if status.event:
            attributes["event"] = status.event
    if serial and int(serial):
        attributes["device_clock"] = serial.decode("ascii")  # local; differs from the fix by the zone of the unit
    if phone:
        attributes["phone"] = phone.decode("latin-1")
    if tail:
        _read_tail(report, tail.split(b","))
    return [report]


def content(frame: Frame) -> bytes:
    """The frame without serial, checksum of the sentence, and length and check number behind the id."""
    payload = frame.payload
    match = FRAME.fullmatch(payload)
    if match is None:
        return payload
    phone, sentence, tail = match[2] or b"", match[3] or b"", (match[7] or b"").split(b",")
    kept = tail[:4] + tail[6:] if len(tail) >= _FULL_FIELDS else []
    return b",".join((phone, sentence, payload[match.start(4) : match.end(6)], *kept))


# -- the sentence ---------------------------------------------------------------------------------------


def _read_sentence(report: Position, sentence: bytes, received_ms: int | None) -> None:
    """Time, A or V, place, speed in knots, course, date: the fields of RMC; what follows differs and says nothing."""
    fields = sentence.split(b",", _SENTENCE_FIELDS)
    if len(fields) < _SENTENCE_FIELDS:
        fields += [b""] * (_SENTENCE_FIELDS - len(fields))
    valid = fields[1] == b"A"
    report.device_time_ms = _time_ms(fields[8], fields[0], received_ms)
    east = fields[5]
    try:
        latitude = ddmm_degrees(fields[2], fields[3])
        longitude = ddmm_degrees(fields[4], east or b"E")
    except DecodeError:
        if valid:
            raise
        return  # no fix, and no last one either
    # Zeros are what the device sends for "nowhere", whatever its letter says.
    report.latitude, report.longitude, report.valid = latitude, longitude, valid and not latitude == longitude == 0
    report.fix_time_ms = report.device_time_ms if report.device_time_ms is not None else received_ms
    if not east:
        report.attributes["hemisphere_unknown"] = True
    knots, course = number_or_none(fields[6]), number_or_none(fields[7])
    if knots is not None and knots >= 0:
        report.speed_kmh = knots * KNOT_KMH
    if course is not None and 0 <= course <= 360:
        report.course_deg = course


def _time_ms(day: bytes, clock: bytes, received_ms: int | None) -> int | None:
    """Time of `ddmmyy` and `hhmmss.sss`, leading zeros of the latter perhaps missing; None for a clock never set.

    One that runs ahead of arrival is given as sent, also the 1980 of a receiver that has not seen a satellite (read as
    2080): arrival stands in for it where events are derived. Where arrival is unknown nothing could replace an old date.
    """
    whole, _, fraction = clock.partition(b".")
    if not whole:
        return None
    try:
        time_ms = dmy_ms(day) + hms_ms(whole.rjust(6, b"0"))
    except DecodeError:
        return None
    if fraction.isdigit():
        time_ms += int(fraction[:3].ljust(3, b"0"))
    time_ms = unroll_ms(time_ms, received_ms)
    return time_ms if received_ms is None or time_ms >= _EARLIEST_MS else None


# -- what stands around it ------------------------------------------------------------------------------


@lru_cache(maxsize=128)
def _status(text: bytes) -> _Status:
    """The status text up to `imei:`, compared without case, blanks and punctuation."""
    word = _NOT_WORD.sub(b"", text.lower())
    if word in _ALARMS:
        return _Status(alarm=_ALARMS[word])
    if word in _IGNITION:
        return _Status(ignition=_IGNITION[word])
    return _Status(event=text.strip(b" ,").decode("latin-1"))


def _read_tail(report: Position, fields: list[bytes]) -> None:
    """Satellites, altitude, battery, charging, length, check number, cell, odometer, as far as they are sent."""
    if len(fields) < 3:
        return  # length and check number alone, or a check byte behind the length
    satellites = whole_or_none(fields[0])
    if satellites is not None and satellites <= _MOST_SATELLITES:
        report.satellites = satellites
    report.altitude_m = number_or_none(fields[1])
    match = _BATTERY.match(fields[2])
    if match:
        report.battery_v = float(match[2])
        report.attributes["battery_low"] = match[1] == b"L"
        if match[3]:
            for analog in _ANALOG.finditer(match[3]):
                report.attributes[f"adc{int(analog[1])}_v"] = float(analog[2])
    if len(fields) > 3 and fields[3] in (b"0", b"1"):
        report.attributes["charging"] = fields[3] == b"1"
    if len(fields) > 9:
        mcc, mnc = whole_or_none(fields[6]), whole_or_none(fields[7])
        add_cell(report.cells, mcc, mnc, hex_or_none(fields[8]), hex_or_none(fields[9]))
    if len(fields) > 10:
        distance = _DISTANCE.match(fields[10])
        if distance:
            report.odometer_m = float(distance[1]) * 1000
