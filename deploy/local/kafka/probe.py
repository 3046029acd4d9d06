"""Ask a Kafka broker over a raw socket whether it serves: one Metadata request, no client library, no event loop.

An open port is not enough: the broker listens before it takes requests, and another program could hold the port.
A broker lists itself in Metadata only when the controller has let it in, and the answer carries the cluster id, so
the right cluster id together with one listed broker means "my broker is ready".
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

_METADATA_KEY, _METADATA_VERSION, _CORRELATION = 3, 2, 1
_MAXIMUM_ANSWER = 1 << 20


@dataclass(frozen=True)
class ClusterAnswer:
    """The part of a Metadata answer that tells readiness."""

    cluster_id: str | None
    ports: tuple[int, ...]  # of the brokers that are up


def ask(port: int, timeout_s: float = 1.0, host: str = "127.0.0.1") -> ClusterAnswer | None:
    """The broker's answer, None while nothing (or nothing that speaks Kafka) answers there."""
    # Header v1: key, version, correlation id, no client id; body: an empty list of topics.
    request = struct.pack(">hhihi", _METADATA_KEY, _METADATA_VERSION, _CORRELATION, -1, 0)
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(struct.pack(">i", len(request)) + request)
            (size,) = struct.unpack(">i", _receive(connection, 4))
            if not 8 <= size <= _MAXIMUM_ANSWER:
                return None
            return parse_answer(_receive(connection, size))
    except (OSError, struct.error, UnicodeDecodeError):
        return None


def parse_answer(payload: bytes) -> ClusterAnswer:
    """Correlation id, brokers (id, host, port, rack) and cluster id of a Metadata v2 answer."""
    position = 4
    (count,) = struct.unpack_from(">i", payload, position)
    position += 4
    ports: list[int] = []
    for _ in range(count):
        _host, position = _nullable_string(payload, position + 4)
        ports.append(struct.unpack_from(">i", payload, position)[0])
        _rack, position = _nullable_string(payload, position + 4)
    cluster_id, _end = _nullable_string(payload, position)
    return ClusterAnswer(cluster_id, tuple(ports))


def _nullable_string(payload: bytes, position: int) -> tuple[str | None, int]:
    (length,) = struct.unpack_from(">h", payload, position)
    start = position + 2
    if length < 0:
        return None, start
    return payload[start : start + length].decode(), start + length


def _receive(connection: socket.socket, size: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < size:
        chunk = connection.recv(size - len(chunks))
        if not chunk:
            raise ConnectionError("closed in the middle of an answer")
        chunks += chunk
    return bytes(chunks)
