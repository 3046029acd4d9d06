"""Frames of all protocols on one connection, glued and cut anywhere: the same frames come out, none is lost or invented."""

from __future__ import annotations

import random
import tomllib
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.aliases import Aliases
from gateway.protocols.registry import MODULES, PROTOCOLS
from gateway.session import Session
from schemas.records import FrameKind
from tests.frames.golden import CASES

LONGEST_BYTES = 600
Found = list[tuple[str, bytes]]


def split(chunks: list[bytes]) -> Found:
    """(protocol, frame) of everything that a connection makes of the chunks, in the order of their bytes sorted."""
    session, outs = Session("s", "p", "tcp", 0, Aliases()), []
    for chunk in chunks:
        outs += session.receive(chunk, 0).frames
    outs += session.finish(0).frames
    return sorted((out.protocol, out.payload) for out in outs if out.kind != FrameKind.UNDECIDED)


def ends_by_itself(protocol: str, frame: bytes) -> bool:
    """False for forms that only silence or the next frame of their own protocol ends, and for bare digits."""
    if protocol == "h02":
        return frame[:1] == b"*"
    if protocol == "gps103":
        return frame[:1] in b"#i" and frame[-1:] == b";"
    return protocol != "xexun"


@cache
def pool() -> dict[str, list[bytes]]:
    """Golden frames that end by themselves and prove themselves (or are text), by protocol."""
    found: dict[str, list[bytes]] = {}
    for path in CASES:
        case = tomllib.loads(path.read_text())
        if case["transport"] != "tcp" or case["expect"].get("rejected"):
            continue
        data = b"".join(map(bytes.fromhex, case["chunks"]))
        session = Session("s", "p", "tcp", 0, Aliases())
        session.receive(data, 0)
        frames = split([data])
        whole = len(frames) == 1 and frames[0] == (path.parent.name, data)
        kept = session.pending_bytes - (len(data) if not session.devices else 0)
        if whole and kept <= 0 and len(data) <= LONGEST_BYTES:
            module = PROTOCOLS[frames[0][0]]
            if ends_by_itself(module.NAME, data) and (module.validates(data) or data.isascii()):
                found.setdefault(module.NAME, []).append(data)
    return found


def test_every_protocol_takes_part() -> None:
    assert set(pool()) >= {module.NAME for module in MODULES} - {"xexun"}
    assert sum(map(len, pool().values())) > 150


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_glued_and_cut(seed: int) -> None:
    rng = random.Random(seed)
    frames = pool()
    chosen = [(name, rng.choice(frames[name])) for name in rng.choices(sorted(frames), k=rng.randint(2, 5))]
    data = b"".join(rng.choice((b"", b"", b"\r\n")) + frame for _, frame in chosen)
    assert split([data]) == sorted(chosen)
    cuts = sorted(rng.sample(range(1, len(data)), min(len(data) - 1, rng.randint(1, 8))))
    chunks = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert split(chunks) == sorted(chosen)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), noise=st.binary(min_size=1, max_size=40))
def test_noise_between_costs_no_text_frame(seed: int, noise: bytes) -> None:
    """Text frames stand out of noise that holds no start of its own."""
    rng = random.Random(seed)
    quiet = bytes(byte for byte in noise if byte not in b"([*$#+!>&@~x:,imeXSTGP0123456789gEq\xe7\x01\x02\x00\xff")
    tk103, h02 = (
        rng.choice(pool()["tk103"]),
        b"*HQ,8800123456,V1,101112,A,5130.2500,N,00007.6500,W,0,0,150126,FFFFFFFF#",
    )
    data = tk103 + quiet + h02 + quiet + tk103
    assert split([data]) == sorted([("tk103", tk103), ("h02", h02), ("tk103", tk103)])
