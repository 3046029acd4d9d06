"""What became of sessions, for the topic `sessions`: rows are collected and sent once a second, one record a partition."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.session import Session
from schemas import codec
from schemas.records import SessionBatch, SessionRows
from schemas.topics import SESSIONS, partition_of

SAMPLE_BYTES = 64
ROWS_WAITING = 50_000
"""Rows kept while Kafka is away; older news of the same sessions is the first to go."""

Send = Callable[[str, bytes, int], Awaitable[None]]


class SessionLog:
    """Collects rows; `flush` sends them. Losing one is no harm: the next row of the session says more."""

    def __init__(self, gateway_id: str, partitions: int, send: Send) -> None:
        self._gateway_id = gateway_id
        self._rows = [SessionRows() for _ in range(partitions)]
        self._send = send
        self._sending: asyncio.Task[None] | None = None
        self.dropped = 0

    def note(
        self,
        session: Session,
        status: str,
        now_ms: int,
        counts: tuple[int, int],
        samples: tuple[bytes, bytes],
        reason: str = "",
    ) -> None:
        """Add a row. counts: bytes out, replies. samples: the last bytes in and out."""
        rows = self._rows[partition_of(session.row.session_id, len(self._rows))]
        if len(rows.status) >= ROWS_WAITING:
            self.dropped += 1
            return
        row = session.row
        rows.session_id.append(row.session_id)
        rows.status.append(status)
        rows.time_ms.append(now_ms)
        rows.opened_ms.append(row.opened_ms)
        rows.peer.append(row.peer)
        rows.transport.append(row.transport)
        rows.protocol.append(session.protocol)
        rows.device_id.append(session.facts.device_id)
        rows.frames.append(session.frames)
        rows.bytes_in.append(session.bytes_in)
        rows.bytes_out.append(counts[0])
        rows.replies.append(counts[1])
        rows.unknown_bytes.append(session.unknown_bytes)
        rows.last_in.append(samples[0][-SAMPLE_BYTES:])
        rows.last_out.append(samples[1][-SAMPLE_BYTES:])
        rows.reason.append(reason)

    def flush(self) -> None:
        """Send what waits, unless the last flush is still under way."""
        if self._sending is None or self._sending.done():
            waiting = [(number, rows) for number, rows in enumerate(self._rows) if rows.status]
            if waiting:
                self._rows = [SessionRows() for _ in self._rows]
                self._sending = asyncio.get_running_loop().create_task(self._send_all(waiting))

    async def _send_all(self, waiting: list[tuple[int, SessionRows]]) -> None:
        await asyncio.gather(
            *(
                self._send(SESSIONS, codec.encode(SessionBatch(self._gateway_id, rows)), number)
                for number, rows in waiting
            )
        )

    async def drain(self, timeout_s: float) -> None:
        """Send the last rows before the end."""
        for _ in range(2):
            self.flush()
            if self._sending is not None:
                await asyncio.wait({self._sending}, timeout=timeout_s)
