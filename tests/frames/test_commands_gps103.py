"""Bytes of gps103 commands, by the command table of the format: letters, or three digits."""

from __future__ import annotations

import pytest

from gateway.protocols import gps103
from gateway.protocols.base import Facts
from schemas.records import Attribute

LOGIN = b"##,imei:354188012345678,A;"
FIX = b"imei:354188012345678,tracker,260115181112,,F,101112.000,A,5130.2500,N,00007.6500,W,19.71,45.50;"
NOW_MS = 1_768_471_872_000
COMMANDS: list[tuple[str, dict[str, Attribute], bytes, bytes]] = [
    ("position_single", {}, b"B", b"100"),
    ("position_periodic", {"interval_s": 30}, b"C,30s", b"101,30s"),
    ("position_periodic", {"interval_s": 90}, b"C,01m", b"101,01m"),
    ("position_periodic", {"interval_s": 7200}, b"C,02h", b"101,02h"),
    ("position_periodic", {"distance_m": 50}, b"F,0050m", b"103,0050m"),
    ("position_stop", {}, b"D", b"102"),
    ("alarm_clear", {}, b"E", b"104"),
    ("movement_alarm", {}, b"G", b"106"),
    ("alarm_speed", {"speed_kmh": 80}, b"H,080", b"107,080"),
    ("set_timezone", {"offset_h": -3}, b"I,-3", b"108,-3"),
    ("engine_stop", {}, b"J", b"109"),
    ("engine_resume", {}, b"K", b"110"),
    ("alarm_arm", {}, b"L", b"111"),
    ("alarm_disarm", {}, b"M", b"112"),
    ("mode_sms", {}, b"N", b"113"),
    (
        "set_geofence",
        {"latitude1": 51.5, "longitude1": -0.2, "latitude2": 51.4, "longitude2": 0},
        b"O,51.500000,-0.200000;51.400000,0.000000",
        b"114,51.500000,-0.200000;51.400000,0.000000",
    ),
    ("remove_geofence", {}, b"P", b"115"),
    ("upload_log", {"date": "20260115"}, b"Q,20260115", b"116,20260115"),
    ("request_photo", {}, b"160", b"160"),
    ("set_connection", {"server": "192.0.2.7", "port": 8888}, b"122,192.0.2.7,8888", b"122,192.0.2.7,8888"),
    ("custom", {"data": "B"}, b"B", b"B"),
]


@pytest.mark.parametrize(("kind", "parameters", "letter", "number"), COMMANDS)
def test_commands(kind: str, parameters: dict[str, Attribute], letter: bytes, number: bytes) -> None:
    """Codes are letters, until the device has echoed a number: then numbers. The operator may say which."""
    facts = Facts()
    gps103.identify(LOGIN, facts)
    assert gps103.encode_command(kind, parameters, facts, NOW_MS) == b"**,imei:354188012345678," + letter + b";"
    named = {**parameters, "form": "numeric"}
    assert gps103.encode_command(kind, named, facts, NOW_MS) == b"**,imei:354188012345678," + number + b";"
    gps103.identify(FIX.replace(b"tracker", b"509"), facts)
    assert gps103.encode_command(kind, parameters, facts, NOW_MS) == b"**,imei:354188012345678," + number + b";"
    gps103.identify(FIX.replace(b"tracker", b"jt"), facts)
    assert gps103.encode_command(kind, parameters, facts, NOW_MS) == b"**,imei:354188012345678," + letter + b";"


def test_a_command_only_letters_have() -> None:
    facts = Facts(device_id="354188012345678")
    assert gps103.encode_command("mode_suppress_parked", {}, facts, NOW_MS) == b"**,imei:354188012345678,A;"
    with pytest.raises(ValueError, match="no command"):
        gps103.encode_command("mode_suppress_parked", {"form": "numeric"}, facts, NOW_MS)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("reboot", {}),
        ("position_periodic", {}),
        ("position_periodic", {"interval_s": 360_000}),
        ("position_periodic", {"interval_s": True}),
        ("alarm_speed", {"speed_kmh": 1000}),
        ("set_geofence", {"latitude1": 91, "longitude1": 0, "latitude2": 0, "longitude2": 0}),
        ("upload_log", {"date": "20261332"}),
        ("set_connection", {"server": "a,b", "port": 1}),
        ("custom", {"data": "B;J"}),
        ("engine_stop", {"form": "roman"}),
    ],
)
def test_what_is_no_command(kind: str, parameters: dict[str, Attribute]) -> None:
    with pytest.raises(ValueError, match=r"must|no command"):
        gps103.encode_command(kind, parameters, Facts(device_id="354188012345678"), NOW_MS)


def test_a_command_needs_an_address() -> None:
    with pytest.raises(ValueError, match="who it is"):
        gps103.encode_command("engine_stop", {}, Facts(), NOW_MS)
