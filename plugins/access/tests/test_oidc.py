"""Tokens of an issuer: which count, which don't, and what becomes of them while the issuer is away."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import socketserver
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tta_access import AccessError, Authenticator, Config, Credentials, Denied, MemoryKeys, Oidc
from tta_access.jwks import LARGEST, fetch, read
from tta_access.oidc import LONGEST, Tokens

ISSUER = "https://id.example"
RSA = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
CURVE = ec.generate_private_key(ec.SECP256R1())


def public(key: Any, id: str) -> dict[str, Any]:
    algorithm: Any = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    alg = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": id, "use": "sig", "alg": alg}


KEYS = {"keys": [public(RSA, "r1"), public(CURVE, "e1")]}


DEEP = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 9000).rstrip(b"=").decode() + ".e30.x"


class Clock:
    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """Gives its keys, or doesn't."""

    def __init__(self, keys: Mapping[str, Any] = KEYS) -> None:
        self.keys: Any = keys
        self.asked = 0

    def __call__(self, config: Oidc) -> Mapping[str, Any]:
        self.asked += 1
        if isinstance(self.keys, Exception):
            raise self.keys
        return self.keys  # type: ignore[no-any-return]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def config(**given: Any) -> Oidc:
    base = {"issuer": ISSUER, "audience": "tta", "jwks_url": "https://id.example/keys", "roles": {"ops": ["operator"]}}
    return msgspec.convert({**base, **given}, Oidc)


def token(
    key: Any = RSA, kid: str | None = "r1", alg: str = "RS256", without: tuple[str, ...] = (), **claims: Any
) -> str:  # fmt: skip
    now = time.time()
    given = {"iss": ISSUER, "aud": "tta", "sub": "sofia", "exp": now + 300, "iat": now, "roles": ["ops"], **claims}
    kept = {name: value for name, value in given.items() if name not in without}
    return jwt.encode(kept, key, algorithm=alg, headers={"kid": kid} if kid else None)


async def refused(tokens: Tokens, shown: str) -> Denied:
    with pytest.raises(Denied) as caught:
        await tokens.verify(shown)
    return caught.value


@pytest.mark.parametrize(("key", "kid", "alg"), [(RSA, "r1", "RS256"), (CURVE, "e1", "ES256")])
async def test_a_token_that_the_issuer_signed_says_who_it_is_for(
    clock: Clock, issuer: Issuer, key: Any, kid: str, alg: str
) -> None:
    found = await Tokens(config(), clock, issuer).verify(token(key, kid, alg))
    assert (found.subject, found.values) == ("sofia", ("ops",))
    assert found.expires_at > time.time()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"exp": 1000.0}, "token-ExpiredSignatureError"),
        ({"nbf": 1e11}, "token-ImmatureSignatureError"),
        ({"iss": "https://other.example"}, "token-InvalidIssuerError"),
        ({"aud": "somebody-else"}, "token-InvalidAudienceError"),
        ({"without": ("exp",)}, "token-MissingRequiredClaimError"),
        ({"without": ("aud",)}, "token-MissingRequiredClaimError"),
        ({"without": ("iss",)}, "token-MissingRequiredClaimError"),
        ({"without": ("sub",)}, "token-MissingRequiredClaimError"),
        ({"key": OTHER}, "token-InvalidSignatureError"),
        ({"kid": "unknown"}, "token-key"),
        ({"key": "x" * 64, "alg": "HS256"}, "token-algorithm"),
        ({"key": "", "alg": "none"}, "token-algorithm"),
        ({"alg": "RS512"}, "token-algorithm"),
    ],
)
async def test_a_token_that_is_wrong_in_one_thing_counts_for_nothing(
    clock: Clock, issuer: Issuer, given: dict[str, Any], reason: str
) -> None:
    problem = await refused(Tokens(config(), clock, issuer), token(**given))
    assert (problem.code, problem.reason) == ("unauthenticated", reason)


