"""`lodestream up` before anything starts: options, plan, checks, and the logs of its children."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.local import logs, plan, preflight
from deploy.local.counters import Page
from deploy.local.errors import UpError
from deploy.local.orphans import ProcessList
from deploy.local.plan import Options
from deploy.local.preflight import DataLock, Port
from deploy.local.webhook import WebhookWatch

# Options and plan


def test_all_wrong_options_are_named() -> None:
    with pytest.raises(UpError) as caught:
        Options(port=0, kafka_port=70000, clickhouse_port=70000, devices=-1, speed_limit=-5).check()
    text = str(caught.value)
    for part in ("--port 0", "--kafka-port 70000", "must differ", "--simulate -1", "--speed-limit -5"):
        assert part in text
    Options().check()


def test_plan_passes_the_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DRAIN_S", "7")
    monkeypatch.setenv("GATEWAY_PORT", "1")
    made = plan.make_plan(Options(port=18001, kafka_port=18002, clickhouse_port=18003, speed_limit=80.0), tmp_path)
    specs = {spec.name: spec for spec in made.specs}
    assert list(specs) == ["kafka", "clickhouse", "gateway", "track", "sink", "fleet"]
    gateway, track, sink = (specs[name].environment for name in ("gateway", "track", "sink"))
    assert gateway["GATEWAY_PORT"] == "18001"
    assert gateway["GATEWAY_DRAIN_S"] == "7", "what the line does not depend on is the user's"
    assert gateway["GATEWAY_KAFKA_BOOTSTRAP"] == track["WORKER_KAFKA_BOOTSTRAP"] == "127.0.0.1:18002"
    assert (track["WORKER_ROLE"], sink["WORKER_ROLE"]) == ("track", "sink")
    assert track["WORKER_SPEED_LIMIT_KMH"] == "80"
    assert sink["WORKER_CLICKHOUSE_URL"] == "http://127.0.0.1:18003"
    assert len(set(made.metrics_urls.values())) == 3
    places = dict(made.places)
    assert "18001" in places["devices"]
    assert "gateway http://127.0.0.1:" in places["metrics"]


def test_settings_of_the_plan_are_known_to_the_processes(tmp_path: Path) -> None:
    from gateway.settings import GatewaySettings
    from processors.settings import WorkerSettings
    from schemas.clients.settings import load

    specs = {spec.name: spec for spec in plan.make_plan(Options(), tmp_path).specs}
    assert load(GatewaySettings, "GATEWAY_", specs["gateway"].environment).host == "0.0.0.0"
    assert load(WorkerSettings, "WORKER_", specs["track"].environment).speed_limit_kmh == 110.0
    assert load(WorkerSettings, "WORKER_", specs["sink"].environment).role == "sink"


def test_a_webhook_is_one_more_worker_that_alone_knows_the_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from processors.settings import WorkerSettings
    from schemas.clients.settings import load

    monkeypatch.setenv("LODESTREAM_WEBHOOK_SECRET", "hush")
    assert "webhook" not in {spec.name for spec in plan.make_plan(Options(), tmp_path).specs}
    made = plan.make_plan(Options(webhook="https://example.org/hooks/token"), tmp_path)
    environments = {spec.name: spec.environment for spec in made.specs}
    settings = load(WorkerSettings, "WORKER_", environments["webhook"])
    assert (settings.role, settings.webhook_url) == ("webhook", "https://example.org/hooks/token")
    assert settings.webhook_secret == "hush"
    assert "webhook" in made.metrics_urls
    assert dict(made.places)["webhook"] == "https://example.org", "a path may be a secret"
    assert not any("hush" in environment.values() for name, environment in environments.items() if name != "webhook")
    monkeypatch.delenv("LODESTREAM_WEBHOOK_SECRET")
    monkeypatch.setenv("WORKER_WEBHOOK_SECRET", "own")
    specs = {spec.name: spec for spec in plan.make_plan(Options(webhook="https://example.org/"), tmp_path).specs}
    assert load(WorkerSettings, "WORKER_", specs["webhook"].environment).webhook_secret == "own"
    with pytest.raises(UpError, match="--webhook: no address to post to"):
        Options(webhook="example.org").check()


def test_what_becomes_of_the_webhook_is_told_once(tmp_path: Path) -> None:
    def page(retry_s: float, refused: int) -> Page:
        return Page({"webhook_retry_seconds": [({}, retry_s)], "webhook_refused_total": [({}, refused)]})

    watch = WebhookWatch(tmp_path / "webhook.log")
    assert watch.sentences(None) == []
    assert watch.sentences(page(3, 0)) == []
    (away,) = watch.sentences(page(11, 0))
    assert "takes nothing" in away
    assert "webhook.log" in away
    assert watch.sentences(page(12, 0)) == []
    again, refused = watch.sentences(page(0, 2))
    assert "takes events again" in again
    assert "refused events" in refused
    assert watch.sentences(page(0, 2)) == []


def test_no_devices_no_fleet(tmp_path: Path) -> None:
    assert "fleet" not in {spec.name for spec in plan.make_plan(Options(devices=0), tmp_path).specs}


# Preflight


@pytest.mark.parametrize(("kind", "number"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
def test_port_in_use_names_port_purpose_and_option(kind: str, number: int) -> None:
    with socket.socket(socket.AF_INET, number) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == "tcp":
            taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UpError) as caught:
            preflight.check_ports([Port(port, kind, "0.0.0.0", "devices", "--port")])
    assert str(caught.value) == (
        f"port {port} {kind.upper()} (devices) on 0.0.0.0 is already in use; choose another with --port"
    )
    preflight.check_ports([Port(port, kind, "127.0.0.1", "devices", "--port")])


def test_taken_metrics_port_gives_another() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = preflight.free_port(port, set())
        assert other not in (0, port)
    assert preflight.free_port(port, set()) == port
    assert preflight.free_port(port, {port}) != port


def test_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UpError, match=r"cannot write the data folder: .*file.*--data"):
        preflight.prepare_data(tmp_path / "file" / "data")


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=499 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(UpError, match="499 MB free, 500 MB needed"):
        preflight.prepare_data(tmp_path / "data")


def test_one_line_a_data_folder(tmp_path: Path) -> None:
    lock = DataLock(tmp_path)
    with pytest.raises(UpError, match=rf"another `lodestream up` \(pid {os.getpid()}\) runs on the data folder"):
        DataLock(tmp_path)
    lock.release()
    DataLock(tmp_path).release()


def test_orphans_are_ended(tmp_path: Path) -> None:
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        earlier = ProcessList(tmp_path)
        earlier.add(orphan.pid)
        earlier.add(os.getpid())
        earlier.remove(os.getpid())
        assert ProcessList(tmp_path).stop_orphans(5.0) == 1
        assert orphan.wait(5) == -15
        assert ProcessList(tmp_path).stop_orphans(5.0) == 0
    finally:
        orphan.kill()
        orphan.wait()


def test_reused_pid_is_no_orphan(tmp_path: Path) -> None:
    started = psutil.Process().create_time()
    (tmp_path / "processes.json").write_text(f'{{"{os.getpid()}": {started - 100}}}')
    assert ProcessList(tmp_path).stop_orphans(1.0) == 0


# Logs


def test_rotation_keeps_one_old_log(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    logs.rotate(path, 10)
    path.write_text("0123456789")
    logs.rotate(path, 10)
    assert path.exists()
    path.write_text("0123456789A")
    logs.rotate(path, 10)
    assert not path.exists()
    assert (tmp_path / "a.log.1").read_text() == "0123456789A"


def test_cut_empties_a_log_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"x" * 100)
        logs.cut(path, 50)
        writer.write(b"after\n")
    assert path.read_bytes() == b"after\n"
    assert (tmp_path / "a.log.1").read_bytes() == b"x" * 100


def test_lines_since_are_complete_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    assert logs.lines_since(path, 0) == []
    path.write_bytes(b"old\nnew\n\nready 1")
    assert logs.lines_since(path, 4) == ["new"]
    path.write_bytes(b"\n".join(b"%d" % number for number in range(100_000)) + b"\n")
    assert logs.lines_since(path, 0)[-1] == "99999"
    assert len(logs.lines_since(path, 0)) < 50_000


def test_explain_shows_the_message_or_the_last_lines() -> None:
    wrong = ["starting", "gateway: wrong settings:", "GATEWAY_X: no such setting"]
    assert logs.explain(wrong, True) == "wrong settings:\nGATEWAY_X: no such setting"
    many = [f"line {number}" for number in range(50)]
    assert logs.explain(many, False).splitlines() == many[-12:]
    assert logs.explain(many, True).splitlines() == many[-12:]
    assert logs.explain([], False) == "it wrote nothing"
