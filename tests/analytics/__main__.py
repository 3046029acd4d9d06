"""`make bench-analytics`: reports over a made history in the embedded engine, beside a live insert load, and its size.

    python -m tests.analytics [--positions N] [--devices N] [--folder DIR] [--out FILE]

The history: see made.sql. Each question is asked as `lodestream report` asks it, over HTTP; times are those until the rows
are in Python, the median and the largest of several. Ends with 1 when a bound is missed that holds for the full size.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import tempfile
from pathlib import Path

from tests.analytics.measure import Size, run
from tests.bench import machine


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bench-analytics", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--positions", type=int, default=100_000_000, help="size of the history (default 100 million)")
    parser.add_argument("--devices", type=int, default=10_000, help="devices (default 10,000)")
    parser.add_argument(
        "--folder", help="where the data are kept; a finished history there is used again; else temporary"
    )
    parser.add_argument("--out", help="JSON file; default bench-analytics-<time>.json")
    options = parser.parse_args()
    about = machine.describe()
    print(machine.line(about), flush=True)
    with tempfile.TemporaryDirectory(prefix="lodestream-analytics-") as temporary:
        result = run(Path(options.folder or temporary), Size(options.positions, options.devices), print)
    at = dt.datetime.now(dt.UTC)
    path = Path(options.out or f"bench-analytics-{at:%Y%m%dT%H%M%SZ}.json")
    path.write_text(json.dumps({"at": at.isoformat(timespec="seconds"), "machine": about} | result, indent=1) + "\n")
    print(f"written to {path}")
    return 1 if result["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
