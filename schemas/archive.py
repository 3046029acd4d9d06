"""Raw frames in Avro object container files: an archive beyond Kafka's retention, or a bug report.

A file holds records {partition, offset, batch}: the place in the topic `frames`, and the FrameBatch as it stood there, or
what was chosen of it. Its metadata names the partition count of that topic. Any Avro reader opens it.
Source: Apache Avro 1.12 specification, "Object container files".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import IO, Any

import fastavro

from schemas.codec import RecordCodec, codec_of
from schemas.records import FrameBatch

NAME = "lodestream.ArchivedFrames"
PARTITIONS = "lodestream.partitions"


class ArchiveError(ValueError):
    """A file that is no archive of frames, or a damaged one; the message says what was found."""


@dataclass(frozen=True, slots=True)
class Archived:
    """One record of an archive."""

    partition: int
    offset: int
    batch: FrameBatch


@cache
def _codec() -> RecordCodec:
    return codec_of(FrameBatch.__name__)


@cache
def _schema() -> Any:
    declaration = {
        "type": "record",
        "name": "ArchivedFrames",
        "namespace": "lodestream",
        "doc": "A record of the topic frames and where it stood.",
        "fields": [
            {"name": "partition", "type": "int", "doc": "Partition."},
            {"name": "offset", "type": "long", "doc": "Offset."},
            {"name": "batch", "type": _codec().schema.declaration, "doc": "The frames."},
        ],
    }
    return fastavro.parse_schema(declaration)


def write(file: IO[bytes], records: Iterable[Archived], partitions: int) -> None:
    """Write an archive; `records` may be a generator."""
    rows = (
        {"partition": record.partition, "offset": record.offset, "batch": _codec().to_avro(record.batch)}
        for record in records
    )
    fastavro.writer(file, _schema(), rows, codec="deflate", metadata={PARTITIONS: str(partitions)})


def read(file: IO[bytes]) -> tuple[int, Iterator[Archived]]:
    """(partition count, records) of an archive. Raises ArchiveError, now or while the records are read."""
    try:
        reader = fastavro.reader(file, _schema())
    except (ValueError, EOFError, KeyError, TypeError, fastavro.schema.SchemaParseException) as error:
        raise ArchiveError(f"no Avro object container file: {error}") from None
    written = reader.writer_schema
    name = written.get("name") if isinstance(written, dict) else written
    if name not in (NAME, NAME.partition(".")[2]):
        raise ArchiveError(f"an Avro file of {name}, not of frames")
    return int(reader.metadata.get(PARTITIONS, "0")), _records(reader)


def _records(reader: Any) -> Iterator[Archived]:
    try:
        for row in reader:
            yield Archived(row["partition"], row["offset"], _codec().from_avro(row["batch"]))
    except (ValueError, EOFError, KeyError, TypeError, IndexError) as error:
        raise ArchiveError(f"damaged: {error}") from None
