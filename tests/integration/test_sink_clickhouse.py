"""Sinks against the real engine: migrations, what views show, refused rows, offsets, outages, size and speed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import psutil
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from prometheus_client import CollectorRegistry

from processors.sink_metrics import SinkMetrics
from processors.sinks.clickhouse import Inserter, SinkError, Stopped
from processors.sinks.rows import ABSENT_I4, ABSENT_I8, EVENTS, POSITIONS, REJECTED, SESSIONS, WEEK_MS, TableSpec
from schemas.clients.clickhouse import MIGRATIONS_DIRECTORY, MigrationError, connect, migrate, pending
from schemas.records import EventBatch, Events, Positions, Rejected, RejectedBatch, SessionBatch, SessionRows, Source
from tests.integration.clickhouse_server import clickhouse_server, start, stop
from tests.integration.sink_fleet import START_MS, batch, device_track, merged

REFUSE = "ALTER TABLE positions_raw ADD COLUMN guard UInt8 DEFAULT throwIf({}, 'refused by the test')"
"""A default that throws while rows are inserted: the server then refuses the whole block."""

Fresh = tuple[Any, "Sinks"]


class Sinks:
    """Inserters of one database."""

    def __init__(self, url: str, database: str) -> None:
        self.registry = CollectorRegistry()
        self._metrics = SinkMetrics(self.registry)
        self._made: dict[str, Inserter] = {}
        self._connect = lambda: connect(url, database=database)

    def __getitem__(self, spec: TableSpec) -> Inserter:
        if spec.name not in self._made:
            self._made[spec.name] = Inserter(spec, self._connect, self._metrics)
        return self._made[spec.name]

    def positions(self, positions: Positions, version: int = 0) -> None:
        self[POSITIONS].store(POSITIONS.rows(batch(positions, version=version)).columns)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with clickhouse_server(tmp_path_factory.mktemp("clickhouse")) as address:
        yield address


@pytest.fixture
def fresh(url: str, request: pytest.FixtureRequest) -> Iterator[Fresh]:
    """A client and inserters of an empty, migrated database of this test's own."""
    database = f"t{abs(hash(request.node.name)):x}"
    client = connect(url, database=database)
    migrate(client)
    yield client, Sinks(url, database)
    client.command(f"DROP DATABASE {database}", use_database=False)
    client.close()


def report(**values: Any) -> Positions:
    """One position, ordinary where nothing else is said."""
    track = device_track(1, 1)
    for name, value in values.items():
        getattr(track, name)[0] = value
    return track


def table(client: Any, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in client.query(query).result_rows]


def test_migrations_apply_once_and_refuse_changes(url: str, tmp_path: Path) -> None:
    client = connect(url)
    seen: list[str] = []
    assert pending(client) == migrate(client, seen.append) == seen
    assert seen[0] == "0001_database.sql"
    assert migrate(client) == pending(client) == []
    recorded = table(client, "SELECT name, length(checksum), applied_ms > now() - 60 FROM migrations ORDER BY name")
    assert recorded == [(name, 64, 1) for name in seen]
    assert table(client, "SELECT engine FROM system.databases WHERE name = 'lodestream'") == [("Atomic",)]
    for path in MIGRATIONS_DIRECTORY.glob("*.sql"):
        (tmp_path / path.name).write_text(path.read_text())
    broken = f"{len(seen) + 1:04}_broken.sql"
    (tmp_path / broken).write_text("CREATE TABLE lodestream.fine (a Int8)\nENGINE = Memory;\n\nCREATE TABEL x;\n")
    with pytest.raises(MigrationError, match=rf"{broken}, statement 2: .*Syntax error"):
        migrate(client, directory=tmp_path)
    assert pending(client, tmp_path) == [broken]
    (tmp_path / broken).write_text("SELECT 1;\n")
    assert migrate(client, directory=tmp_path) == [broken]
    with pytest.raises(MigrationError, match=rf"newer version: {broken}"):
        pending(client)
    (tmp_path / "0004_events.sql").write_text("SELECT 2;\n")
    with pytest.raises(MigrationError, match=r"changed since .*0004_events.sql"):
        migrate(client, directory=tmp_path)
    (tmp_path / "0003_latest.sql").unlink()
    with pytest.raises(MigrationError, match="without a gap"):
        pending(client, tmp_path)


