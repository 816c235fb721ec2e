"""A stop: readiness goes first, what has begun is answered, and nobody who came in is reset."""

from __future__ import annotations

import anyio

from tta_http import Principal

from .deployment import Ask, Deployment, Serve, Told, rest_of, route

GET = b"GET /things/7 HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_what_has_begun_is_answered_and_its_connection_closed(serve: Serve) -> None:
    begun = anyio.Event()
    go_on = anyio.Event()

    async def slow(request: Ask, principal: Principal) -> Told:
        begun.set()
        await go_on.wait()
        return Told("late")

    answers: list[bytes] = []

    async def ask(port: int) -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(GET)
            answers.append(await rest_of(stream))

    async with anyio.create_task_group() as tasks, serve(route(handler=slow)) as deployment:
        tasks.start_soon(ask, deployment.port)
        await begun.wait()
        deployment.kernel.stop()
        tasks.start_soon(release, go_on)

    [answer] = answers
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close\r\n" in answer
    assert answer.endswith(b'{"id":"late","many":0}')


async def release(event: anyio.Event) -> None:
    await anyio.sleep(0.2)
    event.set()


async def test_readiness_goes_before_the_listener(serve: Serve) -> None:
    seen: list[int] = []

    async def look(deployment: Deployment, stopping: anyio.Event) -> None:
        await stopping.wait()
        while True:
            try:
                answer = await deployment.send(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            except OSError:
                return
            seen.append(int(answer.split()[1]))

    stopping = anyio.Event()
    async with anyio.create_task_group() as tasks, serve(route(), drain=0.3) as deployment:
        tasks.start_soon(look, deployment, stopping)
        stopping.set()

    assert 503 in seen
    assert seen == sorted(seen), "once it isn't ready it stays so"
