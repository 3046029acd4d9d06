"""A startup archive: Java's image of the loaded classes, made once, which halves the broker's start.

JDK 17 to 24 have AppCDS (-XX:ArchiveClassesAtExit), JDK 25 and later the AOT cache (-XX:AOTCacheOutput). Both are
written at the end of a training run, fit only the very Java, jars and class path that made them, and are only ever
a help: a failure to make one is noted beside it (so that not every start tries again), and a start that fails with
one is repeated without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.local.kafka.errors import LauncherError
from deploy.local.kafka.java import Java

# Runs a broker with these JVM flags on a new data folder until it is ready, and stops it.
Train = Callable[[list[str], Path], None]

_AOT_MAJOR = 25
_RETRY_SECONDS = 24 * 3600.0
_CAUGHT = (LauncherError, OSError)


def archive_path(cache: Path, java: Java, jvm_flags: Sequence[str], class_path: str) -> Path:
    """Named for the version to read, and for a hash of all that the archive depends on."""
    key = "\n".join((java.banner, str(java.path), *jvm_flags, class_path))
    kind = "aot" if java.major >= _AOT_MAJOR else "jsa"
    return cache / "startup" / f"java-{java.version}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.{kind}"


def use_flags(java: Java, path: Path) -> list[str]:
    """The flags of a start: none while there is no archive."""
    if not path.is_file():
        return []
    if java.major < _AOT_MAJOR:
        return [f"-XX:SharedArchiveFile={path}"]
    # JDK 25 warns four times per start about stubs that it cannot take from the cache, which is harmless.
    return [f"-XX:AOTCache={path}", "-Xlog:aot*=error"]


def create_flags(java: Java, path: Path) -> list[str]:
    """The flags of the training run."""
    return [f"-XX:AOTCacheOutput={path}"] if java.major >= _AOT_MAJOR else [f"-XX:ArchiveClassesAtExit={path}"]


def ensure(java: Java, path: Path, train: Train, tell: Callable[[str], None]) -> None:
    """Make the archive when there is none. Never fails: without an archive a start is only slower."""
    if path.is_file() or _failed_lately(path):
        return
    tell(f"preparing quick starts for Java {java.version} (once)")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A folder beside the target: the rename at the end must stay on one file system to be atomic.
        with tempfile.TemporaryDirectory(dir=path.parent, ignore_cleanup_errors=True) as name:
            work = Path(name)
            made = work / path.name
            train(create_flags(java, made), work / "data")
            os.replace(made, path)
    except _CAUGHT as error:
        _note_failure(path, str(error))


def reject(path: Path, reason: str) -> None:
    """A start failed with this archive and went well without: forget it, and do not make it again today."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    _note_failure(path, reason)


def _note_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.failed")


def _note_failure(path: Path, reason: str) -> None:
    with contextlib.suppress(OSError):
        _note_path(path).write_text(f"{reason}\n", encoding="utf-8")


def _failed_lately(path: Path) -> bool:
    try:
        return time.time() - _note_path(path).stat().st_mtime < _RETRY_SECONDS
    except OSError:
        return False
