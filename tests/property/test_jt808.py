"""Laws of the jt808 module: cuts do not matter, garbage costs only itself, nothing is slow or raises anything else."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocols import jt808
from gateway.protocols.base import Facts, Verdict
from gateway.protocols.jt808_parts import PARTS_BYTES, Part, add_part, joined, read_address, read_parts
from gateway.protocols.jt808_wire import MARK, OTHER_MARK, Address, content_of, message_to, read_head, sum_is_right
from gateway.protocols.registry import detect
from processors.decoders import jt808 as decoder
from schemas.records import Frame
from tests.frames.golden import load
from tests.property import laws

SAMPLES = laws.samples("jt808")
HEARTBEAT = bytes.fromhex("7e000200000880123456780008")
"""Without its checksum and its end."""
GOOD = HEARTBEAT + b"\x8a\x7e"
LOCATION = bytes.fromhex(
    "7e020000280880123456780007000000000000000b0311e4270001f20c001f016d002d26011518111201040000004330011f310109ae7e"
)
payloads = partial(laws.split_stream, jt808)


@pytest.mark.parametrize("path", laws.stream_cases("jt808"), ids=laws.stem)
def test_every_cut_gives_the_same_frames(path: Path) -> None:
    laws.check_every_cut(jt808, b"".join(laws.chunks_of(path)))


@pytest.mark.parametrize("path", laws.stream_cases("jt808", clean=True), ids=laws.stem)
def test_detection_waits_and_then_stays(path: Path) -> None:
    """Over the bytes as they come the answer is MORE, then YES for good: never a NO before a YES, never a change."""
    first = laws.chunks_of(path)[0]
    answers = laws.verdicts(jt808, first, False, range(1, len(first) + 1))
    assert answers == sorted(answers)
    assert answers[0] is Verdict.MORE
    assert answers[-1] is Verdict.YES
    assert answers[12 if first[0] in (MARK, OTHER_MARK) else 25] is Verdict.YES
    assert Verdict.MORE not in laws.verdicts(jt808, first, True, range(len(first)))


def test_strangers_are_not_claimed() -> None:
    """No golden frame of another protocol, and none that is nobody's, is taken for jt808."""
    others = laws.strangers("jt808")
    assert len(others) > 50
    for path in others:
        transport = load(path)["transport"]
        for data in laws.chunks_of(path, setup=True):
            module = detect(data, 0, transport, True).module
            assert module is not jt808, path
            assert jt808.strong_start(data, 0) < 0, path


def known(frames: list[bytes]) -> list[bytes]:
    """What stands between the delimiters of the frames that the detection table names: a doubled one counts once."""
    return [frame.strip(b"\x7e\xe7") for frame in frames if detect(frame, 0, "tcp", True).module is jt808]


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_cuts_of_glued_and_damaged_frames(data: st.DataObject) -> None:
    """Frames glued in any order, with bytes changed, lost and put in between: any cut gives the same frames.

    Compared are those of known message ids: behind damage only they have a start to be found by. A frame of another id is
    taken where the one before it ended well, and that can depend on the cut.
    """
    inserts = [b"\x7e", b"\x7e\x7e", b"\xe7", b"(", b")", b"\r\n\x00", b"\x00", b"\x7d"]
    whole = laws.draw_damaged(data, SAMPLES, inserts, changes=4, filler=b"\x7e")
    assert known(payloads(laws.draw_cut(data, whole))) == known(payloads([whole]))


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_only_device_errors(data: st.DataObject) -> None:
    """Whatever the bytes, split raises only FrameError, decode only DecodeError, identify and reply nothing."""
    payload = laws.draw_hostile(data, SAMPLES)
    facts = Facts(login=data.draw(st.sampled_from([b"", b"\x7e", b"\x7e\xff\xff\x06" + b"\x08" * 30])))
    for position in laws.check_only_device_errors(jt808, payload, facts):
        assert not (position.valid and position.latitude == position.longitude == 0)
        assert position.battery_percent is None or 0 <= position.battery_percent <= 100
        assert len(position.alarms) == len(set(position.alarms))


@given(kind=st.integers(0, 255), value=st.binary(max_size=60))
@settings(max_examples=1500, deadline=None)
def test_items_never_break_a_location(kind: int, value: bytes) -> None:
    """Any value under any item id leaves the place as it is."""
    content = content_of(LOCATION)[:40]
    body = content[12:] + bytes((kind, len(value))) + value
    frame = message_to(Address(MARK, -1, content[4:10]), 0x0200, body)
    (position,) = decoder.decode(Frame(frame, "jt808"))
    assert (position.latitude, position.longitude, position.valid) == (51.504167, -0.1275, True)
    assert position.fix_time_ms == laws.ARRIVAL_MS


@given(mark=st.sampled_from([MARK, OTHER_MARK]), version=st.sampled_from([-1, 0, 1, 0x7E]), body=st.binary(max_size=99))
@settings(max_examples=300, deadline=None)
def test_escapes_return(mark: int, version: int, body: bytes) -> None:
    """What is written is read again, whatever bytes need an escape, and holds no delimiter inside."""
    address = Address(
        mark, version, bytes((0x7D, 0x7E, 0xE6, 0xE7, 0x3D, 0x3E, 1, 2, 3, 4)[: 10 if version >= 0 else 6])
    )
    if mark == OTHER_MARK and version < 0:
        address = address._replace(id=b"\x7d\x7e\xe6\xe7\x3d\x3e\x01")
    frame = message_to(address, 0x8300, body)
    assert mark not in frame[1:-1]
    content = content_of(frame)
    head = read_head(content, mark)
    assert sum_is_right(content)
    assert head is not None
    assert (head.address, content[head.body_at : -1]) == (address, body)


