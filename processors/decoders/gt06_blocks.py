"""The blocks that GT06 frames are made of: time, fix (G), cell (L), status (S), alarm codes."""

from __future__ import annotations

from functools import lru_cache

from processors.decoders.fields import add_cell, clock_ms, day_ms, unroll_ms
from processors.decoders.gt06_cursor import Cursor, Layout
from schemas.errors import DecodeError, Reason
from schemas.records import Position

FIX = Layout(
    ("6s", "time"), ("B", "satellites"), ("I", "latitude"), ("I", "longitude"), ("B", "speed_kmh"), ("H", "flags")
)
FIX_BYTES = FIX.size
_STATUS = Layout(("B", "terminal_info"), ("B", "voltage_level"), ("B", "gsm_level"), ("B", "alarm"), ("B", "language"))
STATUS_BYTES = _STATUS.size

DEGREE_UNITS = 1_800_000
_COURSE, _NORTH, _WEST, _VALID, _TELLS_ACC, _ACC = 0x3FF, 1 << 10, 1 << 11, 1 << 12, 1 << 14, 1 << 15
"""Bits of the flags of a fix."""
_NEVER_SET_DAY = b"\x0d\x0b\x0b"
"""2013-11-11: with zero coordinates the date of a clock that was never set."""

_ARMED, _IGNITION, _CHARGING = 1, 2, 4
"""Bits of the terminal information; 3 to 5 are a code of INFO_ALARMS; 7 (fuel cut) is always set by some clones."""
INFO_ALARMS = {1: "vibration", 2: "power_cut", 3: "low_battery", 4: "sos", 6: "geofence", 7: "removing"}
VXT01_INFO_ALARMS = INFO_ALARMS | {7: "overspeed"}
LEVEL_ALARMS = frozenset(INFO_ALARMS.values())
"""What a heartbeat tells of, raised or not: its code stays while the cause does."""

ALARMS = {
    0x01: "sos",
    0x02: "power_cut",
    0x03: "vibration",
    0x04: "geofence_enter",
    0x05: "geofence_exit",
    0x06: "overspeed",
    0x09: "vibration",
    0x0C: "power_on",
    0x0E: "low_power",
    0x0F: "low_power",
    0x11: "power_off",
    0x13: "tampering",
    0x14: "door",
    0x15: "low_battery",
    0x18: "removing",
    0x19: "low_battery",
    0x1A: "hard_braking",
    0x1B: "hard_cornering",
    0x23: "fall_down",
    0x25: "tampering",
    0x26: "hard_acceleration",
    0x27: "hard_braking",
    0x28: "hard_braking",
    0x29: "hard_acceleration",
    0x2A: "hard_cornering",
    0x2B: "hard_cornering",
    0x2C: "accident",
    0x2E: "hard_cornering",
    0x30: "jamming",
    0x32: "tampering",
    0x33: "lock",
    0x34: "unlock",
    0x53: "fuel_leak",
    0x5B: "temperature",
    0x5C: "temperature",
    0xC9: "idle",
    0xF0: "hard_acceleration",
    0xF1: "hard_braking",
    0xF2: "accident",
    0x107: "jamming",
    0x10B: "jamming",
}
"""Alarm codes; the others are events without a name of ours (SIM change, deep sleep, ignition) or not documented."""


def new_report() -> Position:
    """A report whose clock is UTC by the vendor's rule and local time in many devices: one frame cannot tell."""
    return Position(clock="unknown")


# -- time -----------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _day_ms(day: bytes) -> int | None:
    """Start of a day of binary year - 2000, month, day; None for what is none, and for 2000, a clock that never ran."""
    if not 0 < day[0] < 100:
        return None
    try:
        return day_ms(day[0], day[1], day[2])
    except DecodeError:
        return None


def packet_time_ms(raw: bytes, received_ms: int | None) -> int | None:
    """Time of six binary bytes, milliseconds since the epoch as the device counts; None when there is no such time."""
    start_ms = _day_ms(raw[:3])
    if start_ms is None:
        return None
    try:
        return unroll_ms(start_ms + clock_ms(raw[3], raw[4], raw[5]), received_ms)
    except DecodeError:
        return None


def packed_time_ms(raw: bytes, received_ms: int | None) -> int | None:
    """As packet_time_ms, of six bytes of packed decimal."""
    digits = raw.hex()
    if not digits.isdigit():
        return None
    return packet_time_ms(bytes(int(digits[at : at + 2]) for at in range(0, 12, 2)), received_ms)


def is_dated(raw: bytes) -> bool:
    """True when a time can stand in the first six bytes."""
    return len(raw) >= 6 and packet_time_ms(raw[:6], None) is not None


def apply_time(report: Position, time_ms: int | None, received_ms: int | None) -> None:
    """The device's time, and that of its fix; a fix without a time is of its arrival, which is UTC."""
    report.device_time_ms = time_ms
    if report.latitude is None:
        return
    report.fix_time_ms = time_ms
    if time_ms is None:
        report.fix_time_ms, report.clock = received_ms, "utc"


# -- place ----------------------------------------------------------------------------------------------


