"""The `lodestream` command. Each command imports what it needs when it runs, so that --help and decode start at once."""

from __future__ import annotations

import sys
from typing import Any

import click

from deploy.cli.derive_commands import derive
from deploy.cli.doctor.commands import doctor
from deploy.cli.events_commands import events
from deploy.cli.frames_commands import frames
from deploy.cli.listen_commands import listen
from deploy.cli.options import BOOTSTRAP, CLICKHOUSE
from deploy.cli.rejected_commands import rejected
from deploy.cli.replay_commands import replay
from deploy.cli.report.commands import report
from deploy.cli.rules_commands import devices, geofences, groups
from deploy.cli.status.commands import status
from schemas.topics import DEFAULT_PARTITIONS, TOPICS

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(context_settings=CONTEXT)
@click.version_option("0.1.0", prog_name="lodestream")
def cli() -> None:
    """Every GPS tracker on one port: durable ingest, decoding, events and analytics.

    \b
    Try it on this machine:     lodestream up
    Look at a frame:            echo 28...29 | lodestream decode -
    Follow what is decoded:     lodestream tail positions --device 0880123456
    """


@cli.command()
@click.option(
    "--data", default="data", show_default=True, type=click.Path(file_okay=False), help="Where everything is kept."
)
@click.option("--port", default=8888, show_default=True, help="Port of the devices, TCP and UDP.")
@click.option("--kafka-port", default=9092, show_default=True, help="Port of the local Kafka.")
@click.option("--clickhouse-port", default=8123, show_default=True, help="Port of the local ClickHouse endpoint.")
@click.option(
    "--simulate",
    "devices",
    default=20,
    show_default=True,
    envvar="SIMULATE",
    help="Devices of the simulated fleet; 0: none. Also SIMULATE in the environment.",
)
@click.option("--speed-limit", default=110.0, show_default=True, help="Speed limit of all devices, km/h; 0: none.")
@click.option(
    "--webhook", default="", metavar="URL", help="Post the events there, signed with LODESTREAM_WEBHOOK_SECRET if set."
)
@click.option("--plain", is_flag=True, help="Lines instead of a live display (also when the output is no terminal).")
def up(**options: Any) -> None:
    """Run the whole line on this machine: Kafka, ClickHouse, gateway, workers.

    Ctrl-C stops all of it; the next start goes on with the same data.

    \b
    Example: lodestream up --simulate 0 --data /var/lib/lodestream
    """
    from deploy.local.up import Options, run

    sys.exit(run(Options(**options)))


@cli.command()
@click.option("--print-settings", is_flag=True, help="Show every setting with its value and meaning.")
def gateway(print_settings: bool) -> None:
    """Run a gateway: accept devices on one port, publish their frames to Kafka.

    \b
    Settings come from the environment (GATEWAY_*).
    Example: GATEWAY_PORT=8888 GATEWAY_KAFKA_BOOTSTRAP=kafka:9092 lodestream gateway
    """
    from gateway.__main__ import main as run

    sys.exit(run(["--print-settings"] if print_settings else []))


@cli.command()
@click.option("--print-settings", is_flag=True, help="Show every setting with its value and meaning.")
def worker(print_settings: bool) -> None:
    """Run a worker: decode and derive (role track), store in ClickHouse (role sink), post events (role webhook).

    \b
    Settings come from the environment (WORKER_*).
    Example: WORKER_ROLE=sink WORKER_ID=1 lodestream worker
    Example: WORKER_ROLE=webhook WORKER_WEBHOOK_URL=https://example.org/events lodestream worker
    """
    from processors.__main__ import main as run

    sys.exit(run(["--print-settings"] if print_settings else []))


@cli.command()
@CLICKHOUSE
@click.option("--user", default="", help="ClickHouse user.")
@click.option("--password", default="", envvar="LODESTREAM_CLICKHOUSE_PASSWORD", help="ClickHouse password.")
@click.option("--dry-run", is_flag=True, help="Say what would be applied.")
def migrate(url: str, user: str, password: str, dry_run: bool) -> None:
    """Create or update the ClickHouse tables and views; says what it applied.

    \b
    Example: lodestream migrate --clickhouse http://clickhouse:8123
    """
    from deploy.cli.store import migrate as run

    sys.exit(run(url, user, password, dry_run))


@cli.group()
def topics() -> None:
    """Create, list and repair the Kafka topics."""


@topics.command("create")
@BOOTSTRAP
@click.option(
    "--partitions", default=DEFAULT_PARTITIONS, show_default=True, help="Partitions of frames and its siblings."
)
@click.option("--replication", default=1, show_default=True, help="Replicas of each partition; 3 in a cluster.")
def topics_create(bootstrap: str, partitions: int, replication: int) -> None:
    """Create the topics that are missing.

    \b
    Example: lodestream topics create --partitions 16 --replication 3
    """
    from deploy.cli.topics import create

    sys.exit(create(bootstrap, partitions, replication))


