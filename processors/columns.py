"""Decoded rows to output columns: quantise, mark what is absent or out of range. Pure; units are PositionBatch.avsc's.

Rows are kept as tuples and turned into columns once per record: most columns of most protocols are wholly absent, so
working by column costs a fraction of working by row.
"""

from __future__ import annotations

from json import JSONEncoder
from typing import Any, NamedTuple

import orjson

from processors.derive.step import Derived
from schemas.columns import LIMITS
from schemas.records import Event, Events, Flag, Position, Positions

ABSENT_I2, ABSENT_I4, ABSENT_I8 = (LIMITS[t][1] for t in ("<i2", "<i4", "<i8"))
ABSENT_U1, ABSENT_U2, ABSENT_U4 = (LIMITS[t][1] for t in ("<u1", "<u2", "<u4"))
LOW_I2, LOW_I4 = LIMITS["<i2"][0], LIMITS["<i4"][0]
ROW_BYTES = 110
"""Packed numbers, indexes and lengths of one position row."""
E7 = 10_000_000

_any_json = JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def to_json(value: Any) -> str:
    """Compact JSON, keys as they come. What orjson refuses (integers above 64 bits, lone surrogates) goes the slow way."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return _any_json(value)


class Quantity(NamedTuple):
    """How one optional number becomes a column: value x scale, rounded, within low .. absent - 1."""

    column: str
    scale: int
    low: int
    absent: int


QUANTITIES = (
    Quantity("latitude_e7", E7, LOW_I4, ABSENT_I4),
    Quantity("longitude_e7", E7, LOW_I4, ABSENT_I4),
    Quantity("altitude_m", 1, LOW_I2, ABSENT_I2),
    Quantity("speed_x10", 10, 0, ABSENT_U2),
    Quantity("course_x10", 10, 0, ABSENT_U2),
    Quantity("satellites", 1, 0, ABSENT_U1),
    Quantity("hdop_x10", 10, 0, ABSENT_U1),
    Quantity("accuracy_x10", 10, 0, ABSENT_U2),
    Quantity("ignition", 1, 0, ABSENT_U1),
    Quantity("odometer_m", 1, 0, ABSENT_U4),
    Quantity("battery_percent_x10", 10, 0, ABSENT_U2),
    Quantity("battery_mv", 1000, 0, ABSENT_U2),
    Quantity("power_mv", 1000, 0, ABSENT_U2),
    Quantity("rssi", 1, LOW_I2, ABSENT_I2),
    Quantity("fuel_percent_x10", 10, 0, ABSENT_U2),
)


class PositionRows:
    """Rows of one output record."""

    __slots__ = ("_heads", "_numbers", "bytes")

    def __init__(self) -> None:
        self._heads: list[tuple[Any, ...]] = []
        self._numbers: list[tuple[float | None, ...]] = []
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._heads)

    def append(
        self, device_id: str, protocol: str, received_ms: int, frame_key: int, position: Position, derived: Derived
    ) -> None:
        """Add a row; `bytes` grows by about what it takes packed."""
        p = position
        time_ms, fix, clock, flags, moving = derived
        cells = to_json(p.cells) if p.cells else ""
        wifi = to_json(p.wifi) if p.wifi else ""
        attributes = to_json(p.attributes) if p.attributes else ""
        self._heads.append(
            (
                device_id,
                protocol,
                time_ms,
                frame_key,
                ABSENT_I8 if fix is None else fix - time_ms,
                ABSENT_I8 if clock is None else clock - time_ms,
                received_ms,
                1 if p.valid else 0,
                flags,
                moving,
                ",".join(dict.fromkeys(p.alarms)) if p.alarms else "",  # a set: a frame may tell one twice
                cells,
                wifi,
                attributes,
            )
        )
        self._numbers.append(
            (
                p.latitude,
                p.longitude,
                p.altitude_m,
                p.speed_kmh,
                p.course_deg,
                p.satellites,
                p.hdop,
                p.accuracy_m,
                p.ignition,
                p.odometer_m,
                p.battery_percent,
                p.battery_v,
                p.power_v,
                p.rssi,
                p.fuel_percent,
            )
        )
        self.bytes += ROW_BYTES + len(cells) + len(wifi) + len(attributes)

    def to_columns(self) -> Positions:
        """The columns. A number that does not fit is absent and its row flagged OUT_OF_RANGE."""
        if not self._heads:
            return Positions()
        heads: list[list[Any]] = [list(column) for column in zip(*self._heads, strict=True)]
        flags = heads[8]
        numbers: dict[str, Any] = {
            quantity.column: quantised(quantity, values, flags)
            for quantity, values in zip(QUANTITIES, zip(*self._numbers, strict=True), strict=True)
        }
        names = HEAD_COLUMNS
        return Positions(**dict(zip(names, heads, strict=True)), **numbers)


HEAD_COLUMNS = (
    "device_id",
    "protocol",
    "time_ms",
    "frame_key",
    "fix_offset_ms",
    "device_offset_ms",
    "received_ms",
    "valid",
    "flags",
    "moving",
    "alarms",
    "cells",
    "wifi",
    "attributes",
)


def quantised(quantity: Quantity, values: tuple[float | None, ...], flags: list[int]) -> list[int]:
    """One column of numbers; rows whose number does not fit are flagged."""
    scale, low, absent = quantity.scale, quantity.low, quantity.absent
    missing = values.count(None)
    if missing == len(values):
        return [absent] * len(values)
    column = [absent if value is None else round(value * scale) for value in values]
    if min(column) < low or max(column) > absent or column.count(absent) != missing:
        for index, (value, number) in enumerate(zip(values, column, strict=True)):
            if value is not None and not low <= number < absent:
                column[index] = absent
                flags[index] |= Flag.OUT_OF_RANGE
    return column


def append_event(columns: Events, event: Event) -> int:
    """Add one event; returns about how many bytes it takes packed."""
    columns.device_id.append(event.device_id)
    columns.kind.append(event.kind)
    columns.time_ms.append(event.time_ms)
    columns.subject.append(event.subject)
    columns.received_ms.append(event.received_ms)
    here = event.latitude is not None and event.longitude is not None
    columns.latitude_e7.append(round((event.latitude or 0) * E7) if here else ABSENT_I4)
    columns.longitude_e7.append(round((event.longitude or 0) * E7) if here else ABSENT_I4)
    columns.replayed.append(0)
    attributes = to_json(event.attributes) if event.attributes else ""
    columns.attributes.append(attributes)
    return 48 + len(event.device_id) + len(attributes)
