"""What a webhook posts, and what the answers mean. No clock and no network here: processors.sinks.webhook_client has them.

A request is a POST of {"events": [...]}, JSON in UTF-8. An event has id, device_id, kind, time_ms, subject, received_ms,
latitude and longitude (null where it has no place) and attributes (an object). Events of a device come in order, and
each at least once: after a crash or a lost answer some come again, with the same `id`, by which a receiver drops what it
has. Replayed events are never sent. The headers:

    Lodestream-Delivery     stands for these events: the same whenever this request is tried again
    Lodestream-Timestamp    seconds since the epoch at which this try was made
    Lodestream-Signature    v1=HMAC-SHA256 over timestamp + "." + body, hexadecimal; not without a secret

A receiver verifies a request so, with the body as it came, before it parses anything:

    import hashlib, hmac, time

    def is_genuine(secret, headers, body):
        timestamp = headers["Lodestream-Timestamp"]
        expected = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        is_recent = abs(time.time() - int(timestamp)) < 300
        return is_recent and hmac.compare_digest("v1=" + expected, headers["Lodestream-Signature"])

Any 2xx means: taken. 408, 425, 429, 5xx and no answer mean: not now; the request is tried again for as long as it takes
and what follows of its partition waits, so that order is kept. Everything else, redirects included, means: this request
is wrong; it is tried a few times, then logged, counted and passed over, or it would hold up all others for ever. Its
events are still in the topic and in ClickHouse.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import orjson

from schemas.codec import absent_values
from schemas.events import KINDS
from schemas.records import EventBatch

RETRY_FIRST_S = 0.5
REFUSALS_MOST = 5
"""A request that is refused so often is passed over. Not at the first: receivers answer 4xx while they are deployed."""
BODY_BYTES = 256 * 1024
"""A body is cut at so many bytes: many servers take no more than 1 MiB."""
NOT_NOW = frozenset({408, 425, 429})


class OffsetError(Exception):
    """A record does not follow what was delivered."""


def check_url(url: str) -> str:
    """The address without path and password, fit for a log. Raises ValueError when nothing can be posted there."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        raise ValueError("no address to post to: https://host/path or http://host/path is expected")
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are sent; empty: all."""

    kinds: frozenset[str] = frozenset()
    device_ids: frozenset[str] = frozenset()

    @classmethod
    def from_text(cls, kinds: str, device_ids: str) -> Filter:
        """From lists separated by commas. Raises ValueError for a kind that there is not."""
        wanted = frozenset(kind.strip() for kind in kinds.split(",") if kind.strip())
        unknown = sorted(wanted - KINDS.keys())
        if unknown:
            raise ValueError(f"unknown kind {unknown[0]!r}; there are {', '.join(KINDS)}")
        return cls(wanted, frozenset(name.strip() for name in device_ids.split(",") if name.strip()))

    def takes(self, kind: str, device_id: str) -> bool:
        return (not self.kinds or kind in self.kinds) and (not self.device_ids or device_id in self.device_ids)


def event_id(device_id: str, kind: str, time_ms: int, subject: str) -> str:
    """128 bits over what identifies an event, hexadecimal: SHA-256 of the four as a compact JSON array in UTF-8."""
    identity = json.dumps([device_id, kind, time_ms, subject], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One event as it is sent."""

    id: str
    text: bytes


@dataclass(slots=True)
class Selection:
    """The events of one record: those to send, in order, and how many are not sent, by reason."""

    events: list[Outgoing] = field(default_factory=list)
    filtered: int = 0
    replayed: int = 0


