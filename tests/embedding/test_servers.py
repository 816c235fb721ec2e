"""Web servers that run the story: aiohttp, FastAPI on uvicorn, Flask, and gunicorn with and without preloading."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path

import msgspec
import pytest

from tta_redis.testing.server import free_port, wait_until

from .host import PAGE, Client, Gate, Held, Host, Process, program


class Server(msgspec.Struct, frozen=True):
    """How the page runs one: the section of each file, and the command; ``streams`` is where a story is told."""

    files: dict[str, str]
    command: str
    streams: str = "/streams"
    workers: int = 1


FLASK = {"story.py": "One kernel for each process", "web.py": "Flask"}
GUNICORN = "gunicorn --bind 127.0.0.1:8080 --workers 2 --threads 4 web:app"
SERVERS = {
    "aiohttp": Server({"story.py": "aiohttp"}, "python -m aiohttp.web -H 127.0.0.1 -P 8080 story:make_app", "/turns"),
    "uvicorn": Server({"story.py": "FastAPI and Starlette"}, "uvicorn story:app --port 8080"),
    "flask": Server(FLASK, "flask --app web run --port 8080"),
    "gunicorn": Server({**FLASK, "gunicorn.conf.py": "gunicorn"}, GUNICORN, workers=2),
    "gunicorn-preloaded": Server({**FLASK, "gunicorn.conf.py": "gunicorn"}, f"{GUNICORN} --preload", workers=2),
}


class Site:
    """A server that runs, and somebody who talks to it."""

    def __init__(self, server: Server, host: Host, edit: Callable[[str], str]) -> None:
        self.host = host
        for name, section in server.files.items():
            host.write(name, edit(program(section)))
        port = free_port()
        module, *arguments = server.command.removeprefix("python -m ").replace("8080", str(port)).split()
        self.process: Process = host.start(module, *arguments)
        self.client = Client(port)
        wait_until(lambda: self.process.alive and self.client.answers(), "the server listens", limit=30)
        if "gunicorn.conf.py" in server.files:
            wait_until(lambda: len(host.running) >= server.workers, "its workers run", limit=30)
        self._streams = server.streams

    def play(self, session: str, text: str = "look around") -> bytes:
        """Let a story be told to its end, and return it."""
        return self.client.post(f"{self._streams}/{session}", text).read()

    def crash(self) -> None:
        """Let a turn take the kernel down, whatever becomes of its answer."""
        with suppress(HTTPException, OSError):
            self.play("crash")

    def begin(self, session: str) -> tuple[HTTPResponse, Held]:
        """Begin a story of which one sentence is told, and the next one held."""
        answer = self.client.post(f"{self._streams}/half-{session}", "look around")
        return answer, self.host.gate.arrival()


@contextmanager
def running(server: Server, folder: Path, edit: Callable[[str], str] = lambda code: code) -> Iterator[Site]:
    """Run a server by the page's files, after an edit that the page suggests."""
    with Gate() as gate, Host(folder, gate) as host:
        site = Site(server, host, edit)
        yield site
        site.client.close()


def each(*names: str) -> pytest.MarkDecorator:
    """Try these servers, and all tests of one in one process of pytest-xdist: there it is started once."""
    params = [pytest.param(SERVERS[name], id=name, marks=pytest.mark.xdist_group(name)) for name in names]
    return pytest.mark.parametrize("server", params, scope="module")


