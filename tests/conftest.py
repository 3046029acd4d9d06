"""What all tests share: unit, frames, property and contract tests must not touch the network.

A test that serves itself over a socket of its own is marked `loopback`.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORPUS = ROOT.parent / "shared" / "corpus"
OFFLINE = ("tests/unit", "tests/frames", "tests/property", "tests/contract")


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Fail a test that connects anywhere without being an integration test, also when it swallowed the error."""
    path = request.node.path.relative_to(ROOT).as_posix()
    if not path.startswith(OFFLINE) or request.node.get_closest_marker("loopback"):
        yield
        return
    attempts: list[object] = []

    def refuse(_self: socket.socket, address: object) -> None:
        attempts.append(address)
        raise OSError(f"this test must not connect (to {address})")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield
    assert not attempts, f"connected to {attempts}"


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real frames; tests that need it are skipped where it is absent."""
    if not CORPUS.exists():
        pytest.skip("the corpus of real frames is not here")
    return CORPUS