def read_fix(cursor: Cursor, report: Position, received_ms: int | None) -> None:
    """G, 18 bytes. Raises DecodeError (short, bad_coordinates)."""
    raw, satellites, latitude, longitude, speed, flags = cursor.fields(FIX)
    report.satellites = satellites & 0x0F  # the high nibble is the length of the block, wrongly at times
    apply_place(report, latitude, longitude, flags)
    if report.latitude is not None:
        report.speed_kmh = float(speed)
    never_set = not latitude and not longitude and raw[:3] == _NEVER_SET_DAY
    apply_time(report, None if never_set else packet_time_ms(raw, received_ms), received_ms)


def apply_place(report: Position, latitude: int, longitude: int, flags: int) -> None:
    """Coordinates in 1/30000 minute, course, ignition when it is told. Zeros are "nowhere", never valid.

    Raises DecodeError (bad_coordinates) for a valid fix outside of the earth; one that is not valid is left out.
    """
    valid = flags & _VALID != 0
    if latitude <= 90 * DEGREE_UNITS and longitude <= 180 * DEGREE_UNITS:
        north, east = latitude / DEGREE_UNITS, longitude / DEGREE_UNITS
        report.latitude = north if flags & _NORTH or not latitude else -north
        report.longitude = -east if flags & _WEST and longitude else east
        report.valid = valid and (latitude != 0 or longitude != 0)
        course = flags & _COURSE
        report.course_deg = float(course) if course <= 360 else None
    elif valid:
        raise DecodeError(Reason.BAD_COORDINATES, f"{latitude} {longitude} in 1/{DEGREE_UNITS} degree")
    if flags & _TELLS_ACC:
        report.ignition = flags & _ACC != 0


def read_cell(cursor: Cursor, report: Position, lac_bytes: int = 2, cid_bytes: int = 3, mnc_bytes: int = 1) -> None:
    """L: country, network (two bytes when the country's highest bit says so), area, cell."""
    mcc, mnc = read_network(cursor, mnc_bytes)
    add_cell(report.cells, mcc, mnc, cursor.number(lac_bytes, "lac"), cursor.number(cid_bytes, "cid"))


def read_network(cursor: Cursor, mnc_bytes: int = 1) -> tuple[int, int]:
    """Country and network code."""
    mcc = cursor.number(2, "mcc")
    return mcc & 0x7FFF, cursor.number(2 if mcc & 0x8000 else mnc_bytes, "mnc")


def has_wide_network(cursor: Cursor) -> int:
    """1 when the network code of the cell that stands next has two bytes, else 0."""
    return cursor.data[cursor.at] >> 7 if cursor.left() else 0


# -- status ---------------------------------------------------------------------------------------------


def apply_info(report: Position, info: int) -> None:
    """The terminal information byte. It is kept raw too: its highest bit means different things."""
    report.ignition = info & _IGNITION != 0
    report.attributes["status"] = info
    report.attributes["charging"] = info & _CHARGING != 0
    if info & _ARMED:
        report.attributes["armed"] = True


def apply_level(report: Position, level: int) -> None:
    """Battery in steps of 0..6 or in percent; above 100 it is the external voltage in tenths."""
    if level > 100:
        report.power_v = level / 10
    else:
        report.battery_percent = float(level * 100 // 6 if level <= 6 else level)


def add_info_alarm(report: Position, info: int, names: dict[int, str] = INFO_ALARMS) -> None:
    """The alarm in bits 3 to 5. There is no power cut while the device is being charged."""
    name = names.get(info >> 3 & 7)
    if name and not (name == "power_cut" and info & _CHARGING):
        report.alarms.append(name)


def add_alarm(report: Position, code: int, info: int = 0) -> None:
    """The alarm of a code; a code without a name of ours is kept as alarm_code."""
    name = ALARMS.get(code)
    if name is None:
        if code:
            report.attributes["alarm_code"] = code
    elif not (name == "power_cut" and info & _CHARGING):
        report.alarms.append(name)


def read_alarm_status(cursor: Cursor, report: Position, wide_code: bool = False) -> None:
    """S of an alarm. The frame tells its alarm twice, in the code and in the information; both are listed.

    wide_code: the high nibble of the language extends the code.
    """
    info, level, gsm, code, language = cursor.fields(_STATUS)
    apply_info(report, info)
    apply_level(report, level)
    report.rssi = gsm
    if wide_code:
        code |= (language & 0xF0) << 4
    add_info_alarm(report, info)
    add_alarm(report, code, info)


def read_voltage_status(cursor: Cursor, report: Position) -> None:
    """The status of VXT01 and S5 models: information, external voltage in hundredths, GSM level, alarm."""
    info = cursor.number(1, "terminal_info")
    apply_info(report, info)
    report.power_v = cursor.number(2, "power_v") / 100
    report.rssi = cursor.number(1, "gsm_level")
    add_info_alarm(report, info, VXT01_INFO_ALARMS)
    add_alarm(report, cursor.number(1, "alarm"), info)


def visible_text(data: bytes) -> str:
    """Text of printable ASCII in data, without padding; "" when it holds anything else."""
    text = data.strip(b"\x00 \r\n")
    return text.decode("ascii") if text.isascii() and text.decode("ascii").isprintable() else ""
