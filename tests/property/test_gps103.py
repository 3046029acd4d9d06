"""Laws of the gps103 module: cuts do not matter, garbage costs only itself, nothing is slow or else raises."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.aliases import Aliases
from gateway.protocols import gps103
from gateway.protocols.base import Facts, Verdict
from gateway.session import Session
from gateway.turn import OutFrame
from processors.decoders import gps103 as decoder
from schemas.errors import FrameError
from schemas.records import Frame, FrameKind
from tests.frames.golden import load
from tests.property import laws

LOGIN = b"##,imei:354188012345678,A;"
FIX = (
    b"imei:354188012345678,tracker,260115181112,,F,101112.000,A,5130.2500,N,00007.6500,W,"
    b"19.71,45.50,31.0,1,0,52.5%,,+22;"
)
BEAT = b"354188012345678;"
MIXED = {"foreign_behind", "cell_only_glued"}
"""Cases of other protocols that hold a frame of this one, or the head of one, on purpose."""
SAMPLES = laws.samples("gps103")
STREAMS = laws.stream_cases("gps103")
payloads = partial(laws.split_stream, gps103)


@pytest.mark.parametrize("path", STREAMS, ids=laws.stem)
def test_every_cut_gives_the_same_frames(path: Path) -> None:
    laws.check_every_cut(gps103, b"".join(laws.chunks_of(path)), all_below=600)


def told(chunks: list[bytes]) -> list[OutFrame]:
    """What a session publishes, but for undecided bytes."""
    return [frame for frame in laws.session_frames(chunks) if frame.kind is not FrameKind.UNDECIDED]


@pytest.mark.parametrize("path", STREAMS, ids=laws.stem)
def test_a_session_gives_the_frames_and_replies_of_the_case_however_cut(path: Path) -> None:
    whole = b"".join(laws.chunks_of(path))
    wanted = [(frame.payload, frame.reply, frame.device_id) for frame in told([whole])]
    assert len(wanted) == load(path)["expect"]["frames"]
    for size in (1, 2, 7, 64):
        cut = told(laws.pieces(whole, size))
        assert [(frame.payload, frame.reply, frame.device_id) for frame in cut] == wanted, size


@pytest.mark.parametrize("path", STREAMS, ids=laws.stem)
def test_detection_waits_and_then_stays(path: Path) -> None:
    """Over the bytes as they come the answer is MORE, then YES for good: never a NO before a YES, never a change."""
    first = b"".join(laws.chunks_of(path))
    ends = range(1, min(len(first), 400) + 1)
    answers = laws.verdicts(gps103, first, False, ends)
    assert answers == sorted(answers)
    assert answers[0] is Verdict.MORE
    ended = laws.verdicts(gps103, first, True, ends)
    assert ended[-1] is Verdict.YES
    assert Verdict.MORE not in ended


@pytest.mark.parametrize("path", [path for path in laws.strangers("gps103") if path.stem not in MIXED], ids=laws.label)
def test_nobody_elses_frames_are_claimed(path: Path) -> None:
    for chunk in laws.chunks_of(path):
        data = chunk.lstrip(b"\r\n \x00")
        assert all(rule.detect(data, True) is not Verdict.YES for rule in gps103.RULES if data[:1] in rule.first)
        assert gps103.strong_start(chunk, 0) < 0


@pytest.mark.parametrize(
    ("first", "waiting", "silent"),
    [
        (b"354188012345678", Verdict.MORE, Verdict.YES),
        (b"354188012345678\r\n", Verdict.MORE, Verdict.YES),
        (b"354188012345678\r\n354188012345678\r\n", Verdict.MORE, Verdict.YES),
        (b"354188012345678;", Verdict.YES, Verdict.YES),
        (b"354188012345678im", Verdict.MORE, Verdict.NO),
        (b"35418801234567;", Verdict.YES, Verdict.YES),
        (b"35418801234567", Verdict.MORE, Verdict.NO),
        (b"35418801234567890;", Verdict.YES, Verdict.YES),
        (b"354188012345678901", Verdict.NO, Verdict.NO),
        (b"3541880123456;", Verdict.NO, Verdict.NO),
        (b"354188012345678\r\n$", Verdict.NO, Verdict.NO),
        (b"354188012345678$GPRMC,", Verdict.NO, Verdict.NO),
        (b"0132$MGV002,", Verdict.NO, Verdict.NO),
        (b"990000561287964,$GPRMC", Verdict.NO, Verdict.NO),
        (b"4711/022789000688081/$GPRMC,", Verdict.NO, Verdict.NO),
        (b"151021112609,+10000000000,GPRMC,", Verdict.NO, Verdict.NO),
        (b"99999999#SD#", Verdict.NO, Verdict.NO),
    ],
)
def test_digits_first(first: bytes, waiting: Verdict, silent: Verdict) -> None:
    """Rule 10 is shared with T55, Megastek and xexun: their forms are not ours, and bare digits wait."""
    assert gps103.detect_heartbeat(first, False) is waiting
    assert gps103.detect_heartbeat(first, True) is silent


def test_silence_decides_bare_digits() -> None:
    session = Session("s", "", "tcp", 0, Aliases())
    assert session.receive(b"354188012345678\r\n", 0).frames == []
    assert session.advance(1_000).frames == []
    (beat,) = session.advance(2_100).frames
    assert (beat.protocol, beat.device_id, beat.reply) == ("gps103", "354188012345678", b"ON")


def test_silence_ends_a_frame_without_an_end() -> None:
    session = Session("s", "", "tcp", 0, Aliases())
    session.receive(LOGIN, 0)
    assert session.receive(FIX[:-1], 1).frames == []
    (fix,) = session.advance(2_100).frames
    assert fix.payload == FIX[:-1]
    assert session.receive(FIX[:60], 3_000).frames == []
    assert session.advance(9_000).frames == []  # no fix yet: half a frame


def test_a_device_of_one_digit_after_its_login() -> None:
    session = Session("s", "", "tcp", 0, Aliases())
    first, second, _ = (session.receive(chunk, 0).frames for chunk in (b"##,imei:7,A;", b"7;", b"8;"))
    assert [frame.reply for frame in (*first, *second)] == [b"LOAD", b"ON"]
    assert {frame.device_id for frame in told([b"##,imei:7,A;", b"7;8;", FIX])} == {"7", "354188012345678"}


def test_the_rest_of_a_frame_with_a_line_end_inside_is_dropped_silently() -> None:
    session = Session("s", "", "tcp", 0, Aliases())
    frames = session.receive(b"imei:354188012345678,tracker,000000000,,L,,,24b2,,3069,,\n,;\r\n;" + FIX, 0).frames
    frames += session.finish(9_000).frames
    assert [frame.kind for frame in frames] == [FrameKind.FRAME] * 2
    assert session.unknown_bytes == 0


def test_a_photo_longer_than_text_and_one_that_never_ends() -> None:
    photo = b"imei:354188012345678,vr,0000" + (7_000).to_bytes(2, "little").hex().encode() + b"5a" * 7_002 + b";"
    assert payloads([photo + FIX]) == [photo, FIX]
    endless = b"imei:354188012345678,vr," + b"5a" * 20_000
    assert payloads([endless, FIX]) == [FIX]
    assert payloads([b"imei:354188012345678,tracker," + b"5a" * 600 + FIX]) == [FIX]


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_cuts_of_glued_and_damaged_frames(data: st.DataObject) -> None:
    """Frames glued in any order, with bytes changed, lost and put in between: any cut gives the same frames."""
    inserts = [b";", b",", b"*", b"\r\n", b"imei:", b"##,", b"1", b"12345678901234567", b";;", b",\n,;", b" "]
    whole = laws.draw_damaged(data, [*SAMPLES, LOGIN, BEAT, FIX], inserts, changes=5, filler=b";")
    assert payloads(laws.draw_cut(data, whole)) == payloads([whole])


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_only_device_errors(data: st.DataObject) -> None:
    """Whatever the bytes, split raises only FrameError, decode only DecodeError, identify and reply nothing."""
    heads = [b"", b"imei:1,", b"##,imei:", b"1"]
    byte = st.one_of(laws.ANY_BYTE, st.sampled_from(list(b",;0AFL*.")))
    laws.check_only_device_errors(gps103, laws.draw_hostile(data, SAMPLES, heads, 8, byte), Facts())


@given(
    moment_s=st.integers(1_200_000_000, 1_900_000_000),
    quarters=st.integers(-44, 47),
    skew_s=st.integers(-60, 60),
    seconds=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_any_zone_gives_the_time_of_the_fix(moment_s: int, quarters: int, skew_s: int, seconds: bool) -> None:
    """Zones from -11 to +11:45 h, clocks up to a minute apart: the fix is when it was, with or without an arrival."""
    local = time.strftime("%y%m%d%H%M%S", time.gmtime(moment_s + quarters * 900 + skew_s)).encode()
    utc = time.strftime("%H%M%S", time.gmtime(moment_s)).encode()
    payload = FIX.replace(b"260115181112", local if seconds else local[:10]).replace(b"101112.000", utc + b".000")
    for received_ms in (None, moment_s * 1000 + 700):
        (position,) = decoder.decode(Frame(payload, "gps103", received_ms=received_ms))
        assert position.fix_time_ms == moment_s * 1000
        assert position.valid


@pytest.mark.parametrize(
    "noise", [b"\x00\xff\x7e\x01\x02", b"hello\r\n", b")$#", b"45.50,31.0,1,0,52.5%;", b"##", b"imei", b"#,", b",,,"]
)
def test_noise_in_front_costs_only_the_noise(noise: bytes) -> None:
    assert payloads([noise + FIX + noise + LOGIN]) == [FIX, LOGIN]
    assert [frame.payload for frame in told([LOGIN + noise + FIX])] == [LOGIN, FIX]


def test_noise_is_no_heartbeat() -> None:
    """What is left of a frame ends with digits and a semicolon: it is answered by nobody."""
    frames = told([LOGIN, b"0.00,31.0,1,0,52;17;12345678901234567;" + FIX])
    assert [frame.reply for frame in frames] == [b"LOAD", None]


WORST = laws.worst_cases(
    (
        *(bytes([byte]) for byte in b"#,;im:1*AF%\x00\r \n"),
        b"##,",
        b"imei:",
        b"imei:1,",
        b"imei:1,a",
        b"imei:123456789012345,,,",
        b"imei:123456789012345",
        b"##,imei:",
        b"123456789012345",
        b"123456789012345\r\n",
        b"123456789012345\r\n" * 30 + b"1",
        b"1;",
        b"12345678901234567im",
        b",;",
        b",,,,,,,,,",
        b"\r\n,",
        b"L,F,",
        b"OBD,",
        FIX,
        FIX[:-1],
        BEAT,
    ),
    shown=24,
)
HEADS = (b"imei:1,tracker,,,F,", b"imei:1,OBD,", b"imei:1,vr,", b"imei:1,,,,L,", b"##,imei:", b"imei:1,")


@pytest.mark.parametrize("worst", WORST)
def test_worst_input_is_linear(worst: bytes) -> None:
    """64 KiB of the worst bytes through each entry in less than 50 ms."""
    frames = (worst, *(head + worst for head in HEADS))
    laws.check_frames_are_quick(gps103, frames)
    for frame in frames:
        for quiet in (False, True):
            assert laws.seconds(_split, frame, quiet) < laws.WORST_S
    laws.check_search_is_quick(gps103, worst)
    for rule in gps103.RULES:
        assert laws.seconds(rule.detect, worst, True) < laws.WORST_S


def _split(payload: bytes, quiet: bool) -> None:
    try:
        gps103.split(payload, 0, Facts(), quiet)
    except FrameError:
        return


@pytest.mark.parametrize("worst", WORST)
def test_a_stream_of_the_worst_is_linear(worst: bytes) -> None:
    """Every frame and every resynchronisation of twice the bytes takes no more than about twice the time."""
    half = laws.seconds(payloads, [worst[: laws.WORST_BYTES // 2]])
    assert laws.seconds(payloads, [worst]) < 3.5 * half + laws.WORST_S
