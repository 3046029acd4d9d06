"""What the tests of the protocol modules share: golden cases, cuts, damaged bytes, what any decoder keeps, and speed.

Each file beside this one says for which cases, bytes and bounds a law holds; what is special about a protocol is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet
from hypothesis import strategies as st

from gateway.aliases import Aliases
from gateway.protocols.base import Facts, ProtocolModule, Verdict
from gateway.session import Session
from gateway.turn import OutFrame
from processors.decoders.registry import DECODERS
from schemas.errors import DecodeError
from schemas.records import Frame, Position
from tests.frames.golden import CASES, load, split_all

WORST_BYTES = 64 * 1024
LOOP_S = 0.0045
"""CPU time of LOOP_STEPS steps on the machine of README's first figures; a slower machine has so much more time."""
LOOP_STEPS = 200_000
WORST_RUNS = 5
ARRIVAL_MS = 1_768_471_872_000


def _slowness() -> float:
    """How many times slower than the machine of LOOP_S this one is; 1 when it is faster."""
    best = float("inf")
    for _ in range(7):
        value, start = 0, time.process_time()
        for step in range(LOOP_STEPS):
            value ^= step
        best = min(best, time.process_time() - start)
    return max(1.0, best / LOOP_S)


WORST_S = 0.05 * _slowness()
"""Longest that WORST_BYTES of anything may keep one entry of a module busy."""
ANY_BYTE = st.integers(0, 255)


# -- golden cases ---------------------------------------------------------------------------------------


def chunks_of(path: Path, setup: bool = False) -> list[bytes]:
    """What the socket delivers in a case; setup: with what is fed before it."""
    case = load(path)
    return [bytes.fromhex(chunk) for chunk in [*(case.get("setup", []) if setup else []), *case["chunks"]]]


def own_cases(*protocols: str) -> list[Path]:
    """The cases in the folders of these protocols that are theirs, not nobody's."""
    return [path for path in CASES if path.parent.name in protocols and load(path)["expect"]["protocol"]]


def stream_cases(*protocols: str, clean: bool = False) -> list[Path]:
    """Those of own_cases that come over TCP; clean: that begin with a frame."""
    cases = [(path, load(path)) for path in own_cases(*protocols)]
    return [path for path, case in cases if case["transport"] == "tcp" and not (clean and "detected" in case["expect"])]


def samples(protocol: str) -> list[bytes]:
    """Every chunk of own_cases."""
    return [chunk for path in own_cases(protocol) for chunk in chunks_of(path)]


def strangers(protocol: str) -> list[Path]:
    """The cases of other protocols, and those that are nobody's."""
    return [path for path in CASES if load(path)["expect"]["protocol"] != protocol]


def stem(path: Path) -> str:
    """Name of a case among those of its protocol."""
    return path.stem


def label(path: Path) -> str:
    """Name of a case among all."""
    return f"{path.parent.name}/{path.stem}"


# -- streams and cuts -----------------------------------------------------------------------------------


def split_stream(module: ProtocolModule, chunks: Iterable[bytes]) -> list[bytes]:
    """The frames of a stream that came in these chunks, and then silence."""
    return list(split_all(module, chunks, Facts(), False))


def session_frames(chunks: Iterable[bytes]) -> list[OutFrame]:
    """All that a session publishes for a connection."""
    session = Session("s", "", "tcp", 0, Aliases())
    frames = [frame for chunk in chunks for frame in session.receive(chunk, 0).frames]
    return frames + session.finish(0).frames


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def check_every_cut(module: ProtocolModule, whole: bytes, all_below: int = 500) -> None:
    """Byte by byte and in any two parts the frames are the same; only every 7th cut from all_below bytes on."""
    wanted = split_stream(module, [whole])
    assert split_stream(module, pieces(whole, 1)) == wanted
    for at in range(1, len(whole), 1 if len(whole) < all_below else 7):
        assert split_stream(module, [whole[:at], whole[at:]]) == wanted, at


