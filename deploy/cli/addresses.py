"""Addresses of peers, which the pipeline writes as address:port."""

from __future__ import annotations

import ipaddress

ADDRESS_SQL = "replaceRegexpOne(peer, ':[0-9]+$', '')"
"""address_of(peer), in SQL."""


def address_of(peer: str) -> str:
    """A peer without its port."""
    return peer.rpartition(":")[0]


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
