"""`lodestream up --webhook`: events of the simulated fleet reach a receiver on this machine, signed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deploy.local.preflight import free_port
from tests.integration.test_up import Ports, running, stop
from tests.integration.webhook_stage import SECRET, Listener, ok, until


def test_up_posts_the_events_of_the_fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        listener = Listener(ok)
        await listener.start()
        url = f"http://127.0.0.1:{listener.port}/hook/secret-token"
        arguments = [*ports.arguments, "--simulate", "5", "--webhook", url]

        def run_it() -> None:
            with running(tmp_path / "data", *arguments) as run:
                run.wait_for(r"^ready in", 180)
                assert "secret-token" not in run.text
                asyncio.run_coroutine_threadsafe(until(all_online), loop).result()
                stop(run)

        def all_online() -> bool:
            return len({event["device_id"] for event in listener.taken if event["kind"] == "device_online"}) == 5

        loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(run_it)
        finally:
            await listener.stop()
        assert listener.forged == 0

    taken: set[int] = set()
    for wanted in (18888, 19092, 18123):
        taken.add(free_port(wanted, taken))
    ports = Ports(*sorted(taken))
    monkeypatch.setenv("LODESTREAM_WEBHOOK_SECRET", SECRET)
    asyncio.run(scenario())
