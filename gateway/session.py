"""A connection without its socket: bytes in, frames and replies out. Pure: time comes in as a number.

One `Session` serves a TCP connection or a UDP peer. It detects the protocol (gateway/protocols/registry.py), splits
frames, decides whose they are, and says what the device must be answered. What it returns is to be published in order;
a reply may leave only once its frame is durable. Rules: docs/design.md, "Delivery" and "Detection".
"""

from __future__ import annotations

from gateway.admission import Admission
from gateway.aliases import Aliases
from gateway.protocols.base import Facts, Identity, ProtocolModule, Status, Verdict
from gateway.protocols.registry import LEADING_NOISE, detect, strong_index, strong_start
from gateway.turn import OutFrame, SessionRow, Turn
from schemas.errors import FrameError
from schemas.records import FrameKind

STRONG_START_BYTES = 64
"""Undecided bytes after which a certain start is looked for behind leading garbage."""
UNDECIDED_BYTES = 1024
STRONG_TRIES = 8
NOISE_KEPT_BYTES = 512
STRONG_WINDOW_BYTES = 2048
"""How far behind noise on a decided connection a certain start is looked for: keeps hostile noise linear."""
WHOLE_BYTES = 33 * 1024
"""Undecided bytes that are kept while a rule waits for a declared length."""
SILENCE_MS = 2_000
WHOLE_MS = 10_000
UNDECIDED_MS = 60_000
HALF_FRAME_MS = 60_000
HOLD_MS = 10_000
HOLD_BYTES = 64 * 1024
NOISE_BYTES = 1024
"""Noise on a decided connection after which the protocol counts as unknown again; also the longest undecided entry."""
SILENT_NOISE = LEADING_NOISE + b",;"
"""Line ends, blanks and empty text frames between frames: nobody's loss, never published."""
TINY_DATAGRAM_BYTES = 3
DEVICES_PER_SESSION = 1024


