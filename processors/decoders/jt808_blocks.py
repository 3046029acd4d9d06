"""Items of JT/T 808 that hold items of their own: EB, OBD blocks (80, 91, F3), seals (D5), tires (77)."""

from __future__ import annotations

import re

from processors.decoders.jt808_values import (
    MILLIVOLTS,
    Reader,
    add_alarm,
    add_wifi,
    apply_battery,
    by_length,
    field,
    number,
    read_cells,
    text,
)
from schemas.records import Position

_PRINTABLE = re.compile(rb"[\x20-\x7e]+")
_ACCESS_POINT = re.compile(r"([0-9A-Fa-f]{2}(?::?[0-9A-Fa-f]{2}){5}),(-?\d{1,3})")
_FIRST_MCC = 201
_TIRE_BYTES = 8
_SEAL_BYTES = 13

# -- EB -----------------------------------------------------------------------------------------------------


def read_extended(report: Position, value: bytes) -> None:
    """EB: text (a time zone), cells of one network, or items of length u16 (with the id in it), id u16, value."""
    if len(value) < 4:
        return
    if _PRINTABLE.fullmatch(value):
        report.attributes["time_zone"] = value.decode("ascii")
        return
    mcc = int.from_bytes(value[:2])
    if mcc >= _FIRST_MCC:
        if (len(value) - 3) % 5 == 0:
            read_cells(report, value[3:], ("lac", 2, "cid", 2, "rssi", 1), mcc, value[2])
        return
    at = 0
    while at + 4 <= len(value):
        stop = at + 2 + int.from_bytes(value[at : at + 2])
        if stop > len(value) or stop < at + 4:
            return
        reader = EXTENDED.get(int.from_bytes(value[at + 2 : at + 4]))
        if reader is not None:
            reader(report, value[at + 4 : stop])
        at = stop


def _fuel(report: Position, value: bytes) -> None:
    if len(value) >= 2:
        report.attributes["fuel_l"] = int.from_bytes(value[:2]) / 10


def _status_89(report: Position, value: bytes) -> None:
    """A bit is active when 0: bit 0 no power, bit 12 removed."""
    if len(value) != 4:
        return
    active = ~int.from_bytes(value)
    report.level_alarms |= {"power_off", "removing"}
    if active & 1:
        add_alarm(report, "power_off")
    if active >> 12 & 1:
        add_alarm(report, "removing")


def _status_c5(report: Position, value: bytes) -> None:
    """A bit is active when 0: bit 6 vibration."""
    if len(value) == 4:
        report.level_alarms |= {"vibration"}
        if ~int.from_bytes(value) >> 6 & 1:
            add_alarm(report, "vibration")


def _iccid(report: Position, value: bytes) -> None:
    digits = value.hex().rstrip("f")
    if digits.strip("0"):
        report.attributes["iccid"] = digits


def _wifi_text(report: Position, value: bytes) -> None:
    for address, rssi in _ACCESS_POINT.findall(value.decode("latin-1")):
        add_wifi(report, address.replace(":", ""), int(rssi))


def _cell(report: Position, value: bytes) -> None:
    read_cells(report, value, ("mcc", 2, "mnc", 1, "lac", 2, "cid", 4))


EXTENDED: dict[int, Reader] = {
    0x0001: _fuel,
    0x002D: by_length({4: field("power_v", over=MILLIVOLTS), 2: field("battery_v", over=MILLIVOLTS)}),
    0x0089: _status_89,
    0x00A8: by_length({1: apply_battery}),
    0x00B2: by_length({10: _iccid}),
    0x00B9: _wifi_text,
    0x00C5: _status_c5,
    0x00CE: by_length({2: field("power_v", over=100)}),
    0x00D8: by_length({9: _cell}),
    0x00E1: by_length({1: apply_battery}),
}
"""Items of EB, by id."""

# -- OBD ----------------------------------------------------------------------------------------------------


