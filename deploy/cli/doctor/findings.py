"""The sentences of a diagnosis: what is wrong, most important first, and what to do about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from statistics import median

from deploy.cli.doctor.facts import REFUSED_RUNGS, Diagnosis, Facts, Finding, Rung
from schemas.records import Flag

RECENT_REPORTS = 20
CLOCK_WRONG_MS = 10 * 60_000
PATIENCE_MS = 2 * 60_000
TOGETHER_MS = 30 * 60_000
"""What a device did in the half hour before it was last heard makes its state."""
ZONE_STEP_MS, ZONE_SLACK_MS = 15 * 60_000, 3 * 60_000
FLAPPING = 10
"""Connections within an hour that say that something ends them."""
LOW_BATTERY_PERCENT = 15.0
TELLING_ALARMS = ("low_battery", "low_power", "power_cut", "removing", "tampering")
"""Alarms that may be the last word of a device."""
HOUR_MS = 3_600_000
STRANGER_STARTS = (
    (re.compile(rb"(GET|POST|HEAD|PUT|OPTIONS|CONNECT) "), "a web browser or a scanner (HTTP), no tracker"),
    (re.compile(rb"\x16\x03"), "an encrypted connection (TLS), no tracker: these speak in the open"),
    (re.compile(rb"SSH-"), "an SSH client, no tracker"),
    (re.compile(rb"\x03\x00\x00"), "a remote desktop scanner, no tracker"),
    (re.compile(rb"\x05[\x01-\x05]|\x04\x01"), "somebody who looks for a SOCKS proxy, no tracker"),
)
"""Beginnings of what knocks at every open port."""


def ago(ms: float) -> str:
    """A span of time for people: 12 s, 5 min, 3 h, 2 days."""
    seconds = max(0.0, ms / 1000)
    for limit, unit, word in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {word}"
    return f"{seconds / 86_400:.0f} days"


HEADLINES = {
    Rung.CONNECTED: "It connects and sends nothing.",
    Rung.UNKNOWN: "It connects and sends bytes of no protocol that is known.",
    Rung.UNREAD: "It speaks a protocol that has no decoder yet.",
    Rung.ANONYMOUS: "It sends frames and never says who it is.",
    Rung.REFUSED: "It reports and is refused: nobody registered it.",
    Rung.LOGIN: "It logs in and sends nothing after that.",
    Rung.HEARTBEAT: "It is alive and has no position: no satellites, and no cell towers either.",
    Rung.CELLS: "It reports cell towers or Wi-Fi networks and has no satellite fix.",
    Rung.FIX: "It reports and has a fix.",
}


def headline(facts: Facts, found: Diagnosis) -> str:
    """The whole in a sentence."""
    if found.state is None or found.heard_ms is None:
        if facts.away:
            return "Nothing of it was found in what could be asked."
        if facts.is_address:
            return "Nothing was ever received from this address."
        return "It was never seen: nothing that ever arrived carried this id."
    since = ago(facts.now_ms - found.heard_ms)
    if not found.silent:
        return f"{HEADLINES[found.state]} Last heard {since} ago."
    return (
        f"Silent for {since}. When it was last heard: {HEADLINES[found.state][0].lower()}{HEADLINES[found.state][1:]}"
    )


def findings(facts: Facts, found: Diagnosis) -> Iterator[Finding]:
    """What is wrong, most important first."""
    if found.state is None:
        yield from _never_seen(facts)
        return
    if found.silent:
        yield from _silent(facts, found)
    yield from {
        Rung.CONNECTED: _says_nothing,
        Rung.UNKNOWN: _unknown,
        Rung.UNREAD: _unread,
        Rung.ANONYMOUS: _anonymous,
        Rung.REFUSED: _refused,
        Rung.LOGIN: _login_only,
        Rung.HEARTBEAT: _no_fix,
        Rung.CELLS: _no_fix,
        Rung.FIX: _nothing,
    }[found.state](facts, found)
    yield from _rejected(facts, found)
    if not facts.is_address:
        yield from _unregistered(facts, found)
        yield from _clock(facts, found)
        yield from _power(facts)
    yield from _flapping(facts)


def _never_seen(facts: Facts) -> Iterator[Finding]:
    for similar in facts.similar:
        yield Finding(
            f"{similar.device_id} ({similar.protocol}) reports since or until {ago(facts.now_ms - similar.last_ms)} ago: "
            "many trackers send only a part of their IMEI",
            (
                f"lodestream doctor {similar.device_id}",
                f"if it is the same device: lodestream devices alias {facts.subject} {similar.protocol}:{similar.device_id}",
            ),
        )
    for address in dict.fromkeys(session.address for session in facts.strangers):
        yield Finding(
            f"somebody at {address} connects and never says who it is; it may be this device",
            (f"lodestream doctor {address}",),
        )
    asked = "as far as could be asked, " if facts.away else ""
    yield Finding(
        f"{asked}the device does not reach this server",
        (
            "is the SIM card active, with data and credit, and its PIN switched off? does the device answer a text message?",
            "is the address right that it is set to? it must be the public one of this server, with port 8888",
            "is the port open from outside? from another network: nc -vz HOST 8888 (and lodestream status here)",
        ),
    )


def _silent(facts: Facts, found: Diagnosis) -> Iterator[Finding]:
    last = facts.sessions[0] if facts.sessions else None
    ends = {
        "device": "the device closed its connection",
        "idle": "the connection was silent and was closed here",
        "expired": "no more datagrams came",
        "shutdown": "the gateway was stopped",
        "slow reader": "the device did not read its replies",
        "limit": "the gateway had too many connections",
    }
    if last is not None and not last.open:
        yield Finding(f"its last session ended so: {ends.get(last.reason, last.reason)}")
    for event in facts.events:
        telling = event.kind in ("power_cut", "device_offline") or event.subject in TELLING_ALARMS
        if telling and found.heard_ms is not None and event.time_ms > found.heard_ms - TOGETHER_MS:
            yield Finding(
                f"before that: {event.kind} {event.subject}".rstrip() + f", {ago(facts.now_ms - event.time_ms)} ago"
            )
    yield Finding(
        "it no longer reaches this server",
        (
            "does it have power? is the SIM card still active, with data and credit?",
            "does it answer a text message? then set its server again (below); if not, it is off, or out of coverage",
        ),
    )


def _says_nothing(facts: Facts, found: Diagnosis) -> Iterator[Finding]:
    yield Finding(
        "the connection is opened and no byte comes",
        (
            "trackers speak first, so this is a port check, a scanner, or a device that lost its data connection at once",
            "if it is a device: restart it, and check the access point (APN) of its SIM card",
        ),
    )


def _unknown(facts: Facts, found: Diagnosis) -> Iterator[Finding]:
    start = _beginning(facts)
    if stranger := _stranger(start):
        yield stranger
        return
    yield Finding(
        f"{len(start)} bytes were kept and begin with {start[:16].hex(' ')}",
        (
            "is it a tracker at all? its manual or app says which protocol it speaks; many can be switched to another one",
            "lodestream frames export makes a file of the bytes for a bug report: then it can be taught",
            "nothing is lost: with a decoder for it, lodestream replay --rejected reads what was kept",
        ),
    )


def _unread(facts: Facts, found: Diagnosis) -> Iterator[Finding]:
    if stranger := _stranger(_beginning(facts)):
        yield stranger
        return
    yield Finding(
        f"it speaks {found.protocol}, which is recognised and kept, and has no decoder yet",
        (
            "nothing is lost: with a decoder for it, lodestream replay --rejected reads what was kept",
            "many devices can be switched to another protocol: their manual or maker knows",
        ),
    )


def _beginning(facts: Facts) -> bytes:
    """The newest bytes that nobody could read, from their begin."""
    data = next((frame["frame_hex"] for frame in facts.frames if frame["rejected"]), "")
    start = bytes.fromhex(data) or next((refusals.example for refusals in facts.refusals), b"")
    return start or next((session.last_in for session in facts.sessions if session.last_in), b"")


def _stranger(start: bytes) -> Finding | None:
    """What knocks at every open port, if these bytes are of it."""
    for pattern, meaning in STRANGER_STARTS:
        if pattern.match(start):
            return Finding(f"this looks like {meaning}", ("nothing is to be done; a firewall may keep it away",))
    return None


def _anonymous(facts: Facts, found: Diagnosis) -> Iterator[Finding]:
    yield Finding(
        "its login never came on this connection, so nobody can say whose frames these are",
        (
            "restart the device: most log in only when they connect anew",
            "if its id was never set, set it by text message (the IMEI, as printed on the device)",
        ),
    )


def _refused(facts: Facts, found: Diagnosis) -> Iterator[Finding]:
    device = facts.subject if not facts.is_address else "ID"
    yield Finding(
        "the gateway takes only registered devices, or too many new ids came from its address",
        (
            f"lodestream devices set {device}",
            "that lets it in at once; lodestream replay --rejected reads what was refused until now",
        ),
    )


def _login_only(facts: Facts, found: Diagnosis) -> Iterator[Finding]:
    if found.online and facts.now_ms - found.ladder[Rung.LOGIN] < PATIENCE_MS:
        yield Finding(
            "the login came a moment ago: what follows may still come",
            ("ask again in a minute or two, or watch: lodestream listen",),
        )
        return
    if any(session.replies for session in facts.sessions):
        replies = "; it was answered"
    elif any(session.counted for session in facts.sessions):
        replies = "; it was not answered: its protocol needs none, or Kafka was away"
    else:
        replies = ""
    yield Finding(
        f"after the login nothing comes{replies}",
        (
            "set its reporting interval: without one some devices report only when asked",
            "devices that were moved from another server keep its mode: send the server message again",
        ),
    )


def _no_fix(facts: Facts, found: Diagnosis) -> Iterator[Finding]:
    last = found.ladder.get(Rung.FIX)
    told = f"the last fix was {ago(facts.now_ms - last)} ago" if last else "it never had a fix here"
    seen = [r.satellites for r in facts.reports if r.satellites is not None]
    satellites = f"; it sees {seen[0]} satellites" if seen else ""
    yield Finding(
        told + satellites,
        (
            "put it under open sky for ten minutes, antenna up: a first fix takes that long, and none comes in a garage",
            "is the GPS antenna plugged in, and not under metal or a heated windscreen?",
        ),
    )


def _nothing(facts: Facts, found: Diagnosis) -> Iterator[Finding]:
    return iter(())


def _rejected(facts: Facts, found: Diagnosis) -> Iterator[Finding]:
    for refusals in facts.refusals:
        if found.state is not None and REFUSED_RUNGS.get(refusals.reason) is found.state:
            continue  # the state says so already
        last = ago(facts.now_ms - refusals.last_ms)
        what = f"rejected as {refusals.reason}: {refusals.count:,} in the last month, last {last} ago"
        where = f"lodestream rejected --reason {refusals.reason}"
        where += f" --peer {facts.subject}" if facts.is_address else f" --device {facts.subject}"
        yield Finding(f"{what}: {refusals.detail}" if refusals.detail else what, (where,))


def _unregistered(facts: Facts, found: Diagnosis) -> Iterator[Finding]:
    if any(report.flags & Flag.QUARANTINED for report in facts.reports[:RECENT_REPORTS]):
        yield Finding(
            "it is in quarantine: stored, but without events and not in `latest`, because nobody registered it",
            (f"lodestream devices set {facts.subject}",),
        )


def _clock(facts: Facts, found: Diagnosis) -> Iterator[Finding]:
    recent = facts.reports[:RECENT_REPORTS]
    if found.clock_ms is None or abs(found.clock_ms) < CLOCK_WRONG_MS:
        return
    ahead = f"{ago(abs(found.clock_ms))} {'ahead of' if found.clock_ms > 0 else 'behind'} the arrival of its reports"
    rest_ms = (found.clock_ms + ZONE_STEP_MS // 2) % ZONE_STEP_MS - ZONE_STEP_MS // 2
    zone = abs(rest_ms) < ZONE_SLACK_MS
    if median(abs(report.time_ms - report.received_ms) for report in recent) < CLOCK_WRONG_MS:
        yield Finding(f"its clock is {ahead}: a local time, which is taken into account")
    elif any(report.flags & Flag.TIME_FUTURE for report in recent):
        yield Finding(
            f"its clock is {ahead}: its reports are dated by their arrival",
            ("set its clock to UTC (below)",),
            ("clock",),
        )
    elif zone:
        offset_s = round(found.clock_ms / ZONE_STEP_MS) * ZONE_STEP_MS // 1000
        hours = f"{offset_s / 3600:+g}"
        yield Finding(
            f"its clock is {ahead}: whole quarters of an hour, so it may send local time (UTC{hours})",
            (
                "set its clock to UTC (below), or say what it sends: "
                f"lodestream devices set {facts.subject} --parameter clock_offset_s={offset_s}",
            ),
            ("clock",),
        )
    else:
        yield Finding(f"its clock is {ahead}: it sends stored reports, or its clock is wrong")


def _power(facts: Facts) -> Iterator[Finding]:
    percent = next((r.battery_percent for r in facts.reports if r.battery_percent is not None), None)
    if percent is not None and percent <= LOW_BATTERY_PERCENT:
        yield Finding(f"its battery was at {percent:g} %", ("charge it, or check the cable to the vehicle's battery",))


def _flapping(facts: Facts) -> Iterator[Finding]:
    if not facts.sessions:
        return
    since = facts.sessions[0].time_ms - HOUR_MS
    recent = [session for session in facts.sessions if session.opened_ms > since and session.transport == "tcp"]
    if len(recent) < FLAPPING:
        return
    unanswered = sum(session.counted and session.frames > 0 and not session.replies for session in recent)
    yield Finding(
        f"{len(recent)} connections within an hour, "
        + (f"{unanswered} without a reply" if unanswered else "all answered"),
        ("bad coverage, a device that restarts (weak power), or one that does not like its replies",),
    )
