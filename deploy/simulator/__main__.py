"""`python -m deploy.simulator`: the same run as `lodestream simulate`, with every option of Options by its name."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields

from deploy.simulator.options import Options, SimulatorError
from deploy.simulator.runner import run_blocking


def _show(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main() -> int:
    """Exit code 0 when every reply came and was right, 1 when not, 2 when the run could not begin."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.simulator",
        description=Options.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = Options()
    for entry in fields(Options):
        value = getattr(defaults, entry.name)
        flag = "--" + entry.name.replace("_", "-")
        if entry.name == "protocols":
            parser.add_argument(flag, type=lambda names: tuple(names.split(",")), default=value)
        else:
            parser.add_argument(flag, type=str if value is None else type(value), default=value)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--progress", action="store_true", help="a line each second on stderr")
    given = vars(parser.parse_args())
    as_json, progress = given.pop("format") == "json", given.pop("progress")
    try:
        result = run_blocking(Options(**given), (lambda so_far: _show(so_far.line())) if progress else None)
    except SimulatorError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write((json.dumps(result.to_dict()) if as_json else result.table()) + "\n")
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
