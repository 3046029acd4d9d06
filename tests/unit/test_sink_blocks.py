"""When blocks are due, what they hold, what they cover."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from processors.sink_metrics import SinkMetrics
from processors.sinks.blocks import BLOCKS_WAITING, MAX_CHUNKS, QUIET_FACTOR, Chunk, Collector
from processors.sinks.rows import Rows


def chunk(offset: int, *values: int, partition: int = 0, topic: str = "positions") -> Chunk:
    return Chunk(topic, partition, offset, Rows([list(values), [str(v) for v in values]], list(values)))


def collector(block_rows: int = 10) -> Collector:
    return Collector(interval_s=1.0, block_rows=block_rows)


def is_due(c: Collector, now_s: float) -> bool:
    due_s = c.due_s()
    return due_s is not None and due_s <= now_s


def test_first_rows_after_a_quiet_spell_go_at_once_then_one_block_an_interval() -> None:
    c = collector()
    assert c.due_s() is None
    c.add(chunk(0, 1), 100.0)
    assert is_due(c, 100.0)
    c.take(100.0)
    assert c.due_s() is None
    c.add(chunk(1, 2), 100.1)
    assert not is_due(c, 100.9)
    assert is_due(c, 101.0)
    c.take(101.0)
    c.add(chunk(2, 3), 107.0)
    assert is_due(c, 107.0)


def test_a_full_block_is_due_at_once() -> None:
    c = collector(block_rows=3)
    c.add(chunk(0, 1), 0.0)
    c.take(0.0)
    c.add(chunk(1, 2, 3), 0.1)
    assert not is_due(c, 0.1)
    c.add(chunk(2, 4), 0.1)
    assert is_due(c, 0.1)


def test_records_without_rows_wait_and_do_not_delay_rows() -> None:
    c = collector()
    c.add(chunk(0), 50.0)
    assert c.due_s() == 50.0 + QUIET_FACTOR
    c.take(60.0)
    c.add(chunk(1), 60.1)
    c.add(chunk(2, 5), 60.2)
    assert is_due(c, 60.2)


def test_a_block_joins_records_in_order_and_knows_what_it_covers() -> None:
    c = collector(block_rows=4)
    c.add(chunk(7, 1, 2), 0.0)
    c.add(chunk(3, partition=1), 0.0)
    c.add(chunk(8, 3, 4), 0.0)
    c.add(chunk(9, 5), 0.0)
    block = c.take(0.0)
    assert block.columns == [[1, 2, 3, 4], ["1", "2", "3", "4"]]
    assert block.covered == {("positions", 0): 9, ("positions", 1): 4}
    assert [x.offset for x in block.chunks] == [7, 3, 8]
    rest = c.take(0.0)
    assert (rest.count, rest.covered, c.rows) == (1, {("positions", 0): 10}, 0)
    with pytest.raises(IndexError):
        c.take(0.0)


def test_a_block_of_empty_records_has_no_rows_but_covers() -> None:
    c = collector()
    c.add(chunk(4), 0.0)
    block = c.take(9.0)
    assert (block.count, block.covered) == (0, {("positions", 0): 5})


def test_joining_leaves_the_records_as_they_were() -> None:
    c = collector()
    first, second = chunk(0, 1), chunk(1, 2)
    c.add(first, 0.0)
    c.add(second, 0.0)
    c.take(0.0)
    assert first.rows.columns == [[1], ["1"]]


def test_a_lost_partition_is_forgotten() -> None:
    c = collector()
    c.add(chunk(0, 1, 2), 0.0)
    c.add(chunk(0, 3, partition=1), 0.0)
    c.add(chunk(0, 4, topic="replay.positions"), 0.0)
    assert [x.count for x in c.drop("positions", 0)] == [2]
    assert c.rows == 2
    assert c.take(0.0).covered == {("positions", 1): 1, ("replay.positions", 0): 1}
    assert c.drop("positions", 0) == []


def test_room_is_bounded_by_rows_and_by_records() -> None:
    c = collector(block_rows=2)
    for offset in range(2 * BLOCKS_WAITING):
        assert c.has_room
        c.add(chunk(offset, 1), 0.0)
    assert not c.has_room
    c.take(0.0)
    c.add(chunk(99, 1), 0.0)
    assert c.rows == 2 * BLOCKS_WAITING - 1
    empty = collector()
    for offset in range(MAX_CHUNKS):
        assert empty.has_room
        empty.add(chunk(offset), 1000.0)
    assert not empty.has_room
    assert is_due(empty, 1000.0)


def test_ages_count_every_row_in_its_bucket() -> None:
    registry = CollectorRegistry()
    metrics = SinkMetrics(registry)
    metrics.ages.observe("positions", [10_000, 9_900, 9_000, 20_000], now_ms=10_000)
    name = "sink_receipt_to_queryable_seconds"

    def value(suffix: str, **labels: str) -> float | None:
        return registry.get_sample_value(name + suffix, {"table": "positions", **labels})

    assert value("_bucket", le="0.001") == 2
    assert value("_bucket", le="0.1") == 3
    assert value("_bucket", le="0.5") == 3
    assert value("_bucket", le="1.0") == 4
    assert value("_sum") == pytest.approx(1.1)
    assert value("_bucket", le="+Inf") == value("_count") == 4
