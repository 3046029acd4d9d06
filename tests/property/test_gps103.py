"""Laws of the gps103 module: cuts do not matter, garbage costs only itself, nothing is slow or else raises."""

from __future__ import annotations

import time
from collections.abc import Callable
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
from schemas.errors import DecodeError, FrameError
from schemas.records import Frame, FrameKind
from tests.frames.golden import CASES, load, split_all

WORST_BYTES = 64 * 1024
WORST_S = 0.05
ARRIVAL_MS = 1_768_471_872_000
LOGIN = b"##,imei:354188012345678,A;"
FIX = (
    b"imei:354188012345678,tracker,260115181112,,F,101112.000,A,5130.2500,N,00007.6500,W,"
    b"19.71,45.50,31.0,1,0,52.5%,,+22;"
)
BEAT = b"354188012345678;"


def chunks_of(path: Path) -> list[bytes]:
    return [bytes.fromhex(chunk) for chunk in load(path)["chunks"]]


OWN = [path for path in CASES if path.parent.name == "gps103" and load(path)["expect"]["protocol"]]
STREAMS = [pytest.param(path, id=path.stem) for path in OWN if load(path)["transport"] == "tcp"]
MIXED = {"foreign_behind", "cell_only_glued"}
"""Cases of other protocols that hold a frame of this one, or the head of one, on purpose."""
OTHERS = [
    pytest.param(path, id=f"{path.parent.name}/{path.stem}")
    for path in CASES
    if load(path)["expect"]["protocol"] != "gps103" and path.stem not in MIXED
]
SAMPLES = [chunk for path in OWN for chunk in chunks_of(path)]


def payloads(chunks: list[bytes]) -> list[bytes]:
    return list(split_all(gps103, chunks, Facts(), False))


@pytest.mark.parametrize("path", STREAMS)
def test_every_cut_gives_the_same_frames(path: Path) -> None:
    whole = b"".join(chunks_of(path))
    wanted = payloads([whole])
    assert payloads([whole[at : at + 1] for at in range(len(whole))]) == wanted
    for at in range(1, len(whole), 1 if len(whole) < 600 else 7):
        assert payloads([whole[:at], whole[at:]]) == wanted, at


def session_frames(chunks: list[bytes]) -> list[OutFrame]:
    session = Session("s", "", "tcp", 0, Aliases())
    frames = [frame for chunk in chunks for frame in session.receive(chunk, 0).frames]
    frames += session.finish(0).frames
    return [frame for frame in frames if frame.kind is not FrameKind.UNDECIDED]


@pytest.mark.parametrize("path", STREAMS)
def test_a_session_gives_the_frames_and_replies_of_the_case_however_cut(path: Path) -> None:
    whole = b"".join(chunks_of(path))
    wanted = [(frame.payload, frame.reply, frame.device_id) for frame in session_frames([whole])]
    assert len(wanted) == load(path)["expect"]["frames"]
    for size in (1, 2, 7, 64):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert [(frame.payload, frame.reply, frame.device_id) for frame in session_frames(pieces)] == wanted, size


@pytest.mark.parametrize("path", STREAMS)
def test_detection_waits_and_then_stays(path: Path) -> None:
    """Over the bytes as they come the answer is MORE, then YES for good: never a NO before a YES, never a change."""
    first = b"".join(chunks_of(path))
    rules = [rule for rule in gps103.RULES if first[0] in rule.first]
    answers = [max(rule.detect(first[:end], False) for rule in rules) for end in range(1, min(len(first), 400) + 1)]
    assert answers == sorted(answers)
    assert answers[0] is Verdict.MORE
    ended = [max(rule.detect(first[:end], True) for rule in rules) for end in range(1, min(len(first), 400) + 1)]
    assert ended[-1] is Verdict.YES
    assert Verdict.MORE not in ended


