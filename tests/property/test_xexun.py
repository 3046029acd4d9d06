"""Laws of the xexun module: cuts do not matter, garbage costs only itself, nothing is slow or else raises."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.aliases import Aliases
from gateway.protocols import xexun
from gateway.protocols.base import Facts, Verdict
from gateway.session import Session
from processors.decoders import xexun as decoder
from schemas.errors import DecodeError
from schemas.records import Attribute, Frame, FrameKind
from tests.frames.golden import CASES, load, split_all

WORST_BYTES = 64 * 1024
WORST_S = 0.05
ARRIVAL_MS = 1_768_471_872_000
SENTENCE = b"GPRMC,101112.000,A,5130.2500,N,00007.6500,W,19.71,45.50,150126,,,A*71"
BASIC = SENTENCE + b",F,,imei:354188012345678,"
LEFT = b"260115181112,+441234567890,"
FULL = LEFT + SENTENCE + b",F,, imei:354188012345678,09,31.0,F:4.15V,1,141,12345,234,10,0702,9C8C"
H02_FIX = b"*HQ,8800123456,V1,101112,A,5130.2500,N,00007.6500,W,19.71,45,150126,FFFFFBFF#"
CELL_ONLY = b",+48601234567,,L,, imei:354188012345678,,,F:4.28V,1,52,11565,260,01,000E,1FC5"


def chunks_of(path: Path) -> list[bytes]:
    return [bytes.fromhex(chunk) for chunk in load(path)["chunks"]]


def streams(clean: bool) -> list[ParameterSet]:
    """Golden cases of a stream; clean: those that begin with a frame."""
    return [
        pytest.param(path, id=path.stem)
        for path in CASES
        if path.parent.name == "xexun"
        and (case := load(path))["expect"]["protocol"]
        and case["transport"] == "tcp"
        and not (clean and "detected" in case["expect"])
    ]


SAMPLES = [
    chunk
    for path in CASES
    if path.parent.name == "xexun" and load(path)["expect"]["protocol"]
    for chunk in chunks_of(path)
]
OTHERS = [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in CASES if path.parent.name != "xexun"]


def payloads(chunks: list[bytes]) -> list[bytes]:
    return list(split_all(xexun, chunks, Facts(), False))


@pytest.mark.parametrize("path", streams(clean=False))
def test_every_cut_gives_the_same_frames(path: Path) -> None:
    whole = b"".join(chunks_of(path))
    wanted = payloads([whole])
    assert payloads([whole[at : at + 1] for at in range(len(whole))]) == wanted
    step = 1 if len(whole) < 500 else 7
    for at in range(1, len(whole), step):
        assert payloads([whole[:at], whole[at:]]) == wanted, at


def verdict(buffer: bytes, ended: bool) -> Verdict:
    return max(rule.detect(buffer, ended) for rule in xexun.RULES if buffer[0] in rule.first)


@pytest.mark.parametrize("path", streams(clean=True))
def test_detection_waits_and_then_stays(path: Path) -> None:
    """Over the bytes as they come the answer is MORE, then YES for good: never a NO before a YES, never a change."""
    first = chunks_of(path)[0]
    answers = [verdict(first[:end], False) for end in range(1, min(len(first), 100) + 1)]
    assert answers == sorted(answers)
    assert answers[0] is Verdict.MORE
    assert answers[-1] is Verdict.YES
    assert answers.index(Verdict.YES) < 72
    assert all(verdict(first[:end], True) is not Verdict.MORE for end in range(1, 100))


@pytest.mark.parametrize("path", OTHERS)
def test_frames_of_other_protocols_are_not_claimed(path: Path) -> None:
    for chunk in (bytes.fromhex(text) for key in ("setup", "chunks") for text in load(path).get(key, [])):
        for rule in xexun.RULES:
            assert rule.detect(chunk, True) is Verdict.NO
            assert rule.detect(chunk, False) is not Verdict.YES
        assert xexun.strong_start(chunk, 0) == -1
        for piece in split_all(xexun, [chunk], Facts(), True):
            assert not xexun.validates(piece)


@pytest.mark.parametrize(
    "start",
    [
        b"$" + SENTENCE,
        b"354188012345678$" + SENTENCE,
        LEFT + b"$" + SENTENCE,
        b"STX,354188012345678,$" + SENTENCE,
        b"imei:354188012345678rmc:" + SENTENCE,
        b"imei=354188012345678&rmc=" + SENTENCE,
        b"354188012345678,," + SENTENCE,
        b"X" + SENTENCE,
    ],
)
def test_a_sentence_in_other_clothes_is_refused(start: bytes) -> None:
    """T55, Megastek and Sanav have the same sentence, with a `$` before it or the id in front of it."""
    for buffer in (start, start + b",F,,imei:354188012345678,05"):
        assert [rule.detect(buffer, ended) for rule in xexun.RULES for ended in (False, True)] == [Verdict.NO] * 4


def test_garbage_in_front_is_passed_by_a_strong_start() -> None:
    for noise in (b"\x00\x01\xff\xfe\x80", b"hello ", b"GPRMC,1", b"12345,"):
        assert xexun.strong_start(noise + BASIC, 0) == len(noise)
        assert xexun.strong_start(noise + b";" + FULL, 0) == len(noise) + 1
    assert xexun.strong_start(b"...$" + BASIC, 0) == -1
    assert xexun.strong_start(SENTENCE + b"\r\n" + SENTENCE, 0) == -1


PIECES = [
    b"GPRMC,",
    b"imei:",
    b"$",
    b",",
    b"\r\n",
    b"\n\r",
    b"0",
    b"1234567890",
    b"TELKO,",
    b"*71",
    b",L,",
    b"(",
    b"101\r",
]


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_cuts_of_glued_and_damaged_frames(data: st.DataObject) -> None:
    """Frames glued in any order, with bytes changed, lost and put in between: any cut gives the same frames."""
    frames = data.draw(st.lists(st.sampled_from([*SAMPLES, BASIC, FULL, CELL_ONLY]), min_size=1, max_size=4))
    stream = bytearray(b"".join(frames)[:3000])
    for _ in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([*PIECES, BASIC, LEFT, SENTENCE]))
        )
        stream = stream or bytearray(b"G")
    whole = bytes(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert payloads(chunks) == payloads([whole])


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_only_device_errors(data: st.DataObject) -> None:
    """Whatever the bytes, split raises only FrameError, decode only DecodeError, identify and reply nothing."""
    if data.draw(st.booleans()):
        payload = data.draw(st.binary(max_size=200))
    else:
        mutable = bytearray(data.draw(st.sampled_from([*SAMPLES, BASIC, FULL, CELL_ONLY])))
        for _ in range(data.draw(st.integers(1, 6))):
            mutable[data.draw(st.integers(0, len(mutable) - 1))] = data.draw(st.integers(0, 255))
        payload = bytes(mutable)
    for quiet in (False, True):
        for piece in split_all(xexun, [payload], Facts(), quiet):  # split_all lets FrameError alone pass
            assert piece in payload
    facts = Facts()
    for piece in (payload, *split_all(xexun, [payload], facts, True)):
        xexun.identify(piece, facts)
        xexun.validates(piece)
        assert xexun.reply(piece, facts, ARRIVAL_MS) is None
        for received_ms in (None, ARRIVAL_MS):
            frame = Frame(piece, "xexun", received_ms=received_ms)
            decoder.content(frame)
            try:
                positions = decoder.decode(frame)
            except DecodeError:
                continue
            for position in positions:
                assert position.latitude is None or -90 <= position.latitude <= 90
                assert position.longitude is None or -180 <= position.longitude <= 180
                assert (position.latitude is None) == (position.longitude is None)
                assert not (position.valid and not (position.latitude or position.longitude))
                assert position.course_deg is None or 0 <= position.course_deg <= 360
                assert (position.fix_time_ms is None) or position.latitude is not None


@pytest.mark.parametrize(
    "noise",
    [b"\x00\xff\x7e\x01\x02", b"hello\r\n", b"GPRMC,", b"GPRMC,1011;", b"$", b",,", b"1234,", b"imei:1,", b"(1)"],
)
def test_noise_in_front_costs_only_the_noise(noise: bytes) -> None:
    good = FULL + b"\r\n"
    assert payloads([noise + good + noise + good]) == [FULL, FULL]


def test_a_frame_without_end_is_given_up_at_the_cap() -> None:
    endless = BASIC + b"1," * 1000
    assert payloads([endless + b"\n" + FULL]) == [FULL]
    assert payloads([endless[:900], endless[900:], b"\n" + FULL + b"\n"]) == [FULL]


def test_frames_are_proved_by_date_or_checksum() -> None:
    assert all(map(xexun.validates, (BASIC, FULL, CELL_ONLY)))
    assert xexun.validates(BASIC.replace(b"*71", b"*00"))  # the date is plausible
    undated = BASIC.replace(b"150126", b"")
    assert not xexun.validates(undated)
    assert xexun.validates(undated.replace(b"*71", b"*70"))
    assert not xexun.validates(BASIC[:-1])


def test_a_report_sent_again_has_the_same_content() -> None:
    """Another serial, checksum, length or check number makes no new report; another place, status or device does."""

    def content(payload: bytes) -> bytes:
        return decoder.content(Frame(payload, "xexun"))

    first = content(FULL)
    assert content(FULL.replace(b"260115181112", b"260115181155")) == first
    assert content(FULL.replace(b"*71", b"*00")) == first
    assert content(FULL.replace(b"141,12345", b"140,")) == first
    for old, new in ((b"5130", b"5131"), (b"F,,", b"F,help me!,"), (b"678,09", b"679,09"), (b"4.15V", b"4.14V")):
        assert content(FULL.replace(old, new)) != first
    stc = LEFT + SENTENCE + b",F,imei:354188012345678,101"
    assert content(stc + b"\x8d") == content(stc + b"\n(")
    assert content(CELL_ONLY) != content(CELL_ONLY.replace(b"1FC5", b"1FC6"))


def in_session(chunks: list[bytes]) -> list[tuple[str, str, bytes]]:
    """Protocol, device and payload of each frame of a connection."""
    session = Session("s", "", "tcp", 0, Aliases())
    turns = [session.receive(chunk, 0) for chunk in chunks]
    frames = [frame for turn in (*turns, session.finish(0)) for frame in turn.frames]
    assert all(frame.reply is None for frame in frames if frame.protocol == "xexun")
    return [(frame.protocol, frame.device_id, frame.payload) for frame in frames if frame.kind is FrameKind.FRAME]


def test_another_protocol_on_the_same_connection() -> None:
    """Frames of other protocols right behind an id, and behind a frame that broke off, are found; and so is the next."""
    shake, fix = b"(088012345678BP00HSO)", H02_FIX
    stream = BASIC + shake + BASIC + fix + SENTENCE[:40] + shake + FULL + b"\r\n" + shake + BASIC
    wanted = [BASIC, shake, BASIC, fix, shake, FULL, shake, BASIC]
    for at in range(len(stream)):
        assert [payload for _, _, payload in in_session([stream[:at], stream[at:]])] == wanted, at
    named = [protocol for protocol, _, _ in in_session([stream])]
    assert named == ["xexun", "tk103", "xexun", "h02", "tk103", "xexun", "tk103", "xexun"]


def test_each_frame_says_whose_it_is() -> None:
    other = BASIC.replace(b"354188012345678", b"354188012345671")
    assert [device for _, device, _ in in_session([BASIC + other + CELL_ONLY + b"\r\n"])] == [
        "354188012345678",
        "354188012345671",
        "354188012345678",
    ]


def test_silence_ends_what_has_no_end() -> None:
    for frame in (BASIC, FULL, CELL_ONLY, LEFT + SENTENCE + b",F,imei:354188012345678,101\x8d"):
        session = Session("s", "", "tcp", 0, Aliases())
        assert session.receive(frame, 0).frames == []
        assert session.advance(1_900).frames == []
        assert [out.payload for out in session.advance(2_100).frames] == [frame]


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_cuts_of_a_connection(data: st.DataObject) -> None:
    whole = b"".join(data.draw(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=4)))[:4000]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert in_session(chunks) == in_session([whole])


def _repeat(pattern: bytes) -> bytes:
    return (pattern * (WORST_BYTES // len(pattern) + 1))[:WORST_BYTES]


WORST = [
    pytest.param(_repeat(pattern), id=repr(pattern[:28]))
    for pattern in (
        *(bytes([byte]) for byte in b"GPRMC,.0A*Fi:+-/V\x00\r\n$( "),
        *(b"1,", b"1,1,", b"1," + b"a" * 40, b"12345678901234," + b"a" * 40, b"1,,", b",1,", b",,", b",,L", b",,L,"),
        *(b"GPRMC", b"GPRMC,", b"GPRMC,1,A", b"1,a,GPRMC,", b"1,a,GPRMC", b"GPRMC,0,A," + b"0" * 160, b",1,,L,"),
        *(b"imei:", b"imei:1,", b"imei:354188012345678,", b"GPRMC,imei:354188012345678,", b"GPRMC,0,A*71\r\n,F,"),
        *(b"GPRMC,0,A*71,F," + b"x" * 60, b"1234567890" * 2 + b",a,GPRMC,", b"1,a(" + b"a" * 30),
        *(LEFT, SENTENCE, SENTENCE + b",F,", LEFT + SENTENCE, BASIC, BASIC + b"0" * 900, BASIC + b"101x", BASIC + b"1,a,"),
        *(FULL, CELL_ONLY, b",+48601234567,,L,", b"F:4.15V", b"/ADC1=0.20V", BASIC[:-1], b"$" + SENTENCE, b"0" * 14 + b","),
    )
]  # fmt: skip


def _seconds(call: Callable[[], object]) -> float:
    best = 1.0
    for _ in range(4):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
        if best < WORST_S / 2:
            break
    return best


@pytest.mark.parametrize("worst", WORST)
def test_worst_input_is_linear(worst: bytes) -> None:
    """64 KiB of the worst bytes through each entry in less than 50 ms."""
    facts = Facts()

    def decode(payload: bytes) -> None:
        try:
            decoder.decode(Frame(payload, "xexun", received_ms=ARRIVAL_MS))
        except DecodeError:
            return

    heads = (BASIC, BASIC + b"09,31.0,F:4.15V", CELL_ONLY + b",", LEFT, SENTENCE[:-3], SENTENCE + b",F,", b"GPRMC,1.")
    for payload in (worst, *(head + worst for head in heads)):
        assert _seconds(lambda payload=payload: decode(payload)) < WORST_S  # type: ignore[misc]
        assert _seconds(lambda payload=payload: decoder.content(Frame(payload, "xexun"))) < WORST_S  # type: ignore[misc]
        assert _seconds(lambda payload=payload: xexun.validates(payload)) < WORST_S  # type: ignore[misc]
        assert _seconds(lambda payload=payload: xexun.identify(payload, facts)) < WORST_S  # type: ignore[misc]
    for rule in xexun.RULES:
        assert _seconds(lambda rule=rule: rule.detect(worst, False)) < WORST_S  # type: ignore[misc]
    assert _seconds(lambda: xexun.strong_start(worst + b"imei:", 0)) < WORST_S
    assert _seconds(lambda: xexun.resync(worst, 1)) < WORST_S
    assert _seconds(lambda: payloads([worst])) < 2 * WORST_S  # twice: without and with silence


COMMANDS: list[tuple[str, dict[str, Attribute], bytes]] = [
    ("engine_stop", {}, b"powercar123456 11"),
    ("engine_resume", {}, b"powercar123456 00"),
    ("engine_stop", {"password": "8642"}, b"powercar8642 11"),
    ("custom", {"data": "fix030s***n123456"}, b"fix030s***n123456"),
]


@pytest.mark.parametrize(("kind", "parameters", "wanted"), COMMANDS)
def test_commands(kind: str, parameters: dict[str, Attribute], wanted: bytes) -> None:
    """The command table of the reference: text without an end."""
    assert xexun.encode_command(kind, parameters, Facts(), ARRIVAL_MS) == wanted


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("position_single", {}), ("engine_stop", {"password": "1 2"}), ("engine_stop", {"password": ""}), ("custom", {})],
)
def test_commands_that_cannot_be(kind: str, parameters: dict[str, Attribute]) -> None:
    with pytest.raises(ValueError, match=r"must|no command"):
        xexun.encode_command(kind, parameters, Facts(), ARRIVAL_MS)