@pytest.fixture(scope="module")
def shared(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give a server for the tests that leave it running; each has a session of its own."""
    with running(server, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def own(server: Server, tmp_path: Path) -> Iterator[Site]:
    """Give a server that the test may end."""
    with running(server, tmp_path) as site:
        yield site


@each(*SERVERS)
def test_the_page_has_the_command(server: Server) -> None:
    assert f"`{server.command.removesuffix(' --preload')}`" in PAGE


@each(*SERVERS)
def test_a_story_is_told_as_it_is_written(shared: Site) -> None:
    answer, held = shared.begin("told")
    assert answer.status == 200
    assert answer.read1().rstrip().endswith(b".")
    held.go()
    assert len(answer.read().split()) > 20


@each(*SERVERS)
def test_what_cannot_be_played_is_refused_in_words(shared: Site) -> None:
    answer = shared.client.post("/turns/refused", " ")
    assert answer.status == 400
    assert b"write what you would like to do" in answer.read()
    assert b"write what you would like to do" in shared.play("refused", " ")


@each(*SERVERS)
def test_many_are_told_their_stories_at_once(shared: Site) -> None:
    # As many as one worker of gunicorn's has threads, since it may take them all.
    sessions = [f"held-{n}" for n in range(4)]
    with ThreadPoolExecutor(len(sessions)) as threads:
        stories = [threads.submit(shared.play, session) for session in sessions]
        held = [shared.host.gate.arrival() for _ in sessions]
        assert sorted(each.session for each in held) == sessions
        for each in held:
            each.go()
        assert all(len(story.result().split()) > 20 for story in stories)


@each(*SERVERS)
def test_a_reader_that_leaves_holds_nobody_up(shared: Site) -> None:
    answer, held = shared.begin("left")
    answer.read1()
    shared.client.close()
    held.go()
    assert len(shared.play("half-left", "wait").split()) > 3


# Flask's own server is for development, and doesn't wait.
@each(*(name for name in SERVERS if name != "flask"))
def test_a_turn_that_is_being_told_is_told_to_its_end_and_the_kernel_stopped(own: Site) -> None:
    answer, held = own.begin("told")
    own.process.signal(signal.SIGTERM)
    held.go()
    assert len(answer.read().split()) > 20
    own.process.wait()
    assert own.host.running == []


@each("uvicorn")
def test_a_turn_that_never_ends_is_cancelled_when_uvicorn_has_waited_enough(server: Server, tmp_path: Path) -> None:
    patience = "--timeout-graceful-shutdown"
    assert patience in PAGE
    impatient = msgspec.structs.replace(server, command=f"{server.command} {patience} 1")
    with running(impatient, tmp_path) as site:
        _, held = site.begin("never")
        site.process.signal(signal.SIGTERM)
        held.until_it_ends()
        site.process.wait()
        assert site.host.running == []


@each("gunicorn-preloaded")
def test_a_kernel_that_was_started_before_the_fork_stays_with_the_parent(server: Server, tmp_path: Path) -> None:
    with running(server, tmp_path, lambda code: f"{code}\nstory.start()\n" if "Flask(" in code else code) as site:
        wait_until(lambda: len(site.host.running) == 3, "the parent and each worker have a kernel")
        assert len(site.play("me").split()) > 20
        site.process.signal(signal.SIGTERM)
        assert site.process.wait() == 0
        assert site.host.running == []


@each("flask")
def test_flasks_own_server_ends_the_turn_at_once_and_stops_the_kernel(own: Site) -> None:
    answer, held = own.begin("told")
    answer.read1()
    own.process.signal(signal.SIGINT)
    held.until_it_ends()
    own.process.wait()
    assert own.host.running == []


def end_with_it(code: str) -> str:
    return f"import ending\n{code.replace('Kernel(load())', 'ending.make_kernel()')}"


@pytest.fixture
def ending(server: Server, tmp_path: Path) -> Iterator[Site]:
    """Give a server that ends with its kernel."""
    (tmp_path / "ending.py").write_text(program("A host that should end with its kernel"), encoding="utf-8")
    with running(server, tmp_path, end_with_it) as site:
        yield site


@each("aiohttp", "uvicorn")
def test_a_server_ends_with_its_kernel_where_it_should(ending: Site) -> None:
    ending.crash()
    ending.process.wait()
    assert ending.host.running == []


@each("gunicorn")
def test_gunicorn_replaces_a_worker_that_ends_with_its_kernel(ending: Site) -> None:
    workers = ending.host.running
    ending.crash()
    wait_until(lambda: len(ending.host.running) == 2 and ending.host.running != workers, "it is replaced", limit=30)
    assert len(ending.play("me").split()) > 20


@each("flask")
def test_a_kernel_that_crashed_is_made_anew_by_the_next_request(own: Site) -> None:
    own.crash()
    wait_until(lambda: own.client.post("/turns/me", "look around").status == 200, "a new one answers")


@each("gunicorn", "gunicorn-preloaded")
def test_a_worker_that_is_killed_is_replaced_and_the_new_one_has_a_kernel_of_its_own(own: Site) -> None:
    workers = own.host.running
    assert len(workers) == 2
    assert own.process.pid not in workers
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: len(own.host.running) == 3, "a new one has a kernel", limit=30)
    assert len(own.play("me").split()) > 20
    own.process.signal(signal.SIGTERM)
    assert own.process.wait() == 0
    assert own.host.running == workers[:1]
