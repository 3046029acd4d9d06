"""Values of JT/T 808 items: small readers that set one field of a report from the bytes of an item."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from processors.decoders.fields import add_cell
from schemas.records import Position

Reader = Callable[[Position, bytes], None]
"""Sets what an item says; takes the report and the item's value."""
MILLIVOLTS = 1000


def field(name: str, times: int = 1, over: int = 1) -> Reader:
    """A field of Position: the unsigned number of the value, times or over a constant."""

    def read(report: Position, value: bytes) -> None:
        setattr(report, name, int.from_bytes(value) * times / over)

    return read


def count_field(name: str) -> Reader:
    """A field of Position that is a whole number."""

    def read(report: Position, value: bytes) -> None:
        setattr(report, name, int.from_bytes(value))

    return read


def number(name: str, times: int = 1, over: int = 1, plus: int = 0) -> Reader:
    """An attribute: the unsigned number of the value, times or over a constant, plus another; whole when it can be."""

    def read(report: Position, value: bytes) -> None:
        amount = int.from_bytes(value) * times
        report.attributes[name] = (amount if over == 1 else amount / over) + plus

    return read


def by_length(readers: Mapping[int, Reader], other: Reader | None = None) -> Reader:
    """The reader for the length of the value; other lengths mean something else: they go to `other`, or are skipped."""
    choose = dict(readers).get

    def read(report: Position, value: bytes) -> None:
        reader = choose(len(value), other)
        if reader is not None:
            reader(report, value)

    return read


def add_alarm(report: Position, name: str) -> None:
    """List an alarm once."""
    if name not in report.alarms:
        report.alarms.append(name)


def apply_percent(report: Position, percent: float) -> None:
    """Battery, unless the number is none of a battery."""
    if percent <= 100:
        report.battery_percent = float(percent)


def apply_battery(report: Position, value: bytes) -> None:
    """Battery percent in one byte."""
    apply_percent(report, value[0])


def signed_magnitude(value: bytes) -> int:
    """A 16-bit number whose highest bit is the sign."""
    amount = int.from_bytes(value)
    return -(amount & 0x7FFF) if amount & 0x8000 else amount


def signed_byte(value: int) -> int:
    return value - 256 if value > 127 else value


def text(value: bytes) -> str:
    """Text in GBK up to the first NUL, without blanks around it; what is no GBK becomes a question mark."""
    return value.split(b"\x00", 1)[0].decode("gbk", "replace").replace("\ufffd", "?").strip()


def read_cells(report: Position, value: bytes, layout: tuple[Any, ...], mcc: int = 0, mnc: int = 0) -> None:
    """Cells of equal size; layout: names and sizes in turn. rssi of one byte is signed; 0 is none."""
    names, sizes = layout[::2], layout[1::2]
    size = sum(sizes)
    for at in range(0, len(value) - size + 1, size):
        cell: dict[str, int] = {"mcc": mcc, "mnc": mnc}
        position = at
        for name, width in zip(names, sizes, strict=True):
            cell[name] = int.from_bytes(value[position : position + width])
            position += width
        rssi = signed_byte(cell["rssi"]) or None if "rssi" in cell else None
        add_cell(report.cells, cell["mcc"], cell["mnc"], cell["lac"], cell["cid"], rssi)


def read_wifi(report: Position, value: bytes) -> None:
    """Access points of 6 bytes of address and a signed signal strength."""
    for at in range(0, len(value) - 6, 7):
        add_wifi(report, value[at : at + 6].hex(), signed_byte(value[at + 6]))


def add_wifi(report: Position, address: str, rssi: int) -> None:
    """List an access point; address: 12 hexadecimal digits."""
    if int(address, 16):
        mac = ":".join(address[at : at + 2] for at in range(0, 12, 2)).lower()
        report.wifi.append({"mac": mac, "rssi": rssi})