@topics.command("list")
@BOOTSTRAP
def topics_list(bootstrap: str) -> None:
    """Show each topic: what it holds, partitions, records.

    \b
    Example: lodestream topics list
    """
    from deploy.cli.topics import show

    sys.exit(show(bootstrap))


@topics.command("repair")
@BOOTSTRAP
@click.option("--group", default="lodestream", show_default=True, help="Prefix of the consumer groups.")
def topics_repair(bootstrap: str, group: str) -> None:
    """Put the track group's committed offsets back to what was really processed (workers must be stopped).

    For a worker that stopped with exit code 71: somebody committed past records that were never processed.

    \b
    Example: lodestream topics repair
    """
    from deploy.cli.topics import repair

    sys.exit(repair(bootstrap, group))


@cli.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--text", is_flag=True, help=r"Lines are text, not hex; \r \n \t \0 and \xNN are understood.")
@click.option("--explain", "explained", is_flag=True, help="Add to each frame which bytes mean what.")
def decode(file: Any, text: bool, explained: bool) -> None:
    """Show what the port would make of bytes: frames, device, reply, positions. Needs no services.

    One chunk a line: hex, or text with --text, or JSON {"hex": …, "session": …, "transport": "tcp|udp",
    "received_ms": …}. One JSON line comes out per line, and one per session at the end for what it still held.

    \b
    Example: echo 283038...29 | lodestream decode -
    Example: lodestream decode --explain frames.txt | jq '.frames[].explain[]'
    Example: echo '*HQ,8800123456,V1,101112,A,5130.2500,N,00007.6500,W,019.71,045,150126,FFFFFFFF#' |
             lodestream decode --text -
    """
    from deploy.cli.decode import run

    sys.exit(run(file, sys.stdout, text, explained))


@cli.command()
@click.option("--devices", default=10, show_default=True, help="How many trackers.")
@click.option(
    "--rate", default=1.0, show_default=True, help="Frames a second and device; 0: as fast as they are answered."
)
@click.option("--protocol", "protocols", default="tk103,h02", show_default=True, help="Protocols, separated by commas.")
@click.option("--transport", default="tcp", show_default=True, type=click.Choice(["tcp", "udp"]))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8888, show_default=True)
@click.option("--duration", "duration_s", default=10.0, show_default=True, help="Seconds; 0: until Ctrl-C.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same fleet and routes.")
@click.option("--frames", default=0, show_default=True, help="Frames of each device at most; 0: no limit.")
@click.option("--prebuild", default=0, show_default=True, help="Frames of each device made before the clock starts.")
@click.option("--ramp", "ramp_per_s", default=500.0, show_default=True, help="New connections a second.")
@click.option(
    "--timeout", "timeout_s", default=30.0, show_default=True, help="Seconds until a reply counts as missing."
)
@click.option(
    "--window", default=0, show_default=True, help="Unanswered frames on a connection; 0: 1 or 8, as it fits."
)
@click.option("--processes", default=1, show_default=True, help="Processes that share the fleet.")
@click.option(
    "--ledger", type=click.Path(dir_okay=False), help="Write every answered frame to this file, a JSON line each."
)
@click.option("--format", "form", default="text", show_default=True, type=click.Choice(["text", "json"]))
def simulate(**options: Any) -> None:
    """Drive a simulated fleet over real sockets, check every reply, report latencies; exit 1 when one is wrong or missing.

    \b
    Example: lodestream simulate --devices 500 --rate 2 --protocol tk103 --duration 60
    """
    from deploy.cli.simulate import run

    sys.exit(run(options))


@cli.command()
@click.argument("topic", type=click.Choice(sorted(TOPICS)))
@BOOTSTRAP
@click.option("--device", default="", help="Only rows of this device_id.")
@click.option("--protocol", default="", help="Only rows of this protocol.")
@click.option("--from-start", is_flag=True, help="From the oldest record; else what comes from now on.")
@click.option("--no-follow", is_flag=True, help="Stop at the present end.")
@click.option("--limit", default=0, help="Stop after so many rows; 0: never.")
def tail(**options: Any) -> None:
    """Print the rows of a topic, decoded, one JSON line each, live.

    \b
    Example: lodestream tail positions --device 354188012345678
    Example: lodestream tail rejected --from-start --no-follow
    """
    from deploy.cli.tail import run

    sys.exit(run(**options))


for command in (derive, devices, groups, geofences, events, replay, rejected, frames, report, listen, doctor, status):
    cli.add_command(command)


def main() -> None:
    """Entry point; a broken pipe or Ctrl-C is no traceback."""
    try:
        cli.main(prog_name="lodestream", standalone_mode=True)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
