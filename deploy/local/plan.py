"""What `lodestream up` is going to run: options, ports, processes with commands and settings, addresses to show."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.local.errors import UpError
from deploy.local.preflight import ALL, LOOPBACK, Port, free_port
from deploy.local.supervisor import Spec
from processors.sinks.webhook import check_url
from schemas.topics import DEFAULT_PARTITIONS

ROOT = Path(__file__).resolve().parents[2]
METRICS_PORTS = {"gateway": 9101, "track": 9102, "sink": 9103, "webhook": 9104}
SECRET = "LODESTREAM_WEBHOOK_SECRET"
"""The variable that holds the key of a webhook's signatures; only the webhook worker sees it."""
MOST_DEVICES = 10_000
FLEET_RATE_HZ = 0.5
DOWNLOAD_S = 3600.0
_ADDRESSES_SHOWN = 2


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command.

    data: folder of everything; port: of the devices, TCP and UDP; devices: of the simulated fleet, 0 for none;
    speed_limit: km/h for all devices, 0 for none; webhook: where events are posted, empty for nowhere; plain: lines
    instead of a live screen.
    """

    data: str = "data"
    port: int = 8888
    kafka_port: int = 9092
    clickhouse_port: int = 8123
    devices: int = 20
    speed_limit: float = 110.0
    webhook: str = ""
    plain: bool = False

    def check(self) -> None:
        """Raises UpError that names every wrong option."""
        wrong = []
        ports = {"--port": self.port, "--kafka-port": self.kafka_port, "--clickhouse-port": self.clickhouse_port}
        wrong += [
            f"{name} {port} is no port number (1 to 65535)" for name, port in ports.items() if not 0 < port < 65536
        ]
        if len(set(ports.values())) < len(ports):
            wrong.append(f"{', '.join(ports)} must differ")
        if not 0 <= self.devices <= MOST_DEVICES:
            wrong.append(f"--simulate {self.devices} is not within 0 to {MOST_DEVICES}")
        if not 0 <= self.speed_limit <= 1000:
            wrong.append(f"--speed-limit {self.speed_limit:g} is not within 0 to 1000 km/h")
        if self.webhook:
            try:
                check_url(self.webhook)
            except ValueError as error:
                wrong.append(f"--webhook: {error}")
        if wrong:
            raise UpError("\n".join(wrong))


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything decided before the start. metrics_urls: by role; places: what to show, name and text."""

    data: Path
    bootstrap: str
    clickhouse_url: str
    metrics_urls: dict[str, str]
    ports: list[Port]
    specs: list[Spec]
    places: list[tuple[str, str]]


def make_plan(options: Options, data: Path) -> Plan:
    """Choose metrics ports and put all commands together; nothing is started."""
    ports = [
        Port(options.port, "tcp", ALL, "devices", "--port"),
        Port(options.port, "udp", ALL, "devices", "--port"),
        Port(options.kafka_port, "tcp", LOOPBACK, "Kafka", "--kafka-port"),
        Port(options.clickhouse_port, "tcp", LOOPBACK, "ClickHouse", "--clickhouse-port"),
    ]
    taken = {port.number for port in ports}
    metrics: dict[str, int] = {}
    roles = [role for role in METRICS_PORTS if role != "webhook" or options.webhook]
    for role, wanted in ((role, METRICS_PORTS[role]) for role in roles):
        metrics[role] = free_port(wanted, taken)
        taken.add(metrics[role])
    bootstrap = f"{LOOPBACK}:{options.kafka_port}"
    url = f"http://{LOOPBACK}:{options.clickhouse_port}"
    metrics_urls = {role: f"http://{LOOPBACK}:{port}/metrics" for role, port in metrics.items()}
    specs = _specs(options, data, metrics)
    return Plan(data, bootstrap, url, metrics_urls, ports, specs, _places(options, data, url, bootstrap, metrics_urls))


