"""A run as a test: a file that replays it without its agents, and that holds what persons have said in it."""

from __future__ import annotations

import os
import re
from ast import literal_eval
from base64 import b64encode
from pathlib import Path
from pprint import pformat
from typing import Any

import msgspec

from .journal import Journalled

_TEST = '''\
"""The run {id} of workflow {workflow}, replayed without its agents: it holds what persons have said."""

from __future__ import annotations

import anyio
import msgspec

from tta_workflows.testing.replay import Recorded, outcome, replay

RUN = {run}


def test_the_run_comes_to_what_it_came_to() -> None:
    recorded = msgspec.convert(RUN, Recorded)
    assert anyio.run(replay, recorded) == outcome(recorded)
'''


def as_test(found: Journalled, definition: bytes) -> str:
    """Return the source of a test that replays a run."""
    told = {
        "head": msgspec.to_builtins(found.head),
        "definition": b64encode(definition).decode(),
        "records": [msgspec.to_builtins(record) for record in found.records],
    }
    head = found.head
    # Names come from outside, and stand in the file's own words.
    id, workflow = (re.sub(r"[^\w.:-]", "_", name) for name in (head.id, head.workflow))
    return _TEST.format(id=id, workflow=workflow, run=_literal(told))


def _literal(told: dict[str, Any]) -> str:
    """Return an expression for it: a literal that people can read, or packed, where no literal says it.

    What agents and persons give may be no number, or nested more deeply than Python reads brackets.
    """
    try:
        text = pformat(told, width=110, sort_dicts=False)
        if literal_eval(text) == told:
            return text
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        pass
    return f'msgspec.msgpack.decode(bytes.fromhex("{msgspec.msgpack.encode(told).hex()}"))'


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner may read; raise FileExistsError where there is one of that name."""
    # Its mode from the beginning, and whatever the umask: there is no moment at which others may read it.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
