"""Lines of `lodestream derive`: positions, ticks and sessions as people have them, to entries of derivation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from difflib import get_close_matches
from math import isfinite
from typing import Any
from zlib import crc32

import orjson

from processors.derive.entries import Entry, Report, SessionClosed, SessionOpened, Tick
from schemas.records import Position

CLICKHOUSE_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?")
TIMES = ("fix_time_ms", "device_time_ms")
NUMBERS = (
    "latitude",
    "longitude",
    "altitude_m",
    "speed_kmh",
    "course_deg",
    "hdop",
    "accuracy_m",
    "battery_percent",
    "battery_v",
    "power_v",
    "fuel_percent",
)
WHOLE = ("satellites", "odometer_m", "rssi")
SWITCHES = ("valid", "ignition")
NAMES = ("alarms", "level_alarms", "silent_alarms")
LISTS = ("cells", "wifi")
IGNORED = frozenset({"flags", "moving"})
"""What derivation computes itself: the view `positions` has it."""
OWN = ("device_id", "protocol", "time_ms", "received_ms", "clock", "session_id", "frame_key", "revision", "attributes")
KNOWN = frozenset((*OWN, *TIMES, *NUMBERS, *WHOLE, *SWITCHES, *NAMES, *LISTS)) | IGNORED
UNKNOWN_KEPT = 100
STATES = frozenset(
    (
        "bonnet",
        "door",
        "fault",
        "gps_antenna_cut",
        "jamming",
        "low_battery",
        "low_power",
        "power_cut",
        "power_off",
        "temperature",
    )
)
"""Alarms that are states of a thing: a line with alarms that does not say which of them are levels tells of these."""
ARRIVAL = frozenset({"received_ms", "session_id", "frame_key", "revision", "protocol"}) | IGNORED
"""What tells nothing of the report itself: the same report sent again may differ in it."""


class BadLine(ValueError):
    """A line that is none of the forms; the message says what is wrong with which key."""


class Reader:
    """Turns lines into entries; keeps what later lines may leave out: the newest time, and the open sessions."""

    def __init__(self) -> None:
        self._newest_ms = 0
        self._sessions = 0
        self._open: dict[str, list[int]] = {}
        self.unknown: dict[str, str] = {}
        """Keys of positions that nobody knows, each with what to say of it; the first UNKNOWN_KEPT."""

    def entries(self, line: bytes) -> Iterator[tuple[Entry, dict[str, Any]]]:
        """The entries of one line, each with the row it was made of. Raises BadLine."""
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise BadLine(f"not JSON: {error}") from None
        if not isinstance(row, dict):
            raise BadLine("a JSON object was expected")
        if "tick_ms" in row:
            tick_ms = _time(row, "tick_ms")
            if tick_ms is None:
                raise BadLine("tick_ms is null")
            self._newest_ms = max(self._newest_ms, tick_ms)
            yield Tick(tick_ms), row
        elif "session" in row and "frames" not in row:
            yield self._session(row), row
        elif isinstance(row.get("frames"), list):  # a line of `lodestream decode`
            for frame in row["frames"]:
                for position in frame.get("positions", ()) if isinstance(frame, dict) else ():
                    yield self._report(position), position
        elif row.get("frames", 0) is None or row.get("end") is True:
            return
        else:
            yield self._report(row), row

    def _session(self, row: dict[str, Any]) -> Entry:
        kind, device_id, time_ms = row["session"], _device_id(row), _time(row, "time_ms")
        unknown = row.keys() - {"session", "device_id", "time_ms", "session_id"}
        if unknown:
            raise BadLine(_unknown(sorted(unknown)[0], ("session", "device_id", "time_ms", "session_id")))
        if kind not in ("opened", "closed"):
            raise BadLine(f'session {kind!r} is neither "opened" nor "closed"')
        if time_ms is None:
            raise BadLine("time_ms is missing")
        self._newest_ms = max(self._newest_ms, time_ms)
        key = _key(row.get("session_id"))
        waiting = self._open.setdefault(device_id, [])
        if kind == "opened":
            if not key:
                self._sessions += 1
                key = self._sessions
                waiting.append(key)
            return SessionOpened(device_id, time_ms, key)
        if not key and waiting:
            key = waiting.pop(0)
        return SessionClosed(device_id, time_ms, key)

    def _report(self, row: Any) -> Report:
        if not isinstance(row, dict):
            raise BadLine("a position is no JSON object")
        for name in row.keys() - KNOWN - self.unknown.keys():
            if len(self.unknown) < UNKNOWN_KEPT:
                self.unknown[name] = _unknown(name, KNOWN)
        device_id = _device_id(row)
        position = _position(row)
        own_ms = position.fix_time_ms if position.fix_time_ms is not None else position.device_time_ms
        received_ms = _time(row, "received_ms")
        if received_ms is None:
            received_ms = max(self._newest_ms, own_ms or 0)
        self._newest_ms = max(self._newest_ms, received_ms)
        key = _whole(row, "frame_key")
        if key is None:
            key = _frame_key(row, received_ms if own_ms is None else 0)
        protocol = row.get("protocol") or ""
        if not isinstance(protocol, str):
            raise BadLine(f"protocol {protocol!r} is not text")
        revision = _whole(row, "revision") or 0
        session = _key(row.get("session_id"))
        return Report(position, device_id, protocol, received_ms, key & 0xFFFFFFFF, revision, session)


def _position(row: dict[str, Any]) -> Position:
    values: dict[str, Any] = {name: _time(row, name) for name in TIMES}
    values |= {name: _number(row, name) for name in NUMBERS}
    values |= {name: _whole(row, name) for name in WHOLE}
    values |= {name: _switch(row, name) for name in SWITCHES}
    alarms, told, silent = (_names(row, name) for name in NAMES)
    levels = STATES if "alarms" in row and row.get("level_alarms") is None else frozenset(told)
    time_ms = _time(row, "time_ms")
    placed = values["latitude"] is not None and values["longitude"] is not None
    if values["fix_time_ms"] is None and values["device_time_ms"] is None and time_ms is not None:
        values["fix_time_ms" if placed else "device_time_ms"] = time_ms
    elif values["fix_time_ms"] is None and placed and time_ms is not None and "fix_time_ms" not in row:
        values["fix_time_ms"] = time_ms
    if values["valid"] is None:
        values["valid"] = placed
    clock = row.get("clock") or "utc"
    if clock not in ("utc", "local", "unknown"):
        raise BadLine(f"clock {clock!r} is none of utc, local, unknown")
    for name in LISTS:
        values[name] = row.get(name) or []
        if not isinstance(values[name], list):
            raise BadLine(f"{name} is no array")
    return Position(
        **values,
        clock=clock,
        alarms=alarms,
        level_alarms=levels,
        silent_alarms=frozenset(silent),
        attributes=_attributes(row),
    )


def _attributes(row: dict[str, Any]) -> dict[str, Any]:
    value = row.get("attributes")
    if isinstance(value, str):  # as ClickHouse prints them
        try:
            value = orjson.loads(value or b"{}")
        except orjson.JSONDecodeError:
            raise BadLine("attributes is text that is no JSON object") from None
    if value is not None and not isinstance(value, dict):
        raise BadLine("attributes is no object")
    for name, item in (value or {}).items():
        if not isinstance(item, (bool, int, float, str)):
            raise BadLine(f"attributes.{name} is neither a number, text nor a boolean")
    return value or {}


def _device_id(row: dict[str, Any]) -> str:
    value = row.get("device_id")
    if not isinstance(value, str) or not value:
        raise BadLine("device_id is missing" if value in (None, "") else f"device_id {value!r} is not text")
    return value


def _key(session_id: Any) -> int:
    if session_id is None:
        return 0
    return crc32(str(session_id).encode("utf-8", "surrogateescape")) | 0x80000000  # apart from those that are counted


def _time(row: dict[str, Any], name: str) -> int | None:
    """Milliseconds since the epoch, also in the form in which ClickHouse prints a time."""
    value = row.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**62):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, str) and CLICKHOUSE_TIME.fullmatch(value):
        try:
            return round(datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp() * 1000)
        except ValueError:
            raise BadLine(f"{name} {value!r} is no date") from None
    raise BadLine(f"{name} {value!r} is no whole number of milliseconds since 1970-01-01 UTC")


def _number(row: dict[str, Any], name: str) -> float | None:
    value = row.get(name)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)):
        return value
    raise BadLine(f"{name} {value!r} is not a number")


def _whole(row: dict[str, Any], name: str) -> int | None:
    value = _number(row, name)
    if value is not None and int(value) != value:
        raise BadLine(f"{name} {value!r} is no whole number")
    return None if value is None else int(value)


def _switch(row: dict[str, Any], name: str) -> bool | None:
    value = row.get(name)
    if value is None or isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    raise BadLine(f"{name} {value!r} is neither true nor false")


def _names(row: dict[str, Any], name: str) -> list[str]:
    value = row.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadLine(f"{name} is no array of names")
    return value


def _unknown(name: str, known: Any) -> str:
    close = get_close_matches(name, known, 1)
    return f"unknown key {name!r}" + (f": is {close[0]} meant?" if close else "")


def _frame_key(row: dict[str, Any], received_ms: int) -> int:
    """Equal for the same report again; a report that tells no time of its own is new each time it arrives."""
    content = {name: value for name, value in row.items() if name not in ARRIVAL and value is not None}
    return crc32(json.dumps([content, received_ms], sort_keys=True).encode("utf-8", "surrogatepass"))
