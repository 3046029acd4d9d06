"""The short form of `make bench-analytics`: 5 million positions, weighed, every report asked beside live inserts."""

from __future__ import annotations

from pathlib import Path

from schemas.queries import load_queries
from tests.analytics.measure import BYTES_PER_POSITION, QUESTION, Size, run

SLACK = 5.0
"""Other tests run beside this one: a bound counts as broken when it is missed by far, as by a query that reads it all."""


def test_five_million_positions_are_small_and_every_report_is_answered_in_time(tmp_path: Path) -> None:
    told: list[str] = []
    result = run(tmp_path, Size(5_000_000, 500), told.append, runs=3)
    print("\n".join(told))
    assert 8 < result["weight"]["bytes_per_position"] <= BYTES_PER_POSITION
    assert result["weight"]["rows"] > 4_900_000
    assert {f"{name}, {QUESTION}" for name in load_queries()} <= set(result["times"])
    for label, row in result["times"].items():
        assert row["rows"] > 0, label
        if row["bound_s"]:
            assert row["median_s"] < SLACK * row["bound_s"], label
    assert any("rows/s in blocks" in line and ", 0 blocks" not in line for line in told)
