"""Who asks, whatever they show: keys, tokens, certificates, or nothing; and what becomes of those who prove nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import anyio
import msgspec
import pytest
from msgspec.structs import replace

from tta_access import (
    AccessDenied,
    AccessError,
    Authenticator,
    Config,
    Credentials,
    Denied,
    Key,
    KeyStore,
    MemoryKeys,
    digest_of,
    new_key,
)
from tta_access.authenticator import MOST_KNOWN
from tta_http import PUBLIC, TEXT
from tta_kernel import Event
from tta_kernel.testing.strangers import LIMIT, Outcome, Stranger, strangers

GIVEN = "9f8a1b6c5d4e3f2a7b0c8d9e1f2a3b4c"


class Clocks:
    """Two clocks that a test moves: the monotonic one, and that on the wall."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1e9 + self.now


class Counting(MemoryKeys):
    """Counts how often it is asked for a key."""

    def __init__(self, clocks: Clocks) -> None:
        super().__init__(clocks.wall)
        self.asked = 0
        self.uses: list[Mapping[str, float]] = []

    async def find(self, digest: str) -> Key | None:
        self.asked += 1
        return await super().find(digest)

    async def used(self, uses: Mapping[str, float]) -> None:
        self.uses.append(uses)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def store(clocks: Clocks) -> Counting:
    return Counting(clocks)


@pytest.fixture
def told() -> list[Event]:
    return []


def config(**given: Any) -> Config:
    return msgspec.convert(given, Config)


def make(
    store: KeyStore, clocks: Clocks, told: list[Event], limit: float = 60.0, **given: Any
) -> Authenticator:  # fmt: skip
    return Authenticator(
        config(**given), store, publish=told.append, clock=clocks.monotonic, wall=clocks.wall, limit=limit
    )


async def add_key(store: KeyStore, clocks: Clocks, name: str = "probe", *roles: str, **given: float) -> tuple[str, str]:
    id, key = new_key()
    found = Key(
        id=id, name=name, roles=roles or ("viewer",), digest=digest_of(key), created_at=clocks.wall(),
        expires_at=given.get("expires_at"),
    )  # fmt: skip
    await store.add(found)
    return id, key


def bearer(key: str, peer: str = "192.0.2.1") -> Credentials:
    return Credentials(authorization=f"Bearer {key}", peer=peer)


async def denied(access: Authenticator, credentials: Credentials) -> Denied:
    with pytest.raises(Denied) as caught:
        await access.authenticate(credentials)
    return caught.value


async def test_a_key_opens_what_its_roles_permit(store: Counting, clocks: Clocks, told: list[Event]) -> None:
    access = make(store, clocks, told)
    _, key = await add_key(store, clocks, "probe", "viewer")
    who = await access.authenticate(bearer(key))
    assert (who.name, who.kind, who.roles) == ("probe", "key", ("viewer",))
    assert access.allowed(who, "runs:read")
    assert not access.allowed(who, "runs:cancel")
    assert not access.allowed(who, "audit:inspect")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_key_is_read_from_either_header(
    store: Counting, clocks: Clocks, told: list[Event], scheme: str
) -> None:
    access = make(store, clocks, told)
    _, key = await add_key(store, clocks)
    assert (await access.authenticate(Credentials(authorization=f"{scheme} {key}"))).name == "probe"
    assert (await access.authenticate(Credentials(diag_key=key))).name == "probe"


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
async def test_no_role_that_is_shipped_opens_what_people_wrote(
    store: Counting, clocks: Clocks, told: list[Event], role: str
) -> None:
    access = make(store, clocks, told)
    _, key = await add_key(store, clocks, "probe", role)
    who = await access.authenticate(bearer(key))
    assert not access.allowed(who, TEXT)
    assert access.allowed(who, "runs:read")
    assert access.allowed(who, PUBLIC)


