"""Laws of the xexun module: cuts do not matter, garbage costs only itself, nothing is slow or else raises."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.aliases import Aliases
from gateway.protocols import xexun
from gateway.protocols.base import Facts, Verdict
from gateway.session import Session
from processors.decoders import xexun as decoder
from schemas.records import Attribute, Frame, FrameKind
from tests.frames.golden import CASES, split_all
from tests.property import laws

SENTENCE = b"GPRMC,101112.000,A,5130.2500,N,00007.6500,W,19.71,45.50,150126,,,A*71"
BASIC = SENTENCE + b",F,,imei:354188012345678,"
LEFT = b"260115181112,+441234567890,"
FULL = LEFT + SENTENCE + b",F,, imei:354188012345678,09,31.0,F:4.15V,1,141,12345,234,10,0702,9C8C"
H02_FIX = b"*HQ,8800123456,V1,101112,A,5130.2500,N,00007.6500,W,19.71,45,150126,FFFFFBFF#"
CELL_ONLY = b",+48601234567,,L,, imei:354188012345678,,,F:4.28V,1,52,11565,260,01,000E,1FC5"
SAMPLES = laws.samples("xexun")
OTHERS = [path for path in CASES if path.parent.name != "xexun"]
payloads = partial(laws.split_stream, xexun)


@pytest.mark.parametrize("path", laws.stream_cases("xexun"), ids=laws.stem)
def test_every_cut_gives_the_same_frames(path: Path) -> None:
    laws.check_every_cut(xexun, b"".join(laws.chunks_of(path)))


@pytest.mark.parametrize("path", laws.stream_cases("xexun", clean=True), ids=laws.stem)
def test_detection_waits_and_then_stays(path: Path) -> None:
    """Over the bytes as they come the answer is MORE, then YES for good: never a NO before a YES, never a change."""
    first = laws.chunks_of(path)[0]
    answers = laws.verdicts(xexun, first, False, range(1, min(len(first), 100) + 1))
    assert answers == sorted(answers)
    assert answers[0] is Verdict.MORE
    assert answers[-1] is Verdict.YES
    assert answers.index(Verdict.YES) < 72
    assert Verdict.MORE not in laws.verdicts(xexun, first, True, range(1, 100))


@pytest.mark.parametrize("path", OTHERS, ids=laws.label)
def test_frames_of_other_protocols_are_not_claimed(path: Path) -> None:
    for chunk in laws.chunks_of(path, setup=True):
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
    inserts = [*PIECES, BASIC, LEFT, SENTENCE]
    whole = laws.draw_damaged(data, [*SAMPLES, BASIC, FULL, CELL_ONLY], inserts, changes=5, filler=b"G")
    assert payloads(laws.draw_cut(data, whole)) == payloads([whole])


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_only_device_errors(data: st.DataObject) -> None:
    """Whatever the bytes, split raises only FrameError, decode only DecodeError, identify and reply nothing."""
    payload = laws.draw_hostile(data, [*SAMPLES, BASIC, FULL, CELL_ONLY])
    for position in laws.check_only_device_errors(xexun, payload, Facts()):
        assert not (position.valid and not (position.latitude or position.longitude))
        assert (position.fix_time_ms is None) or position.latitude is not None
    facts = Facts()
    for piece in (payload, *split_all(xexun, [payload], facts, True)):
        xexun.identify(piece, facts)
        assert xexun.reply(piece, facts, laws.ARRIVAL_MS) is None


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
    frames = laws.session_frames(chunks)
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
    assert in_session(laws.draw_cut(data, whole)) == in_session([whole])


WORST = laws.worst_cases(
    (
        *(bytes([byte]) for byte in b"GPRMC,.0A*Fi:+-/V\x00\r\n$( "),
        *(b"1,", b"1,1,", b"1," + b"a" * 40, b"12345678901234," + b"a" * 40, b"1,,", b",1,", b",,", b",,L", b",,L,"),
        *(b"GPRMC", b"GPRMC,", b"GPRMC,1,A", b"1,a,GPRMC,", b"1,a,GPRMC", b"GPRMC,0,A," + b"0" * 160, b",1,,L,"),
        *(b"imei:", b"imei:1,", b"imei:354188012345678,", b"GPRMC,imei:354188012345678,", b"GPRMC,0,A*71\r\n,F,"),
        *(b"GPRMC,0,A*71,F," + b"x" * 60, b"1234567890" * 2 + b",a,GPRMC,", b"1,a(" + b"a" * 30),
        *(LEFT, SENTENCE, SENTENCE + b",F,", LEFT + SENTENCE, BASIC, BASIC + b"0" * 900, BASIC + b"101x", BASIC + b"1,a,"),
        *(FULL, CELL_ONLY, b",+48601234567,,L,", b"F:4.15V", b"/ADC1=0.20V", BASIC[:-1], b"$" + SENTENCE, b"0" * 14 + b","),
    ),
    shown=28,
)  # fmt: skip


@pytest.mark.parametrize("worst", WORST)
def test_worst_input_is_linear(worst: bytes) -> None:
    """64 KiB of the worst bytes through each entry in less than 50 ms."""
    heads = (BASIC, BASIC + b"09,31.0,F:4.15V", CELL_ONLY + b",", LEFT, SENTENCE[:-3], SENTENCE + b",F,", b"GPRMC,1.")
    frames = (worst, *(head + worst for head in heads))
    laws.check_frames_are_quick(xexun, frames, Facts())
    for frame in frames:
        assert laws.seconds(decoder.content, Frame(frame, "xexun")) < laws.WORST_S
    laws.check_search_is_quick(xexun, worst)
    assert laws.seconds(xexun.strong_start, worst + b"imei:", 0) < laws.WORST_S
    assert laws.seconds(payloads, [worst]) < 2 * laws.WORST_S  # twice: without and with silence


COMMANDS: list[tuple[str, dict[str, Attribute], bytes]] = [
    ("engine_stop", {}, b"powercar123456 11"),
    ("engine_resume", {}, b"powercar123456 00"),
    ("engine_stop", {"password": "8642"}, b"powercar8642 11"),
    ("custom", {"data": "fix030s***n123456"}, b"fix030s***n123456"),
]


@pytest.mark.parametrize(("kind", "parameters", "wanted"), COMMANDS)
def test_commands(kind: str, parameters: dict[str, Attribute], wanted: bytes) -> None:
    """The command table of the reference: text without an end."""
    assert xexun.encode_command(kind, parameters, Facts(), laws.ARRIVAL_MS) == wanted


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("position_single", {}), ("engine_stop", {"password": "1 2"}), ("engine_stop", {"password": ""}), ("custom", {})],
)
def test_commands_that_cannot_be(kind: str, parameters: dict[str, Attribute]) -> None:
    with pytest.raises(ValueError, match=r"must|no command"):
        xexun.encode_command(kind, parameters, Facts(), laws.ARRIVAL_MS)
