"""Watch reports without a place: heartbeats, cells, health, voice and pictures, answers to commands.

None of them has a clock that is known to be right, so their time is that of arrival.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.protocols.watch import Head, unescape
from processors.decoders.fields import number_or_none, whole_or_none
from processors.decoders.watch_position import read_cells
from schemas.records import Position

Reports = list[Position]

_VOICE_HEADER_FIELDS = 4
_PICTURE_HEADER_FIELDS = 2


def _field(fields: list[bytes], at: int) -> bytes:
    return fields[at] if at < len(fields) else b""


def _with_number(name: str, field: bytes) -> Reports:
    """One report with one measured value; 0 is what a sensor says that measured nothing."""
    value = number_or_none(field)
    if value is None or value <= 0:
        return []
    return [Position(attributes={name: value})]


def link(fields: list[bytes]) -> Reports:
    """LK: nothing, or `steps,rolls,battery %`; some firmware sends `steps,battery` or `steps,battery,0`.

    A battery of 0 is never meant: such a device could not send.
    """
    report = Position()
    steps, second, third = (whole_or_none(_field(fields, at)) for at in range(3))
    battery, rolls = third, second
    if not third and second is not None and 1 <= second <= 100:
        battery, rolls = second, None
    if steps is not None:
        report.attributes["steps"] = steps
    if rolls is not None:
        report.attributes["rolls"] = rolls
    if battery is not None and 1 <= battery <= 100:
        report.battery_percent = float(battery)
    return [report] if report.attributes or report.battery_percent is not None else []


def cell_report(fields: list[bytes]) -> Reports:
    """GS1: `count,timing advance,MCC,MNC` and the cells."""
    report = Position()
    count = whole_or_none(_field(fields, 0)) or 0
    read_cells(report, fields[2:4], fields[4 : 4 + 3 * min(count, len(fields))])
    return [report] if report.cells else []


def sim_card(fields: list[bytes]) -> Reports:
    """CCID: the number of the SIM card."""
    number = fields[0].strip()
    return [Position(attributes={"iccid": number.decode("latin-1")})] if number else []


def pulse(fields: list[bytes]) -> Reports:
    """PULSE, heart: beats a minute."""
    return _with_number("heart_rate_bpm", fields[0])


def blood_pressure(fields: list[bytes]) -> Reports:
    """BLOOD, bphrt: systolic and diastolic pressure in mmHg, then perhaps the heart rate."""
    report = Position()
    for at, name in enumerate(("systolic_mmhg", "diastolic_mmhg", "heart_rate_bpm")):
        value = number_or_none(_field(fields, at))
        if value is not None and value > 0:
            report.attributes[name] = value
    return [report] if report.attributes else []


def temperature(fields: list[bytes]) -> Reports:
    """TEMP: degrees Celsius of the body."""
    return _with_number("body_temperature_c", fields[0])


def flagged_temperature(fields: list[bytes]) -> Reports:
    """btemp2: a flag, above 0 when the degrees Celsius behind it were measured."""
    return _with_number("body_temperature_c", _field(fields, 1)) if (number_or_none(fields[0]) or 0) > 0 else []


def oxygen(fields: list[bytes]) -> Reports:
    """oxygen: a number without a known meaning, and the saturation in percent."""
    return _with_number("oxygen_saturation_percent", _field(fields, 1))


# -- binary content ---------------------------------------------------------------------------------------


def _media(head: Head, media: str, data: bytes) -> Position:
    """A report that tells of a recording; the recording itself stays in the frame."""
    size = len(data if head.plain else unescape(data))
    return Position(attributes={"media": media, "media_bytes": size})


def voice(head: Head, body: bytes) -> Reports:
    """TK, TK2: an AMR recording, or one byte, the result of a recording that was sent to the device."""
    if len(body) <= 1:
        return command_answer(head.content) if body else []
    return [_media(head, "audio", body)]


def voice_part(head: Head, body: bytes) -> Reports:
    """JXTK: `?,file,part,parts,` and that part of an AMR recording."""
    parts = body.split(b",", _VOICE_HEADER_FIELDS)
    if len(parts) <= _VOICE_HEADER_FIELDS:
        return []
    report = _media(head, "audio", parts[4])
    report.attributes["media_name"] = parts[1].decode("latin-1")
    for at, name in ((2, "media_part"), (3, "media_parts")):
        number = whole_or_none(parts[at])
        if number is not None:
            report.attributes[name] = number
    return [report]


def picture(head: Head, body: bytes) -> Reports:
    """img: `?,yymmddhhmmss,` and a JPEG picture; whose clock that is nobody documents, so it stays a name."""
    parts = body.split(b",", _PICTURE_HEADER_FIELDS)
    if len(parts) <= _PICTURE_HEADER_FIELDS:
        return []
    report = _media(head, "image", parts[2])
    report.attributes["media_name"] = parts[1].decode("latin-1")
    return [report]


def command_answer(content: bytes) -> Reports:
    """The word of a command and what the device says to it."""
    return [Position(attributes={"command_result": content.decode("latin-1")})]


BINARY: dict[bytes, Callable[[Head, bytes], Reports]] = {
    b"TK": voice,
    b"TK2": voice,
    b"JXTK": voice_part,
    b"img": picture,
}
REPORTS: dict[bytes, Callable[[list[bytes]], Reports]] = {
    b"LK": link,
    b"GS1": cell_report,
    b"CCID": sim_card,
    b"PULSE": pulse,
    b"heart": pulse,
    b"HEART": pulse,
    b"BLOOD": blood_pressure,
    b"bphrt": blood_pressure,
    b"BPHRT": blood_pressure,
    b"TEMP": temperature,
    b"btemp2": flagged_temperature,
    b"oxygen": oxygen,
}
COMMANDS = frozenset(
    b"CR UPLOAD SOS SOS1 SOS2 SOS3 SOSSMS LOWBAT REMOVE RESET POWEROFF LZ SILENCETIME REMIND PHB MESSAGE FLOWER PEDO "
    b"WORK MONITOR FACTORY VERNO TS rcapture".split()
)
"""Words that a device sends back when it has done what they say."""
