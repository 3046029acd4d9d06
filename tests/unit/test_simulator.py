"""The simulator without sockets: bytes against hand-written ones, ids, mix, routes, counts."""

from __future__ import annotations

import functools
import itertools
import json
import math
import operator
import re
from pathlib import Path

import pytest

from deploy.simulator import ledger
from deploy.simulator.options import Options, SimulatorError
from deploy.simulator.protocols import ENCODERS
from deploy.simulator.protocols.base import Encoder, Frame, luhn_digit
from deploy.simulator.protocols.h02 import H02
from deploy.simulator.protocols.jt808 import Jt808
from deploy.simulator.protocols.tk103 import Tk103
from deploy.simulator.result import Result, add
from deploy.simulator.routes import METRES_PER_DEGREE, Vehicle, VehicleState

SECOND = 1768471872  # 2026-01-15T10:11:12Z
WEST = VehicleState(51.5041667, -0.1275, 36.5, 45.0, True, 6699.9)
SOUTH = VehicleState(-33.8560, 151.2150, 0.0, 359.999, False, 0.0)


def frames_of_kind(encoder: Encoder, state: VehicleState, kind: str, count: int = 1) -> list[Frame]:
    """The first frames of one kind in the mix, all made as the only ones of their second."""
    mix = (encoder.next_frame(state, SECOND, 0) for _ in range(1000))
    return list(itertools.islice((frame for frame in mix if frame.kind == kind), count))


def test_tk103_login_is_the_vector_of_the_reference() -> None:
    encoder = Tk103(1, 0)
    frame = encoder.next_frame(WEST._replace(course_deg=45.5), SECOND, 0)
    short = "0" + encoder.device_id[4:]
    body = "260115A5130.2500N00007.6500W036.5101112045.5001000000L00001A2B"
    assert frame.data.decode() == f"({short}BP05{encoder.device_id}{body})"
    assert frame.expect == f"({short}AP05)".encode()
    assert (frame.kind, frame.login, frame.position, frame.time_ms) == ("BP05", True, True, SECOND * 1000)
    assert (frame.latitude, frame.longitude) == pytest.approx((51.504166667, -0.1275), abs=1e-8)
    assert frame.speed_kmh == 36.5


def test_tk103_timed_report_has_its_fields_where_the_reference_says() -> None:
    encoder = Tk103(1, 0)
    (frame,) = frames_of_kind(encoder, SOUTH, "BR00")
    text = frame.data.decode()
    assert text[0] == "("
    assert text[1:13] == "0" + encoder.device_id[4:]
    assert text[13:17] == "BR00"
    block = text[17:-1]
    widths = (6, 1, 9, 1, 10, 1, 5, 6, 6, 8, 9)
    cuts = [0, *itertools.accumulate(widths)]
    fields = [block[a:b] for a, b in itertools.pairwise(cuts)]
    assert "".join(fields) == block
    assert fields == [
        *("260115", "A", "3351.3600", "S", "15112.9000", "E", "000.0", "101112", "000.00", "00000000", "L00000000")
    ]
    assert frame.expect is None
    assert not frame.login


def test_tk103_handshake_and_alarms() -> None:
    encoder = Tk103(1, 0)
    short = "0" + encoder.device_id[4:]
    (shake,) = frames_of_kind(encoder, WEST, "BP00")
    assert re.fullmatch(rf"\({short}BP00{encoder.device_id}HSO01[0-9A-F]{{2}}\)", shake.data.decode())
    assert shake.expect == f"({short}AP01HSO)".encode()
    assert not shake.position
    assert shake.time_ms is None
    alarms = frames_of_kind(encoder, WEST, "BO01", 10)
    for alarm in alarms:
        digit = alarm.data[17:18].decode()
        assert alarm.data[18:25] == b"260115A"
        assert alarm.position
        assert alarm.expect == f"({short}AS01{digit})".encode()
    assert {alarm.data[17:18] for alarm in alarms} == {b"0", b"1", b"2", b"3", b"7"}
    fast = frames_of_kind(encoder, WEST._replace(speed_kmh=120.0), "BO01")[0]
    assert fast.data[17:18] == b"5"


