"""`lodestream doctor`: ask the store and the log, judge, show."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

import click

from deploy.cli.addresses import address_of, is_address
from deploy.cli.doctor import log, show, store
from deploy.cli.doctor.diagnosis import Place, diagnose
from deploy.cli.doctor.facts import Facts, SessionSeen
from deploy.cli.doctor.sms import FAMILIES
from deploy.cli.frame_view import FrameRow, view
from schemas import codec
from schemas.clients import clickhouse
from schemas.clients.kafka import KafkaUnavailable, TopicMismatch

EXIT_USAGE = 2
MAPPED = "::ffff:"
"""How an IPv4 address looks to a gateway that listens on an IPv6 one."""


def run(options: dict[str, Any]) -> int:
    """Diagnose a device or an address and print it; returns the exit code: 2 when nothing could be asked."""
    logging.disable(logging.CRITICAL)  # the libraries' own words for what is told here in plain ones
    subject, form, family = options["subject"], options["form"], options["family"]
    if family and family not in FAMILIES:
        return _fail(f"no text messages are known for {family!r}; there are {', '.join(FAMILIES)}")
    try:
        place = place_of(options["server"], options["apn"])
    except ValueError as error:
        return _fail(str(error))
    if options["sms"]:
        click.echo(show.families(place, [family] if family else list(FAMILIES)))
        return 0
    if not subject:
        return _fail("which device or address? (lodestream doctor --help)")
    facts = Facts(_normal(subject), is_address(subject), round(time.time() * 1000))
    asyncio.run(gather(facts, options))
    if len(facts.away) == 2:
        return _fail("; ".join(facts.away))
    found = diagnose(facts, place, family)
    if form == "json":
        click.echo(json.dumps(show.as_json(facts, found), ensure_ascii=False))
    else:
        click.echo(show.as_text(facts, found, options["frames"]))
    return 0


def _fail(message: str) -> int:
    click.echo(f"doctor: {message}", err=True)
    return EXIT_USAGE


def _normal(subject: str) -> str:
    """An address in the form in which gateways write it; a device id as it is."""
    return str(ipaddress.ip_address(subject)) if is_address(subject) else subject


def place_of(server: str, apn: str) -> Place:
    """The place of HOST or HOST:PORT; what is empty stays a word to fill in. Raises ValueError."""
    host, colon, port = server.rpartition(":") if server.rpartition(":")[2].isdigit() else (server, "", "")
    if colon and not 0 < int(port) < 65536:
        raise ValueError(f"--server {server!r}: {port} is no port")
    standing = Place()
    return Place(host or standing.host, port or ("8888" if host else standing.port), apn or standing.apn)


# -- gathering --------------------------------------------------------------------------------------------------------


async def gather(facts: Facts, options: dict[str, Any]) -> None:
    """Fill in everything that answers; what does not is told in facts.away."""
    kafka, addresses = options["bootstrap"], addresses_of(facts)
    has_kafka = facts.is_address or await _try(facts, lambda: log.identify(kafka, facts))
    has_store = await _try(facts, lambda: asyncio.to_thread(_ask_store, facts, options, addresses))
    if not has_kafka:
        return

    def takes(row: FrameRow) -> bool:
        return row.frame.device_id == facts.subject or address_of(row.peer) in addresses

    def takes_session(seen: SessionSeen) -> bool:
        return seen.device_id == facts.subject or seen.address in addresses

    async def frames() -> None:
        if not has_store:
            facts.sessions = (await log.read_sessions(kafka, takes_session))[: store.SESSIONS]
        rows = await log.read_frames(kafka, facts, takes, max(options["frames"], STATE_FRAMES))
        facts.frames = [
            view(row, options["explained"] and number < options["frames"]) | {"first": first}
            for number, (row, first) in enumerate(rows)
        ]

    await _try(facts, frames)


STATE_FRAMES = 20
"""Frames that are looked at for the state, however few are shown."""


def addresses_of(facts: Facts) -> list[str]:
    """The forms in which the address may have been written down; empty for a device."""
    if not facts.is_address:
        return []
    return [facts.subject] if ":" in facts.subject else [facts.subject, MAPPED + facts.subject]


async def _try(facts: Facts, work: Callable[[], Coroutine[Any, Any, Any]]) -> bool:
    try:
        await work()
    except (KafkaUnavailable, TopicMismatch, codec.CodecError, clickhouse.Unavailable) as error:
        told = str(error).partition("\n")[0]
        if isinstance(error, KafkaUnavailable | clickhouse.Unavailable):
            told = told.partition(": ")[0]  # without the library's words
        if told not in facts.away:
            facts.away.append(told)
        return False
    return True


def _ask_store(facts: Facts, options: dict[str, Any], addresses: list[str]) -> None:
    with clickhouse.opened(options["url"], options["user"], options["password"]) as client:
        store.read(client, facts, addresses)