async def test_the_public_key_is_no_shared_secret(clock: Clock, issuer: Issuer) -> None:
    """The old trick: sign with HMAC under the text of the issuer's public key."""

    def part(value: Any) -> bytes:
        return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=")

    body = (
        part({"alg": "HS256", "kid": "r1", "typ": "JWT"})
        + b"."
        + part({"iss": ISSUER, "aud": "tta", "sub": "x", "exp": 1e11})
    )
    secret = json.dumps(public(RSA, "r1")).encode()
    forged = (body + b"." + part(hmac.new(secret, body, hashlib.sha256).digest())).decode()
    assert (await refused(Tokens(config(), clock, issuer), forged)).reason == "token-algorithm"


@pytest.mark.parametrize("shown", ["a.b.c", "..", "x" * 50 + ".y.z", "\udcff.b.c", "ä.ö.ü", DEEP, "MQ.b.c"])
async def test_what_is_no_token_counts_for_nothing(clock: Clock, issuer: Issuer, shown: str) -> None:
    assert (await refused(Tokens(config(), clock, issuer), shown)).code == "unauthenticated"
    assert issuer.asked == 0


async def test_a_token_that_is_too_long_is_not_looked_at(clock: Clock, issuer: Issuer) -> None:
    shown = token(much="x" * LONGEST)
    assert (await refused(Tokens(config(), clock, issuer), shown)).reason == "token-too-long"


async def test_the_keys_are_fetched_once_and_again_when_they_are_old(clock: Clock, issuer: Issuer) -> None:
    tokens = Tokens(config(jwks_ttl=600.0), clock, issuer)
    for _ in range(5):
        await tokens.verify(token())
    assert issuer.asked == 1
    clock.now += 601
    await tokens.verify(token())
    assert issuer.asked == 2


async def test_an_unknown_key_is_looked_for_but_not_at_every_request(clock: Clock, issuer: Issuer) -> None:
    tokens = Tokens(config(), clock, issuer)
    await tokens.verify(token())
    clock.now += 31
    for number in range(20):
        await refused(tokens, token(kid=f"k{number}"))
    assert issuer.asked == 2


async def test_a_key_that_the_issuer_has_put_in_counts_once_it_is_looked_for(clock: Clock, issuer: Issuer) -> None:
    tokens = Tokens(config(), clock, issuer)
    await tokens.verify(token())
    issuer.keys = {"keys": [public(OTHER, "r2")]}
    clock.now += 31
    await tokens.verify(token(OTHER, "r2"))
    assert (await refused(tokens, token())).reason == "token-key"


async def test_while_the_issuer_is_away_its_keys_count_for_a_while_and_then_nobody_is_let_in(
    clock: Clock, issuer: Issuer
) -> None:
    tokens = Tokens(config(jwks_ttl=600.0), clock, issuer)
    await tokens.verify(token())
    issuer.keys = AccessError("away")
    clock.now += 700
    await tokens.verify(token())
    assert "issuer" in tokens.trouble
    clock.now += 600
    problem = await refused(tokens, token())
    assert (problem.code, problem.reason) == ("unavailable", "issuer-away")
    assert problem.retry_after
    issuer.keys = KEYS
    clock.now += 31
    await tokens.verify(token())
    assert tokens.trouble == ""


async def test_an_issuer_that_was_never_there_lets_nobody_in_and_is_not_asked_at_every_request(clock: Clock) -> None:
    issuer = Issuer()
    issuer.keys = AccessError("away")
    tokens = Tokens(config(), clock, issuer)
    for _ in range(10):
        assert (await refused(tokens, token())).code == "unavailable"
    assert issuer.asked == 1


async def test_an_issuer_that_never_ends_its_answer_holds_one_thread(clock: Clock) -> None:
    end, asked = threading.Event(), []

    def hang(config: Oidc) -> Mapping[str, Any]:
        asked.append(threading.get_ident())
        end.wait(30)
        return KEYS

    tokens = Tokens(config(timeout=0.01), clock, hang)
    try:
        for _ in range(5):
            assert (await refused(tokens, token())).code == "unavailable"
            clock.now += 31
        assert len(asked) == 1
    finally:
        end.set()


