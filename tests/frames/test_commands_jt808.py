"""Bytes of JT/T 808 commands, by the command table of the format (jt808.md section 8; vectors of section 10)."""

from __future__ import annotations

import pytest

from gateway.protocols import jt808
from gateway.protocols.base import Facts
from gateway.protocols.jt808_wire import content_of, mark_of, read_head, sum_is_right
from schemas.records import Attribute

NOW_MS = 1_768_471_873_000
"""2026-01-15T10:11:13Z"""
HEARTBEAT = bytes.fromhex("7e0002000008801234567800088a7e")
VERSIONED = bytes.fromhex("7e00024000010000035418801234567800088c7e")
OTHER = bytes.fromhex("e7000200000880123456789000081ae7")
ADDRESS = bytes.fromhex("088012345678")

VECTORS: list[tuple[str, dict[str, Attribute], str, str]] = [
    ("engine_stop", {}, "8105", "f0"),
    ("engine_resume", {}, "8105", "f1"),
    ("engine_stop", {"form": "64"}, "8105", "64"),
    ("engine_resume", {"form": "64"}, "8105", "65"),
    ("engine_stop", {"form": "text"}, "8105", b"#0;1".hex()),
    ("engine_resume", {"form": "text"}, "8105", b"#0;0".hex()),
    ("engine_stop", {"form": "oil"}, "a006", "01260115181113"),
    ("engine_resume", {"form": "oil"}, "a006", "00260115181113"),
    ("reboot", {}, "8105", "04"),
    ("factory_reset", {}, "8105", "05"),
    ("power_off", {}, "8105", "03"),
    ("reboot", {"form": "0310"}, "0310", "01230103"),
    ("alarm_arm", {}, "0310", "01240501" + b"user".hex()),
    ("alarm_disarm", {"user": "me"}, "0310", "01240300" + b"me".hex()),
    ("position_single", {}, "8201", ""),
    ("position_periodic", {"interval_s": 30}, "8103", "0100000029040000001e"),
    ("position_periodic", {"interval_s": 30, "form": "0310"}, "0310", "0106040000001e"),
    ("position_periodic", {"interval_s": 5, "duration_s": 600}, "8202", "000500000258"),
    ("get_parameters", {}, "8104", ""),
    ("heartbeat_interval", {"interval_s": 60}, "8103", "0100000001040000003c"),
    ("sleep_interval", {"interval_s": 3600}, "8103", "01000000270400000e10"),
    ("set_distance", {"distance_m": 200}, "8103", "010000002c04000000c8"),
    ("set_speed_limit", {"speed_kmh": 120}, "8103", "01000000550400000078"),
    ("set_connection", {"server": "a.example", "port": 8888}, "8103",
     "020000001309" + b"a.example".hex() + "0000001804000022b8"),
    ("output_control", {"enable": True}, "8500", "01"),
    ("custom", {"data": "RESET#"}, "8300", "01" + b"RESET#".hex()),
    ("custom", {"data": "重启", "flag": 8}, "8300", "08" + "重启".encode("gbk").hex()),
    ("custom", {"data": "STATUS#", "form": "8900"}, "8900", "f0" + b"STATUS#".hex()),
    ("custom", {"data": "AT+X", "form": "at"}, "8103", "010000f03004" + b"AT+X".hex()),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "parameters", "message", "body"), VECTORS)
def test_commands(kind: str, parameters: dict[str, Attribute], message: str, body: str) -> None:
    facts = Facts()
    jt808.identify(HEARTBEAT, facts)
    frame = jt808.encode_command(kind, parameters, facts, NOW_MS)
    content = content_of(frame)
    assert content[:-1] == bytes.fromhex(message + f"{len(body) // 2:04x}") + ADDRESS + b"\0\0" + bytes.fromhex(body)
    assert sum_is_right(content)


def test_vectors_of_the_description() -> None:
    """Section 10; there the device's own serial numbers are 2, 3 and 4, and ours is always 0."""
    facts = Facts(device_id="88012345678")
    for kind, parameters, wanted in (
        ("engine_stop", {}, "7e810500010880123456780002f0f77e"),
        ("custom", {"data": "RESET#"}, "7e83000007088012345678000301524553455423707e"),
        ("position_periodic", {"interval_s": 30}, "7e8103000a08801234567800040100000029040000001e3e7e"),
    ):
        frame = bytearray(content_of(jt808.encode_command(kind, parameters, facts, NOW_MS)))
        vector = content_of(bytes.fromhex(wanted))
        assert frame[:11] == vector[:11]
        assert frame[12:-1] == vector[12:-1]


@pytest.mark.parametrize("greeting", [HEARTBEAT, VERSIONED, OTHER])
def test_the_header_is_the_device_s_own(greeting: bytes) -> None:
    """Delimiter, version and id of a command are those of the device, also after it is known by its IMEI."""
    facts = Facts()
    jt808.identify(greeting, facts)
    facts.device_id = "354188012345678"
    frame = jt808.encode_command("reboot", {}, facts, NOW_MS)
    sent = read_head(content_of(greeting), mark_of(greeting))
    head = read_head(content_of(frame), mark_of(frame))
    assert head is not None
    assert sent is not None
    assert head.address == sent.address
    assert frame[0] == frame[-1] == greeting[0]


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("fly", {}),
        ("engine_stop", {"form": "steam"}),
        ("position_periodic", {}),
        ("position_periodic", {"interval_s": 0}),
        ("set_connection", {"server": "x" * 300, "port": 8888}),
        ("set_connection", {"server": "a.example"}),
        ("output_control", {"enable": 1}),
        ("custom", {}),
        ("custom", {"data": "\N{CAT FACE}"}),
        ("custom", {"data": "x" * 2000}),
        ("custom", {"data": "x" * 300, "form": "at"}),
        ("custom", {"data": "x", "flag": 256}),
    ],
)
def test_unsupported(kind: str, parameters: dict[str, Attribute]) -> None:
    with pytest.raises(ValueError, match=r"must|no command|longer"):
        jt808.encode_command(kind, parameters, Facts(device_id="088012345678"), NOW_MS)


@pytest.mark.parametrize("device_id", ["", "354188012345678", "wrong"])
def test_unknown_device(device_id: str) -> None:
    with pytest.raises(ValueError, match="who it is"):
        jt808.encode_command("reboot", {}, Facts(device_id=device_id), NOW_MS)
