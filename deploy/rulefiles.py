"""Files of devices, groups and geofences: CSV, JSON and GeoJSON to records. Every mistake is named, with its place."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from gateway.protocols.registry import PROTOCOLS
from processors.derive.fences import fence_from
from processors.derive.rules import OFF, SERVER_PARAMETERS, SWITCHES, Parameters, parameters_from
from processors.rulebook import RuleBook
from schemas.records import Attribute, Device, Geofence, Group

ID = re.compile(r"[!-~]{1,64}")
SPREADSHEET = re.compile(r"\d(\.\d+)?E\+\d+", re.IGNORECASE)
PROBLEMS_SHOWN = 20
DEVICE_COLUMNS = ("device_id", "name", "group_id", "aliases")
GEOFENCE_NUMBERS = ("radius_m", "width_m", "speed_limit_kmh", "dwell_s")

Record = TypeVar("Record", Device, Group, Geofence)


class RuleFileError(ValueError):
    """Nothing of a file is taken: problems says all that is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        shown = problems[:PROBLEMS_SHOWN]
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more")
        super().__init__("\n".join(shown))
        self.problems = problems


def devices_from(text: str, form: str = "json", updated_ms: int = 0) -> list[Device]:
    """Devices of a file. form: json (an array, or an object a line) or csv (a header; aliases separated by `;`, any
    parameter as a column). Raises RuleFileError."""
    rows = _csv_rows(text) if form == "csv" else _json_rows(text)
    devices = _records(rows, "device_id", lambda row: _device(row, updated_ms))
    claims: dict[str, list[str]] = {}
    for device in devices:
        for alias in device.aliases:
            claims.setdefault(alias, []).append(device.device_id)
    twice = [f"alias {a!r} is claimed by {' and '.join(ids)}" for a, ids in claims.items() if len(ids) > 1]
    if twice:
        raise RuleFileError(twice)
    return devices


def groups_from(text: str, updated_ms: int = 0) -> list[Group]:
    """Groups of a JSON file (an array, or an object a line). Raises RuleFileError."""
    return _records(_json_rows(text), "group_id", lambda row: _group(row, updated_ms))


def geofences_from(text: str, updated_ms: int = 0) -> list[Geofence]:
    """Geofences of GeoJSON text: a FeatureCollection, a Feature, or an array of features. Raises RuleFileError."""
    return _records(_features(_read(text)), "geofence_id", lambda row: _geofence(row, updated_ms))


def rulebook_from(text: str) -> RuleBook:
    """The rules of one JSON object: parameters (of the server), devices, groups, geofences; each may be absent.

    Raises RuleFileError.
    """
    read = _read(text)
    if not isinstance(read, dict):
        raise RuleFileError(['an object {"parameters": …, "devices": […], "groups": […], "geofences": …} was expected'])
    problems = [f"unknown key {key!r}" for key in read.keys() - {"parameters", "devices", "groups", "geofences"}]
    server: Parameters = SERVER_PARAMETERS
    try:
        server = parameters_from(_parameters(read.get("parameters", {})), source="server")
    except ValueError as error:
        problems.append(f"parameters: {error}")
    records: list[Device | Group | Geofence] = []
    makers: tuple[tuple[str, Callable[[Any], list[Any]]], ...] = (
        ("groups", lambda value: _records(_numbered(value), "group_id", lambda row: _group(row, 0))),
        ("devices", lambda value: _records(_numbered(value), "device_id", lambda row: _device(row, 0))),
        ("geofences", lambda value: _records(_features(value), "geofence_id", lambda row: _geofence(row, 0))),
    )
    for key, make in makers:
        try:
            records += make(read.get(key, []))
        except RuleFileError as error:
            problems += [f"{key}: {problem}" for problem in error.problems]
    if problems:
        raise RuleFileError(problems)
    book = RuleBook(server)
    for record in records:
        refused = book.put(record, 0)
        if refused is not None:
            problems.append(f"{id_of(record)}: {refused}")
    if problems:
        raise RuleFileError(problems)
    return book


