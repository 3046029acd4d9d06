"""Get Kafka's jars once per user and make sure that what runs is what this repository pins.

The jars come through jgo's pure Python resolver (no system Maven). They land in a cache outside the work tree,
shared by every checkout; the whole folder appears by one rename, so a half-done or a parallel download is never
seen. Each file must match its SHA-256 in jars.sha256: after the download, and again whenever the cheap check
(names, sizes and times against a stamp) cannot vouch for the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deploy.local.kafka.errors import LauncherError

Progress = Callable[[str], None]

KAFKA_VERSION = "4.3.1"
# slf4j-simple (15 KB) is the log binding: without one the broker is silent, also about why it does not start.
COORDINATES = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
PINNED_FILE = Path(__file__).with_name("jars.sha256")
CACHE_VARIABLE = "LODESTREAM_CACHE"
_STAMP_NAME = ".checked.json"
_DOWNLOAD_PREFIX = "download-"
_DOWNLOAD_BYTES = 150 * 1024 * 1024  # jars, POMs and room for a startup archive
_PARALLEL_DOWNLOADS = 4
_ATTEMPTS = 2
_STALE_SECONDS = 3600.0
_JAR_TIME = 1_750_000_000


def cache_root(environ: Mapping[str, str] | None = None) -> Path:
    """The per-user cache folder (not created): $LODESTREAM_CACHE, $XDG_CACHE_HOME/lodestream, ~/.cache/lodestream."""
    variables = os.environ if environ is None else environ
    if own := variables.get(CACHE_VARIABLE):
        return Path(own).expanduser().absolute()
    base = variables.get("XDG_CACHE_HOME", "")
    # The XDG rule: a relative path there is invalid and ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "lodestream"


def read_pinned(path: Path = PINNED_FILE) -> dict[str, str]:
    """File name -> SHA-256 out of a list in the format of sha256sum."""
    lines = (line.split() for line in path.read_text(encoding="ascii").splitlines() if line.strip())
    return {name: digest for digest, name in lines}


def ensure_jars(cache: Path | None = None, progress: Progress | None = None) -> list[Path]:
    """All jars of the pinned list, checked, downloaded first when the cache has none; sorted for the class path."""
    root = cache or cache_root()
    folder = root / f"kafka-{KAFKA_VERSION}"
    pinned = read_pinned()
    tell = progress or (lambda _message: None)
    if not folder.is_dir():
        _download(root, folder, pinned, tell)
    elif not _stamp_matches(folder, pinned):
        tell(f"checking {len(pinned)} Kafka jars")
        if problem := find_problem(folder, pinned):
            outcome = "was removed, start again to download it anew" if _remove(folder) else "must be removed by hand"
            raise LauncherError(f"{problem}; the folder {folder} {outcome}")
        _write_stamp(folder, pinned)
    return [folder / name for name in sorted(pinned)]


def find_problem(folder: Path, pinned: Mapping[str, str]) -> str | None:
    """The first jar that is missing, extra or not what is pinned, as a sentence; None when all is well."""
    present = {path.name for path in folder.glob("*.jar")}
    if missing := sorted(pinned.keys() - present):
        return f"Kafka jar {missing[0]} is missing"
    if extra := sorted(present - pinned.keys()):
        return f"jar {extra[0]} is not one of Kafka's {len(pinned)} pinned jars"
    for name, expected in sorted(pinned.items()):
        if _sha256(folder / name) != expected:
            return f"Kafka jar {name} does not have the pinned SHA-256"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stamp_content(folder: Path, pinned: Mapping[str, str]) -> dict[str, Any]:
    """What the cheap check compares: the pinned list itself, and name, size and time of every jar on disk."""
    files = {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(folder.glob("*.jar"))}
    return {"pinned": hashlib.sha256(repr(sorted(pinned.items())).encode()).hexdigest(), "files": files}


def _stamp_matches(folder: Path, pinned: Mapping[str, str]) -> bool:
    try:
        return bool(json.loads((folder / _STAMP_NAME).read_bytes()) == _stamp_content(folder, pinned))
    except (OSError, ValueError):
        return False


def _write_stamp(folder: Path, pinned: Mapping[str, str]) -> None:
    # A cache that cannot be written (shared, read-only) still works: it is checked in full at each start.
    with contextlib.suppress(OSError):
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=_STAMP_NAME)
        with open(handle, "w", encoding="utf-8") as stream:
            json.dump(_stamp_content(folder, pinned), stream)
        os.replace(temporary, folder / _STAMP_NAME)


def _remove(folder: Path) -> bool:
    """Delete a bad folder; the rename first, so that a parallel start never sees it half deleted."""
    doomed = folder.with_name(f"{_DOWNLOAD_PREFIX}bad-{os.getpid()}-{time.time_ns()}")
    try:
        folder.rename(doomed)
    except OSError:
        return False
    shutil.rmtree(doomed, ignore_errors=True)
    return True


def _download(root: Path, folder: Path, pinned: Mapping[str, str], tell: Progress) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        _remove_stale_downloads(root)
        require_space(root, _DOWNLOAD_BYTES)
        for attempt in range(1, _ATTEMPTS + 1):
            # Each attempt has an empty repository: jgo takes any file that is there for whole, cut-off ones too.
            with tempfile.TemporaryDirectory(dir=root, prefix=_DOWNLOAD_PREFIX, ignore_cleanup_errors=True) as name:
                if _download_into(Path(name), folder, pinned, tell, last=attempt == _ATTEMPTS):
                    return
    except OSError as error:
        raise LauncherError(f"cannot store Kafka's jars in {root}: {error.strerror or error}") from error


def _download_into(work: Path, folder: Path, pinned: Mapping[str, str], tell: Progress, *, last: bool) -> bool:
    """One attempt; False when it failed in a way that a second attempt may cure."""
    try:
        fetched = _fetch(work / "repository", work / "jars", tell)
    except Exception as error:  # jgo has no error class: RuntimeError, requests' errors, XML errors, assertions
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk, not the network (requests' errors are OSErrors without a number)
        if last:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise LauncherError(f"cannot download Kafka {KAFKA_VERSION} (is there a network?): {reason}") from error
        tell(f"download failed, trying again: {type(error).__name__}")
        return False
    tell(f"checking {len(pinned)} Kafka jars")
    if problem := find_problem(fetched, pinned):
        raise LauncherError(f"{problem}; the download was thrown away")
    _write_stamp(fetched, pinned)
    try:
        fetched.rename(folder)
    except OSError:
        # A parallel run was first. Its folder went through the same check.
        if not folder.is_dir():
            raise
    return True


def _fetch(repository: Path, target: Path, tell: Progress) -> Path:
    """Resolve and download with jgo into `repository`, then move all jars into `target`."""
    # Imported here: jgo and requests take 0.2 s, and are needed once per machine.
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    tell(f"resolving Kafka {KAFKA_VERSION}")
    # jgo's own settings file may name a mirror; its entry "central" takes the place of the default.
    remotes = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    context = MavenContext(repo_cache=repository, remote_repos=remotes, timeout=30)
    inputs, transitive = context.resolver.resolve([context.create_dependency(text) for text in COORDINATES])
    needed = [*inputs, *(item for item in transitive if item.scope in ("compile", "runtime"))]
    target.mkdir()
    with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
        paths = pool.map(lambda dependency: Path(dependency.artifact.resolve()), needed)
        for number, path in enumerate(paths, start=1):
            # One fixed time: a startup archive is tied to the jars' times, and stays valid after a new download.
            os.utime(path, (_JAR_TIME, _JAR_TIME))
            path.rename(target / path.name)
            tell(f"downloading Kafka {KAFKA_VERSION}: {number}/{len(needed)} {path.name}")
    return target


def _remove_stale_downloads(root: Path) -> None:
    """Temporary folders of runs that were killed; young ones may belong to a run that goes on."""
    for path in root.glob(f"{_DOWNLOAD_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def require_space(folder: Path, needed: int) -> None:
    """A start that would fill the disk ends here, before it leaves half a file."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise LauncherError(f"not enough disk space in {folder}: {free >> 20} MB free, {needed >> 20} MB needed")