@given(
    cuts=st.lists(st.integers(0, 60), min_size=1, max_size=5),
    order=st.randoms(use_true_random=False),
    again=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_parts_in_any_order_give_the_whole(cuts: list[int], order: object, again: bool) -> None:
    """The last part to come has the whole body; before it no part claims to be the last."""
    body = bytes(range(60))
    edges = [0, *sorted(cuts), 60]
    pieces = [body[a:b] for a, b in pairwise(edges)]
    address = Address(MARK, -1, b"\x08\x80\x12\x34\x56\x78")
    parts = [Part(address.id.ljust(10, b"\xff"), 0x0704, len(pieces), at + 1, one) for at, one in enumerate(pieces)]
    order.shuffle(parts)  # type: ignore[attr-defined]
    login = b""
    for index, part in enumerate(parts):
        for _ in range(1 + (again and index < len(parts) - 1)):
            login = add_part(login, address, part)
        found = joined(read_parts(login), part)
        assert found.whole == (index == len(parts) - 1)
        assert body.startswith(found.body)
    assert found.body == body
    assert read_address(login) == address


def test_parts_are_bounded() -> None:
    address = Address(MARK, 1, bytes(10))
    login = b""
    for number in range(1, 200):
        login = add_part(login, address, Part(bytes(10), 0x0704, 500, number, bytes(1000)))
    assert len(login) < PARTS_BYTES + 2_000
    for number in range(1, 200):
        login = add_part(login, address, Part(number.to_bytes(10), 0x0704, 500, 1, bytes(1000)))
    assert len(login) < PARTS_BYTES + 2_000
    assert len(read_parts(login)) > 10


def test_a_report_sent_again_has_the_same_content() -> None:
    """Serial number, checksum and the mark of stored data are no content; another time is."""
    address = Address(MARK, -1, bytes.fromhex("088012345678"))
    body = content_of(LOCATION)[12:-1]

    def content(message: int, payload: bytes, serial: bytes) -> bytes:
        return decoder.content(Frame(message_to(address, message, payload, serial), "jt808"))

    batch = b"\x00\x01\x00" + len(body).to_bytes(2) + body
    assert content(0x0200, body, b"\0\1") == content(0x0200, body, b"\0\2")
    assert content(0x0704, batch, b"\0\1") == content(0x0704, batch[:2] + b"\1" + batch[3:], b"\0\2")
    assert content(0x0200, body, b"\0\1") != content(0x0200, body[:27] + b"\x13" + body[28:], b"\0\1")
    assert content(0x5501, body, b"\1") == content(0x5502, body, b"\2")


@pytest.mark.parametrize("good", [GOOD, LOCATION])
def test_noise_in_front_costs_only_the_noise(good: bytes) -> None:
    for noise in (
        b"\x00\xff\x01\x02",
        b"hello\r\n",
        b"(7941",
        b"\x7e\x7e\x7e",
        b"\x7e\x01",
        b"\x00\x00",
        b"\x7eA",
        b"$GP",
    ):
        assert payloads([noise + good + noise + good])[-1].lstrip(b"\x7e") == good.lstrip(b"\x7e"), noise


WORST = laws.worst_cases(
    (
        *(bytes([byte]) for byte in b"~\xe7()\x00\x02\x7d\xe6\x3e0,\r\xff"),
        *(b"~\x00", b"~\xe7", b"\xe7~", b"~(", b"(~", b"((1234567890,", b"(1234567890,", b"(1234567890,1,001,BASE,"),
        *(b"~\x02\x00", HEARTBEAT, GOOD, GOOD[:-1], GOOD[1:-2], LOCATION, LOCATION[:-1], LOCATION[1:-1]),
        *(b"\x00\x02", b"\x00\x02\x00", b"\x00\x00\x01", b"~AAAAAAAAAAAAAAAA", b"~\x0f\x01AAAAAAAAAAAAAAA"),
        *(b"\xe7\x02\x00\x00\x28\x08\x80", b"\x7d\x01", b"\x7d\x02", b"~" + b"\x7d\x02" * 40, b"0" * 16 + b"~"),
    ),
    shown=24,
)


@pytest.mark.parametrize("worst", WORST)
def test_worst_input_is_linear(worst: bytes) -> None:
    """64 KiB of the worst bytes through each entry in less than 50 ms."""
    heads = (
        *(bytes.fromhex(f"7e{message}0000088012345678000700") for message in ("0704", "0210", "0900", "2070", "0104")),
        LOCATION[:-2],
        bytes.fromhex("7e0900000008801234567800") + b"\x07\xf0" + bytes(8) + b"\x02\xff\xff",
    )
    tails = worst.replace(b"\x7e", b"A") + b"\x7e"
    laws.check_frames_are_quick(jt808, (worst, *(head + tails for head in heads)), Facts())
    laws.check_search_is_quick(jt808, worst)
    assert laws.seconds(payloads, [worst]) < 2 * laws.WORST_S  # twice: without and with silence
