"""JT/T 808 of 2013: binary frames between `7E`, id of 12 packed digits, clock GMT+8, every frame answered."""

from __future__ import annotations

import struct

from deploy.simulator.protocols.base import SCATTER, Encoder, Frame, clock, device_number
from deploy.simulator.routes import VehicleState

_MIX = ("0200", "0002", "0200", "0200", "0100", "0200", "0102", "0200", "0200", "0200")
"""Seven of ten are answered and carry a position, and so is at least half of every beginning of it."""
_BEIJING_SECONDS = 8 * 3600
_OVERSPEED_KMH = 110.0
_ALARM_OVERSPEED = 1 << 1
_ACC, _FIX, _SOUTH, _WEST = 1, 2, 4, 8
_GSM, _SATELLITES = 24, 11
_REGISTRATION = struct.pack(">HH5s20s7sB8s", 44, 303, b"70111", b"BSJ-A6-BD", b"0012345", 1, b"B12345")


class Jt808(Encoder):
    """Known to the server by the id in its header; it may register at any time, so there is no login to wait for."""

    __slots__ = ("_id",)

    NAME = "jt808"
    HAS_LOGIN = False

    def __init__(self, seed: int, index: int) -> None:
        super().__init__(seed, index)
        self.device_id = device_number("jt808", seed, index, "0", 12)
        self._id = bytes.fromhex(self.device_id)

    def next_frame(self, state: VehicleState, second: int, nth: int) -> Frame:
        kind = _MIX[self.count % len(_MIX)]
        serial = self.count & 0xFFFF
        self.count += 1
        if kind == "0200":
            return self._location(state, second, nth, serial)
        message = int(kind, 16)
        body = {0x0002: b"", 0x0100: _REGISTRATION, 0x0102: self.device_id.encode()}[message]
        if message == 0x0100:
            answer = self._wire(0x8100, 0, struct.pack(">HB", serial, 0) + self.device_id.encode())
        else:
            answer = self._general(message, serial)
        return Frame(self._wire(message, serial, body), kind, answer)

    def reply_end(self, received: bytes) -> int:
        return received.find(b"\x7e", 1) + 1

    def _location(self, state: VehicleState, second: int, nth: int, serial: int) -> Frame:
        """Alarms, status, latitude, longitude (1e-6 degree), altitude, speed, course, time; odometer, GSM, satellites."""
        north, east = SCATTER[nth % len(SCATTER)]
        latitude = round(state.latitude * 1e6) + north
        longitude = round(state.longitude * 1e6) + east
        speed = round(state.speed_kmh * 10)
        status = (
            _FIX | (_ACC if state.ignition else 0) | (_SOUTH if latitude < 0 else 0) | (_WEST if longitude < 0 else 0)
        )
        day, _, hms = clock(second + _BEIJING_SECONDS)
        alarms = _ALARM_OVERSPEED if state.speed_kmh > _OVERSPEED_KMH else 0
        numbers = (alarms, status, abs(latitude), abs(longitude), 0, speed, round(state.course_deg) % 360)
        odometer = struct.pack(">BBI", 0x01, 4, int(state.odometer_m / 100) & 0xFFFFFFFF)
        signal = bytes((0x30, 1, _GSM, 0x31, 1, _SATELLITES))
        body = struct.pack(">IIIIHHH", *numbers) + bytes.fromhex(day + hms) + odometer + signal
        data, answer = self._wire(0x0200, serial, body), self._general(0x0200, serial)
        return Frame(data, "0200", answer, False, True, second * 1000, latitude / 1e6, longitude / 1e6, speed / 10)

    def _general(self, message: int, serial: int) -> bytes:
        """The platform's general answer: serial and id of what it answers, result 0; its own serial number is 0."""
        return self._wire(0x8001, 0, struct.pack(">HHB", serial, message, 0))

    def _wire(self, message: int, serial: int, body: bytes) -> bytes:
        """Header, body and XOR checksum between 7E; inside 7D 02 stands for 7E and 7D 01 for 7D."""
        content = struct.pack(">HH", message, len(body)) + self._id + struct.pack(">H", serial) + body
        check = 0
        for byte in content:
            check ^= byte
        wire = bytearray(b"\x7e")
        for byte in (*content, check):
            if byte in (0x7D, 0x7E):
                wire += bytes((0x7D, byte - 0x7C))
            else:
                wire.append(byte)
        return bytes(wire) + b"\x7e"
