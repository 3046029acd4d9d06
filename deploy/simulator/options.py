"""What a run of the simulator can be told, and when it refuses."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.simulator.protocols import BY_NAME


class SimulatorError(Exception):
    """The run cannot begin; the message says why and what to change."""


@dataclass(frozen=True, slots=True)
class Options:
    """All settings of a run.

    devices: vehicles, each with a connection of its own.
    rate_hz: frames a second of each device; 0: every device sends as soon as it has been answered (saturating).
    protocols: names out of the registry; devices take them in turn.
    transport: "tcp" or "udp".
    host, port: where the line listens.
    duration_s: how long new frames are sent, counted from the end of the connect ramp; 0: until stopped.
    seed: same seed, same ids and routes.
    frames: most frames of each device, 0: no limit; when all have sent them the run ends early.
    prebuild: frames of each device that are made before the clock starts. With a rate their times are those at which
        they will be due; without one they are a second apart and end at the start, like a buffer that is uploaded.
    ramp_per_s: new connections a second.
    timeout_s: how long a reply is awaited before the frame counts as missing and is sent again over a new connection.
    window: answered frames that may wait for their reply on one connection; 0: 1 when saturating or over UDP, else 8.
    processes: load generator processes that share the devices.
    ledger: file that gets a JSON line for every answered frame; written anew.
    """

    devices: int = 10
    rate_hz: float = 1.0
    protocols: tuple[str, ...] = ("tk103", "h02")
    transport: str = "tcp"
    host: str = "127.0.0.1"
    port: int = 8888
    duration_s: float = 10.0
    seed: int = 1
    frames: int = 0
    prebuild: int = 0
    ramp_per_s: float = 500.0
    timeout_s: float = 30.0
    window: int = 0
    processes: int = 1
    ledger: str | None = None

    def check(self) -> None:
        """Raise SimulatorError that names every wrong setting."""
        wrong = []
        if self.devices < 1:
            wrong.append("devices must be at least 1")
        if not 0 <= self.rate_hz <= 1000:
            wrong.append("rate must be 0 (as fast as answered) to 1000 a second")
        unknown = [name for name in self.protocols if name not in BY_NAME]
        if unknown or not self.protocols:
            wrong.append(f"unknown protocol {', '.join(unknown) or '(none)'}: there are {', '.join(BY_NAME)}")
        if self.transport not in ("tcp", "udp"):
            wrong.append("transport must be tcp or udp")
        if not 0 < self.port < 65536:
            wrong.append("port must be 1 to 65535")
        if not 1 <= self.processes <= self.devices:
            wrong.append("processes must be 1 to the number of devices")
        if self.ramp_per_s <= 0 or self.timeout_s <= 0:
            wrong.append("ramp and timeout must be more than 0")
        if min(self.duration_s, self.frames, self.prebuild, self.window) < 0:
            wrong.append("duration, frames, prebuild and window must not be negative")
        if self.transport == "udp" and self.window > 1:
            wrong.append("window must be 1 over udp: lost datagrams would be mistaken for others")
        if wrong:
            raise SimulatorError("; ".join(wrong))

    @property
    def in_flight(self) -> int:
        """The window that holds: see `window`."""
        if self.window:
            return self.window
        return 1 if self.rate_hz == 0 or self.transport == "udp" else 8
