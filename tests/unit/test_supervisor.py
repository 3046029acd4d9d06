"""The supervisor: restart decisions, and real small processes that it starts, restarts and stops."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from deploy.local.errors import UpError
from deploy.local.orphans import ProcessList
from deploy.local.supervisor import ATTEMPTS, MOST_DELAY_S, Backoff, Service, Spec, State, describe_exit, stop_all

# Restart decisions


def test_backoff_doubles_up_to_a_limit_and_forgets() -> None:
    backoff = Backoff()
    delays = [backoff.after(70, 1.0, True) for _ in range(12)]
    assert delays[:4] == [0.5, 1.0, 2.0, 4.0]
    assert delays[-1] == MOST_DELAY_S
    assert backoff.after(70, 3600.0, True) == 0.5, "a long healthy run makes earlier failures forgotten"


def test_offsets_that_do_not_fit_are_not_restarted() -> None:
    assert Backoff().after(71, 3600.0, True) is None


def test_what_was_never_ready_fails_soon() -> None:
    assert Backoff().after(2, 1.0, False) is None, "a wrong setting does not mend itself"
    assert Backoff().after(2, 1.0, True) == 0.5, "a broker that is away for long does"
    backoff = Backoff()
    decisions = [backoff.after(-9, 1.0, False) for _ in range(ATTEMPTS)]
    assert decisions[-1] is None
    assert None not in decisions[:-1]


def test_exit_codes_in_words() -> None:
    assert describe_exit(71) == "exit code 71"
    assert describe_exit(-9) == "SIGKILL"
    assert describe_exit(-200) == "signal 200"


# The supervisor over real processes


def service(tmp_path: Path, script: str, told: list[str], timeout_s: float = 20.0) -> Service:
    spec = Spec("part", "Part", [sys.executable, "-c", script], dict(os.environ), tmp_path, "ready ", timeout_s)
    return Service(spec, tmp_path / "part.log", ProcessList(tmp_path), told.append)


async def until(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.02)


def test_killed_process_comes_back_and_stop_leaves_none(tmp_path: Path) -> None:
    script = "import time; print('ready here', flush=True); time.sleep(60)"

    async def scenario() -> None:
        told: list[str] = []
        part = service(tmp_path, script, told)
        part.start()
        await part.ready()
        assert part.ready_line == "ready here"
        first = part.pid
        assert first is not None
        psutil.Process(first).kill()
        await until(lambda: part.restarts == 1 and part.state is State.READY)
        assert part.pid not in (None, first)
        assert told == ["Part ended (SIGKILL), starts again in 0.5 s"]
        second = part.pid
        assert second is not None
        assert await stop_all([([part], 5.0)], asyncio.Event()) == []
        assert part.state is State.STOPPED
        assert not psutil.pid_exists(second)

    asyncio.run(scenario())


def test_code_71_is_shown_and_not_restarted(tmp_path: Path) -> None:
    script = "import sys, time; print('ready', 1, flush=True); time.sleep(0.3); print('offset gap'); sys.exit(71)"

    async def scenario() -> None:
        told: list[str] = []
        part = service(tmp_path, script, told)
        part.start()
        await part.ready()
        await until(lambda: part.state is State.FAILED)
        assert part.restarts == 0
        assert "exit code 71" in told[0]
        assert "offset gap" in told[0]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import sys; print('worker: X is wrong'); sys.exit(2)", "X is wrong"),
        ("raise RuntimeError('boom')", "boom"),
    ],
)
def test_process_that_does_not_start_is_an_error_with_its_words(tmp_path: Path, script: str, message: str) -> None:
    async def scenario() -> str:
        part = service(tmp_path, script, [])
        part.start()
        with pytest.raises(UpError) as caught:
            await part.ready()
        return str(caught.value)

    text = asyncio.run(scenario())
    assert message in text
    assert text.startswith("Part")


def test_process_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    async def scenario() -> None:
        part = service(tmp_path, "import time; time.sleep(60)", [], timeout_s=0.3)
        part.start()
        with pytest.raises(UpError, match=r"does not start \(not ready within 0.3 s\)"):
            await part.ready()
        assert part.pid is None

    asyncio.run(scenario())


def test_deaf_process_and_its_children_are_killed(tmp_path: Path) -> None:
    script = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('ready', child.pid, flush=True); time.sleep(60)"
    )

    async def scenario() -> None:
        part = service(tmp_path, script, [])
        part.start()
        await part.ready()
        grandchild = psutil.Process(int(part.ready_line.split()[1]))
        assert await stop_all([([part], 0.3)], asyncio.Event()) == [part]
        await until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)

    asyncio.run(scenario())


def test_force_does_not_wait(tmp_path: Path) -> None:
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', 1, flush=True); time.sleep(60)"

    async def scenario() -> float:
        part = service(tmp_path, script, [])
        part.start()
        await part.ready()
        force = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, force.set)
        began = time.monotonic()
        await stop_all([([part], 30.0)], force)
        return time.monotonic() - began

    assert asyncio.run(scenario()) < 5
