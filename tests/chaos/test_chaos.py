"""kill -9 of every part under load: each answered frame is queryable exactly once, events equal an undisturbed run.

The short form (CI) kills each part once; LODESTREAM_CHAOS=long kills for two minutes. The seed is printed.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.traffic import Ledger, Tracker, drive, fleet
from tests.integration.line import Line, running_line, wait_until

LONG = os.environ.get("LODESTREAM_CHAOS") == "long"
SEED = int(os.environ.get("LODESTREAM_SEED", "7"))
DEVICES = 400
FRAMES = 60 if LONG else 15
PAUSE_S = 1.5 if LONG else 1.0
KILLS = 24 if LONG else 4
LEAST_ANSWERED = 5_000
PRESENCE = ("device_online", "device_offline", "device_unknown", "device_inactive")
"""Told by arrival and by connections, which the kills cut: no two runs have them at the same times."""
START = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=5)).replace(second=0, microsecond=0)


class Killer(threading.Thread):
    """Kills parts, one after the other in a seeded order, and starts them again a moment later."""

    def __init__(self, line: Line, kills: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.line = line
        self.rng = random.Random(seed)
        parts = ["track", "gateway", "sink", "kafka"]
        self.plan = [part for _ in range((kills + 3) // 4) for part in self.rng.sample(parts, 4)][:kills]
        self.done: list[str] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            time.sleep(2)
            for part in self.plan:
                self._kill(part)
                self.done.append(part)
                time.sleep(self.rng.uniform(1.0, 3.0))
        except BaseException as error:
            self.error = error

    def _kill(self, part: str) -> None:
        if part == "kafka":
            self.line.kafka.kill()
            time.sleep(self.rng.uniform(0.2, 1.5))
            self.line.kafka.start()
            return
        child = getattr(self.line, part)
        child.kill()
        time.sleep(self.rng.uniform(0.1, 1.0))
        child.start()


def restart_fallen(line: Line, stop: threading.Event, fallen: list[tuple[str, int | None]]) -> None:
    """What a supervisor does: a part that ended by itself is started again (and noted)."""
    while not stop.wait(0.5):
        for child in (line.gateway, line.track, line.sink):
            if child.exit_code is not None and child.exit_code not in (0, -9):
                fallen.append((child.name, child.exit_code))
                child.start()


def run(path: Path, kills: int) -> tuple[Ledger, list[Tracker], dict[str, Any]]:
    """One run: traffic, kills, then everything that ClickHouse shows."""
    trackers = fleet(DEVICES, FRAMES, SEED, START)
    environment = {"WORKER_SPEED_LIMIT_KMH": "100", "WORKER_SNAPSHOT_S": "30"}
    with running_line(path, **environment) as line:
        killer, stop, fallen = Killer(line, kills, SEED), threading.Event(), []
        supervisor = threading.Thread(target=restart_fallen, args=(line, stop, fallen), daemon=True)
        if kills:
            killer.start()
            supervisor.start()
        ledger = asyncio.run(drive(line.port, trackers, PAUSE_S if kills else 0.05))
        if kills:
            killer.join(120)
            assert killer.error is None, killer.error
            assert not killer.is_alive()
        wanted = len(ledger.reports)
        count = "SELECT count() FROM lodestream.positions"
        wait_until(lambda: line.query(count)[0][0] >= wanted, 60, f"{wanted} positions (found {line.query(count)})")
        time.sleep(3)
        stop.set()
        shown = {
            "positions": line.query(
                "SELECT device_id, toUnixTimestamp64Milli(time_ms), latitude, longitude, speed_kmh, ignition, moving, "
                "flags, alarms FROM lodestream.positions ORDER BY 1, 2"
            ),
            "events": line.query(
                "SELECT device_id, kind, toUnixTimestamp64Milli(time_ms), subject, latitude, longitude, attributes "
                f"FROM lodestream.events WHERE kind NOT IN {PRESENCE} ORDER BY 1, 3, 2, 4"
            ),
            "rejected": line.query("SELECT reason, count() FROM lodestream.rejected GROUP BY reason"),
            "killed": list(killer.done),
            "fallen": fallen,
        }
    return ledger, trackers, shown


@pytest.mark.timeout(600)
def test_kill_minus_nine_of_every_part_loses_nothing_and_shows_nothing_twice(tmp_path: Path) -> None:
    ledger, trackers, shown = run(tmp_path / "disturbed", KILLS)
    found: dict[tuple[str, int], int] = {}
    for row in shown["positions"]:
        found[row[0], row[1]] = found.get((row[0], row[1]), 0) + 1
    answered = sum(len(t.frames) for t in trackers)
    print(
        f"seed {SEED}, killed {', '.join(shown['killed'])}, ended by themselves {shown['fallen']}: answered "
        f"{ledger.answered}, answered with position {len(ledger.reports)}, sent again {ledger.resent}, "
        f"found {len(found)}, events {len(shown['events'])}"
    )
    assert ledger.answered == answered
    assert len(ledger.reports) >= LEAST_ANSWERED
    assert ledger.resent > 0, "no connection was ever disturbed: the run proves nothing"
    assert set(shown["killed"]) == {"gateway", "track", "sink", "kafka"}
    assert set(found) == set(ledger.reports)
    assert all(count == 1 for count in found.values())
    assert shown["rejected"] == []
    _, _, calm = run(tmp_path / "undisturbed", 0)
    assert len(calm["events"]) > 500
    assert shown["positions"] == calm["positions"]
    assert shown["events"] == calm["events"]