def draw_cut(data: st.DataObject, whole: bytes) -> list[bytes]:
    """The bytes in up to seven parts, some of them empty."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def verdicts(module: ProtocolModule, data: bytes, ended: bool, ends: range) -> list[Verdict]:
    """What the rules for its first byte answer when so many bytes of it are there."""
    rules = [rule for rule in module.RULES if data[0] in rule.first]
    return [max(rule.detect(data[:end], ended) for rule in rules) for end in ends]


# -- damaged bytes --------------------------------------------------------------------------------------


def draw_damaged(
    data: st.DataObject, frames: Sequence[bytes], inserts: Sequence[bytes], changes: int, filler: bytes
) -> bytes:
    """Frames glued in any order, with bytes changed, lost and put in between; filler: what is left when all are lost."""
    stream = bytearray(b"".join(data.draw(st.lists(st.sampled_from(frames), min_size=1, max_size=4)))[:3000])
    for _ in range(data.draw(st.integers(0, changes))):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.one_of(st.binary(max_size=3), st.sampled_from(inserts))
        )
        stream = stream or bytearray(filler)
    return bytes(stream)


def draw_hostile(
    data: st.DataObject,
    frames: Sequence[bytes],
    heads: Sequence[bytes] = (b"",),
    changes: int = 6,
    byte: st.SearchStrategy[int] = ANY_BYTE,
) -> bytes:
    """Any bytes behind one of the heads, or a frame with up to so many bytes changed."""
    if data.draw(st.booleans()):
        return data.draw(st.sampled_from(heads)) + data.draw(st.binary(max_size=200))
    mutable = bytearray(data.draw(st.sampled_from(frames)))
    for _ in range(data.draw(st.integers(1, changes))):
        mutable[data.draw(st.integers(0, len(mutable) - 1))] = data.draw(byte)
    return bytes(mutable)


def check_decoded(module: ProtocolModule, frame: Frame) -> list[Position]:
    """Its decoder raises DecodeError alone, here told by no positions, or gives positions that can be."""
    decoder = DECODERS[module.NAME]
    decoder.content(frame)
    try:
        positions = decoder.decode(frame)
    except DecodeError:
        return []
    for position in positions:
        assert position.latitude is None or -90 <= position.latitude <= 90
        assert position.longitude is None or -180 <= position.longitude <= 180
        assert (position.latitude is None) == (position.longitude is None)
        assert not (position.valid and position.latitude is None)
        assert position.course_deg is None or 0 <= position.course_deg <= 360
    return positions


def check_frame(module: ProtocolModule, frame: bytes, facts: Facts) -> list[Position]:
    """Identify, reply and validates raise nothing; the positions, with and without a time of arrival."""
    module.identify(frame, facts)
    module.reply(frame, facts, ARRIVAL_MS)
    module.validates(frame)
    return [
        position
        for received_ms in (None, ARRIVAL_MS)
        for position in check_decoded(module, Frame(frame, module.NAME, received_ms=received_ms, login=facts.login))
    ]


def check_only_device_errors(module: ProtocolModule, payload: bytes, facts: Facts) -> list[Position]:
    """Split raises FrameError alone; the positions of the bytes taken as one frame, and of the frames cut from them."""
    for quiet in (False, True):
        for piece in split_all(module, [payload], Facts(), quiet):  # split_all lets FrameError alone pass
            assert piece in payload
    frames = (payload, *split_all(module, [payload], facts, True))
    return [position for frame in frames for position in check_frame(module, frame, facts)]


# -- speed ----------------------------------------------------------------------------------------------


def worst_cases(patterns: Iterable[bytes], shown: int) -> list[ParameterSet]:
    """WORST_BYTES of each pattern, repeated; named by so many bytes of it."""
    return [
        pytest.param((pattern * (WORST_BYTES // len(pattern) + 1))[:WORST_BYTES], id=repr(pattern[:shown]))
        for pattern in patterns
    ]


def seconds(work: Callable[..., object], *arguments: object) -> float:
    """CPU time of work(*arguments): the best of WORST_RUNS, of fewer once it is far below the bound."""
    best = float("inf")
    for _ in range(WORST_RUNS):
        start = time.process_time()
        work(*arguments)
        best = min(best, time.process_time() - start)
        if best < WORST_S / 2:
            break
    return best


def check_frames_are_quick(module: ProtocolModule, frames: Iterable[bytes], facts: Facts | None = None) -> None:
    """Whatever is done with one frame is done within WORST_S. facts: of a session of all; None: each call has its own."""

    def decode(frame: bytes) -> None:
        with suppress(DecodeError):
            DECODERS[module.NAME].decode(Frame(frame, module.NAME, received_ms=ARRIVAL_MS))

    for frame in frames:
        assert seconds(decode, frame) < WORST_S
        assert seconds(module.validates, frame) < WORST_S
        assert seconds(lambda frame=frame: module.identify(frame, facts or Facts())) < WORST_S
        assert seconds(lambda frame=frame: module.reply(frame, facts or Facts(), ARRIVAL_MS)) < WORST_S


def check_search_is_quick(module: ProtocolModule, worst: bytes) -> None:
    """Detection and the two searches for the next frame are done within WORST_S."""
    for rule in module.RULES:
        assert seconds(rule.detect, worst, False) < WORST_S
    assert seconds(module.strong_start, worst, 0) < WORST_S
    assert seconds(module.resync, worst, 1) < WORST_S
