"""Frames that can be shown to strangers: other ids, other addresses, other places, everything else as it was.

Ids become pseudonyms of the same form, places move by whole degrees, peers become documentation addresses; within one file
the same becomes the same. A frame is kept only when its own decoder proves the result: the pseudonym as its id, every
place moved by just that much, everything else equal, checksums right, and nothing in it that tells of a person, a network
or a place in other words. All others are left out and counted.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections import Counter
from dataclasses import replace
from functools import partial

from deploy.cli.frame_view import frame_rows
from gateway.protocols.base import Facts
from gateway.protocols.fields import crc_x25
from gateway.protocols.recognised.checks import xor_8
from gateway.protocols.registry import PROTOCOLS
from processors.decoders.registry import DECODERS
from processors.replay.selection import cut
from schemas.errors import DecodeError, FrameError
from schemas.records import Frame, FrameBatch, FrameKind, Position

NEAR = 1e-5
PRIVATE = re.compile(r"iccid|imsi|phone|message|driver|vin|name|text|mac|ssid|result|media|card|command")
"""Attributes that may tell of a person or a network."""
MINUTES_NORTH = re.compile(rb"(?<!\d)(\d{2})(?=\d{2}\.\d{2,},?[NS])")
MINUTES_EAST = re.compile(rb"(?<!\d)(\d{3})(?=\d{2}\.\d{2,},?[EW])")
DEGREES_NORTH = re.compile(rb"(?<!\d)(\d{1,2})(?=\.\d{4,},[NS])")
DEGREES_EAST = re.compile(rb"(?<!\d)(\d{1,3})(?=\.\d{4,},[EW])")
LOGINS = frozenset({"gt06", "gps103", "tk103", "h02", "watch", "jt808", "meiligao", "xexun"})
WITHOUT_ID = frozenset({"gt06"})
"""Protocols whose frames need not say whose they are: the login does."""
SCALES = {"gt06": 1_800_000, "jt808": 1_000_000}
"""Binary protocols that are understood: how many steps a degree has in their 32-bit numbers."""


class Redactor:
    """One file. left_out: frames that were not kept, by protocol."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self._north = 1 + self._number("north", 87)
        self._east = 1 + self._number("east", 177)
        self._sessions: dict[str, str] = {}
        self._peers: dict[str, str] = {}
        self.left_out: Counter[str] = Counter()

    def batch(self, batch: FrameBatch) -> FrameBatch:
        """A record with what could be redacted of it."""
        sessions = batch.sessions
        logins = [b""] * len(sessions.login)
        payloads: list[bytes] = []
        keep: list[bool] = []
        for row in frame_rows(batch):
            frame = row.frame
            redacted = self.frame(frame) if row.kind == FrameKind.FRAME and frame.device_id else None
            if redacted is not None:
                logins[row.session] = self.login(frame)
            keep.append(redacted is not None)
            payloads.append(redacted or b"")
            if redacted is None:
                self.left_out[frame.protocol or "undecided"] += 1
        rows = batch.frames
        rows = replace(rows, payload=payloads, device_id=[self.pseudonym(d) if d else "" for d in rows.device_id])
        entries = replace(batch.entries, device_id=[self.pseudonym(d) for d in batch.entries.device_id])
        shown = replace(
            sessions,
            session_id=[self._session(s) for s in sessions.session_id],
            peer=[self._peer(p) for p in sessions.peer],
            login=logins,
        )
        hidden = FrameBatch("gateway", batch.partition, batch.ticks_ms, shown, rows, entries)
        return cut(hidden, keep, [True] * len(entries.kind))

    def frame(self, frame: Frame) -> bytes | None:
        """The payload redacted; None when nothing proves that it is."""
        module, decoder = PROTOCOLS.get(frame.protocol), DECODERS.get(frame.protocol)
        if module is None or decoder is None:
            return None
        try:
            identity = module.identify(frame.payload, Facts(transport=frame.transport))
            before = decoder.decode(frame)
        except (DecodeError, FrameError):
            return None
        if any(p.cells or p.wifi or any(PRIVATE.search(name) for name in p.attributes) for p in before):
            return None
        ids = {value for value in (identity.imei, identity.id) if value}
        if not ids and frame.protocol not in WITHOUT_ID:
            return None  # whose it is stands in it somewhere, and nobody knows where
        payload = self._moved(self._renamed(frame.payload, ids), frame.protocol, before)
        payload = _checked_again(payload, frame.protocol)
        device_id, login = self.pseudonym(frame.device_id or ""), self.login(frame)
        try:
            known = module.identify(payload, Facts(transport=frame.transport))
            after = decoder.decode(replace(frame, payload=payload, device_id=device_id, login=login))
        except (DecodeError, FrameError):
            return None
        if {value for value in (known.imei, known.id) if value} != {self.pseudonym(value) for value in ids}:
            return None
        if any(leak in payload or leak in login for value in {*ids, frame.device_id or ""} for leak in _written(value)):
            return None
        return payload if self._is_moved(before, after) else None

    def login(self, frame: Frame) -> bytes:
        """The login of the frame's session with another id; empty when it is not known to hold no more than ids."""
        if not frame.login or frame.protocol not in LOGINS:
            return b""
        return _checked_again(self._renamed(frame.login, {frame.device_id or ""}), frame.protocol)

    def pseudonym(self, value: str) -> str:
        """Another id of the same form: digits become digits, letters letters."""
        digest = hmac.digest(self._key, b"id" + value.encode("utf-8", "surrogateescape"), "sha512")
        found = []
        for at, character in enumerate(value):
            step = digest[at % len(digest)]
            if character.isdecimal():
                found.append(str((int(character) + 1 + step % 9) % 10) if at else str(1 + step % 9))
            elif "a" <= character.lower() <= "f":
                found.append("abcdef"[step % 6] if character.islower() else "ABCDEF"[step % 6])
            else:
                found.append(character)
        return "".join(found)

    def _number(self, what: str, below: int) -> int:
        return int.from_bytes(hmac.digest(self._key, what.encode(), "sha256")[:4]) % below

    def _session(self, session_id: str) -> str:
        return self._sessions.setdefault(session_id, f"session-{len(self._sessions) + 1}")

    def _peer(self, peer: str) -> str:
        address, _, port = peer.rpartition(":")
        number = len(self._peers) + 1
        return self._peers.setdefault(address, f"192.0.2.{number % 254 + 1}") + (f":{port}" if port else "")

    def _renamed(self, payload: bytes, ids: set[str]) -> bytes:
        for value in sorted(ids, key=len, reverse=True):
            for old, new in zip(_written(value), _written(self.pseudonym(value)), strict=True):
                payload = payload.replace(old, new)
        return payload

    def _moved(self, payload: bytes, protocol: str, positions: list[Position]) -> bytes:
        scale = SCALES.get(protocol)
        if scale is not None and not payload.isascii():
            for position in positions:
                for value, moved in (
                    (position.latitude, self._moved_degrees(position.latitude, self._north, 90)),
                    (position.longitude, self._moved_degrees(position.longitude, self._east, 180)),
                ):
                    if value is not None and moved is not None:
                        old, new = round(abs(value) * scale), round(abs(moved) * scale)
                        payload = payload.replace(old.to_bytes(4), new.to_bytes(4))
            return payload
        for pattern, step, turn in (
            (MINUTES_NORTH, self._north, 90),
            (MINUTES_EAST, self._east, 180),
            (DEGREES_NORTH, self._north, 90),
            (DEGREES_EAST, self._east, 180),
        ):
            payload = pattern.sub(partial(_moved_digits, step, turn), payload)
        return payload

    @staticmethod
    def _moved_degrees(value: float | None, step: int, turn: int) -> float | None:
        """A coordinate moved by whole degrees, on its own side of the equator or of Greenwich."""
        if value is None:
            return None
        whole = int(abs(value))
        moved = (whole + step) % turn + abs(value) - whole
        return -moved if value < 0 else moved

    def _is_moved(self, before: list[Position], after: list[Position]) -> bool:
        if len(before) != len(after):
            return False
        for old, new in zip(before, after, strict=True):
            for was, now, step, turn in (
                (old.latitude, new.latitude, self._north, 90),
                (old.longitude, new.longitude, self._east, 180),
            ):
                wanted = self._moved_degrees(was, step, turn)
                if (wanted is None) != (now is None) or (now is not None and abs(now - (wanted or 0.0)) > NEAR):
                    return False
            if replace(old, latitude=None, longitude=None) != replace(new, latitude=None, longitude=None):
                return False
        return True


def _moved_digits(step: int, turn: int, match: re.Match[bytes]) -> bytes:
    """Whole degrees in their digits, moved."""
    return b"%0*d" % (len(match[0]), (int(match[0]) + step) % turn)


def _written(value: str) -> tuple[bytes, ...]:
    """How an id may stand in a payload: as text, and as packed digits."""
    text = value.encode("utf-8", "surrogateescape")
    if not value.isdecimal() or not value.isascii():
        return (text,)
    return text, bytes.fromhex(value if len(value) % 2 == 0 else "0" + value)


def _checked_again(payload: bytes, protocol: str) -> bytes:
    """The payload with its checksum made anew, where its protocol has one that is known here."""
    if protocol == "gt06" and len(payload) > 6 and payload[:1] in b"xy":
        return payload[:-4] + crc_x25(payload[2:-4]).to_bytes(2) + payload[-2:]
    if protocol == "jt808" and payload[:1] == b"~" and len(payload) > 4:
        body = payload[1:-1].replace(b"}\x02", b"~").replace(b"}\x01", b"}")
        body = body[:-1] + bytes((xor_8(body[:-1]),))
        return b"~" + body.replace(b"}", b"}\x01").replace(b"~", b"}\x02") + b"~"
    return payload
