"""The items behind a location: id u8, length u8, value. What each means depends on its length too (jt808.md section 5).

ITEMS says how each is read; an id or a length that is not there is skipped. Vendor blocks with items of their own are
in jt808_blocks.
"""

from __future__ import annotations

import re

from processors.decoders.jt808_blocks import (
    read_extended,
    read_nested_obd,
    read_numbered_obd,
    read_obd,
    read_seals,
    read_tires,
)
from processors.decoders.jt808_values import (
    MILLIVOLTS,
    Reader,
    add_alarm,
    apply_battery,
    apply_percent,
    by_length,
    count_field,
    field,
    number,
    read_cells,
    read_wifi,
    signed_magnitude,
    text,
)
from schemas.records import Position

_LOCK_BATTERY = re.compile(r"\*M00,\d{2},\d{2}(\d{3})")
_NESTED_OBD = 0x80
_FULL_BYTE = 0xFF


def read_items(report: Position, data: bytes, at: int, end: int) -> None:
    """Read data[at:end]; stops at an item that is cut off."""
    readers = ITEMS
    while at + 2 <= end:
        kind, stop = data[at], at + 2 + data[at + 1]
        if stop > end:
            return
        reader = readers.get(kind)
        if reader is not None:
            reader(report, data[at + 2 : stop])
        elif kind == _NESTED_OBD:
            read_nested_obd(report, data[stop:end])
            return
        at = stop


def item_ends(data: bytes, at: int, end: int) -> int:
    """Where the last whole item of data[at:end] ends; `end` when items fill it."""
    while at + 2 <= end and at + 2 + data[at + 1] <= end:
        at += 2 + data[at + 1]
    return at


# -- the standard's items, and those of one value ------------------------------------------------------------


def _fuel(report: Position, value: bytes) -> None:
    amount = int.from_bytes(value) if len(value) == 2 else 0x8000
    if amount & 0x8000:
        if len(value) == 2 and amount & 0x7FFF <= 1000:
            report.fuel_percent = (amount & 0x7FFF) / 10
    else:
        report.attributes["fuel_l"] = amount / 10


def _two_voltages(report: Position, value: bytes) -> None:
    if len(value) == 4:
        report.attributes["adc1_v"] = int.from_bytes(value[:2]) / 100
        report.attributes["adc2_v"] = int.from_bytes(value[2:]) / 100


def _mode(report: Position, value: bytes) -> None:
    """A mode; or text of a padlock, in which the battery stands in hundredths of a volt."""
    if len(value) == 1:
        report.attributes["mode"] = value[0]
        return
    words = value.decode("latin-1")
    match = _LOCK_BATTERY.match(words)
    if match:
        report.battery_v = int(match[1]) / 100
    if words.startswith("*"):
        report.attributes["lock_text"] = words


def _temperatures(report: Position, value: bytes) -> None:
    """Tenths of a degree, sign and magnitude; FFFF: no sensor."""
    for at in range(0, len(value) - 1, 2):
        if value[at : at + 2] != b"\xff\xff":
            report.attributes[f"temperature{at // 2 + 1}_c"] = signed_magnitude(value[at : at + 2]) / 10


def _battery_steps(report: Position, value: bytes) -> None:
    if value and value[0] <= 10:
        report.battery_percent = value[0] * 10.0


def _battery_hundredths(report: Position, value: bytes) -> None:
    if len(value) >= 2:
        apply_percent(report, int.from_bytes(value[:2]) / 100)


def _driving(report: Position, value: bytes) -> None:
    """Event bits u16, switches u16, states u32 (bit 16: a door is open)."""
    if len(value) < 2:
        return
    bits = int.from_bytes(value[:2])
    for bit, name in ((8, "hard_acceleration"), (9, "hard_braking"), (10, "hard_cornering")):
        if bits >> bit & 1:
            add_alarm(report, name)
    if len(value) == 8:
        report.level_alarms |= {"door"}
        if int.from_bytes(value[4:]) >> 16 & 1:
            add_alarm(report, "door")


def _lock_event(report: Position, value: bytes) -> None:
    """Event u16; events 61 to 66 end with the id of the lock (6) and the card (8 characters)."""
    if len(value) < 2:
        return
    event = int.from_bytes(value[:2])
    report.attributes["event"] = event
    if 0x61 <= event <= 0x66 and len(value) >= 16:
        report.attributes["lock_id"] = value[-14:-8].hex()
        report.attributes["driver_id"] = text(value[-8:])


