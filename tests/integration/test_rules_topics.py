"""Devices, groups and geofences from files and commands to the workers: within seconds, without a restart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from deploy.local.kafka import LocalKafka
from processors.agents.rules import RulesReader
from processors.derive.rules import Rules
from processors.settings import WorkerSettings
from schemas.clients.kafka import create_topics
from tests.integration.kafka_server import kafka_server
from tests.integration.test_cli import lodestream

SEEN_S = 2.0


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    with kafka_server(tmp_path_factory.mktemp("rules")) as started:
        asyncio.run(create_topics(started.bootstrap, 2, 1))
        yield started


@asynccontextmanager
async def reader(kafka: LocalKafka) -> AsyncIterator[RulesReader]:
    rules = RulesReader(WorkerSettings(kafka_bootstrap=kafka.bootstrap))
    await rules.load()
    task = asyncio.create_task(rules.follow())
    try:
        yield rules
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await rules.stop()


async def seen(rules: RulesReader, check: Callable[[Rules], bool]) -> None:
    async with asyncio.timeout(SEEN_S):
        while not check(rules.current):
            await asyncio.sleep(0.05)


FENCE = {
    "type": "Feature",
    "id": "depot",
    "geometry": {"type": "Point", "coordinates": [10, 50]},
    "properties": {"radius_m": 200, "name": "Depot"},
}


def test_what_is_written_is_seen_within_seconds_and_after_a_restart(kafka: LocalKafka, tmp_path: Path) -> None:
    where = ("--kafka", kafka.bootstrap)
    fleet = tmp_path / "fleet.csv"
    fleet.write_text("device_id,name,group_id,aliases,speed_limit_kmh\n1,Van,vans,h02:77,90\n2,,vans,,\n3,,,,50\n")

    async def told(*arguments: str, typed: str | None = None) -> str:
        return await asyncio.to_thread(lambda: lodestream(*arguments, *where, typed=typed))

    async def steps() -> Rules:
        async with reader(kafka) as rules:
            assert "3 added, 0 changed, 0 unchanged" in await told("devices", "import", str(fleet))
            await seen(rules, lambda r: r.parameters("1").speed_limit_kmh == 90)
            assert rules.current.parameters("1").speed_limit_source == "device"
            await told("groups", "set", "vans", "--parameter", "speed_limit_kmh=70")
            await seen(rules, lambda r: r.parameters("2").speed_limit_kmh == 70)
            assert rules.current.parameters("1").speed_limit_kmh == 90
            await told("geofences", "import", "-", typed=json.dumps(FENCE))
            await seen(rules, lambda r: bool(r.fences.containing(500_000_000, 100_000_000)))
            await told("devices", "set", "1", "--unset", "speed_limit_kmh", "--parameter", "inactive_after_s=off")
            await seen(rules, lambda r: r.parameters("1").inactive_after_s is None)
            assert rules.current.parameters("1").speed_limit_kmh == 70
            assert "0 added, 1 changed, 2 unchanged" in await told("devices", "import", str(fleet))
            fleet.write_text("device_id\n3\n")
            assert "0 added, 1 changed, 0 unchanged, 2 removed" in await told(
                "devices", "import", str(fleet), "--replace"
            )
            await seen(rules, lambda r: "1" not in r.registered and r.parameters("3").speed_limit_kmh is None)
            await told("geofences", "delete", "depot")
            await seen(rules, lambda r: not r.fences.fences)
            await told("devices", "alias", "3", "gt06:123")
            await rules.catch_up()
            return rules.current

    current = asyncio.run(steps())

    async def again() -> Rules:
        async with reader(kafka) as rules:
            return rules.current

    after = asyncio.run(again())
    assert after.revision == current.revision
    assert (after.devices, dict(after.groups), set(after.registered)) == ({}, {}, {"3"})
    assert after.fences.revision == current.fences.revision == 2
    out = lodestream("devices", "list", *where)
    assert "gt06:123" in out
    assert json.loads(lodestream("groups", "list", "--format", "json", *where))["parameters"] == {
        "speed_limit_kmh": 70.0
    }
    assert "no geofences" in lodestream("geofences", "list", *where)
    assert lodestream("devices", "list", "--format", "csv", *where).splitlines() == [
        "device_id,name,group_id,aliases",
        "3,,,gt06:123",
    ]


def test_mistakes_are_one_message_and_change_nothing(kafka: LocalKafka, tmp_path: Path) -> None:
    where = ("--kafka", kafka.bootstrap)
    bad = tmp_path / "bad.json"
    bad.write_text('[{"device_id": "ok"}, {"device_id": "a b"}, {"device_id": "c", "parameters": {"x": 1}}]')
    out = lodestream("devices", "import", str(bad), *where, code=2)
    assert "entry 2 'a b'" in out
    assert "entry 3 'c': unknown parameter 'x'" in out
    assert "nothing was changed" in out
    assert "ok" not in lodestream("devices", "list", *where)
    assert "cannot read" in lodestream("devices", "import", "/nowhere", *where, code=2)
    assert "there is no nobody" in lodestream("devices", "delete", "nobody", *where, code=2)
    assert "is not NAME=VALUE" in lodestream("groups", "set", "g", "--parameter", "speed", *where, code=2)
    assert "has no parameter" in lodestream("groups", "set", "g", "--unset", "speed_limit_kmh", *where, code=2)
    assert "none of" in lodestream("devices", "alias", "3", "xx:1", *where, code=2)
    lodestream("devices", "alias", "3", "h02:5", *where)
    assert "claimed by 3 and 4" in lodestream("devices", "alias", "4", "h02:5", *where, code=2)
    lodestream("devices", "alias", "3", "h02:5", "--remove", *where)
    lodestream("devices", "alias", "4", "h02:5", *where)
    assert "no Kafka broker answers" in lodestream("devices", "list", "--kafka", "127.0.0.1:1", code=2)


def test_a_hundred_thousand_records_take_seconds(kafka: LocalKafka, tmp_path: Path) -> None:
    where = ("--kafka", kafka.bootstrap)
    many = tmp_path / "many.csv"
    many.write_text("device_id,group_id\n" + "".join(f"{n:015},g{n % 7}\n" for n in range(100_000)))
    assert "100,000 added" in lodestream("devices", "import", str(many), *where)

    async def load() -> float:
        started = asyncio.get_running_loop().time()
        async with reader(kafka) as rules:
            assert len(rules.current.groups) == 100_000
            return asyncio.get_running_loop().time() - started

    assert asyncio.run(load()) < 20
