"""A host's own tests: pytest with anyio, pytest-asyncio and pytest-aiohttp, each in a project of its own."""

from __future__ import annotations

import pytest

from .host import PAGE, Host, program

# A warning of the host's is one that we have caused, such as a task that was left behind.
STRICT = "[pytest]\nfilterwarnings = error\n"
PLUGINS = {"anyio", "asyncio", "aiohttp"}
MARK = "@pytest.mark.asyncio\n"
SECOND = """

{mark}async def test_the_next_one_is_played(kernel: Kernel) -> None:
    response = await kernel.get(ORCHESTRATION).process_user_input("look around", "me")
    assert response.turn == {turn}
"""


def run_pytest(host: Host, *plugins: str, mode: str = "strict") -> str:
    """Run the project's tests with these plugins alone."""
    of_asyncio = f"asyncio_default_fixture_loop_scope = function\nasyncio_mode = {mode}\n"
    host.write("pytest.ini", STRICT + of_asyncio if "asyncio" in plugins else STRICT)
    without = [f"-pno:{plugin}" for plugin in PLUGINS.difference(plugins)]
    return host.run("pytest", "-q", "-p", "no:cacheprovider", *without, "test_host.py")


def test_anyios_plugin_holds_a_kernel_in_a_fixture(host: Host) -> None:
    host.write("test_host.py", program("Tests of a host"))
    assert "1 passed" in run_pytest(host, "anyio")


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_pytest_asyncio_makes_a_kernel_for_each_test(host: Host, mode: str) -> None:
    code = program("Tests with pytest-asyncio") + SECOND.format(mark=MARK, turn=1)
    if mode == "auto":
        code = code.replace(MARK, "").replace("@pytest_asyncio.fixture\n", "@pytest.fixture\n")
    host.write("test_host.py", code)
    assert "2 passed" in run_pytest(host, "asyncio", mode=mode)
    assert host.running == []


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_pytest_asyncio_makes_one_kernel_for_all_tests(host: Host, mode: str) -> None:
    scope = 'scope="session", loop_scope="session"'
    mark = '@pytest.mark.asyncio(loop_scope="session")\n'
    code = program("Tests with pytest-asyncio") + SECOND.format(mark=MARK, turn=2)
    assert f"`{scope}`" in PAGE
    code = code.replace(MARK, mark).replace("@pytest_asyncio.fixture\n", f"@pytest_asyncio.fixture({scope})\n")
    host.write("test_host.py", code)
    assert "2 passed" in run_pytest(host, "asyncio", mode=mode)
    assert host.running == []


def test_pytest_asyncio_may_close_the_kernels_event_loop_first(host: Host) -> None:
    """A host that forgets `aclose`: its run ends all the same."""
    code = program("Tests with pytest-asyncio").replace("    await kernel.aclose()\n", "")
    host.write("test_host.py", code)
    assert "1 passed" in run_pytest(host, "asyncio")


def test_pytest_aiohttp_runs_the_application(host: Host) -> None:
    host.write("story.py", program("aiohttp"))
    host.write("test_host.py", program("Tests with pytest-aiohttp"))
    assert "1 passed" in run_pytest(host, "asyncio", "aiohttp", mode="auto")
    assert host.running == []


TEST_CLIENT = """\
from fastapi.testclient import TestClient

import story


def test_a_turn_is_played_and_told() -> None:
    with TestClient(story.app) as client:
        assert len(client.post("/turns/me", content="look around").text.split()) > 20
        with client.stream("POST", "/streams/me", content="wait") as answer:
            assert len("".join(answer.iter_text()).split()) > 3
        assert client.post("/turns/me", content="").status_code == 400
"""


def test_fastapis_client_runs_the_lifespan_too(host: Host) -> None:
    host.write("story.py", program("FastAPI and Starlette"))
    host.write("test_host.py", TEST_CLIENT)
    assert "1 passed" in run_pytest(host)
    assert host.running == []


STREAM = """

@pytest_asyncio.fixture
async def sentences(kernel: Kernel) -> AsyncIterator[AsyncIterator[str]]:
    async with kernel.get(ORCHESTRATION).stream_user_input("look around", "me") as sentences:
        yield sentences


{mark}async def test_a_story_is_heard(sentences: AsyncIterator[str]) -> None:
    assert len([sentence async for sentence in sentences]) > 2


{mark}async def test_half_a_story_is_heard(sentences: AsyncIterator[str]) -> None:
    await anext(sentences)
"""


def test_a_fixture_of_pytest_asyncio_may_hold_a_story(host: Host) -> None:
    host.write("test_host.py", program("Tests with pytest-asyncio") + STREAM.format(mark=MARK))
    assert "3 passed" in run_pytest(host, "asyncio")
    assert host.running == []
