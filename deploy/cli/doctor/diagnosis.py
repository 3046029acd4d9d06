"""From facts to a diagnosis: how far the device came, when, what is wrong and what to do about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from deploy.cli.doctor import sms
from deploy.cli.doctor.facts import REFUSED_RUNGS, Diagnosis, Facts, Rung, SessionSeen, rung_of_frame
from deploy.cli.doctor.findings import RECENT_REPORTS, TOGETHER_MS, findings, headline
from processors.decoders.registry import DECODERS

SILENT_MS = 60 * 60_000
"""A device that was not heard for so long is called silent: parked trackers report at least hourly."""
STEADY_FRAMES = 3
"""Frames of one session that cannot all be logins."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where devices shall report, for the text messages."""

    host: str = sms.HOST
    port: str = sms.PORT
    apn: str = sms.APN


def diagnose(facts: Facts, place: Place, family: str = "") -> Diagnosis:
    """Judge. family: the protocol that the user says the device speaks; else the one that was detected."""
    found = Diagnosis()
    found.ladder = ladder(facts)
    if found.ladder:
        found.heard_ms = max(found.ladder.values())
        recent = [rung for rung, at_ms in found.ladder.items() if at_ms >= found.heard_ms - TOGETHER_MS]
        found.state = max(recent)
        found.silent = facts.now_ms - found.heard_ms > SILENT_MS
        found.online = any(s.open and facts.now_ms - s.time_ms < SILENT_MS for s in facts.sessions) and not found.silent
    found.protocol = family or _protocol(facts)
    found.clock_ms = _clock_ms(facts)
    found.headline = headline(facts, found)
    found.findings = [*findings(facts, found)]
    found.messages = _messages(found, place)
    return found


def ladder(facts: Facts) -> dict[Rung, int]:
    """When each rung was last reached, in order; what never was is missing."""
    newest: dict[Rung, int] = dict(facts.last)

    def reach(rung: Rung, at_ms: int) -> None:
        newest[rung] = max(newest.get(rung, 0), at_ms)

    for report in facts.reports:
        reach(report.rung, report.received_ms)
    for session in facts.sessions:
        reach(Rung.CONNECTED, session.time_ms if session.bytes_in else session.opened_ms)
        if session.bytes_in:
            reach(*_rung_of_session(session, facts))
    for frame in facts.frames:
        reach(rung_of_frame(frame), frame["received_ms"])
    for refusals in facts.refusals:
        if (rung := REFUSED_RUNGS.get(refusals.reason)) is not None:
            reach(rung, refusals.last_ms)
    if newest:
        reach(Rung.CONNECTED, max(newest.values()))  # whatever came, came over a connection
    return dict(sorted(newest.items()))


def _rung_of_session(session: SessionSeen, facts: Facts) -> tuple[Rung, int]:
    if not session.protocol:
        return Rung.UNKNOWN, session.time_ms
    if session.protocol not in DECODERS:
        return Rung.UNREAD, session.time_ms
    if not session.device_id:
        return Rung.ANONYMOUS, session.time_ms
    reported = any(at_ms >= session.opened_ms for at_ms in facts.last.values())
    if session.frames >= STEADY_FRAMES and not reported and not facts.frames and not facts.is_address:
        return Rung.HEARTBEAT, session.time_ms
    return Rung.LOGIN, session.opened_ms


def _protocol(facts: Facts) -> str:
    """The protocol that it spoke last."""
    told = [(session.time_ms, session.protocol) for session in facts.sessions]
    told += [(frame["received_ms"], frame["protocol"]) for frame in facts.frames]
    told += [(report.received_ms, report.protocol) for report in facts.reports]
    return max(((at_ms, name) for at_ms, name in told if name), default=(0, ""))[1]


def _clock_ms(facts: Facts) -> int | None:
    errors = [r.device_time_ms - r.received_ms for r in facts.reports[:RECENT_REPORTS] if r.device_time_ms is not None]
    return round(median(errors)) if errors else None


def _messages(found: Diagnosis, place: Place) -> list[tuple[str, str]]:
    """What to send, by what is missing; nothing to a device that is well."""
    needs: dict[Rung | None, tuple[str, ...]] = {
        Rung.CONNECTED: ("apn", "server", "data"),
        Rung.UNKNOWN: (),
        Rung.UNREAD: (),
        Rung.LOGIN: ("interval", "server", "status"),
        Rung.HEARTBEAT: ("status", "interval"),
        Rung.CELLS: ("status",),
        Rung.FIX: (),
        None: ("apn", "server", "data", "interval", "status"),
    }
    purposes = needs[None] if found.silent or found.state is None else needs.get(found.state, ())
    purposes += tuple(need for finding in found.findings for need in finding.needs)
    return sms.messages(found.protocol, purposes, place.host, place.port, place.apn)
