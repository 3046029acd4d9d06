"""Events from a real topic to a real listener that is away, fails, hangs or refuses, by workers that are killed."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from deploy.local.kafka import LocalKafka
from schemas import codec
from schemas.clients.kafka import assigned_consumer, create_topics
from schemas.clients.producer import DurableProducer
from schemas.topics import EVENTS
from tests.integration.kafka_server import kafka_server
from tests.integration.line import Child
from tests.integration.webhook_stage import DEVICES, PARTITIONS, Event, answers, ok, staged, until
from tests.unit.test_webhook import ABSENT, batch


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    with kafka_server(tmp_path_factory.mktemp("webhook")) as started:
        asyncio.run(create_topics(started.bootstrap, PARTITIONS, 1))
        yield started


def test_every_event_arrives_in_order_whatever_the_receiver_does(kafka: LocalKafka, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with staged(kafka, tmp_path) as stage:
            listener = stage.listener
            await listener.stop()
            child = await stage.worker(WEBHOOK_BATCH="7")
            for device in "abc":
                await stage.send(device, range(30), rows=3)
            await asyncio.sleep(1)
            listener.answer = answers(503, 503, 0, 500, 429, 0, 408, 425)
            await listener.start()
            await until(lambda: all(listener.times(device) for device in "abc"))
            listener.answer = answers(200, 503, 200, 503, 0)
            for device in "abc":
                await stage.send(device, range(30, 90), rows=2)
            await until(lambda: len(listener.taken) > 60)
            await asyncio.to_thread(child.kill)  # with requests under way
            await stage.send("d", range(20))
            child = await stage.worker(WEBHOOK_BATCH="7")
            await until(lambda: [len(listener.times(d)) for d in DEVICES] == [90, 90, 90, 20])
            page = await stage.page(child)

        for device in DEVICES:
            assert listener.times(device) == sorted(listener.times(device)), "what comes again is known by its id"
        assert len({event["id"] for event in listener.taken}) == 290
        assert max(len(request.events) for request in listener.requests) == 7
        tried = [request.delivery for request in listener.requests]
        again = {delivery for delivery in tried if tried.count(delivery) > 1}
        assert again
        for delivery in again:
            same = {json.dumps(request.events) for request in listener.requests if request.delivery == delivery}
            assert len(same) == 1
        busy = next(request for request in listener.requests if request.status == 503)
        later = next(r for r in listener.requests if r.delivery == busy.delivery and r.at_s > busy.at_s)
        assert later.at_s - busy.at_s >= 1, "Retry-After"
        assert page.total("webhook_requests_total", outcome="taken") > 0
        assert page.total("webhook_refused_total") == 0

    asyncio.run(scenario())


def test_refusals_are_passed_over_and_only_what_is_asked_for_is_sent(kafka: LocalKafka, tmp_path: Path) -> None:
    async def refusing(events: list[Event]) -> web.Response:
        if any(event["time_ms"] == 1003 for event in events):
            return web.Response(status=400, text="bad \x1b[2J")
        if any(event["time_ms"] == 1005 for event in events):
            return web.Response(status=302, headers={"Location": f"http://127.0.0.1:{port}/hook/elsewhere"})
        return web.Response(status=204)

    async def scenario() -> None:
        nonlocal port
        async with staged(kafka, tmp_path, refusing) as stage:
            port = stage.listener.port
            child = await stage.worker(
                WEBHOOK_KINDS="power_cut,power_restored",
                WEBHOOK_DEVICES="c",
                WEBHOOK_BATCH="1",
                WEBHOOK_RETRY_MAX_S="0.2",
            )
            await stage.send("c", range(1000, 1010), "power_cut", rows=5)
            await stage.send("c", range(1010, 1015), "power_cut", replayed=1)
            await stage.send("c", range(1015, 1020), "ignition_on")
            await stage.send("d", range(1020, 1025), "power_cut")
            await stage.send("c", range(1025, 1027), "power_restored")
            await until(lambda: stage.listener.taken and stage.listener.taken[-1]["time_ms"] == 1026)
            await until(lambda: stage.listener.requests[-1].status)
            page = await stage.page(child)
            log = stage.log()
        listener = stage.listener
        assert [event["time_ms"] for event in listener.taken] == [
            *range(1000, 1003),
            1004,
            *range(1006, 1010),
            1025,
            1026,
        ]
        refused = [request for request in listener.requests if request.status in (302, 400)]
        assert len(refused) == 2 * 5
        assert len({request.delivery for request in refused}) == 2
        for request, words in ((refused[0], r"answered 400 b'bad \x1b[2J'"), (refused[-1], "answered 302")):
            assert f"1 events: delivery {request.delivery} refused and passed over: {words}" in log
        assert page.total("webhook_refused_total") == 2
        outcomes = {"taken": 10, "refused": 2, "replayed": 5, "filtered": 10}
        assert page.by("webhook_events_total", "outcome") == outcomes

    port = 0
    asyncio.run(scenario())


def test_a_partition_that_waits_holds_up_no_other(kafka: LocalKafka, tmp_path: Path) -> None:
    is_busy = True

    async def busy_for_a(events: list[Event]) -> web.Response:
        return web.Response(status=503 if is_busy and events[0]["device_id"] == "a" else 200)

    async def scenario() -> None:
        nonlocal is_busy
        async with staged(kafka, tmp_path, busy_for_a) as stage:
            child = await stage.worker(WEBHOOK_BATCH="1")
            await stage.send("a", range(2000, 2200))  # more than is ever buffered
            await stage.send("b", range(2000, 2200))
            await until(lambda: len(stage.listener.times("b")) == 200)
            assert stage.listener.times("a") == []
            page = await stage.page(child)
            assert page.total("webhook_retry_seconds") > 0.5
            await stage.waiting(child, 200)
            is_busy = False
            await until(lambda: stage.listener.times("a") == [*range(2000, 2200)])
            await stage.waiting(child, 0)
            assert (await stage.page(child)).total("webhook_retry_seconds") == 0

    asyncio.run(scenario())


def test_a_backlog_of_a_partition_that_waits_holds_up_no_other(kafka: LocalKafka, tmp_path: Path) -> None:
    async def never_for_a(events: list[Event]) -> web.Response:
        return web.Response(status=503 if events[0]["device_id"] == "a" else 200)

    async def scenario() -> None:
        async with staged(kafka, tmp_path, never_for_a) as stage:
            child = await stage.worker(WEBHOOK_BATCH="1")
            await stage.send("b", range(2000, 2001))
            await until(lambda: stage.listener.times("b") == [2000])
            await asyncio.to_thread(child.stop)
            await stage.send("a", range(2000, 3000))  # one poll of Kafka may bring more than is ever buffered
            await stage.send("b", range(2001, 3000))
            child = await stage.worker(WEBHOOK_BATCH="1")
            await until(lambda: stage.listener.times("b") == [*range(2000, 3000)])
            assert stage.listener.times("a") == []
            await stage.waiting(child, 1000)

    asyncio.run(scenario())


def test_the_end_waits_for_the_answer_and_nothing_is_sent_twice(kafka: LocalKafka, tmp_path: Path) -> None:
    async def slow(_events: list[Event]) -> web.Response:
        await asyncio.sleep(0.7)
        return web.Response()

    async def scenario() -> None:
        async with staged(kafka, tmp_path, slow) as stage:
            child = await stage.worker(WEBHOOK_BATCH="1")
            await stage.send("a", range(3000, 3005))
            await until(lambda: len(stage.listener.requests) == 2)
            child.signal(signal.SIGTERM)
            assert await asyncio.to_thread(child.stop) == 0
            assert stage.listener.times("a") == [3000, 3001]
            await stage.worker()
            await until(lambda: len(stage.listener.times("a")) == 5)
            assert [event["time_ms"] for event in stage.listener.taken] == [*range(3000, 3005)]

    asyncio.run(scenario())


def test_the_end_does_not_wait_for_a_receiver_that_is_away(kafka: LocalKafka, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with staged(kafka, tmp_path, answers(*[503] * 1000)) as stage:
            child = await stage.worker(WEBHOOK_RETRY_MAX_S="60")
            for device in DEVICES:
                await stage.send(device, range(4000, 4100))
            await until(lambda: len(stage.listener.requests) >= 4)
            began_s = time.monotonic()
            assert await asyncio.to_thread(child.stop) == 0
            assert time.monotonic() - began_s < 6
            stage.listener.answer = ok
            await stage.worker()
            await until(lambda: all(stage.listener.times(device) == [*range(4000, 4100)] for device in DEVICES))

    asyncio.run(scenario())


def test_a_new_webhook_begins_now_and_an_old_one_where_it_was(kafka: LocalKafka, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with staged(kafka, tmp_path) as stage:
            await stage.send("a", range(5000, 5003))
            child = await stage.worker()
            await asyncio.to_thread(child.kill)  # before it took anything
            for device in DEVICES:
                await stage.send(device, range(5003, 5005))
            await stage.worker()
            await until(lambda: all(stage.listener.times(device) == [5003, 5004] for device in DEVICES))

    asyncio.run(scenario())


def test_workers_that_come_and_go_share_the_partitions(kafka: LocalKafka, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with staged(kafka, tmp_path, answers(*[503] * 8)) as stage:
            await stage.worker(0)
            for device in DEVICES:
                await stage.send(device, range(6000, 6020))
            second = await stage.worker(1)
            for device in DEVICES:
                await stage.send(device, range(6020, 6040))
            await until(lambda: all(len(stage.listener.times(device)) == 40 for device in DEVICES))
            pages = [await stage.page(child) for child in stage.children]
            assert all(page.total("webhook_events_total", outcome="taken") for page in pages)
            await asyncio.to_thread(second.kill)
            for device in DEVICES:
                await stage.send(device, range(6040, 6060))
            await until(lambda: all(stage.listener.times(device) == [*range(6000, 6060)] for device in DEVICES))

    asyncio.run(scenario())


def test_what_retention_removed_is_counted(kafka: LocalKafka, tmp_path: Path) -> None:
    async def remove(device: str, count: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        place = TopicPartition(EVENTS, DEVICES.index(device))
        first = (await stage_ends(kafka))[place] - count
        await admin.delete_records({place: RecordsToDelete(first)})
        await admin.close()

    async def scenario() -> None:
        async with staged(kafka, tmp_path) as stage:
            child = await stage.worker()
            await asyncio.to_thread(child.stop)
            await stage.send("b", range(7000, 7010))
            await remove("b", 4)
            child = await stage.worker()
            await until(lambda: stage.listener.times("b") == [*range(7006, 7010)])
            assert (await stage.page(child)).total("webhook_missing_records_total") == 6

    asyncio.run(scenario())


async def stage_ends(kafka: LocalKafka) -> dict[TopicPartition, int]:
    consumer = assigned_consumer(kafka.bootstrap)
    await consumer.start()
    try:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(
            [TopicPartition(EVENTS, number) for number in range(PARTITIONS)]
        )
        return ends
    finally:
        await consumer.stop()


def test_an_event_is_posted_within_a_quarter_of_a_second(kafka: LocalKafka, tmp_path: Path) -> None:
    async def scenario() -> list[float]:
        async with staged(kafka, tmp_path) as stage:
            await stage.worker()
            producer = DurableProducer(kafka.bootstrap, "test", lambda: None)
            await producer.start()
            sent_s = {}
            noise = random.Random(1)
            for number in range(8000, 8100):
                device = noise.choice(DEVICES)
                sent_s[number] = time.time()
                row = (device, "ignition_on", number, "", ABSENT)
                await producer.send(EVENTS, codec.encode(batch(row)), DEVICES.index(device))
                await asyncio.sleep(noise.choice((0, 0.02, 0.1, 0.3)))
            await producer.stop()
            await until(lambda: len(stage.listener.taken) == 100)
            return sorted(r.at_s - sent_s[event["time_ms"]] for r in stage.listener.requests for event in r.events)

    latencies_s = asyncio.run(scenario())
    print("latency ms, p50 p95 max:", *(round(latencies_s[i] * 1000) for i in (49, 94, 99)))
    assert latencies_s[94] < 0.25


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"URL": ""}, "WORKER_WEBHOOK_URL: no address to post to"),
        (
            {"URL": "http://127.0.0.1/", "KINDS": "power"},
            "WORKER_WEBHOOK_KINDS: unknown kind 'power'; there are device_moving",
        ),
    ],
)
def test_wrong_settings_are_one_message(tmp_path: Path, settings: dict[str, str], problem: str) -> None:
    environment = {"WORKER_ROLE": "webhook"} | {f"WORKER_WEBHOOK_{name}": value for name, value in settings.items()}
    child = Child("webhook", ["processors"], environment, tmp_path / "log")
    child.start(wait=False)
    assert child.process is not None
    assert child.process.wait(30) == 2
    said = (tmp_path / "log").read_text()
    assert problem in said
    assert "Traceback" not in said
