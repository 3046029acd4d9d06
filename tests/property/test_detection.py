"""Laws of the detection table: every row, as soon as it can, whatever the cut; nobody's frames claimed by another."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet

from gateway.aliases import Aliases
from gateway.protocols.base import Facts, ProtocolModule, Rule, Status, Verdict
from gateway.protocols.recognised.heads import Head
from gateway.protocols.recognised.kind import Recognised
from gateway.protocols.recognised.table import strong_start
from gateway.protocols.registry import MODULES, PROTOCOLS, TABLE, detect
from gateway.session import WHOLE_BYTES, Session
from gateway.turn import OutFrame
from schemas.errors import FrameError
from schemas.records import FrameKind
from tests.property.heads import GOLDEN, ID, REFUSED, SCANNERS, Golden
from tests.property.laws import WORST_BYTES, WORST_S

DECODED = frozenset(module.NAME for module in MODULES)
RECOGNISED = [module for module in PROTOCOLS.values() if isinstance(module, Recognised)]
SEED = 20260115
LOGIN = b"(088012345678BP05354188012345678260115A5130.2500N00007.6500W036.5101112045.5001000000L00001A2B)"
ANONYMOUS = b"*HQ,,V1,101112,A,5130.2500,N,00007.6500,W,019.71,045,150126,FFFFFFFF#"

HTTP_KINDS = """dmthttp dragino flespi globalstar jimiphoto leafspy moovbox osmand outsafe owntracks piligrim polte ramac
rftrack sigfox smartcar spot ttnhttp valtrack"""
FAMILIES = {
    **dict.fromkeys(HTTP_KINDS.split(), "http"),
    **dict.fromkeys(("gl100", "gl601", "queclink"), "gl200"),
    **dict.fromkeys(("blackkite", "t622iridium"), "galileo"),
    **dict.fromkeys(("extremtrac", "gpsgate"), "t55"),
}
"""Protocols of the corpus that share their wire form with one of the table."""
MAY_BE_UNKNOWN = {"arnavi": 1, "atrack": 2, "suntech": 1, "t55": 12, "teltonika": 1, "v680": 1, "watch": 1}
"""Cases without a head of their own: edited ids, lone answers, continuations, other vendors."""
NOT_ITS_OWN = {"t55-ae923a59916a6800": "gps103"}
"""A bare line of 15 digits is a gps103 heartbeat (a T55 unit ignores the answer)."""


def named(goldens: tuple[Golden, ...], transport: str = "") -> list[ParameterSet]:
    return [
        pytest.param(golden, id=f"{golden.number}-{golden.protocol}-{at}")
        for at, golden in enumerate(goldens)
        if not transport or golden.transport == transport
    ]


def rules_of(golden: Golden) -> list[Rule]:
    return [rule for rule in TABLE if rule.number == golden.number and rule.protocol == golden.protocol]


def run(chunks: list[bytes], transport: str = "tcp", setup: list[bytes] | None = None) -> list[OutFrame]:
    """What a session makes of chunks; then silence, then the end. What the setup gives is left out."""
    session = Session("s1", "192.0.2.1:5000", transport, 0, Aliases())
    frames: list[OutFrame] = []
    for wanted, parts in ((False, setup or []), (True, chunks)):
        for part in parts:
            turn = session.datagram(part, 0) if transport == "udp" else session.receive(part, 0)
            frames += turn.frames if wanted else []
            if turn.close:
                return frames
    return [*frames, *session.advance(3_000).frames, *session.finish(3_000).frames]


def kept(frames: list[OutFrame]) -> list[tuple[str, bytes]]:
    return [(frame.protocol, frame.payload) for frame in frames if frame.kind is not FrameKind.UNDECIDED]


def single(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def test_the_whole_table_is_there_in_order() -> None:
    assert {int(rule.number) for rule in TABLE} == set(range(1, 68))
    assert [rule.number for rule in TABLE] == sorted(rule.number for rule in TABLE)
    assert all(rule.first for rule in TABLE)
    assert len({module.NAME for module in RECOGNISED}) == len(RECOGNISED)
    assert not DECODED & {module.NAME for module in RECOGNISED}


def test_every_recognised_row_has_a_golden_frame() -> None:
    ours = {(rule.number, rule.protocol) for module in RECOGNISED for rule in module.RULES}
    assert ours == {(golden.number, golden.protocol) for golden in (*GOLDEN, *REFUSED)}


@pytest.mark.parametrize("golden", named((*GOLDEN, *REFUSED), "tcp"))
def test_it_is_detected_as_soon_as_it_can_be_and_not_before(golden: Golden) -> None:
    after = golden.after or len(golden.frame)
    for end in range(1, len(golden.frame) + 1):
        found = detect(golden.frame[:end], 0, "tcp", False)
        assert (found.module.NAME if found.module else "") == (golden.protocol if end >= after else ""), end
        assert found.module or found.more, end
    assert any(rule.detect(golden.frame, False) is Verdict.YES for rule in rules_of(golden))


@pytest.mark.parametrize("golden", named(GOLDEN, "udp"))
def test_a_datagram_is_detected_at_once_and_only_there(golden: Golden) -> None:
    found = detect(golden.frame, 0, "udp", True)
    assert found.module is PROTOCOLS[golden.protocol]
    assert all(rule.transport == "udp" for rule in rules_of(golden)) or golden.number == 43


@pytest.mark.parametrize("golden", named((*GOLDEN, *REFUSED)))
def test_near_misses_are_not_it(golden: Golden) -> None:
    ended = golden.transport == "udp"
    for near in golden.near:
        assert [rule.detect(near, ended) for rule in rules_of(golden)] == [Verdict.NO] * len(rules_of(golden)), near


@pytest.mark.parametrize("golden", named((*GOLDEN, *REFUSED)))
def test_no_is_final_until_silence(golden: Golden) -> None:
    """The registry drops rules by the first two bytes: what said NO may not say YES when more bytes have come."""
    for rule in TABLE:
        answers = [rule.detect(golden.frame[:end], False) for end in range(1, len(golden.frame) + 1)]
        refused = answers.index(Verdict.NO) if Verdict.NO in answers else len(answers)
        assert Verdict.YES not in answers[refused:], rule


@pytest.mark.parametrize("golden", named(GOLDEN))
def test_its_frame_is_named_and_kept_at_once_and_never_answered(golden: Golden) -> None:
    session = Session("s1", "192.0.2.1:5000", golden.transport, 0, Aliases())
    udp = golden.transport == "udp"
    turn = session.datagram(golden.frame, 0) if udp else session.receive(golden.frame, 0)
    frames = turn.frames
    if golden.silent:
        assert not frames
        frames = session.advance(2_000).frames
    assert [(f.protocol, f.payload.rstrip(b"\r\n")) for f in frames] == [
        (golden.protocol, golden.frame.rstrip(b"\r\n"))
    ] or (golden.number == 44 and not frames)
    assert all((f.kind, f.device_id, f.reply) == (FrameKind.FRAME, "", None) for f in frames)
    assert not session.finish(3_000).frames


@pytest.mark.parametrize("golden", named(GOLDEN, "tcp"))
def test_every_cut_gives_the_same_frames(golden: Golden) -> None:
    glued = b"\r\n".join((golden.frame,) * 3) + b"\r\n"
    wanted = kept(run([glued]))
    assert [(name, payload.rstrip(b"\r\n")) for name, payload in wanted] == [
        (golden.protocol, golden.frame.rstrip(b"\r\n"))
    ] * 3
    assert kept(run(single(glued))) == wanted
    for at in range(1, len(glued)):
        assert kept(run([glued[:at], glued[at:]])) == wanted, at


@pytest.mark.parametrize("golden", named(REFUSED))
def test_what_no_tracker_speaks_is_published_and_closed_without_an_answer(golden: Golden) -> None:
    session = Session("s1", "192.0.2.1:5000", "tcp", 0, Aliases())
    turn = session.receive(golden.frame, 0)
    assert turn.close == f"{golden.protocol} is not served"
    assert [(f.kind, f.protocol, f.payload, f.reply) for f in turn.frames] == [
        (FrameKind.UNDECIDED, "", golden.frame, None)
    ]
    assert not session.pending_bytes


def test_recognised_frames_hold_up_no_login_and_use_what_the_session_knows() -> None:
    session = Session("s1", "192.0.2.1:5000", "tcp", 0, Aliases())
    report = b"+RESP:GTFRI,1A0102," + ID + b",,0,04D2$"
    first = session.receive(report, 0).frames
    assert [(f.protocol, f.device_id, f.kind) for f in first] == [("gl200", "", FrameKind.FRAME)]
    assert not session.receive(ANONYMOUS, 0).frames  # of a decoded protocol: it waits for a login
    second = session.receive(LOGIN + report, 0).frames
    assert [(f.protocol, f.device_id) for f in second] == [
        ("h02", ID.decode()),
        ("tk103", ID.decode()),
        ("gl200", ID.decode()),
    ]


def test_a_connection_of_a_recognised_protocol_changes_when_another_proves_itself() -> None:
    gt02 = next(golden.frame for golden in GOLDEN if golden.protocol == "gt02")
    egts = next(golden.frame for golden in GOLDEN if golden.protocol == "egts")
    assert kept(run([gt02 + egts + LOGIN + gt02])) == [
        ("gt02", gt02),
        ("egts", egts),
        ("tk103", LOGIN),
        ("gt02", gt02),
    ]


@pytest.mark.parametrize("greeting", SCANNERS)
def test_scanners_stay_unknown(greeting: bytes) -> None:
    for chunks in ([greeting], single(greeting)):
        frames = run(chunks)
        assert not kept(frames)
        assert all(frame.protocol == "" and frame.reply is None for frame in frames)


def test_random_bytes_are_no_decoded_protocol() -> None:
    source = random.Random(SEED)
    for at in range(20_000):
        data = source.randbytes(source.randint(1, 120))
        for protocol, _ in kept(run([data], "udp" if at % 4 == 0 else "tcp")):
            assert protocol not in DECODED, data


def test_nothing_but_a_frame_error_is_raised() -> None:
    source = random.Random(SEED)
    for golden in (*GOLDEN, *REFUSED):
        module = PROTOCOLS[golden.protocol]
        for _ in range(100):
            data = bytearray(golden.frame)
            for _ in range(source.randint(1, 4)):
                data[source.randrange(len(data))] = source.randrange(256)
            mutated = bytes(data[: source.randint(1, len(data))])
            for rule in rules_of(golden):
                rule.detect(mutated, False)
                rule.detect(mutated, True)
            module.validates(mutated)
            run([mutated, golden.frame], golden.transport)


def test_five_bytes_of_garbage_never_make_it_another_protocol() -> None:
    source = random.Random(SEED)
    found = Counter[bool]()
    for golden in GOLDEN:
        if golden.transport == "tcp":
            names = {name for name, _ in kept(run([source.randbytes(5) + golden.frame]))}
            assert names <= {golden.protocol}, golden
            found[bool(names)] += 1
    assert found[True] >= 25


def worst_of(module: ProtocolModule) -> Iterator[bytes]:
    """64 KiB each that make the patterns and framers of a protocol work hardest."""
    for golden in (*GOLDEN, *REFUSED):
        if golden.protocol == module.NAME:
            for part in {golden.frame, golden.frame[:-1], golden.frame[: golden.after or 4], golden.frame[:2]}:
                yield (part * (WORST_BYTES // len(part) + 1))[:WORST_BYTES]
            for filler in (b"0", b"A", b"#", b"\r", b"$", b"\x00"):
                yield (golden.frame[: golden.after or 4] + filler * WORST_BYTES)[:WORST_BYTES]


@pytest.mark.parametrize("module", [pytest.param(module, id=module.NAME) for module in RECOGNISED])
def test_the_worst_input_of_64_kibibytes_is_quick(module: Recognised) -> None:
    for data in worst_of(module):
        best = min(_slowest_step(module, data) for _ in range(3))
        assert best < WORST_S, data[:40]


def _slowest_step(module: Recognised, data: bytes) -> float:
    slowest = 0.0
    for step in range(len(module.RULES) + 3):
        started = time.process_time()
        if step < len(module.RULES):
            module.RULES[step].detect(data, False)
        elif step == len(module.RULES):
            module.resync(data, 1)
        elif step == len(module.RULES) + 1:
            strong_start(data[:WHOLE_BYTES], 1)
        else:
            _split_all(module, data)
        slowest = max(slowest, time.process_time() - started)
    return slowest


def _split_all(module: Recognised, data: bytes) -> None:
    """Split all of the frames; what no frame can begin with is left to resync, at most 200 times: that cost is per byte."""
    at, facts = 0, Facts()
    for _ in range(200):
        try:
            status, start, end = module.split(data, at, facts, True)
        except FrameError:
            status, start, end = Status.FOREIGN, at + 1, 0
        if status is not Status.FRAME and start <= at:
            return
        at = end if status is Status.FRAME else start
        if at >= len(data):
            return


def test_a_pattern_and_what_may_become_it_agree() -> None:
    """begun(x) exactly where some y makes x + y a head, over all words of a small language."""
    head = Head(rb"a{1,2}(?:b|ca?)?[de]{2}\x66")
    language = re.compile(rb"a{1,2}(?:b|ca?)?[de]{2}f")
    words = list(_heads())
    assert all(language.fullmatch(word) and head.detect(word, False) is Verdict.YES for word in words)
    assert head.first == b"a"
    assert head.longest == max(map(len, words))
    begun = {word[:end] for word in words for end in range(len(word))}
    for word in begun:
        assert head.detect(word, False) is Verdict.MORE, word
        for byte in b"abcdefg":
            longer = word + bytes((byte,))
            assert (head.detect(longer, False) is Verdict.NO) == (longer not in begun and longer not in words), longer
    assert head.find(b"xxaadxxaab", 0) == 7
    with pytest.raises(ValueError, match="group"):
        Head(rb"(?:a")


def _heads() -> Iterator[bytes]:
    for first in (b"a", b"aa"):
        for middle in (b"", b"b", b"c", b"ca"):
            for pair in (b"dd", b"de", b"ed", b"ee"):
                yield first + middle + pair + b"f"


# -- the corpus -------------------------------------------------------------------------------------------------------


def cases(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def chunks_of(case: dict[str, Any], key: str = "chunks") -> list[bytes]:
    return [bytes.fromhex(chunk) for chunk in case.get(key, [])]


def test_corpus_no_protocol_claims_anothers_frames(corpus: Path) -> None:
    unknown = Counter[str]()
    seen = Counter[str]()
    for case in cases(corpus / "public"):
        own = NOT_ITS_OWN.get(case["id"], FAMILIES.get(case["protocol"], case["protocol"]))
        chunks, setup = chunks_of(case), chunks_of(case, "setup")
        frames = kept(run(chunks, case["transport"], setup))
        assert {name for name, _ in frames} <= {own}, case["id"]
        if case["transport"] == "tcp":
            assert kept(run([one for chunk in chunks for one in single(chunk)], "tcp", setup)) == frames, case["id"]
        if own in PROTOCOLS:
            seen[own] += bool(frames)
            unknown[own] += not frames
    assert all(count <= MAY_BE_UNKNOWN.get(name, 0) for name, count in unknown.items()), unknown
    assert len(seen) > 50


def test_corpus_field_sessions_and_what_is_no_tracker(corpus: Path) -> None:
    for case in cases(corpus / "field"):
        wanted = case["expect"].get("protocol")
        frames = run(chunks_of(case), case["transport"], chunks_of(case, "setup"))
        names = {name for name, _ in kept(frames)}
        if wanted is None:
            assert not names, case["id"]
            assert all(frame.protocol == "" and frame.reply is None for frame in frames), case["id"]
        else:
            assert names == {FAMILIES.get(wanted, wanted)}, case["id"]


def test_corpus_garbage_in_front_never_makes_it_another_protocol(corpus: Path) -> None:
    source = random.Random(SEED)
    found = Counter[bool]()
    for case in cases(corpus / "public"):
        own = NOT_ITS_OWN.get(case["id"], FAMILIES.get(case["protocol"], case["protocol"]))
        if case["transport"] != "tcp" or "setup" in case or own not in PROTOCOLS:
            continue
        first, *rest = chunks_of(case)
        names = {name for name, _ in kept(run([source.randbytes(5) + first, *rest]))}
        assert names <= {own}, case["id"]
        found[bool(names)] += 1
    assert found[True] > 2 * found[False]
