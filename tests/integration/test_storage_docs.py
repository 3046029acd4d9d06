"""Every statement of docs/storage.md that the embedded engine can run does what the page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.clients import clickhouse
from tests.integration.clickhouse_server import ROOT, clickhouse_server
from tests.integration.line import wait_until

BLOCK = re.compile(r"```sql\n(.*?)```", re.DOTALL)
NAMED_WEEK = "2026-09-07"
DEVICE, FORGOTTEN = "356938035643801", "356938035643809"
NAMES = ["device_id", "protocol", "time_ms", "frame_key", "valid", "latitude_e7", "longitude_e7", "delay_ds"]
TYPES = ["String", "String", "DateTime64(3, 'UTC')", "UInt32", "UInt8", "Int32", "Int32", "Int64"]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Any]:
    with clickhouse_server(tmp_path / "clickhouse") as url:
        connected = clickhouse.connect(url)
        clickhouse.migrate(connected)
        yield connected
        connected.close()


def insert(client: Any, device: str, at: datetime) -> None:
    at_ms = round(at.timestamp() * 1000)
    row = [device, "h02", at_ms, at_ms % 65536, 1, 515_000_000, -1_000_000, 10]
    client.insert("positions_raw", [row], column_names=NAMES, column_type_names=TYPES)


def test_the_statements_of_the_page_do_what_it_says(client: Any) -> None:
    now = datetime.now(UTC)
    week = (now - timedelta(days=70)).replace(hour=12, minute=0, second=0, microsecond=0)
    week -= timedelta(days=week.weekday())
    for day in range(3):
        insert(client, DEVICE, week + timedelta(days=day))
        insert(client, FORGOTTEN, week + timedelta(days=day))
    insert(client, DEVICE, now - timedelta(days=500))
    parts = "SELECT count() FROM system.parts WHERE active AND table = 'positions_raw' AND partition = {week:String}"

    def count(condition: str = "1") -> int:
        return int(client.command(f"SELECT count() FROM positions WHERE {condition}"))

    def parts_of_week() -> int:
        return int(client.command(parts, parameters={"week": f"{week:%Y-%m-%d}"}))

    assert count() == 7
    text = (ROOT / "docs" / "storage.md").read_text().replace(NAMED_WEEK, f"{week:%Y-%m-%d}")
    limits, forget, pack, away = (
        [statement.strip() for statement in block.split(";") if statement.strip()] for block in BLOCK.findall(text)
    )

    for statement in limits:
        client.command(statement)
    wait_until(lambda: count() == 6, 30, "the row of 500 days ago has gone")
    assert clickhouse.migrate(client) == []
    assert "400" in client.command("SHOW CREATE TABLE positions_raw")

    for statement in forget:
        client.command(statement)
    wait_until(lambda: count(f"device_id = '{FORGOTTEN}'") == 0, 30, "the forgotten device has gone")
    assert count() == 3

    for statement in pack:
        client.command(statement)
    wait_until(lambda: parts_of_week() == 1, 30, "one part")
    assert count() == 3

    detach, attach = away
    client.command(detach)
    assert count() == 0
    client.command(attach)
    assert count() == 3
    client.command("ALTER TABLE positions_raw REMOVE TTL")
    assert "toIntervalDay" not in client.command("SHOW CREATE TABLE positions_raw")