def _locks(report: Position, value: bytes) -> None:
    """Locks of 11 bytes; the first 6 are the id of one."""
    if value and len(value) % 11 == 0:
        report.attributes["locks"] = ",".join(value[at : at + 6].hex() for at in range(0, len(value), 11))
        report.attributes["locks_raw"] = value.hex()


def _assistance(name: str) -> Reader:
    """Camera alarms: number u32, status u8, type u8."""

    def read(report: Position, value: bytes) -> None:
        if len(value) >= 6:
            report.attributes[name] = value[5]

    return read


def _driving_event(report: Position, value: bytes) -> None:
    """Number u32, status u8, event u8."""
    events = {0x01: "hard_acceleration", 0x02: "hard_braking", 0x03: "hard_cornering", 0x16: "accident"}
    if len(value) >= 6 and value[5] in events:
        add_alarm(report, events[value[5]])


def _raw(name: str, size: int) -> Reader:
    """A number whose meaning is not agreed on: kept only in the length that the standard gives it."""
    return by_length({size: number(name)})


# -- items of exported devices ------------------------------------------------------------------------------


def _vibration_bit(report: Position, value: bytes) -> None:
    if len(value) == 4:
        report.level_alarms |= {"vibration"}
        if int.from_bytes(value) >> 3 & 1:
            add_alarm(report, "vibration")


def _percent_or_charging(report: Position, value: bytes) -> None:
    if value[0] == _FULL_BYTE:
        report.attributes["charging"] = True
    else:
        apply_percent(report, value[0])


def _card(report: Position, value: bytes) -> None:
    if any(value):
        report.attributes["driver_id"] = value.hex()


def _serving_cells(report: Position, value: bytes) -> None:
    """MCC u16, MNC u16, then cells of LAC u24, CID u32, rssi."""
    if len(value) >= 12:
        mcc, mnc = int.from_bytes(value[:2]), int.from_bytes(value[2:4])
        read_cells(report, value[4:], ("lac", 3, "cid", 4, "rssi", 1), mcc, mnc)


def _cells_with_network(report: Position, value: bytes) -> None:
    """Cells of MCC u16, MNC u16, CID u32, LAC u32, rssi."""
    if len(value) % 13 == 0:
        read_cells(report, value, ("mcc", 2, "mnc", 2, "cid", 4, "lac", 4, "rssi", 1))


def _counted_cells(report: Position, value: bytes) -> None:
    """Count u8, then cells of MCC u16, MNC u8, LAC u16, CID u32, rssi (G10LS)."""
    if value and len(value) == 1 + value[0] * 10:
        read_cells(report, value[1:], ("mcc", 2, "mnc", 1, "lac", 2, "cid", 4, "rssi", 1))


def _battery_and_voltage(report: Position, value: bytes) -> None:
    """Unknown u8, percent u8, hundredths of a volt u16; longer text under this id is something else."""
    if 4 <= len(value) <= 6:
        apply_percent(report, value[1])
        report.battery_v = int.from_bytes(value[2:4]) / 100


def _charging_and_percent(report: Position, value: bytes) -> None:
    if value[0] == 0:
        report.attributes["charging"] = True
    apply_percent(report, value[1])


def _motion(report: Position, value: bytes) -> None:
    report.attributes["motion"] = value[0] != 0


def _vibration_and_sos(report: Position, value: bytes) -> None:
    if len(value) != 8:
        return
    bits = int.from_bytes(value[:2])
    report.level_alarms |= {"vibration"}
    if bits & 1:
        add_alarm(report, "vibration")
    if bits & 0xE:
        add_alarm(report, "sos")


def _power_block(report: Position, value: bytes) -> None:
    """rssi u8, power mV u16, battery mV u16, satellites u8."""
    if len(value) == 6:
        report.rssi, report.satellites = value[0], value[5]
        report.power_v = int.from_bytes(value[1:3]) / MILLIVOLTS
        report.battery_v = int.from_bytes(value[3:5]) / MILLIVOLTS


