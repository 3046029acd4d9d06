"""The endpoint process: `python -m deploy.local.clickhouse --path DIR [--host 127.0.0.1] [--port 8123]`.

Prints one line, `ready http://HOST:PORT`, when it can answer; ends with 0 on SIGTERM or SIGINT, and with 2 and one line
on stderr when the port or the data directory cannot be had.
"""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web

from .engine import Engine, Unavailable
from .server import DEFAULT_MAX_BODY_BYTES, Endpoint

logger = logging.getLogger(__name__)

EXIT_UNAVAILABLE = 2


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        listener = _bind(options.host, options.port)
        engine = Engine(options.path.absolute())
        asyncio.run(_serve(engine, listener, options.max_body_mib << 20))
    except Unavailable as error:
        sys.stderr.write(f"clickhouse: {error}\n")
        return EXIT_UNAVAILABLE
    if engine.lent:
        # A statement outlived the grace period. Its thread cannot be stopped and would hold up the exit for ever.
        logger.warning("statements still running at the end: %d", engine.lent)
        logging.shutdown()
        os._exit(0)
    engine.close()
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="clickhouse", description="Embedded ClickHouse on the ClickHouse HTTP interface."
    )
    parser.add_argument("--path", type=Path, required=True, help="data directory, made if missing")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; there are no users or passwords")
    parser.add_argument("--port", type=_port, default=8123, help="0 picks a free one")
    default = DEFAULT_MAX_BODY_BYTES >> 20
    parser.add_argument("--max-body-mib", type=int, default=default, help=f"largest request body (default {default})")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:  # getaddrinfo would quietly take another port
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return number


@contextmanager
def _listening_on(address: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"cannot listen on {address}: {error.strerror or error}") from error


def _bind(host: str, port: int) -> socket.socket:
    """Take the port before the engine starts, but listen after: until then clients are refused, not kept waiting."""
    with _listening_on(f"{host}:{port}"):
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    if not ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback:
        logger.warning("anybody who reaches %s can read and change all data: there are no users or passwords", host)
    return listener


async def _serve(engine: Engine, listener: socket.socket, max_body_bytes: int) -> None:
    endpoint = Endpoint(engine, max_body_bytes)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = endpoint.runner()
    await runner.setup()
    host, port = listener.getsockname()[:2]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with _listening_on(address):
        await web.SockSite(runner, listener).start()
    sys.stdout.write(f"ready http://{address}\n")
    sys.stdout.flush()
    await stop.wait()
    await runner.cleanup()
    endpoint.close()


if __name__ == "__main__":
    sys.exit(main())