async def test_a_key_whose_name_is_no_text_closes_nobody_else_out(clock: Clock) -> None:
    named = {"keys": [{**public(CURVE, "e1"), "kid": ["e1"]}, public(RSA, "r1")]}
    assert (await Tokens(config(), clock, Issuer(named)).verify(token())).subject == "sofia"


@pytest.mark.parametrize(
    "keys", [{}, {"keys": None}, {"keys": []}, {"keys": [1]}, {"keys": [{"kty": "x"}]}, {"keys": {}}]
)
async def test_keys_of_the_wrong_form_let_nobody_in(clock: Clock, keys: Mapping[str, Any]) -> None:
    assert (await refused(Tokens(config(), clock, Issuer(keys)), token())).code == "unavailable"


async def test_a_token_without_a_key_s_name_will_do_where_there_is_one_key(clock: Clock) -> None:
    one = Tokens(config(), clock, Issuer({"keys": [public(RSA, "r1")]}))
    assert (await one.verify(token(kid=None))).subject == "sofia"
    assert (await refused(Tokens(config(), clock, Issuer()), token(kid=None))).reason == "token-key"


@pytest.mark.parametrize(
    "purpose", [{"use": "enc"}, {"use": "enc", "alg": "RSA-OAEP"}, {"key_ops": ["encrypt", "wrapKey"]}]
)
async def test_a_key_that_encrypts_signs_nothing_and_hides_none_that_does(
    clock: Clock, purpose: dict[str, Any]
) -> None:
    """marcjazz/authkestra#341 and networknt/light-4j#2291: issuers publish keys to encrypt beside those that sign.

    Keycloak does so by default, and some under the same identifier.
    """
    other = public(OTHER, "enc")
    encrypts = {name: other[name] for name in ("kty", "n", "e", "kid")} | purpose
    beside = Tokens(config(), clock, Issuer({"keys": [public(RSA, "r1"), encrypts]}))
    assert (await refused(beside, token(OTHER, "enc"))).reason == "token-key"
    assert (await beside.verify(token(kid=None))).subject == "sofia"
    same = Tokens(config(), clock, Issuer({"keys": [public(RSA, "r1"), {**encrypts, "kid": "r1"}]}))
    assert (await same.verify(token())).subject == "sofia"


async def test_one_name_may_stand_for_keys_of_several_algorithms(clock: Clock) -> None:
    """jpadilla/pyjwt#1129: the first of the name was taken, or here the last, whatever the token was signed by."""
    for keys in ([public(RSA, "x"), public(CURVE, "x")], [public(CURVE, "x"), public(RSA, "x")]):
        tokens = Tokens(config(), clock, Issuer({"keys": keys}))
        assert (await tokens.verify(token(RSA, "x", "RS256"))).subject == "sofia"
        assert (await tokens.verify(token(CURVE, "x", "ES256"))).subject == "sofia"


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256"])
async def test_a_key_that_names_no_algorithm_will_do_for_each_of_its_kind_that_config_allows(
    clock: Clock, algorithm: str
) -> None:
    """jpadilla/pyjwt#624: `alg` is optional, Azure leaves it out, and PyJWT then takes each for RS256."""
    key = public(RSA, "r1")
    del key["alg"]
    tokens = Tokens(config(algorithms=["RS256", "RS512", "PS256", "ES256"]), clock, Issuer({"keys": [key]}))
    assert (await tokens.verify(token(alg=algorithm))).subject == "sofia"


async def test_a_token_that_ends_beyond_all_numbers_is_refused(clock: Clock, issuer: Issuer) -> None:
    """vstorm-co/agenticos#1107: a claim that the issuer got wrong was an error of the server's, not of the token's."""
    assert (await refused(Tokens(config(), clock, issuer), token(exp=10**400))).code == "unauthenticated"


@pytest.mark.parametrize("subject", ["", "  ", "sofia\nadmin", "\ud800", "a" * 257])
async def test_a_subject_that_names_nobody_is_refused(clock: Clock, issuer: Issuer, subject: str) -> None:
    """brandonrc/mobula#34: a subject forged lines of the log.

    KanishJebaMathewM/Truxify#7148: an empty one was let in.
    """
    assert (await refused(Tokens(config(), clock, issuer), token(sub=subject))).reason == "token-subject"