def read_obd(report: Position, value: bytes) -> None:
    """91: voltage u16 in tenths, rpm u16, speed u8, throttle u8, load u8, coolant u8 above -40."""
    if len(value) < 8:
        return
    report.power_v = int.from_bytes(value[:2]) / 10
    report.attributes |= {
        "engine_rpm": int.from_bytes(value[2:4]),
        "obd_speed_kmh": value[4],
        "throttle_raw": value[5],
        "engine_load_raw": value[6],
        "coolant_temperature_c": value[7] - 40,
    }


def _vin(report: Position, value: bytes) -> None:
    words = text(value)
    if len(words) == 17 and words.isalnum():
        report.attributes["vin"] = words


def _codes(report: Position, value: bytes) -> None:
    words = text(value)
    if words:
        report.attributes["dtcs"] = words


NESTED_OBD: dict[int, Reader] = {
    0x81: by_length({2: number("engine_rpm")}),
    0x82: by_length({2: field("power_v", over=10)}),
    0x83: by_length({1: number("engine_load_percent")}),
    0x84: by_length({1: number("coolant_temperature_c", plus=-40)}),
    0x86: by_length({1: number("intake_temperature_c", plus=-40)}),
    0x89: by_length({1: number("throttle_percent")}),
    0x8B: by_length({17: _vin}),
    0xA0: _codes,
}
"""Items behind item 80, by id: their numbers clash with other items, so they count only there."""


def read_nested_obd(report: Position, data: bytes) -> None:
    """80: what follows it, up to the end, are items of the engine."""
    at = 0
    while at + 2 <= len(data):
        stop = at + 2 + data[at + 1]
        if stop > len(data):
            return
        reader = NESTED_OBD.get(data[at])
        if reader is not None:
            reader(report, data[at + 2 : stop])
        at = stop


NUMBERED_OBD: dict[int, Reader] = {
    0x0002: by_length({2: number("obd_speed_kmh", over=10)}),
    0x0003: by_length({2: number("engine_rpm")}),
    0x0004: by_length({2: field("power_v", over=MILLIVOLTS)}),
    0x0050: _vin,
}
"""Items of F3, by id."""


def numbered_items(value: bytes) -> list[tuple[int, bytes]]:
    """Items of id u16, length u8, value, when they fill the value exactly; else none: then it is something else."""
    found = []
    at = 0
    while at + 3 <= len(value):
        stop = at + 3 + value[at + 2]
        found.append((int.from_bytes(value[at : at + 2]), value[at + 3 : stop]))
        at = stop
    return found if at == len(value) else []


def read_numbered_obd(report: Position, value: bytes) -> None:
    """F3 of OBD devices."""
    for number_of, item in numbered_items(value):
        reader = NUMBERED_OBD.get(number_of)
        if reader is not None:
            reader(report, item)


# -- seals, tires -------------------------------------------------------------------------------------------


def read_seals(report: Position, value: bytes) -> None:
    """D5: count u8, then the master and its slaves: id 5 bytes, card 5, battery (its unit is not known), state u16."""
    if len(value) < 1 + _SEAL_BYTES or len(value) != 1 + value[0] * _SEAL_BYTES:
        return
    for index in range(value[0]):
        seal = value[1 + index * _SEAL_BYTES : 1 + (index + 1) * _SEAL_BYTES]
        report.attributes |= {
            f"seal{index + 1}_id": seal[:5].hex(),
            f"seal{index + 1}_card": seal[5:10].hex(),
            f"seal{index + 1}_battery_raw": seal[10],
            f"seal{index + 1}_state": int.from_bytes(seal[11:]),
        }


def read_tires(report: Position, value: bytes) -> None:
    """77: number u8, sensor 3, pressure u16 (10 bits, fortieths of a bar), temperature u8 above -50, status u8."""
    if len(value) % _TIRE_BYTES:
        return
    for at in range(0, len(value), _TIRE_BYTES):
        pressure = int.from_bytes(value[at + 4 : at + 6]) & 0x3FF
        if not pressure and not value[at + 6]:
            continue  # a sensor that was not heard
        report.attributes[f"tire{value[at]}_pressure_bar"] = pressure / 40
        report.attributes[f"tire{value[at]}_temperature_c"] = value[at + 6] - 50