async def test_a_role_of_ones_own_opens_just_what_it_names(store: Counting, clocks: Clocks, told: list[Event]) -> None:
    access = make(store, clocks, told, roles={"reader": [TEXT]})
    _, key = await add_key(store, clocks, "probe", "reader")
    who = await access.authenticate(bearer(key))
    assert access.allowed(who, TEXT)
    assert not access.allowed(who, "runs:read")


async def test_a_role_that_config_has_no_more_permits_nothing(
    store: Counting, clocks: Clocks, told: list[Event]
) -> None:
    access = make(store, clocks, told)
    _, key = await add_key(store, clocks, "probe", "gone")
    who = await access.authenticate(bearer(key))
    assert who.permissions == frozenset()


@pytest.mark.parametrize("permission", ["", "runs", "runs:", "*", "*:*", "runs:*", "x" * 10_000, "\ud800:read"])
async def test_what_is_no_permission_is_not_allowed_even_to_an_admin(
    store: Counting, clocks: Clocks, told: list[Event], permission: str
) -> None:
    access = make(store, clocks, told)
    nobody = await access.authenticate(Credentials())
    assert not access.allowed(nobody, permission)


async def test_without_credentials_a_caller_is_anonymous_on_loopback_too(
    store: Counting, clocks: Clocks, told: list[Event]
) -> None:
    access = make(store, clocks, told)
    for peer in ("127.0.0.1", "::1", "", "192.0.2.1"):
        who = await access.authenticate(Credentials(peer=peer))
        assert (who.kind, who.permissions) == ("anonymous", frozenset())
        assert not access.allowed(who, "runs:read")


async def test_the_anonymous_role_lets_everybody_read(store: Counting, clocks: Clocks, told: list[Event]) -> None:
    access = make(store, clocks, told, anonymous_role="viewer")
    who = await access.authenticate(Credentials())
    assert access.allowed(who, "runs:read")
    assert not access.allowed(who, "runs:cancel")


async def test_a_wrong_key_is_not_anonymous_but_denied(store: Counting, clocks: Clocks, told: list[Event]) -> None:
    access = make(store, clocks, told, anonymous_role="viewer")
    problem = await denied(access, bearer("ttak_wrong"))
    assert (problem.code, problem.reason) == ("unauthenticated", "unknown-key")


async def test_whoever_was_known_a_moment_ago_is_recalled_and_nobody_else(
    store: Counting, clocks: Clocks, told: list[Event]
) -> None:
    access = make(store, clocks, told, cache_ttl=1.0, mtls={"DNS:ops.example": ["operator"]})
    id, key = await add_key(store, clocks)
    unreadable = Credentials(authorization="Basic YTpi")

    assert [access.recall(each) for each in (bearer(key), bearer(""), bearer("ttak_wrong"), unreadable)] == [None] * 4
    who = await access.authenticate(bearer(key))
    assert access.recall(bearer(key)) is who
    assert access.take_uses().keys() == {id}
    assert access.recall(Credentials(diag_key=key)) is who
    assert access.take_uses().keys() == {id}
    clocks.now += 1.0
    assert access.recall(bearer(key)) is None
    for shown in (Credentials(), Credentials(certificate=("DNS:ops.example",))):
        assert access.recall(shown) == await access.authenticate(shown)


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "x", "Token y", "Bearer " + "x" * 20_000, "\udcff"])
async def test_a_header_that_nobody_can_read_is_denied(
    store: Counting, clocks: Clocks, told: list[Event], header: str
) -> None:
    access = make(store, clocks, told)
    assert (await denied(access, Credentials(authorization=header))).code == "unauthenticated"


@pytest.mark.parametrize("header", ["Bearer \udcff\ud800", "Bearer \x00", "Bearer ä.ö.ü", "Bearer "])
async def test_a_key_of_whatever_characters_is_an_unknown_one(
    store: Counting, clocks: Clocks, told: list[Event], header: str
) -> None:
    access = make(store, clocks, told)
    assert (await denied(access, Credentials(authorization=header))).reason == "unknown-key"


