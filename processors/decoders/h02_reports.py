"""H02 text reports that are no plain position: cells, heartbeats, links, command answers, batches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from processors.decoders.fields import DAY_MS, add_cell, hex_or_none, lenient_hms_ms, number_or_none, whole_or_none
from processors.decoders.h02_common import apply_clock, apply_status, battery_percent, new_report
from processors.decoders.h02_position import apply_place, apply_time, core_stands, read_position
from schemas.errors import DecodeError, Reason
from schemas.records import Position

_ALARMS = {b"1": "sos", b"2": "low_battery", b"3": "geofence"}
_MONTHS_BACK = 12


def _text(fields: list[bytes]) -> str:
    return b",".join(fields).decode("latin-1")


def _need(fields: list[bytes], count: int) -> None:
    if len(fields) < count:
        raise DecodeError(Reason.SHORT, _text(fields[2:3]))


def _apply_status_text(report: Position, field: bytes) -> None:
    word = hex_or_none(field) if len(field) == 8 else None
    if word is not None:
        apply_status(report, word)


def answer(fields: list[bytes], received_ms: int | None) -> list[Position]:
    """V4: the command with its parameters and time, then a position; the short form has none.

    Parameters have any number of fields and any content, so the position is looked for from the right.
    """
    for at in range(len(fields) - 7, 3, -1):
        if fields[at + 1] in (b"A", b"V", b"B") and core_stands(fields, at, loose=False):
            report = read_position(fields, at, received_ms)
            report.attributes["command_result"] = _text(fields[3:at])
            return [report]
    report = new_report()
    report.attributes["command_result"] = _text(fields[3:])
    return [report]


def neighbours(fields: list[bytes], received_ms: int | None) -> list[Position]:
    """NBR: `hhmmss,mcc,mnc,ta,count`, cells `lac,cid,rx`, `ddmmyy,status[,battery]`; the count may be wrong."""
    _need(fields, 10)
    report = new_report()
    end = len(fields)
    if len(fields[-1]) != 8:
        step = whole_or_none(fields[-1])
        report.battery_percent = None if step is None else battery_percent(step)
        end -= 1
    _apply_status_text(report, fields[end - 1])
    apply_clock(report, fields[end - 2], fields[3], received_ms)
    mcc, mnc = whole_or_none(fields[4]), whole_or_none(fields[5])
    for at in range(8, end - 4, 3):
        rssi = number_or_none(fields[at + 2])
        lac, cid = whole_or_none(fields[at]), whole_or_none(fields[at + 1])
        add_cell(report.cells, mcc, mnc, lac, cid, None if rssi is None else int(rssi))
    return [report]


def link(fields: list[bytes], received_ms: int | None) -> list[Position]:
    """LINK: `hhmmss,gsm,satellites,battery %,steps,rolls,ddmmyy,status`."""
    _need(fields, 11)
    report = new_report()
    apply_clock(report, fields[9], fields[3], received_ms)
    report.rssi, report.satellites = whole_or_none(fields[4]), whole_or_none(fields[5])
    battery = whole_or_none(fields[6])
    report.battery_percent = float(battery) if battery is not None and battery <= 100 else None
    for name, field in (("steps", fields[7]), ("rolls", fields[8])):
        value = whole_or_none(field)
        if value is not None:
            report.attributes[name] = value
    _apply_status_text(report, fields[10])
    return [report]


def cell_report(fields: list[bytes], received_ms: int | None) -> list[Position]:
    """V3: `hhmmss,mccmnc,count`, cells `lac,cid,rx,x`, `battery hex,reboot,X,ddmmyy,status`."""
    _need(fields, 11)
    report = new_report()
    apply_clock(report, fields[-2], fields[3], received_ms)
    _apply_status_text(report, fields[-1])
    mcc, mnc = whole_or_none(fields[4][:3]), whole_or_none(fields[4][3:])
    for at in range(6, len(fields) - 8, 4):
        lac, cid, rssi = (whole_or_none(field) for field in fields[at : at + 3])
        add_cell(report.cells, mcc, mnc, lac, cid, rssi)
    battery, reboot = hex_or_none(fields[-5]), whole_or_none(fields[-4])
    if battery is not None:
        report.attributes["battery_raw"] = battery  # its unit is not known
    if reboot is not None:
        report.attributes["reboot"] = reboot
    return [report]


def short_position(fields: list[bytes], received_ms: int | None) -> list[Position]:
    """VP1: `A,lat,N,lon,E,speed,course,ddmmyy`, or `V,mcc,mnc,lac,cid,rx` and more `Ylac,cid,rx`."""
    _need(fields, 4)
    report = new_report()
    if fields[3] == b"V":
        first, *others = b",".join(fields[4:]).split(b"Y")
        parts = first.split(b",")
        if len(parts) < 4:
            return []
        mcc, mnc = whole_or_none(parts[0]), whole_or_none(parts[1])
        for cell in (parts[2:], *(other.split(b",") for other in others)):
            numbers = [whole_or_none(part) for part in (*cell, b"", b"")[:3]]
            add_cell(report.cells, mcc, mnc, *numbers)
        return [report]
    _need(fields, 11)
    apply_place(report, fields[3:10])
    apply_time(report, fields[10], b"000000", received_ms)
    start_ms = report.device_time_ms
    if start_ms is not None and received_ms is not None and 0 <= received_ms - start_ms < DAY_MS:
        # the report has a date but no time: arrival is nearer than midnight
        report.device_time_ms, report.clock = None, "utc"
        report.fix_time_ms = received_ms if report.latitude is not None else None
    return [report]


def heartbeat(fields: list[bytes], received_ms: int | None) -> list[Position]:
    """HTBT, V0: perhaps the battery in percent."""
    battery = whole_or_none(fields[3]) if len(fields) > 3 else None
    if battery is None or battery > 100:
        return []
    report = new_report()
    report.battery_percent = float(battery)
    return [report]


def tick(fields: list[bytes], received_ms: int | None) -> list[Position]:
    """XT: `1,battery %`; the other forms report nothing but life."""
    if len(fields) == 5 and fields[3] == b"1":
        return heartbeat(fields[1:], received_ms)
    return []


def message(fields: list[bytes], received_ms: int | None) -> list[Position]:
    """SMS: free text, what the device would have sent to a phone."""
    report = new_report()
    report.attributes["command_result"] = _text(fields[3:]).strip()
    return [report]


def alarm(fields: list[bytes], received_ms: int | None) -> list[Position]:
    """ALRM: an alarm number at the end, perhaps behind a position."""
    name = _ALARMS.get(fields[-1].strip())
    report = read_position(fields, 3, received_ms) if core_stands(fields, 3, loose=False) else new_report()
    if name:
        report.alarms = [*report.alarms, name]
        report.level_alarms -= {name}
    return [report] if name or report.latitude is not None else []


def batch(fields: list[bytes], received_ms: int | None) -> list[Position]:
    """BC: positions stored without coverage, separated by `;`, each with `DDHHmmss` in front of its validity.

    The day of the month is completed with the latest month that is not ahead of arrival.
    """
    reports = []
    for part in b",".join(fields[3:]).split(b";"):
        record = part.split(b",")
        for at in range(len(record) - 6):
            stamp = record[at]
            if len(stamp) == 8 and stamp.isdigit() and core_stands(record, at, loose=False):
                report = new_report()
                apply_place(report, record[at + 1 : at + 8])
                day = _dated(stamp[:2], lenient_hms_ms(stamp[2:]), received_ms)
                if day:
                    apply_time(report, day, stamp[2:], received_ms)
                elif report.latitude is not None:
                    report.fix_time_ms, report.clock = received_ms, "utc"
                reports.append(report)
                break
    return reports


def _dated(day: bytes, clock_ms: int, received_ms: int | None) -> bytes:
    """`ddmmyy` of a day of the month: the latest one that is at most a day ahead of arrival; empty when unknown."""
    if received_ms is None:
        return b""
    arrival = datetime.fromtimestamp(received_ms / 1000, UTC)
    year, month = arrival.year, arrival.month
    month += 1
    for _ in range(_MONTHS_BACK):
        if month > 12:
            year, month = year + 1, 1
        try:
            start = datetime(year, month, int(day), tzinfo=UTC)
        except ValueError:
            start = None
        if start is not None and start.timestamp() * 1000 + clock_ms <= received_ms + DAY_MS:
            return b"%b%02d%02d" % (day, month, year % 100)
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    return b""


REPORTS: dict[bytes, Callable[[list[bytes], int | None], list[Position]]] = {
    b"V4": answer,
    b"NBR": neighbours,
    b"LINK": link,
    b"V3": cell_report,
    b"VP1": short_position,
    b"HTBT": heartbeat,
    b"V0": heartbeat,
    b"XT": tick,
    b"SMS": message,
    b"ALRM": alarm,
    b"BC": batch,
}
