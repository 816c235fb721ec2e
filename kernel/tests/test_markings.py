"""Whatever pluggy lets an author mark is asked as specified, or told: no check looks absent that somebody wrote."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

from tta_kernel import (
    ConfigError,
    Kernel,
    KernelSettings,
    NoConfig,
    Plugin,
    PluginError,
    PluginSettings,
    hookimpl,
    hookspec,
)
from tta_program.__main__ import main


@hookspec()
async def check_tea(cup: str, strength: int = 3) -> str:
    """Say whether the tea is good."""
    raise AssertionError("a specification is never called")


@hookspec()
def brews(cup: str) -> Sequence[str]:
    """List what can be brewed."""
    raise AssertionError("a specification is never called")


SPECS = ModuleType("specs")
vars(SPECS).update(check_tea=check_tea, brews=brews)
OPTIONAL = KernelSettings(plugins={"x": PluginSettings(required=False)})


class Tea(Plugin[NoConfig]):
    hookspecs = SPECS


def kernel(body: Mapping[str, Any], settings: KernelSettings = OPTIONAL) -> Kernel:
    """Make a kernel with an optional plugin of such a class beside the one that specifies the hooks."""
    return Kernel(settings, plugins={"tea": Tea, "x": type("Odd", (Plugin,), dict(body))})


async def good(self: object, cup: str) -> str:
    return f"good {cup}"


def some(self: object, cup: str) -> Sequence[str]:
    return (cup,)


def marked(function: Any, **options: Any) -> Any:
    """Mark a copy: the mark lies on the function itself."""
    if isinstance(function, FunctionType):
        copied = FunctionType(function.__code__, function.__globals__, argdefs=function.__defaults__)
        copied.__kwdefaults__ = function.__kwdefaults__
        function = copied
    mark: Any = hookimpl
    return mark(**options)(function)


class Found:
    """Stands in a class for a marked function, as pluggy would find it."""

    def __get__(self, plugin: object, cls: object) -> Any:
        return marked(good)


def written(source: str) -> Callable[..., Any]:
    """Return the function ``f`` of a source, for what the tree's rules would not let stand here."""
    names: dict[str, Any] = {}
    exec(source, names)
    found: Callable[..., Any] = names["f"]
    return found


ASKED = {
    "all of it": "async def f(self, cup, strength): return f'{cup} {strength}'",
    "none of it": "async def f(self): return 'red 5'",
    "with defaults": "async def f(self, cup='none', strength=0): return f'{cup} {strength}'",
    "in another order": "async def f(self, strength, cup): return f'{cup} {strength}'",
    "by position only": "async def f(self, cup, strength, /): return f'{cup} {strength}'",
    "with another name for self": "async def f(this, cup, strength=0): return f'{cup} {strength}'",
}


@pytest.mark.parametrize("source", ASKED.values(), ids=ASKED.keys())
async def test_an_implementation_gets_what_is_asked(source: str) -> None:
    async with kernel({"check_tea": hookimpl(written(source))}) as it:
        assert await it.ask(check_tea, "red", 5) == {"x": "red 5"}


async def test_a_wrapped_function_gets_what_the_wrapped_one_takes() -> None:
    @functools.wraps(good)
    async def around(*args: Any) -> str:
        return "very " + await good(*args)

    async with kernel({"check_tea": hookimpl(around)}) as it:
        assert await it.ask(check_tea, "red") == {"x": "very good red"}


async def test_another_name_of_the_method_and_a_lambda_will_do() -> None:
    body = {"_check": marked(good, specname="check_tea"), "brews": hookimpl(lambda self, cup: [cup])}
    async with kernel(body) as it:
        assert await it.ask(check_tea, "red") == {"x": "good red"}
        assert it.hooks.collect(brews, "red") == {"x": ["red"]}


async def test_who_is_marked_first_or_last_is_asked_first_or_last() -> None:
    methods = {"a": marked(good, trylast=True), "b": marked(good), "c": marked(good, tryfirst=True)}
    made = {name: type("Odd", (Plugin,), {"check_tea": method}) for name, method in methods.items()}
    async with Kernel(plugins={"tea": Tea, **made}) as it:
        assert [*await it.ask(check_tea, "red")] == it.hooks.implementers(check_tea) == ["c", "b", "a"]


async def yields(self: object, cup: str) -> AsyncIterator[str]:
    yield cup


def plainly_yields(self: object, cup: str) -> Iterator[str]:
    yield cup


class Asks:
    """An object that is called like a function."""

    async def __call__(self, cup: str) -> str:
        return cup


