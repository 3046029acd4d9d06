"""Records to Avro and back: single-object encoding with the schemas of schemas/avro as the contract.

On the wire: C3 01, the CRC-64-AVRO fingerprint of the writer's schema (8 bytes, little-endian), the body. Schemas that
are no longer written stand in schemas/avro/old, so that every retained record can be read.
Source: Apache Avro 1.12 specification, "Single object encoding" and "Schema fingerprints".
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import fastavro
import fastavro.schema

from schemas.columns import PACKERS, number_codec

AVRO_DIRECTORY = Path(__file__).parent / "avro"
MARKER = b"\xc3\x01"
HEADER_BYTES = 10


class CodecError(ValueError):
    """A Kafka record that is not one of ours, or damaged: never a device's fault."""


T = TypeVar("T")
ToAvro = Callable[[Any], Any]
FromAvro = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Schema:
    """One parsed writer or reader schema."""

    name: str
    declaration: dict[str, Any]
    parsed: Any
    fingerprint: bytes


def load_schema(path: Path) -> Schema:
    """Parse one .avsc file."""
    declaration = json.loads(path.read_text(encoding="utf-8"))
    parsed = fastavro.parse_schema(json.loads(json.dumps(declaration)))
    canonical = fastavro.schema.to_parsing_canonical_form(declaration)
    fingerprint = bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
    return Schema(declaration["name"], declaration, parsed, fingerprint)


@cache
def current_schemas() -> dict[str, Schema]:
    """The schema that is written today, by record name."""
    return {s.name: s for s in map(load_schema, sorted(AVRO_DIRECTORY.glob("*.avsc")))}


@cache
def writer_schemas() -> dict[bytes, Schema]:
    """Every schema that a retained record may have been written with, by fingerprint."""
    old = map(load_schema, sorted((AVRO_DIRECTORY / "old").glob("*.avsc")))
    return {s.fingerprint: s for s in [*old, *current_schemas().values()]}


def named_types(declaration: Any, found: dict[str, dict[str, Any]] | None = None) -> dict[str, dict[str, Any]]:
    """All record types that a declaration defines, by full name."""
    found = {} if found is None else found
    if isinstance(declaration, dict):
        if declaration.get("type") == "record":
            found[f"lodestream.{declaration['name']}"] = declaration
            for field in declaration["fields"]:
                named_types(field["type"], found)
        elif isinstance(declaration.get("type"), dict):
            named_types(declaration["type"], found)
    return found


@cache
def absent_values(record: str, table: str) -> dict[str, int]:
    """Column -> the number that means "absent", for one table of a record, such as ("PositionBatch", "positions")."""
    fields = {f["name"]: f["type"] for f in current_schemas()[record].declaration["fields"]}
    if table not in fields or not isinstance(fields[table], dict) or "fields" not in fields[table]:
        return {}
    columns = fields[table]["fields"]
    return {c["name"]: c["type"]["absent"] for c in columns if isinstance(c["type"], dict) and "absent" in c["type"]}


class RecordCodec:
    """Turns one dataclass of schemas.records into an Avro body and back."""

    def __init__(self, schema: Schema, record_class: type[Any]) -> None:
        self.schema = schema
        self.header = MARKER + schema.fingerprint
        self._types = named_types(schema.declaration)
        self._record_class = record_class
        self.to_avro, self.from_avro = self._record(schema.declaration, record_class)

    def encode(self, record: Any) -> bytes:
        stream = io.BytesIO()
        stream.write(self.header)
        fastavro.schemaless_writer(stream, self.schema.parsed, self.to_avro(record), strict=True)
        return stream.getvalue()

    def decode(self, writer: Schema, body: bytes) -> Any:
        reader = None if writer is self.schema else self.schema.parsed
        return self.from_avro(fastavro.schemaless_reader(io.BytesIO(body), writer.parsed, reader))

    def _record(self, declaration: dict[str, Any], record_class: type[Any]) -> tuple[ToAvro, FromAvro]:
        """Converters between a dataclass and the mapping that fastavro takes; nested records recurse."""
        hints = record_class.__annotations__ if record_class else {}
        fields = [(f["name"], *self._field(f["type"], hints.get(f["name"]))) for f in declaration["fields"]]
        plain = [name for name, to, _ in fields if to is None]
        converted = [(name, to, back) for name, to, back in fields if to is not None and back is not None]

        def to_avro(record: Any) -> dict[str, Any]:
            out = {name: getattr(record, name) for name in plain}
            for name, to, _ in converted:
                out[name] = to(getattr(record, name))
            return out

        def from_avro(data: dict[str, Any]) -> Any:
            for name, _, back in converted:
                data[name] = back(data[name])
            return record_class(**data)

        return to_avro, from_avro

    def _field(self, declared: Any, hint: Any) -> tuple[ToAvro | None, FromAvro | None]:
        if isinstance(declared, str) and declared in self._types:
            declared = self._types[declared]
        if isinstance(declared, dict):
            if declared["type"] == "bytes" and "items" in declared:
                return number_codec(declared["items"])
            if declared["type"] == "record":
                if declared.get("columns") in PACKERS:
                    return PACKERS[declared["columns"]]
                return self._record(declared, _record_class(str(hint)))
        return None, None


def _record_class(name: str) -> type[Any]:
    from schemas import records  # the dataclasses know nothing of Avro; this is the one place that joins them

    record_class: type[Any] = getattr(records, name)
    return record_class


@cache
def codec_of(name: str) -> RecordCodec:
    """The codec of one top-level record by name, such as `FrameBatch`."""
    return RecordCodec(current_schemas()[name], _record_class(name))


def encode(record: Any) -> bytes:
    """Encode a dataclass of schemas.records.

    Raises OverflowError when a number does not fit its column and ValueError/TypeError for a value of the wrong type.
    """
    return codec_of(type(record).__name__).encode(record)


def decode(value: bytes, expected: type[T]) -> T:
    """Decode a record that must be of one type, written with its current or any older schema.

    Raises CodecError when the bytes are not single-object Avro, of an unknown schema, or of another type.
    """
    record = decode_any(value)
    if not isinstance(record, expected):
        raise CodecError(f"expected a {expected.__name__}, found a {type(record).__name__}")
    return record


def decode_any(value: bytes) -> Any:
    """Decode a record of whatever type it says it is; raises CodecError as `decode` does."""
    if value[:2] != MARKER or len(value) < HEADER_BYTES:
        raise CodecError(f"not Avro single-object encoding: begins with {value[:4].hex() or 'nothing'}")
    writer = writer_schemas().get(value[2:HEADER_BYTES])
    if writer is None:
        raise CodecError(f"unknown schema, fingerprint {value[2:HEADER_BYTES].hex()}: written by a newer version?")
    try:
        return codec_of(writer.name).decode(writer, value[HEADER_BYTES:])
    except (EOFError, IndexError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise CodecError(f"damaged {writer.name}: {error}") from error
