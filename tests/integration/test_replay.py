"""A decoder that was wrong is mended and history replayed: then it equals what the right one would have stored, row for row,
events too, while live traffic goes on, and with the replay killed in between."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from processors.derive.geometry import distance_m
from processors.derive.rules import Parameters
from processors.partition import Partition
from processors.rulebook import RuleBook
from schemas.records import FrameBatch
from schemas.topics import FRAMES
from tests.chaos.traffic import drive, fleet
from tests.integration.line import ROOT, Line, running_line, wait_until
from tests.integration.test_cli import lodestream
from tests.integration.test_track import read_all

PARTITIONS = 2
BEHIND_S = 3
SPEED_LIMIT = 100
DEVICES, FRAMES_EACH = 60, 25
START = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=2)).replace(second=0, microsecond=0)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    environment = {"WORKER_SPEED_LIMIT_KMH": str(SPEED_LIMIT), "GATEWAY_TICK_S": "1"}
    with running_line(tmp_path_factory.mktemp("replay"), partitions=PARTITIONS, **environment) as started:
        yield started


def right(line: Line, before_ms: int) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
    """(positions, events) of the whole log as the right decoders give them, of what arrived before a moment."""
    positions, events = set(), set()
    rules = RuleBook(Parameters(speed_limit_kmh=float(SPEED_LIMIT))).rules()
    for number in range(PARTITIONS):
        partition = Partition(number, "")
        for offset, batch in enumerate(read_all(line, FRAMES, number, FrameBatch)):
            outputs = partition.process([(offset, batch)], rules, 0)
            partition.apply(outputs.receipt, offset)
            p = outputs.receipt.positions
            for i, device_id in enumerate(p.device_id):
                if p.received_ms[i] < before_ms:
                    speed = None if p.speed_x10[i] == 65535 else p.speed_x10[i] / 10
                    place = (round(p.latitude_e7[i] / 1e7, 7), round(p.longitude_e7[i] / 1e7, 7))
                    positions.add((device_id, p.time_ms[i], *place, speed, p.flags[i], p.moving[i], p.alarms[i]))
            for found in outputs.events:
                e = found.events
                for i, device_id in enumerate(e.device_id):
                    if e.received_ms[i] < before_ms:
                        events.add((device_id, e.kind[i], e.time_ms[i], e.subject[i], e.attributes[i] or "{}"))
    return positions, events


def stored(line: Line, before_ms: int) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]], int]:
    """The same as ClickHouse shows it, and how many rows that is."""
    limit = f"received_ms < fromUnixTimestamp64Milli({before_ms}, 'UTC')"
    rows = line.query(
        "SELECT device_id, toUnixTimestamp64Milli(time_ms), round(latitude, 7), round(longitude, 7), speed_kmh, flags, "
        f"ifNull(toUInt8(moving), 255), arrayStringConcat(alarms, ',') FROM lodestream.positions WHERE {limit}"
    )
    events = line.query(
        "SELECT device_id, kind, toUnixTimestamp64Milli(time_ms), subject, attributes FROM lodestream.events "
        f"WHERE {limit}"
    )
    return set(rows), set(events), len(rows) + len(events)


def replay(line: Line, *options: str, code: int = 0) -> str:
    where = ("--kafka", line.kafka.bootstrap, "--clickhouse", line.url, "--behind", str(BEHIND_S))
    return lodestream("replay", *where, "--speed-limit", str(SPEED_LIMIT), *options, code=code)


def by_hand(line: Line, device_ids: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """The view daily of some devices, computed from the rows of positions."""
    days: dict[tuple[str, dt.date], list[Any]] = {}
    for device_id, time_ms, latitude, longitude, moving in line.query(
        "SELECT device_id, time_ms, latitude, longitude, moving FROM lodestream.positions "
        f"WHERE device_id IN {device_ids} ORDER BY device_id, time_ms"
    ):
        days.setdefault((device_id, time_ms.date()), []).append((latitude, longitude, moving))
    found = []
    for (device_id, _), rows in sorted(days.items()):
        legs = [distance_m(*(round(value * 1e7) for value in (*a[:2], *b[:2]))) for a, b in pairwise(rows) if b[2]]
        found.append((device_id, len(rows), len(rows), pytest.approx(sum(legs), rel=0.005, abs=1)))
    return found


def as_json(out: str) -> dict[str, Any]:
    """The result among the lines of progress."""
    found: dict[str, Any] = json.loads(next(text for text in out.splitlines() if text.startswith("{")))
    return found


def test_history_equals_what_the_right_decoder_would_have_stored(line: Line) -> None:
    line.track.stop()
    line.track._arguments = ["tests.integration.broken_worker"]
    line.track.start()
    ledger = asyncio.run(drive(line.port, fleet(DEVICES, FRAMES_EACH, 3, START), 0.05))
    assert ledger.answered == DEVICES * FRAMES_EACH
    sent = sum(1 for _ in ledger.reports)
    refused = "SELECT count() FROM lodestream.rejected WHERE detail LIKE '%broken on purpose%'"
    wait_until(lambda: line.query(refused)[0][0] >= FRAMES_EACH, 30, "refused frames")
    wait_until(
        lambda: line.query("SELECT count() FROM lodestream.positions")[0][0] + line.query(refused)[0][0] >= sent,
        30,
        "rows",
    )
    time.sleep(2)
    line.track.stop()
    line.track._arguments = ["processors"]
    line.track.start()
    time.sleep(BEHIND_S + 2)
    to_ms = (round(time.time() * 1000) - BEHIND_S * 1000) // 1000 * 1000
    to = dt.datetime.fromtimestamp(to_ms / 1000, dt.UTC).isoformat()
    wrong = stored(line, to_ms)
    expected = right(line, to_ms)
    assert wrong[0] != expected[0]
    assert wrong[1] != expected[1]

    # what was rejected, for people
    out = lodestream("rejected", "--clickhouse", line.url, "--since", "1h")
    assert "h02  bad_coordinates  from 127.0.0.1, " in out
    assert "broken on purpose" in out
    assert "0000  2a 48 51 2c" in out  # *HQ,
    (group,) = map(json.loads, lodestream("rejected", "--clickhouse", line.url, "--format", "json").splitlines())
    assert group["count"] >= FRAMES_EACH
    assert "nothing was rejected" in lodestream("rejected", "--clickhouse", line.url, "--protocol", "gt06")
    assert "unknown reason" in lodestream("rejected", "--clickhouse", line.url, "--reason", "x", code=2)

    # tried again alone: a first run takes only what was refused
    again = as_json(replay(line, "--to", to, "--rejected", "--format", "json"))
    assert again["positions"] == {"h02": group["count"]}
    assert again["withdrawn"]["rejected"] == group["count"]
    assert line.query(refused) == [(0,)]
    after = stored(line, to_ms)
    assert wrong[0] < after[0]
    assert len(after[0]) == len(wrong[0]) + group["count"]
    wrong = after

    # what a dry run says
    dry = as_json(replay(line, "--to", to, "--dry-run", "--format", "json"))
    appear, _, vanish = dry["positions"]["groups"]["h02"]
    assert appear > 0
    assert vanish > 0
    assert stored(line, to_ms) == wrong

    # live traffic goes on while it runs
    live = fleet(20, 20, 99, START + dt.timedelta(minutes=40))
    answered: list[int] = []
    traffic = threading.Thread(target=lambda: answered.append(asyncio.run(drive(line.port, live, 0.4)).answered))
    traffic.start()

    # killed in the middle, and gone on with
    command = [
        sys.executable,
        "-m",
        "deploy.cli.main",
        "replay",
        "--kafka",
        line.kafka.bootstrap,
        "--clickhouse",
        line.url,
    ]
    command += ["--behind", str(BEHIND_S), "--speed-limit", str(SPEED_LIMIT), "--to", to]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as killed:
        assert killed.stderr is not None
        assert killed.stderr.readline().startswith("run 2:")
        time.sleep(random.Random(1).uniform(0.2, 1.0))
        killed.kill()
    out = replay(line, "--resume", "2", "--format", "json")
    result = as_json(out)
    assert result["run"] == 2
    assert result["withdrawn"]["positions"] > 0
    found = stored(line, to_ms)
    assert found[0] == expected[0]
    assert found[1] == expected[1]
    assert found[2] == len(found[0]) + len(found[1]), "a row is shown twice"
    assert line.query(refused) == [(0,)]
    assert line.query("SELECT countIf(replayed) > 0 FROM lodestream.events") == [(1,)]

    quiet = tuple(tracker.device_id for tracker in fleet(DEVICES, 1, 3, START)[len(live) :])  # no live traffic of these
    columns = "device_id, positions, fixes, distance_m"
    daily = line.query(f"SELECT {columns} FROM lodestream.daily WHERE device_id IN {quiet} ORDER BY device_id, day")
    assert daily == by_hand(line, quiet)

    # it is finished, and further ones change nothing
    assert "run 2 is finished" in replay(line, "--resume", "2", code=2)
    assert "nothing would change" in replay(line, "--to", to, "--dry-run")
    replay(line, "--to", to)
    assert stored(line, to_ms) == found
    assert "finished" in replay(line, "--list")

    # the live devices lost nothing, and `latest` is right
    traffic.join(60)
    assert answered == [20 * 20]
    since = f"SELECT count() FROM lodestream.positions WHERE received_ms >= fromUnixTimestamp64Milli({to_ms}, 'UTC')"
    wait_until(lambda: line.query(since)[0][0] == 20 * 20, 30, "live rows")
    time.sleep(1)
    newest = "SELECT device_id, max(time_ms) FROM lodestream.positions WHERE valid GROUP BY device_id ORDER BY 1"
    assert line.query("SELECT device_id, time_ms FROM lodestream.latest ORDER BY 1") == line.query(newest)
    assert line.query("SELECT count() FROM lodestream.latest WHERE latitude < 0") == [(0,)]
