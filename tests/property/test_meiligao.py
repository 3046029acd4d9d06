"""Laws of the meiligao module: cuts do not matter, garbage costs only itself, nothing is slow or else raises."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocols import meiligao
from gateway.protocols.base import Facts, Verdict
from gateway.protocols.meiligao_commands import checksum, packet
from processors.decoders import meiligao as decoder
from schemas.records import Attribute, Frame, FrameKind
from tests.frames.golden import split_all
from tests.property import laws

DEVICE = bytes.fromhex("13612345678fff")
LOGIN = bytes.fromhex("2424001113612345678fff500005d80d0a")
LOGIN_REPLY = bytes.fromhex("4040001213612345678fff4000019add0d0a")
TEXT = b"101112.000,A,5130.2500,N,00007.6500,W,19.71,45.5,150126,,*1C|0.9|31|0800|01A5,0000"
DETECT = {0x24: meiligao.detect_device, 0x40: meiligao.detect_obd}


def sent(command: int, data: bytes = b"", mark: bytes = b"$$") -> bytes:
    """A frame from the device."""
    head = mark + min(17 + len(data), 0xFFFF).to_bytes(2) + DEVICE + command.to_bytes(2) + data
    return head + checksum(head).to_bytes(2) + b"\r\n"


POSITION = sent(0x9955, TEXT)
HEARTBEAT = sent(0x0001)


SAMPLES = laws.samples("meiligao")
payloads = partial(laws.split_stream, meiligao)


def in_session(chunks: list[bytes]) -> list[tuple[str, bytes, bytes | None]]:
    """Device, payload and reply of each frame of a connection."""
    frames = laws.session_frames(chunks)
    return [(frame.device_id, frame.payload, frame.reply) for frame in frames if frame.kind is FrameKind.FRAME]


def test_checksum() -> None:
    """The check value of CRC-16/CCITT-FALSE."""
    assert checksum(b"123456789") == 0x29B1


@pytest.mark.parametrize("path", laws.stream_cases("meiligao"), ids=laws.stem)
def test_every_cut_gives_the_same_frames(path: Path) -> None:
    laws.check_every_cut(meiligao, b"".join(laws.chunks_of(path)))


@pytest.mark.parametrize("path", laws.stream_cases("meiligao", clean=True), ids=laws.stem)
def test_detection_waits_and_then_stays(path: Path) -> None:
    """Over the bytes as they come the answer is MORE, then YES at byte 13: never a NO before a YES, never a change."""
    first = laws.chunks_of(path)[0]
    detect = DETECT[first[0]]
    answers = [detect(first[:end], False) for end in range(1, len(first) + 1)]
    assert answers == [Verdict.MORE] * 12 + [Verdict.YES] * (len(first) - 12)
    assert all(detect(first[:end], True) is Verdict.NO for end in range(13))


@pytest.mark.parametrize("path", laws.strangers("meiligao"), ids=laws.label)
def test_frames_of_other_protocols_are_not_claimed(path: Path) -> None:
    for chunk in laws.chunks_of(path, setup=True):
        for rule in meiligao.RULES:
            assert rule.detect(chunk, True) is Verdict.NO
        assert meiligao.strong_start(chunk, 0) == -1


PIECES = [b"$", b"$$", b"@@", b"\r\n", b"\r", b"\x00\x00", b"$$\x00\x11", LOGIN, LOGIN[:-1], LOGIN[:13], POSITION[:40]]


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_cuts_of_glued_and_damaged_frames(data: st.DataObject) -> None:
    """Frames glued in any order, with bytes changed, lost and put in between: any cut gives the same frames."""
    whole = laws.draw_damaged(data, SAMPLES, PIECES, changes=6, filler=b"$")
    assert payloads(laws.draw_cut(data, whole)) == payloads([whole])


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_cuts_of_a_connection(data: st.DataObject) -> None:
    whole = b"".join([LOGIN, *data.draw(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=4))])[:4000]
    assert in_session(laws.draw_cut(data, whole)) == in_session([whole])


@given(data=st.data())
@settings(max_examples=800, deadline=None)
def test_only_device_errors(data: st.DataObject) -> None:
    """Whatever the bytes, split raises only FrameError, decode only DecodeError, identify and reply nothing."""
    payload = laws.draw_hostile(data, SAMPLES)
    for position in laws.check_only_device_errors(meiligao, payload, Facts()):
        assert not (position.valid and not (position.latitude or position.longitude))
        for value in (position.speed_kmh, position.hdop, position.odometer_m, position.battery_v):
            assert value is None or math.isfinite(value)
    for quiet in (False, True):
        assert all(piece.endswith(b"\r\n") for piece in split_all(meiligao, [payload], Facts(), quiet))


def test_digits_without_end_are_no_number() -> None:
    """A float cannot hold them: the field is absent."""
    (position,) = decoder.decode(Frame(sent(0x9955, TEXT.replace(b"19.71", b"9" * 400)), "meiligao"))
    assert position.speed_kmh is None
    assert position.valid


@pytest.mark.parametrize(
    "noise",
    [b"\x00\xff\x7e\x01\x02", b"hello\r\n", b"$", b"$$$", b"@@\r\n", b"$$\x00", LOGIN[:12], LOGIN[:14], b"$$A1,"],
)
def test_noise_in_front_costs_only_the_noise(noise: bytes) -> None:
    assert payloads([noise + LOGIN + noise + POSITION]) == [LOGIN, POSITION]
    assert in_session([noise + LOGIN + noise + POSITION]) == [
        ("13612345678", LOGIN, LOGIN_REPLY),
        ("13612345678", POSITION, None),
    ]


def test_strong_start_needs_the_checksum() -> None:
    noise = b"$$" + b"\x00\x01@@" * 30
    assert meiligao.strong_start(noise + LOGIN, 0) == len(noise)
    assert meiligao.strong_start(noise + LOGIN[:-1], 0) == -1
    assert meiligao.strong_start(noise + LOGIN.replace(b"\xd8", b"\xd9"), 0) == -1
    no_length = b"$$\x00\x00" + LOGIN[4:13]
    assert meiligao.strong_start(noise + no_length + checksum(no_length).to_bytes(2) + b"\r\n", 0) == len(noise)


def test_validates() -> None:
    """A right checksum, or a place with a plausible date: nothing less may switch a connection."""
    damaged = POSITION[:-4] + b"\x00\x00\r\n"
    assert meiligao.validates(LOGIN)
    assert meiligao.validates(damaged)
    assert not meiligao.validates(damaged.replace(b"150126", b"321326"))
    assert not meiligao.validates(LOGIN[:-4] + b"\x00\x00\r\n")
    assert not meiligao.validates(POSITION[:-1])


def test_a_connection_of_another_protocol_switches() -> None:
    """Only a frame that proves itself does."""
    other = b"(088012345678BP00HSO)"
    assert in_session([other + POSITION + other])[1] == ("13612345678", POSITION, None)
    assert [payload for _, payload, _ in in_session([other + LOGIN[:-4] + b"\x00\x00\r\n" + other])] == [other, other]


def test_a_frame_without_end_is_given_up() -> None:
    endless = b"$$\x00\x00" + DEVICE + b"\x99\x55" + b"x" * 3000
    assert payloads([endless + LOGIN]) == [LOGIN]
    assert payloads([endless[:1000], endless[1000:], LOGIN]) == [LOGIN]


def test_a_report_sent_again_has_the_same_content() -> None:
    """Length, checksum and the mark of a stored position make no new report; another text, device or alarm does."""

    def content(payload: bytes) -> bytes:
        return decoder.content(Frame(payload, "meiligao"))

    first = content(POSITION)
    assert content(POSITION[:2] + b"\x00\x00" + POSITION[4:-4] + b"\x00\x00\r\n") == first
    assert content(sent(0x9016, b"\x01\x02\x03\x04\x05\x06" + TEXT)) == first
    assert content(sent(0x9955, TEXT + b"|")) != first
    assert content(sent(0x9999, TEXT)) != first
    assert content(POSITION[:4] + b"\x23" + POSITION[5:]) != first


_LINES = b"\r\n" + b"x" * 30
WORST = laws.worst_cases(
    (
        *(bytes([byte]) for byte in b"$@\r\x00\x07,|\\0A"),
        *(
            b"\r\n",
            b"@@\r\n",
            b"$$\x00",
            b"$$\x07",
            b"$$\x00\x41",
            b"$$\x07\x41",
            b"$$\x07\x90\x16x\r\n",
            b"@@\x07\x99\x01",
        ),
        *(b"$$\x00\x00\x01xxxx", LOGIN[:13], b"$$\x00\x00" + LOGIN[4:13], LOGIN[:15] + b"xx", POSITION[:60]),
        *(b"$$\x00\x00" + LOGIN[4:13] + b"\r\n\r\nx", b"$$\x00\x41" * 500 + _LINES, b"$$\x00\x41" * 120 + _LINES * 4),
        *(b"$$\x07\xff" + LOGIN[4:13], b"$$\x7f\xff" + DEVICE + b"\x99\x88", b"$$\x00\x00" + LOGIN[4:13] + b"x" * 1900),
        *(LOGIN[:-2] + b"x\r\n", LOGIN, HEARTBEAT[:-4] + b"\x00\x00\r\n", b"0000,", b"|0", b"\\x", b"1,A,"),
    ),
    shown=28,
)


@pytest.mark.parametrize("worst", WORST)
def test_worst_input_is_linear(worst: bytes) -> None:
    """64 KiB of the worst bytes through each entry in less than 50 ms."""
    commands = (0x9955, 0x9999, 0x9016, 0x6688, 0x9966, 0x9977, 0x9988, 0x9901, 0x9902, 0x9903, 0x4101, 0x0800)
    texts = (TEXT, TEXT[:40], TEXT[:-9] + b"\x00|", TEXT + b"|0106000A1A2B3C4D|15|0001E240|09|", TEXT + b"|1|")
    payloads_of = [sent(command, worst) for command in commands] + [sent(0x9955, text + worst) for text in texts]
    laws.check_frames_are_quick(meiligao, (worst, *payloads_of), Facts())
    laws.check_search_is_quick(meiligao, worst)
    assert laws.seconds(payloads, [worst]) < 2 * laws.WORST_S  # twice: without and with silence


COMMANDS: list[tuple[str, dict[str, Attribute], int, bytes]] = [
    ("position_single", {}, 0x4101, b""),
    ("position_periodic", {"interval_s": 600}, 0x4102, b"\x00\x3c"),
    ("position_periodic", {"interval_s": 655350}, 0x4102, b"\xff\xff"),
    ("position_stop", {}, 0x4102, b"\x00\x00"),
    ("movement_alarm", {"radius_m": 300}, 0x4106, b"\x01\x2c"),
    ("engine_stop", {}, 0x4115, b"\x01"),
    ("engine_resume", {}, 0x4115, b"\x00"),
    ("engine_stop", {"alternative": True}, 0x4114, b"\x01\x02\x02\x02\x02"),
    ("engine_resume", {"alternative": True}, 0x4114, b"\x00\x02\x02\x02\x02"),
    ("output_control", {"index": 3, "enable": True}, 0x4114, b"\x02\x02\x01\x02\x02"),
    ("set_timezone", {"utc_offset_s": 28800}, 0x4132, b"480"),
    ("set_timezone", {"utc_offset_s": -12600}, 0x4132, b"-210"),
    ("request_photo", {}, 0x4151, b""),
    ("reboot", {}, 0x4902, b""),
    ("custom", {"data": "4108 0a0b"}, 0x4108, b"\x0a\x0b"),
]


@pytest.mark.parametrize(("kind", "parameters", "command", "data"), COMMANDS)
def test_commands(kind: str, parameters: dict[str, Attribute], command: int, data: bytes) -> None:
    """The command table of the reference, addressed with the bytes that the device itself uses."""
    facts = Facts()
    meiligao.identify(LOGIN, facts)
    facts.device_id = "359900001234567"  # an alias
    wanted = sent(command, data, b"@@")
    assert meiligao.encode_command(kind, parameters, facts, laws.ARRIVAL_MS) == wanted
    assert packet(DEVICE, command.to_bytes(2), data) == wanted


def test_engine_cut_of_the_reference() -> None:
    """Section 9."""
    wanted = bytes.fromhex("4040001213612345678fff411501516b0d0a")
    assert meiligao.encode_command("engine_stop", {}, Facts(login=DEVICE), 0) == wanted


def test_a_device_that_refused_the_relay_gets_its_first_output() -> None:
    """Reference section 6: 4114 when 4115 is answered with failure."""
    facts = Facts()
    meiligao.identify(sent(0x4115, b"\x01"), facts)
    assert meiligao.encode_command("engine_stop", {}, facts, 0)[11:13] == b"\x41\x15"
    meiligao.identify(sent(0x4115, b"\x00"), facts)
    assert meiligao.encode_command("engine_stop", {}, facts, 0)[11:-4] == b"\x41\x14\x01\x02\x02\x02\x02"
    assert meiligao.encode_command("engine_stop", {"alternative": False}, facts, 0)[11:13] == b"\x41\x15"


def test_command_to_a_device_known_by_its_id_alone() -> None:
    """The id padded with F; of a 15-digit IMEI the first 14 digits."""
    address = meiligao.encode_command("reboot", {}, Facts(device_id="004520591118"), 0)[4:11]
    assert address == bytes.fromhex("004520591118ff")
    address = meiligao.encode_command("reboot", {}, Facts(device_id="359900001234567"), 0)[4:11]
    assert address == bytes.fromhex("35990000123456")
    for unknown in ("", "1234567890123456", "tracker"):
        with pytest.raises(ValueError, match="who it is"):
            meiligao.encode_command("reboot", {}, Facts(device_id=unknown), 0)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("power_off", {}),
        ("position_periodic", {}),
        ("position_periodic", {"interval_s": 15}),
        ("position_periodic", {"interval_s": 655360}),
        ("movement_alarm", {"radius_m": 65536}),
        ("engine_stop", {"alternative": 1}),
        ("output_control", {"index": 6, "enable": True}),
        ("output_control", {"index": 1}),
        ("set_timezone", {"utc_offset_s": 30}),
        ("custom", {"data": "41"}),
        ("custom", {"data": "xyz"}),
    ],
)
def test_commands_that_cannot_be(kind: str, parameters: dict[str, Attribute]) -> None:
    with pytest.raises(ValueError, match=r"must|no command"):
        meiligao.encode_command(kind, parameters, Facts(login=DEVICE), laws.ARRIVAL_MS)


def test_the_question_for_the_server_is_answered_where_the_port_was_told() -> None:
    question = meiligao.packet(bytes.fromhex("13612345678fff"), b"\x00\x02", b"")
    question = b"$$" + question[2:]
    assert meiligao.reply(question, Facts(), 0) is None
    answer = meiligao.reply(question, Facts(server="tracker.example:8888"), 0)
    assert answer is not None
    assert answer.data[11:-4] == b"\x00\x02tracker.example:8888"
