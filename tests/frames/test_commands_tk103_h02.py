"""Bytes of commands, by the command tables of the formats."""

from __future__ import annotations

import pytest

from gateway.protocols import h02, tk103
from gateway.protocols.base import Facts
from schemas.records import Attribute

NOW_MS = 1_768_471_873_000
"""2026-01-15T10:11:13Z"""
FIXED = b"(088012345678BP05354188012345678)"
COMMA = b"(864768011234567,ZC07,250517,A,3211.7118N,03452.8086E,0.68,115525,208.19)"
TEXT = b"*TH,8800123456,HTBT#"
BINARY = bytes.fromhex("24880012345610111215012651302500060000765006019045ffffffffff0001")

FIXED_COMMANDS: list[tuple[str, dict[str, Attribute], bytes]] = [
    ("position_single", {}, b"(088012345678AP00)"),
    ("position_periodic", {"interval_s": 60}, b"(088012345678AR00003C0000)"),
    ("position_periodic", {"interval_s": 30, "duration_s": 5400}, b"(088012345678AR00001E011E)"),
    ("position_stop", {}, b"(088012345678AR0000000000)"),
    ("engine_stop", {}, b"(088012345678AV010)"),
    ("engine_resume", {}, b"(088012345678AV011)"),
    ("output_control", {"index": 1, "enable": False}, b"(088012345678AV000)"),
    ("reboot", {}, b"(088012345678AT00)"),
    ("get_version", {}, b"(088012345678AP07)"),
    ("reset_odometer", {}, b"(088012345678AX01)"),
    ("custom", {"data": "AP12H080L010"}, b"(088012345678AP12H080L010)"),
]
COMMA_COMMANDS: list[tuple[str, dict[str, Attribute], bytes]] = [
    ("position_single", {}, b"*getposl*"),
    ("position_periodic", {}, b"*routetrack*99*"),
    ("position_stop", {}, b"*routetrackoff*"),
    ("reboot", {}, b"88888888"),
    ("get_device_status", {}, b"*status*"),
    ("power_off", {}, b"*turnoff*"),
    ("mode_deep_sleep", {}, b"*sleep*2*"),
    ("mode_power_saving", {"enable": True}, b"*sleepv*"),
    ("alarm_sos", {"enable": False}, b"*sosoff*"),
    ("set_connection", {"server": "192.0.2.7", "port": 8888}, b"*setip*192*0*2*7*8888*"),
    ("sos_number", {"password": "1234", "phone": "+491511"}, b"*master*1234*+491511*"),
]
H02_COMMANDS: list[tuple[str, dict[str, Attribute], bytes]] = [
    ("engine_stop", {}, b"S20,101113,1,1#"),
    ("engine_resume", {}, b"S20,101113,1,0#"),
    ("alarm_arm", {}, b"SCF,101113,0,0#"),
    ("alarm_disarm", {}, b"SCF,101113,1,1#"),
    ("position_periodic", {"interval_s": 20}, b"S71,101113,22,20#"),
    ("position_periodic", {"interval_s": 20, "form": "D1"}, b"D1,101113,20#"),
    ("get_device_status", {}, b"S26,101113#"),
    ("position_single", {}, b"CR,101113#"),
    ("reboot", {}, b"CQ,101113#"),
]


@pytest.mark.parametrize(("kind", "parameters", "wanted"), FIXED_COMMANDS)
def test_fixed_width_commands(kind: str, parameters: dict[str, Attribute], wanted: bytes) -> None:
    """The address is the short id that the device used, although the session knows the device by its IMEI."""
    facts = Facts()
    facts.device_id = tk103.identify(FIXED, facts).imei
    assert tk103.encode_command(kind, parameters, facts, NOW_MS) == wanted


@pytest.mark.parametrize(("kind", "parameters", "wanted"), COMMA_COMMANDS)
def test_comma_commands(kind: str, parameters: dict[str, Attribute], wanted: bytes) -> None:
    facts = Facts()
    tk103.identify(COMMA, facts)
    assert tk103.encode_command(kind, parameters, facts, NOW_MS) == b"[begin]sms2," + wanted + b",[end]"


@pytest.mark.parametrize(("kind", "parameters", "wanted"), H02_COMMANDS)
def test_h02_commands(kind: str, parameters: dict[str, Attribute], wanted: bytes) -> None:
    """Vendor letters and id are those of the device's own text; a device that sent only binary is addressed with HQ."""
    facts = Facts()
    h02.identify(TEXT, facts)
    assert h02.encode_command(kind, parameters, facts, NOW_MS) == b"*TH,8800123456," + wanted
    facts = Facts(device_id="8800123456")
    h02.identify(BINARY, facts)
    assert h02.encode_command(kind, parameters, facts, NOW_MS) == b"*HQ,8800123456," + wanted


@pytest.mark.parametrize(
    ("module", "frame", "kind", "parameters"),
    [
        (tk103, FIXED, "set_connection", {"server": "192.0.2.7", "port": 8888}),
        (tk103, FIXED, "position_periodic", {}),
        (tk103, FIXED, "position_periodic", {"interval_s": 70_000}),
        (tk103, FIXED, "position_periodic", {"interval_s": True}),
        (tk103, FIXED, "custom", {"data": "AP00)(1"}),
        (tk103, COMMA, "engine_stop", {}),
        (tk103, COMMA, "set_connection", {"server": "tracker.example", "port": 8888}),
        (tk103, COMMA, "sos_number", {"password": "12*34", "phone": "1"}),
        (h02, TEXT, "set_connection", {"server": "192.0.2.7", "port": 8888}),
        (h02, TEXT, "position_periodic", {"interval_s": 0}),
        (h02, TEXT, "custom", {"data": ""}),
    ],
)
def test_unsupported(module, frame: bytes, kind: str, parameters: dict[str, Attribute]) -> None:  # type: ignore[no-untyped-def]
    facts = Facts()
    module.identify(frame, facts)
    with pytest.raises(ValueError, match=r"must|no command"):
        module.encode_command(kind, parameters, facts, NOW_MS)


@pytest.mark.parametrize("module", [tk103, h02])
def test_unknown_device(module) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="who it is"):
        module.encode_command("engine_stop", {}, Facts(), NOW_MS)


def test_r12_goes_only_to_a_device_that_repeats_its_reports() -> None:
    now_ms = 1_768_471_875_000
    first = bytes.fromhex("24880012345610111215012651302500060000765006019045ffffffffff000100")
    other = bytes.fromhex("24880012345610111315012651302500060000765006019045ffffffffff000200")
    facts = Facts()
    assert h02.reply(first, facts, now_ms) is None
    assert h02.reply(other, facts, now_ms) is None
    answer = h02.reply(other, facts, now_ms)
    assert answer is not None
    assert answer.data == b"*HQ,8800123456,R12,101115#"
    assert h02.reply(first, facts, now_ms) is not None, "it is one of those that wait for it"
    beat = b"*HQ,8800123456,XT,2#"
    quiet = Facts()
    assert [h02.reply(beat, quiet, now_ms) for _ in range(3)] == [None] * 3, "a heartbeat repeats by itself"