@pytest.mark.parametrize("path", OTHERS)
def test_nobody_elses_frames_are_claimed(path: Path) -> None:
    for chunk in chunks_of(path):
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
    assert {frame.device_id for frame in session_frames([b"##,imei:7,A;", b"7;8;", FIX])} == {"7", "354188012345678"}


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
    frames = data.draw(st.lists(st.sampled_from([*SAMPLES, LOGIN, BEAT, FIX]), min_size=1, max_size=4))
    stream = bytearray(b"".join(frames)[:3000])
    for _ in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(0, len(stream) - 1))
        put = st.sampled_from(
            [b";", b",", b"*", b"\r\n", b"imei:", b"##,", b"1", b"12345678901234567", b";;", b",\n,;", b" "]
        )
        stream[at : at + data.draw(st.integers(0, 3))] = data.draw(st.one_of(st.binary(max_size=3), put))
        stream = stream or bytearray(b";")
    whole = bytes(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert payloads(chunks) == payloads([whole])


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_only_device_errors(data: st.DataObject) -> None:
    """Whatever the bytes, split raises only FrameError, decode only DecodeError, identify and reply nothing."""
    if data.draw(st.booleans()):
        payload = data.draw(st.sampled_from([b"", b"imei:1,", b"##,imei:", b"1"])) + data.draw(st.binary(max_size=200))
    else:
        mutable = bytearray(data.draw(st.sampled_from(SAMPLES)))
        for _ in range(data.draw(st.integers(1, 8))):
            at = data.draw(st.integers(0, len(mutable) - 1))
            mutable[at] = data.draw(st.one_of(st.integers(0, 255), st.sampled_from(list(b",;0AFL*."))))
        payload = bytes(mutable)
    for quiet in (False, True):
        for piece in split_all(gps103, [payload], Facts(), quiet):  # split_all lets FrameError alone pass
            assert piece in payload
    facts = Facts()
    for piece in (payload, *split_all(gps103, [payload], facts, True)):
        gps103.identify(piece, facts)
        gps103.reply(piece, facts, ARRIVAL_MS)
        gps103.validates(piece)
        for received_ms in (None, ARRIVAL_MS):
            frame = Frame(piece, "gps103", received_ms=received_ms)
            decoder.content(frame)
            try:
                positions = decoder.decode(frame)
            except DecodeError:
                continue
            for position in positions:
                assert position.latitude is None or -90 <= position.latitude <= 90
                assert position.longitude is None or -180 <= position.longitude <= 180
                assert (position.latitude is None) == (position.longitude is None)
                assert not (position.valid and position.latitude is None)
                assert position.course_deg is None or 0 <= position.course_deg <= 360


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
    assert [frame.payload for frame in session_frames([LOGIN + noise + FIX])] == [LOGIN, FIX]


def test_noise_is_no_heartbeat() -> None:
    """What is left of a frame ends with digits and a semicolon: it is answered by nobody."""
    frames = session_frames([LOGIN, b"0.00,31.0,1,0,52;17;12345678901234567;" + FIX])
    assert [frame.reply for frame in frames] == [b"LOAD", None]


def _repeat(pattern: bytes) -> bytes:
    return (pattern * (WORST_BYTES // len(pattern) + 1))[:WORST_BYTES]


WORST = [
    pytest.param(_repeat(pattern), id=repr(pattern[:24]))
    for pattern in (
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
    )
]
HEADS = (b"imei:1,tracker,,,F,", b"imei:1,OBD,", b"imei:1,vr,", b"imei:1,,,,L,", b"##,imei:", b"imei:1,")


def _seconds(call: Callable[[], object]) -> float:
    best = 1.0
    for _ in range(3):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
        if best < WORST_S / 2:
            break
    return best


@pytest.mark.parametrize("worst", WORST)
def test_worst_input_is_linear(worst: bytes) -> None:
    """64 KiB of the worst bytes through each entry in less than 50 ms."""

    def decode(payload: bytes) -> None:
        try:
            decoder.decode(Frame(payload, "gps103", received_ms=ARRIVAL_MS))
        except DecodeError:
            return

    for payload in (worst, *(head + worst for head in HEADS)):
        assert _seconds(lambda payload=payload: decode(payload)) < WORST_S  # type: ignore[misc]
        assert _seconds(lambda payload=payload: gps103.validates(payload)) < WORST_S  # type: ignore[misc]
        assert _seconds(lambda payload=payload: gps103.identify(payload, Facts())) < WORST_S  # type: ignore[misc]
        assert _seconds(lambda payload=payload: gps103.reply(payload, Facts(), ARRIVAL_MS)) < WORST_S  # type: ignore[misc]
        for quiet in (False, True):
            assert _seconds(lambda payload=payload, quiet=quiet: _split(payload, quiet)) < WORST_S  # type: ignore[misc]
    for rule in gps103.RULES:
        for ended in (False, True):
            assert _seconds(lambda rule=rule, ended=ended: rule.detect(worst, ended)) < WORST_S  # type: ignore[misc]
    assert _seconds(lambda: gps103.strong_start(worst, 0)) < WORST_S
    assert _seconds(lambda: gps103.resync(worst, 1)) < WORST_S


def _split(payload: bytes, quiet: bool) -> None:
    try:
        gps103.split(payload, 0, Facts(), quiet)
    except FrameError:
        return


@pytest.mark.parametrize("worst", WORST)
def test_a_stream_of_the_worst_is_linear(worst: bytes) -> None:
    """Every frame and every resynchronisation of twice the bytes takes no more than about twice the time."""
    half = _seconds(lambda: payloads([worst[: WORST_BYTES // 2]]))
    assert _seconds(lambda: payloads([worst])) < 3.5 * half + WORST_S
