"""5501 and 5502 (blind spot) of JT/T 808: the position of Jointech padlocks, in packed decimal, clock UTC.

Layout: jt808.md section 6, jt600.md section 3. 5502 reports the last place, stored while there was no network.
"""

from __future__ import annotations

from struct import Struct

from gateway.protocols.jt808_wire import LOCATION_BLIND, Head
from processors.decoders.fields import KNOT_KMH, degrees_of, dmy_ms, hms_ms, packed_digits
from processors.decoders.jt808_values import Reader, add_alarm, by_length
from schemas.errors import DecodeError, Reason
from schemas.records import Position

_TAIL = Struct(">BBBBIBIHBHH")
"""Speed (packed knots), course / 2, GSM, satellites, odometer km, battery, CID, LAC, product, status, alarms."""
_TAIL_AT = 15
_CHARGING = (0xAA, 0xAB)
_NEVER_SET = "010100"
_VALID, _NORTH, _EAST = 1, 2, 4
_LOCKS, _LOCK_709 = (1, 2), 3


def read_jointech(head: Head, body: bytes, received_ms: int | None) -> Position:
    """Read the body. Raises DecodeError (short, bad_number, bad_date, bad_coordinates)."""
    if len(body) < _TAIL_AT + _TAIL.size:
        raise DecodeError(Reason.SHORT, f"position of {len(body)} bytes")
    report = Position(clock="utc")
    _apply_place(report, body[6:15], head.message == LOCATION_BLIND)
    _apply_time(report, body[:6], received_ms)
    speed, course, rssi, satellites, odometer_km, battery, cid, lac, product, status, alarms = _TAIL.unpack_from(
        body, _TAIL_AT
    )
    if report.latitude is not None:
        report.speed_kmh = int(packed_digits(bytes((speed,)))) * KNOT_KMH
        report.course_deg = course * 2.0 if course <= 180 else None
    report.rssi, report.satellites, report.odometer_m = rssi, satellites, odometer_km * 1000.0
    if battery in _CHARGING:
        report.attributes["charging"] = True
    elif battery <= 100:
        report.battery_percent = float(battery)
    if lac or cid:
        # the country stands in an item, not always: 0 is said of it here, as of a cell whose network is not known
        report.cells.append({"mcc": 0, "mnc": 0, "lac": lac, "cid": cid})
    report.attributes |= {"product": product, "status": status, "alarm_bits": alarms}
    _apply_alarms(report, product, status, alarms)
    if head.message == LOCATION_BLIND:
        report.attributes["archive"] = True
    _read_items(report, body[_TAIL_AT + _TAIL.size :])
    return report


def _apply_place(report: Position, data: bytes, blind: bool) -> None:
    latitude, longitude = packed_digits(data[:4]), data[4:].hex()
    flags = int(longitude[9], 16)
    longitude = longitude[:9]
    if not longitude.isdigit():
        raise DecodeError(Reason.BAD_NUMBER, f"not packed decimal: {longitude}")
    north, east = b"N" if flags & _NORTH else b"S", b"E" if flags & _EAST else b"W"
    report.latitude = degrees_of(int(latitude[:2]), int(latitude[2:]) / 10_000, north)
    report.longitude = degrees_of(int(longitude[:3]), int(longitude[3:]) / 10_000, east)
    nowhere = report.latitude == report.longitude == 0  # what devices send without any place
    report.valid = flags & _VALID != 0 and not blind and not nowhere


def _apply_time(report: Position, data: bytes, received_ms: int | None) -> None:
    digits = data.hex()
    if digits == "000000000000" or digits.startswith(_NEVER_SET):
        if report.latitude is not None:
            report.fix_time_ms = received_ms
        return
    try:
        report.device_time_ms = dmy_ms(digits[:6].encode()) + hms_ms(digits[6:].encode())
    except DecodeError:
        if report.valid:
            raise
    if report.latitude is not None:
        report.fix_time_ms = report.device_time_ms


def _apply_alarms(report: Position, product: int, status: int, alarms: int) -> None:
    """Alarm bits by product: on the older locks bit 0 is low power; on product 3 bits 1 to 3."""
    if product in _LOCKS:
        names: tuple[str, ...] = ("low_power",)
        bits = alarms
    elif product == _LOCK_709:
        names, bits = ("low_power", "vibration", "low_battery"), alarms >> 1
        report.attributes["blocked"] = status >> 5 & 1 == 1
    else:
        return
    report.level_alarms = frozenset(names)
    for bit, name in enumerate(names):
        if bits >> bit & 1:
            add_alarm(report, name)


# -- items: id u8, length u8, value --------------------------------------------------------------------------


def _altitude(report: Position, value: bytes) -> None:
    if report.latitude is not None:
        report.altitude_m = float(int.from_bytes(value, signed=True))


def _network(report: Position, value: bytes) -> None:
    """Country u16 and network (u8 or u16) of the cell."""
    report.attributes |= {"cell_mcc": int.from_bytes(value[:2]), "cell_mnc": int.from_bytes(value[2:])}


def _wake_source(report: Position, value: bytes) -> None:
    report.attributes["wake_source"] = value[0]


ITEMS: dict[int, Reader] = {
    0x02: by_length({2: _altitude}),
    0x0A: by_length({3: _network, 4: _network}),
    0x10: by_length({1: _wake_source}),
}


def _read_items(report: Position, data: bytes) -> None:
    at = 0
    while at + 2 <= len(data):
        stop = at + 2 + data[at + 1]
        if stop > len(data):
            return
        reader = ITEMS.get(data[at])
        if reader is not None:
            reader(report, data[at + 2 : stop])
        at = stop
