"""Webhook: what is posted, and what the answers mean."""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
import time
from collections.abc import Callable
from typing import Any

import pytest

from processors.__main__ import check_webhook
from processors.app import build_app
from processors.settings import WorkerSettings
from processors.sinks import webhook
from processors.sinks.webhook import (
    Delivery,
    Filter,
    OffsetError,
    Outgoing,
    Verdict,
    backoff_s,
    check_url,
    deliveries,
    event_id,
    judge,
    missing_before,
    retry_after_s,
    select,
    signature,
)
from schemas.clients.settings import SettingsError, describe
from schemas.records import EventBatch, Events, Source

ABSENT = 2**31 - 1


def batch(*rows: tuple[str, str, int, str, int], replayed: int = 0, attributes: str = "") -> EventBatch:
    """Rows of (device_id, kind, time_ms, subject, latitude_e7), all with the same attributes."""
    devices, kinds, times, subjects, latitudes = (list(column) for column in zip(*rows, strict=True))
    count = len(rows)
    places = (latitudes, latitudes)
    columns = Events(devices, kinds, times, subjects, times, *places, [replayed] * count, [attributes] * count)
    return EventBatch(Source(0, 0, 0), columns)


def documented_check() -> Callable[[str, dict[str, str], bytes], bool]:
    """`is_genuine` as the documentation gives it to receivers."""
    found = re.search(r"^    import hashlib.*?\n\n(?=\S)", webhook.__doc__ or "", re.MULTILINE | re.DOTALL)
    assert found
    names: dict[str, Any] = {}
    exec(textwrap.dedent(found.group()), names)
    check: Callable[[str, dict[str, str], bytes], bool] = names["is_genuine"]
    return check


def test_a_receiver_can_verify_a_request_as_documented() -> None:
    is_genuine, body, now_s = documented_check(), b'{"events":[]}', int(time.time())
    headers = {"Lodestream-Timestamp": str(now_s), "Lodestream-Signature": signature(b"hush", now_s, body)}
    assert is_genuine("hush", headers, body)
    assert not is_genuine("other", headers, body)
    assert not is_genuine("hush", headers, body + b" ")
    assert not is_genuine("hush", headers | {"Lodestream-Timestamp": str(now_s - 1)}, body)
    old_s = now_s - 301
    old = {"Lodestream-Timestamp": str(old_s), "Lodestream-Signature": signature(b"hush", old_s, body)}
    assert not is_genuine("hush", old, body), "a recorded request cannot be played again for ever"


def test_an_event_has_the_names_of_the_contract() -> None:
    record = batch(("a", "alarm_raised", 5, "sos", 515_000_000), attributes='{"speed_kmh":61.5,"name":"Hof \\u00e4"}')
    (sent,) = select(record, Filter()).events
    assert json.loads(sent.text) == {
        "id": sent.id,
        "device_id": "a",
        "kind": "alarm_raised",
        "time_ms": 5,
        "subject": "sos",
        "received_ms": 5,
        "latitude": 51.5,
        "longitude": 51.5,
        "attributes": {"speed_kmh": 61.5, "name": "Hof ä"},
    }
    (bare,) = select(batch(("a", "device_online", 5, "", ABSENT)), Filter()).events
    told = json.loads(bare.text)
    assert (told["latitude"], told["longitude"], told["attributes"]) == (None, None, {})


def test_a_number_above_64_bits_is_sent_as_it_is() -> None:
    (sent,) = select(batch(("a", "alarm_raised", 5, "", 0), attributes=f'{{"n":{2**70}}}'), Filter()).events
    assert json.loads(sent.text)["attributes"] == {"n": 2**70}


def test_an_id_is_a_function_of_what_identifies_the_event() -> None:
    identity = b'["a","alarm_raised",5,"sos"]'
    assert event_id("a", "alarm_raised", 5, "sos") == hashlib.sha256(identity).hexdigest()[:32]
    others = [
        ("b", "alarm_raised", 5, "sos"),
        ("a", "alarm_cleared", 5, "sos"),
        ("a", "alarm_raised", 6, "sos"),
        ("a", "alarm_raised", 5, ""),
        ('a","alarm_raised', "", 5, "sos"),
    ]
    assert len({event_id("a", "alarm_raised", 5, "sos"), *(event_id(*other) for other in others)}) == 6


def test_replayed_events_are_never_sent() -> None:
    found = select(batch(("a", "ignition_on", 5, "", ABSENT), replayed=1), Filter())
    assert (found.events, found.replayed, found.filtered) == ([], 1, 0)


def test_the_filter_is_by_kind_and_device() -> None:
    rows = batch(*((device, kind, 5, "", 0) for device in "ab" for kind in ("ignition_on", "power_cut")))

    def sent(kinds: str, devices: str) -> list[tuple[str, str]]:
        events = [json.loads(event.text) for event in select(rows, Filter.from_text(kinds, devices)).events]
        return [(event["device_id"], event["kind"]) for event in events]

    assert sent("ignition_on, ignition_off", "a") == [("a", "ignition_on")]
    assert sent("", " b ,c") == [("b", "ignition_on"), ("b", "power_cut")]
    assert sent("power_cut", "") == [("a", "power_cut"), ("b", "power_cut")]
    assert len(sent("", "")) == 4
    with pytest.raises(ValueError, match=r"unknown kind 'ignition'; there are device_moving, "):
        Filter.from_text("ignition_on,ignition", "")


# Cutting


def outgoing(*sizes: int) -> list[Outgoing]:
    return [Outgoing(f"{size}", b"x" * size) for size in sizes]


