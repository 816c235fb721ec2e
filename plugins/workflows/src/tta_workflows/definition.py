"""A workflow as data: its steps, what each of them waits for, and what is done where one fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tta_kernel import Duration, PositiveDuration

Paths = Mapping[str, str]
"""Field to path: ``input.x`` of the run, or ``steps.<id>.x`` of a step's output."""

OnError = Literal["fail-fast", "retry", "skip-on-error"]
"""What a failed step does to its run: ends it, is tried again first (as its `Retry` says), or is left out."""


class Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often a step is tried: attempt n + 1 begins ``delay * factor ** (n - 1)`` s, at most ``cap``, after n failed.

    The pause is shortened at random by up to ``jitter`` of itself. ``on`` names the codes of an `AgentError` after
    which there is another attempt; without any, its ``retryable`` says so.
    """

    attempts: Annotated[int, Meta(ge=1, le=100)] = 1
    delay: Duration = 0.2
    factor: Annotated[float, Meta(ge=1, le=100)] = 2.0
    cap: Duration = 30.0
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.1
    on: tuple[str, ...] = ()


class Compensation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The call that takes a step's effect back; ``input`` may read the step's ``output.x``, which may be missing."""

    agent: str
    input: Paths = {}


class Send(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message that goes out with a step's output, once."""

    to: str
    type: str
    body: Paths = {}


class Publish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event, `WorkflowSaid`, that is published with a step's output."""

    name: str
    data: Paths = {}


class Repeat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step runs until the expression ``until`` holds of its ``output``, ``most`` times at the most."""

    until: str
    most: Annotated[int, Meta(ge=1, le=1000)]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that a run does: exactly one of ``agent`` (a type), ``capability``, ``workflow``, ``signal``, ``wait``.

    ``workflow`` runs another definition within this run; ``signal`` waits for an answer from outside, such as a
    person's; ``wait`` is a pause in seconds that outlives its process.

    ``needs`` are the steps whose outputs it waits for; left out it is the step before, and ``story?`` needs a step
    softly: the step runs also where that one was skipped. ``when`` is an expression; where it doesn't hold the step is
    skipped, and with it every step that needs it hard. ``timeout`` bounds one attempt and ``idle`` how long it may be
    silent, both in seconds. ``response`` is a JSON Schema for its output. ``fallback`` is its output where all else
    fails; the run says then that it is degraded. ``undo`` takes its effect back. ``stream`` hands its pieces on as they
    come.
    """

    id: str
    agent: str = ""
    capability: str = ""
    workflow: str = ""
    signal: str = ""
    wait: PositiveDuration | None = None
    instance: str | None = None
    needs: tuple[str, ...] | None = None
    when: str = ""
    input: Paths = {}
    timeout: PositiveDuration | None = None
    idle: PositiveDuration | None = None
    retry: Retry | None = None
    on_error: OnError | None = None
    fallback: Mapping[str, Any] | UnsetType = UNSET
    undo: Compensation | None = None
    response: Mapping[str, Any] | None = None
    repeat: Repeat | None = None
    send: tuple[Send, ...] = ()
    publish: tuple[Publish, ...] = ()
    stream: bool = False


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a finished run is kept, in seconds: its input and outputs, and its ids, times and codes."""

    content: PositiveDuration = 3600.0
    summary: PositiveDuration = 30 * 86400.0


Key = str
"""What is counted apart: ``input.x``, or the run's ``owner`` or ``session``; with none there is one count for all."""


class Concurrency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most ``limit`` runs of each ``key`` are under way at once, in all processes; the others wait to begin."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 1
    key: Key = ""


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most ``limit`` runs of each ``key`` begin within ``every`` seconds in a process; others are refused."""

    limit: Annotated[int, Meta(ge=1, le=1_000_000)]
    every: PositiveDuration
    key: Key = ""


class Debounce(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run begins ``wait`` seconds after it was started, unless another of its ``key`` was started since."""

    wait: PositiveDuration
    key: Key = ""


class Singleton(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """While a run of a ``key`` is under way in any process, whoever starts another one gets that one."""

    key: Key = ""


class Execution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What only this executor knows: another engine may ignore it, and it is no part of a definition's hash.

    ``commits``: a step begins when the journal has what came before it (``sync``), or may begin while that is being
    written (``async``): then a crash repeats steps that nobody has seen.

    ``strategy`` says in which order its calls get the slots of a pool that they wait for, and ``pool`` which that is in
    place of their agents'; ``deadline`` is in how many seconds a run's result is wanted, where nobody says otherwise.
    """

    commits: Literal["sync", "async"] = "sync"
    strategy: str = "deadline"
    pool: str = ""
    deadline: PositiveDuration | None = None
    concurrency: Concurrency | None = None
    rate: Rate | None = None
    debounce: Debounce | None = None
    singleton: Singleton | None = None


class Workflow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Steps, and what a run of them returns: ``output``, by paths.

    ``takes`` is a JSON Schema for a run's input. ``timeout`` bounds a run in all, in seconds. A run that fails is taken
    back as far as ``on_failure`` says: ``undo`` everything, ``keep`` everything, or what was committed after the step
    of that id, which must be one of ``savepoints``.
    """

    steps: Annotated[tuple[Step, ...], Meta(min_length=1)]
    version: Literal[1] = 1
    description: str = ""
    takes: Mapping[str, Any] | None = None
    output: Paths = {}
    timeout: PositiveDuration = 300.0
    on_error: OnError = "fail-fast"
    on_failure: str = "undo"
    savepoints: tuple[str, ...] = ()
    retention: Retention = Retention()
    execution: Execution = Execution()


class WorkflowUse(msgspec.Struct, frozen=True):
    """What a plugin gives to a workflow, and what it reads of its output, as Structs' fields.

    ``key`` is the key of the plugin's config that names the workflow.
    """

    workflow: str
    input: type[msgspec.Struct]
    output: type[msgspec.Struct]
    key: str = ""
