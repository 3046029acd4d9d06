"""Every golden frame comes out as its file says: detected, split, identified, answered and decoded."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from gateway.protocols.registry import MODULES, detect
from processors.decoders.registry import DECODERS
from tests.frames.golden import CASES, load, reply_right, run, wrong_fields


def named(paths: list[Path]) -> list[ParameterSet]:
    return [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in paths]


def test_cases_exist_for_every_protocol() -> None:
    assert {module.NAME for module in MODULES} == set(DECODERS)
    assert set(DECODERS) <= {path.parent.name for path in CASES}


@pytest.mark.parametrize("path", named(CASES))
def test_detected(path: Path) -> None:
    case = load(path)
    assert case["source"]
    first = bytes.fromhex((case.get("setup") or case["chunks"])[0])
    found = detect(first, 0, case["transport"], True).module
    assert (found.NAME if found else "") == case["expect"].get("detected", case["expect"]["protocol"])


@pytest.mark.parametrize("path", named([path for path in CASES if load(path)["expect"]["protocol"]]))
def test_frames(path: Path) -> None:
    case = load(path)
    expect = case["expect"]
    seen = run(case)
    assert len(seen) == expect["frames"], [frame.payload for frame in seen]
    if "device_id" in expect:
        wanted_ids = expect["device_id"]
        wanted_ids = wanted_ids if isinstance(wanted_ids, list) else [wanted_ids] * len(seen)
        assert [frame.device_id for frame in seen] == wanted_ids
    if "replies" in expect:
        assert len(expect["replies"]) == len(seen)
        for wanted, frame in zip(expect["replies"], seen, strict=True):
            assert reply_right(wanted, frame.reply), (wanted, frame.reply)
    assert [frame.rejected for frame in seen if frame.rejected] == expect.get("rejected_for", [])
    assert any(frame.rejected for frame in seen) == expect.get("rejected", False)
    positions = [position for frame in seen for position in frame.positions]
    wanted_positions = expect.get("positions", [])
    assert len(positions) == len(wanted_positions), positions
    for wanted_position, position in zip(wanted_positions, positions, strict=True):
        assert wrong_fields(wanted_position, position) == []