def test_repeats_corrections_and_withdrawals(fresh: Fresh) -> None:
    client, sinks = fresh
    track = device_track(2, 300)
    sinks.positions(track)
    sinks.positions(track)
    assert table(client, "SELECT count(), uniqExact(time_ms) FROM positions") == [(300, 300)]
    corrected = device_track(2, 300)
    corrected.speed_x10 = [777] * 300
    sinks.positions(corrected, version=5)
    sinks.positions(track)  # a repeat of the old rows does not undo it
    assert table(client, "SELECT count(), min(speed_kmh), max(speed_kmh) FROM positions") == [(300, 77.7, 77.7)]
    client.command(
        "INSERT INTO positions_raw (device_id, time_ms, frame_key, version, withdrawn) "
        "SELECT device_id, time_ms, frame_key, 6, 1 FROM positions_raw FINAL ORDER BY time_ms LIMIT 10"
    )
    assert table(client, "SELECT count() FROM positions") == [(290,)]
    client.command("OPTIMIZE TABLE positions_raw FINAL")
    assert table(client, "SELECT count() FROM positions") == [(290,)]
    arrivals = (
        "SELECT countIf(p.received_ms != r.arrival) FROM positions p JOIN positions_raw r USING device_id, time_ms"
    )
    assert table(client, arrivals) == [(0,)]


def test_the_view_shows_values_in_units_and_absent_as_null(fresh: Fresh) -> None:
    client, sinks = fresh
    full = report(
        time_ms=START_MS, received_ms=START_MS + 1987, fix_offset_ms=-500, device_offset_ms=3_600_000,
        hdop_x10=9, accuracy_x10=55,
        latitude_e7=-485_000_001, longitude_e7=1_799_999_999, alarms="sos,tow", flags=3,
        battery_mv=4123, fuel_percent_x10=505,
        cells='[{"mcc":208,"mnc":1,"lac":5,"cid":70000,"rssi":-70},{"mcc":208}]', wifi='[{"mac":"aa:bb","rssi":-60}]',
        attributes='{"io_1":2}', ignition=1, moving=0,
    )  # fmt: skip
    sinks.positions(full)
    (row,) = client.query("SELECT * FROM positions").named_results()
    shown = {name: row[name] for name in ("latitude", "longitude", "hdop", "accuracy_m", "battery_v", "fuel_percent")}
    assert shown == {
        **{"latitude": -48.5000001, "longitude": 179.9999999, "hdop": 0.9, "accuracy_m": 5.5},
        **{"battery_v": 4.123, "fuel_percent": 50.5},
    }
    assert [row["ignition"], row["moving"], row["valid"], row["alarms"]] == [True, False, True, ["sos", "tow"]]
    assert [c["cid"] for c in row["cells"]] == [70000, None]
    assert row["wifi"] == [{"mac": "aa:bb", "rssi": -60}]
    milliseconds = "toUnixTimestamp64Milli"
    times = ", ".join(f"{milliseconds}({c}) - {START_MS}" for c in ("fix_time_ms", "device_time_ms", "received_ms"))
    assert table(client, f"SELECT {times} FROM positions") == [(-500, 3_600_000, 1900)]
    limits = {"<u1": 255, "<i2": 32767, "<u2": 65535}
    nothing = report(
        device_id="empty", fix_offset_ms=ABSENT_I8, device_offset_ms=ABSENT_I8, latitude_e7=ABSENT_I4,
        longitude_e7=ABSENT_I4, altitude_m=limits["<i2"], rssi=limits["<i2"], odometer_m=2**32 - 1,
        valid=0, attributes="",
        **dict.fromkeys(("satellites", "hdop_x10", "ignition", "moving"), limits["<u1"]),
        **dict.fromkeys(("speed_x10", "course_x10", "accuracy_x10", "battery_percent_x10"), limits["<u2"]),
        **dict.fromkeys(("battery_mv", "power_mv", "fuel_percent_x10"), limits["<u2"]),
    )  # fmt: skip
    sinks.positions(nothing)
    (row,) = client.query("SELECT * FROM positions WHERE device_id = 'empty'").named_results()
    given = {name for name, value in row.items() if value is not None}
    assert given == {
        *("device_id", "protocol", "time_ms", "received_ms", "valid", "flags", "alarms", "cells", "wifi", "attributes")
    }
    assert [row["alarms"], row["cells"], row["wifi"], row["attributes"]] == [[], [], [], "{}"]