def test_h02_text_is_the_vector_of_the_reference() -> None:
    plain, with_cell = H02(1, 0), H02(1, 1)
    frame = plain.next_frame(WEST, SECOND, 0)
    head = f"*HQ,{plain.device_id},V1,101112,A,5130.2500,N,00007.6500,W,019.71,045,150126,FFFFFFFF"
    assert frame.data.decode() == head + "#"
    assert (frame.position, frame.login, frame.time_ms) == (True, False, SECOND * 1000)
    assert frame.speed_kmh == pytest.approx(19.71 * 1.852)
    assert isinstance(frame.expect, re.Pattern)
    found = frame.expect.fullmatch(f"*HQ,{plain.device_id},V4,V1,20260115101113#".encode())
    assert found is not None
    assert found[1] == b"20260115101113"
    assert frame.expect.fullmatch(f"*HQ,{with_cell.device_id},V4,V1,20260115101113#".encode()) is None
    assert with_cell.next_frame(WEST, SECOND, 0).data.decode().endswith(",150126,FFFFFFFF,262,1,21019,2033,6#")


def test_h02_status_and_southern_place() -> None:
    (frame,) = frames_of_kind(H02(1, 0), SOUTH, "V1")
    assert frame.data.endswith(b",V1,101112,A,3351.3600,S,15112.9000,E,000.00,000,150126,FFFFFBFF#")
    (fast,) = frames_of_kind(H02(1, 0), WEST._replace(speed_kmh=125.0), "V1")
    assert fast.data.endswith(b",FFFFFFFB#")


def test_h02_binary_has_45_bytes_in_the_order_of_the_reference() -> None:
    encoder = H02(1, 0)
    (frame,) = frames_of_kind(encoder, WEST, "$")
    front = f"24 {encoder.device_id} 101112 150126 51302500 64 000076500 6 019 045 ffffffff"
    tail = "ff 00 15 09 00001a2b 0106 01 521b 07f1 02"
    assert frame.data == bytes.fromhex((front + tail).replace(" ", ""))
    assert len(frame.data) == 45
    assert frame.expect is None
    assert frame.position
    assert frame.speed_kmh == pytest.approx(19 * 1.852)
    south = frames_of_kind(encoder, SOUTH, "$")[0]
    assert south.data[17:22].hex() == "151129000a"  # valid, south, east


def test_h02_heartbeat_is_echoed_without_its_fields() -> None:
    encoder = H02(1, 0)
    (beat,) = frames_of_kind(encoder, WEST, "HTBT")
    assert beat.data == f"*HQ,{encoder.device_id},HTBT,100#".encode()
    assert beat.expect == f"*HQ,{encoder.device_id},HTBT#".encode()
    assert not beat.position


def test_jt808_location_is_the_vector_of_the_reference() -> None:
    """Section 10 of the format, with the id, the altitude and the serial number of this device."""
    encoder = Jt808(1, 0)
    frame = encoder.next_frame(WEST._replace(latitude=51.504167, odometer_m=6700.0), SECOND, 0)
    head = f"02000028 {encoder.device_id} 0000"
    body = "000000000000000b0311e4270001f20c0000016d002d260115181112 010400000043 300118 31010b"
    content = bytes.fromhex((head + body).replace(" ", ""))
    assert frame.data[1:-2] == content
    assert functools.reduce(operator.xor, frame.data[1:-1]) == 0
    answer = bytes.fromhex(f"80010005{encoder.device_id}00000000020000")
    assert frame.expect == b"\x7e" + answer + bytes((functools.reduce(operator.xor, answer),)) + b"\x7e"
    assert (frame.position, frame.time_ms) == (True, SECOND * 1000)
    south = frames_of_kind(encoder, SOUTH, "0200")[0]
    assert south.data[17:21].hex() == "00000006"  # a fix, south, east


