"""Events to an HTTP endpoint: signed, in order for each device, at least once.

A request is a POST of {"events": [...]}, each event with its contract names and an `id` that is the same whenever it is
sent again: a receiver drops ids that it has. Headers: Lodestream-Delivery (the same over retries), Lodestream-Timestamp
(seconds), and Lodestream-Signature: v1=HMAC-SHA256 of timestamp + "." + body, hexadecimal. A receiver checks it so:

    expected = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    genuine = hmac.compare_digest("v1=" + expected, signature) and abs(time.time() - int(timestamp)) < 300

2xx is taken. No answer, 408, 425, 429 and 5xx are tried again for as long as it takes, and everything behind waits. Any
other answer (redirects are not followed) says that the request is wrong: it is tried a few times, then counted, logged
and passed over, or one bad event would hold up all others for ever.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.clients.metrics import LATENCY_BUCKETS_S
from schemas.codec import absent_values
from schemas.events import KINDS
from schemas.records import EventBatch

log = logging.getLogger(__name__)

RETRY_FIRST_S = 0.5
TRIED_AGAIN = frozenset({408, 425, 429})
WRONG_TRIES = 5
USER_AGENT = "lodestream-webhook/1"


class WebhookMetrics:
    """All metrics of a webhook worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter("webhook_events", "Events delivered", registry=registry)
        self.refused = Counter(
            "webhook_refused", "Events that the receiver refused and that were passed over", registry=registry
        )
        self.requests = Counter("webhook_requests", "Requests by outcome", ["outcome"], registry=registry)
        self.seconds = Histogram(
            "webhook_request_seconds", "Time until an answer", buckets=LATENCY_BUCKETS_S, registry=registry
        )
        self.ages = Histogram(
            "webhook_age_seconds",
            "From arrival of the frame until delivery",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.waiting = Gauge("webhook_waiting_requests", "Requests that are tried again", registry=registry)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are delivered. Empty: all."""

    kinds: frozenset[str] = frozenset()
    device_ids: frozenset[str] = frozenset()

    @classmethod
    def from_text(cls, kinds: str, device_ids: str) -> Filter:
        """Of lists separated by commas. Raises ValueError for a kind that there is not."""
        wanted = frozenset(kind.strip() for kind in kinds.split(",") if kind.strip())
        unknown = sorted(wanted - KINDS.keys())
        if unknown:
            raise ValueError(f"unknown kind {unknown[0]!r}; there are {', '.join(KINDS)}")
        return cls(wanted, frozenset(name.strip() for name in device_ids.split(",") if name.strip()))

    def takes(self, kind: str, device_id: str) -> bool:
        return (not self.kinds or kind in self.kinds) and (not self.device_ids or device_id in self.device_ids)


def events_of(batch: EventBatch, wanted: Filter) -> list[dict[str, Any]]:
    """The events of a record that are delivered, in order. Replayed ones never are: they tell of the past anew."""
    table, absent = batch.events, absent_values("EventBatch", "events")
    found = []
    for device_id, kind, time_ms, subject, received_ms, latitude, longitude, replayed, attributes in zip(
        *(getattr(table, name) for name in type(table).__slots__), strict=True
    ):
        if replayed or not wanted.takes(kind, device_id):
            continue
        here = latitude != absent["latitude_e7"]
        found.append(
            {
                "id": event_id(device_id, kind, time_ms, subject),
                "device_id": device_id,
                "kind": kind,
                "time_ms": time_ms,
                "subject": subject,
                "received_ms": received_ms,
                "latitude": latitude / 1e7 if here else None,
                "longitude": longitude / 1e7 if here else None,
                "attributes": orjson.loads(attributes) if attributes else {},
            }
        )
    return found


def event_id(device_id: str, kind: str, time_ms: int, subject: str) -> str:
    """What is the same whenever an event is sent: 128 bits over its identity, hexadecimal."""
    identity = "\x00".join((device_id, kind, str(time_ms), subject))
    return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def signature(secret: bytes, timestamp: int, body: bytes) -> str:
    """The value of Lodestream-Signature."""
    return "v1=" + hmac.new(secret, b"%d." % timestamp + body, hashlib.sha256).hexdigest()


def delays_s(most_s: float, noise: random.Random) -> Iterator[float]:
    """Waits between tries: doubling up to most_s, each anywhere up to that (full jitter), so that nobody falls in step."""
    bound_s = RETRY_FIRST_S
    while True:
        yield noise.uniform(0.0, min(bound_s, most_s))
        bound_s = min(bound_s * 2, most_s)


class Webhook:
    """One endpoint; deliveries of different partitions go side by side."""

    def __init__(
        self,
        url: str,
        secret: str,
        wanted: Filter,
        timeout_s: float,
        batch: int,
        retry_max_s: float,
        metrics: WebhookMetrics,
    ) -> None:
        self._url = url
        self._secret = secret.encode()
        self._wanted = wanted
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._batch = batch
        self._retry_max_s = retry_max_s
        self._metrics = metrics
        self._noise = random.Random()
        self._session: aiohttp.ClientSession | None = None

    async def deliver(self, batch: EventBatch) -> None:
        """Deliver the events of one record; returns when each is taken, or refused for good."""
        events = events_of(batch, self._wanted)
        for start in range(0, len(events), self._batch):
            await self._post(events[start : start + self._batch])

    async def stop(self) -> None:
        """Close connections; what is under way is given up, and delivered again after the restart."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, events: list[dict[str, Any]]) -> None:
        body = orjson.dumps({"events": events})
        delivery = hashlib.sha256("".join(event["id"] for event in events).encode()).hexdigest()[:32]
        wrong = 0
        self._metrics.waiting.inc()
        try:
            for delay_s in delays_s(self._retry_max_s, self._noise):
                status, wait_s = await self._try(body, delivery)
                if status is not None and 200 <= status < 300:
                    self._count(events)
                    return
                if status is not None and status < 500 and status not in TRIED_AGAIN:
                    wrong += 1
                    if wrong >= WRONG_TRIES:
                        log.error(
                            "webhook: delivery %s was refused with %s: %s events are passed over",
                            delivery,
                            status,
                            len(events),
                        )
                        self._metrics.refused.inc(len(events))
                        return
                await asyncio.sleep(max(delay_s, min(wait_s, self._retry_max_s)))
        finally:
            self._metrics.waiting.dec()

    async def _try(self, body: bytes, delivery: str) -> tuple[int | None, float]:
        """One request: (status, or None without an answer; how long the receiver asks to wait, s)."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "Lodestream-Delivery": delivery,
            "Lodestream-Timestamp": str(timestamp),
        }
        if self._secret:
            headers["Lodestream-Signature"] = signature(self._secret, timestamp, body)
        began = time.monotonic()
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                self._metrics.seconds.observe(time.monotonic() - began)
                self._metrics.requests.labels(f"{answer.status // 100}xx").inc()
                asked = answer.headers.get("Retry-After", "")
                return answer.status, float(asked) if asked.isdecimal() else 0.0
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("webhook: no answer (%s); trying again", type(error).__name__)
            self._metrics.requests.labels("no_answer").inc()
            return None, 0.0

    def _count(self, events: list[dict[str, Any]]) -> None:
        self._metrics.events.inc(len(events))
        now_ms = time.time() * 1000
        for event in events:
            self._metrics.ages.observe(max(0.0, (now_ms - event["received_ms"]) / 1000))
