"""The contract: dataclasses and .avsc agree, old records stay readable, new ones do not break old readers."""

from __future__ import annotations

import copy
import io
import json
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import fastavro
import pytest

from processors.derive.state import DeviceState, from_columns
from schemas import codec, records
from schemas.columns import LIMITS, TYPECODES
from schemas.topics import TOPICS

SCHEMAS = codec.current_schemas()
EXAMPLES = json.loads((codec.AVRO_DIRECTORY / "examples.json").read_text())


def record_fields(declaration: dict[str, Any]) -> list[tuple[dict[str, Any], type[Any]]]:
    """Every record of a schema that has a dataclass, with it."""
    out, types = [], codec.named_types(declaration)

    def walk(declared: dict[str, Any], cls: type[Any]) -> None:
        out.append((declared, cls))
        for field in declared["fields"]:
            kind = field["type"]
            kind = types.get(kind, kind) if isinstance(kind, str) else kind
            if isinstance(kind, dict) and kind["type"] == "record" and kind.get("columns", "table") == "table":
                walk(kind, get_type_hints(cls, vars(records))[field["name"]])

    walk(declaration, getattr(records, declaration["name"]))
    return out


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_dataclasses_have_the_fields_of_the_schema(name: str) -> None:
    for declared, cls in record_fields(SCHEMAS[name].declaration):
        assert is_dataclass(cls)
        assert {f["name"] for f in declared["fields"]} == {f.name for f in fields(cls)}, cls


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_columns_stand_in_the_order_of_the_schema(name: str) -> None:
    for declared, cls in record_fields(SCHEMAS[name].declaration):
        if declared.get("columns") == "table":
            assert [f["name"] for f in declared["fields"]] == [f.name for f in fields(cls)], cls


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_every_field_is_documented_and_every_column_typed(name: str) -> None:
    for declared in codec.named_types(SCHEMAS[name].declaration).values():
        assert declared.get("doc"), declared["name"]
        for field in declared["fields"]:
            assert field.get("doc"), f"{declared['name']}.{field['name']}"
            kind = field["type"]
            if isinstance(kind, dict) and kind["type"] == "bytes":
                assert kind["items"] in TYPECODES
                if "absent" in kind:
                    assert kind["absent"] == LIMITS[kind["items"]][1], "absent is the type's largest value"
            if field["name"].endswith("_ms") and isinstance(kind, dict) and kind["type"] == "bytes":
                assert kind["items"] in ("<i8", "<i4", "<u4")


def test_every_topic_has_its_record() -> None:
    assert {topic.record for topic in TOPICS.values()} == set(SCHEMAS)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_example_survives_the_codec(name: str) -> None:
    example = build(getattr(records, name), EXAMPLES[name])
    value = codec.encode(example)
    assert value[:2] == codec.MARKER
    assert codec.decode_any(value) == example


def build(cls: type[Any], data: dict[str, Any]) -> Any:
    """A record from its JSON example; byte columns are written as hex."""
    hints = get_type_hints(cls, vars(records))
    values = {}
    for name, value in data.items():
        if is_dataclass(hints[name]):
            value = build(hints[name], value)
        elif hints[name] == list[bytes]:
            value = [bytes.fromhex(v) for v in value]
        values[name] = value
    return cls(**values)


def resolves(writer: dict[str, Any], reader: dict[str, Any]) -> None:
    """Raises when data of `writer` cannot be read as `reader`."""
    example = build(getattr(records, writer["name"]), EXAMPLES[writer["name"]])
    body = codec.encode(example)[codec.HEADER_BYTES :]
    fastavro.schemaless_reader(io.BytesIO(body), fastavro.parse_schema(writer), fastavro.parse_schema(reader))


