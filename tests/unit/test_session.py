"""The connection without its socket: detection, framing, identity, holding, giving up."""

from __future__ import annotations

import pytest

from gateway import session as module
from gateway.aliases import Aliases
from gateway.session import Session
from gateway.turn import Turn
from schemas.records import FrameKind

LOGIN = b"(088012345678BP05354188012345678260115A5130.2500N00007.6500W036.5101112045.5001000000L00001A2B)"
REPORT = b"(088012345678BR00260115A5130.2500N00007.6500W036.5101113045.5001000000L00001A2B)"
H02 = b"*HQ,8800123456,V1,101112,A,5130.2500,N,00007.6500,W,019.71,045,150126,FFFFFFFF#"
H02_NO_ID = b"*HQ,,V1,101112,A,5130.2500,N,00007.6500,W,019.71,045,150126,FFFFFFFF#"
IMEI = "354188012345678"


def new(transport: str = "tcp", aliases: Aliases | None = None) -> Session:
    return Session("s1", "192.0.2.1:5000", transport, 1000, aliases or Aliases())


def frames(turn: Turn) -> list[tuple[str, str, bytes]]:
    return [(f.protocol, f.device_id, f.payload) for f in turn.frames if f.kind != FrameKind.UNDECIDED]


def undecided(turn: Turn) -> bytes:
    return b"".join(f.payload for f in turn.frames if f.kind == FrameKind.UNDECIDED)


def test_login_gives_the_identity_of_later_frames() -> None:
    session = new()
    turn = session.receive(LOGIN + REPORT, 1000)
    assert frames(turn) == [("tk103", IMEI, LOGIN), ("tk103", IMEI, REPORT)]
    assert [f.reply for f in turn.frames] == [b"(088012345678AP05)", None]
    assert turn.opened == [IMEI]
    assert session.pending_bytes == 0


def test_a_short_id_without_login_stays_as_sent() -> None:
    assert frames(new().receive(REPORT, 1000)) == [("tk103", "088012345678", REPORT)]


def test_a_learnt_pair_serves_other_sessions_and_the_first_one_stands() -> None:
    aliases = Aliases()
    new(aliases=aliases).receive(LOGIN, 1000)
    assert aliases.take_unsent() == [("tk103", "088012345678", IMEI)]
    assert frames(new(aliases=aliases).receive(REPORT, 1000))[0][1] == IMEI
    forged = new(aliases=aliases)
    forged.receive(LOGIN.replace(IMEI.encode(), b"999999999999999"), 1000)
    assert aliases.take_unsent() == []
    assert aliases.conflicts == {("tk103", "088012345678", "999999999999999"): 1}
    assert frames(new(aliases=aliases).receive(REPORT, 1000))[0][1] == IMEI


def test_the_operators_word_comes_before_what_was_learnt() -> None:
    aliases = Aliases()
    aliases.load("tk103", "088012345678", IMEI)
    aliases.set_operator("tk103", "088012345678", "van-7")
    assert frames(new(aliases=aliases).receive(REPORT, 1000))[0][1] == "van-7"
    assert aliases.lookup("h02", "088012345678") == "", "pairs belong to their protocol"


def test_two_protocols_on_one_connection() -> None:
    turn = new().receive(REPORT + H02 + REPORT, 1000)
    assert [f[0] for f in frames(turn)] == ["tk103", "h02", "tk103"]
    assert undecided(turn) == b""


def test_frames_before_the_identity_are_held_and_go_first() -> None:
    session = new()
    held = session.receive(H02_NO_ID, 1000)
    assert held.frames == []
    assert session.pending_bytes == len(H02_NO_ID)
    turn = session.receive(H02, 2000)
    assert frames(turn) == [("h02", "8800123456", H02_NO_ID), ("h02", "8800123456", H02)]
    assert all(f.reply for f in turn.frames)


def test_without_login_held_frames_go_out_without_device_and_are_answered() -> None:
    session = new()
    session.receive(H02_NO_ID, 1000)
    assert session.advance(1000 + module.HOLD_MS - 1).frames == []
    turn = session.advance(1000 + module.HOLD_MS)
    assert [(f.kind, f.device_id) for f in turn.frames] == [(FrameKind.NO_IDENTITY, "")]
    assert turn.frames[0].reply


