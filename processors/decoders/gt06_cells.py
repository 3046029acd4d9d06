"""GT06 reports of cells and Wi-Fi access points. Signal strengths are kept as the device counts them."""

from __future__ import annotations

from typing import NamedTuple

from gateway.protocols.gt06_wire import Unit
from processors.decoders.fields import add_cell
from processors.decoders.gt06_blocks import (
    FIX_BYTES,
    add_alarm,
    apply_place,
    apply_time,
    is_dated,
    new_report,
    packed_time_ms,
    packet_time_ms,
    read_alarm_status,
    read_cell,
    read_fix,
    read_network,
)
from processors.decoders.gt06_cursor import Cursor
from processors.decoders.gt06_position import lw_place, multiple, read_phone
from schemas.records import Position

Reports = list[Position]


class Scan(NamedTuple):
    """Sizes of the cells in a scan, and how many there always are; what stands behind them."""

    lac_bytes: int
    cid_bytes: int
    cells: int = 7
    wifi: bool = False
    alarm: bool = False

    @property
    def cell_bytes(self) -> int:
        return self.cells * (self.lac_bytes + self.cid_bytes + 1)


_CELLS = Scan(2, 3)
_SCANS = {
    0x18: _CELLS,
    0x24: _CELLS,
    0x28: _CELLS,
    0x2E: _CELLS,
    0x2C: Scan(2, 3, wifi=True),
    0x33: Scan(2, 4, cells=6, wifi=True),
    0x34: Scan(2, 4, cells=6, wifi=True),
    0xA1: Scan(4, 8),
    0xA2: Scan(4, 8, wifi=True),
    0xA9: Scan(2, 3, wifi=True, alarm=True),
}
_MULTIPLE_BYTES = 0x2E - 5
_SCANNED_PHONE_BYTES, _STATUS_PLACE_BYTES, _CARD_PLACE_BYTES = 0x24 - 5, 0x27 - 5, 0x28 - 5
"""Content of the forms of 17 that have a CRC."""
_SPACE10X_BYTES = 0x17 - 5


