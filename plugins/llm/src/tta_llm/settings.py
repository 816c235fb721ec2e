"""What a deployment says of its models: which there are, how long they may take, and what they may cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tta_kernel import Duration, PositiveDuration, Size

ModelName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}/[^\s/][^\s]{0,136}$", max_length=200)]
"""``endpoint/model``: the endpoint is the backend's word, and all after the first slash is the server's."""
Alias = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]*$", max_length=64)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Price = Annotated[float, Meta(ge=0, le=1_000_000)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a call may take: to reach the server, until the first piece, between two, and in all.

    ``total`` is for everything that belongs to one answer: its turn in the queue, tries, tools and the repair.
    ``queue`` is how long a request waits for its turn.
    """

    connect: PositiveDuration = 5.0
    first: PositiveDuration = 30.0
    idle: PositiveDuration = 15.0
    total: PositiveDuration = 120.0
    queue: Duration = 10.0


class Retries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often a model is asked again that fails before its first piece, and how long is waited before that.

    It is a random part of ``pause``, twice as long each time, and of ``longest`` at most. Where a server says when, it
    is that, if that is no longer than ``patience``; otherwise the next model is asked.
    """

    times: Annotated[int, Meta(ge=0, le=10)] = 2
    pause: PositiveDuration = 0.5
    longest: PositiveDuration = 8.0
    patience: Duration = 10.0


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one model is used.

    ``concurrent`` requests at once and ``per_minute`` in a minute, of this process; ``queue`` more may wait. ``answer``
    tokens it may write where a request doesn't say, and ``window`` tokens it holds, of question and answer together.
    ``price_in`` and ``price_out`` are money for a million tokens of question and answer.
    """

    concurrent: Annotated[int, Meta(ge=1, le=10_000)] = 4
    per_minute: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    queue: Annotated[int, Meta(ge=0, le=100_000)] = 64
    answer: Count = 512
    window: Count | None = None
    price_in: Price = 0.0
    price_out: Price = 0.0


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much may be spent ``per`` session, per user, or by all together, within each ``window``.

    Windows are counted from the epoch, so that one of a day begins at midnight UTC. ``always``: it counts for every
    request that has such a session or user; otherwise only for those that name it.
    """

    per: Literal["session", "user", "all"]
    most_tokens: Count | None = None
    most_money: Annotated[float, Meta(gt=0, le=1_000_000_000)] | None = None
    window: Annotated[PositiveDuration, Meta(le=366 * 86_400)] = 86_400.0
    always: bool = True


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``model`` is who is asked where a request names none: an alias or a model.

    ``aliases`` are chains of models: the first that can be used answers. ``models`` are settings by ``endpoint/model``,
    or ``endpoint/*``. ``rounds``: how often one answer may call tools, ``calls`` of them at most each time.
    ``most_request`` bytes and ``most_answer`` characters bound what is sent and what is read. ``keep_keys``: for how
    long a repeat of a key isn't charged. ``store_limit``: how long the store of budgets may take.
    """

    model: Annotated[str, Meta(max_length=200)] = ""
    aliases: Mapping[Alias, Annotated[tuple[ModelName, ...], Meta(min_length=1, max_length=16)]] = {}
    models: Mapping[Annotated[str, Meta(max_length=200)], ModelSettings] = {}
    limits: Limits = Limits()
    retries: Retries = Retries()
    budgets: Mapping[Alias, Budget] = {}
    rounds: Annotated[int, Meta(ge=0, le=16)] = 4
    calls: Annotated[int, Meta(ge=1, le=64)] = 8
    most_request: Annotated[Size, Meta(ge=1024, le=2**26)] = 2**20
    most_answer: Annotated[int, Meta(ge=1, le=10_000_000)] = 200_000
    keep_keys: PositiveDuration = 3600.0
    store_limit: PositiveDuration = 2.0

    def settings_of(self, model: str) -> ModelSettings:
        """Return the settings of a model: its own, its endpoint's, or the defaults."""
        endpoint = f"{model.partition('/')[0]}/*"
        return self.models.get(model) or self.models.get(endpoint) or _DEFAULT


_DEFAULT = ModelSettings()