def _driving_bits(report: Position, value: bytes) -> None:
    """Extended alarm bits of the G10LS: acceleration, deceleration, hard braking, sharp turn, collision, rollover."""
    names = ("hard_acceleration", "hard_braking", "hard_braking", "hard_cornering", "accident", "accident")
    bits = int.from_bytes(value)
    for bit, name in enumerate(names):
        if bits >> bit & 1:
            add_alarm(report, name)


def _wifi_or_driving(report: Position, value: bytes) -> None:
    if len(value) == 2:
        _driving_bits(report, value)
    else:
        read_wifi(report, value)


def _battery_block(report: Position, value: bytes) -> None:
    """Battery mV u32, status u8 (2, 3: charging), percent u8."""
    if len(value) >= 5:
        report.battery_v = int.from_bytes(value[:4]) / MILLIVOLTS
        if value[4] in (2, 3):
            report.attributes["charging"] = True
        if len(value) >= 6:
            apply_percent(report, value[5])


def _temperature(report: Position, value: bytes) -> None:
    """Tenths of a degree above -50; models that put something else here give impossible degrees."""
    celsius = int.from_bytes(value) / 10 - 50
    if celsius <= 150:
        report.attributes["temperature_c"] = celsius


def _precision_block(report: Position, value: bytes) -> None:
    """Version u16, 8 bytes, hdop u16 in tenths, a time of 6 bytes (AOVX)."""
    if len(value) == 18 and value[12:].hex().isdigit():
        report.hdop = int.from_bytes(value[10:12]) / 10


def _words(name: str) -> Reader:
    def read(report: Position, value: bytes) -> None:
        words = text(value)
        if words:
            report.attributes[name] = words

    return read


ITEMS: dict[int, Reader] = {
    0x01: by_length({4: field("odometer_m", times=100)}),
    0x02: _fuel,
    0x03: by_length({2: number("recorder_speed_kmh", over=10)}),
    0x06: by_length({1: apply_battery}),
    0x14: _raw("video_alarms", 4),
    0x16: _raw("video_covered", 4),
    0x17: _raw("storage_faults", 2),
    0x18: _raw("abnormal_driving", 2),
    0x25: by_length({4: number("inputs")}),
    0x2B: _two_voltages,
    0x30: by_length({1: count_field("rssi")}),
    0x31: by_length({1: count_field("satellites")}),
    0x33: _mode,
    0x51: _temperatures,
    0x56: _battery_steps,
    0x57: _driving,
    0x5D: _counted_cells,
    0x60: _lock_event,
    0x61: by_length({2: field("power_v", over=100)}),
    0x63: _locks,
    0x64: _assistance("adas_alarm"),
    0x65: _assistance("dms_alarm"),
    0x68: _battery_hundredths,
    0x69: by_length({2: field("battery_v", over=100)}),
    0x70: _driving_event,
    0x77: read_tires,
    0x82: by_length({2: field("power_v", over=10)}),
    0x91: read_obd,
    0x94: _words("vin"),
    0xA7: _two_voltages,
    0xAC: by_length({4: field("odometer_m")}),
    0xBC: _words("driver_name"),
    0xBD: _words("driver_id"),
    0xCC: by_length({20: _words("iccid")}),
    0xD0: _vibration_bit,
    0xD3: by_length({2: field("power_v", over=10)}),
    0xD4: by_length({1: _percent_or_charging, 4: _card}),
    0xD5: by_length({2: field("battery_v", over=100)}, read_seals),
    0xE1: by_length({1: apply_battery, 2: field("power_v", over=10)}, _serving_cells),
    0xE3: _battery_and_voltage,
    0xE4: by_length({2: _charging_and_percent}),
    0xE5: by_length({1: _motion}),
    0xE7: _vibration_and_sos,
    0xE9: by_length({1: _percent_or_charging, 4: _card}),
    0xEB: read_extended,
    0xEC: read_wifi,
    0xEE: _power_block,
    0xF0: _cells_with_network,
    0xF1: by_length({4: field("power_v", over=MILLIVOLTS)}),
    0xF2: _words("firmware"),
    0xF3: read_numbered_obd,
    0xF4: _wifi_or_driving,
    0xF7: _battery_block,
    0xF8: by_length({2: _temperature}),
    0xF9: _precision_block,
    0xFE: by_length({1: apply_battery, 2: field("power_v", over=10), 4: field("odometer_m")}),
}
"""How items are read, by id."""
