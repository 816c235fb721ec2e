from __future__ import annotations

import asyncio
import re
import time

import anyio
import hiredis
import pytest
from anyio.abc import SocketAttribute, SocketStream
from redis.exceptions import ResponseError

from tta_program.waiting import waits_for_servers
from tta_redis import Config, Redis, RedisDown, RetryConfig, Signal, connect
from tta_redis.connection import pack
from tta_redis.testing import RedisServer, redis_server

SLOW = "local n = 0; while n < tonumber(ARGV[1]) do n = n + 1 end; return redis.call('INCR', KEYS[1])"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_what_was_never_sent_is_done_once_the_server_is_back() -> None:
    with redis_server("--appendonly", "yes", "--appendfsync", "always") as server:
        async with connect(server.config(command_timeout=10.0)) as redis, anyio.create_task_group() as tasks:
            assert await redis.execute("INCR", redis.key("n")) == 1
            server.kill()
            with pytest.raises(RedisDown):  # The client learns of the server's end.
                await redis.execute("INCR", redis.key("n"), timeout=0.5)
            tasks.start_soon(anyio.to_thread.run_sync, server.start)
            assert await redis.execute("INCR", redis.key("n")) == 2


async def test_whether_a_lost_write_was_done_is_unknown_and_it_is_not_sent_again() -> None:
    with redis_server("--appendonly", "yes") as server:
        async with connect(server.config()) as redis:
            script = redis.script(SLOW)
            await script([redis.key("n")], [1])

            async def lose() -> None:
                with pytest.raises(RedisDown, match="whether it was executed is unknown") as caught:
                    await script([redis.key("n")], [2_000_000_000])
                assert caught.value.unknown

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lose)
                await anyio.wait_all_tasks_blocked()
                server.kill()
            server.start()
            assert await redis.execute("GET", redis.key("n")) == b"1"


async def test_a_read_and_what_the_caller_allows_are_sent_again() -> None:
    with redis_server("--appendonly", "yes") as server:
        async with connect(server.config()) as redis:
            await redis.execute("SET", redis.key("a"), "x")
            server.restart()
            assert await redis.execute("GET", redis.key("a")) == b"x"
            server.restart()
            assert await redis.execute("SET", redis.key("a"), "y", retry=True) == b"OK"


async def test_a_silent_server_is_given_up_in_time_and_found_again() -> None:
    with redis_server(own=True) as server:
        config = server.config(socket_timeout=0.4, connect_timeout=0.4, command_timeout=1.0)
        async with connect(config) as redis:
            await redis.execute("PING")
            server.pause()
            before = time.monotonic()
            with pytest.raises(RedisDown, match=r"no answer within 0\.4 s; whether it was executed is unknown"):
                await redis.execute("INCR", redis.key("n"))
            with pytest.raises(RedisDown) as caught:
                await redis.execute("INCR", redis.key("n"))
            assert not caught.value.unknown
            assert time.monotonic() - before < 3.0
            server.resume()
            assert await redis.execute("PING") == b"PONG"


async def test_a_time_limit_of_a_call_is_its_own() -> None:
    with redis_server(own=True) as server:
        async with connect(server.config()) as redis:
            await redis.execute("PING")
            server.pause()
            before = time.monotonic()
            with pytest.raises(RedisDown, match="GET: no answer in time") as caught:
                await redis.execute("GET", "a", timeout=0.2)
            assert not caught.value.unknown  # It only reads.
            assert time.monotonic() - before < 1.5, "long before the limits in the config"
            server.resume()
            assert await redis.execute("PING") == b"PONG"


async def test_a_cancelled_call_leaves_the_others_their_answers(redis: Redis) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await redis.execute("ECHO", "first")
    assert await redis.execute("ECHO", "second") == b"second"


async def test_many_callers_share_one_connection_and_each_gets_its_own_answer(shared_redis: RedisServer) -> None:
    async with connect(shared_redis.config(max_pending=16)) as redis:
        found: dict[int, bytes] = {}

        async def ask(number: int) -> None:
            found[number] = await redis.execute("ECHO", number)

        async with anyio.create_task_group() as tasks:
            for number in range(500):
                tasks.start_soon(ask, number)
        assert found == {number: str(number).encode() for number in range(500)}
        assert len(redis.connections()) == 1


async def test_a_write_waits_while_the_server_only_reads() -> None:
    with redis_server(own=True) as server:
        async with connect(server.config()) as redis, anyio.create_task_group() as tasks:
            script = redis.script("return redis.call('INCR', KEYS[1])")
            await script([redis.key("n")])
            server.command("REPLICAOF", "127.0.0.1", 1)
            done: list[int] = []

            async def write() -> None:
                done.append(await script([redis.key("n")]))

            tasks.start_soon(write)
            with anyio.move_on_after(0.3):
                await anyio.sleep_forever()
            assert done == []
            server.command("REPLICAOF", "NO", "ONE")
        assert done == [2]


