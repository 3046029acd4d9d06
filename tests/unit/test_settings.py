"""Settings name every mistake at once, and never show a password."""

from __future__ import annotations

import pytest

from gateway.settings import PREFIX, GatewaySettings
from processors.settings import WorkerSettings
from schemas.clients.settings import SettingsError, describe, load


def test_defaults_and_values() -> None:
    assert load(GatewaySettings, PREFIX, {}) == GatewaySettings()
    settings = load(GatewaySettings, PREFIX, {"GATEWAY_PORT": "9000", "GATEWAY_REUSE_PORT": "yes", "PATH": "/bin"})
    assert (settings.port, settings.reuse_port) == (9000, True)


def test_every_bad_value_and_unknown_name_is_reported_together() -> None:
    environment = {
        "GATEWAY_PORT": "99999",
        "GATEWAY_LINGER_MS": "fast",
        "GATEWAY_REUSE_PORT": "False!",
        "GATEWAY_PROT": "1",
        "GATEWAY_LOG_LEVEL": "LOUD",
    }
    with pytest.raises(SettingsError) as caught:
        load(GatewaySettings, PREFIX, environment)
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    assert all(any(line.startswith(name + ":") for line in lines) for name in environment)
    assert "GATEWAY_PORT: 99999 is outside 0 to 65535" in lines
    assert "GATEWAY_LINGER_MS: 'fast' is not a whole number" in lines


def test_every_setting_is_described() -> None:
    rows = describe(GatewaySettings, PREFIX)
    assert len(rows) > 20
    assert all(doc for _, _, doc in rows)


def test_a_password_is_never_shown() -> None:
    settings = load(WorkerSettings, "WORKER_", {"WORKER_CLICKHOUSE_PASSWORD": "hush"})
    assert settings.clickhouse_password == "hush"
    assert "hush" not in str(describe(WorkerSettings, "WORKER_", settings))
