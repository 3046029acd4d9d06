"""Events to a real listener that refuses connections, fails, hangs and recovers, with the worker killed in between."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from deploy.local.kafka import LocalKafka
from schemas import codec
from schemas.clients.kafka import create_topics
from schemas.clients.producer import DurableProducer
from schemas.topics import EVENTS
from tests.integration.kafka_server import kafka_server
from tests.integration.line import Child
from tests.unit.test_webhook import ABSENT, batch

SECRET = "hush"
PARTITIONS = 2


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    with kafka_server(tmp_path_factory.mktemp("webhook")) as started:
        asyncio.run(create_topics(started.bootstrap, PARTITIONS, 1))
        yield started


class Listener:
    """A receiver: `answers` are taken one after the other, then 200; keeps what it took."""

    def __init__(self) -> None:
        self.answers: list[int | str] = []
        self.refuse: Callable[[dict[str, Any]], bool] = lambda event: False
        self.taken: list[dict[str, Any]] = []
        self.deliveries: list[str] = []
        self.forged = 0
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._hook)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _hook(self, request: web.Request) -> web.Response:
        body = await request.read()
        timestamp = request.headers["Lodestream-Timestamp"]
        expected = hmac.new(SECRET.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        self.forged += request.headers["Lodestream-Signature"] != "v1=" + expected
        self.deliveries.append(request.headers["Lodestream-Delivery"])
        answer = self.answers.pop(0) if self.answers else 200
        if answer == "hang":
            await asyncio.sleep(3)
            answer = 500
        events = json.loads(body)["events"]
        if answer == 200 and any(self.refuse(event) for event in events):
            answer = 400
        if answer == 200:
            self.taken += events
        return web.Response(status=int(answer), headers={"Retry-After": "1"} if answer == 503 else {})

    async def wait(self, done: Callable[[], bool], timeout_s: float = 40.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not done():
                await asyncio.sleep(0.02)


async def produce(kafka: LocalKafka, device: str, numbers: range, kind: str = "ignition_on", replayed: int = 0) -> None:
    producer = DurableProducer(kafka.bootstrap, "test", lambda: None)
    await producer.start()
    for number in numbers:
        value = codec.encode(batch((device, kind, number, "", ABSENT), replayed=replayed))
        await producer.send(EVENTS, value, hash(device) % PARTITIONS)
    await producer.stop()


def worker(kafka: LocalKafka, listener: Listener, path: Path, group: str, **more: str) -> Child:
    environment = {
        "WORKER_ROLE": "webhook",
        "WORKER_GROUP": group,
        "WORKER_METRICS_PORT": "0",
        "WORKER_SESSION_TIMEOUT_S": "6",
        "WORKER_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "WORKER_KAFKA_PARTITIONS": str(PARTITIONS),
        "WORKER_WEBHOOK_URL": f"http://127.0.0.1:{listener.port}/hook",
        "WORKER_WEBHOOK_SECRET": SECRET,
        "WORKER_WEBHOOK_TIMEOUT_S": "1",
        "WORKER_WEBHOOK_RETRY_MAX_S": "1",
    }
    return Child("webhook", ["processors"], environment | more, path / f"webhook-{group}.log")


def run(scenario: Callable[[Listener], Awaitable[None]]) -> Listener:
    async def started() -> Listener:
        listener = Listener()
        await listener.start()
        try:
            await scenario(listener)
        finally:
            await listener.stop()
        return listener

    return asyncio.run(started())


def test_every_event_arrives_in_order_whatever_the_receiver_does(kafka: LocalKafka, tmp_path: Path) -> None:
    async def scenario(listener: Listener) -> None:
        child = worker(kafka, listener, tmp_path, "order")
        await asyncio.to_thread(child.start)
        try:
            await produce(kafka, "a", range(5))
            await listener.wait(lambda: len(listener.taken) >= 5)
            await listener.stop()  # connections are refused now
            await produce(kafka, "a", range(5, 10))
            await asyncio.sleep(1.5)
            listener.answers = [503, 503, 500, "hang", 429, 408]
            await listener.start()
            await listener.wait(lambda: len(listener.taken) >= 10)
            listener.answers = [503] * 4
            await produce(kafka, "a", range(10, 60))
            await listener.wait(lambda: len(listener.taken) >= 25)
            await asyncio.to_thread(child.kill)
            await produce(kafka, "b", range(20))
            await asyncio.to_thread(child.start)
            await listener.wait(lambda: {e["time_ms"] for e in listener.taken if e["device_id"] == "a"} == {*range(60)})
            await listener.wait(lambda: {e["time_ms"] for e in listener.taken if e["device_id"] == "b"} == {*range(20)})
            url = child._log.read_text().rsplit("metrics on ", 1)[1].split()[0]
            page = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read().decode())
            assert 'webhook_requests_total{outcome="2xx"}' in page
            assert SECRET not in child._log.read_text()
        finally:
            await asyncio.to_thread(child.stop)

    listener = run(scenario)
    assert listener.forged == 0
    assert len({e["id"] for e in listener.taken}) == 80
    for device in ("a", "b"):
        times = [e["time_ms"] for e in listener.taken if e["device_id"] == device]
        firsts = list(dict.fromkeys(times))
        assert firsts == sorted(firsts)  # what is sent again after the kill is known by its id
    assert len(listener.deliveries) > len(set(listener.deliveries))  # a retry is the same delivery


def test_a_refused_delivery_is_passed_over_and_the_filter_holds(kafka: LocalKafka, tmp_path: Path) -> None:
    async def scenario(listener: Listener) -> None:
        listener.refuse = lambda event: event["time_ms"] == 1003
        options = {"WORKER_WEBHOOK_KINDS": "power_cut", "WORKER_WEBHOOK_DEVICES": "c", "WORKER_WEBHOOK_BATCH": "1"}
        child = worker(kafka, listener, tmp_path, "filter", **options)
        await asyncio.to_thread(child.start)
        try:
            await produce(kafka, "c", range(1000, 1010), "power_cut")
            await produce(kafka, "c", range(1010, 1015), "power_cut", replayed=1)
            await produce(kafka, "c", range(1015, 1020), "ignition_on")
            await produce(kafka, "d", range(1020, 1025), "power_cut")
            await produce(kafka, "c", range(1025, 1027), "power_cut")
            await listener.wait(lambda: bool(listener.taken) and listener.taken[-1]["time_ms"] == 1026)
            assert "refused with 400: 1 events are passed over" in child._log.read_text()
        finally:
            await asyncio.to_thread(child.stop)

    listener = run(scenario)
    assert [e["time_ms"] for e in listener.taken] == [*range(1000, 1003), *range(1004, 1010), 1025, 1026]
    assert {e["kind"] for e in listener.taken} == {"power_cut"}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"WORKER_WEBHOOK_URL": ""}, "WORKER_WEBHOOK_URL is no http:// or https:// address"),
        ({"WORKER_WEBHOOK_KINDS": "power"}, "WORKER_WEBHOOK_KINDS: unknown kind 'power'"),
    ],
)
def test_wrong_settings_are_one_message(kafka: LocalKafka, tmp_path: Path, more: dict[str, str], problem: str) -> None:
    child = worker(kafka, Listener(), tmp_path, "wrong", **more)
    child.start(wait=False)
    assert child.process is not None
    assert child.process.wait(30) == 2
    said = child._log.read_text()
    assert problem in said
    assert "Traceback" not in said