@pytest.mark.parametrize(
    ("claim", "claims", "values"),
    [
        ("roles", {"roles": ["ops", "x"]}, ("ops", "x")),
        ("scope", {"scope": "ops more"}, ("ops", "more")),
        ("realm_access.roles", {"realm_access": {"roles": ["ops"]}}, ("ops",)),
        ("realm_access.roles", {"realm_access": "ops"}, ()),
        ("none", {}, ()),
        ("roles", {"roles": [1, None, "ops"]}, ("ops",)),
        ("roles", {"roles": {"ops": True}}, ()),
    ],
)
async def test_what_a_holder_is_stands_where_config_says(
    clock: Clock, issuer: Issuer, claim: str, claims: dict[str, Any], values: tuple[str, ...]
) -> None:
    found = await Tokens(config(claim=claim), clock, issuer).verify(token(**claims))
    assert found.values == values


async def test_a_principal_has_the_roles_that_its_values_give_until_the_token_ends(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(KEYS))  # a test waits for its own file
    given = {"issuer": ISSUER, "audience": "tta", "jwks_file": file, "roles": {"ops": ["operator"]}}
    access = Authenticator(msgspec.convert({"oidc": given}, Config), MemoryKeys())
    who = await access.authenticate(Credentials(authorization=f"Bearer {token(roles=['ops', 'unheard-of'])}"))
    assert (who.name, who.kind, who.roles) == ("sofia", "oidc", ("operator",))
    nobody = await access.authenticate(Credentials(authorization=f"Bearer {token(roles=[])}"))
    assert (nobody.kind, nobody.permissions) == ("oidc", frozenset())


class Server(BaseHTTPRequestHandler):
    answer: tuple[int, bytes, dict[str, str]] = (200, b"{}", {})

    def do_GET(self) -> None:
        status, body, headers = self.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[Server]]]:
    class Own(Server):
        pass

    with HTTPServer(("127.0.0.1", 0), Own) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}/keys", Own
        httpd.shutdown()
        thread.join()


def test_keys_are_fetched_from_the_address(server: tuple[str, type[Server]]) -> None:
    url, own = server
    own.answer = (200, json.dumps(KEYS).encode(), {})
    assert fetch(config(jwks_url=url)) == KEYS


@pytest.mark.parametrize(
    "answer",
    [
        (500, b"{}", {}),
        (302, b"", {"Location": "http://127.0.0.1:9/keys"}),
        (302, b"", {"Location": "file:///etc/hostname"}),
        (200, b"no json", {}),
        (200, b"[]", {}),
        (200, b'{"a": "' + b"x" * LARGEST + b'"}', {}),
    ],
)
def test_an_answer_that_holds_no_keys_is_an_error(server: tuple[str, type[Server]], answer: Any) -> None:
    url, own = server
    own.answer = answer
    with pytest.raises(AccessError):
        fetch(config(jwks_url=url))


class Dripping(socketserver.BaseRequestHandler):
    """Sends one byte after another, for ever: each comes in time, and the whole never does."""

    before = b""
    pause = threading.Event()

    def handle(self) -> None:
        self.request.recv(65_536)
        self.request.sendall(self.before)
        with contextlib.suppress(OSError):
            while True:
                self.request.sendall(b"x")
                self.pause.wait(0.02)


@pytest.mark.parametrize(
    "before", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n"]
)
def test_keys_that_come_byte_by_byte_are_given_up_and_nobody_waits_on(before: bytes) -> None:
    handler = type("Own", (Dripping,), {"before": before})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            since = time.monotonic()
            with pytest.raises(AccessError, match="TimeoutError"):
                fetch(config(jwks_url=f"http://127.0.0.1:{server.server_address[1]}/keys", timeout=0.3))
            assert time.monotonic() - since < 5.0
        finally:
            server.shutdown()
            thread.join()


def test_a_file_without_keys_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AccessError):
        read(config(jwks_url="", jwks_file=tmp_path / "none"))
