"""Commands to JT/T 808 devices (jt808.md section 8). The device confirms with 0001; its result is a command result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import pack

from gateway.protocols.base import Facts
from gateway.protocols.fields import plain_text, utc_text, whole_number
from gateway.protocols.jt808_parts import read_address
from gateway.protocols.jt808_wire import MARK, Address, message_to
from schemas.records import Attribute

Parameters = Mapping[str, Attribute]
BEIJING_MS = 8 * 3_600_000
BODY_BYTES = 1023

CONTROL, TEXT, PARAMETERS, VENDOR_PARAMETERS = 0x8105, 0x8300, 0x8103, 0x0310
OIL, CAMERA, RELAY = 0xA006, 0x8900, 0x8500
_QUERY_PARAMETERS, _QUERY_POSITION, _TRACK = 0x8104, 0x8201, 0x8202


def encode_command(kind: str, parameters: Parameters, facts: Facts, now_ms: int) -> bytes:
    """A frame with the header that the device itself uses (facts.login, kept by identify).

    Some commands have forms, by the parameter `form`: engine_stop and engine_resume "" (F0/F1), "64" (W15L), "text"
    (VL300), "oil" (A006); reboot and position_periodic "" or "0310"; custom "" (8300, flag 1 or the parameter flag),
    "8900" (JC cameras) or "at". Other parameters: position_periodic interval_s and, for a time, duration_s;
    set_connection server, port; set_speed_limit speed_kmh; set_distance distance_m; heartbeat_interval and
    sleep_interval interval_s; output_control enable; alarm_arm and alarm_disarm user. Raises ValueError for a command
    that these devices have not, and for a device that has not spoken and has no id of 12 digits.
    """
    builder = _BUILDERS.get(kind)
    if builder is None:
        raise ValueError(f"jt808 devices have no command {kind}")
    message, body = builder(kind, parameters, now_ms)
    if len(body) > BODY_BYTES:
        raise ValueError(f"the command is longer than {BODY_BYTES} bytes")
    return message_to(_address(facts), message, body)


def _address(facts: Facts) -> Address:
    address = read_address(facts.login)
    if address is not None:
        return address
    digits = facts.device_id.rjust(12, "0")
    if not facts.device_id or len(digits) != 12 or not digits.isdigit():
        raise ValueError("the device has not said who it is")
    return Address(MARK, -1, bytes.fromhex(digits))


def _form(parameters: Parameters, *known: str) -> str:
    form = parameters.get("form", "")
    if form not in ("", *known):
        raise ValueError(f"form must be one of {', '.join(known)}, not {form!r}")
    return str(form)


def _engine(kind: str, parameters: Parameters, now_ms: int) -> tuple[int, bytes]:
    stop = kind == "engine_stop"
    form = _form(parameters, "64", "text", "oil")
    if form == "oil":
        return OIL, bytes((stop,)) + bytes.fromhex(utc_text(now_ms + BEIJING_MS, "%y%m%d%H%M%S").decode())
    if form == "text":
        return CONTROL, b"#0;1" if stop else b"#0;0"
    if form == "64":
        return CONTROL, b"\x64" if stop else b"\x65"
    return CONTROL, b"\xf0" if stop else b"\xf1"


def _vendor(number: int, value: bytes) -> tuple[int, bytes]:
    return VENDOR_PARAMETERS, bytes((1, number, len(value))) + value


def _reboot(kind: str, parameters: Parameters, now_ms: int) -> tuple[int, bytes]:
    return _vendor(0x23, b"\x03") if _form(parameters, "0310") else (CONTROL, b"\x04")


def _arm(kind: str, parameters: Parameters, now_ms: int) -> tuple[int, bytes]:
    user = plain_text(parameters, "user") if "user" in parameters else "user"
    return _vendor(0x24, bytes((kind == "alarm_arm",)) + user.encode())


def _set(*values: tuple[int, bytes]) -> tuple[int, bytes]:
    items = b"".join(pack(">IB", number, len(value)) + value for number, value in values)
    return PARAMETERS, bytes((len(values),)) + items


def _periodic(kind: str, parameters: Parameters, now_ms: int) -> tuple[int, bytes]:
    interval_s = whole_number(parameters, "interval_s", 1, 0xFFFF)
    if "duration_s" in parameters:
        duration_s = whole_number(parameters, "duration_s", 1, 0xFFFFFFFF)
        return _TRACK, pack(">HI", interval_s, duration_s)
    if _form(parameters, "0310"):
        return _vendor(0x06, pack(">I", interval_s))
    return _set((0x29, pack(">I", interval_s)))


def _number(number: int, name: str, high: int) -> Builder:
    def build(kind: str, parameters: Parameters, now_ms: int) -> tuple[int, bytes]:
        return _set((number, pack(">I", whole_number(parameters, name, 1, high))))

    return build


def _connection(kind: str, parameters: Parameters, now_ms: int) -> tuple[int, bytes]:
    server = plain_text(parameters, "server")
    if len(server) > 255:
        raise ValueError("server must have at most 255 characters")
    return _set((0x13, server.encode()), (0x18, pack(">I", whole_number(parameters, "port", 1, 65535))))


def _custom(kind: str, parameters: Parameters, now_ms: int) -> tuple[int, bytes]:
    form = _form(parameters, "8900", "at")
    if form:
        data = plain_text(parameters, "data").encode()
        if form == "8900":
            return CAMERA, b"\xf0" + data
        if len(data) > 255:
            raise ValueError("data must have at most 255 characters")
        return _set((0xF030, data))
    text = parameters.get("data")
    if not isinstance(text, str) or not text:
        raise ValueError(f"data must be a text, not {text!r}")
    flag = whole_number(parameters, "flag", 0, 255) if "flag" in parameters else 1
    try:
        return TEXT, bytes((flag,)) + text.encode("gbk")
    except UnicodeEncodeError:
        raise ValueError("data must be text that GBK can write") from None


def _output(kind: str, parameters: Parameters, now_ms: int) -> tuple[int, bytes]:
    enable = parameters.get("enable")
    if not isinstance(enable, bool):
        raise ValueError(f"enable must be true or false, not {enable!r}")
    return RELAY, bytes((enable,))


def _fixed(message: int, body: bytes = b"") -> Builder:
    return lambda kind, parameters, now_ms: (message, body)


Builder = Callable[[str, Parameters, int], tuple[int, bytes]]

_BUILDERS: dict[str, Builder] = {
    "engine_stop": _engine,
    "engine_resume": _engine,
    "reboot": _reboot,
    "factory_reset": _fixed(CONTROL, b"\x05"),
    "power_off": _fixed(CONTROL, b"\x03"),
    "alarm_arm": _arm,
    "alarm_disarm": _arm,
    "position_single": _fixed(_QUERY_POSITION),
    "position_periodic": _periodic,
    "get_parameters": _fixed(_QUERY_PARAMETERS),
    "heartbeat_interval": _number(0x01, "interval_s", 0xFFFFFFFF),
    "sleep_interval": _number(0x27, "interval_s", 0xFFFFFFFF),
    "set_distance": _number(0x2C, "distance_m", 0xFFFFFFFF),
    "set_speed_limit": _number(0x55, "speed_kmh", 1000),
    "set_connection": _connection,
    "output_control": _output,
    "custom": _custom,
}
