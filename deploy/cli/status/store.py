"""Rows, devices, rejections and strangers: what ClickHouse tells."""

from __future__ import annotations

import contextlib
import time

from clickhouse_connect.driver.exceptions import Error as ClickHouseError
from rich.console import RenderableType

from deploy.cli.addresses import ADDRESS_SQL
from deploy.cli.status.layout import failed, reason, section, table
from deploy.cli.status.model import StoreState, Stranger
from deploy.local.model import duration, milliseconds
from schemas.clients import clickhouse

VIEWS = ("positions", "events", "rejected", "sessions")
COUNT_S = 10
STRANGERS_SHOWN = 5
LATEST_QUERY = """
SELECT count(), countIf(received_ms > now() - INTERVAL 1 HOUR), toUnixTimestamp64Milli(max(received_ms)) FROM latest
"""
REJECTED_QUERY = """
SELECT reason, count() FROM rejected WHERE received_ms > now() - INTERVAL 1 HOUR
GROUP BY reason ORDER BY count() DESC, reason
"""
STRANGERS_QUERY = f"""
SELECT {ADDRESS_SQL} AS address, argMax(protocol, time_ms), count(), count() OVER ()
FROM sessions WHERE opened_ms > now() - INTERVAL 1 HOUR AND device_id = '' AND bytes_in > 0 AND status = 'closed'
GROUP BY address ORDER BY count() DESC, address LIMIT {STRANGERS_SHOWN}
"""
"""Closed ones: a connection that is open may yet say who it is."""


def read(url: str) -> StoreState:
    """Ask. Raises nothing: what failed is in `error`."""
    state = StoreState()
    try:
        with contextlib.closing(clickhouse.connect(url)) as client:
            state.version = str(client.server_version)
            for view in VIEWS:
                state.rows[view] = _count(client, view)
            state.devices, state.devices_heard, newest_ms = client.query(LATEST_QUERY).result_rows[0]
            state.rejected = dict(client.query(REJECTED_QUERY).result_rows)
            strangers = client.query(STRANGERS_QUERY).result_rows
        state.newest_age_s = time.time() - newest_ms / 1000 if state.devices else None
        state.strangers = [Stranger(*row[:3]) for row in strangers]
        state.stranger_count = strangers[0][3] if strangers else 0
    except Exception as error:  # the driver's and urllib3's; whatever it is, ClickHouse cannot be used
        state.error = reason(error)
    return state


def _count(client: clickhouse.Client, view: str) -> int | None:
    """Rows of a view, duplicates left out; None when counting takes too long."""
    try:
        return int(client.command(f"SELECT count() FROM {view}", settings={"max_execution_time": COUNT_S}))
    except ClickHouseError as error:
        if error.code == 159:  # TIMEOUT_EXCEEDED
            return None
        raise


def show(state: StoreState) -> RenderableType:
    """Rows, devices, the newest arrival."""
    if state.error:
        return failed("ClickHouse", state.error)
    rows = table("view", "rows")
    for view, count in state.rows.items():
        rows.add_row(f"lodestream.{view}", f"more than {COUNT_S} s to count" if count is None else f"{count:,}")
    age = "no position yet" if state.newest_age_s is None else f"newest position {_age(state.newest_age_s)} old"
    devices = f"{state.devices or 0:,} devices with a position, {state.devices_heard:,} of them in the last hour"
    return section(f"ClickHouse {state.version}", rows, f"{devices}, {age}")


def _age(seconds: float) -> str:
    return milliseconds(max(0.0, seconds)) if seconds < 60 else duration(seconds)