async def test_a_script_that_takes_too_long_holds_up_only_for_its_time() -> None:
    with redis_server("--lua-time-limit", "50") as server:
        async with connect(server.config(socket_timeout=0.5, command_timeout=3.0)) as redis:
            script = redis.script(SLOW)
            with pytest.raises(RedisDown) as caught:
                await script([redis.key("n")], [10**12])
            assert caught.value.unknown
            with anyio.fail_after(5):
                await anyio.to_thread.run_sync(server.command, "SCRIPT", "KILL")
            assert await redis.execute("GET", redis.key("n")) is None


async def test_who_listens_learns_that_something_may_be_missing() -> None:
    with redis_server(own=True) as server:
        async with connect(server.config()) as redis, redis.listen("c") as signals:
            server.restart()
            assert await anext(signals) is None
            await redis.execute("PUBLISH", "c", "x")
            signal = await anext(signals)
            assert signal is not None
            assert signal.payload == b"x"


@pytest.mark.parametrize("kind", [LookupError, asyncio.CancelledError, SystemExit])  # noqa: TID251 - what strangers do
async def test_who_is_called_with_signals_learns_it_too_and_may_fail(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[bytes | None] = []
    changed = anyio.Event()

    def received(signal: Signal | None) -> None:
        nonlocal changed
        heard.append(signal and signal.payload)
        changed.set()
        changed = anyio.Event()
        if len(heard) == 1:
            raise kind("mine")

    with redis_server(own=True) as server, anyio.fail_after(20):
        async with connect(server.config()) as redis:
            async with redis.subscribe("c", callback=received):
                await redis.execute("PUBLISH", "c", "x")
                while heard != [b"x"]:
                    await changed.wait()
                assert "a listener failed" in caplog.text
                server.restart()
                while heard != [b"x", None]:
                    await changed.wait()
                await redis.execute("PUBLISH", "c", "y")
                while heard != [b"x", None, b"y"]:
                    await changed.wait()
            await redis.execute("PUBLISH", "c", "z")
            async with redis.listen("d") as signals:  # What came before the answer to this has been heard.
                await redis.execute("PUBLISH", "d", "")
                await anext(signals)
            assert heard == [b"x", None, b"y"]


async def test_who_listens_is_told_to_look_again_only_when_nothing_more_can_be_missed() -> None:
    heard: list[Signal | None] = []
    told, asked_again, agree = anyio.Event(), anyio.Event(), anyio.Event()
    connections: list[SocketStream] = []

    def received(signal: Signal | None) -> None:
        heard.append(signal)
        told.set()

    async def serve(stream: SocketStream) -> None:
        connections.append(stream)
        again, reader = len(connections) > 1, hiredis.Reader()
        async with stream:
            async for data in stream:
                reader.feed(data)
                while command := reader.gets():
                    if command[0] == b"HELLO":
                        greeting = ("server", "redis", "version", "7.0.0", "role", "master")
                        await stream.send(pack(greeting))
                    elif command[0] == b"SUBSCRIBE":
                        if again:
                            asked_again.set()
                            await agree.wait()
                        await stream.send(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    url = f"redis://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        with anyio.fail_after(20):
            async with connect(Config(url=url)) as redis, redis.subscribe("c", callback=received):
                await connections[0].send_eof()
                await asked_again.wait()
                assert heard == []
                agree.set()
                await told.wait()
                assert heard == [None]
        tasks.cancel_scope.cancel()


async def test_however_often_listening_was_interrupted_it_goes_on_as_soon_as_the_first_time() -> None:
    with redis_server(own=True) as server:
        config = server.config(retry=RetryConfig(base=0.01, cap=60.0))
        async with connect(config) as redis, redis.listen("c") as signals:
            with anyio.fail_after(10):
                for _ in range(15):  # With pauses that double each time this would take more than a minute.
                    await redis.execute("CLIENT", "KILL", "TYPE", "pubsub")
                    assert await anext(signals) is None


async def test_who_listens_to_a_server_that_fell_silent_learns_it() -> None:
    with redis_server(own=True) as server:
        config = server.config(socket_timeout=0.3, connect_timeout=0.3)
        async with connect(config) as redis, redis.listen("c") as signals, anyio.create_task_group() as tasks:
            server.pause()

            async def resume() -> None:
                with pytest.raises(RedisDown):
                    await redis.execute("PING", timeout=1.0)
                server.resume()

            tasks.start_soon(resume)
            with anyio.fail_after(10):
                assert await anext(signals) is None


async def test_of_one_signal_that_fits_the_newest_is_kept(redis: Redis) -> None:
    async with redis.listen("one", buffer=1) as signals, redis.listen("one") as others:
        for number in range(3):
            await redis.execute(b"PUBLISH", b"one", number)
            await anext(others)
        assert [await anext(signals), await anext(signals)] == [None, ("one", b"2")]


async def test_who_reads_too_slowly_loses_the_oldest_and_learns_it(redis: Redis) -> None:
    async with redis.listen("slow", buffer=3) as signals, redis.listen("slow") as others:
        for number in range(5):
            await redis.execute("PUBLISH", "slow", number)
        payloads = [signal.payload for _ in range(5) if (signal := await anext(others))]
        assert payloads == [b"0", b"1", b"2", b"3", b"4"]
        found = [await anext(signals) for _ in range(3)]
        assert [signal and signal.payload for signal in found] == [None, b"3", b"4"]


async def test_a_stranger_who_talks_something_else_is_named() -> None:
    async def greet(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, greet)
        async with connect(Config(url=f"redis://127.0.0.1:{port}", command_timeout=0.5)) as redis:
            with pytest.raises(RedisDown, match="it doesn't speak Redis's protocol"):
                await redis.execute("PING")
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("retry", [RetryConfig(times=2, base=0.01, cap=0.01), RetryConfig(times=1000, base=0.01)])
async def test_retries_are_bounded_by_number_and_by_time(retry: RetryConfig) -> None:
    with redis_server(own=True) as server:
        config = server.config(command_timeout=1.0, retry=retry)
    before = time.monotonic()
    async with connect(config) as redis:
        with pytest.raises(RedisDown):
            await redis.execute("PING")
    assert time.monotonic() - before < (1.0 if retry.times == 2 else 2.5)


async def test_errors_do_not_hold_what_was_sent(redis: Redis) -> None:
    secret = "what a person wrote"
    script = redis.script("return redis.call('LPUSH', KEYS[1], ARGV[1])")
    await redis.execute("SET", redis.key("a"), "x")
    with pytest.raises(ResponseError) as caught:
        await script([redis.key("a")], [secret])
    assert secret not in str(caught.value)
    with pytest.raises(ResponseError) as caught:
        await redis.execute("NO-SUCH-COMMAND", redis.key("a"), secret)
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("rights", "missing"), [(("+@all", "resetchannels"), "&story:*"), (("&*", "+@all", "-subscribe"), "+subscribe")]
)
async def test_who_may_not_listen_is_told_which_right_is_missing(rights: tuple[str, ...], missing: str) -> None:
    with redis_server(own=True) as server:
        server.command("ACL", "SETUSER", "tta", "reset", "on", ">hunter2", "~*", *rights)
        config = server.config(username="tta", password="hunter2", command_timeout=1.0, prefix="story")
        async with connect(config) as redis:
            assert await redis.execute("PING") == b"PONG"
            with pytest.raises(
                RedisDown, match=rf"it refuses SUBSCRIBE: NOPERM .*; give the user {re.escape(missing)}$"
            ):
                async with redis.listen(redis.key("channel")):
                    pass


async def test_a_user_without_a_password_is_who_the_config_says() -> None:
    with redis_server(own=True) as server:
        server.command("ACL", "SETUSER", "tta", "reset", "on", "nopass", "~*", "&*", "+@all")
        async with connect(server.config(username="tta")) as redis:
            assert await redis.execute("ACL", "WHOAMI") == b"tta"
            assert await redis.client.execute_command("ACL", "WHOAMI") in (b"tta", "tta")


async def test_a_user_who_may_not_even_log_in_fully_is_told_which_command_is_refused() -> None:
    with redis_server(own=True) as server:
        server.command("ACL", "SETUSER", "tta", "reset", "on", ">hunter2", "~*", "&*", "+@all", "-select")
        async with connect(server.config(username="tta", password="hunter2", database=1)) as redis:
            with pytest.raises(RedisDown, match=r"its user lacks a right: NOPERM .*'select'"):
                await redis.execute("PING")


async def test_who_only_looks_is_told_at_once_that_no_server_can_be_reached() -> None:
    with redis_server(own=True) as server:
        async with connect(server.config()) as redis:
            await redis.execute("PING")
            server.stop()
            waits = waits_for_servers.set(False)
            try:
                with anyio.fail_after(5), pytest.raises(RedisDown, match=r"Redis: GET: .*: connection refused"):
                    await redis.execute("GET", redis.key("x"))
            finally:
                waits_for_servers.reset(waits)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.to_thread.run_sync, server.start)
                assert await redis.execute("GET", redis.key("x")) is None  # Whoever doesn't say so waits.