def test_hostile_dates_and_one_row_that_cannot_be_stored(fresh: Fresh) -> None:
    client, sinks = fresh
    track = device_track(3, 900)
    track.time_ms = [(i % 300) * WEEK_MS * 10 + i for i in range(900)]
    track.attributes[444] = "\udc80"
    track.time_ms[0], track.time_ms[1] = -(2**62), 2**62
    outcome = sinks[POSITIONS].store(POSITIONS.rows(batch(track)).columns)
    assert (outcome.stored, outcome.refused) == (899, 1)
    assert table(client, "SELECT count(), uniqExact(toMonday(time_ms)) FROM positions") == [(899, 301)]
    assert table(client, "SELECT countIf(bitAnd(flags, 16) = 16) FROM positions") == [(2,)]
    ((reason, device_id, payload, detail),) = table(client, "SELECT reason, device_id, payload, detail FROM rejected")
    assert (reason, device_id, json.loads(payload)["attributes"]) == ("sink", track.device_id[444], "\udc80")
    assert "surrogate" in detail


def test_a_block_is_halved_down_to_the_rows_that_the_server_refuses(fresh: Fresh) -> None:
    client, sinks = fresh
    client.command(REFUSE.format("odometer_m % 1000 = 13"))
    track = device_track(4, 4000)
    track.odometer_m = list(range(4000))
    for _ in range(2):  # a repeat finds the same rows again and files them once
        outcome = sinks[POSITIONS].store(POSITIONS.rows(batch(track)).columns)
        assert (outcome.stored, outcome.refused) == (3996, 4)
    assert table(client, "SELECT count() FROM positions") == [(3996,)]
    filed = table(client, "SELECT JSONExtractInt(payload, 'odometer_m') AS o, detail FROM rejected ORDER BY o")
    assert [o for o, _ in filed] == [13, 1013, 2013, 3013]
    assert all("refused by the test" in detail for _, detail in filed)
    assert sinks.registry.get_sample_value("sink_rejected_rows_total", {"table": "positions"}) == 8


def test_what_is_no_rows_fault_is_not_filed_away(fresh: Fresh) -> None:
    client, sinks = fresh
    client.command(REFUSE.format("odometer_m >= 0"))
    with pytest.raises(SinkError, match="refuses every row"):
        sinks[POSITIONS].store(POSITIONS.rows(batch(device_track(5, 4000))).columns)
    client.command("DROP TABLE latest_feed")
    client.command("DROP TABLE positions_raw")
    client.command("TRUNCATE TABLE rejected_raw")
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        sinks.positions(device_track(5, 10))
    assert table(client, "SELECT count() FROM rejected") == [(0,)]
    assert sinks[POSITIONS].next_offsets("positions") == {}


def test_offsets_never_go_back(fresh: Fresh) -> None:
    client, sinks = fresh
    for following in (5, 9, 7):
        sinks[POSITIONS].remember({("positions", "positions", 0): following, ("positions", "positions", 3): 1})
    sinks[POSITIONS].remember({("positions", "replay.positions", 0): 2})
    client.command("OPTIMIZE TABLE sink_offsets FINAL")
    assert sinks[POSITIONS].next_offsets("positions") == {0: 9, 3: 1}
    assert sinks[POSITIONS].next_offsets("replay.positions") == {0: 2}
    assert sinks[EVENTS].next_offsets("positions") == {}


def test_latest_is_the_newest_valid_fix_of_live_rows(fresh: Fresh) -> None:
    client, sinks = fresh

    def latest() -> list[tuple[Any, ...]]:
        return table(
            client, f"SELECT device_id, toUnixTimestamp64Milli(time_ms) - {START_MS}, odometer_m FROM latest ORDER BY 1"
        )

    def send(after_ms: int, odometer_m: int, version: int = 0, device_id: str = "a", **values: Any) -> None:
        received_ms = values.pop("received_ms", START_MS + after_ms + 1000)
        time_ms = START_MS + after_ms
        row = report(device_id=device_id, time_ms=time_ms, odometer_m=odometer_m, received_ms=received_ms, **values)
        sinks.positions(row, version)

    send(1000, 1)
    send(0, 2)  # late
    assert latest() == [("a", 1000, 1)]
    send(2000, 3, valid=0)
    send(3000, 4, latitude_e7=ABSENT_I4, longitude_e7=ABSENT_I4)
    send(4000, 5, version=7)
    send(3 * 86_400_000, 6, received_ms=START_MS)  # far in the future
    assert latest() == [("a", 1000, 1)]
    send(5000, 7, frame_key=10)
    send(5000, 8, frame_key=9)
    send(0, 9, device_id="b")
    assert latest() == [("a", 5000, 7), ("b", 0, 9)]
    client.command("OPTIMIZE TABLE latest_raw FINAL")
    assert latest() == [("a", 5000, 7), ("b", 0, 9)]