async def test_an_expired_and_a_revoked_key_are_denied_and_told_by_their_identifiers(
    store: Counting, clocks: Clocks, told: list[Event]
) -> None:
    access = make(store, clocks, told)
    expired, first = await add_key(store, clocks, "a", expires_at=clocks.wall() + 10)
    revoked, second = await add_key(store, clocks, "b")
    clocks.now += 10
    await store.revoke(revoked)
    assert (await denied(access, bearer(first))).code == "unauthenticated"
    assert (await denied(access, bearer(second))).code == "unauthenticated"
    assert [(each.reason, each.key) for each in told if isinstance(each, AccessDenied)] == [
        ("expired-key", expired),
        ("revoked-key", revoked),
    ]


async def test_a_revoked_key_opens_nothing_once_the_moment_is_over_for_which_it_is_remembered(
    store: Counting, clocks: Clocks, told: list[Event]
) -> None:
    access = make(store, clocks, told, cache_ttl=1.0)
    id, key = await add_key(store, clocks)
    await access.authenticate(bearer(key))
    await store.revoke(id)
    clocks.now += 0.999
    await access.authenticate(bearer(key))
    clocks.now += 0.002
    assert (await denied(access, bearer(key))).reason == "revoked-key"


async def test_a_key_that_ends_within_the_moment_ends_then(store: Counting, clocks: Clocks, told: list[Event]) -> None:
    access = make(store, clocks, told, cache_ttl=60.0)
    _, key = await add_key(store, clocks, expires_at=clocks.wall() + 5)
    await access.authenticate(bearer(key))
    clocks.now += 5
    assert (await denied(access, bearer(key))).reason == "expired-key"


async def test_a_key_is_looked_up_once_in_the_moment(store: Counting, clocks: Clocks, told: list[Event]) -> None:
    access = make(store, clocks, told)
    _, key = await add_key(store, clocks)
    for _ in range(10):
        await access.authenticate(bearer(key))
    assert store.asked == 1


async def test_what_is_remembered_is_bounded(store: Counting, clocks: Clocks, told: list[Event]) -> None:
    access = make(store, clocks, told, cache_ttl=60.0)
    _, key = await add_key(store, clocks)
    store.find = always(await store.find(digest_of(key)))  # type: ignore[method-assign]  # it knows any key
    for number in range(MOST_KNOWN + 50):
        await access.authenticate(bearer(f"key-{number}"))
    assert len(access._known) == MOST_KNOWN  # the bound is what is tested


def always(key: Key | None) -> Any:
    async def find(digest: str) -> Key | None:
        return key and replace(key, digest=digest)

    return find


async def test_after_ten_failures_an_address_has_to_wait_and_the_store_is_left_alone(
    store: Counting, clocks: Clocks, told: list[Event]
) -> None:
    access = make(store, clocks, told)
    for number in range(10):
        assert (await denied(access, bearer(f"wrong-{number}"))).code == "unauthenticated"
    asked = store.asked
    problem = await denied(access, bearer("wrong-again"))
    assert problem.code == "rate-limited"
    assert problem.retry_after == pytest.approx(6.0)
    assert store.asked == asked
    assert (await denied(access, bearer("wrong", peer="192.0.2.2"))).code == "unauthenticated"
    clocks.now += 6.1
    assert (await denied(access, bearer("wrong"))).code == "unauthenticated"


async def test_who_was_known_is_let_in_whatever_others_at_their_address_do(
    store: Counting, clocks: Clocks, told: list[Event]
) -> None:
    access = make(store, clocks, told)
    _, key = await add_key(store, clocks)
    await access.authenticate(bearer(key))
    for number in range(20):
        await denied(access, bearer(f"wrong-{number}"))
    clocks.now += 2
    assert (await access.authenticate(bearer(key))).name == "probe"


