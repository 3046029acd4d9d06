"""Hostile bytes on a decided connection: what is kept is bounded, and so is what each further byte costs."""

from __future__ import annotations

import time

import pytest

from gateway.aliases import Aliases
from gateway.protocols.registry import MODULES
from gateway.session import Session
from tests.property.test_mixed_connection import pool

CHUNK_BYTES = 256 * 1024
"""What one read of the event loop delivers at most."""
KEPT_BYTES = 40 * 1024
PATTERNS = (
    b"(",
    b"$",
    b"*HQ,",
    b"imei:",
    b"[3G*8800123456*FFFF*",
    b"~",
    b"~\x02\x00",
    b"~\x02\x00\x00\x26",
    b"xx",
    b"xx\x11\x01",
    b"yy\x00\xff",
    b"$$",
    b"$$\x00\x11",
    b"GPRMC,",
    b"##,",
    b"123456789012345",
    b"\x00",
    b"\xff",
    b"+RESP:GT",
    b"#",
    b">R",
    b"STX,",
    b"\x24\x88\x00\x12\x34\x56\x10\x11\x12\x15\x01\x26",
    b"(088012345678BP05",
    b"\x01\x17\x00",
)


@pytest.mark.parametrize("name", sorted(module.NAME for module in MODULES if module.NAME != "xexun"))
def test_a_flood_is_bounded_in_memory_and_time(name: str) -> None:
    slow = []
    for pattern in PATTERNS:
        session = Session("s", "p", "tcp", 0, Aliases())
        session.receive(pool()[name][0], 0)
        data = (pattern * (CHUNK_BYTES // len(pattern) + 1))[:CHUNK_BYTES]
        began = time.process_time()
        session.receive(data, 1)
        whole_s = time.process_time() - began
        assert session.pending_bytes <= KEPT_BYTES, pattern
        began = time.process_time()
        for at in range(100):
            session.receive(data[at : at + 1], 2)
        per_byte_s = (time.process_time() - began) / 100
        assert session.pending_bytes <= KEPT_BYTES, pattern
        if whole_s > 1.0 or per_byte_s > 0.01:
            slow.append((pattern, round(whole_s, 3), round(per_byte_s, 5)))
    assert not slow
