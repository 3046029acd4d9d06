"""What a run counted. Results of several processes add up; latencies are kept in classes 2 % wide."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

_UNIT_S = 1e-5
_STEP = math.log(1.02)
_CLASSES = 900  # the last begins at 540 s
_PERCENTILES = (50, 90, 99)
_EXAMPLES = 5


@dataclass(slots=True)
class Result:
    """Counts of frames, except where noted. Every frame that expects a reply ends as answered, wrong, missing or
    unfinished; one that was missing may be answered as well, when it was sent again.

    answered_with_position: of the answered. wrong: replies that were not the right bytes in the right order.
    missing: no reply within the timeout, or none at the end. unfinished: a stop by hand did not wait for them. resent:
    sendings after the first, byte for byte. behind: were due 0.1 s before the end and not sent. connections_lost: not
    closed by us. unconnected: devices that never had a connection. steady_*: from the end of
    the ramp to the last new frame.
    """

    devices: int = 0
    connected: int = 0
    sent: int = 0
    answered: int = 0
    answered_with_position: int = 0
    sent_with_position: int = 0
    wrong: int = 0
    missing: int = 0
    unfinished: int = 0
    resent: int = 0
    behind: int = 0
    connections_lost: int = 0
    connect_failures: int = 0
    unconnected: int = 0
    seconds: float = 0.0
    steady_seconds: float = 0.0
    steady_frames: int = 0
    steady_cpu_s: float = 0.0
    latency_max_s: float = 0.0
    latencies: list[int] = field(default_factory=lambda: [0] * _CLASSES)
    examples: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """No reply was wrong or missing, and every device got through."""
        return not (self.wrong or self.missing or self.unconnected)

    def answered_after(self, latency_s: float) -> None:
        """Count one latency."""
        if latency_s > self.latency_max_s:
            self.latency_max_s = latency_s
        number = int(math.log(latency_s / _UNIT_S) / _STEP) if latency_s > _UNIT_S else 0
        self.latencies[min(number, _CLASSES - 1)] += 1

    def wrong_reply(self, protocol: str, device_id: str, expected: str, got: bytes) -> None:
        """Count a wrong reply, and keep the first few to show."""
        self.wrong += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{protocol} {device_id}: expected {expected}, got {got[:120]!r}")

    def latency_ms(self, percent: float) -> float | None:
        """The latency that this share of the replies did not exceed, to 2 %; None without replies."""
        total = sum(self.latencies)
        if not total:
            return None
        need = math.ceil(total * percent / 100)
        for number, count in enumerate(self.latencies):
            need -= count
            if need <= 0:
                return round(min(_UNIT_S * math.exp((number + 1) * _STEP), self.latency_max_s) * 1000, 3)
        raise AssertionError("counts of classes do not add up")

    @property
    def frames_per_s(self) -> float:
        """Frames a second in the steady part."""
        return self.steady_frames / self.steady_seconds if self.steady_seconds else 0.0

    @property
    def cpu_us_per_frame(self) -> float | None:
        """CPU of the load generator itself for a frame in the steady part, replies included; None without frames."""
        return self.steady_cpu_s * 1e6 / self.steady_frames if self.steady_frames else None

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        hidden = {"connected", "latencies", "examples", "latency_max_s", "steady_cpu_s"}
        out = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in hidden}
        cpu = self.cpu_us_per_frame
        latency = {f"p{p}": self.latency_ms(p) for p in _PERCENTILES}
        return {
            **{name: round(value, 3) if isinstance(value, float) else value for name, value in out.items()},
            "frames_per_s": round(self.frames_per_s, 1),
            "cpu_us_per_frame": None if cpu is None else round(cpu, 2),
            "latency_ms": {
                **latency,
                "max": round(self.latency_max_s * 1000, 3) if latency["p50"] is not None else None,
            },
            "wrong_examples": self.examples,
            "ok": self.ok,
        }

    def line(self) -> str:
        """One line for progress."""
        text = (
            f"{self.seconds:6.1f} s  connected {self.connected}/{self.devices}  sent {self.sent}"
            f"  answered {self.answered} ({self.answered_with_position} with position)"
            f"  wrong {self.wrong}  missing {self.missing}  re-sent {self.resent}  lost {self.connections_lost}"
        )
        p99 = self.latency_ms(99)
        return text if p99 is None else f"{text}  p50 {self.latency_ms(50):.1f} ms  p99 {p99:.1f} ms"

    def table(self) -> str:
        """The report for people."""
        values = self.to_dict()
        latency = values.pop("latency_ms")
        rows = {
            name.replace("_", " "): "-" if values[name] is None else str(values[name])
            for name in values
            if name not in ("wrong_examples", "ok")
        }
        for name, value in latency.items():
            rows[f"reply latency {name}"] = "-" if value is None else f"{value:.1f} ms"
        lines = [f"{name:<24}{value:>14}" for name, value in rows.items()]
        lines += [f"wrong: {example}" for example in self.examples]
        if not self.ok:
            why = [
                f"{getattr(self, name)} {name}" for name in ("wrong", "missing", "unconnected") if getattr(self, name)
            ]
            lines.append(f"FAILED: {', '.join(why)}")
        return "\n".join(lines)


def add(results: Iterable[Result]) -> Result:
    """The sum over processes: counts add up, times are those of the longest."""
    total = Result()
    for one in results:
        for entry in fields(Result):
            mine, other = getattr(total, entry.name), getattr(one, entry.name)
            if entry.name in ("seconds", "steady_seconds", "latency_max_s"):
                setattr(total, entry.name, max(mine, other))
            elif entry.name == "latencies":
                total.latencies = [a + b for a, b in zip(mine, other, strict=True)]
            else:
                setattr(total, entry.name, mine + other)
    total.examples = total.examples[:_EXAMPLES]
    return total