@pytest.mark.parametrize(
    ("one", "other"), [("2001:db8::1", "2001:db8::ffff:2"), ("::ffff:192.0.2.1", "192.0.2.1"), ("", "")]
)
async def test_addresses_of_one_host_wait_together(
    store: Counting, clocks: Clocks, told: list[Event], one: str, other: str
) -> None:
    access = make(store, clocks, told, failures=1)
    await denied(access, bearer("wrong", peer=one))
    assert (await denied(access, bearer("wrong", peer=other))).code == "rate-limited"


async def test_of_many_failures_sixty_a_minute_are_told_and_the_others_counted(
    store: Counting, clocks: Clocks, told: list[Event]
) -> None:
    access = make(store, clocks, told)
    for number in range(100):
        await denied(access, bearer("wrong", peer=f"198.51.100.{number}"))
    assert len(told) == 60
    clocks.now += 1
    await denied(access, bearer("wrong", peer="192.0.2.9"))
    last = told[-1]
    assert isinstance(last, AccessDenied)
    assert last.suppressed == 40
    assert access.denied == 101


async def test_nothing_that_is_told_holds_what_was_shown(store: Counting, clocks: Clocks, told: list[Event]) -> None:
    access = make(store, clocks, told)
    problem = await denied(access, bearer("s3cr3t-of-somebody"))
    shown = [repr(problem), str(problem), repr(told), repr(bearer("s3cr3t-of-somebody"))]
    assert not [each for each in shown if "s3cr3t" in each]


async def test_when_keys_were_used_is_written_once_for_all_uses(
    store: Counting, clocks: Clocks, told: list[Event]
) -> None:
    access = make(store, clocks, told)
    id, key = await add_key(store, clocks)
    await access.authenticate(bearer(key))
    clocks.now += 0.5
    await access.authenticate(bearer(key))
    clocks.now += 30
    await access.write_uses()
    await access.write_uses()
    assert store.uses == [{id: 1e9 + 1000.5}]


async def test_a_key_in_config_opens_without_a_store(store: Counting, clocks: Clocks, told: list[Event]) -> None:
    access = make(store, clocks, told, keys={"ci": {"key": GIVEN, "roles": ["operator"]}})
    who = await access.authenticate(bearer(GIVEN))
    assert (who.name, who.roles) == ("ci", ("operator",))
    assert store.asked == 0


async def test_a_certificate_has_the_roles_of_its_names(store: Counting, clocks: Clocks, told: list[Event]) -> None:
    names = {"URI:spiffe://x/probe": ["viewer"], "DNS:ops.example": ["operator"]}
    access = make(store, clocks, told, mtls=names)
    who = await access.authenticate(Credentials(certificate=("DNS:other", "DNS:ops.example")))
    assert (who.name, who.kind, who.roles) == ("DNS:ops.example", "mtls", ("operator",))
    stranger = await access.authenticate(Credentials(certificate=("DNS:other",)))
    assert (stranger.name, stranger.kind, stranger.permissions) == ("DNS:other", "mtls", frozenset())


async def test_a_wrong_key_beside_a_good_certificate_is_denied(
    store: Counting, clocks: Clocks, told: list[Event]
) -> None:
    access = make(store, clocks, told, mtls={"DNS:ops.example": ["operator"]})
    shown = Credentials(authorization="Bearer wrong", certificate=("DNS:ops.example",))
    assert (await denied(access, shown)).code == "unauthenticated"


async def test_an_agent_has_the_roles_that_config_gives_its_type_and_others_none(
    store: Counting, clocks: Clocks, told: list[Event]
) -> None:
    access = make(store, clocks, told, roles={"looks-up": ["tools:execute:kg.query"]}, agents={"tide": ["looks-up"]})
    assert access.agent("tide").kind == "agent"
    assert access.allowed(access.agent("tide"), "tools:execute:kg.query")
    assert not access.allowed(access.agent("tide"), "tools:execute:math.add")
    assert access.agent("other").permissions == frozenset()
    assert not access.allowed(access.agent("other"), "tools:execute:kg.query")


