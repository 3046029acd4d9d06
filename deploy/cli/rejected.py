"""`lodestream rejected`: what could not be decoded, grouped, with an example and what it may mean."""

from __future__ import annotations

import json
from typing import Any

import click

from deploy.cli.addresses import ADDRESS_SQL
from deploy.cli.frame_view import dump
from deploy.cli.times import moment_ms
from schemas.clients import clickhouse
from schemas.errors import Reason

EXIT_USAGE = 2
FIELDS = ("protocol", "reason", "peer", "count", "devices", "first", "last", "detail", "device_id", "example")
QUERY = f"""
SELECT
    protocol, reason, {ADDRESS_SQL} AS address, count(), uniqExact(device_id), min(received_ms),
    max(received_ms), argMax(detail, received_ms), argMax(device_id, received_ms),
    hex(argMax(substring(payload, 1, 4096), received_ms))
FROM rejected
WHERE received_ms >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC')
    AND (empty({{reason:String}}) OR reason = {{reason:String}})
    AND (empty({{protocol:String}}) OR protocol = {{protocol:String}})
    AND (empty({{device:String}}) OR device_id = {{device:String}})
    AND (empty({{peer:String}}) OR address = {{peer:String}})
GROUP BY protocol, reason, address ORDER BY count() DESC LIMIT {{top:UInt32}}
"""
HINTS = {
    Reason.UNDECIDED: "bytes of no known protocol; `lodestream frames export` makes a file of them for a bug report",
    Reason.NOT_DECODED: "recognised and framed, but there is no decoder for it yet: a later one reads it from the log",
    Reason.NO_IDENTITY: "the device never said who it is on this connection: its login did not come",
    Reason.UNKNOWN_DEVICE: "nobody registered it and the policy is to reject: `lodestream devices set ID` lets it in",
    Reason.SINK: "ClickHouse refused the row: the detail is its error",
}
OTHERWISE = "a frame of this protocol that is damaged or of a dialect that is not known: the detail says where it fails"


def run(url: str, top: int, since: str, reason: str, protocol: str, peer: str, device: str, form: str) -> int:
    """Print the groups, the largest first; returns the exit code."""
    try:
        since_ms = moment_ms(since) if since else 0
        if reason and reason not in {str(known) for known in Reason}:
            raise ValueError(f"unknown reason {reason!r}; there are {', '.join(str(known) for known in Reason)}")
        parameters = {"since": since_ms, "reason": reason, "protocol": protocol, "peer": peer, "device": device}
        with clickhouse.opened(url) as client:
            found = client.query(QUERY, parameters | {"top": top}).result_rows
    except (ValueError, clickhouse.Unavailable) as error:
        click.echo(f"rejected: {error}", err=True)
        return EXIT_USAGE
    rows = [dict(zip(FIELDS, row, strict=True)) for row in found]
    for row in rows:
        _print(row, form)
    if not rows and form == "text":
        click.echo("nothing was rejected")
    return 0


def _print(row: dict[str, Any], form: str) -> None:
    if form == "json":
        told = row | {
            "first": row["first"].isoformat(),
            "last": row["last"].isoformat(),
            "example": row["example"].lower(),
        }
        click.echo(json.dumps(told))
        return
    where = f"from {row['peer'] or '?'}, {row['devices']} devices"
    span = f"{row['first']:%Y-%m-%d %H:%M:%S} to {row['last']:%Y-%m-%d %H:%M:%S}"
    click.echo(f"{row['count']:>8,}  {row['protocol'] or '?'}  {row['reason']}  {where}, {span}")
    if row["detail"]:
        click.echo(f"      {row['detail']}" + (f" (device {row['device_id']})" if row["device_id"] else ""))
    for line in dump(bytes.fromhex(row["example"])):
        click.echo(f"      {line}")
    click.echo(f"      {HINTS.get(Reason(row['reason']), OTHERWISE)}\n")
