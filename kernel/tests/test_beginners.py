"""What is easily got wrong in a first plugin, or by a first host, is told with what, where, and the way out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tta_kernel import ConfigError, Context, Kernel, KernelError, NoConfig, Plugin, PluginError, Service
from tta_kernel.testing import running

BOOKS = Service[str]("books")
HERE = r"(kernel\.tests\.)?test_beginners"


class Shelf(Plugin[NoConfig]):
    provides = (BOOKS,)

    @asynccontextmanager
    async def lifespan(self, ctx: Context) -> AsyncIterator[None]:
        ctx.provide(BOOKS, "all of them")
        yield


def plugin(**attributes: Any) -> type[Plugin[Any]]:
    return type("First", (Plugin,), {"__module__": __name__, **attributes})


def starting(body: Callable[[Context], object]) -> type[Plugin[Any]]:
    @asynccontextmanager
    async def lifespan(self: object, ctx: Context) -> AsyncIterator[None]:
        body(ctx)
        yield

    return plugin(lifespan=lifespan)


async def bare_generator(self: object, ctx: Context) -> AsyncIterator[None]:
    yield


async def bare_coroutine(self: object, ctx: Context) -> None:
    pass


async def no_yield(self: object, ctx: Context) -> None:
    pass


FORMS = {
    "not decorated": bare_generator,
    "not decorated, without a yield": bare_coroutine,
    "without a yield": asynccontextmanager(no_yield),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("lifespan", FORMS.values(), ids=FORMS)
def test_a_lifespan_of_another_form_is_refused_with_its_class(lifespan: Any) -> None:
    with pytest.raises(
        TypeError, match=r"First\.lifespan is written `@asynccontextmanager`, `async def lifespan\(self"
    ):
        plugin(lifespan=lifespan)


def test_a_lifespan_may_return_a_context_manager_of_its_own() -> None:
    plugin(lifespan=lambda self, ctx: asynccontextmanager(bare_generator)(self, ctx))


async def test_what_is_called_wrongly_is_told_with_the_module_of_its_class() -> None:
    @asynccontextmanager
    async def lifespan(self: object) -> AsyncIterator[None]:
        yield

    with pytest.raises(PluginError, match=rf"takes 1 positional argument but 2 were given'\) at the call of {HERE}$"):
        async with running({"first": plugin(lifespan=lifespan)}):
            raise AssertionError


def test_a_constructor_that_takes_no_config_is_told_with_its_module() -> None:
    with pytest.raises(ConfigError, match=rf"could not be made: TypeError\(.*\) at the call of {HERE}$"):
        Kernel(plugins={"first": plugin(__init__=lambda self: None)})


@pytest.mark.parametrize("wrong", [("books",), BOOKS, "books", [BOOKS]])
def test_what_an_attribute_should_be_is_told_in_the_words_of_an_author(wrong: object) -> None:
    kind = type(wrong).__name__
    with pytest.raises(TypeError, match=rf"First\.requires is a {kind}, and not as in tuple\[.*Service\["):
        plugin(requires=wrong)


@pytest.mark.parametrize("wrong", [int, object(), "first:First"], ids=["class", "object", "name"])
def test_a_host_s_own_class_that_is_no_plugin_is_named(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"^plugin 'first': .* is no subclass of tta_kernel.Plugin"):
        Kernel(plugins={"first": wrong, "shelf": Shelf})


def test_a_key_that_was_written_twice_is_told_from_one_that_nobody_provides() -> None:
    own = Service[str]("books")
    with pytest.raises(ConfigError, match=r"another key of that name is provided: import that one, and make none"):
        Kernel(plugins={"first": plugin(requires=(own,)), "shelf": Shelf})


@pytest.mark.parametrize("key", [Service[str]("books"), "books"], ids=["its own", "text"])
async def test_a_host_that_asks_with_another_key_is_told_so(key: Any) -> None:
    async with Kernel(plugins={"shelf": Shelf}) as kernel:
        with pytest.raises(
            KernelError, match=r"no running plugin provides .*books.*; install one, or import the key from where"
        ):
            kernel.get(key)


async def test_what_is_no_event_is_refused_where_it_is_published() -> None:
    with pytest.raises(PluginError, match=r"TypeError\('a dict is no Event'\) at .*test_beginners.py:"):
        async with running({"first": starting(lambda ctx: ctx.publish({"rang": 1}))}):  # type: ignore[arg-type]
            raise AssertionError