def test_events_rejected_and_sessions_show_one_row_each(fresh: Fresh) -> None:
    client, sinks = fresh
    source = Source(partition=2, first=5, last=5)
    event = Events(["d"] * 2, ["sos", "geofence_enter"], [START_MS] * 2, ["", "home"], [START_MS + 1234] * 2)
    event.latitude_e7, event.longitude_e7, event.replayed, event.attributes = (
        [1, ABSENT_I4],
        [2, ABSENT_I4],
        [0, 1],
        ["", "{}"],
    )
    bad = Rejected(["short"], [""], ["gt06"], ["d"], [START_MS], ["s"], ["1.2.3.4:5"], [5], [0], [b"\x78\x00\xff'\n"])
    session = SessionRows(**{f.name: [0, 0] for f in fields(SessionRows)})  # type: ignore[arg-type]
    for name in ("peer", "transport", "protocol", "device_id", "reason"):
        setattr(session, name, ["x", "x"])
    session.session_id, session.last_in, session.last_out = ["s1", "s1"], [b"\xff", b"\xfe"], [b"", b""]
    session.status, session.time_ms, session.opened_ms = ["closed", "active"], [START_MS, START_MS], [START_MS] * 2
    for spec, record in (
        (EVENTS, EventBatch(source, event)),
        (REJECTED, RejectedBatch(source, bad)),
        (SESSIONS, SessionBatch("gw", session)),
    ):
        for _ in range(2):
            sinks[spec].store(spec.rows(record).columns)
    shown = table(client, "SELECT kind, subject, latitude, replayed, attributes FROM events ORDER BY kind")
    assert shown == [("geofence_enter", "home", None, True, "{}"), ("sos", "", 1e-7, False, "{}")]
    assert table(client, "SELECT reason, frame_partition, frame_offset, hex(payload) FROM rejected") == [
        ("short", 2, 5, "7800FF270A")
    ]
    assert table(client, "SELECT status, gateway, hex(last_in) FROM sessions") == [("closed", "gw", "FF")]


def test_a_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    server = start(tmp_path / "data")
    try:
        migrate(connect(server.url))
        sinks = Sinks(server.url, "lodestream")
        sinks.positions(device_track(6, 10))
        stop(server)
        waiting = threading.Thread(target=sinks.positions, args=(device_track(7, 10),))
        waiting.start()
        time.sleep(0.5)
        assert waiting.is_alive()
        server = start(tmp_path / "data", "--port", server.url.rpartition(":")[2])
        waiting.join(20)
        assert not waiting.is_alive()
        assert table(connect(server.url), "SELECT count() FROM positions") == [(20,)]
        assert sinks.registry.get_sample_value("sink_rejected_rows_total", {"table": "positions"}) == 0
        stop(server)
        sinks[POSITIONS].stop.set()
        with pytest.raises(Stopped):
            sinks.positions(device_track(8, 10))
    finally:
        stop(server)


def test_size_and_cost_of_a_million_positions(fresh: Fresh, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    client, sinks = fresh
    fleet = merged([device_track(number, 5000) for number in range(200)])
    count, block = len(fleet.time_ms), 20_000
    port = int(url.rpartition(":")[2])
    listening = [c.pid for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr[1:] == (port,)]
    server = psutil.Process(listening[0])
    client_s, server_s, wall_s = time.process_time(), sum(server.cpu_times()[:2]), time.monotonic()
    for low in range(0, count, block):
        piece = Positions(**{f.name: getattr(fleet, f.name)[low : low + block] for f in fields(Positions)})
        sinks.positions(piece)
    client_s, wall_s = time.process_time() - client_s, time.monotonic() - wall_s
    server_s = sum(server.cpu_times()[:2]) - server_s
    client.command("OPTIMIZE TABLE positions_raw FINAL")
    assert table(client, "SELECT count() FROM positions") == [(count,)]
    sizes = dict(
        table(
            client,
            "SELECT column, sum(column_data_compressed_bytes) / sum(rows) FROM system.parts_columns "
            f"WHERE active AND database = '{client.database}' AND table = 'positions_raw' GROUP BY column",
        )
    )
    attributes, total = sizes["attributes"], sum(sizes.values())
    us = {
        name: seconds / count * 1e6 for name, seconds in (("client", client_s), ("server", server_s), ("wall", wall_s))
    }
    with capsys.disabled():
        print(f"\npositions: {total:.2f} bytes a row ({attributes:.2f} of them attributes); us a row: {us}")
        print({name: round(size, 2) for name, size in sorted(sizes.items(), key=lambda item: -item[1])})
    assert total - attributes < 16
    assert us["client"] < 10  # measured 2.4 on a quiet machine
