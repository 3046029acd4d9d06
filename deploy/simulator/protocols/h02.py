"""H02: `*HQ,id,type,...#` in text and the 45-byte `$` form in packed decimals, mixed on one connection."""

from __future__ import annotations

import re
import struct

from deploy.simulator.protocols.base import Encoder, Frame, clock, device_number, place
from deploy.simulator.routes import VehicleState

_MIX = ("V1", "$", "V1", "$", "V1", "HTBT", "V1", "$", "V1", "V1")
"""Six of ten are answered and carry a position, and so is at least half of every beginning of it."""
KMH_PER_KNOT = 1.852
_OVERSPEED_KMH = 110.0
_STATUS_OVERSPEED = 1 << 2
_STATUS_IGNITION = 1 << 10
_BATTERY_PERCENT = 100
_CELL = (262, 1, 21019, 2033)
"""Mobile country code, network code, location area, cell id."""


class H02(Encoder):
    """Known to the server by the ten digits printed on the case; there is no login."""

    __slots__ = ("_beat", "_beat_reply", "_pattern")

    NAME = "h02"
    HAS_LOGIN = False

    def __init__(self, seed: int, index: int) -> None:
        super().__init__(seed, index)
        self.device_id = device_number("h02", seed, index, "8", 10)
        self._beat = f"*HQ,{self.device_id},HTBT,{_BATTERY_PERCENT}#".encode()
        self._beat_reply = f"*HQ,{self.device_id},HTBT#".encode()
        self._pattern = re.compile(rf"\*HQ,{self.device_id},V4,V1,([0-9]{{14}})#".encode())

    def next_frame(self, state: VehicleState, second: int, nth: int) -> Frame:
        kind = _MIX[self.count % len(_MIX)]
        self.count += 1
        if kind == "HTBT":
            return Frame(self._beat, kind, self._beat_reply)
        if kind == "V1":
            return self._text(state, second, nth)
        return self._binary(state, second, nth)

    def reply_end(self, received: bytes) -> int:
        return received.find(b"#") + 1

    def _text(self, state: VehicleState, second: int, nth: int) -> Frame:
        _, date, hms = clock(second)
        at = place(state, nth)
        lat, lon = at.latitude_text, at.longitude_text
        knots = round(state.speed_kmh / KMH_PER_KNOT, 2)
        cell = f",{','.join(map(str, _CELL))},6" if self.index % 2 else ""
        text = (
            f"*HQ,{self.device_id},V1,{hms},A,{lat[:4]}.{lat[4:]},{'N' if at.north else 'S'},"
            f"{lon[:5]}.{lon[5:]},{'E' if at.east else 'W'},{knots:06.2f},{_course(state):03d},"
            f"{date},{_status(state):08X}{cell}#"
        )
        speed_kmh = knots * KMH_PER_KNOT
        return Frame(
            text.encode(), "V1", self._pattern, False, True, second * 1000, at.latitude, at.longitude, speed_kmh
        )

    def _binary(self, state: VehicleState, second: int, nth: int) -> Frame:
        """45 bytes: `$`, id, time, date, latitude, battery, longitude with flags, speed and course, status, tail."""
        _, date, hms = clock(second)
        at = place(state, nth)
        knots = int(state.speed_kmh / KMH_PER_KNOT)
        flags = 2 | (4 if at.north else 0) | (8 if at.east else 0)
        digits = (
            f"24{self.device_id}{hms}{date}{at.latitude_text}{_BATTERY_PERCENT:02x}{at.longitude_text}{flags:x}"
            f"{knots:03d}{_course(state):03d}{_status(state):08x}"
        )
        gsm, satellites = 21, 9
        tail = struct.pack(
            ">BBBBIHBHHB", 0xFF, 0, gsm, satellites, int(state.odometer_m) & 0xFFFFFFFF, *_CELL, self.count & 0xFF
        )
        speed_kmh = knots * KMH_PER_KNOT
        data = bytes.fromhex(digits) + tail
        return Frame(data, "$", None, False, True, second * 1000, at.latitude, at.longitude, speed_kmh)


def _course(state: VehicleState) -> int:
    return round(state.course_deg) % 360


def _status(state: VehicleState) -> int:
    """The status word, in which 0 stands for "is so"; ignition alone is 1 for on."""
    status = 0xFFFFFFFF
    if state.speed_kmh > _OVERSPEED_KMH:
        status &= ~_STATUS_OVERSPEED
    if not state.ignition:
        status &= ~_STATUS_IGNITION
    return status
