"""How a process of ours begins: options, settings from the environment, log. A mistake of the user is one message."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import Any, TypeVar

from schemas.clients.settings import SettingsError, describe, load

T = TypeVar("T")
EXIT_USAGE = 2


def begin(
    program: str, description: str, example: str, settings_class: type[T], prefix: str, arguments: list[str] | None
) -> T:
    """Parse the command line and the environment, set up logging; returns the settings.

    Raises SystemExit: 0 after --help or --print-settings, EXIT_USAGE after naming every wrong setting on stderr.
    """
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=f"Settings come from the environment; --print-settings lists them. Example: {example}",
    )
    parser.add_argument("--print-settings", action="store_true", help="show every setting with its value and meaning")
    options = parser.parse_args(arguments)
    try:
        settings: Any = load(settings_class, prefix, os.environ)
    except SettingsError as error:
        sys.stderr.write(f"{program}: wrong settings:\n{error}\n")
        raise SystemExit(EXIT_USAGE) from None
    if options.print_settings:
        for name, value, doc in describe(settings_class, prefix, settings):
            sys.stdout.write(f"{name}={value}\n    {doc}\n")
        raise SystemExit(0)
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("aiokafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    found: T = settings
    return found