def test_replies_are_cut_where_they_end() -> None:
    assert Jt808(1, 0).reply_end(b"\x7eabc\x7e\x7e") == 5
    assert Tk103(1, 0).reply_end(b"(0AP05)(0AS012)") == 7
    assert Tk103(1, 0).reply_end(b"(0AP0") == 0
    assert H02(1, 0).reply_end(b"*HQ,1,HTBT#*HQ") == 11


@pytest.mark.parametrize("kind", ENCODERS, ids=lambda kind: kind.NAME)
def test_ids_are_unique_stable_and_of_no_real_device(kind: type[Encoder]) -> None:
    ids = [kind(7, index).device_id for index in range(3000)]
    assert len(set(ids)) == 3000
    assert ids == [kind(7, index).device_id for index in range(3000)]
    assert not set(ids) & {kind(8, index).device_id for index in range(3000)}
    assert {len(one) for one in ids} == {{"tk103": 15, "jt808": 12}.get(kind.NAME, 10)}
    assert all(one.isdigit() and luhn_digit(one[:-1]) != int(one[-1]) for one in ids)


def test_short_ids_of_tk103_are_unique() -> None:
    short = {Tk103(7, index).next_frame(WEST, SECOND, 0).data[1:13] for index in range(3000)}
    assert len(short) == 3000
    assert all(one.startswith(b"0") for one in short)


def test_luhn_digit_of_known_numbers() -> None:
    assert luhn_digit("7992739871") == 3
    assert luhn_digit("49015420323751") == 8


@pytest.mark.parametrize("kind", ENCODERS, ids=lambda kind: kind.NAME)
def test_at_every_point_half_of_the_frames_are_answered_with_position(kind: type[Encoder]) -> None:
    for index in range(6):
        encoder = kind(1, index)
        good = 0
        for count in range(1, 301):
            frame = encoder.next_frame(WEST, SECOND + count, 0)
            good += frame.position and frame.expect is not None
            assert 2 * good >= count
        assert good < 300  # it is a mix


@pytest.mark.parametrize("kind", ENCODERS, ids=lambda kind: kind.NAME)
def test_no_two_positions_of_a_second_are_equal(kind: type[Encoder]) -> None:
    encoder = kind(1, 0)
    made = [encoder.next_frame(WEST, SECOND, nth) for nth in range(1500)]
    places = [(frame.kind, frame.latitude, frame.longitude) for frame in made if frame.position]
    assert len(set(places)) == len(places) > 1000
    off = max(abs(frame.latitude - WEST.latitude) for frame in made if frame.position)
    assert 0 < off < 0.0001


def test_a_journey_does_not_depend_on_when_it_is_looked_at() -> None:
    often, seldom, other = Vehicle(3, 5), Vehicle(3, 5), Vehicle(3, 6)
    for _ in range(2400):
        often.advance(0.5)
    assert often.advance(0) == seldom.at(1200) != other.at(1200)
    assert seldom.at(100) == seldom.at(1200)  # time does not run back


def test_routes_are_plausible() -> None:
    parked_s: list[int] = []
    speeds: set[int] = set()
    courses: set[int] = set()
    for index in range(30):
        vehicle = Vehicle(1, index)
        before = vehicle.at(0)
        still = 0
        for second in range(1, 3600):
            state = vehicle.at(second)
            assert 0 <= state.speed_kmh <= 130.0
            assert 0 <= state.course_deg < 360
            assert -90 < state.latitude < 90
            assert -180 < state.longitude < 180
            moved_m = math.hypot(
                (state.latitude - before.latitude) * METRES_PER_DEGREE,
                (state.longitude - before.longitude) * METRES_PER_DEGREE * math.cos(math.radians(state.latitude)),
            )
            assert moved_m <= max(state.speed_kmh, before.speed_kmh) / 3.6 + 3.1
            assert abs(state.speed_kmh - before.speed_kmh) <= 3.6 * 3.1 or state.speed_kmh == 0
            assert state.odometer_m >= before.odometer_m
            if state.speed_kmh == 0:
                still += 1
            elif still:
                parked_s.append(still)
                still = 0
            speeds.add(int(state.speed_kmh / 10))
            if state.speed_kmh:
                courses.add(int(state.course_deg))
            before = state
    assert any(pause > 180 for pause in parked_s)
    assert any(pause < 60 for pause in parked_s)
    assert {0, 3, 5, 8, 12} <= speeds
    assert len(courses) > 8


