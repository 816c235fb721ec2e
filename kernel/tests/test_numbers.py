"""Numbers that make no sense: refused where they enter, in config and in calls."""

from __future__ import annotations

import math
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct

from tta_kernel import (
    LONGEST,
    ConfigError,
    Duration,
    Event,
    Kernel,
    KernelSettings,
    Plugin,
    PluginSettings,
    PositiveDuration,
    Restart,
    check_count,
    check_duration,
    hookspec,
)
from tta_kernel.testing.numbers import NO_COUNTS, NO_DURATIONS
from tta_program import LayeredSettings, checked


class Times(Struct, frozen=True, forbid_unknown_fields=True):
    pause: Duration = 1.0
    limit: PositiveDuration = 1.0
    short: Annotated[PositiveDuration, Meta(le=60)] | None = None
    share: Annotated[float, Meta(ge=0, le=1)] = 0.5
    inner: tuple[Duration, ...] = ()


@pytest.mark.parametrize("settings", [KernelSettings, LayeredSettings])
@pytest.mark.parametrize("key", ["pause", "limit", "short"])
@pytest.mark.parametrize(
    "value",
    [*NO_DURATIONS, LONGEST + 1, "36501d", "-1s", ".inf", ".nan"],
)
def test_a_config_refuses_what_is_no_duration_and_says_where(
    settings: type[KernelSettings], key: str, value: object
) -> None:
    given = settings(plugins={"store": PluginSettings(config={key: value})})
    with pytest.raises(ConfigError, match=rf"plugins\.store\.config\.{key}: expected"):
        given.decode("store", Times)


@pytest.mark.parametrize("settings", [KernelSettings, LayeredSettings])
def test_a_limit_of_no_time_is_refused_and_a_pause_of_none_is_not(settings: type[KernelSettings]) -> None:
    given = settings(plugins={"store": PluginSettings(config={"pause": 0, "limit": "0s"})})
    with pytest.raises(ConfigError) as caught:
        given.decode("store", Times)
    assert [str(problem) for problem in caught.value.problems] == ["plugins.store.config.limit: expected float > 0.0"]


@pytest.mark.parametrize(
    "value",
    [*NO_DURATIONS, LONGEST + 1, None],
)
def test_a_call_refuses_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="wait is a number of seconds, at least 0 and at most 3153600000, not "):
        check_duration("wait", value)
    with pytest.raises(ValueError, match="limit is a number of seconds, more than 0"):
        check_duration("limit", value, positive=True)


def test_no_time_at_all_is_a_duration_unless_it_is_to_be_positive() -> None:
    for value in (0, 0.0, 0.5, LONGEST):
        check_duration("wait", value)
    with pytest.raises(ValueError, match="not 0"):
        check_duration("limit", 0, positive=True)


@pytest.mark.parametrize(
    "value",
    [*NO_COUNTS, 11, 10**400, None],
)
def test_a_call_refuses_what_is_no_count(value: object) -> None:
    with pytest.raises(ValueError, match="limit is a whole number, 1 to 10, not "):
        check_count("limit", value, most=10)
    check_count("limit", 10, most=10)
    check_count("retries", 0, least=0)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (Times(pause=math.nan), "times.pause: expected a duration"),
        (Times(limit=0), "times.limit: expected float > 0.0"),
        (Times(share=math.nan), "times.share: expected float >= 0.0"),
        (Times(inner=(1.0, math.inf)), "times.inner.1: expected a duration"),
        (Times(pause=object()), "unsupported"),  # type: ignore[arg-type]
    ],
)
def test_a_struct_that_was_built_by_hand_is_held_against_its_types(times: Times, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        checked("times", times)


def test_a_struct_that_fits_comes_back_as_a_config_would_give_it() -> None:
    assert checked("times", Times(pause="2m")) == Times(pause=120.0)  # type: ignore[arg-type]


NO_LIMITS = [*NO_DURATIONS, 0, -1, LONGEST + 1, "30s", None]


@pytest.mark.parametrize("value", NO_LIMITS)
@pytest.mark.parametrize("settings", [KernelSettings, LayeredSettings])
def test_settings_that_code_builds_refuse_time_limits_that_make_no_sense(
    settings: type[KernelSettings], value: Any
) -> None:
    for key in ("start_timeout", "stop_timeout"):
        with pytest.raises(ValueError, match=f"{key} is a number of seconds, more than 0"):
            settings(**{key: value})
    with pytest.raises(ValueError, match="health is a number of seconds, more than 0"):
        settings(hook_timeouts={"health": value})


def test_a_time_limit_for_what_is_no_name_of_a_hook_is_a_problem() -> None:
    settings = KernelSettings(hook_timeouts={5: 1})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match=r"kernel\.hook_timeouts\.5: no enabled plugin specifies an async hook"):
        Kernel(settings, plugins={})


@pytest.mark.parametrize("value", NO_LIMITS)
def test_a_specification_refuses_a_time_limit_that_makes_no_sense(value: Any) -> None:
    with pytest.raises(ValueError, match="timeout is a number of seconds, more than 0"):
        hookspec(timeout=value)


@pytest.mark.parametrize("value", [*NO_COUNTS, None, 10**400])
def test_a_buffer_of_events_holds_at_least_one(value: Any) -> None:
    with pytest.raises(ValueError, match="buffer is a whole number, 1 to 1,000,000"):
        Kernel(plugins={}).events.attach(Event, buffer=value)


@pytest.mark.parametrize("value", [it for it in NO_LIMITS if it is not None])
@pytest.mark.parametrize("key", ["start_timeout", "stop_timeout"])
def test_a_class_states_time_limits_that_make_sense(key: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=rf"Hasty\.{key} is a "):
        type("Hasty", (Plugin,), {key: value})


def test_a_restart_refuses_numbers_that_make_no_sense() -> None:
    for value in NO_LIMITS:
        with pytest.raises(ValueError, match="within is a number of seconds, more than 0"):
            Restart(within=value)
    for times in (math.nan, math.inf, -1, 1.5, True):
        with pytest.raises(ValueError, match="times is a whole number, at least 0"):
            Restart(times=times)  # type: ignore[arg-type]
    assert Restart(times=0).times == 0
