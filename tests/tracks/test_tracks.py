"""The short form of `make tracks`: bounds that hold on two tracks of every receiver."""

from __future__ import annotations

import pytest

from tests.tracks.__main__ import judged, percentile, receivers
from tests.tracks.model import Receiver


@pytest.mark.parametrize("receiver", receivers(), ids=lambda receiver: receiver.name)
def test_stops_are_found_within_one_interval_and_none_is_invented(receiver: Receiver) -> None:
    verdict = judged(receiver, range(2), 16.0)
    assert verdict.stops >= 10
    assert verdict.found >= 0.88 * verdict.stops, verdict.misses
    assert verdict.invented_stops == 0, verdict.misses
    assert verdict.invented_trips <= 1, verdict.misses
    assert percentile(verdict.begin_errors, 0.5) <= 0.7
    if receiver.interval_s <= 30:
        assert percentile([abs(error) for error in verdict.distance_errors], 0.5) <= 0.1


def test_the_judge_sees_what_is_wrong() -> None:
    blind = Receiver("one fix in ten minutes", 600, speed="none")
    coarse = judged(blind, range(1), 12.0)
    noisy = judged(Receiver("a wander of 150 m", 10, wander_m=150.0, speed="none"), range(1), 12.0)
    assert coarse.stops < noisy.stops
    assert noisy.found < noisy.stops or noisy.invented_trips
    assert noisy.misses