def select(batch: EventBatch, wanted: Filter) -> Selection:
    """Choose what is sent of a record. Raises ValueError when attributes are no JSON, which nothing of ours writes."""
    columns = batch.events
    absent_e7 = absent_values("EventBatch", "events")["latitude_e7"]
    selection = Selection()
    for device_id, kind, time_ms, subject, received_ms, latitude_e7, longitude_e7, replayed, attributes in zip(
        columns.device_id,
        columns.kind,
        columns.time_ms,
        columns.subject,
        columns.received_ms,
        columns.latitude_e7,
        columns.longitude_e7,
        columns.replayed,
        columns.attributes,
        strict=True,
    ):
        if replayed:
            selection.replayed += 1
        elif not wanted.takes(kind, device_id):
            selection.filtered += 1
        else:
            identifier = event_id(device_id, kind, time_ms, subject)
            event = {
                "id": identifier,
                "device_id": device_id,
                "kind": kind,
                "time_ms": time_ms,
                "subject": subject,
                "received_ms": received_ms,
                "latitude": None if latitude_e7 == absent_e7 else latitude_e7 / 1e7,
                "longitude": None if longitude_e7 == absent_e7 else longitude_e7 / 1e7,
                "attributes": json.loads(attributes) if attributes else {},
            }
            selection.events.append(Outgoing(identifier, _to_json(event)))
    return selection


def _to_json(event: dict[str, Any]) -> bytes:
    """JSON in UTF-8; what orjson refuses (integers above 64 bits) goes the slow way."""
    try:
        return orjson.dumps(event)
    except TypeError:
        return json.dumps(event, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Delivery:
    """Events of one request. records: how many records are done with once it is; their last events may be earlier."""

    events: Sequence[Outgoing]
    records: int

    @property
    def id(self) -> str:
        """SHA-256 over the ids of its events, hexadecimal."""
        return hashlib.sha256("\n".join(event.id for event in self.events).encode()).hexdigest()

    def body(self) -> bytes:
        """The body of its request."""
        return b'{"events":[' + b",".join(event.text for event in self.events) + b"]}"


def deliveries(
    records: Sequence[Sequence[Outgoing]], most_events: int, most_bytes: int = BODY_BYTES
) -> Iterator[Delivery]:
    """Cut the events of consecutive records into requests, order kept; the last one may have no events.

    A request has at most most_events events and most_bytes bytes of them, but at least one event.
    """
    taken: list[Outgoing] = []
    size = done = 0
    for record in records:
        for event in record:
            if taken and (len(taken) == most_events or size + len(event.text) > most_bytes):
                yield Delivery(taken, done)
                taken, size, done = [], 0, 0
            taken.append(event)
            size += len(event.text)
        done += 1
    if done:
        yield Delivery(taken, done)


def signature(secret: bytes, timestamp_s: int, body: bytes) -> str:
    """The value of Lodestream-Signature."""
    return "v1=" + hmac.new(secret, b"%d." % timestamp_s + body, hashlib.sha256).hexdigest()


class Verdict(StrEnum):
    """What an answer means."""

    TAKEN = "taken"
    NOT_NOW = "not_now"
    REFUSED = "refused"


def judge(status: int) -> Verdict:
    """What an HTTP status means for a request."""
    if 200 <= status < 300:
        return Verdict.TAKEN
    return Verdict.NOT_NOW if status in NOT_NOW or status >= 500 else Verdict.REFUSED


def backoff_s(tries: int, most_s: float, draw: float) -> float:
    """The wait after so many failed tries: exponential up to most_s with full jitter; draw is from 0 up to 1.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return draw * min(most_s, RETRY_FIRST_S * 2.0 ** min(tries - 1, 32))


def retry_after_s(text: str, now_s: float) -> float:
    """What a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date), s from now; 0 when it is none."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now_s)


def missing_before(offset: int, expected: int, log_start: int) -> int:
    """How many records before `offset` retention removed undelivered; 0 when it is the expected one or one sent before.

    Raises OffsetError when records that are still in the log were left out.
    """
    if offset <= expected:
        return 0
    if log_start < offset:
        raise OffsetError(f"read offset {offset}, expected {expected}: the log begins at {log_start}")
    return offset - expected