async def test_a_tool_is_for_whoever_has_a_key_that_names_it(
    store: Counting, clocks: Clocks, told: list[Event]
) -> None:
    """T38: without a key, with a wrong one, with another tool, with this one."""
    access = make(store, clocks, told, roles={"adds": ["tools:execute:math.add"]})
    _, key = await add_key(store, clocks, "adder", "adds")
    assert not access.allowed(await access.authenticate(Credentials()), "tools:execute:math.add")
    assert (await denied(access, bearer("wrong"))).code == "unauthenticated"
    adder = await access.authenticate(bearer(key))
    assert not access.allowed(adder, "tools:execute:math.multiply")
    assert access.allowed(adder, "tools:execute:math.add")


async def test_the_local_user_is_an_admin_who_does_not_read_what_people_wrote(
    store: Counting, clocks: Clocks, told: list[Event]
) -> None:
    who = make(store, clocks, told).local()
    assert who.name.startswith("local:")
    assert who.kind == "local"
    assert who.may("runs:cancel")
    assert not who.may(TEXT)


async def test_a_process_with_a_key_is_whose_that_is(store: Counting, clocks: Clocks, told: list[Event]) -> None:
    access = make(store, clocks, told)
    _, key = await add_key(store, clocks, "night-shift", "operator")
    await access.become(key)
    assert (access.local().name, access.local().kind) == ("night-shift", "key")
    with pytest.raises(Denied):
        await access.become("wrong")


async def test_it_says_by_what_callers_can_prove_who_they_are(
    store: Counting, clocks: Clocks, told: list[Event]
) -> None:
    assert [*await make(store, clocks, told).ways()] == []
    issuer = {"issuer": "https://id.example", "audience": "tta", "jwks_url": "https://id.example/keys"}
    assert [*await make(store, clocks, told, mtls={"DNS:x": ["viewer"]}, oidc=issuer).ways()] == ["oidc", "mtls"]
    id, _ = await add_key(store, clocks)
    assert [*await make(store, clocks, told).ways()] == ["keys"]
    await store.revoke(id)
    assert [*await make(store, clocks, told).ways()] == []


async def test_a_changed_config_counts_at_once(store: Counting, clocks: Clocks, told: list[Event]) -> None:
    access = make(store, clocks, told, roles={"mine": ["runs:cancel"]})
    _, key = await add_key(store, clocks, "probe", "mine")
    assert (await access.authenticate(bearer(key))).may("runs:cancel")
    access.configure(config(roles={"mine": ["runs:read"]}))
    assert not (await access.authenticate(bearer(key))).may("runs:cancel")


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"anonymous_role": "admin"}, "who isn't known"),
        ({"anonymous_role": "operator"}, "who isn't known"),
        ({"anonymous_role": "mine", "roles": {"mine": [TEXT]}}, "who isn't known"),
        ({"anonymous_role": "viever"}, "did you mean 'viewer'"),
        ({"roles": {"viewer": ["runs:read"]}}, "has its permissions already"),
        ({"mtls": {"DNS:x": ["nobody"]}}, "no role 'nobody'"),
        ({"keys": {"x": {"key": "change-me", "roles": []}}}, "shorter"),
        ({"keys": {"x": {"key": "change-me-now-please-or-else", "roles": []}}}, "default"),
        ({"keys": {"x": {"key": "ab" * 20, "roles": []}}}, "repeats itself"),
        ({"oidc": {"issuer": "i", "audience": "a"}}, "jwks_url or jwks_file"),
        ({"oidc": {"issuer": "i", "audience": "a", "jwks_url": "http://id.example/keys"}}, "https://"),
        ({"oidc": {"issuer": "i", "audience": "a", "jwks_url": "https://x", "algorithms": ["HS256"]}}, "HS256"),
        ({"oidc": {"issuer": "i", "audience": "a", "jwks_url": "https://x", "algorithms": ["none"]}}, "none"),
        ({"oidc": {"issuer": "i", "audience": "", "jwks_url": "https://x"}}, "audience"),
    ],
)
def test_a_config_that_would_open_too_much_is_refused(given: Mapping[str, Any], what: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=what):
        config(**given)