def id_of(record: Device | Group | Geofence) -> str:
    """The key of a record in its topic."""
    if isinstance(record, Device):
        return record.device_id
    return record.group_id if isinstance(record, Group) else record.geofence_id


def parameter_value(name: str, text: str) -> Attribute:
    """A parameter as people write it, on a command line or in CSV: a number, true or false, off."""
    if text == OFF:
        return OFF
    if name in SWITCHES and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"parameter {name}: {text!r} is neither a number nor true, false or off") from None


# ---- rows of a file, each with its place


Row = tuple[str, Any]


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise RuleFileError([f"not JSON: {error}"]) from None


def _numbered(value: Any) -> list[Row]:
    if not isinstance(value, list):
        raise RuleFileError(["an array was expected"])
    return [(f"entry {number}", entry) for number, entry in enumerate(value, 1)]


def _json_rows(text: str) -> list[Row]:
    if text.lstrip().startswith("["):
        return _numbered(_read(text))
    rows, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                rows.append((f"line {number}", json.loads(line)))
            except ValueError as error:
                problems.append(f"line {number}: not JSON: {error}")
    if problems:
        raise RuleFileError(problems)
    return rows


def _csv_rows(text: str) -> list[Row]:
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff"), newline=""), strict=True)
    if "device_id" not in (reader.fieldnames or ()):
        raise RuleFileError([f"line 1: no column device_id in the header {reader.fieldnames or []}"])
    rows: list[Row] = []
    try:
        for cells in reader:
            where = f"line {reader.line_num}"
            if None in cells:
                raise RuleFileError([f"{where}: more cells than the header has columns"])
            rows.append((where, _from_csv({k: (v or "").strip() for k, v in cells.items()})))
    except csv.Error as error:
        raise RuleFileError([f"line {reader.line_num}: {error}"]) from None
    return rows


