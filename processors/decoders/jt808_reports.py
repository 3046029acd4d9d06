"""JT/T 808 messages without a location: heartbeats, registrations, driver cards, answers to commands, text frames."""

from __future__ import annotations

from collections.abc import Callable
from struct import unpack_from

from gateway.protocols.jt808_wire import Head
from processors.decoders.jt808_location import time_or_none
from processors.decoders.jt808_values import signed_magnitude, text
from schemas.records import Position

Reports = list[Position]

_RESULTS = ("done", "failed", "wrong", "not supported")
_TEXT_PARAMETERS = range(0x10, 0x18)
"""Parameters whose value is text however short it is (servers, APN, user)."""
_ACCELERATION_BYTES = 12
_MOST_SAMPLES = 1023 // _ACCELERATION_BYTES
"""What fits in a body."""


def _with(**attributes: bool | float | str) -> Reports:
    """One report of the attributes that say something, none when there are none."""
    told = {name: value for name, value in attributes.items() if value != ""}
    return [Position(attributes=told)] if told else []


def _heartbeat(head: Head, body: bytes) -> Reports:
    """Nothing, or battery percent, GSM, status, one byte each."""
    if len(body) != 3:
        return []
    percent = float(body[0]) if body[0] <= 100 else None
    return [Position(battery_percent=percent, rssi=body[1], attributes={"heartbeat_status": body[2]})]


def _registration(head: Head, body: bytes) -> Reports:
    """Maker, model, terminal id and plate, in the layout that version and length tell; other lengths tell nothing."""
    if head.address.version >= 0 and len(body) >= 76:
        maker, model, terminal, plate = body[4:15], body[15:45], body[45:75], body[76:]
    elif len(body) in (25, 33, 34, 35):
        maker, model, terminal, plate = body[4:9], body[9:17], body[17:24], body[25:]
    elif len(body) in (37, 45, 46, 47):
        maker, model, terminal, plate = body[4:9], body[9:29], body[29:36], body[37:]
    else:
        return []
    return _with(maker=_name(maker), model=_name(model), terminal_id=_name(terminal), plate=_name(plate))


def _name(value: bytes) -> str:
    """Text of a fixed field, which may be padded at either end; "" for what is none."""
    words = text(value.strip(b"\x00"))
    return words if words.isprintable() and "?" not in words else ""


def _authentication(head: Head, body: bytes) -> Reports:
    """2019: length u8, key, IMEI 15, software version 20. The IMEI is the gateway's business."""
    if head.address.version < 0 or not body:
        return []
    at = 1 + body[0] + 15
    return _with(firmware=_name(body[at : at + 20]))


def _attributes(head: Head, body: bytes) -> Reports:
    """0107: type u16, maker 5, model 20, terminal id 7, ICCID 10 packed, hardware and firmware with their length."""
    if len(body) < 44:
        return []
    iccid = body[34:44].hex().rstrip("f")
    words: list[str] = []
    at = 44
    while at < len(body) and len(words) < 2:
        words.append(_name(body[at + 1 : at + 1 + body[at]]))
        at += 1 + body[at]
    hardware, firmware, *_ = [*words, "", ""]
    return _with(
        maker=_name(body[2:7]),
        model=_name(body[7:27]),
        terminal_id=_name(body[27:34]),
        iccid=iccid if iccid.strip("0") else "",
        hardware=hardware,
        firmware=firmware,
    )


def _driver_card(head: Head, body: bytes) -> Reports:
    """0702: status u8 (1 in, 2 out), time, result u8, name, certificate 20, agency, valid until (packed date)."""
    if len(body) < 7:
        return []
    report = Position(clock="unknown", device_time_ms=time_or_none(body[1:7]), attributes={"card_status": body[0]})
    if len(body) >= 9:
        report.attributes["card_result"] = body[7]
        name_end = 9 + body[8]
        agency_at = name_end + 20
        if agency_at < len(body):
            agency_end = agency_at + 1 + body[agency_at]
            valid_until = body[agency_end : agency_end + 4].hex()
            told = {
                "driver_name": _name(body[9:name_end]),
                "driver_id": _name(body[name_end:agency_at]),
                "driver_agency": _name(body[agency_at + 1 : agency_end]),
                "driver_valid_until": valid_until if valid_until.strip("0") else "",
            }
            report.attributes |= {key: value for key, value in told.items() if value}
    return [report]


