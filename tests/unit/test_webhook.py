"""Webhook: signature, ids, filter and the waits between tries."""

from __future__ import annotations

import hashlib
import hmac
import random
from itertools import islice

import pytest

from processors.sinks.webhook import Filter, delays_s, event_id, events_of, signature
from schemas.records import EventBatch, Events, Source

ABSENT = 2**31 - 1


def batch(*rows: tuple[str, str, int, str, int], replayed: int = 0) -> EventBatch:
    """Rows of (device_id, kind, time_ms, subject, latitude_e7)."""
    devices, kinds, times, subjects, latitudes = (list(column) for column in zip(*rows, strict=True))
    count = len(rows)
    columns = Events(
        devices,
        kinds,
        times,
        subjects,
        times,
        latitudes,
        latitudes,
        [replayed] * count,
        ['{"a_m":1.5}', *[""] * (count - 1)],
    )
    return EventBatch(Source(0, 0, 0), columns)


def test_a_receiver_can_check_the_signature() -> None:
    body, secret, timestamp = b'{"events":[]}', b"hush", 1_768_471_872
    expected = hmac.new(secret, str(timestamp).encode() + b"." + body, hashlib.sha256).hexdigest()
    assert signature(secret, timestamp, body) == "v1=" + expected
    assert signature(b"other", timestamp, body) != signature(secret, timestamp, body)


def test_events_with_contract_names_and_stable_ids() -> None:
    first, second = events_of(
        batch(("a", "alarm_raised", 5, "sos", 500_000_000), ("a", "ignition_on", 5, "", ABSENT)), Filter()
    )
    assert (first["subject"], first["latitude"], first["attributes"]) == ("sos", 50.0, {"a_m": 1.5})
    assert (second["latitude"], second["attributes"]) == (None, {})
    assert first["id"] == event_id("a", "alarm_raised", 5, "sos") != second["id"]
    assert len(first["id"]) == 32


def test_replayed_events_are_never_sent() -> None:
    assert events_of(batch(("a", "ignition_on", 5, "", ABSENT), replayed=1), Filter()) == []


def test_the_filter_is_by_kind_and_device() -> None:
    rows = batch(
        ("a", "ignition_on", 5, "", ABSENT), ("b", "ignition_on", 5, "", ABSENT), ("a", "power_cut", 5, "", ABSENT)
    )
    wanted = Filter.from_text("ignition_on, ignition_off", "a")
    assert [(e["device_id"], e["kind"]) for e in events_of(rows, wanted)] == [("a", "ignition_on")]
    assert len(events_of(rows, Filter.from_text("", ""))) == 3
    with pytest.raises(ValueError, match="unknown kind 'ignition'"):
        Filter.from_text("ignition", "")


def test_waits_double_with_full_jitter_up_to_the_most() -> None:
    waits = list(islice(delays_s(60.0, random.Random(1)), 200))
    assert all(wait <= bound for wait, bound in zip(waits, (0.5, 1, 2, 4, 8, 16, 32, 60), strict=False))
    assert max(waits) <= 60
    assert max(waits[8:]) > 50
    assert min(waits[8:]) < 10
