"""Raw frames out of one line into a file, and from there into another one with another partition count."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from schemas import codec
from schemas.archive import ArchiveError, read
from schemas.clients.kafka import create_topics
from schemas.records import FrameBatch
from schemas.topics import FRAMES, partition_of
from tests.integration.kafka_server import kafka_server
from tests.integration.line import Line
from tests.integration.test_cli import lodestream
from tests.integration.test_track import produce, read_all
from tests.property.partition_log import START_MS, drive

Row = tuple[str, str, int, bytes]


def rows(batches: list[FrameBatch]) -> list[Row]:
    found = []
    for batch in batches:
        f = batch.frames
        found += list(zip(f.device_id, f.protocol, f.received_ms, f.payload, strict=True))
    return found


def entries(batches: list[FrameBatch]) -> list[tuple[str, int, int]]:
    return [
        row
        for batch in batches
        for row in zip(batch.entries.device_id, batch.entries.kind, batch.entries.time_ms, strict=True)
    ]


def line_of(bootstrap: str) -> Line:
    """What the helpers for topics need of a line."""
    line = Line.__new__(Line)
    line.kafka = type("Kafka", (), {"bootstrap": bootstrap})()
    return line


def test_frames_survive_a_file_and_another_partition_count(tmp_path: Path) -> None:
    logs = {p: drive(50 + p, 200, f"08801234{p}0") for p in range(2)}
    archive, part, broken = (str(tmp_path / name) for name in ("all.avro", "part.avro", "broken.avro"))
    with kafka_server(tmp_path / "one") as one, kafka_server(tmp_path / "two") as two:
        asyncio.run(create_topics(one.bootstrap, 2, 1))
        asyncio.run(create_topics(two.bootstrap, 3, 1))
        for number, records in logs.items():
            produce(line_of(one.bootstrap), [codec.encode(record) for record in records], number)
        out = lodestream("frames", "export", "-o", archive, "--kafka", one.bootstrap)
        sent = [row for records in logs.values() for row in rows(records)]
        assert f"{len(sent)} frames of 8 devices" in out
        assert not Path(archive + ".part").exists()
        with Path(archive).open("rb") as file:
            count, kept = read(file)
            assert count == 2
            assert rows([record.batch for record in kept]) == sent

        assert f"{len(sent)} frames" in lodestream("frames", "import", archive, "--kafka", two.bootstrap)
        there = {n: read_all(line_of(two.bootstrap), FRAMES, n, FrameBatch) for n in range(3)}
        everything = [row for batches in there.values() for row in rows(batches)]
        assert sorted(everything) == sorted(sent)
        for number, batches in there.items():
            assert {partition_of(row[0], 3) for row in rows(batches)} <= {number}
            for device in {row[0] for row in rows(batches)}:
                assert [r for r in rows(batches) if r[0] == device] == [r for r in sent if r[0] == device]
        told = [entry for batches in there.values() for entry in entries(batches)]
        assert sorted(told) == sorted(entry for records in logs.values() for entry in entries(records))

        # chosen parts
        device = sent[0][0]
        lodestream("frames", "export", "-o", part, "--device", device, "--kafka", one.bootstrap)
        shown = [
            json.loads(text) for text in lodestream("frames", "show", part, "--hex").splitlines() if text[0] == "{"
        ]
        assert [bytes.fromhex(row["hex"]) for row in shown] == [row[3] for row in sent if row[0] == device]
        late = lodestream("frames", "export", "-o", part, "--from", "2026-01-16", "--kafka", one.bootstrap)
        assert "no frames" in late
        assert START_MS < 1_768_521_600_000

        # fit to be shown
        out = lodestream("frames", "export", "-o", part, "--redact", "--kafka", one.bootstrap)
        assert "left out, for nothing proves" in out
        shown = [
            json.loads(text) for text in lodestream("frames", "show", part, "--hex").splitlines() if text[0] == "{"
        ]
        assert 0 < len(shown) < len(sent)
        assert not {row["device_id"] for row in shown} & {row[0] for row in sent}
        assert not any(row[0] in bytes.fromhex(found["hex"]).decode() for row in sent[:50] for found in shown)

        # mistakes
        assert "holds records already" in lodestream("frames", "import", archive, "--kafka", two.bootstrap, code=2)
        assert "--yes" in lodestream("frames", "import", archive, "--kafka", two.bootstrap, code=2)
        Path(broken).write_bytes(Path(archive).read_bytes()[:-200])
        assert "broken.avro: damaged" in lodestream("frames", "show", broken, code=2)
        Path(broken).write_bytes(b"hello")
        assert "no Avro object container file" in lodestream(
            "frames", "import", broken, "--yes", "--kafka", two.bootstrap, code=2
        )
        assert "is no time" in lodestream(
            "frames", "export", "-o", part, "--from", "x", "--kafka", one.bootstrap, code=2
        )


def test_a_file_of_something_else(tmp_path: Path) -> None:
    import fastavro

    path = tmp_path / "other.avro"
    with path.open("wb") as file:
        fastavro.writer(file, {"type": "record", "name": "Other", "fields": [{"name": "a", "type": "int"}]}, [{"a": 1}])
    with path.open("rb") as file, pytest.raises(ArchiveError):
        next(read(file)[1])
