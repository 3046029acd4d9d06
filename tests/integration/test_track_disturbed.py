"""The track agent under kill -9, a second worker, a broker restart and a stop longer than its session: the same log of
frames gives the same events, state by state, as a run in one process that nothing disturbs."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from schemas import codec
from schemas.records import EventBatch, PositionBatch
from schemas.topics import EVENTS, GEOFENCES, POSITIONS
from tests.integration.line import Child, Line, running_line, wait_until
from tests.integration.test_track import processed, produce, produce_rule, read_all
from tests.property.partition_log import FENCE, drive, undisturbed

PARTITIONS = 4
RECORDS = 120
SESSION_S = 6
LOG_S = 30.0


def rows_of(table: Any) -> list[tuple[Any, ...]]:
    return list(zip(*(getattr(table, name) for name in type(table).__slots__), strict=True))


class Disturber(threading.Thread):
    """One disturbance after the other while records arrive; notes what it did."""

    def __init__(self, line: Line, seed: int) -> None:
        super().__init__(daemon=True)
        self.line = line
        self.rng = random.Random(seed)
        self.second: Child | None = None
        self.done: list[str] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for act in (
                self.kill,
                self.add_worker,
                self.freeze,
                self.kill,
                self.restart_broker,
                self.lose_worker,
                self.kill,
            ):
                time.sleep(self.rng.uniform(0.5, 2.0))
                act()
                self.done.append(act.__name__)
        except BaseException as error:
            self.error = error

    def kill(self) -> None:
        self.line.track.kill()
        self.line.track.start()

    def add_worker(self) -> None:
        self.second = self.line.new_worker("track", "1")
        self.second.start()

    def lose_worker(self) -> None:
        assert self.second is not None
        self.second.kill()

    def freeze(self) -> None:
        """Longer than the session: the others get its partitions, and it wakes with work half done."""
        self.line.track.signal(signal.SIGSTOP)
        time.sleep(SESSION_S + 2)
        self.line.track.signal(signal.SIGCONT)

    def restart_broker(self) -> None:
        self.line.kafka.kill()
        self.line.kafka.start()


def keep_running(line: Line, disturber: Disturber, stop: threading.Event) -> None:
    """What a supervisor does: a worker that ended by itself is started again."""
    while not stop.wait(0.3):
        for child in (line.track, disturber.second):
            if child is not None and child.exit_code not in (None, 0, -9):
                child.start()


@pytest.mark.timeout(280)
def test_a_disturbed_run_gives_the_events_of_an_undisturbed_one(tmp_path: Path) -> None:
    logs = {p: drive(100 + p, RECORDS * 4, f"08801234{p}0")[:RECORDS] for p in range(PARTITIONS)}
    environment = {
        "WORKER_SPEED_LIMIT_KMH": "50",
        "WORKER_SESSION_TIMEOUT_S": str(SESSION_S),
        "WORKER_SNAPSHOT_S": "20",
        "WORKER_UNPACKED_DEVICES": "2",
    }
    with running_line(tmp_path, partitions=PARTITIONS, with_gateway=False, **environment) as line:
        produce_rule(line, GEOFENCES, FENCE.geofence_id, FENCE)
        time.sleep(2)  # the rules are followed within a second or two
        disturber, stop = Disturber(line, 3), threading.Event()
        keeper = threading.Thread(target=keep_running, args=(line, disturber, stop), daemon=True)
        disturber.start()
        keeper.start()
        try:
            for number in range(RECORDS):
                for partition, records in logs.items():
                    produce(line, [codec.encode(records[number])], partition)
                time.sleep(max(0.0, LOG_S / RECORDS - 0.2))
            disturber.join(120)
            assert disturber.error is None, disturber.error
            for partition in logs:
                wait_until(lambda p=partition: processed(line, p) == RECORDS, 60, f"frames-{partition} processed")
        finally:
            stop.set()
            keeper.join(20)
            if disturber.second is not None and disturber.second.exit_code is None:
                disturber.second.kill()
        written = {
            p: (read_all(line, EVENTS, p, EventBatch), read_all(line, POSITIONS, p, PositionBatch)) for p in logs
        }
        shown = line.query("SELECT count() FROM lodestream.events")[0][0]
        repeated, kinds = 0, Counter[str]()
        for partition, records in logs.items():
            calm, state = undisturbed(records)
            expected = calm.rows()
            events = [row for batch in written[partition][0] for row in rows_of(batch.events)]
            positions = [row for batch in written[partition][1] for row in rows_of(batch.positions)]
            found = {("event", *row[:4]): row for row in events}
            found |= {("position", row[0], row[2], row[3]): row for row in positions}
            assert found == {key: row for key, row in expected.items() if key[0] != "rejected"}
            repeated += len(events) + len(positions) - len(found)
            kinds.update(row[1] for key, row in expected.items() if key[0] == "event")
            assert state.clock.now_ms == max(batch.now_ms for batch in written[partition][1])
        wait_until(
            lambda: line.query("SELECT count() FROM lodestream.events")[0][0] == kinds.total(), 30, f"events ({shown})"
        )
        print(f"{', '.join(disturber.done)}: {kinds.total()} events, {repeated} rows written again, {dict(kinds)}")
    assert {"device_unknown", "device_online", "device_offline", "geofence_dwell", "geofence_exited"} <= kinds.keys()
    assert {"device_moving", "device_stopped", "overspeed_ended", "alarm_raised", "ignition_on"} <= kinds.keys()
    assert repeated > 0, "no range was ever worked on twice: the run proves nothing"
