"""Unknown devices: what each policy makes of them, limits of new ids, and what a session does with the verdict."""

from __future__ import annotations

import pytest

import gateway.admission as module
from gateway.admission import HOUR_MS, WARM_UP_MS, Admission, Policy
from gateway.aliases import Aliases
from gateway.session import Session
from gateway.turn import Turn
from schemas.records import FrameKind

START_MS = 1_768_471_872_000 // HOUR_MS * HOUR_MS
LATER_MS = START_MS + WARM_UP_MS


def admission(policy: str = "accept", new_ids: int = 100, per_address: int = 10) -> Admission:
    return Admission(Policy(policy), new_ids, per_address, START_MS)


@pytest.mark.parametrize(
    ("policy", "kind"),
    [
        ("accept", FrameKind.FRAME),
        ("quarantine", FrameKind.QUARANTINED),
        ("reject", FrameKind.UNKNOWN_DEVICE),
    ],
)
def test_policies(policy: str, kind: FrameKind) -> None:
    found = admission(policy)
    found.registered.add("known")
    assert found.admit("known", "192.0.2.1", LATER_MS) is FrameKind.FRAME
    assert found.admit("unknown", "192.0.2.1", LATER_MS) is kind
    assert found.unregistered == (policy != "accept")
    found.registered.add("unknown")
    assert found.admit("unknown", "192.0.2.1", LATER_MS) is FrameKind.FRAME


def test_new_ids_of_one_address_are_limited_by_hour() -> None:
    found = admission()
    ids = [f"{n:010}" for n in range(15)]
    kinds = [found.admit(i, "192.0.2.1", LATER_MS) for i in ids]
    assert kinds == [FrameKind.FRAME] * 10 + [FrameKind.UNKNOWN_DEVICE] * 5
    assert found.limited == {"address": 5, "gateway": 0}
    assert found.admit(ids[0], "192.0.2.1", LATER_MS) is FrameKind.FRAME  # seen before
    assert found.admit(ids[12], "192.0.2.9", LATER_MS) is FrameKind.FRAME  # another address
    found.registered.add("r")
    assert found.admit("r", "192.0.2.1", LATER_MS) is FrameKind.FRAME
    assert found.admit(ids[13], "192.0.2.1", LATER_MS + HOUR_MS) is FrameKind.FRAME


def test_new_ids_of_the_gateway_are_limited_but_not_just_after_its_start() -> None:
    found = admission(new_ids=50, per_address=1000)
    early = [found.admit(f"e{n}", f"192.0.2.{n % 200}", START_MS) for n in range(200)]
    assert set(early) == {FrameKind.FRAME}
    assert found.admit("late", "192.0.2.1", LATER_MS) is FrameKind.UNKNOWN_DEVICE
    assert found.limited == {"address": 0, "gateway": 1}
    assert found.admit("e5", "192.0.2.1", LATER_MS) is FrameKind.FRAME
    assert found.admit("late", "192.0.2.1", LATER_MS + HOUR_MS) is FrameKind.FRAME


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GENERATION", 100)
    monkeypatch.setattr(module, "ADDRESSES", 50)
    found = admission(new_ids=10**9, per_address=10**9)
    for number in range(5000):
        found.admit(f"d{number}", f"192.0.{number % 200}.1", LATER_MS)
    assert len(found._seen) + len(found._seen_before) <= 200
    assert len(found._new_of) <= 51


def fix(device_id: str, second: int = 0) -> bytes:
    return f"*HQ,{device_id},V1,1011{second:02},A,5130.2500,N,00007.6500,W,019.71,045,150126,FFFFFFFF#".encode()


def feed(session: Session, *payloads: bytes) -> Turn:
    turn = Turn()
    for payload in payloads:
        got = session.receive(payload, LATER_MS)
        turn.frames += got.frames
        turn.opened += got.opened
    return turn


def session_under(policy: str) -> tuple[Session, Admission]:
    verdicts = admission(policy)
    return Session("s", "192.0.2.1:5000", "tcp", LATER_MS, Aliases(), "", verdicts), verdicts


def test_a_rejected_device_is_published_and_not_answered_until_it_is_registered() -> None:
    session, verdicts = session_under("reject")
    login = b"(088012345678BP05354188012345678260115A5130.2500N00007.6500W035.2101112045.0001000000L00000000)"
    turn = feed(session, login)
    assert [(f.kind, f.device_id, f.reply) for f in turn.frames] == [
        (FrameKind.UNKNOWN_DEVICE, "354188012345678", None)
    ]
    assert turn.opened == []
    verdicts.registered.add("354188012345678")
    turn = feed(session, login)
    assert turn.frames[0].kind is FrameKind.FRAME
    assert turn.frames[0].reply == b"(088012345678AP05)"
    assert turn.opened == ["354188012345678"]


def test_a_quarantined_device_is_answered_and_not_opened() -> None:
    session, _ = session_under("quarantine")
    login = b"(088012345678BP05354188012345678260115A5130.2500N00007.6500W035.2101112045.0001000000L00000000)"
    turn = feed(session, login)
    assert turn.frames[0].kind is FrameKind.QUARANTINED
    assert turn.frames[0].reply == b"(088012345678AP05)"
    assert turn.opened == []


def test_frames_before_the_login_share_the_verdict() -> None:
    session, verdicts = session_under("reject")
    login = bytes.fromhex("78780d0103541880123456780001671a0d0a")  # gt06: its other frames carry no id and wait for it
    heartbeat = bytes.fromhex("78780a134606040002007c220d0d0a")
    turn = feed(session, heartbeat, login)
    assert [(f.kind, f.device_id) for f in turn.frames] == [(FrameKind.UNKNOWN_DEVICE, "354188012345678")] * 2
    assert [f.reply for f in turn.frames] == [None, None]
    verdicts.registered.add("354188012345678")
    (frame,) = feed(session, login).frames
    assert frame.kind is FrameKind.FRAME
    assert frame.reply is not None


def test_a_flood_of_ids_on_one_connection_is_cut_off() -> None:
    session, _ = session_under("accept")
    turn = feed(session, *(fix(f"88{n:08}") for n in range(50)))
    assert [frame.kind for frame in turn.frames].count(FrameKind.FRAME) == 10
    assert len(turn.opened) == 10