def compatible(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Why a change from old to new would break a reader; empty when it does not.

    Readers of the new must read the old (fields added need a default), readers of the old must read the new (fields
    removed needed a default), and a column never changes its element type: the fingerprint does not cover it.
    """
    problems = []
    before, after = codec.named_types(old), codec.named_types(new)
    for name in before.keys() & after.keys():
        was = {f["name"]: f for f in before[name]["fields"]}
        now = {f["name"]: f for f in after[name]["fields"]}
        problems += [f"{name}.{f}: added without default" for f in now.keys() - was.keys() if "default" not in now[f]]
        problems += [f"{name}.{f}: removed, had no default" for f in was.keys() - now.keys() if "default" not in was[f]]
        for field in was.keys() & now.keys():
            a, b = was[field]["type"], now[field]["type"]
            if _shape(before.get(str(a), a)) != _shape(after.get(str(b), b)):  # a type may stand in line or by name
                problems.append(f"{name}.{field}: type changed")
    return problems


def _shape(kind: Any) -> Any:
    return {k: kind[k] for k in ("type", "items", "absent", "name") if k in kind} if isinstance(kind, dict) else kind


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_old_versions_and_the_present_one_understand_each_other(name: str) -> None:
    olds = [s for s in codec.writer_schemas().values() if s.name == name and s is not SCHEMAS[name]]
    for old in olds:
        assert compatible(old.declaration, SCHEMAS[name].declaration) == []
    assert compatible(SCHEMAS[name].declaration, SCHEMAS[name].declaration) == []
    resolves(SCHEMAS[name].declaration, copy.deepcopy(SCHEMAS[name].declaration))


def test_states_of_an_older_record_get_what_a_new_device_has() -> None:
    for name in ("PositionBatch", "Snapshot"):
        old = next(s for s in codec.writer_schemas().values() if s.name == name and s is not SCHEMAS[name])
        example = build(getattr(records, name), EXAMPLES[name])
        avro = fastavro.schemaless_reader(
            io.BytesIO(codec.encode(example)[codec.HEADER_BYTES :]), SCHEMAS[name].parsed, old.parsed
        )
        body = io.BytesIO()
        fastavro.schemaless_writer(body, old.parsed, avro)
        read = codec.decode_any(codec.MARKER + old.fingerprint + body.getvalue())
        (state,) = from_columns(read.states)
        (expected,) = from_columns(example.states)
        assert (state.latitude_e7, state.recent) == (expected.latitude_e7, expected.recent)
        new = DeviceState("")
        assert (state.presence, state.fences, state.engine_s) == (new.presence, new.fences, new.engine_s)
        assert read.pauses_ms == []


def test_the_check_sees_what_would_break() -> None:
    old = SCHEMAS["PositionBatch"].declaration
    for change in ("add", "remove", "retype"):
        new = copy.deepcopy(old)
        positions = next(f for f in new["fields"] if f["name"] == "positions")["type"]["fields"]
        if change == "add":
            positions.append({"name": "vdop_x10", "type": {"type": "bytes", "items": "<u1"}, "doc": "x"})
        elif change == "remove":
            positions.pop()
        else:
            positions[2]["type"]["items"] = "<i4"
        assert len(compatible(old, new)) == 1, change


def test_an_added_column_with_a_default_is_read_from_old_records() -> None:
    old = SCHEMAS["EventBatch"].declaration
    new = copy.deepcopy(old)
    events = next(f for f in new["fields"] if f["name"] == "events")["type"]["fields"]
    events.append({"name": "priority", "type": {"type": "bytes", "items": "<u1"}, "default": "", "doc": "x"})
    assert compatible(old, new) == []
    resolves(old, new)
    assert "priority" in fastavro.schema.to_parsing_canonical_form(new)


def test_damaged_and_foreign_records_are_named() -> None:
    value = codec.encode(records.FrameBatch("gateway", 1))
    with pytest.raises(codec.CodecError, match="not Avro single-object"):
        codec.decode_any(b"hello")
    with pytest.raises(codec.CodecError, match="unknown schema"):
        codec.decode_any(value[:2] + bytes(8) + value[10:])
    with pytest.raises(codec.CodecError, match="damaged FrameBatch"):
        codec.decode_any(value[:12])
    with pytest.raises(codec.CodecError, match="expected a Snapshot"):
        codec.decode(value, records.Snapshot)