def _acceleration(head: Head, body: bytes) -> Reports:
    """2070: samples of time and three numbers, sign and magnitude, of unknown scale: one report, time of the last."""
    count = min(len(body) // _ACCELERATION_BYTES, _MOST_SAMPLES)
    samples = [body[at * _ACCELERATION_BYTES : (at + 1) * _ACCELERATION_BYTES] for at in range(count)]
    if not samples:
        return []
    told = [",".join(str(signed_magnitude(one[at : at + 2])) for at in (6, 8, 10)) for one in samples]
    return [
        Position(
            clock="unknown",
            device_time_ms=time_or_none(samples[-1][:6]),
            attributes={"acceleration_raw": ";".join(told), "acceleration_samples": len(told)},
        )
    ]


def _photo(head: Head, body: bytes) -> Reports:
    """8888: a picture, or a part of one; the picture itself stays in the frame."""
    report = Position(attributes={"media": "photo", "media_bytes": len(body)})
    if head.total:
        report.attributes |= {"media_part": head.number, "media_parts": head.total}
    return [report]


# -- answers to commands ------------------------------------------------------------------------------------


def _result(words: str) -> Reports:
    return _with(command_result=words)


def _general_answer(head: Head, body: bytes) -> Reports:
    """0001: serial u16, message id u16, result u8: `8105: 0 (done)`."""
    if len(body) < 5:
        return []
    serial, message, result = unpack_from(">HHB", body)
    name = _RESULTS[result] if result < len(_RESULTS) else "unknown"
    return _with(command_result=f"{message:04X}: {result} ({name})", command_serial=serial)


def _parameters(head: Head, body: bytes) -> Reports:
    """0104: serial u16, count u8, then id u32, length u8, value: `0001=60; 0013=host`."""
    told: list[str] = []
    at = 3
    while at + 5 <= len(body) and len(told) < body[2]:
        number = int.from_bytes(body[at : at + 4])
        stop = at + 5 + body[at + 4]
        told.append(f"{number:04X}={_parameter(number, body[at + 5 : stop])}")
        at = stop
    return _result("8104: " + "; ".join(told)) if len(body) >= 3 else []


def _parameter(number: int, value: bytes) -> str:
    if number not in _TEXT_PARAMETERS and len(value) in (1, 2, 4):
        return str(int.from_bytes(value))
    words = text(value)
    return words if words.isprintable() and "?" not in words else value.hex()


def _command_text(head: Head, body: bytes) -> Reports:
    """0701: length u32, text."""
    return _result(text(body[4 : 4 + int.from_bytes(body[:4])])) if len(body) > 4 else []


def _text_answer(head: Head, body: bytes) -> Reports:
    """6006: encoding u8, GBK text."""
    return _result(text(body[1:]))


def _wide_answer(head: Head, body: bytes) -> Reports:
    """1300: serial u16, UTF-16 text."""
    return _result(body[2:].decode("utf-16-be", "replace").strip("\x00\r\n \ufffd"))


def read_text(frame: bytes) -> Reports:
    """A frame in parentheses: a question for the time, or the answer to a command."""
    words = frame[1:-1].decode("latin-1")
    return [] if words.endswith(",TIME") else _result(words)


REPORTS: dict[int, Callable[[Head, bytes], Reports]] = {
    0x0001: _general_answer,
    0x0002: _heartbeat,
    0x0100: _registration,
    0x0102: _authentication,
    0x0104: _parameters,
    0x0107: _attributes,
    0x0506: _heartbeat,
    0x0701: _command_text,
    0x0702: _driver_card,
    0x1300: _wide_answer,
    0x2070: _acceleration,
    0x6006: _text_answer,
    0x8888: _photo,
}
"""How messages without a location are read, by message id; the others tell nothing."""
