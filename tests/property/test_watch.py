"""Laws of the watch module: cuts do not matter, garbage costs only itself, nothing is slow or else raises."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocols import watch
from gateway.protocols.base import Facts, Verdict
from processors.decoders import watch as decoder
from schemas.records import Attribute, Frame, FrameKind
from tests.property import laws

LINK = b"[3G*8800123456*0002*LK]"
SAMPLES = laws.samples("watch")
payloads = partial(laws.split_stream, watch)


@pytest.mark.parametrize("path", laws.stream_cases("watch"), ids=laws.stem)
def test_every_cut_gives_the_same_frames(path: Path) -> None:
    laws.check_every_cut(watch, b"".join(laws.chunks_of(path)))


@pytest.mark.parametrize("path", laws.stream_cases("watch", clean=True), ids=laws.stem)
def test_detection_waits_and_then_stays(path: Path) -> None:
    """Over the bytes as they come the answer is MORE, then YES for good: never a NO before a YES, never a change."""
    first = laws.chunks_of(path)[0]
    answers = laws.verdicts(watch, first, False, range(1, min(len(first), 100) + 1))
    assert answers == sorted(answers)
    assert answers[0] is Verdict.MORE
    assert answers[-1] is Verdict.YES
    assert answers.index(Verdict.YES) < 34
    assert Verdict.MORE not in laws.verdicts(watch, first, True, range(1, 100))


@pytest.mark.parametrize("path", laws.strangers("watch"), ids=laws.label)
def test_frames_of_other_protocols_are_not_claimed(path: Path) -> None:
    for chunk in laws.chunks_of(path, setup=True):
        for ended in (False, True):
            assert watch.detect(chunk, ended) is Verdict.NO
        assert watch.strong_start(chunk, 0) == -1


@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_cuts_of_glued_and_damaged_frames(data: st.DataObject) -> None:
    """Frames glued in any order, with bytes changed, lost and put in between: any cut gives the same frames."""
    inserts = [b"[", b"]", b"*", b"[3G*", b"[3G*88001", b"\r\n", b"}\x05", b"0002*", LINK, LINK[:-1]]
    whole = laws.draw_damaged(data, SAMPLES, inserts, changes=5, filler=b"[")
    assert payloads(laws.draw_cut(data, whole)) == payloads([whole])


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_only_device_errors(data: st.DataObject) -> None:
    """Whatever the bytes, split raises only FrameError, decode only DecodeError, identify and reply nothing."""
    for position in laws.check_only_device_errors(watch, laws.draw_hostile(data, SAMPLES), Facts()):
        assert not (position.valid and not (position.latitude or position.longitude))
        assert position.battery_percent is None or 0 <= position.battery_percent <= 100


@pytest.mark.parametrize(
    "noise", [b"\x00\xff\x7e\x01\x02", b"hello\r\n", b"]]", b"[[[", b"[3G*", b"[3G*88001", b"[3G}"]
)
def test_noise_in_front_costs_only_the_noise(noise: bytes) -> None:
    frames = payloads([noise + LINK + noise + LINK])
    assert frames[-1] == LINK
    assert len(frames) == 2


def test_a_frame_without_end_is_given_up_at_the_cap() -> None:
    endless = LINK[:-4] + b"x" * 33_000
    assert payloads([endless + LINK]) == [LINK]
    assert payloads([endless[:30_000], b"y" * 5_000, LINK]) == [LINK]


def test_a_report_sent_again_has_the_same_content() -> None:
    """A new counter, or the mark of a stored position, makes no new report; another place or device does."""

    def content(payload: bytes) -> bytes:
        return decoder.content(Frame(payload, "watch"))

    fields = b",150126,101112,A,51.504167,N,0.127500,W,36.50,45.0"
    first = content(b"[ZJ*8800123456*0001*0036*UD" + fields + b"]")
    assert content(b"[ZJ*8800123456*0002*0036*UD" + fields + b"]") == first
    assert content(b"[ZJ*8800123456*0003*0037*UD2" + fields + b"]") == first
    assert content(b"[ZJ*8800123457*0001*0036*UD" + fields + b"]") != first
    assert content(b"[ZJ*8800123456*0001*0036*AL" + fields + b"]") != first


def in_session(chunks: list[bytes]) -> list[tuple[str, bytes, bytes | None]]:
    """Device, payload and reply of each frame of a connection."""
    frames = laws.session_frames(chunks)
    return [(frame.device_id, frame.payload, frame.reply) for frame in frames if frame.kind is FrameKind.FRAME]


def test_a_long_half_frame_does_not_end_the_connection() -> None:
    """More noise than a session believes a protocol through, in one chunk with the frames behind it."""
    stream = LINK + LINK[:-4] + b"x" * 1500 + LINK + LINK
    for at in range(0, len(stream), 50):
        assert in_session([stream[:at], stream[at:]]) == [("8800123456", LINK, LINK)] * 3


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_cuts_of_a_connection(data: st.DataObject) -> None:
    whole = b"".join(data.draw(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=4)))[:4000]
    assert in_session(laws.draw_cut(data, whole)) == in_session([whole])


_HEAD = b"[3G*8800123456*0001*"
WORST = laws.worst_cases(
    (
        *(bytes([byte]) for byte in b"[]*,03G}\x00\x05\r:A"),
        *(b"[3", b"[3G", b"[3G*", b"[3G*880012", b"[3G*8800123456789012", b"[3G*8800123456*", b"[3G}\x05880012}\x05"),
        *(_HEAD, _HEAD + b"[[", _HEAD + b"[]", _HEAD + b"]]", _HEAD + b"[[]", _HEAD[:15], b"[3G*8800123456*7FFF*["),
        *(_HEAD + b"LK,0,0,1]", _HEAD + b"x" * 40_000, _HEAD + b"[" * 40_000, _HEAD + b"[]" * 20_000, b"[]", b"[[]"),
        *(b",34:60:f9:ec:19:f8", b",34:60:f9:ec:19:f8,-1", b"1,1,1,", b"150126,101112,A,", b"}\x01", b"34:"),
    ),
    shown=28,
)


@pytest.mark.parametrize("worst", WORST)
def test_worst_input_is_linear(worst: bytes) -> None:
    """64 KiB of the worst bytes through each entry in less than 50 ms."""
    place = b"UD,150126,101112,A,51.504167,N,0.127500,W,36.50,45.0,31.0,9,100,90,1234,0,00000000,"
    kinds = (
        place + b"9999,1,234,10,",
        place + b"0,9999,",
        place,
        b"AL,",
        b"TK,",
        b"JXTK,",
        b"img,",
        b"GS1,99999,0,234,10,",
    )
    escaped = b"[3G}\x058800123456}\x050001}\x05" + worst
    laws.check_frames_are_quick(watch, (worst, *(_HEAD + kind + worst for kind in kinds), escaped), Facts())
    laws.check_search_is_quick(watch, worst)
    assert laws.seconds(payloads, [worst]) < 2 * laws.WORST_S  # twice: without and with silence


COMMANDS: list[tuple[str, dict[str, Attribute], bytes]] = [
    ("position_single", {}, b"[3G*8800123456*0002*CR]"),
    ("position_periodic", {"interval_s": 600}, b"[3G*8800123456*000A*UPLOAD,600]"),
    ("sos_number", {"index": 2, "phone": "00447700900000"}, b"[3G*8800123456*0013*SOS2,00447700900000]"),
    ("alarm_sos", {"enable": True}, b"[3G*8800123456*0008*SOSSMS,1]"),
    ("alarm_battery", {"enable": False}, b"[3G*8800123456*0008*LOWBAT,0]"),
    ("alarm_remove", {"enable": True}, b"[3G*8800123456*0008*REMOVE,1]"),
    ("pedometer", {"enable": True}, b"[3G*8800123456*0006*PEDO,1]"),
    ("reboot", {}, b"[3G*8800123456*0005*RESET]"),
    ("power_off", {}, b"[3G*8800123456*0008*POWEROFF]"),
    ("factory_reset", {}, b"[3G*8800123456*0007*FACTORY]"),
    ("get_version", {}, b"[3G*8800123456*0005*VERNO]"),
    ("get_device_status", {}, b"[3G*8800123456*0002*TS]"),
    ("set_timezone", {"language": 0, "utc_offset_s": 28800}, b"[3G*8800123456*0007*LZ,0,+8]"),
    ("set_timezone", {"language": 1, "utc_offset_s": -19800}, b"[3G*8800123456*0009*LZ,1,-5.5]"),
    ("set_timezone", {"language": 1, "utc_offset_s": 0}, b"[3G*8800123456*0007*LZ,1,+0]"),
    ("silence_time", {"data": "21:10-7:30"}, b"[3G*8800123456*0016*SILENCETIME,21:10-7:30]"),
    ("alarm_clock", {"data": "08:10-1-1"}, b"[3G*8800123456*0010*REMIND,08:10-1-1]"),
    ("work_time", {"data": "1"}, b"[3G*8800123456*0006*WORK,1]"),
    ("voice_monitor", {"phone": "112"}, b"[3G*8800123456*000B*MONITOR,112]"),
    ("set_indicator", {"count": 3}, b"[3G*8800123456*0008*FLOWER,3]"),
    ("set_phonebook", {"data": "112,Ам,+49110,b"}, b"[3G*8800123456*001C*PHB,112,0410043C,+49110,0062]"),
    ("message", {"message": "Hi"}, b"[3G*8800123456*0010*MESSAGE,00480069]"),
    ("voice_message", {"data": "7d5b5d2c2a41"}, b"[3G*8800123456*000E*TK,}\x01}\x02}\x03}\x04}\x05A]"),
    ("custom", {"data": "FIND"}, b"[3G*8800123456*0004*FIND]"),
]


@pytest.mark.parametrize(("kind", "parameters", "wanted"), COMMANDS)
def test_commands(kind: str, parameters: dict[str, Attribute], wanted: bytes) -> None:
    """The command table of the reference, addressed as the device addresses itself."""
    facts = Facts()
    watch.identify(LINK, facts)
    assert watch.encode_command(kind, parameters, facts, laws.ARRIVAL_MS) == wanted
    watch.identify(b"[ZJ*014111001350304*0033*0002*LK]", facts)
    counted = watch.encode_command(kind, parameters, facts, laws.ARRIVAL_MS)
    assert counted == wanted.replace(b"[3G*8800123456*", b"[ZJ*014111001350304*0001*")


def test_command_to_a_device_known_by_its_id_alone() -> None:
    assert watch.encode_command("position_single", {}, Facts(device_id="8800123456"), 0) == b"[CS*8800123456*0002*CR]"
    with pytest.raises(ValueError, match="who it is"):
        watch.encode_command("position_single", {}, Facts(), 0)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("engine_stop", {}),
        ("position_periodic", {}),
        ("position_periodic", {"interval_s": 0}),
        ("alarm_sos", {"enable": 1}),
        ("sos_number", {"index": 4, "phone": "1"}),
        ("sos_number", {"index": 1, "phone": "1]"}),
        ("set_timezone", {"language": 1, "utc_offset_s": 100}),
        ("set_phonebook", {"data": "112"}),
        ("set_phonebook", {"data": "a,b"}),
        ("message", {"message": ""}),
        ("message", {"message": "x" * 9000}),
        ("voice_message", {"data": "xyz"}),
        ("custom", {"data": "CR][CR"}),
    ],
)
def test_commands_that_cannot_be(kind: str, parameters: dict[str, Attribute]) -> None:
    facts = Facts()
    watch.identify(LINK, facts)
    with pytest.raises(ValueError, match=r"."):
        watch.encode_command(kind, parameters, facts, laws.ARRIVAL_MS)