def cells(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """18, 24, 28, 2E, 2C, 33, 34, A1, A2, A9: time, network, cells, timing advance, then access points and alarm.

    24 and A2 may be a place instead, told by their length.
    """
    scan, left = _SCANS[unit.type], cursor.left()
    if unit.type == 0x24 and left == _MULTIPLE_BYTES:
        return multiple(cursor, unit, received_ms)
    if unit.type == 0xA2 and FIX_BYTES <= left < 6 + 3 + scan.cell_bytes:
        return lw_place(cursor, received_ms)
    report = new_report()
    apply_time(report, packet_time_ms(cursor.take(6, "time"), received_ms), received_ms)
    mcc, mnc = read_network(cursor, _network_bytes(cursor, scan))
    _read_cells(cursor, report, (mcc, mnc), scan)
    if cursor.left():
        cursor.take(1, "timing_advance")
    if scan.wifi and cursor.left():
        _read_access_points(cursor, report, cursor.number(1, "wifi_count"))
    if scan.alarm and cursor.left() >= 2:
        code, language = cursor.number(1, "alarm"), cursor.number(1, "language")
        add_alarm(report, code | (language & 0xF0) << 4)
    return [report]


def _network_bytes(cursor: Cursor, scan: Scan) -> int:
    """2 for a model that always sends the network code as two bytes: then, and only then, the counts fill the frame."""
    if scan.cells == 7 or scan.alarm:
        return 1
    at = cursor.at + 2 + 2 + scan.cell_bytes + 1
    return 2 if at < cursor.end and at + 1 + 7 * cursor.data[at] == cursor.end else 1


def _read_cells(cursor: Cursor, report: Position, network: tuple[int, int], scan: Scan) -> None:
    for _ in range(scan.cells):
        lac, cid = cursor.number(scan.lac_bytes, "lac"), cursor.number(scan.cid_bytes, "cid")
        rssi = cursor.number(1, "cell_rssi")
        if lac:
            add_cell(report.cells, *network, lac, cid, rssi)


def _read_access_points(cursor: Cursor, report: Position, count: int) -> None:
    for _ in range(count):
        if cursor.left() < 7:
            return
        mac, rssi = cursor.take(6, "mac"), cursor.number(1, "wifi_rssi")
        report.wifi.append({"mac": mac.hex(":"), "rssi": rssi})


# -- 17, 69, F3 -------------------------------------------------------------------------------------------


def scan(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """17, 69: with a CRC the address and card forms; without one a Wi-Fi scan whose count is the length byte."""
    if unit.checked:
        return _checked_scan(cursor, unit, received_ms)
    report = new_report()
    apply_time(report, packed_time_ms(cursor.take(6, "time"), received_ms), received_ms)
    _read_access_points(cursor, report, cursor.data[2])
    count = cursor.number(1, "cell_count")
    if not count and cursor.left() < 3:
        return [report]
    network = read_network(cursor)
    for _ in range(count):
        lac, cid = cursor.number(2, "lac"), cursor.number(2, "cid")
        add_cell(report.cells, *network, lac, cid, cursor.number(1, "cell_rssi"))
    return [report]


def _checked_scan(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    report = new_report()
    left = cursor.left()
    if left == _SCANNED_PHONE_BYTES:
        read_cell(cursor, report)
        read_phone(cursor, report)
    elif left == _STATUS_PLACE_BYTES:
        read_fix(cursor, report, received_ms)
        read_cell(cursor, report)
        read_alarm_status(cursor, report)
    elif left == _CARD_PLACE_BYTES:
        read_fix(cursor, report, received_ms)
        if cursor.data[cursor.at] in (8, 9):
            cursor.take(1, "cell_bytes")
        read_cell(cursor, report)
        cursor.at = cursor.end - 8
        report.attributes["rfid"] = cursor.take(8, "rfid").hex()
    else:
        return []
    return [report]


def access_points(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """F3: time, count, then two bytes and the address of each access point."""
    report = new_report()
    apply_time(report, packet_time_ms(cursor.take(6, "time"), received_ms), received_ms)
    for _ in range(cursor.number(1, "wifi_count")):
        if cursor.left() < 8:
            break
        cursor.take(2, "wifi_raw")
        report.wifi.append({"mac": cursor.take(6, "mac").hex(":")})
    return [report]


# -- cells and status ---------------------------------------------------------------------------------------


def cell_status(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """19: cell and status. The longer form, of several cells in an unknown layout, gives its time alone."""
    report = new_report()
    if cursor.left() >= _SPACE10X_BYTES and is_dated(cursor.rest()):
        apply_time(report, packet_time_ms(cursor.take(6, "time"), received_ms), received_ms)
        return [report]
    read_cell(cursor, report)
    read_alarm_status(cursor, report)
    return [report]


def one_cell(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """8B: a cell."""
    report = new_report()
    read_cell(cursor, report)
    return [report]


def wide_cell(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """A5: a 4G cell and a status; A7: a 4G cell and a telephone number."""
    report = new_report()
    read_cell(cursor, report, 4, 8)
    if unit.type == 0xA5:
        read_alarm_status(cursor, report)
    else:
        read_phone(cursor, report)
    return [report]


# -- 7979 32 and 33 (AZ735) ---------------------------------------------------------------------------------


def sized_blocks(cursor: Cursor, unit: Unit, received_ms: int | None) -> Reports:
    """32, 33 extended: time, then blocks behind their lengths: fix (0: none), cell, more cells, Wi-Fi, status."""
    report = new_report()
    raw = cursor.take(6, "time")
    size = cursor.number(1, "fix_bytes")
    if size:
        fix = _part(cursor, size)
        report.satellites = fix.number(1, "satellites") & 0x0F
        latitude, longitude = fix.number(4, "latitude"), fix.number(4, "longitude")
        speed = fix.number(1, "speed_kmh")
        apply_place(report, latitude, longitude, fix.number(2, "flags"))
        if report.latitude is not None:
            report.speed_kmh = float(speed)
    apply_time(report, packet_time_ms(raw, received_ms), received_ms)
    cell = _part(cursor, cursor.number(1, "cell_bytes"))
    if cell.left():
        network = read_network(cell)
        lac, cid, rssi = cell.number(2, "lac"), cell.number(3, "cid"), cell.number(1, "cell_rssi")
        add_cell(report.cells, *network, lac, cid, rssi)
        report.rssi = rssi
        more = _part(cursor, cursor.number(1, "cells_bytes"))
        while more.left() >= 6:
            lac, cid = more.number(2, "lac"), more.number(3, "cid")
            add_cell(report.cells, *network, lac, cid, more.number(1, "cell_rssi"))
    elif cursor.left():
        _part(cursor, cursor.number(1, "cells_bytes"))
    if cursor.left():
        wifi = _part(cursor, cursor.number(1, "wifi_bytes"))
        _read_access_points(wifi, report, wifi.left() // 7)
    if cursor.left():
        report.attributes["status_raw"] = cursor.rest().hex()
    return [report]


def _part(cursor: Cursor, size: int) -> Cursor:
    begin = cursor.at
    cursor.take(size, "block")
    return Cursor(cursor.data, begin, cursor.at)