ASYNC = "`async def check_tea(self, cup, strength)`"
REFUSED: dict[str, tuple[str, Any, str]] = {
    "wrapper": ("check_tea", marked(good, wrapper=True), "is marked as a wrapper"),
    "hookwrapper": ("check_tea", marked(yields, hookwrapper=True), "is marked as a wrapper"),
    "first and last": ("check_tea", marked(good, tryfirst=True, trylast=True), "is marked `tryfirst` and `trylast`"),
    "property": ("check_tea", property(marked(lambda self: "x")), "is a property"),
    "cached property": ("check_tea", functools.cached_property(marked(lambda self: "x")), "is a cached_property"),
    "static method": ("check_tea", staticmethod(marked(good)), "is a staticmethod"),
    "static method, marked outside": ("check_tea", marked(staticmethod(good)), "is a staticmethod"),
    "class method": ("check_tea", classmethod(marked(good)), "is a classmethod"),
    "partial method": ("check_tea", functools.partialmethod(marked(good), "x"), "is a partialmethod"),
    "object that is called": ("check_tea", marked(Asks()), "is a Asks"),
    "plain for async": ("check_tea", marked(some), "must be an `async def`"),
    "lambda for async": ("check_tea", marked(lambda self: "x"), "must be an `async def`"),
    "async for plain": ("brews", marked(good), "must be an `async def` where its hookspec is one, and only there"),
    "async generator": ("check_tea", marked(yields), "yields, where one answer is due"),
    "generator": ("brews", marked(plainly_yields), "yields, where one answer is due"),
    "context manager": ("check_tea", hookimpl(asynccontextmanager(yields)), "must be an `async def`"),
    "keyword only": ("check_tea", marked(written("async def f(self, *, cup): ...")), "takes `cup`"),
    "keyword only, default": ("check_tea", marked(written("async def f(self, *, cup='x'): ...")), "takes `cup='x'`"),
    "any arguments": ("check_tea", marked(written("async def f(*args): ...")), "takes `*args`"),
    "any keywords": ("check_tea", marked(written("async def f(self, **more): ...")), "takes `**more`"),
    "unknown argument": ("check_tea", marked(written("async def f(self, cups): ...")), "takes `cups`"),
    "unknown, default": ("check_tea", marked(written("async def f(self, cups=''): ...")), "takes `cups=''`"),
    "nothing at all": ("check_tea", marked(written("async def f(): ...")), "takes no `self`"),
    "not marked": ("check_tea", good, "is called like it, and not marked"),
    "found by a descriptor": ("check_tea", Found(), "is called like it, and not marked"),
    "not marked, static": ("check_tea", staticmethod(good), "is called like it, and not marked"),
    "for another name": ("_check", marked(some, specname="check_tea"), "must be an `async def`"),
}