class Session:
    """State of one connection; every method returns what is to be done now."""

    __slots__ = (
        "_address",
        "_admission",
        "_buffer",
        "_held",
        "_held_bytes",
        "_held_since_ms",
        "_last_byte_ms",
        "_module",
        "_noise",
        "_noise_run",
        "_pairs",
        "_pending_since_ms",
        "_quiet_done",
        "_udp_protocol",
        "aliases",
        "bytes_in",
        "devices",
        "facts",
        "frames",
        "protocol",
        "row",
        "unknown_bytes",
    )

    def __init__(
        self,
        session_id: str,
        peer: str,
        transport: str,
        opened_ms: int,
        aliases: Aliases,
        server: str = "",
        admission: Admission | None = None,
    ) -> None:
        self.facts = Facts(transport=transport, strong=strong_index, server=server)
        self.row = SessionRow(session_id, peer, transport, opened_ms, "", b"")
        self.aliases = aliases
        self._admission = admission
        self._address = peer.rpartition(":")[0]
        self.devices: dict[str, None] = {}
        self.protocol = ""
        self.bytes_in = self.frames = self.unknown_bytes = 0
        self._module: ProtocolModule | None = None
        self._buffer = b""
        self._noise = bytearray()
        self._noise_run = 0
        self._held: list[OutFrame] = []
        self._held_bytes = 0
        self._held_since_ms = self._last_byte_ms = self._pending_since_ms = opened_ms
        self._pairs: dict[str, str] = {}
        self._quiet_done = False
        self._udp_protocol = ""

    @property
    def pending_bytes(self) -> int:
        """Bytes that are kept and not yet part of anything returned."""
        return len(self._buffer) + len(self._noise) + self._held_bytes

    @property
    def waits(self) -> bool:
        """True when time alone can change something: then `advance` must be called again."""
        return bool(self._buffer or self._held or self._noise)

    def receive(self, data: bytes, now_ms: int) -> Turn:
        """Take a TCP chunk."""
        turn = self.advance(now_ms) if self.waits else Turn()
        if turn.close:
            return turn
        self.bytes_in += len(data)
        if self._buffer:
            data = self._buffer + data
        else:
            self._pending_since_ms = now_ms
        self._last_byte_ms = now_ms
        self._quiet_done = False
        self._consume(data, now_ms, turn, quiet=False)
        return turn

    def datagram(self, data: bytes, now_ms: int) -> Turn:
        """Take a UDP datagram: it is whole by itself, and detection starts anew. Unidentified ones are never answered."""
        turn = self.advance(now_ms) if self.waits else Turn()
        self.bytes_in += len(data)
        if len(data) <= TINY_DATAGRAM_BYTES:
            return turn
        self._module = None
        self._last_byte_ms = now_ms
        self._consume(data, now_ms, turn, quiet=True)
        self._give_up(self._buffer, now_ms, turn)
        self._buffer = b""
        self._release(now_ms, turn)
        for frame in turn.frames:
            if not frame.device_id:
                frame.reply = None
        return turn

    def advance(self, now_ms: int) -> Turn:
        """Let time pass without bytes: silence ends frames, holds and waits run out."""
        turn = Turn()
        silence_ms = now_ms - self._last_byte_ms
        if self._buffer and not self._quiet_done:
            quiet_ms = self._module.QUIET_MS if self._module else SILENCE_MS
            if silence_ms >= quiet_ms:
                self._quiet_done = True
                self._consume(self._buffer, now_ms, turn, quiet=True)
        if self._noise and silence_ms >= SILENCE_MS:
            self._flush_noise(now_ms, turn)
        if self._held and now_ms - self._held_since_ms >= HOLD_MS:
            self._release(now_ms, turn)
        if self._buffer:
            self._expire(now_ms, turn)
        return turn

    def finish(self, now_ms: int) -> Turn:
        """The connection ended: silence is assumed, what is left is given up."""
        turn = Turn()
        if self._buffer:
            self._consume(self._buffer, now_ms, turn, quiet=True)
        self._give_up(self._buffer, now_ms, turn)
        self._buffer = b""
        self._release(now_ms, turn)
        return turn

    # -- framing ----------------------------------------------------------------------------------------------------

    def _consume(self, data: bytes, now_ms: int, turn: Turn, quiet: bool) -> None:
        """Split as much of data as possible; what must wait becomes the buffer."""
        at = 0
        while at < len(data):
            if self._module is None:
                at, waiting = self._decide(data, at, now_ms, turn, quiet)
                if waiting:
                    break
                continue
            try:
                status, start, end = self._module.split(data, at, self.facts, quiet)
            except FrameError:
                start = max(self._module.resync(data, at + 1), at + 1)
                self._skip(data[at:start], now_ms, turn)
                at = start
                continue
            believed = start == at or self._skip(data[at:start], now_ms, turn)
            at = start
            if not believed:
                continue
            if status is Status.FRAME:
                self._frame(data[start:end], now_ms, turn)
                at = end
            elif status is Status.MORE:
                break
            elif status is Status.REFUSED:
                at = self._refuse(data, at, now_ms, turn)
            elif at < len(data):
                at, waiting = self._foreign(data, at, now_ms, turn, quiet)
                if waiting:
                    break
        if at and at < len(data):
            self._pending_since_ms = now_ms
        self._buffer = data[at:] if at else data

    def _decide(self, data: bytes, at: int, now_ms: int, turn: Turn, quiet: bool) -> tuple[int, bool]:
        """Detect the protocol of undecided bytes; returns where to go on, and whether to wait for more."""
        found = detect(data, at, self.facts.transport, quiet)
        if (
            found.module is None
            and not (found.more and found.whole)
            and (quiet or len(data) - at >= STRONG_START_BYTES)
        ):
            start, module = strong_start(data, at)
            if module is not None:
                found = found._replace(module=module, start=start)
        if found.module is not None:
            if found.start > at:
                self._skip(data[at : found.start], now_ms, turn)
            self._enter(found.module)
            return found.start, False
        left = len(data) - at
        limit = WHOLE_BYTES if found.more and found.whole else UNDECIDED_BYTES
        if left > limit:
            self._give_up(data[at:], now_ms, turn)
            turn.close = "unknown protocol"
            return len(data), False
        return at, True

    def _foreign(self, data: bytes, at: int, now_ms: int, turn: Turn, quiet: bool) -> tuple[int, bool]:
        """Bytes that the connection's protocol does not accept: another protocol that proves itself, or noise."""
        assert self._module is not None
        found = detect(data, at, self.facts.transport, quiet)
        here = self._switch(data, at, found.module, quiet)
        if here is Verdict.YES:
            return at, False
        if here is Verdict.MORE and not quiet and len(data) - at <= WHOLE_BYTES:
            return at, True
        own = max(self._module.resync(data, at + 1), at + 1)
        start, verdict = self._other_start(data, at, own, quiet)
        if verdict is not Verdict.NO:
            self._skip(data[at:start], now_ms, turn)
            return start, verdict is Verdict.MORE
        if (found.more or found.module) and not quiet and len(data) - at <= UNDECIDED_BYTES:
            return at, True
        if own == len(data) and not quiet:
            # The end of noise may be the beginning of a frame: it stays until more comes, or silence.
            keep = max(at, own - NOISE_KEPT_BYTES)
            self._skip(data[at:keep], now_ms, turn)
            return keep, True
        self._skip(data[at:own], now_ms, turn)
        return own, False

    def _other_start(self, data: bytes, at: int, own: int, quiet: bool) -> tuple[int, Verdict]:
        """Where in noise, before this protocol's own next start, a frame of another protocol stands or has begun."""
        window, offset = data[at : own + STRONG_WINDOW_BYTES], 0
        for _ in range(STRONG_TRIES):
            offset, module = strong_start(window, offset)
            if offset < 0 or at + offset >= own:
                break
            verdict = self._switch(data, at + offset, module, quiet)
            # What seems to have begun in noise is waited for, but not for long: each byte that comes looks at it again.
            waits = verdict is Verdict.MORE and not quiet and len(data) - at - offset <= STRONG_WINDOW_BYTES
            if verdict is Verdict.YES or waits:
                return at + offset, verdict
            offset += 1
        return own, Verdict.NO

    def _switch(self, data: bytes, at: int, module: ProtocolModule | None, quiet: bool) -> Verdict:
        """Change to another protocol when a complete frame of it stands at `at`; MORE: it is not complete yet.

        The frame must prove itself (checksum, plausible date), or be text from its start to its end: bytes that the table
        names, that this connection's own protocol refuses, and that end as their protocol ends.
        """
        if module is None or module is self._module:
            return Verdict.NO
        try:
            status, start, end = module.split(data, at, self.facts, quiet)
        except FrameError:
            return Verdict.NO
        if status is Status.MORE:
            return Verdict.MORE
        if status is not Status.FRAME or start > at:
            return Verdict.NO
        frame = data[start:end]
        if not (module.validates(frame) or frame.isascii()):
            return Verdict.NO
        self._enter(module)
        return Verdict.YES

    def _enter(self, module: ProtocolModule) -> None:
        if self.facts.transport == "udp" and self._udp_protocol not in ("", module.NAME):
            self.facts = Facts(
                transport="udp", strong=strong_index, server=self.facts.server
            )  # another device behind the same address
        self._udp_protocol = module.NAME
        self._module = module
        self.protocol = module.NAME
        self._noise_run = 0

    # -- frames -----------------------------------------------------------------------------------------------------

    def _frame(self, payload: bytes, now_ms: int, turn: Turn) -> None:
        module, facts = self._module, self.facts
        assert module is not None
        if self._noise:
            self._flush_noise(now_ms, turn)
        self._noise_run = 0
        self.frames += 1
        identity = module.identify(payload, facts)
        device_id = self._resolve(module.NAME, identity)
        kind = FrameKind.FRAME
        if device_id:
            if self._admission is not None:
                kind = self._admission.admit(device_id, self._address, now_ms)
            if kind is FrameKind.FRAME and device_id not in self.devices and len(self.devices) < DEVICES_PER_SESSION:
                self.devices[device_id] = None
                turn.opened.append(device_id)
        row = self.row
        if facts.dialect != row.dialect or facts.login is not row.login:
            row = self.row = row._replace(dialect=facts.dialect, login=facts.login)
        reply = module.reply(payload, facts, now_ms)
        out = OutFrame(kind, module.NAME, device_id, payload, now_ms, row)
        if reply is not None and kind is not FrameKind.UNKNOWN_DEVICE:
            out.reply, out.at_once = reply
        if device_id:
            if self._held:
                self._attribute(device_id, kind, turn)
            turn.frames.append(out)
        elif identity.awaits_login:
            self._hold(out, now_ms, turn)
        else:
            turn.frames.append(out)

    def _resolve(self, protocol: str, identity: Identity) -> str:
        """Decide whose frame it is: IMEI in the frame, in the session, operator's or learnt alias, the id as sent."""
        short_id, imei, binds, _ = identity
        if imei:
            device_id = imei
            if short_id and short_id != imei and self._pairs.get(short_id) != imei:
                if len(self._pairs) < DEVICES_PER_SESSION:
                    self._pairs[short_id] = imei
                self.aliases.learn(protocol, short_id, imei)
        elif short_id:
            device_id = self._pairs.get(short_id) or self.aliases.lookup(protocol, short_id) or short_id
        else:
            return self.facts.device_id
        if binds:
            self.facts.device_id = device_id
        return device_id

    def _hold(self, out: OutFrame, now_ms: int, turn: Turn) -> None:
        """Keep a frame that came before the login of its connection."""
        if not self._held:
            self._held_since_ms = now_ms
        self._held.append(out)
        self._held_bytes += len(out.payload)
        if self._held_bytes > HOLD_BYTES:
            self._release(now_ms, turn)

    def _attribute(self, device_id: str, kind: FrameKind, turn: Turn) -> None:
        """The login came: what was held goes out first, under the device, with what decoding needs of the login."""
        for out in self._held:
            out.device_id, out.row, out.kind = device_id, self.row, kind
            if kind is FrameKind.UNKNOWN_DEVICE:
                out.reply = None
        turn.frames.extend(self._held)
        self._held, self._held_bytes = [], 0

    def _release(self, now_ms: int, turn: Turn) -> None:
        """No login came: what was held goes out without a device."""
        if not self._held:
            return
        for out in self._held:
            out.kind = FrameKind.NO_IDENTITY
        turn.frames.extend(self._held)
        self._held, self._held_bytes = [], 0

    # -- what is no frame ---------------------------------------------------------------------------------------------

    def _skip(self, data: bytes, now_ms: int, turn: Turn) -> bool:
        """Noise between frames; SILENT_NOISE alone is nobody's loss, the rest is published.

        False when it was so much that the protocol counts as unknown again.
        """
        if not data.strip(SILENT_NOISE):
            return True
        self._noise += data
        self._noise_run += len(data)
        if len(self._noise) > NOISE_BYTES:
            self._flush_noise(now_ms, turn)
        if self._noise_run > NOISE_BYTES:
            self._module = None
            self._noise_run = 0
        return self._module is not None

    def _flush_noise(self, now_ms: int, turn: Turn) -> None:
        noise, self._noise = bytes(self._noise), bytearray()
        self._publish_undecided(noise, now_ms, turn)

    def _give_up(self, data: bytes, now_ms: int, turn: Turn) -> None:
        """Publish the noise so far and these bytes as one undecided entry."""
        noise, self._noise = bytes(self._noise) + data, bytearray()
        if noise.strip(LEADING_NOISE):
            self._publish_undecided(noise, now_ms, turn)

    def _refuse(self, data: bytes, at: int, now_ms: int, turn: Turn) -> int:
        """What no tracker speaks is nobody's frame: published once, never answered, and the connection closes."""
        self._module = None
        self._give_up(data[at:], now_ms, turn)
        turn.close = f"{self.protocol} is not served"
        return len(data)

    def _publish_undecided(self, data: bytes, now_ms: int, turn: Turn) -> None:
        self.unknown_bytes += len(data)
        protocol = self._module.NAME if self._module and self.facts.transport == "tcp" else ""
        turn.frames.append(OutFrame(FrameKind.UNDECIDED, protocol, self.facts.device_id, data, now_ms, self.row))

    def _expire(self, now_ms: int, turn: Turn) -> None:
        """Undecided bytes and half frames do not wait for ever."""
        age_ms = now_ms - self._pending_since_ms
        if self._module is None:
            found = detect(self._buffer, 0, self.facts.transport, False)
            limit_ms = WHOLE_MS if found.more and found.whole else UNDECIDED_MS
            if age_ms >= limit_ms:
                self._give_up(self._buffer, now_ms, turn)
                self._buffer = b""
                turn.close = "unknown protocol"
        elif age_ms >= HALF_FRAME_MS:
            self._give_up(self._buffer, now_ms, turn)
            self._buffer = b""
