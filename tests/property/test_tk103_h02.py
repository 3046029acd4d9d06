"""Laws of the tk103 and h02 modules: cuts do not matter, garbage costs only itself, nothing is slow or else raises."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocols import h02, tk103
from gateway.protocols.base import Facts, ProtocolModule, Verdict
from tests.frames.golden import CASES, load, run
from tests.property import laws

MODULES: dict[str, ProtocolModule] = {"tk103": tk103, "h02": h02}
SAMPLES = {name: laws.samples(name) for name in MODULES}


@pytest.mark.parametrize("path", laws.stream_cases(*MODULES), ids=laws.label)
def test_every_cut_gives_the_same_frames(path: Path) -> None:
    laws.check_every_cut(MODULES[load(path)["expect"]["protocol"]], b"".join(laws.chunks_of(path)))


@pytest.mark.parametrize("path", laws.stream_cases(*MODULES, clean=True), ids=laws.label)
def test_detection_waits_and_then_stays(path: Path) -> None:
    """Over the bytes as they come the answer is MORE, then YES for good: never a NO before a YES, never a change."""
    first = laws.chunks_of(path)[0]
    module = MODULES[load(path)["expect"]["protocol"]]
    answers = laws.verdicts(module, first, False, range(1, len(first) + 1))
    assert answers == sorted(answers)
    assert answers[0] is Verdict.MORE
    assert answers[-1] is Verdict.YES
    assert Verdict.MORE not in laws.verdicts(module, first, True, range(len(first)))


@given(data=st.data(), name=st.sampled_from(sorted(MODULES)))
@settings(max_examples=150, deadline=None)
def test_cuts_of_glued_and_damaged_frames(data: st.DataObject, name: str) -> None:
    """Frames glued in any order, with bytes changed, lost and put in between: any cut gives the same frames."""
    inserts = [b"$", b"(", b")", b"*", b"#", b"X", b"\r\n", b"*HQ,"]
    whole = laws.draw_damaged(data, SAMPLES[name], inserts, changes=4, filler=b"(")
    assert laws.split_stream(MODULES[name], laws.draw_cut(data, whole)) == laws.split_stream(MODULES[name], [whole])


@given(data=st.data(), name=st.sampled_from(sorted(MODULES)))
@settings(max_examples=400, deadline=None)
def test_only_device_errors(data: st.DataObject, name: str) -> None:
    """Whatever the bytes, split raises only FrameError, decode only DecodeError, identify and reply nothing."""
    laws.check_only_device_errors(MODULES[name], laws.draw_hostile(data, SAMPLES[name]), Facts())


@pytest.mark.parametrize("name", sorted(MODULES))
def test_noise_in_front_costs_only_the_noise(name: str) -> None:
    module = MODULES[name]
    good = {"tk103": b"(088012345678BP00HSO)", "h02": b"*HQ,8800123456,HTBT,80#"}[name]
    for noise in (b"\x00\xff\x7e\x01\x02", b"hello\r\n", b")$#", b"\x24\x99\x58\x2a", b"$$$$", b"(", b"*HQ"):
        assert laws.split_stream(module, [noise + good + noise + good])[-1] == good, noise


_BLOCK = b"(088012345678BR00260115A5130.2500N00007.6500W"
_HEAD = bytes.fromhex("24880012345610111215012651302500060000765006019045ffffffff")
WORST = laws.worst_cases(
    (
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
    ),
    shown=24,
)


@pytest.mark.parametrize("worst", WORST)
@pytest.mark.parametrize("name", sorted(MODULES))
def test_worst_input_is_linear(name: str, worst: bytes) -> None:
    """64 KiB of the worst bytes through each entry in less than 50 ms."""
    module = MODULES[name]
    heads = {
        "tk103": (b"(088012345678BR00", b"(088012345678BQ81", b"(864768011234567,ZC07,"),
        "h02": (b"*HQ,1,V4,", b"*HQ,1,NBR,"),
    }
    laws.check_frames_are_quick(module, (worst, *(head + worst for head in heads[name])), Facts())
    laws.check_search_is_quick(module, worst)
    assert laws.seconds(laws.split_stream, module, [worst]) < 2 * laws.WORST_S  # twice: without and with silence


def test_golden_run_is_what_a_session_does() -> None:
    """The frames of a golden case do not depend on how the harness is fed."""
    path = next(path for path in CASES if path.stem == "mixed")
    case = load(path)
    whole = bytes.fromhex("".join(case["chunks"]))
    assert [seen.payload for seen in run(case, laws.pieces(whole, 5))] == [seen.payload for seen in run(case)]