@pytest.mark.parametrize(("name", "method", "told"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_cannot_be_asked_as_specified_is_told_and_never_absent(name: str, method: Any, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        kernel({name: method}, KernelSettings())
    [problem] = caught.value.problems
    hook = "brews" if name == "brews" else "check_tea"
    form = "`def brews(self, cup)`" if name == "brews" else ASYNC
    assert problem.where == "plugin 'x'"
    assert problem.what.startswith(f"hook '{hook}': Odd.{name} {told}")
    assert form in problem.hint
    async with kernel({name: method}) as it:
        answers = it.hooks.collect(brews, "red") if name == "brews" else await it.ask(check_tea, "red")
        assert isinstance(answers["x"], PluginError)
        assert it.hooks.implementers(brews if name == "brews" else check_tea) == ["x"]


async def test_a_wrong_mark_takes_no_other_check_of_the_plugin_away() -> None:
    async with kernel({"check_tea": marked(good), "brews": staticmethod(marked(some))}) as it:
        [answer] = (await it.ask(check_tea, "red")).values()
        assert isinstance(answer, PluginError)


async def test_one_hook_implemented_twice_is_told() -> None:
    body = {"check_tea": marked(good), "other": marked(good, specname="check_tea")}
    with pytest.raises(ConfigError, match=r"hook 'check_tea': Odd\.other implements it beside 'check_tea'"):
        kernel(body, KernelSettings())


async def test_a_method_of_another_name_leaves_the_hook_s_name_free() -> None:
    async with kernel({"_check": marked(good, specname="check_tea"), "check_tea": lambda self: None}) as it:
        assert await it.ask(check_tea, "red") == {"x": "good red"}


@pytest.mark.parametrize("mark", [hookimpl, lambda function: function])
def test_what_is_set_on_the_instance_is_told(mark: Callable[..., Any]) -> None:
    def build(self: Any, config: NoConfig) -> None:
        self.config = config
        self.check_tea = mark(lambda cup: cup)

    with pytest.raises(ConfigError, match=r"hook 'check_tea': Odd\.check_tea is"):
        kernel({"__init__": build, "check_tea": marked(good)}, KernelSettings())


def test_a_base_class_s_mark_counts_unless_the_method_is_written_anew() -> None:
    class Checks(Plugin[NoConfig]):
        @hookimpl
        async def check_tea(self, cup: str) -> str:
            return cup

    class Again(Checks):
        async def check_tea(self, cup: str) -> str:
            return "other"

    assert Kernel(plugins={"tea": Tea, "x": Checks}).hooks.implementers(check_tea) == ["x"]
    with pytest.raises(ConfigError, match=r"Again\.check_tea is called like it, and not marked"):
        Kernel(plugins={"tea": Tea, "x": Again})


def test_a_hook_that_nobody_specifies_is_told_unless_it_is_optional() -> None:
    with pytest.raises(ConfigError, match="implements an unknown hook 'weigh_tea'"):
        kernel({"weigh_tea": marked(good)}, KernelSettings())
    with pytest.raises(ConfigError, match="implements an unknown hook '5'"):
        kernel({"check": marked(good, specname=5)}, KernelSettings())
    assert kernel({"weigh_tea": marked(good, optionalhook=True)}).records["x"].usable


@pytest.mark.parametrize("optional", [False, True])
async def test_a_slip_in_the_name_of_a_hook_is_told_and_its_check_never_looks_absent(optional: bool) -> None:
    slip = {"chek_tea": marked(good, optionalhook=optional)}
    with pytest.raises(ConfigError, match=r"hook 'check_tea': .*chek_tea is called 'chek_tea', as no hook is"):
        kernel(slip, KernelSettings())
    settings = KernelSettings(plugins={"x": PluginSettings(required=False)})
    async with kernel(slip, settings) as found:
        assert isinstance((await found.ask(check_tea, "green"))["x"], Exception)


async def test_properties_are_not_evaluated_to_find_hooks() -> None:
    def never(self: object) -> str:
        raise AssertionError("evaluated")

    async with kernel({"cup": property(never), "check_tea": marked(good)}) as it:
        assert await it.ask(check_tea, "red") == {"x": "good red"}


class Abstract(Plugin[NoConfig]):
    """Can't be constructed."""

    def __new__(cls, *args: Any) -> Any:
        raise TypeError("abstract")

    @hookimpl
    async def check_tea(self, cup: str) -> str:
        return cup


async def test_what_could_not_be_made_is_an_implementer_that_fails() -> None:
    async with Kernel(OPTIONAL, plugins={"tea": Tea, "x": Abstract}) as it:
        [answer] = (await it.ask(check_tea, "red")).values()
        assert isinstance(answer, PluginError)


@pytest.mark.parametrize("name", ["__dir__", "__eq__"])
async def test_a_class_whose_hooks_cannot_be_found_fails_for_all_of_them(name: str) -> None:
    def fails(self: object, *other: object) -> Any:
        raise OSError("odd")

    async with kernel({name: fails, "check_tea": marked(good)}) as it:
        answers = await it.ask(check_tea, "red")
        assert answers == {"x": "good red"} or isinstance(answers["x"], PluginError)


BROKEN = {
    "its import fails": "raise OSError('no libfoo')",
    "its class is refused": "from tta_kernel import Plugin\nclass P(Plugin):\n    start_timeout = 'soon'\n",
    "its mark is refused": (
        "from tta_kernel import NoConfig, Plugin, hookimpl\nclass P(Plugin[NoConfig]):\n"
        "    @hookimpl\n    @property\n    def check_tea(self): return ''\n"
    ),
    "it has no class": "",
}


@pytest.mark.parametrize("code", BROKEN.values(), ids=BROKEN.keys())
async def test_an_enabled_plugin_without_a_class_fails_for_every_hook(
    ship: Callable[..., Path], code: str, request: pytest.FixtureRequest
) -> None:
    module = f"broken_{[*BROKEN.values()].index(code)}"
    ship(module, f"broken-tea = {module}:P", code)
    settings = KernelSettings(autoload=False, plugins={"broken-tea": PluginSettings(required=False)})
    async with Kernel(settings, plugins={"tea": Tea}, installed=True) as it:
        [answer] = (await it.ask(check_tea, "red")).values()
        assert isinstance(answer, PluginError)
        assert "broken-tea" in str(answer)
        assert it.hooks.implementers(check_tea) == []
    off = KernelSettings(autoload=False, plugins={"broken-tea": PluginSettings(enabled=False)})
    async with Kernel(off, plugins={"tea": Tea}, installed=True) as it:
        assert await it.ask(check_tea, "red") == {}


async def test_a_check_whose_vocabulary_is_disabled_fails_too() -> None:
    plugins = {"x": PluginSettings(required=False), "tea": PluginSettings(enabled=False)}
    async with kernel({"check_tea": marked(good)}, KernelSettings(plugins=plugins)) as it:
        [answer] = (await it.ask(check_tea, "red")).values()
        assert isinstance(answer, PluginError)


def test_tta_check_names_plugin_method_and_the_way_out(
    ship: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = (
        "from tta_kernel import NoConfig, Plugin, hookimpl\nclass Shy(Plugin[NoConfig]):\n"
        "    @staticmethod\n    @hookimpl\n    async def health(): ...\n"
    )
    ship("shy-health", "shy-health = shy_health:Shy", code)
    (tmp_path / "base.yaml").write_text("kernel: {autoload: false}\nplugins: {shy-health: {}}\n")
    (tmp_path / "development.yaml").write_text("")
    assert main(["check", "--config", str(tmp_path)]) == 1
    assert (
        "plugin 'shy-health': hook 'health': Shy.health is a staticmethod; mark it `@hookimpl`, "
        "and write it as `async def health(self)`, with all or some of these"
    ) in capsys.readouterr().out
