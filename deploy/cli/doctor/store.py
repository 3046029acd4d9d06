"""What ClickHouse knows of a device or an address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploy.cli import events
from deploy.cli.addresses import ADDRESS_SQL
from deploy.cli.doctor.facts import Facts, Refusals, ReportSeen, Rung, SessionSeen, Similar

DAY_MS = 86_400_000
LOOK_BACK_MS = (DAY_MS, 31 * DAY_MS, 400 * DAY_MS)
"""Sessions and reports are looked for in the last day, then month, then year: mostly the first is enough."""
REFUSED_SINCE_MS = 31 * DAY_MS
SESSIONS, REPORTS, EVENTS, SIMILAR, STRANGERS = 50, 50, 10, 5, 10
EXAMPLE_BYTES = 1024
STRANGERS_SINCE_MS = DAY_MS
SHORT_ID_DIGITS = 8
"""Ids with fewer digits are not looked for inside of longer ones: they would be found everywhere."""

MS = "toUnixTimestamp64Milli"
SINCE = "fromUnixTimestamp64Milli({since:Int64}, 'UTC')"
SESSION_COLUMNS = f"""
    session_id, gateway, status, {MS}(time_ms), {MS}(opened_ms), peer, transport, protocol, device_id, frames, bytes_in,
    bytes_out, replies, unknown_bytes, hex(last_in), hex(last_out), reason
"""
SESSIONS_QUERY = f"""
SELECT {SESSION_COLUMNS} FROM sessions
WHERE opened_ms >= {SINCE} AND ((NOT empty({{device:String}}) AND device_id = {{device:String}})
    OR {ADDRESS_SQL} IN {{addresses:Array(String)}})
ORDER BY time_ms DESC, session_id LIMIT {SESSIONS}
"""
STRANGERS_QUERY = f"""
SELECT {SESSION_COLUMNS} FROM sessions
WHERE opened_ms >= {SINCE} AND device_id = '' AND bytes_in > 0
ORDER BY time_ms DESC, session_id LIMIT {STRANGERS}
"""
REPORTS_QUERY = f"""
SELECT {MS}(received_ms), {MS}(time_ms), {MS}(device_time_ms), valid, latitude, longitude, notEmpty(cells) OR notEmpty(wifi),
    satellites, battery_percent, battery_v, power_v, rssi, flags, protocol
FROM positions WHERE device_id = {{device:String}} AND time_ms >= {SINCE}
ORDER BY time_ms DESC LIMIT {REPORTS}
"""
LAST_QUERY = f"""
SELECT count(), {MS}(maxIf(received_ms, fix)), {MS}(maxIf(received_ms, by_cells AND NOT fix)),
    {MS}(maxIf(received_ms, NOT fix AND NOT by_cells))
FROM
(
    SELECT received_ms, valid AND isNotNull(latitude) AND isNotNull(longitude) AS fix,
        notEmpty(cells) OR notEmpty(wifi) AS by_cells
    FROM positions WHERE device_id = {{device:String}}
)
"""
REFUSALS_QUERY = f"""
SELECT reason, protocol, count(), {MS}(max(received_ms)), argMax(detail, received_ms),
    hex(argMax(substring(payload, 1, {EXAMPLE_BYTES}), received_ms))
FROM rejected
WHERE received_ms >= {SINCE} AND ((NOT empty({{device:String}}) AND device_id = {{device:String}})
    OR {ADDRESS_SQL} IN {{addresses:Array(String)}} OR session_id IN {{sessions:Array(String)}})
GROUP BY reason, protocol ORDER BY max(received_ms) DESC LIMIT 20
"""
SIMILAR_QUERY = f"""
SELECT device_id, argMax(protocol, seen), max(seen) AS newest
FROM
(
    SELECT device_id, toString(protocol) AS protocol, {MS}(received_ms) AS seen FROM latest
    UNION ALL
    SELECT device_id, toString(protocol), {MS}(time_ms) FROM sessions WHERE device_id != '' AND opened_ms >= {SINCE}
)
WHERE device_id != {{device:String}}
    AND (position({{device:String}}, trimLeft(device_id, '0')) > 0 AND length(trimLeft(device_id, '0')) >= {SHORT_ID_DIGITS}
        OR length({{short:String}}) >= {SHORT_ID_DIGITS} AND position(device_id, {{short:String}}) > 0)
GROUP BY device_id ORDER BY newest DESC LIMIT {SIMILAR}
"""


def read(client: Any, facts: Facts, addresses: list[str]) -> None:
    """Fill in what the store knows. addresses: the forms of the address; empty for a device. Raises the client's errors."""
    device = "" if facts.is_address else facts.subject
    asked: dict[str, Any] = {"device": device, "addresses": addresses}
    facts.sessions = _sessions(_newest(client, SESSIONS_QUERY, asked, facts.now_ms, SESSIONS))
    asked["sessions"] = [session.session_id for session in facts.sessions]
    refused = client.query(REFUSALS_QUERY, asked | {"since": facts.now_ms - REFUSED_SINCE_MS}).result_rows
    facts.refusals = [Refusals(*row) for row in _unhex(refused, 5)]
    if facts.is_address:
        return
    facts.reports = [ReportSeen(*row) for row in _newest(client, REPORTS_QUERY, asked, facts.now_ms, REPORTS)]
    facts.events = events.newest(client, events.Choice(frozenset({device}), limit=EVENTS), facts.now_ms)[::-1]
    count, *newest = client.query(LAST_QUERY, asked).result_rows[0]
    facts.stored_reports = count
    facts.last = {rung: ms for rung, ms in zip((Rung.FIX, Rung.CELLS, Rung.HEARTBEAT), newest, strict=True) if ms}
    if not facts.sessions and not count:
        asked |= {"since": facts.now_ms - LOOK_BACK_MS[1], "short": device.lstrip("0")}
        facts.similar = [Similar(*row) for row in client.query(SIMILAR_QUERY, asked).result_rows]
        since = {"since": facts.now_ms - STRANGERS_SINCE_MS}
        facts.strangers = _sessions(client.query(STRANGERS_QUERY, since).result_rows)


def _newest(client: Any, query: str, asked: dict[str, Any], now_ms: int, enough: int) -> list[tuple[Any, ...]]:
    """The newest rows: of the last day when these are enough, else from further back."""
    rows: list[tuple[Any, ...]] = []
    for back_ms in LOOK_BACK_MS:
        rows = client.query(query, asked | {"since": now_ms - back_ms}).result_rows
        if len(rows) >= enough:
            break
    return rows


def _sessions(rows: list[tuple[Any, ...]]) -> list[SessionSeen]:
    return [SessionSeen(*row) for row in _unhex(rows, 14, 15)]


def _unhex(rows: list[tuple[Any, ...]], *places: int) -> Iterator[list[Any]]:
    """Rows with the bytes that these columns hold in hex."""
    return ([bytes.fromhex(value) if n in places else value for n, value in enumerate(row)] for row in rows)
