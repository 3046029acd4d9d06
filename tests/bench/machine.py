"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("aiokafka", "faust-streaming", "fastavro", "uvloop", "chdb-core", "clickhouse-connect", "cramjam")


def describe() -> dict[str, Any]:
    """CPU, memory, kernel, Python and package versions."""
    cpu = next(
        (text.split(":", 1)[1].strip() for text in _lines("/proc/cpuinfo") if text.startswith("model name")),
        platform.processor(),
    )
    memory_kb = next((int(text.split()[1]) for text in _lines("/proc/meminfo") if text.startswith("MemTotal")), 0)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory_kb / 1024 / 1024, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "kafka": "4.3.1",
    }


def line(found: dict[str, Any]) -> str:
    """One line for the head of the table."""
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return (
        f"{found['cores']} cores {found['cpu']}, {found['memory_gib']} GiB, {found['system']}, Python {found['python']}, "
        f"Kafka {found['kafka']}, {packages}"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
