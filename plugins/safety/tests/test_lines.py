"""Whom a person can reach: data that names its pages, and the sentence that is said of it."""

from __future__ import annotations

from datetime import date, timedelta
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tta_safety
from tta_kernel import Health
from tta_kernel.hookspecs import health
from tta_kernel.testing import running
from tta_safety import KINDS, SafetyPlugin
from tta_safety.lines import ALWAYS, ANY, LinesError, read_lines, shipped_lines

LINES = shipped_lines()
all_lines, countries, lines_for, outdated, spoken = (
    LINES.all_lines, LINES.countries, LINES.lines_for, LINES.outdated, LINES.spoken
)  # fmt: skip
help_lines = LINES.help_lines
DATA = files(tta_safety).joinpath("lines.yaml").read_text(encoding="utf-8")
READ = date(2026, 11, 29)
YEAR = 365 * 86400.0


def test_each_line_names_the_page_that_was_read_and_the_day() -> None:
    for line in all_lines():
        assert line.source.startswith("http"), line.name
        assert line.verified_on >= READ, line.name
        assert line.source not in line.also, line.name


def test_a_country_is_known_by_its_lines_those_for_the_kind_first_and_then_those_for_any_distress() -> None:
    names = [line.name for line in lines_for("us", "substance")]
    assert names[:2] == ["Poison Control", "SAMHSA's National Helpline"]
    assert names[2] == "988 Suicide & Crisis Lifeline"
    assert [line.phone for line in lines_for("US")][:1] == ["988"]
    assert {line.emergency_number for line in lines_for("US")} == {"911"}


@pytest.mark.parametrize("country", [*countries(), "", "KE", "nowhere"])
def test_everybody_gets_somebody_to_reach(country: str) -> None:
    for kind in ("", *KINDS, "child_safety", "method", "no such kind"):
        lines = lines_for(country, kind)
        assert any(ANY in line.topics for line in lines)
        assert all(line.phone or line.sms or line.chat_url for line in lines)
        for locale in ("en", "de", "es", "", "tlh"):
            said = help_lines(locale=locale, country=country, kind=kind)
            assert "{" not in said
            assert len(said.split()) <= 70


def test_of_equals_those_who_speak_the_language_come_first() -> None:
    assert lines_for("BE", locale="nl-BE")[0].phone == "1813"
    assert lines_for("BE", locale="fr-BE")[0].phone == "0800 32 123"
    assert lines_for("BE", locale="en")[0].phone == "02 648 40 14"


def test_a_locale_tells_the_country_where_nobody_else_does() -> None:
    assert lines_for("", locale="en-GB") == lines_for("GB", locale="en-GB")
    assert lines_for("", locale="zh-Hant-SG")[0].phone == "1767"
    assert lines_for("IE", locale="en-GB")[0].emergency_number == "112"


def test_where_no_page_confirmed_a_line_the_directory_is_named() -> None:
    (directory,) = lines_for("KE", "suicide")
    assert directory.chat_url == "https://findahelpline.com"
    said = help_lines(country="KE")
    assert "findahelpline.com" in said
    assert "988" not in said


def test_where_nobody_knows_the_country_the_number_that_several_share_is_named_too() -> None:
    said = help_lines()
    assert "findahelpline.com" in said
    assert "US and Canada you can call or text 988" in said


def test_the_emergency_number_is_said_first_and_few_lines_after_it_one_of_them_for_any_distress() -> None:
    said = spoken(lines_for("US", "substance"))
    assert said.startswith("If you are in danger right now, please call 911.")
    assert said.index("1-800-222-1222") < said.index("call or text 988, at any hour")
    assert "741741" not in said
    assert "text HOME to 741741" in spoken(lines_for("US"))
    assert "not at every hour" in spoken(lines_for("AU", "eating_disorder"))
    assert "local emergency number" in spoken(lines_for("KE"))


def test_lines_are_said_in_the_language_of_the_locale() -> None:
    assert "Wenn du jetzt in Gefahr bist, ruf bitte 112 an" in help_lines(locale="de-DE")
    assert "llama por favor al 112" in help_lines(locale="es_ES")
    assert help_lines(locale="fr-FR").startswith("If you are in danger")


def test_a_line_that_never_sleeps_is_among_those_that_are_said_wherever_there_is_one() -> None:
    for country in countries():
        for kind in ("", *KINDS):
            lines = lines_for(country, kind)
            always = [line for line in lines if line.hours == ALWAYS]
            said = spoken(lines)
            assert not always or any((line.phone or line.sms or "") in said for line in always), (country, kind)


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_no_country_kind_or_locale_is_too_strange(country: str, kind: str, locale: str) -> None:
    assert help_lines(country=country, kind=kind, locale=locale)


LINE = "{name: x, phone: '1', topics: [any], source: 'https://x.org/', verified_on: 2026-11-29}"


def data(line: str = LINE, country: str = "US") -> str:
    words = DATA[DATA.index("words:") : DATA.index("international:")]
    return f"{words}\ninternational: [{LINE}]\ncountries: {{{country}: {{lines: [{line}]}}}}"


def test_data_that_is_whole_is_read() -> None:
    assert read_lines(data()).lines_for("US")[0].phone == "1"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (data(LINE.replace("source: 'https://x.org/', ", "")), "source"),
        (data(LINE.replace(", verified_on: 2026-11-29", "")), "verified_on"),
        (data(LINE.replace("https://x.org/", "from memory")), "source"),
        (data(LINE.replace("phone: '1', ", "")), "US: 'x' has neither phone, sms nor chat_url"),
        (data(LINE.replace("phone: '1'", "phone: call us")), "phone"),
        (data(LINE.replace("[any]", "[sadness]")), "US: 'x' has the topic 'sadness'"),
        (data(LINE.replace("phone: '1'", "phone: '1', sms_word: HELLO")), "a word to text, and no number"),
        (data(LINE.replace("name: x", "name: x, fax: 1")), "fax"),
        (data(country="America"), "countries"),
        ("words: [", "can't be read"),
    ],
)
def test_data_with_a_mistake_is_refused_and_the_mistake_is_named(text: str, says: str) -> None:
    with pytest.raises(LinesError, match=says.replace("(", r"\(")):
        read_lines(text)


def test_what_was_read_too_long_ago_is_named() -> None:
    assert outdated(READ + timedelta(days=365), YEAR) == ()
    old = outdated(READ + timedelta(days=366), YEAR)
    assert "US: 988 Suicide & Crisis Lifeline" in old
    assert "US: 911" in old
    assert "international: Find A Helpline" in old


class Later(SafetyPlugin):
    """It is two years later than when the pages were read."""

    def today(self) -> date:
        return READ + timedelta(days=730)


async def test_the_health_check_warns_of_lines_to_be_verified_again() -> None:
    async with running({"safety": Later}) as kernel:
        old = (await kernel.ask(health))["safety"]
    async with running({"safety": Later}, config={"lines_max_age": "800d"}) as kernel:
        fine = (await kernel.ask(health))["safety"]
    assert isinstance(old, Health)
    assert isinstance(fine, Health)
    assert (old.status, fine.status) == ("degraded", "ok")
    assert "more (docs/crisis.md says how)" in old.detail
