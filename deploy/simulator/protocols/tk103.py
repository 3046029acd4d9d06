"""TK103 with parentheses, grammar A: `(` id, command and fixed-width body glued together `)`, ASCII."""

from __future__ import annotations

from deploy.simulator.protocols.base import Encoder, Expected, Frame, clock, device_number, place
from deploy.simulator.routes import VehicleState

_MIX = ("BP05", "BR00", "BP05", "BR00", "BP05", "BP00", "BP05", "BR00", "BO01", "BP05")
"""Six of ten are answered and carry a position, and so is at least half of every beginning of it."""
_ALARM_EVERY = 5
"""Of the alarm places in the mix one in this many is one, the others are a BP05: an alarm every 50 frames."""
_OVERSPEED_KMH = 100.0


class Tk103(Encoder):
    """The id is `0` and the last 11 digits of the IMEI; the server knows it by the IMEI, which BP05 and BP00 carry."""

    __slots__ = ("_alarms", "_id", "_login_reply", "_shake", "_shake_reply")

    NAME = "tk103"
    HAS_LOGIN = True

    def __init__(self, seed: int, index: int) -> None:
        super().__init__(seed, index)
        self.device_id = device_number("imei", seed, index, "3599", 15)
        self._id = "0" + self.device_id[-11:]
        self._alarms = index  # not all vehicles begin with an alarm
        self._login_reply = f"({self._id}AP05)".encode()
        battery_centivolts = 380 + index % 41
        self._shake = f"({self._id}BP00{self.device_id}HSO{battery_centivolts:04X})".encode()
        self._shake_reply = f"({self._id}AP01HSO)".encode()

    def next_frame(self, state: VehicleState, second: int, nth: int) -> Frame:
        kind = _MIX[self.count % len(_MIX)]
        self.count += 1
        if kind == "BP05":
            return self.login(state, second, nth)
        if kind == "BP00":
            return Frame(self._shake, kind, self._shake_reply)
        if kind == "BR00":
            return self._report(kind, "", None, state, second, nth)
        self._alarms += 1
        if self._alarms % _ALARM_EVERY:
            return self.login(state, second, nth)
        alarm = self._alarm(state)
        return self._report(kind, alarm, f"({self._id}AS01{alarm})".encode(), state, second, nth)

    def login(self, state: VehicleState, second: int, nth: int) -> Frame:
        return self._report("BP05", self.device_id, self._login_reply, state, second, nth)

    def reply_end(self, received: bytes) -> int:
        return received.find(b")") + 1

    def _alarm(self, state: VehicleState) -> str:
        """Alarm digits: 0 power lost, 1 accident, 2 SOS, 3 vibration, 5 overspeed, 7 movement."""
        if state.speed_kmh > _OVERSPEED_KMH:
            return "5"
        return ("2", "3", "7", "0", "1")[self._alarms // _ALARM_EVERY % 5]

    def _report(
        self, kind: str, first: str, expect: Expected | None, state: VehicleState, second: int, nth: int
    ) -> Frame:
        """A frame with the position block: date, validity, place, speed, time, course, 8 state digits, odometer."""
        day, _, hms = clock(second)
        at = place(state, nth)
        lat, lon = at.latitude_text, at.longitude_text
        speed = round(state.speed_kmh, 1)
        course = round(state.course_deg, 2) % 360
        text = (
            f"({self._id}{kind}{first}{day}A{lat[:4]}.{lat[4:]}{'N' if at.north else 'S'}"
            f"{lon[:5]}.{lon[5:]}{'E' if at.east else 'W'}{speed:05.1f}{hms}{course:06.2f}"
            f"0{'1' if state.ignition else '0'}000000L{int(state.odometer_m) & 0xFFFFFFFF:08X})"
        )
        return Frame(text.encode(), kind, expect, kind == "BP05", True, second * 1000, at.latitude, at.longitude, speed)
