"""llm-guard's scanner of patterns, in an environment of its own: reads patterns and texts, and writes seconds."""

from __future__ import annotations

import json
import sys
import time

from llm_guard.input_scanners import Regex  # type: ignore[import-not-found]


def main() -> None:
    """Scan each text once; the last line says how long each took, in seconds of the processor."""
    told = json.load(sys.stdin)
    scanner = Regex(patterns=[f"(?i){it}" for it in told["patterns"]], is_blocked=True, redact=False)
    took = []
    for text in told["texts"]:
        began = time.thread_time()
        scanner.scan(text)
        took.append(time.thread_time() - began)
    print(json.dumps(took))


if __name__ == "__main__":
    main()
