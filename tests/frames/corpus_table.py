"""`make frames`: the corpus of real frames through `lodestream decode`, the table by protocol, and what is disputed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from processors.decoders.registry import DECODERS

ROOT = Path(__file__).parent.parent.parent
SHARED = ROOT.parent / "shared"
DISPUTED = ROOT / "tests" / "frames" / "DISPUTED.md"


def main() -> int:
    """Exit code 1 when a case that is not disputed comes out wrong; 0 with a plain line where the corpus is absent."""
    if not (SHARED / "corpus").exists():
        print("the corpus of real frames is not here; tests/frames/<protocol>/ holds the project's own")
        return 0
    paths = [SHARED / "corpus" / "public" / f"{name}.jsonl" for name in DECODERS]
    cases = [line for path in [*paths, SHARED / "corpus" / "field" / "cases.jsonl"] for line in path.open()]
    cases = [line for line in cases if json.loads(line)["protocol"] in (*DECODERS, None)]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(cases)
        file.flush()
        command = [sys.executable, str(SHARED / "tools" / "check.py"), file.name, "--disputed", str(DISPUTED)]
        command += ["--cli", f"{Path(sys.executable).parent / 'lodestream'} decode -", "--show", "20"]
        ended = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    print(ended.stdout, end="")
    sys.stderr.write(ended.stderr)
    judged = [c for c in map(json.loads, cases) if c.get("confidence", "sure") != "open" and not c.get("config")]
    disputed = DISPUTED.read_text()
    count = sum(case["id"] in disputed for case in judged)
    print(f"{count} of {len(judged)} disputed: {100 * count / len(judged):.1f} %")
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