def test_too_many_held_bytes_are_released_at_once() -> None:
    session = new()
    count = module.HOLD_BYTES // len(H02_NO_ID) + 2
    released = sum(len(session.receive(H02_NO_ID, 1000).frames) for _ in range(count))
    assert released >= module.HOLD_BYTES // len(H02_NO_ID)
    assert session.pending_bytes <= module.HOLD_BYTES


@pytest.mark.parametrize("garbage", [b"\r\n \x00", b"xyz", b"\xff\xfe\xfd\xfc\xfb"])
def test_garbage_before_the_first_frame_costs_only_the_garbage(garbage: bytes) -> None:
    session = new()
    turn = session.receive(garbage + LOGIN, 1000)
    assert frames(turn) == [("tk103", IMEI, LOGIN)]
    assert undecided(turn).strip(b"\r\n \x00") == garbage.strip(b"\r\n \x00")


def test_line_ends_between_frames_are_nobodys_loss() -> None:
    turn = new().receive(REPORT + b"\r\n" + REPORT + b"\r\n", 1000)
    assert len(frames(turn)) == 2
    assert undecided(turn) == b""


def test_noise_between_frames_is_published_once() -> None:
    session = new()
    turn = session.receive(REPORT + b"#garbage#" + REPORT, 1000)
    assert len(frames(turn)) == 2
    assert undecided(turn) == b"#garbage#"
    assert session.unknown_bytes == 9


def test_unknown_bytes_are_kept_then_given_up_and_the_connection_closed() -> None:
    session = new()
    assert session.receive(b"SSH-2.0-OpenSSH_9.6\r\n", 1000).frames == []
    assert session.advance(3000).close == ""
    turn = session.advance(1000 + module.UNDECIDED_MS)
    assert turn.close == "unknown protocol"
    assert undecided(turn) == b"SSH-2.0-OpenSSH_9.6\r\n"
    assert session.pending_bytes == 0


def test_more_than_a_kibibyte_of_unknown_bytes_is_given_up_at_once() -> None:
    turn = new().receive(b"z" * 1025, 1000)
    assert turn.close == "unknown protocol"
    assert undecided(turn) == b"z" * 1025


def test_a_megabyte_without_a_terminator_stays_bounded() -> None:
    session, most = new(), 0
    session.receive(REPORT, 1000)
    for _ in range(256):
        turn = session.receive(b"(" + b"1" * 4095, 1000)
        most = max(most, session.pending_bytes)
        if turn.close:
            break
    assert most <= 64 * 1024


def test_half_a_frame_is_dropped_after_a_minute_and_the_next_one_is_read() -> None:
    session = new()
    session.receive(REPORT, 1000)
    session.receive(REPORT[:40], 2000)
    turn = session.advance(2000 + module.HALF_FRAME_MS)
    assert undecided(turn) == REPORT[:40]
    assert frames(session.receive(REPORT, 70_000)) == [("tk103", "088012345678", REPORT)]


def test_a_datagram_is_whole_by_itself() -> None:
    session = new("udp")
    assert len(frames(session.datagram(LOGIN + REPORT, 1000))) == 2
    turn = session.datagram(REPORT[:40], 1000)
    assert frames(turn) == []
    assert undecided(turn) == REPORT[:40]
    assert [f[0] for f in frames(session.datagram(H02, 1000))] == ["h02"]
    assert session.pending_bytes == 0


def test_an_unidentified_datagram_is_never_answered() -> None:
    turn = new("udp").datagram(H02_NO_ID, 1000)
    assert [(f.kind, f.reply) for f in turn.frames] == [(FrameKind.NO_IDENTITY, None)]


def test_another_device_behind_the_same_address_gets_no_foreign_identity() -> None:
    session = new("udp")
    session.datagram(LOGIN, 1000)
    assert session.datagram(H02_NO_ID, 1000).frames[0].kind == FrameKind.NO_IDENTITY


def test_tiny_datagrams_are_keep_alives() -> None:
    session = new("udp")
    assert session.datagram(b"\xff", 1000).frames == []
    assert session.unknown_bytes == 0


def test_the_end_of_the_connection_gives_everything_up() -> None:
    session = new()
    session.receive(H02_NO_ID, 1000)
    session.receive(b"*HQ,88", 1000)
    turn = session.finish(1000)
    assert [f.kind for f in turn.frames] == [FrameKind.UNDECIDED, FrameKind.NO_IDENTITY]
    assert session.pending_bytes == 0