def cut(records: list[list[Outgoing]], most_events: int, most_bytes: int = 1000) -> list[tuple[list[str], int]]:
    return [([e.id for e in d.events], d.records) for d in deliveries(records, most_events, most_bytes)]


def test_records_share_requests_and_are_done_with_when_their_last_event_is() -> None:
    assert cut([outgoing(1, 2), outgoing(3), outgoing(4)], 3) == [(["1", "2", "3"], 2), (["4"], 1)]
    assert cut([outgoing(1, 2, 3, 4, 5)], 2) == [(["1", "2"], 0), (["3", "4"], 0), (["5"], 1)]
    assert cut([[], outgoing(1), [], []], 9) == [(["1"], 4)]
    assert cut([[], []], 9) == [([], 2)], "nothing to send, but records to be done with"
    assert cut([outgoing(1, 2), [], outgoing(3)], 2) == [(["1", "2"], 2), (["3"], 1)]
    assert cut([], 9) == []


def test_requests_are_cut_by_bytes_but_hold_an_event() -> None:
    assert cut([outgoing(600, 300, 200), outgoing(5000), outgoing(7)], 9) == [
        (["600", "300"], 0),
        (["200"], 1),
        (["5000"], 1),
        (["7"], 1),
    ]


def test_a_delivery_is_known_by_its_events() -> None:
    one, same, other = Delivery(outgoing(1, 2), 1), Delivery(outgoing(1, 2), 5), Delivery(outgoing(2, 1), 1)
    assert one.id == same.id == hashlib.sha256(b"1\n2").hexdigest()
    assert one.id != other.id
    assert Delivery([Outgoing("i", b'{"a":1}'), Outgoing("j", b"{}")], 1).body() == b'{"events":[{"a":1},{}]}'


# Answers


@pytest.mark.parametrize(
    ("verdict", "statuses"),
    [
        (Verdict.TAKEN, (200, 202, 204, 299)),
        (Verdict.NOT_NOW, (408, 425, 429, 500, 502, 503, 504, 599)),
        (Verdict.REFUSED, (300, 301, 302, 307, 308, 400, 401, 403, 404, 410, 413, 422)),
    ],
)
def test_what_a_status_means(verdict: Verdict, statuses: tuple[int, ...]) -> None:
    assert {judge(status) for status in statuses} == {verdict}


def test_waits_double_up_to_the_most_with_full_jitter() -> None:
    longest = [backoff_s(tries, 60.0, 1.0) for tries in range(1, 10)]
    assert longest == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff_s(4, 60.0, 0.25) == 1.0
    assert backoff_s(4, 60.0, 0.0) == 0.0
    assert backoff_s(1, 0.2, 1.0) == 0.2
    assert backoff_s(1_000_000, 60.0, 1.0) == 60.0, "a receiver may be away for weeks"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0),
        ("0", 0),
        (" 120 ", 120),
        ("-5", 0),
        ("1.5", 0),
        ("²", 0),
        ("9" * 400, 999_999_999),
        ("soon", 0),
        ("Thu, 15 Jan 2026 10:11:42 GMT", 30),
        ("Thu, 15 Jan 2026 10:11:42", 30),
        ("Thu, 15 Jan 2026 10:11:02 GMT", 0),
        ("Thu, 99 Jan 2026 10:11:42 GMT", 0),
    ],
)
def test_retry_after(text: str, seconds: float) -> None:
    assert retry_after_s(text, 1_768_471_872.0) == seconds


def test_only_retention_may_leave_records_out() -> None:
    assert missing_before(7, 7, 0) == 0
    assert missing_before(5, 7, 0) == 0, "what comes again is sent again"
    assert missing_before(9, 7, 9) == 2
    with pytest.raises(OffsetError, match="read offset 9, expected 7: the log begins at 8"):
        missing_before(9, 7, 8)


def test_a_worker_may_wait_for_its_receiver_for_weeks() -> None:
    conf = build_app(WorkerSettings(role="webhook")).conf
    assert conf.broker_max_poll_interval > 30 * 86_400, "aiokafka leaves the group of a consumer that fetches nothing"


# Settings


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://example.org/hooks/secret-path?token=x", "https://example.org"),
        ("http://user:password@127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://bücher.example/x", "https://bücher.example"),
    ],
)
def test_an_address_is_logged_without_what_may_be_secret(url: str, address: str) -> None:
    assert check_url(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org",
        "https://",
        "http://host:port/",
        "http://a b/",
        "http://a/\n",
        "http://" + "a" * 70,
    ],
)
def test_where_nothing_can_be_posted(url: str) -> None:
    with pytest.raises(ValueError, match="no address to post to"):
        check_url(url)


def test_all_wrong_settings_of_the_role_are_named() -> None:
    with pytest.raises(SettingsError) as caught:
        check_webhook(WorkerSettings(role="webhook", webhook_kinds="power"))
    assert "WORKER_WEBHOOK_URL: no address" in str(caught.value)
    assert "WORKER_WEBHOOK_KINDS: unknown kind 'power'" in str(caught.value)
    check_webhook(WorkerSettings(role="webhook", webhook_url="https://example.org/", webhook_kinds="power_cut"))


def test_the_secret_is_never_shown() -> None:
    shown = {
        name: value for name, value, _ in describe(WorkerSettings, "WORKER_", WorkerSettings(webhook_secret="hush"))
    }
    assert shown["WORKER_WEBHOOK_SECRET"] == "(set)"
    assert "hush" not in shown.values()
