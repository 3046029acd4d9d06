"""Posts deliveries and repeats them until they are taken, or refused for good."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple

import aiohttp

from processors.settings import WorkerSettings
from processors.sinks.webhook import (
    REFUSALS_MOST,
    Delivery,
    Verdict,
    backoff_s,
    check_url,
    judge,
    retry_after_s,
    signature,
)
from processors.webhook_metrics import WebhookMetrics

log = logging.getLogger(__name__)

USER_AGENT = "lodestream-webhook/1"
ANSWER_BYTES, ANSWER_S = 300, 0.5
"""So much of an answer's body is read, for so long: enough for a message in the log, and to use the connection again."""
LOOK_S = 0.2
"""A wait looks so often whether it is still wanted."""


class Outcome(StrEnum):
    """What became of a delivery. LEFT: it is not ours any more, or the process ends."""

    TAKEN = "taken"
    REFUSED = "refused"
    LEFT = "left"


class Answer(NamedTuple):
    """One try. outcome: label of the metric; words: for the log."""

    verdict: Verdict
    outcome: str
    words: str
    retry_after_s: float = 0.0


class WebhookClient:
    """One receiver. Deliveries of different partitions go side by side, each on a connection of its own."""

    def __init__(self, settings: WorkerSettings, metrics: WebhookMetrics) -> None:
        self.address = check_url(settings.webhook_url)
        self._url = settings.webhook_url
        self._secret = settings.webhook_secret.encode()
        self._timeout_s = settings.webhook_timeout_s
        self._retry_max_s = settings.webhook_retry_max_s
        self._connections = settings.kafka_partitions
        self._metrics = metrics
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Prepare; nothing is sent yet."""
        if not self._secret:
            log.warning(
                "WORKER_WEBHOOK_SECRET is not set: requests are not signed, a receiver cannot tell who sent them"
            )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def stop(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def deliver(self, partition: int, name: str, delivery: Delivery, wanted: Callable[[], bool]) -> Outcome:
        """Post until it is taken or refused for good, or until it is not `wanted` any more.

        name: of the delivery in the log. One at a time for each partition, which keeps their order.
        """
        body, identifier = delivery.body(), delivery.id
        tries = refusals = 0
        self._metrics.under_way[partition] = time.monotonic()
        try:
            while wanted():
                answer = await self._post(identifier, body)
                tries += 1
                if answer.verdict is Verdict.TAKEN:
                    return self._count(Outcome.TAKEN, delivery)
                refusals += answer.verdict is Verdict.REFUSED
                if refusals == REFUSALS_MOST:
                    log.error("%s: delivery %s refused and passed over: %s", name, identifier, answer.words)
                    self._metrics.refused.inc()
                    return self._count(Outcome.REFUSED, delivery)
                delay_s = backoff_s(tries, self._retry_max_s, random.random())
                delay_s = max(delay_s, min(answer.retry_after_s, self._retry_max_s))
                log.warning("%s: try %s: %s; next in %.1f s", name, tries, answer.words, delay_s)
                await _wait(delay_s, wanted)
        finally:
            self._metrics.under_way.pop(partition, None)
        return Outcome.LEFT

    def _count(self, outcome: Outcome, delivery: Delivery) -> Outcome:
        self._metrics.events.labels(outcome).inc(len(delivery.events))
        return outcome

    async def _post(self, identifier: str, body: bytes) -> Answer:
        """One try."""
        assert self._session is not None  # start() made it
        timestamp_s = int(time.time())
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": USER_AGENT,
            "Lodestream-Delivery": identifier,
            "Lodestream-Timestamp": str(timestamp_s),
        }
        if self._secret:
            headers["Lodestream-Signature"] = signature(self._secret, timestamp_s, body)
        began_s = time.monotonic()
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                answer = await _read(response)
        except TimeoutError:
            answer = Answer(Verdict.NOT_NOW, "timeout", f"no answer within {self._timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            answer = Answer(Verdict.NOT_NOW, "unreachable", _words(error))
        self._metrics.request_seconds.observe(time.monotonic() - began_s)
        self._metrics.requests.labels(answer.outcome).inc()
        return answer


async def _read(response: aiohttp.ClientResponse) -> Answer:
    """What the receiver says. Its status counts, whatever becomes of the body."""
    begins = b""
    with suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with asyncio.timeout(ANSWER_S):
            begins = await response.content.read(ANSWER_BYTES)
    verdict = judge(response.status)
    words = f"answered {response.status} {begins!r}" if begins else f"answered {response.status}"
    return Answer(verdict, verdict.value, words, retry_after_s(response.headers.get("Retry-After", ""), time.time()))


def _words(error: Exception) -> str:
    """Why a receiver could not be asked, without its path, which may be a secret."""
    return str(error) if isinstance(error, aiohttp.ClientConnectorError) else type(error).__name__


async def _wait(delay_s: float, wanted: Callable[[], bool]) -> None:
    end_s = time.monotonic() + delay_s
    while wanted() and (left_s := end_s - time.monotonic()) > 0:
        await asyncio.sleep(min(left_s, LOOK_S))