async def test_a_store_that_is_away_is_told_once_a_minute_and_once_when_it_is_back(
    clocks: Clocks, told: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    class Away(MemoryKeys):
        away = True

        async def find(self, digest: str) -> Key | None:
            if self.away:
                raise AccessError("connection refused")
            return await super().find(digest)

    store = Away(clocks.wall)
    access = make(store, clocks, told)
    for _ in range(70):
        assert (await denied(access, bearer("x" * 40))).code == "unavailable"
        clocks.now += 1.0
    assert [record.getMessage() for record in caplog.records] == [
        f"the store of keys can't be used: connection refused; who shows a key of it is answered 503 ({count} so far)"
        for count in (1, 61)
    ]
    assert access.trouble() == "the store of keys can't be used: connection refused"
    store.away = False
    assert (await denied(access, bearer("x" * 40))).code == "unauthenticated"
    assert access.trouble() == ""
    assert caplog.messages[2:] == ["the store of keys answers again; 70 callers were answered 503"]


@pytest.mark.boundary("tta_access.KeyStore")
@pytest.mark.boundary("tta_access.Authenticator.__init__.store")
@pytest.mark.boundary("tta_access.asked.call")
@pytest.mark.parametrize("stranger", strangers("async", returns=Key), ids=str)
async def test_whatever_a_store_does_nobody_is_let_in_by_it_and_keys_in_config_open(
    stranger: Stranger, clocks: Clocks, told: list[Event]
) -> None:
    class Odd(MemoryKeys):
        async def find(self, digest: str) -> Key | None:
            return await stranger()  # type: ignore[no-any-return]

    access = make(Odd(), clocks, told, LIMIT, keys={"ci": {"key": GIVEN, "roles": ["viewer"]}})
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            await access.authenticate(bearer("x" * 40))
    else:
        problem = await denied(access, bearer("x" * 40))
        bad = stranger.outcome in (Outcome.FAILURE, Outcome.TIME_LIMIT) and str(stranger) != "returns None"
        assert problem.code in ({"unavailable"} if bad else {"unavailable", "unauthenticated"})
    assert (await access.authenticate(bearer(GIVEN))).name == "ci"


@pytest.mark.boundary("tta_access.Authenticator.__init__.publish")
@pytest.mark.parametrize("stranger", strangers("plain"), ids=str)
async def test_whoever_is_told_of_a_failure_it_stays_one(stranger: Stranger, clocks: Clocks) -> None:
    access = Authenticator(config(), MemoryKeys(), publish=stranger, clock=clocks.monotonic)
    if stranger.outcome is Outcome.STOP:
        with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
            await access.authenticate(bearer("wrong"))
        return
    assert (await denied(access, bearer("wrong"))).code == "unauthenticated"


def test_a_key_check_takes_next_to_nothing() -> None:
    """Only that it isn't slow by mistake: `make bench-http` measures it."""

    async def measure() -> float:
        clocks = Clocks()
        store = MemoryKeys(clocks.wall)
        access = make(store, clocks, [])
        _, key = await add_key(store, clocks)
        shown = bearer(key)
        await access.authenticate(shown)
        times = []
        for _ in range(20):
            before = time.perf_counter()
            for _ in range(200):
                await access.authenticate(shown)
            times.append((time.perf_counter() - before) / 200)
        return min(times)

    assert anyio.run(measure) < 20e-6
