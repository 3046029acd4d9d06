"""Redacted frames: read by the decoders they show other ids and places that moved by whole degrees, and nothing private."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from deploy.cli.frames_redact import Redactor
from gateway.aliases import Aliases
from gateway.batch import Batch
from gateway.session import Session
from gateway.turn import OutFrame
from processors.decoders.registry import DECODERS
from schemas.records import Frame, FrameKind
from tests.frames.golden import CASES, load

LEAST = {"gps103": 110, "gt06": 150, "h02": 75, "jt808": 120, "meiligao": 5, "tk103": 95, "watch": 95, "xexun": 33}
"""Golden frames that are kept at least, of each protocol: a change that redacts fewer shows."""


def golden_frames() -> Iterator[tuple[Session, OutFrame]]:
    """Every frame of the golden cases that has a device."""
    for path in CASES:
        case = load(path)
        udp = case.get("transport") == "udp"
        session = Session("gateway-1-a-1", "198.51.100.7:5000", "udp" if udp else "tcp", 0, Aliases())
        for chunk in (bytes.fromhex(text) for text in [*case.get("setup", []), *case["chunks"]]):
            for out in (session.datagram(chunk, 0) if udp else session.receive(chunk, 0)).frames:
                if out.kind == FrameKind.FRAME and out.device_id:
                    yield session, out


def frame_of(session: Session, out: OutFrame) -> Frame:
    return Frame(out.payload, out.protocol, out.device_id, 0, session.facts.transport, out.row.dialect, out.row.login)


def test_what_is_kept_shows_other_ids_and_other_places() -> None:
    redactor, kept, moved = Redactor(b"k" * 32), Counter[str](), 0
    for session, out in golden_frames():
        frame = frame_of(session, out)
        payload = redactor.frame(frame)
        if payload is None:
            continue
        kept[out.protocol] += 1
        device_id, login = redactor.pseudonym(out.device_id), redactor.login(frame)
        assert device_id != out.device_id
        assert len(device_id) == len(out.device_id)
        for text in (payload, login):
            assert out.device_id.encode() not in text
            packed = out.device_id.zfill(len(out.device_id) + len(out.device_id) % 2)
            assert not packed.isdecimal() or bytes.fromhex(packed) not in text
        decode = DECODERS[out.protocol].decode
        before, after = decode(frame), decode(replace(frame, payload=payload, device_id=device_id, login=login))
        for old, new in zip(before, after, strict=True):
            assert (old.fix_time_ms, old.speed_kmh, old.alarms) == (new.fix_time_ms, new.speed_kmh, new.alarms)
            assert not new.cells
            assert not new.wifi
            if old.latitude and old.longitude:
                assert new.latitude is not None
                assert new.longitude is not None
                for was, now in ((old.latitude, new.latitude), (old.longitude, new.longitude)):
                    assert abs(now - was) == pytest.approx(round(abs(now - was)), abs=2e-5)
                    assert abs(now - was) > 0.5
                moved += 1
    assert moved > 200
    assert {name: count for name, count in kept.items() if count < LEAST[name]} == {}


def test_a_record_keeps_what_could_be_redacted_and_counts_the_rest() -> None:
    batch, frames = Batch(), 0
    for _, out in golden_frames():
        batch.add_frame(out)
        frames += 1
    redactor = Redactor(b"k" * 32)
    record = batch.to_record("gateway-1", 0)
    hidden = redactor.batch(record)
    assert len(hidden.frames.payload) + redactor.left_out.total() == frames
    assert redactor.left_out.total() > 0
    assert all(peer.startswith("192.0.2.") for peer in hidden.sessions.peer)
    assert not any("gateway-1" in name for name in [hidden.gateway, *hidden.sessions.session_id])
    assert not {*record.frames.device_id} & {*hidden.frames.device_id}
    same = {*record.frames.payload} & {*hidden.frames.payload}
    assert all(payload[:1] in b"xy" for payload in same)  # gt06 without a place: no id is in it


def test_one_file_one_pseudonym_and_another_file_another() -> None:
    one, two = Redactor(b"a" * 32), Redactor(b"b" * 32)
    assert one.pseudonym("354188012345678") == one.pseudonym("354188012345678")
    assert one.pseudonym("354188012345678") != two.pseudonym("354188012345678")
    assert one.pseudonym("354188012345678").isdecimal()
    assert Redactor().pseudonym("354188012345678") != Redactor().pseudonym("354188012345678")