def test_ignition_is_off_only_when_parked() -> None:
    states = [Vehicle(1, index).at(0) for index in range(200)]
    off = [state for state in states if not state.ignition]
    assert 10 < len(off) < 60
    assert all(state.speed_kmh == 0 for state in off)


def test_every_wrong_setting_is_named() -> None:
    with pytest.raises(SimulatorError) as caught:
        Options(devices=0, rate_hz=-1, protocols=("tk103", "morse"), transport="pigeon", port=0).check()
    for word in ("devices", "rate", "morse", "h02", "transport", "port"):
        assert word in str(caught.value)
    with pytest.raises(SimulatorError, match="window"):
        Options(transport="udp", window=2).check()
    Options().check()


def test_percentiles_and_sums() -> None:
    one, two = Result(sent=100, answered=90, seconds=2.0), Result(sent=10, answered=10, wrong=1, seconds=3.0)
    assert one.latency_ms(50) is None
    for number in range(1, 91):
        one.answered_after(number / 1000)
    for _ in range(10):
        two.answered_after(0.5)
    total = add([one, two])
    assert (total.sent, total.answered, total.wrong, total.seconds) == (110, 100, 1, 3.0)
    assert total.latency_ms(50) == pytest.approx(50, rel=0.03)
    assert total.latency_ms(90) == pytest.approx(90, rel=0.03)
    assert total.latency_ms(99) == total.latency_ms(100) == 500.0
    assert one.ok
    assert not total.ok
    out = total.to_dict()
    assert json.loads(json.dumps(out))["latency_ms"]["max"] == 500.0
    assert "FAILED: 1 wrong" in total.table()
    assert "FAILED" not in one.table()
    assert "\n" not in total.line()


@pytest.mark.parametrize("trouble", ["wrong", "missing", "unconnected"])
def test_not_ok_when(trouble: str) -> None:
    assert not Result(**{trouble: 1}).ok  # type: ignore[arg-type]


def test_ledger_says_what_the_bytes_say(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger")
    ledger.begin(path)
    book = ledger.Ledger(path)
    tk103, h02 = Tk103(1, 0), H02(1, 1)
    book.add("tk103", tk103.device_id, tk103.next_frame(SOUTH, SECOND, 3), 10, 20)
    book.add("h02", h02.device_id, frames_of_kind(h02, WEST, "HTBT")[0], 11, 21)
    book.close()
    first, second = [json.loads(line) for line in Path(path).read_text().splitlines()]
    text = bytes.fromhex(first["frame_hex"]).decode()
    found = re.search(r"A(\d\d)(\d\d\.\d{4})S(\d{3})(\d\d\.\d{4})E", text)
    assert found is not None
    assert first["latitude"] == pytest.approx(-(int(found[1]) + float(found[2]) / 60), abs=1e-7)
    assert first["longitude"] == pytest.approx(int(found[3]) + float(found[4]) / 60, abs=1e-7)
    assert (first["device_id"], first["time_ms"], first["position"]) == (tk103.device_id, SECOND * 1000, True)
    assert (first["sent_ms"], first["answered_ms"], first["kind"]) == (10, 20, "BP05")
    assert second["position"] is False
    assert second["time_ms"] is None
    assert second["latitude"] is None
    assert (second["protocol"], second["kind"], second["device_id"]) == ("h02", "HTBT", h02.device_id)
    ledger.begin(path)
    assert Path(path).read_bytes() == b""
