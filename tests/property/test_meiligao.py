"""Laws of the meiligao module: cuts do not matter, garbage costs only itself, nothing is slow or else raises."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.aliases import Aliases
from gateway.protocols import meiligao
from gateway.protocols.base import Facts, Verdict
from gateway.protocols.meiligao_commands import checksum, packet
from gateway.session import Session
from processors.decoders import meiligao as decoder
from schemas.errors import DecodeError
from schemas.records import Attribute, Frame, FrameKind
from tests.frames.golden import CASES, load, split_all

WORST_BYTES = 64 * 1024
WORST_S = 0.05
ARRIVAL_MS = 1_768_471_872_000
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


def chunks_of(path: Path) -> list[bytes]:
    return [bytes.fromhex(chunk) for chunk in load(path)["chunks"]]


OWN = [path for path in CASES if path.parent.name == "meiligao" and load(path)["expect"]["protocol"]]
STREAMS = [pytest.param(path, id=path.stem) for path in OWN if load(path)["transport"] == "tcp"]
CLEAN_STREAMS = [
    pytest.param(path, id=path.stem)
    for path in OWN
    if load(path)["transport"] == "tcp" and "detected" not in load(path)["expect"]
]
SAMPLES = [chunk for path in OWN for chunk in chunks_of(path)]
OTHERS: list[ParameterSet] = [
    pytest.param(path, id=f"{path.parent.name}/{path.stem}")
    for path in CASES
    if load(path)["expect"]["protocol"] != "meiligao"
]


def payloads(chunks: list[bytes]) -> list[bytes]:
    return list(split_all(meiligao, chunks, Facts(), False))


def in_session(chunks: list[bytes]) -> list[tuple[str, bytes, bytes | None]]:
    """Device, payload and reply of each frame of a connection."""
    session = Session("s", "", "tcp", 0, Aliases())
    turns = [session.receive(chunk, 0) for chunk in chunks]
    frames = [frame for turn in (*turns, session.finish(0)) for frame in turn.frames]
    return [(frame.device_id, frame.payload, frame.reply) for frame in frames if frame.kind is FrameKind.FRAME]


def test_checksum() -> None:
    """The check value of CRC-16/CCITT-FALSE."""
    assert checksum(b"123456789") == 0x29B1


@pytest.mark.parametrize("path", STREAMS)
def test_every_cut_gives_the_same_frames(path: Path) -> None:
    whole = b"".join(chunks_of(path))
    wanted = payloads([whole])
    assert payloads([whole[at : at + 1] for at in range(len(whole))]) == wanted
    step = 1 if len(whole) < 500 else 7
    for at in range(1, len(whole), step):
        assert payloads([whole[:at], whole[at:]]) == wanted, at


@pytest.mark.parametrize("path", CLEAN_STREAMS)
def test_detection_waits_and_then_stays(path: Path) -> None:
    """Over the bytes as they come the answer is MORE, then YES at byte 13: never a NO before a YES, never a change."""
    first = chunks_of(path)[0]
    detect = DETECT[first[0]]
    answers = [detect(first[:end], False) for end in range(1, len(first) + 1)]
    assert answers == [Verdict.MORE] * 12 + [Verdict.YES] * (len(first) - 12)
    assert all(detect(first[:end], True) is Verdict.NO for end in range(13))


@pytest.mark.parametrize("path", OTHERS)
def test_frames_of_other_protocols_are_not_claimed(path: Path) -> None:
    case = load(path)
    for chunk in [*case.get("setup", []), *case["chunks"]]:
        for rule in meiligao.RULES:
            assert rule.detect(bytes.fromhex(chunk), True) is Verdict.NO
        assert meiligao.strong_start(bytes.fromhex(chunk), 0) == -1


PIECES = [b"$", b"$$", b"@@", b"\r\n", b"\r", b"\x00\x00", b"$$\x00\x11", LOGIN, LOGIN[:-1], LOGIN[:13], POSITION[:40]]


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_cuts_of_glued_and_damaged_frames(data: st.DataObject) -> None:
    """Frames glued in any order, with bytes changed, lost and put in between: any cut gives the same frames."""
    frames = data.draw(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=4))
    stream = bytearray(b"".join(frames)[:3000])
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.one_of(st.binary(max_size=3), st.sampled_from(PIECES))
        )
        stream = stream or bytearray(b"$")
    whole = bytes(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert payloads(chunks) == payloads([whole])


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_cuts_of_a_connection(data: st.DataObject) -> None:
    whole = b"".join([LOGIN, *data.draw(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=4))])[:4000]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert in_session(chunks) == in_session([whole])


@given(data=st.data())
@settings(max_examples=800, deadline=None)
def test_only_device_errors(data: st.DataObject) -> None:
    """Whatever the bytes, split raises only FrameError, decode only DecodeError, identify and reply nothing."""
    if data.draw(st.booleans()):
        payload = data.draw(st.binary(max_size=200))
    else:
        mutable = bytearray(data.draw(st.sampled_from(SAMPLES)))
        for _ in range(data.draw(st.integers(1, 6))):
            mutable[data.draw(st.integers(0, len(mutable) - 1))] = data.draw(st.integers(0, 255))
        payload = bytes(mutable)
    for quiet in (False, True):
        for piece in split_all(meiligao, [payload], Facts(), quiet):  # split_all lets FrameError alone pass
            assert piece in payload
            assert piece.endswith(b"\r\n")
    facts = Facts()
    for piece in (payload, *split_all(meiligao, [payload], facts, True)):
        meiligao.identify(piece, facts)
        meiligao.reply(piece, facts, ARRIVAL_MS)
        meiligao.validates(piece)
        for received_ms in (None, ARRIVAL_MS):
            frame = Frame(piece, "meiligao", received_ms=received_ms)
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
                for value in (position.speed_kmh, position.hdop, position.odometer_m, position.battery_v):
                    assert value is None or math.isfinite(value)


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


def _repeat(pattern: bytes) -> bytes:
    return (pattern * (WORST_BYTES // len(pattern) + 1))[:WORST_BYTES]


_LINES = b"\r\n" + b"x" * 30
WORST = [
    pytest.param(_repeat(pattern), id=repr(pattern[:28]))
    for pattern in (
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
    )
]


def _seconds(call: Callable[[], object]) -> float:
    best = 1.0
    for _ in range(5):
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
            decoder.decode(Frame(payload, "meiligao", received_ms=ARRIVAL_MS))
        except DecodeError:
            return

    commands = (0x9955, 0x9999, 0x9016, 0x6688, 0x9966, 0x9977, 0x9988, 0x9901, 0x9902, 0x9903, 0x4101, 0x0800)
    texts = (TEXT, TEXT[:40], TEXT[:-9] + b"\x00|", TEXT + b"|0106000A1A2B3C4D|15|0001E240|09|", TEXT + b"|1|")
    payloads_of = [sent(command, worst) for command in commands] + [sent(0x9955, text + worst) for text in texts]
    for payload in (worst, *payloads_of):
        assert _seconds(lambda payload=payload: decode(payload)) < WORST_S  # type: ignore[misc]
        assert _seconds(lambda payload=payload: meiligao.validates(payload)) < WORST_S  # type: ignore[misc]
        assert _seconds(lambda payload=payload: meiligao.identify(payload, facts)) < WORST_S  # type: ignore[misc]
        assert _seconds(lambda payload=payload: meiligao.reply(payload, facts, ARRIVAL_MS)) < WORST_S  # type: ignore[misc]
    for rule in meiligao.RULES:
        assert _seconds(lambda rule=rule: rule.detect(worst, False)) < WORST_S  # type: ignore[misc]
    assert _seconds(lambda: meiligao.strong_start(worst, 0)) < WORST_S
    assert _seconds(lambda: meiligao.resync(worst, 1)) < WORST_S
    assert _seconds(lambda: payloads([worst])) < 2 * WORST_S  # twice: without and with silence


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
    assert meiligao.encode_command(kind, parameters, facts, ARRIVAL_MS) == wanted
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
        meiligao.encode_command(kind, parameters, Facts(login=DEVICE), ARRIVAL_MS)


def test_the_question_for_the_server_is_answered_where_the_port_was_told() -> None:
    question = meiligao.packet(bytes.fromhex("13612345678fff"), b"\x00\x02", b"")
    question = b"$$" + question[2:]
    assert meiligao.reply(question, Facts(), 0) is None
    answer = meiligao.reply(question, Facts(server="tracker.example:8888"), 0)
    assert answer is not None
    assert answer.data[11:-4] == b"\x00\x02tracker.example:8888"