def _from_csv(cells: dict[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {name: cells[name] for name in DEVICE_COLUMNS if cells.get(name)}
    if "aliases" in row:
        row["aliases"] = [alias.strip() for alias in row["aliases"].split(";") if alias.strip()]
    row["parameters"] = {n: v for n, v in cells.items() if v and n not in DEVICE_COLUMNS}
    row["_text"] = True
    return row


def _features(value: Any) -> list[Row]:
    if isinstance(value, dict) and value.get("type") == "Feature":
        value = [value]
    elif isinstance(value, dict) and value.get("type") == "FeatureCollection":
        value = value.get("features")
    if not isinstance(value, list):
        raise RuleFileError(["a GeoJSON FeatureCollection, a Feature or an array of features was expected"])
    return [(f"feature {number}", feature) for number, feature in enumerate(value, 1)]


def _records(rows: Iterable[Row], key: str, make: Callable[[Any], Record]) -> list[Record]:
    """Records of rows; raises RuleFileError with all that is wrong, and for ids that stand twice."""
    found, problems = [], []
    for where, row in rows:
        try:
            found.append(make(row))
        except ValueError as error:
            name = row.get(key) if isinstance(row, dict) else None
            if isinstance(row, dict) and key == "geofence_id":
                name = _geofence_id(row)
            problems.append(f"{where}{f' {name!r}' if name else ''}: {error}")
    for name, count in Counter(map(id_of, found)).items():
        if count > 1:
            problems.append(f"{key} {name!r} stands {count} times")
    if problems:
        raise RuleFileError(problems)
    return found


# ---- one record


def _mapping(row: Any, known: Iterable[str]) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError("an object was expected")
    unknown = row.keys() - {*known}
    if unknown:
        raise ValueError(f"unknown key {sorted(unknown)[0]!r}: known are {', '.join(known)}")
    return row


def _id(value: Any, name: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"{name} {value} is a number: write it as text, or leading zeros are lost")
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing")
    if SPREADSHEET.fullmatch(value):
        raise ValueError(f"{name} {value!r} was made a number by a spreadsheet: format the column as text")
    if not ID.fullmatch(value):
        raise ValueError(f"{name} {value!r} is not 1 to 64 visible ASCII characters without blanks")
    return value


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name) or ""
    if not isinstance(value, str):
        raise ValueError(f"{name} {value!r} is not text")
    return value


def _ids(row: dict[str, Any], name: str) -> list[str]:
    value = row.get(name) or []
    if not isinstance(value, list):
        raise ValueError(f"{name} is not an array")
    return [_id(item, name) for item in value]


def _parameters(value: Any, as_text: bool = False) -> dict[str, Attribute]:
    """Parameters that are in order by themselves; null becomes off. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("parameters is not an object")
    if as_text:
        value = {name: parameter_value(name, text) for name, text in value.items()}
    found = {name: OFF if item is None else item for name, item in value.items()}
    parameters_from(found)
    return found


def checked_alias(alias: str) -> str:
    """An alias of the form protocol:id. Raises ValueError."""
    protocol, colon, short_id = alias.partition(":")
    if not colon or not ID.fullmatch(short_id):
        raise ValueError(f"alias {alias!r} is not protocol:id")
    if protocol not in PROTOCOLS:
        raise ValueError(f"alias {alias!r}: protocol {protocol!r} is none of {', '.join(sorted(PROTOCOLS))}")
    return alias


def _device(row: Any, updated_ms: int) -> Device:
    as_text = isinstance(row, dict) and bool(row.pop("_text", False))
    row = _mapping(row, (*DEVICE_COLUMNS, "parameters"))
    device_id = _id(row.get("device_id"), "device_id")
    aliases = [checked_alias(alias) for alias in _ids(row, "aliases")]
    group_id = _id(row["group_id"], "group_id") if row.get("group_id") else ""
    parameters = _parameters(row.get("parameters") or {}, as_text)
    return Device(device_id, updated_ms, _text(row, "name"), group_id, aliases, parameters)


def _group(row: Any, updated_ms: int) -> Group:
    row = _mapping(row, ("group_id", "name", "parameters"))
    parameters = _parameters(row.get("parameters") or {})
    return Group(_id(row.get("group_id"), "group_id"), updated_ms, _text(row, "name"), parameters)


def _geofence_id(row: dict[str, Any]) -> Any:
    properties = row.get("properties") or {}
    if not isinstance(properties, dict):
        return row.get("id")
    found = (row.get("id"), *(properties.get(name) for name in ("geofence_id", "id", "name")))
    return next((value for value in found if value not in (None, "")), None)


def _geofence(row: Any, updated_ms: int) -> Geofence:
    if not isinstance(row, dict) or row.get("type") != "Feature":
        raise ValueError('a GeoJSON feature {"type": "Feature", …} was expected')
    properties = row.get("properties") or {}
    if not isinstance(properties, dict):
        raise ValueError("properties is not an object")
    name, geofence_id = properties.get("name"), _geofence_id(row)
    if isinstance(geofence_id, int) and not isinstance(geofence_id, bool):
        geofence_id = str(geofence_id)  # the id of a feature may be a number
    if not isinstance(geofence_id, str) or not 0 < len(geofence_id) <= 64:
        raise ValueError("no id of 1 to 64 characters: set the feature's id, or geofence_id in its properties")
    if "radius" in properties and "radius_m" not in properties:
        properties = properties | {"radius_m": properties["radius"]}
    numbers = {}
    for number in GEOFENCE_NUMBERS:
        value = properties.get(number) or 0
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{number} {value!r} is not a number")
        numbers[number] = float(value)
    if not isinstance(row.get("geometry"), dict):
        raise ValueError("geometry is missing")
    geofence = Geofence(
        geofence_id,
        updated_ms,
        json.dumps(row["geometry"], separators=(",", ":")),
        name if isinstance(name, str) else "",
        **numbers,
        device_ids=_ids(properties, "device_ids"),
        group_ids=_ids(properties, "group_ids"),
    )
    fence_from(geofence, 0)
    return geofence
