"""What a deployment says of tools: how large they may be, how long things take, and what is kept."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tta_kernel import Duration, PositiveDuration, Size

from .isolated import IsolationConfig

Count = Annotated[int, Meta(ge=1, le=100_000)]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``max_params`` and ``max_schema_depth`` bound a declaration, ``max_arguments`` and ``max_output`` a call.

    ``timeout``: how long a call may take of which neither its tool nor the policy says more. ``cache_max_items`` tools
    are looked up in memory, for up to ``cache_ttl``; what another process changes is noticed within ``poll`` at most.
    ``max_idle``: how long nobody may have used a tool before it is deprecated, and ``prune_after`` how much longer
    before it is deleted; looked at each ``cleanup_every``. ``report_every``: how often figures go to the store.

    ``build_lease``: how long a build is somebody's who isn't heard of; ``build_wait``: how long others wait for it.
    ``keep_keys``: how long a call is made only once under its key. ``approval_ttl``: how long an approval holds where
    the policy doesn't say. ``store_limit``: how long the store may take. ``callers``: for how many pairs of tool and
    principal rates are counted at once.

    ``isolation`` is for tools that run in a process of their own.

    ``allow_tool_execution`` serves ``POST /tools/execute``, for the tools of ``allowed_tools``: names, ``kg.*``, or
    ``*``; ``execute_per_minute`` bounds it for each tool and principal, ``execute_timeout`` each call.
    """

    max_params: Annotated[int, Meta(ge=0, le=256)] = 16
    max_schema_depth: Annotated[int, Meta(ge=1, le=32)] = 5
    max_arguments: Annotated[Size, Meta(ge=2, le=2**24)] = 65_536
    max_output: Annotated[Size, Meta(ge=2, le=2**26)] = 262_144
    timeout: PositiveDuration = 30.0
    cache_max_items: Count = 512
    cache_ttl: Duration = 300.0
    poll: PositiveDuration = 2.0
    max_idle: PositiveDuration = 86_400.0
    prune_after: Duration = 7 * 86_400.0
    cleanup_every: PositiveDuration = 600.0
    report_every: PositiveDuration = 10.0
    build_lease: PositiveDuration = 30.0
    build_wait: Duration = 30.0
    keep_keys: PositiveDuration = 86_400.0
    approval_ttl: PositiveDuration = 3600.0
    store_limit: PositiveDuration = 2.0
    callers: Count = 10_000
    isolation: IsolationConfig = IsolationConfig()
    allow_tool_execution: bool = False
    allowed_tools: tuple[str, ...] = ()
    execute_per_minute: Annotated[int, Meta(ge=1, le=100_000)] = 30
    execute_timeout: PositiveDuration = 10.0
