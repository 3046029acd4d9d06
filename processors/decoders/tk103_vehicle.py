"""OBD and battery management reports of TK103 devices (BQ86, BS50, BS51): the part of tk103 that reads vehicles."""

from __future__ import annotations

import re
from struct import unpack_from

from gateway.protocols.tk103 import Head
from processors.decoders.fields import hms_ms, unroll_ms, ymd_ms
from schemas.errors import DecodeError, Reason
from schemas.records import Attribute, Position

_OBD = re.compile(rb",\d+,([0-9A-Fa-f]*),(\d{6})(\d{6}),([0-9A-Fa-f]{8})")
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2})+")
_WORDS = re.compile(rb"([0-9A-Fa-f]{2}):((?:[0-9A-Fa-f]{2})+)")

_PID_BYTES = (
    {0x01: 4}
    | dict.fromkeys((*range(0x04, 0x0C), 0x0D, 0x0E, 0x0F, 0x11, 0x2F, 0x33, 0x46, 0x5C), 1)
    | dict.fromkeys((0x03, 0x0C, 0x10, 0x1F, 0x21, 0x31, 0x42, 0x43, 0x44, 0x5E), 2)
)
"""Length of the value behind each parameter number, as in SAE J1979 mode 1."""
_PIDS: dict[int, tuple[str, float, float]] = {
    0x04: ("engine_load_percent", 100 / 255, 0),
    0x05: ("coolant_temperature_c", 1, -40),
    0x0C: ("engine_rpm", 1 / 4, 0),
    0x0D: ("obd_speed_kmh", 1, 0),
    0x0F: ("intake_temperature_c", 1, -40),
    0x10: ("air_flow_gps", 1 / 100, 0),
    0x11: ("throttle_percent", 100 / 255, 0),
    0x2F: ("obd_fuel_percent", 100 / 255, 0),
    0x42: ("ecu_v", 1 / 1000, 0),
}
"""Attribute, factor and offset of the parameters that are read; the others are skipped by their length."""

_MOST_CELLS = 24
_MOST_PROBES = 7


def obd(head: Head, received_ms: int | None) -> list[Position]:
    """BQ86: `,0,stream,YYMMDDHHMMSS,IO`; the stream repeats a parameter number and its value, zeros between skipped."""
    match = _OBD.match(head.body)
    if match is None:
        return []
    report = Position()
    try:
        report.device_time_ms = unroll_ms(ymd_ms(match[2]) + hms_ms(match[3]), received_ms)
    except DecodeError:
        report.device_time_ms = None
    state = match[4]
    if state[1] in b"01":
        report.ignition = state[1] == 0x31
    report.attributes["io_state"] = state.decode("ascii")
    stream = bytes.fromhex(match[1][: len(match[1]) & ~1].decode("ascii"))
    at = 0
    while at < len(stream):
        number = stream[at]
        at += 1
        if number == 0:
            continue
        length = _PID_BYTES.get(number)
        if length is None or at + length > len(stream):
            break
        if number in _PIDS:
            name, factor, offset = _PIDS[number]
            report.attributes[name] = round(int.from_bytes(stream[at : at + length]) * factor + offset, 3)
        at += length
    return [report]


def battery_dump(head: Head, received_ms: int | None) -> list[Position]:
    """BS50: one hex dump, little-endian. Raises DecodeError (short) when it ends before the charge level."""
    if not _HEX.fullmatch(head.body):
        raise DecodeError(Reason.BAD_FORMAT, "battery dump")
    data = bytes.fromhex(head.body.decode("ascii"))
    if len(data) < 58:
        raise DecodeError(Reason.SHORT, f"battery dump of {len(data)} bytes")
    report = Position()
    cells = min(data[3], _MOST_CELLS)
    for number, millivolts in enumerate(unpack_from(f"<{cells}H", data, 4), 1):
        report.attributes[f"cell_{number}_v"] = millivolts / 1000
    charging, current, pack, level = unpack_from("<BHHB", data, 52)
    report.battery_v, report.battery_percent = pack / 100, float(level) if level <= 100 else None
    report.attributes |= {"charging": charging == 0, "current_a": current / 10}
    _dump_tail(report.attributes, data)
    return [report]


def _dump_tail(attributes: dict[str, Attribute], data: bytes) -> None:
    if len(data) >= 65:
        names = ("overheat", "charge_protection", "discharge_protection")
        attributes |= {name: flag != 0 for name, flag in zip(names, data[58:61], strict=True)}
        attributes["charge_cycles"] = int.from_bytes(data[63:65], "little")
    if len(data) >= 66:
        attributes["fault_code"] = data[65]
    if len(data) >= 82:
        attributes |= {"power_temperature_c": data[73] - 40, "balance_temperature_c": data[74] - 40}
        for number in range(min(data[72], _MOST_PROBES)):
            attributes[f"temperature_{number + 1}_c"] = data[75 + number] - 40
    if len(data) >= 88:
        capacity, discharged = unpack_from("<HI", data, 82)
        attributes |= {"capacity_ah": capacity / 100, "discharged_raw": discharged}


def battery_words(head: Head, received_ms: int | None) -> list[Position]:
    """BS51: `90:hex,91:hex,...`, big-endian; numbers that are not documented are left out."""
    report = Position()
    values = report.attributes
    found = {int(match[1], 16): bytes.fromhex(match[2].decode("ascii")) for match in _WORDS.finditer(head.body)}
    if not found:
        raise DecodeError(Reason.BAD_FORMAT, "battery words")
    if len(data := found.get(0x90, b"")) >= 8:
        total, gathered, current, charge = unpack_from(">4H", data)
        report.battery_v, report.battery_percent = total / 10, charge / 10 if charge <= 1000 else None
        values |= {"gathered_v": gathered / 10, "current_a": (current - 30000) / 10}
    if len(data := found.get(0x91, b"")) >= 6:
        most, most_at, least, least_at = unpack_from(">HBHB", data)
        values |= {"cell_max_v": most / 1000, "cell_max_index": most_at}
        values |= {"cell_min_v": least / 1000, "cell_min_index": least_at}
    if len(data := found.get(0x92, b"")) >= 4:
        values |= {"temperature_max_c": data[0] - 40, "temperature_max_index": data[1]}
        values |= {"temperature_min_c": data[2] - 40, "temperature_min_index": data[3]}
    if len(data := found.get(0x96, b"")) >= 2:
        for number, value in enumerate(data[1:], 1):
            if value:
                values[f"temperature_{number}_c"] = value - 40
    return [report]
