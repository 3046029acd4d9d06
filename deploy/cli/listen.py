"""`lodestream listen`: frames as they arrive, in hex and decoded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from typing import Any

import click

from deploy.cli.addresses import address_of, is_address
from deploy.cli.frame_view import FrameRow, frame_rows, lines, view
from gateway.protocols.registry import PROTOCOLS
from schemas import codec
from schemas.clients.kafka import KafkaUnavailable, TopicMismatch, topic_reader
from schemas.records import FrameBatch
from schemas.topics import FRAMES

EXIT_USAGE = 2
FETCH_MS = 200
UNKNOWN = "unknown"
"""As a protocol: bytes of no known one."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which frames are shown; empty means all. peers: addresses, or address:port."""

    devices: frozenset[str] = frozenset()
    peers: frozenset[str] = frozenset()
    protocols: frozenset[str] = frozenset()

    @classmethod
    def of(cls, devices: tuple[str, ...], peers: tuple[str, ...], protocols: tuple[str, ...]) -> Filter:
        """Raises ValueError for a protocol or an address that cannot be one."""
        for protocol in protocols:
            if protocol not in PROTOCOLS and protocol != UNKNOWN:
                raise ValueError(
                    f"unknown protocol {protocol!r}; there are {', '.join(PROTOCOLS)}, and {UNKNOWN} for none"
                )
        for peer in peers:
            if not is_address(peer) and not is_address(address_of(peer)):
                raise ValueError(f"--peer {peer!r} is no address: 203.0.113.7 or 203.0.113.7:40123")
        return cls(frozenset(devices), frozenset(peers), frozenset(protocols))

    def takes(self, row: FrameRow) -> bool:
        """Whether a frame is to be shown."""
        frame = row.frame
        return (
            (not self.devices or frame.device_id in self.devices)
            and (not self.peers or row.peer in self.peers or address_of(row.peer) in self.peers)
            and (not self.protocols or (frame.protocol or UNKNOWN) in self.protocols)
        )


async def _listen(bootstrap: str, wanted: Filter, form: str, explained: bool, limit: int, seconds: float) -> None:
    shown, deadline = 0, time.monotonic() + seconds if seconds else None
    async with topic_reader(bootstrap, FRAMES) as (consumer, parts):
        await consumer.seek_to_end()
        for part in parts:
            await consumer.position(part)  # the end as it is now, not as it will be when the first fetch asks
        click.echo("listening; Ctrl-C ends it", err=True)
        while deadline is None or time.monotonic() < deadline:
            for records in (await consumer.getmany(timeout_ms=FETCH_MS)).values():
                for record in records:
                    for row in filter(wanted.takes, frame_rows(codec.decode(record.value, FrameBatch))):
                        _show(view(row, explained), form)
                        shown += 1
                        if shown == limit:
                            return


def _show(told: dict[str, Any], form: str) -> None:
    if form == "json":
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        click.echo("\n".join(lines(told)) + "\n")


def run(
    bootstrap: str,
    devices: tuple[str, ...],
    peers: tuple[str, ...],
    protocols: tuple[str, ...],
    form: str,
    explained: bool,
    limit: int,
    seconds: float,
) -> int:
    """Print frames until Ctrl-C, the limit or the time; returns the exit code."""
    with contextlib.suppress(KeyboardInterrupt):
        try:
            wanted = Filter.of(devices, peers, protocols)
            asyncio.run(_listen(bootstrap, wanted, form, explained, limit, seconds))
        except (ValueError, KafkaUnavailable, TopicMismatch, codec.CodecError) as error:
            click.echo(f"listen: {error}", err=True)
            return EXIT_USAGE
    return 0
