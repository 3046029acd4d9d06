"""A diagnosis as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from deploy.cli.doctor.diagnosis import Place
from deploy.cli.doctor.facts import RUNG_TEXTS, Diagnosis, Facts, Rung, SessionSeen
from deploy.cli.doctor.findings import ago
from deploy.cli.doctor.sms import FAMILIES, PURPOSES, messages
from deploy.cli.event_text import figures, printable
from deploy.cli.frame_view import lines, moment

SESSIONS_SHOWN = 5
EXAMPLE_SHOWN = 64
DEVICES_SHOWN = 20
CAVEAT = "makers differ: when it does not answer, its manual has the texts and the password of that very device"
MAIN_RUNGS = (Rung.CONNECTED, Rung.LOGIN, Rung.HEARTBEAT, Rung.CELLS, Rung.FIX)
"""Shown even when they were never reached; the others only when they were."""


def as_text(facts: Facts, found: Diagnosis, shown_frames: int) -> str:
    """The whole diagnosis, for a terminal."""
    return "\n".join(_text(facts, found, shown_frames))


def _text(facts: Facts, found: Diagnosis, shown_frames: int) -> Iterator[str]:
    yield _title(facts, found)
    if facts.asked_as:
        yield f"  {printable(facts.asked_as)} is an id of it"
    if facts.aliases:
        yield f"  other ids: {', '.join(map(printable, facts.aliases))}"
    yield ""
    yield found.headline
    for away in facts.away:
        yield f"Not asked: {away}. What follows is a part."
    yield ""
    yield from _ladder(facts, found)
    if facts.is_address:
        yield from _devices(facts)
    yield from _sessions(facts)
    yield from _figures(facts, found)
    yield from _rejected(facts)
    yield from _frames(facts, shown_frames)
    yield from _todo(facts, found)


def _title(facts: Facts, found: Diagnosis) -> str:
    what = "address" if facts.is_address else "device"
    told = [f"{what} {printable(facts.subject)}"]
    if facts.device is not None:
        named = [facts.device.name, f"group {facts.device.group_id}" if facts.device.group_id else ""]
        told.append(f"registered ({', '.join(map(printable, filter(None, named)))})" if any(named) else "registered")
    elif facts.identified:
        told.append("not registered")
    if found.protocol:
        transport = facts.sessions[0].transport if facts.sessions else ""
        told.append(f"{found.protocol} over {transport}" if transport else found.protocol)
    if found.online:
        told.append("connected now")
    return ", ".join(told)


def _ladder(facts: Facts, found: Diagnosis) -> Iterator[str]:
    for rung in Rung:
        at_ms = found.ladder.get(rung)
        if at_ms is None and rung not in MAIN_RUNGS:
            continue
        mark = ">" if rung is found.state else " "
        when = "never" if at_ms is None else f"{ago(facts.now_ms - at_ms)} ago, {moment(at_ms)}"
        yield f"{mark} {RUNG_TEXTS[rung]:<36}  {when}"
    yield ""


def _devices(facts: Facts) -> Iterator[str]:
    """Who reports from the address: mobile operators put thousands behind one."""
    last: dict[str, tuple[int, str]] = {}
    for session in facts.sessions:
        last[session.device_id] = max(last.get(session.device_id, (0, "")), (session.time_ms, session.protocol))
    for frame in facts.frames:
        device_id = frame["device_id"] or ""
        last[device_id] = max(last.get(device_id, (0, "")), (frame["received_ms"], frame["protocol"] or ""))
    last.pop("", None)
    if not last:
        return
    yield f"Devices ({len(last)}; lodestream doctor ID tells more of one)"
    for device_id, (at_ms, protocol) in sorted(last.items(), key=lambda item: item[1], reverse=True)[:DEVICES_SHOWN]:
        yield f"  {printable(device_id):<20}  {protocol:<10}  {ago(facts.now_ms - at_ms)} ago"
    if len(last) > DEVICES_SHOWN:
        yield f"  … and {len(last) - DEVICES_SHOWN} more"
    yield ""


def _sessions(facts: Facts) -> Iterator[str]:
    if not facts.sessions:
        return
    shown = min(SESSIONS_SHOWN, len(facts.sessions))
    yield f"Sessions (newest {shown} of {len(facts.sessions)} read; those that are open tell news once a minute)"
    for session in facts.sessions[:SESSIONS_SHOWN]:
        yield f"  {_session(session)}"
    newest = facts.sessions[0]
    for name, data in (("last bytes in", newest.last_in), ("last reply", newest.last_out)):
        if data:
            text = printable(data.decode("latin-1"))
            yield f'  {name}: {data.hex()}  "{text}"'
    yield ""


def _session(session: SessionSeen) -> str:
    end = f"closed: {session.reason}" if not session.open else "open"
    who = f"{session.protocol or 'unknown protocol'} {printable(session.device_id) or 'no device'}"
    span = f"{moment(session.opened_ms)} to {moment(session.time_ms)}"
    counts = f"frames {session.frames:,}, replies {session.replies:,}, bytes {session.bytes_in:,}"
    if session.unknown_bytes:
        counts += f", {session.unknown_bytes:,} of no protocol"
    return f"{span}  {session.peer} {session.transport}  {who}  {counts}, {end}"


def _figures(facts: Facts, found: Diagnosis) -> Iterator[str]:
    if facts.reports:
        newest = facts.reports[0]
        told = [f"{facts.stored_reports:,} reports stored"]
        values = (
            (newest.satellites, "satellites {}"),
            (newest.battery_percent, "battery {:g} %"),
            (newest.battery_v, "battery {:g} V"),
            (newest.power_v, "power {:g} V"),
            (newest.rssi, "signal {}"),
        )
        told += [text.format(value) for value, text in values if value is not None]
        if found.clock_ms is not None:
            sign = "behind" if found.clock_ms < 0 else "ahead of"
            told.append(f"its clock {ago(abs(found.clock_ms))} {sign} arrival")
        yield f"Newest report: {', '.join(told)}"
    if facts.events:
        yield "Events"
        for event in facts.events:
            detail = " ".join(filter(None, (event.subject, figures(event.attributes))))
            yield f"  {moment(event.time_ms)}  {event.kind} {printable(detail)}".rstrip()
    if facts.reports or facts.events:
        yield ""


def _rejected(facts: Facts) -> Iterator[str]:
    if not facts.refusals:
        return
    yield "Rejected in the last month"
    for refusals in facts.refusals:
        detail = f"  {printable(refusals.detail)}" if refusals.detail else ""
        what = f"{refusals.reason}  {refusals.protocol or 'unknown protocol'}"
        yield f"  {refusals.count:>6,}  {what}, last {moment(refusals.last_ms)}{detail}"
        yield f"          {refusals.example[:EXAMPLE_SHOWN].hex()}"
    yield ""


def _frames(facts: Facts, shown: int) -> Iterator[str]:
    if not facts.scanned and not facts.frames:
        return
    if not facts.frames:
        yield f"No frame was found in {facts.scanned}."
        yield ""
        return
    if shown:
        yield f"Frames (newest {min(shown, len(facts.frames))}; times are UTC)"
        for told in facts.frames[:shown]:
            yield from ("  " + line for line in lines(told))
        yield ""


def _todo(facts: Facts, found: Diagnosis) -> Iterator[str]:
    if not found.findings:
        yield "Nothing is wrong."
    for number, finding in enumerate(found.findings, 1):
        yield f"{number}. {printable(finding.text, 1000)}"
        yield from (f"     {printable(advice, 1000)}" for advice in finding.advice)
    if found.messages:
        yield ""
        yield f"Text messages for its family ({FAMILIES[found.protocol].sold_as}):"
        yield from _messages(found.messages)
        if note := FAMILIES[found.protocol].note:
            yield f"  ({note})"
        yield f"  ({CAVEAT})"
    elif found.state is None or found.silent:
        yield ""
        yield "Text messages that set a tracker up: lodestream doctor --sms, or name its family: --protocol gt06"


def _messages(told: list[tuple[str, str]]) -> Iterator[str]:
    for purpose, text in told:
        yield f"  {text:<34}  {purpose}"


def families(place: Place, names: list[str]) -> str:
    """The text messages of families, all of them."""
    told = []
    for name in names:
        family = FAMILIES[name]
        told += [f"{name}: {family.sold_as}"]
        told += _messages(messages(name, tuple(PURPOSES), place.host, place.port, place.apn))
        told += [f"  ({family.note})"] if family.note else []
        told.append("")
    return "\n".join([*told, CAVEAT])


def as_json(facts: Facts, found: Diagnosis) -> dict[str, Any]:
    """Everything, as one JSON object: bytes in hex, rungs by name."""
    return {
        "subject": facts.subject,
        "is_address": facts.is_address,
        "state": "never_seen" if found.state is None else found.state.name.lower(),
        "headline": found.headline,
        "heard_ms": found.heard_ms,
        "silent": found.silent,
        "online": found.online,
        "protocol": found.protocol,
        "clock_ms": found.clock_ms,
        "ladder_ms": {rung.name.lower(): at_ms for rung, at_ms in found.ladder.items()},
        "findings": [asdict(finding) for finding in found.findings],
        "messages": [{"purpose": purpose, "text": text} for purpose, text in found.messages],
        "registered": None if facts.device is None else asdict(facts.device),
        "aliases": facts.aliases,
        "asked_as": facts.asked_as,
        "sessions": [_plain(asdict(session)) for session in facts.sessions],
        "reports": [_plain(asdict(report)) for report in facts.reports],
        "stored_reports": facts.stored_reports,
        "rejected": [_plain(asdict(refusals)) for refusals in facts.refusals],
        "events": [asdict(event) for event in facts.events],
        "similar": [asdict(similar) for similar in facts.similar],
        "frames": facts.frames,
        "scanned": facts.scanned,
        "away": facts.away,
    }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()}
