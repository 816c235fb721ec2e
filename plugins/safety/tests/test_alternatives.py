"""What is said in place of a text: each category, severity and language against the rubric."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tta_safety import CATEGORIES, KINDS
from tta_safety.alternatives import alternative, fallback, known_languages
from tta_safety.lines import shipped_lines

SEVERITIES = range(7)
EVERY = [(name, severity, language) for name in CATEGORIES for severity in SEVERITIES for language in known_languages()]
IN_NEED = {*KINDS, "child_safety", "method", "dosage", "abandonment", "delusion", "false_claim"}
SUPPORT: Mapping[str, str] = {"en": "support", "de": "unterstütz", "es": "apoyarte"}
CLAIMS = (
    r"\bI(?:'m| am) (?:a |your )?(?:human|person|therapist|doctor|counsellor|nurse)\b",
    r"\bI(?:'ve| have)? (?:called|alerted|contacted|notified)\b",
    r"\bich bin (?:ein |dein )?(?:Mensch|Therapeut|Arzt)\b",
    r"\bich habe \w+ (?:angerufen|verständigt|alarmiert)\b",
    r"(?<!no )\bsoy (?:un |una |tu )?(?:humano|persona|terapeuta|médico)\b",
    r"\bhe (?:llamado|avisado|contactado)\b",
    r"\b(?:diagnos|guarante|promise|everything will be|versprech|garant|promet)",
    r"\b(?:committed suicide|successful|failed attempt|crazy|attention-seeking)\b",
    r"\b(?:pills|rope|gun|bridge|knife|blade|train|mg|milligram|grams)\b",
)
TURNS_AWAY = (
    r"\b(?:can't help|cannot help|can't continue|conversation is over|goodbye|leave now|kann dir nicht helfen)\b"
)

countries, help_lines = shipped_lines().countries, shipped_lines().help_lines


@pytest.mark.parametrize("name", CATEGORIES)
@pytest.mark.parametrize("language", known_languages())
@pytest.mark.parametrize("country", ["US", "GB", "DE", ""])
def test_each_alternative_holds_against_the_rubric(name: str, language: str, country: str) -> None:
    emergency = help_lines(locale=language, country=country).partition(".")[0]
    lines = help_lines(locale=language, country=country, kind=name)
    for severity in SEVERITIES:
        said = alternative(name, severity, language, country)
        assert SUPPORT[language] in said
        assert "{" not in said
        assert (emergency in said) is (name in IN_NEED or severity >= 3)
        written = said.replace(lines, "")
        for claim in (*CLAIMS, TURNS_AWAY):
            assert not re.search(claim, written, re.IGNORECASE), (severity, claim)


@pytest.mark.parametrize("name", sorted(IN_NEED))
def test_whoever_may_be_in_need_in_the_us_hears_of_988(name: str) -> None:
    for severity in SEVERITIES:
        assert "988" in alternative(name, severity, "en-US", "")
        assert "988" in alternative(name, severity, "", "US")


def test_no_alternative_is_too_long_in_any_country() -> None:
    for name, severity, language in EVERY:
        for country in (*countries(), "KE", ""):
            assert len(alternative(name, severity, language, country).split()) <= 120, (name, severity, country)


def test_the_more_serious_it_is_the_nearer_are_the_people_that_it_asks_for() -> None:
    low, serious, urgent = (alternative("suicide", severity, "en", "US") for severity in (1, 3, 5))
    assert "somebody whom you trust" in low
    assert re.search(r"let somebody know today.*counsellor", serious)
    assert "don't stay alone" in urgent
    assert alternative("suicide", 6, "en", "US") == urgent


def test_lines_fit_the_category() -> None:
    assert "1-800-799-7233" in alternative("abuse", 0, "en", "US")
    assert "1-800-222-1222" in alternative("dosage", 0, "en", "US")
    assert "0800 1111" in alternative("child_safety", 0, "en", "GB")


def test_another_name_of_a_category_is_known_and_somebodys_own_is_answered_gently() -> None:
    assert alternative("domestic_violence", 2, "en", "US") == alternative("abuse", 2, "en", "US")
    assert alternative("house rules", 0, "en", "US") == alternative("sentiment", 0, "en", "US")


def test_a_language_without_alternatives_gets_english() -> None:
    assert alternative("panic", 0, "fr-CA", "CA") == alternative("panic", 0, "en", "CA")


@pytest.mark.parametrize("language", known_languages())
def test_a_check_that_failed_is_answered_with_support_and_lines(language: str) -> None:
    said = fallback(language, "US")
    assert SUPPORT[language] in said
    assert "988" in said
    assert "911" in said
    assert "\n" not in said


def test_whoever_writes_in_another_language_hears_which_are_known_their_own_first() -> None:
    said = fallback("ja-JP", "JP", languages=("en", "de")).splitlines()
    assert "0120-279-338" in said[0]
    assert said[1] == "理解できるのは次の言語だけです：English, Deutsch。"
    assert "Solo puedo entender: English, Deutsch." in said
    assert "I can understand only: English, Deutsch." in said
    assert "I can understand only: tlh." in fallback(languages=("tlh",))
