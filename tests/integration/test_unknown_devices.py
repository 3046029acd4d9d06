"""Unknown devices on a real line: rejected and unanswered until somebody registers them; floods of made-up ids."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from tests.integration.line import Line, running_line, wait_until
from tests.integration.test_cli import lodestream
from tests.unit.test_admission import fix

LOGIN = b"(088012345678BP05354188012345678260115A5130.2500N00007.6500W035.2101112045.0001000000L00000000)"
DEVICE = "354188012345678"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    environment = {"GATEWAY_UNKNOWN_DEVICES": "reject"}
    with running_line(tmp_path_factory.mktemp("unknown"), partitions=2, **environment) as started:
        yield started


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, payload: bytes, timeout_s: float) -> bytes:
    """What the device is answered within timeout_s; empty: nothing."""
    writer.write(payload)
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(reader.read(1024), timeout_s)
    return b""


def test_rejected_until_registered_on_the_same_connection(line: Line) -> None:
    async def scenario() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        assert await ask(reader, writer, LOGIN, 1.5) == b""
        refused = f"SELECT count() FROM lodestream.rejected WHERE reason = 'unknown_device' AND device_id = '{DEVICE}'"
        await asyncio.to_thread(lambda: wait_until(lambda: line.query(refused)[0][0] == 1, 20, "the rejected frame"))
        out = await asyncio.to_thread(
            lambda: lodestream(
                "devices", "list", "--unknown", "--kafka", line.kafka.bootstrap, "--clickhouse", line.url
            )
        )
        assert DEVICE in out
        assert "refused 1 times, from 127.0.0.1:" in out
        await asyncio.to_thread(lambda: lodestream("devices", "set", DEVICE, "--kafka", line.kafka.bootstrap))
        answers = [await ask(reader, writer, LOGIN, 0.5) for _ in range(4)]  # within two seconds
        assert b"(088012345678AP05)" in answers
        writer.close()

    asyncio.run(scenario())
    found = f"SELECT count() FROM lodestream.positions WHERE device_id = '{DEVICE}'"
    wait_until(lambda: line.query(found)[0][0] == 1, 20, "its position")
    online = "SELECT count() FROM lodestream.events WHERE kind = 'device_online'"
    wait_until(lambda: line.query(online) == [(1,)], 20, "one event")
    assert line.metric(line.gateway, "gateway_unregistered_frames_total") >= 1


def test_a_flood_of_made_up_ids_is_published_and_cut_off(line: Line) -> None:
    line.gateway.stop()
    line.gateway = line.new_gateway(
        "g2", GATEWAY_PORT=str(line.port), GATEWAY_UNKNOWN_DEVICES="accept", GATEWAY_NEW_IDS_PER_ADDRESS="200"
    )
    line.gateway.start()

    async def flood() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        for number in range(1000):
            writer.write(fix(f"88{number:08}"))
        await writer.drain()
        writer.write_eof()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return 0

    asyncio.run(flood())
    refused = (
        "SELECT count() FROM lodestream.rejected WHERE reason = 'unknown_device' AND startsWith(device_id, '880000')"
    )
    wait_until(lambda: line.query(refused)[0][0] == 800, 20, "800 refused frames")
    kept = "SELECT count(), uniqExact(device_id) FROM lodestream.positions WHERE startsWith(device_id, '880000')"
    wait_until(lambda: line.query(kept) == [(200, 200)], 20, "200 devices")


def test_quarantined_rows_are_flagged_and_not_in_latest(line: Line) -> None:
    line.gateway.stop()
    line.gateway = line.new_gateway("g3", GATEWAY_PORT=str(line.port), GATEWAY_UNKNOWN_DEVICES="quarantine")
    line.gateway.start()

    async def send() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        answer = await ask(reader, writer, LOGIN.replace(b"354188012345678", b"354188099999999"), 5)
        writer.close()
        return answer

    assert asyncio.run(send()) == b"(088012345678AP05)"
    rows = "SELECT flags FROM lodestream.positions WHERE device_id = '354188099999999'"
    wait_until(lambda: line.query(rows) == [(1024,)], 20, "the flagged row")
    assert line.query("SELECT count() FROM lodestream.latest WHERE device_id = '354188099999999'") == [(0,)]
    assert line.query("SELECT count() FROM lodestream.events WHERE device_id = '354188099999999'") == [(0,)]
