"""Traffic whose every frame is answered and carries a position, the same in every run: for the disturbed and the other."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import re
from dataclasses import dataclass, field

REPLY_S = 6.0
GIVE_UP_S = 240.0


@dataclass(slots=True)
class Tracker:
    """One device: its frames in order, each with the reply it must get, and what the server will call it."""

    device_id: str
    frames: list[tuple[bytes, re.Pattern[bytes]]]
    times_ms: list[int]
    done: int = 0
    resent: int = 0


@dataclass(slots=True)
class Ledger:
    """What was answered."""

    answered: int = 0
    resent: int = 0
    reports: dict[tuple[str, int], int] = field(default_factory=dict)
    """(device_id, time_ms) -> times answered."""


def fleet(devices: int, frames: int, seed: int, start: dt.datetime) -> list[Tracker]:
    """Half TK103 (BP05, BO01), half H02 (V1): they drive, stop, speed and raise alarms."""
    return [
        (_tk103 if number % 2 else _h02)(number, frames, random.Random(seed * 100_003 + number), start)
        for number in range(devices)
    ]


def _speeds(rng: random.Random, frames: int) -> list[float]:
    """km/h: legs of driving, speeding and standing."""
    speeds: list[float] = []
    while len(speeds) < frames:
        speeds += [rng.choice((0.0, 0.0, 30.0, 70.0, 130.0))] * rng.randint(2, 6)
    return speeds[:frames]


def _tk103(number: int, frames: int, rng: random.Random, start: dt.datetime) -> Tracker:
    short_id, imei = f"0{90_000_000_000 + number}", f"3541{90_000_000_000 + number}"
    minutes, out, times = 7.0, [], []
    for index, speed in enumerate(_speeds(rng, frames)):
        when = start + dt.timedelta(seconds=60 * index + number % 50)
        minutes = min(59.0, minutes + speed / 60 / 1.16)
        block = f"{when:%y%m%d}A5130.2500N000{minutes:07.4f}E{speed:05.1f}{when:%H%M%S}090.0001000000L00000000"
        if index and rng.random() < 0.2:
            alarm = rng.choice("12345")
            out.append((f"({short_id}BO01{alarm}{block})".encode(), rf"\({short_id}AS01{alarm}\)"))
        else:
            out.append((f"({short_id}BP05{imei}{block})".encode(), rf"\({short_id}AP05\)"))
        times.append(int(when.timestamp() * 1000))
    return Tracker(imei, [(frame, re.compile(reply.encode())) for frame, reply in out], times)


def _h02(number: int, frames: int, rng: random.Random, start: dt.datetime) -> Tracker:
    device_id = f"{7_000_000_000 + number}"
    minutes, out, times = 7.0, [], []
    for index, speed in enumerate(_speeds(rng, frames)):
        when = start + dt.timedelta(seconds=60 * index + number % 50)
        minutes = min(59.0, minutes + speed / 60 / 1.16)
        status = rng.choice(("FFFFFFFF", "FFFFFBFF", "FFFFFFFE"))
        place = f"A,5130.2500,N,000{minutes:07.4f},E,{speed / 1.852:06.2f},090,{when:%d%m%y}"
        out.append(
            (f"*HQ,{device_id},V1,{when:%H%M%S},{place},{status}#".encode(), rf"\*HQ,{device_id},V4,V1,\d{{14}}#")
        )
        times.append(int(when.timestamp() * 1000))
    return Tracker(device_id, [(frame, re.compile(reply.encode())) for frame, reply in out], times)


async def drive(port: int, trackers: list[Tracker], pause_s: float) -> Ledger:
    """Send all frames of all trackers; what is not answered is sent again, byte for byte, over a new connection."""
    ledger = Ledger()
    rng = random.Random(1)
    await asyncio.gather(*(_one(port, tracker, pause_s, rng.random(), ledger) for tracker in trackers))
    return ledger


async def _one(port: int, tracker: Tracker, pause_s: float, offset: float, ledger: Ledger) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + GIVE_UP_S
    await asyncio.sleep(offset * max(pause_s, 0.2))
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while tracker.done < len(tracker.frames):
        assert loop.time() < deadline, f"{tracker.device_id}: {tracker.done} of {len(tracker.frames)} answered"
        frame, reply = tracker.frames[tracker.done]
        try:
            if streams is None:
                streams = await asyncio.open_connection("127.0.0.1", port)
            streams[1].write(frame)
            got = await asyncio.wait_for(_until(streams[0], b")#"), REPLY_S)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            if streams is not None:
                streams[1].close()
                streams = None
            ledger.resent += 1
            await asyncio.sleep(0.3)
            continue
        assert reply.fullmatch(got), f"{tracker.device_id}: {got!r} is no answer to {frame!r}"
        key = (tracker.device_id, tracker.times_ms[tracker.done])
        ledger.reports[key] = ledger.reports.get(key, 0) + 1
        ledger.answered += 1
        tracker.done += 1
        await asyncio.sleep(pause_s)
    if streams is not None:
        streams[1].close()


async def _until(reader: asyncio.StreamReader, ends: bytes) -> bytes:
    data = b""
    while not data or data[-1] not in ends:
        more = await reader.read(4096)
        if not more:
            raise asyncio.IncompleteReadError(data, None)
        data += more
    return data