def _specs(options: Options, data: Path, metrics: dict[str, int]) -> list[Spec]:
    kafka = {"KAFKA_BOOTSTRAP": f"{LOOPBACK}:{options.kafka_port}", "KAFKA_PARTITIONS": str(DEFAULT_PARTITIONS)}
    store = {"CLICKHOUSE_URL": f"http://{LOOPBACK}:{options.clickhouse_port}", "CLICKHOUSE_DATABASE": "lodestream"}
    store |= {"CLICKHOUSE_USER": "", "CLICKHOUSE_PASSWORD": ""}
    environment = {name: value for name, value in os.environ.items() if name != SECRET}

    def python(name: str, title: str, *arguments: str, ready: str = "ready ", timeout_s: float = 60.0) -> Spec:
        return Spec(name, title, [sys.executable, "-m", *arguments], dict(environment), ROOT, ready, timeout_s)

    def worker(role: str, own: dict[str, str]) -> Spec:
        settings = kafka | own | {"ROLE": role, "ID": "0", "METRICS_PORT": str(metrics[role])}
        return _with(python(role, f"{role.capitalize()} worker", "processors"), "WORKER_", settings, {})

    server = ("--host", LOOPBACK, "--port", str(options.clickhouse_port))
    gateway = kafka | {"HOST": ALL, "PORT": str(options.port), "METRICS_PORT": str(metrics["gateway"])}
    specs = [
        python(
            *("kafka", "Kafka", "deploy.local.kafka", "--data", str(data / "kafka"), "--port", str(options.kafka_port)),
            timeout_s=DOWNLOAD_S,  # it has time limits of its own for all but the downloads
        ),
        python("clickhouse", "ClickHouse", "deploy.local.clickhouse", "--path", str(data / "clickhouse"), *server),
        _with(python("gateway", "Gateway", "gateway"), "GATEWAY_", gateway, {"ID": "local", "DRAIN_S": "2"}),
        worker("track", {"SPEED_LIMIT_KMH": f"{options.speed_limit:g}"}),
        worker("sink", store),
    ]
    if options.webhook:
        receiver = {"WEBHOOK_URL": options.webhook}
        if SECRET in os.environ:
            receiver["WEBHOOK_SECRET"] = os.environ[SECRET]
        specs.append(worker("webhook", receiver))
    if options.devices:
        fleet = ("--devices", str(options.devices), "--port", str(options.port), "--rate-hz", str(FLEET_RATE_HZ))
        specs.append(python("fleet", "Simulated fleet", "deploy.simulator", *fleet, "--duration-s", "0", ready=""))
    return specs


def _with(spec: Spec, prefix: str, settings: dict[str, str], defaults: dict[str, str]) -> Spec:
    """Add settings that must hold, and defaults that the environment may have set otherwise."""
    for name, value in defaults.items():
        spec.environment.setdefault(prefix + name, value)
    spec.environment.update({prefix + name: value for name, value in settings.items()})
    return spec


def _places(
    options: Options, data: Path, url: str, bootstrap: str, metrics_urls: dict[str, str]
) -> list[tuple[str, str]]:
    addresses = " or ".join(_addresses()) or "this machine's address"
    fleet = f"{options.devices} simulated ones report here" if options.devices else "none is simulated"
    return [
        ("devices", f"{addresses} port {options.port}, TCP and UDP, any protocol ({fleet})"),
        ("ClickHouse", f"curl {url} -d 'SELECT * FROM lodestream.latest FORMAT Vertical'"),
        ("Kafka", bootstrap),
        *([("webhook", check_url(options.webhook))] if options.webhook else []),
        ("metrics", _metrics(metrics_urls)),
        ("logs", str(data / "logs")),
    ]


def _metrics(urls: dict[str, str]) -> str:
    """The first page in full, of the others what differs."""
    (first, url), *others = urls.items()
    short = [f"{role} :{other.rpartition(':')[2].partition('/')[0]}" for role, other in others]
    return ", ".join([f"{first} {url}", *short])


def _addresses() -> list[str]:
    """IPv4 addresses under which devices can reach this machine, the first few."""
    found = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family.name == "AF_INET" and not address.address.startswith(("127.", "169.254."))
    ]
    return found[:_ADDRESSES_SHOWN]
