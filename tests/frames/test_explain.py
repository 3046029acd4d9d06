"""`decode --explain`: rows cover every byte once, and say what the decoder reads, for every golden frame."""

from __future__ import annotations

import io
import json

import pytest

from deploy.cli import decode
from processors.decoders.registry import DECODERS
from tests.frames.golden import CASES

LONGEST = 400
"""Bytes of a golden frame explained here: the time grows with the square of the length."""


def explained(chunks: list[str], transport: str = "tcp") -> list[dict[str, object]]:
    lines = [json.dumps({"hex": chunk, "transport": transport}).encode() for chunk in chunks]
    out = io.StringIO()
    decode.run(lines, out, text=False, explained=True)
    return [frame for line in out.getvalue().splitlines() for frame in json.loads(line)["frames"]]


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_rows_cover_the_frame(path) -> None:  # type: ignore[no-untyped-def]
    import tomllib

    case = tomllib.loads(path.read_text())
    chunks = [*case.get("setup", []), *case["chunks"]]
    if sum(map(len, chunks)) > 2 * LONGEST:
        pytest.skip(f"longer than {LONGEST} bytes")
    for frame in explained(chunks, case["transport"]):
        if frame["protocol"] not in DECODERS:
            continue
        rows = frame["explain"]
        assert "".join(row["hex"] for row in rows) == frame["frame_hex"]
        at = 0
        for row in rows:
            assert row["offset"] == at
            at += len(row["hex"]) // 2


def test_fields_of_a_text_frame() -> None:
    text = b"*HQ,8800123456,V1,101112,A,5130.2500,N,00007.6500,W,019.71,045,150126,FFFFFBFF#"
    (frame,) = explained([text.hex()])
    found = {row["field"]: (row["offset"], row.get("text"), row["value"]) for row in frame["explain"]}
    assert found["id"] == (4, "8800123456", "8800123456")
    assert found["valid"] == (25, "A", True)
    assert found["speed_kmh"][:2] == (52, "019.71")
    assert found["course_deg"] == (59, "045", 45.0)
    assert [row["offset"] for row in frame["explain"] if row["field"] == "latitude"] == [27, 32, 37]
    assert frame["explain"][0] == {"offset": 0, "hex": "2a48512c", "field": "structure", "value": None, "text": "*HQ,"}
    assert frame["explain"][-1]["field"] == "structure"
    assert next(row["unit"] for row in frame["explain"] if row["field"] == "speed_kmh") == "km/h"


def test_a_frame_that_cannot_be_read_is_said_to_be() -> None:
    text = b"*HQ,8800123456,V1,101112,A,9930.2500,N,00007.6500,W,019.71,045,150126,FFFFFFFF#"
    (frame,) = explained([text.hex()])
    assert [row["field"] for row in frame["explain"]] == ["unreadable"]
    assert frame["rejected"].startswith("bad_coordinates")
