"""A receiver of webhooks that can be away, fail and hang, and webhook workers that post to it."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from deploy.local.counters import Page, parse
from deploy.local.kafka import LocalKafka
from schemas import codec
from schemas.clients.producer import DurableProducer
from schemas.topics import EVENTS
from tests.integration.line import Child
from tests.unit.test_webhook import ABSENT, batch, documented_check

SECRET = "hush-0123456789"
PARTITIONS = 4
DEVICES = ("a", "b", "c", "d")
"""The device's place here is its partition."""
WAIT_S = 60.0
Event = dict[str, Any]
Answer = Callable[[list[Event]], Awaitable[web.Response]]


@dataclass
class Request:
    """One request that reached the listener."""

    at_s: float
    delivery: str
    events: list[Event]
    status: int = 0


@dataclass
class Listener:
    """A receiver on a port of its own; `answer` decides, and it verifies every request as the documentation says."""

    answer: Answer
    requests: list[Request] = field(default_factory=list)
    forged: int = 0
    port: int = 0
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/hook/{token}", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    async def stop(self) -> None:
        """From now on connections are refused."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.forged += not documented_check()(SECRET, dict(request.headers), body)
        taken = Request(time.time(), request.headers["Lodestream-Delivery"], json.loads(body)["events"])
        self.requests.append(taken)
        response = await self.answer(taken.events)
        taken.status = response.status
        return response

    @property
    def taken(self) -> list[Event]:
        """The events that were answered with 2xx, in order of arrival."""
        return [event for request in self.requests if request.status // 100 == 2 for event in request.events]

    def times(self, device: str) -> list[int]:
        """The events taken of a device, by their time, each when it came first."""
        return list(dict.fromkeys(event["time_ms"] for event in self.taken if event["device_id"] == device))


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not done():
            await asyncio.sleep(0.02)


async def ok(_events: list[Event]) -> web.Response:
    return web.Response(text="thank you")


def answers(*statuses: int) -> Answer:
    """These, one after the other, then 200. 503 asks for one second; 0 hangs for longer than the worker waits."""
    left = list(statuses)

    async def answer(_events: list[Event]) -> web.Response:
        status = left.pop(0) if left else 200
        if not status:
            await asyncio.sleep(3)
        return web.Response(status=status or 500, headers={"Retry-After": "1"} if status == 503 else {})

    return answer


@dataclass
class Stage:
    """A listener, the topic, and workers of one group."""

    kafka: LocalKafka
    path: Path
    listener: Listener
    group: str
    children: list[Child] = field(default_factory=list)

    async def worker(self, number: int = 0, **settings: str) -> Child:
        """A started worker; settings without WORKER_."""
        names = {
            "ROLE": "webhook",
            "ID": str(number),
            "GROUP": self.group,
            "METRICS_PORT": "0",
            "SESSION_TIMEOUT_S": "6",
            "KAFKA_BOOTSTRAP": self.kafka.bootstrap,
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "WEBHOOK_URL": f"http://127.0.0.1:{self.listener.port}/hook/secret-token",
            "WEBHOOK_SECRET": SECRET,
            "WEBHOOK_TIMEOUT_S": "1",
            "WEBHOOK_RETRY_MAX_S": "1",
        }
        environment = {f"WORKER_{name}": value for name, value in (names | settings).items()}
        child = Child(f"webhook-{number}", ["processors"], environment, self.path / f"{len(self.children)}.log")
        self.children.append(child)
        await asyncio.to_thread(child.start)
        return child

    async def send(
        self, device: str, times: range, kind: str = "ignition_on", replayed: int = 0, rows: int = 1
    ) -> None:
        """Records of `rows` events each of one device."""
        producer = DurableProducer(self.kafka.bootstrap, "test", lambda: None)
        await producer.start()
        for start in times[::rows]:
            row = [(device, kind, number, "", ABSENT) for number in range(start, min(start + rows, times.stop))]
            await producer.send(EVENTS, codec.encode(batch(*row, replayed=replayed)), DEVICES.index(device))
        await producer.stop()

    async def page(self, child: Child) -> Page:
        url = child._log.read_text().rsplit("metrics on ", 1)[1].split()[0]
        read = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read())
        return parse(read.decode())

    async def waiting(self, child: Child, records: int) -> None:
        """Until the worker says that so many records wait."""
        async with asyncio.timeout(WAIT_S):
            while (await self.page(child)).total("webhook_lag_records") != records:
                await asyncio.sleep(0.2)

    def log(self) -> str:
        return "\n".join(child._log.read_text() for child in self.children)


@asynccontextmanager
async def staged(kafka: LocalKafka, path: Path, answer: Answer = ok) -> AsyncIterator[Stage]:
    listener = Listener(answer)
    await listener.start()
    stage = Stage(kafka, path, listener, path.name)
    try:
        yield stage
        assert listener.forged == 0
        for secret in (SECRET, "secret-token"):
            assert secret not in stage.log()
    except BaseException:
        print(stage.log()[-5000:])
        raise
    finally:
        for child in stage.children:
            if child.exit_code is None:
                await asyncio.to_thread(child.kill)
        await listener.stop()
