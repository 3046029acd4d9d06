"""`make bench`: what the line costs and how fast it is, on this machine, as a table and as JSON.

    python -m tests.bench [PART ...] [--seconds N] [--devices N] [--out FILE]

Without parts all run. micro: microseconds per frame of each stage. derive: step() and the geofence index. replay: frames
decoded again. recovery: a worker that loads 100,000 devices. line: a simulated fleet over loopback into the whole line,
until every frame is queryable. idle: one device, one frame a second. connections: memory of 5,000 idle ones.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench import derive, line, machine, micro, recovery, replay

PARTS = ("micro", "derive", "replay", "recovery", "line", "idle", "connections")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which parts; default all")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each load")
    parser.add_argument("--devices", type=int, default=1500, help="devices of the saturating load")
    parser.add_argument("--out", help="JSON file; default bench-<time>.json")
    options = parser.parse_args()
    parts = options.parts or PARTS
    result: dict[str, Any] = {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
    }
    print(machine.line(result["machine"]))
    with tempfile.TemporaryDirectory(prefix="lodestream-bench-") as folder:
        if "micro" in parts:
            result["micro"] = micro.run()
        if "derive" in parts:
            result["derive"] = derive.run()
        if "replay" in parts:
            result["replay"] = replay.run()
        if "recovery" in parts:
            result["recovery"] = recovery.run(Path(folder) / "recovery")
        if "line" in parts:
            result["line"] = line.throughput(Path(folder) / "line", options.devices, options.seconds)
        if "idle" in parts:
            result["idle"] = line.idle(Path(folder) / "idle", min(options.seconds, 30.0))
        if "connections" in parts:
            result["connections"] = line.connections(Path(folder) / "connections", 5000)
    path = Path(options.out or f"bench-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}.json")
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
