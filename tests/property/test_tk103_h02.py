"""Laws of the tk103 and h02 modules: cuts do not matter, garbage costs only itself, nothing is slow or else raises."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocols import h02, tk103
from gateway.protocols.base import Facts, ProtocolModule, Verdict
from processors.decoders.registry import DECODERS
from schemas.errors import DecodeError
from schemas.records import Frame
from tests.frames.golden import CASES, load, run, split_all

MODULES: dict[str, ProtocolModule] = {"tk103": tk103, "h02": h02}


def streams(clean: bool) -> list[ParameterSet]:
    """Golden cases of a stream; clean: those that begin with a frame."""
    cases = [(path, load(path)) for path in CASES if path.parent.name in MODULES]
    return [
        pytest.param(path, id=f"{path.parent.name}/{path.stem}")
        for path, case in cases
        if case["expect"]["protocol"] and case["transport"] == "tcp" and not (clean and "detected" in case["expect"])
    ]


SAMPLES = {
    name: [
        bytes.fromhex(chunk)
        for path in CASES
        if path.parent.name == name and load(path)["expect"]["protocol"]
        for chunk in load(path)["chunks"]
    ]
    for name in MODULES
}
WORST_BYTES = 64 * 1024
WORST_S = 0.05
ARRIVAL_MS = 1_768_471_872_000


def payloads(module: ProtocolModule, chunks: list[bytes]) -> list[bytes]:
    return list(split_all(module, chunks, Facts(), False))


@pytest.mark.parametrize("path", streams(clean=False))
def test_every_cut_gives_the_same_frames(path: Path) -> None:
    case = load(path)
    whole = b"".join(bytes.fromhex(chunk) for chunk in case["chunks"])
    module = MODULES[case["expect"]["protocol"]]
    wanted = payloads(module, [whole])
    assert payloads(module, [whole[at : at + 1] for at in range(len(whole))]) == wanted
    step = 1 if len(whole) < 500 else 7
    for at in range(1, len(whole), step):
        assert payloads(module, [whole[:at], whole[at:]]) == wanted, at


@pytest.mark.parametrize("path", streams(clean=True))
def test_detection_waits_and_then_stays(path: Path) -> None:
    """Over the bytes as they come the answer is MORE, then YES for good: never a NO before a YES, never a change."""
    case = load(path)
    first = bytes.fromhex(case["chunks"][0])
    rules = [rule for rule in MODULES[case["expect"]["protocol"]].RULES if first[0] in rule.first]
    answers = [max(rule.detect(first[:end], False) for rule in rules) for end in range(1, len(first) + 1)]
    assert answers == sorted(answers)
    assert answers[0] is Verdict.MORE
    assert answers[-1] is Verdict.YES
    assert all(max(rule.detect(first[:end], True) for rule in rules) is not Verdict.MORE for end in range(len(first)))


@given(data=st.data(), name=st.sampled_from(sorted(MODULES)))
@settings(max_examples=150, deadline=None)
def test_cuts_of_glued_and_damaged_frames(data: st.DataObject, name: str) -> None:
    """Frames glued in any order, with bytes changed, lost and put in between: any cut gives the same frames."""
    frames = data.draw(st.lists(st.sampled_from(SAMPLES[name]), min_size=1, max_size=4))
    stream = bytearray(b"".join(frames)[:3000])
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b"$", b"(", b")", b"*", b"#", b"X", b"\r\n", b"*HQ,"]))
        )
        stream = stream or bytearray(b"(")
    whole = bytes(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert payloads(MODULES[name], chunks) == payloads(MODULES[name], [whole])


@given(data=st.data(), name=st.sampled_from(sorted(MODULES)))
@settings(max_examples=400, deadline=None)
def test_only_device_errors(data: st.DataObject, name: str) -> None:
    """Whatever the bytes, split raises only FrameError, decode only DecodeError, identify and reply nothing."""
    module, decoder = MODULES[name], DECODERS[name]
    if data.draw(st.booleans()):
        payload = data.draw(st.binary(max_size=200))
    else:
        mutable = bytearray(data.draw(st.sampled_from(SAMPLES[name])))
        for _ in range(data.draw(st.integers(1, 6))):
            mutable[data.draw(st.integers(0, len(mutable) - 1))] = data.draw(st.integers(0, 255))
        payload = bytes(mutable)
    for quiet in (False, True):
        for piece in split_all(module, [payload], Facts(), quiet):  # split_all lets FrameError alone pass
            assert piece in payload
    facts = Facts()
    for piece in (payload, *split_all(module, [payload], facts, True)):
        module.identify(piece, facts)
        module.reply(piece, facts, ARRIVAL_MS)
        module.validates(piece)
        for received_ms in (None, ARRIVAL_MS):
            frame = Frame(piece, name, received_ms=received_ms)
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


@pytest.mark.parametrize("name", sorted(MODULES))
def test_noise_in_front_costs_only_the_noise(name: str) -> None:
    module = MODULES[name]
    good = {"tk103": b"(088012345678BP00HSO)", "h02": b"*HQ,8800123456,HTBT,80#"}[name]
    for noise in (b"\x00\xff\x7e\x01\x02", b"hello\r\n", b")$#", b"\x24\x99\x58\x2a", b"$$$$", b"(", b"*HQ"):
        assert payloads(module, [noise + good + noise + good])[-1] == good, noise


def _repeat(pattern: bytes) -> bytes:
    return (pattern * (WORST_BYTES // len(pattern) + 1))[:WORST_BYTES]


_BLOCK = b"(088012345678BR00260115A5130.2500N00007.6500W"
_HEAD = bytes.fromhex("24880012345610111215012651302500060000765006019045ffffffff")
WORST = [
    pytest.param(_repeat(pattern), id=repr(pattern[:24]))
    for pattern in (
        *(bytes([byte]) for byte in b"($)*#,0A.LX%\x00\x11\r"),
        *(
            b"($",
            b"$(",
            b"($$",
            b"((a",
            b"*HQ,",
            b"*HQ,#",
            b"*HQ,1,V4,A,N,E,",
            b"$$\x11",
            b"X\x11",
            b"0,A,1.0,N,1.0,E,",
        ),
        *(b"(1234567,", b"(123456789012BP05", b"(12345,ZC03,$", b",{1,1,1,1}", b"90:00,", b"+1.1T000P00", b"1,1,1Y"),
        *(
            _BLOCK,
            _HEAD,
            _HEAD[:20],
            b"*HQ,8800123456,V1,",
            b"(088012345678BZ00,",
            b"A" * 16 + b"(",
            b"A" * 16 + b"*HQ,",
        ),
    )
]


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
@pytest.mark.parametrize("name", sorted(MODULES))
def test_worst_input_is_linear(name: str, worst: bytes) -> None:
    """64 KiB of the worst bytes through each entry in less than 50 ms."""
    module, decoder = MODULES[name], DECODERS[name]
    facts = Facts()

    def decode(payload: bytes) -> None:
        try:
            decoder.decode(Frame(payload, name, received_ms=ARRIVAL_MS))
        except DecodeError:
            return

    heads = {
        "tk103": (b"(088012345678BR00", b"(088012345678BQ81", b"(864768011234567,ZC07,"),
        "h02": (b"*HQ,1,V4,", b"*HQ,1,NBR,"),
    }
    for payload in (worst, *(head + worst for head in heads[name])):
        assert _seconds(lambda payload=payload: decode(payload)) < WORST_S  # type: ignore[misc]
        assert _seconds(lambda payload=payload: module.validates(payload)) < WORST_S  # type: ignore[misc]
        assert _seconds(lambda payload=payload: module.identify(payload, facts)) < WORST_S  # type: ignore[misc]
        assert _seconds(lambda payload=payload: module.reply(payload, facts, ARRIVAL_MS)) < WORST_S  # type: ignore[misc]
    for rule in module.RULES:
        assert _seconds(lambda rule=rule: rule.detect(worst, False)) < WORST_S  # type: ignore[misc]
    assert _seconds(lambda: module.strong_start(worst, 0)) < WORST_S
    assert _seconds(lambda: module.resync(worst, 1)) < WORST_S
    assert _seconds(lambda: payloads(module, [worst])) < 2 * WORST_S  # twice: without and with silence


def test_golden_run_is_what_a_session_does() -> None:
    """The frames of a golden case do not depend on how the harness is fed."""
    path = next(path for path in CASES if path.stem == "mixed")
    case = load(path)
    whole = bytes.fromhex("".join(case["chunks"]))
    pieces = [whole[at : at + 5] for at in range(0, len(whole), 5)]
    assert [seen.payload for seen in run(case, pieces)] == [seen.payload for seen in run(case)]
