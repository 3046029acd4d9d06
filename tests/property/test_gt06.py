"""Laws of the gt06 modules: cuts do not matter, garbage costs only itself, no foreign frame is claimed, nothing is slow."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocols import gt06
from gateway.protocols.base import Facts, Split, Status, Verdict
from gateway.protocols.fields import crc_x25
from processors.decoders import gt06 as decoder
from schemas.errors import FrameError
from schemas.records import Attribute, Frame, Position
from tests.frames.golden import CASES, load, split_all
from tests.property import laws

OWN = [path for path in CASES if path.parent.name == "gt06"]
SAMPLES = laws.samples("gt06")
HEARTBEAT = bytes.fromhex("78780a1346060400020005cc4b0d0a")
PLACE = bytes.fromhex("787822221a010f0a0b0cc905869aac0003807c241c2d00ea0a0702009c8c0100000003216a0d0a")
STORED = bytes.fromhex("787822221a010f0a0b0cc905869aac0003807c241c2d00ea0a0702009c8c0100010004")
payloads = partial(laws.split_stream, gt06)


def test_checksum_is_the_documented_one() -> None:
    assert crc_x25(b"123456789") == 0x906E
    assert crc_x25(b"") == 0


@pytest.mark.parametrize("path", OWN, ids=laws.stem)
def test_every_cut_gives_the_same_frames(path: Path) -> None:
    laws.check_every_cut(gt06, b"".join(laws.chunks_of(path)))


@pytest.mark.parametrize("path", OWN, ids=laws.stem)
def test_detection_waits_and_then_stays(path: Path) -> None:
    """Over the bytes as they come the answer is MORE, then the final one for good, which is that of the whole."""
    case = load(path)
    first = laws.chunks_of(path, setup=True)[0]
    answers = laws.verdicts(gt06, first, False, range(1, len(first) + 1))
    final = Verdict.YES if case["expect"]["protocol"] else Verdict.NO
    decided = answers.index(final)
    assert set(answers[:decided]) <= {Verdict.MORE}
    assert set(answers[decided:]) == {final}
    assert Verdict.MORE not in laws.verdicts(gt06, first, True, range(len(first)))


def test_no_frame_of_another_protocol_is_claimed() -> None:
    for path in CASES:
        case = load(path)
        if path.parent.name == "gt06" or case["expect"].get("detected", case["expect"]["protocol"]) == "gt06":
            continue
        for data in laws.chunks_of(path, setup=True):
            answers = {rule.detect(data, True) for rule in gt06.RULES if not data or data[0] in rule.first}
            assert Verdict.YES not in answers, path
            assert gt06.strong_start(data, 0) < 0, path


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_cuts_of_glued_and_damaged_frames(data: st.DataObject) -> None:
    """Frames glued in any order, with bytes changed, lost and put in between: any cut gives the same frames."""
    inserts = [b"x", b"xx", b"yy", b"\r\n", b"\r\nxx", b"\x17", b"\r"]
    whole = laws.draw_damaged(data, SAMPLES, inserts, changes=4, filler=b"x")
    assert payloads(laws.draw_cut(data, whole)) == payloads([whole])


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_only_device_errors(data: st.DataObject) -> None:
    """Whatever the bytes, split raises only FrameError, decode only DecodeError, identify and reply nothing."""
    payload = laws.draw_hostile(data, SAMPLES, heads=[b"", b"xx", b"yy"])
    facts = Facts(login=b"\x03T")
    for piece in (payload, *split_all(gt06, [payload], facts, True), *split_all(gt06, [payload], facts, False)):
        assert piece in payload
        check_positions(laws.check_frame(gt06, piece, facts))


def check_positions(positions: list[Position]) -> None:
    for position in positions:
        assert not (position.valid and not (position.latitude or position.longitude))
        assert not (position.attributes.get("charging") and "power_cut" in position.alarms)


def check_type(frame: bytes) -> None:
    check_positions(laws.check_decoded(gt06, Frame(frame, "gt06", received_ms=laws.ARRIVAL_MS)))


@pytest.mark.parametrize("kind", range(256))
def test_every_type_of_every_length(kind: int) -> None:
    """Any type with any length of content, in both forms: decoded, rejected or kept."""
    for fill in (0x00, 0x09, 0x1A, 0xFF):
        for size in (*range(70), 100, 120, 200):
            body = bytes((size + 5, kind)) + bytes((fill,)) * size + b"\x00\x01"
            frame = b"xx" + body + crc_x25(body).to_bytes(2) + b"\r\n"
            check_type(frame)
            body = b"\x00" + body
            check_type(b"yy" + body + crc_x25(body).to_bytes(2) + b"\r\n")


@pytest.mark.parametrize(
    "noise", [b"\x00\xff\x7e\x01\x02", b"hello\r\n", b"x", b"yx", b"\r\n\r\n", b"xx\x13", b"xy\x00"], ids=repr
)
def test_noise_costs_only_the_noise(noise: bytes) -> None:
    found = payloads([noise + HEARTBEAT + noise + PLACE + HEARTBEAT])
    assert found[-1] == HEARTBEAT
    assert sum(frame in (HEARTBEAT, PLACE) for frame in found) >= 2


def test_a_wrong_length_costs_one_frame_at_most() -> None:
    for length in range(256):
        damaged = HEARTBEAT[:2] + bytes((length,)) + HEARTBEAT[3:]
        assert payloads([damaged + HEARTBEAT * 60])[-30:] == [HEARTBEAT] * 30, length


def test_a_report_sent_again_has_the_same_content() -> None:
    body = STORED[2:]
    stored = STORED + crc_x25(body).to_bytes(2) + b"\r\n"
    assert stored[-6:-4] != PLACE[-6:-4]
    assert decoder.content(Frame(stored, "gt06")) == decoder.content(Frame(PLACE, "gt06"))
    assert decoder.decode(Frame(stored, "gt06"))[0].attributes["archive"] is True
    other = PLACE[:4] + b"\x1b" + PLACE[5:]
    assert decoder.content(Frame(other, "gt06")) != decoder.content(Frame(PLACE, "gt06"))


def test_only_a_right_checksum_validates() -> None:
    assert gt06.validates(HEARTBEAT)
    for at in range(2, len(HEARTBEAT) - 2):
        damaged = bytearray(HEARTBEAT)
        damaged[at] ^= 1
        assert not gt06.validates(bytes(damaged)), at


def test_strong_start_behind_garbage() -> None:
    assert gt06.strong_start(b"\x01\x02xx\r\n\x05" + HEARTBEAT, 0) == 7
    assert gt06.strong_start(b"\x01\x02" + HEARTBEAT[:-1], 0) == -1


WORST = laws.worst_cases(
    (
        *(bytes([byte]) for byte in b"xy\r\n\x00\x17"),
        *(b"xy", b"xx\r\n", b"xxA\r\nB", b"yyA\r\nB", b"yy\x00\x10\r\n", b"yy\x0f\xff\x12\r\n", b"xx\x17\x17"),
        *(
            b"xx\x00\x17",
            b"xx\x20\x69\r\n ",
            b"xx\r\x01",
            b"yy\x7f\xfa\x12",
            b"yy\x00\x08\x94",
            b"xx\x08\x94" + b"\r\n" * 5,
        ),
        *(b"x" * 500 + b"\r\nA", HEARTBEAT, HEARTBEAT[:-1], PLACE[:-2] + b"\r", b"xx\xff\x12" + b"\r\nA" * 80),
    ),
    shown=20,
)
HEADS = [b"xx\xff" + bytes((kind,)) for kind in (0x12, 0x15, 0x18, 0x36, 0x69, 0x95)] + [
    b"yy\xff\xff" + bytes((kind,)) for kind in (0x21, 0x32, 0x70, 0x8C, 0x94, 0xF1)
]


def split_once(data: bytes) -> list[Split]:
    """All splits of one buffer, as a session makes them."""
    found, at = [], 0
    while at < len(data):
        try:
            one = gt06.split(data, at, Facts(), False)
        except FrameError:
            at = gt06.resync(data, at + 1)
            continue
        found.append(one)
        if one.status is Status.MORE:
            break
        at = one.end if one.status is Status.FRAME else max(gt06.resync(data, one.start + 1), one.start + 1)
    return found


@pytest.mark.parametrize("worst", WORST)
def test_worst_input_is_linear(worst: bytes) -> None:
    """64 KiB of the worst bytes through each entry in less than 50 ms; split, once a frame of 8 bytes, in twice that."""
    laws.check_frames_are_quick(gt06, (worst, *(head + worst[: laws.WORST_BYTES] for head in HEADS)))
    laws.check_search_is_quick(gt06, worst)
    assert laws.seconds(split_once, worst) < 2 * laws.WORST_S


NO_ARGUMENTS: dict[str, Attribute] = {}
COMMANDS: list[tuple[str, dict[str, Attribute], bytes]] = [
    ("engine_stop", NO_ARGUMENTS, b"Relay,1#"),
    ("engine_resume", NO_ARGUMENTS, b"Relay,0#"),
    ("engine_stop", {"form": "DYD", "password": "123456"}, b"DYD,123456#"),
    ("engine_resume", {"form": "DYD"}, b"HFYD#"),
    ("position_single", NO_ARGUMENTS, b"WHERE#"),
    ("position_single", {"form": "DWXX"}, b"DWXX#"),
    ("get_device_status", NO_ARGUMENTS, b"STATUS#"),
    ("reboot", NO_ARGUMENTS, b"RESET#"),
    ("position_periodic", {"interval_s": 10, "parked_s": 600}, b"TIMER,10,600#"),
    ("position_periodic", {"interval_s": 30}, b"TIMER,30,30#"),
    ("custom", {"data": "PARAM"}, b"PARAM#"),
    ("custom", {"data": "PARAM#"}, b"PARAM#"),
]


@pytest.mark.parametrize(("kind", "parameters", "text"), COMMANDS)
def test_commands(kind: str, parameters: dict[str, Attribute], text: bytes) -> None:
    """Type 80, the length of flag and text, a flag, text, serial number 0, checksum: what the device's framing takes."""
    data = gt06.encode_command(kind, parameters, Facts(), laws.ARRIVAL_MS)
    body = bytes((len(text) + 10, 0x80, len(text) + 4, 0, 0, 0, 0)) + text + b"\x00\x00"
    assert data == b"xx" + body + crc_x25(body).to_bytes(2) + b"\r\n"


def test_command_vector() -> None:
    wanted = "787812800c0000000052656c61792c312300009dee0d0a"
    assert gt06.encode_command("engine_stop", {}, Facts(), laws.ARRIVAL_MS).hex() == wanted


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("self_destruct", {}),
        ("custom", {}),
        ("custom", {"data": "a" * 201}),
        ("position_periodic", {"interval_s": 0}),
        ("engine_stop", {"form": "DYD", "password": "1#2"}),
    ],
)
def test_impossible_commands(kind: str, parameters: dict[str, Attribute]) -> None:
    with pytest.raises(ValueError, match=r"."):
        gt06.encode_command(kind, parameters, Facts(), laws.ARRIVAL_MS)
