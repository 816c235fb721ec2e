"""An operator's own lines and languages: checked whole, laid over the package's, in force when they change."""

from __future__ import annotations

import argparse
import json
import re
from datetime import date
from pathlib import Path

import anyio
import pytest

from tta_kernel import ConfigError, Health
from tta_kernel.hookspecs import health
from tta_kernel.testing import problems, running
from tta_program import Subcommands
from tta_safety import HELP, Finding, Help, SafetyPlugin, Verdict, commands
from tta_safety.alternatives import fallback
from tta_safety.help import read_help
from tta_safety.support import affirmed, check_in, converse, reach_out, reaches_out

TODAY = date(2026, 11, 29)
PAGE = Path(__file__).resolve().parents[3] / "docs" / "crisis.md"
LINES, GERMAN = re.findall(r"```yaml\n# (?:lines|texts)\.yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
"""The examples of the page."""
SUICIDE = Verdict("checked", "warning", 0.9, ("suicide",), findings=(
    Finding(rule="r@1", category="suicide", level="warning", severity=3, subject="self"),
))  # fmt: skip
SAFE = Verdict("checked", "safe")


def read(tmp_path: Path, *, lines: str = "", texts: str = "") -> Help:
    files = [tmp_path / "lines.yaml", tmp_path / "texts.yaml"]
    for file, text in zip(files, (lines, texts), strict=True):
        file.write_text(text, encoding="utf-8")
    return read_help(files[0] if lines else None, files[1] if texts else None, today=TODAY)


def test_a_country_has_the_lines_of_the_file_and_the_others_have_theirs(tmp_path: Path) -> None:
    lines, before = read(tmp_path, lines=LINES).lines, Help().lines
    assert [line.name for line in lines.lines_for("KE")] == ["Example Line"]
    assert lines.help_lines(country="KE").startswith("If you are in danger right now, please call 999.")
    assert "0800 000 000" in lines.help_lines(country="KE")
    assert lines.help_lines(country="US") == before.help_lines(country="US")
    assert "KE: Example Line" in lines.outdated(date(2028, 1, 1), 365 * 86400.0)


def test_a_number_of_emergency_stays_where_the_file_names_none(tmp_path: Path) -> None:
    text = LINES[: LINES.index("    emergency:")].replace("KE:", "AT:")
    assert "please call 112" in read(tmp_path, lines=text).lines.help_lines(country="AT")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("source:", "sauce:", r"lines\.yaml: .*sauce"),
        ("verified_on: 2026-11-20", "verified_on: 2027-11-20", r"KE: 'Example Line': verified_on lies in the future"),
        ("        verified_on: 2026-11-20\n", "", r"lines\.yaml: .*verified_on"),
        ("[any]", "[sadness]", r"lines\.yaml: KE: 'Example Line' has the topic 'sadness'"),
        ("KE:", "Kenya:", r"lines\.yaml: .*countries"),
        ("countries:", "countrys:", r"lines\.yaml: .*countrys"),
        ("countries:", "countries: [", r"lines\.yaml"),
    ],
)
def test_one_mistake_in_it_and_nothing_of_it_is_taken(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(tmp_path, lines=LINES.replace(old, new, 1))


def test_a_conversation_is_held_in_a_language_of_the_file(tmp_path: Path) -> None:
    help = read(tmp_path, texts=GERMAN)
    begun = converse("mir reicht es", SUICIDE, None, locale="de-AT", country="AT", help=help)
    assert "Danke, dass du das sagst." in begun.text
    assert "Denkst du daran, dich umzubringen?" in begun.text
    assert "Telefonseelsorge" in begun.text
    answered = converse("Ja, schon", SAFE, begun.support, locale="de", help=help)
    assert "Danke für deine Antwort." in answered.text
    # What the language lacks is said in English, and better so than not at all.
    assert "Are you safe right now?" in answered.text
    assert reaches_out("gibt es eine   Telefonnummer?", locale="de", help=help)
    assert reach_out(locale="de", help=help).startswith("Ja, es gibt Menschen")
    assert check_in(SUICIDE, locale="de", help=help).startswith("Kurz neben der Geschichte")
    assert affirmed("ja", SAFE, "suicide", locale="de", help=help)
    assert not affirmed("jawohl", SAFE, "suicide", locale="de", help=help)
    assert converse("weiter", SAFE, answered.support, locale="de", help=help).support is None


def test_the_fallback_names_what_is_understood_then(tmp_path: Path) -> None:
    help = read(tmp_path, texts=GERMAN)
    assert "Ich verstehe nur: English." in fallback("de", languages=["en"], help=help)
    common = " ".join(f"wort{chr(97 + number // 26)}{chr(97 + number % 26)}," for number in range(60))
    understood = read(tmp_path, texts=f"{GERMAN}  common: [{common}]\n")
    assert "Ich verstehe nur: English, Deutsch." in fallback("de", languages=["en"], help=understood)
    assert understood.texts.reads("wortaa und wortab und so weiter")
    assert not understood.texts.reads("nichts davon steht dort")
    assert not help.texts.reads("wortaa")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("de:", "en:", "en: can't be changed here"),
        ("de:", "Deutsch:", "Deutsch: is no code of a language"),
        ("heard:", "herd:", r"de\.said\.herd: is unknown; did you mean 'heard'"),
        ("suicide:", "suiside:", r"de\.said\.ask\.suiside: is unknown"),
        ("{lines} Ich bin", "Ich bin", "has no place for whom to call"),
        ("Danke, dass", "Danke {name}, dass", "has a brace"),
        ('"yes": [ja', '"yse": [ja', r"de\.hears\.yse: is unknown"),
        ('"yes": [ja', '"yes": ["(?:", ja', "has no letter"),
    ],
)
def test_one_mistake_in_a_language_is_named_with_its_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GERMAN
    with pytest.raises(ConfigError, match=says):
        read(tmp_path, texts=GERMAN.replace(old, new, 1))


def test_no_phrase_can_hang_a_text(tmp_path: Path) -> None:
    hear = read(tmp_path, texts=GERMAN.replace('"yes": [ja', '"yes": ["(a+)+b", ja', 1)).texts.hearing("de")
    assert not hear.is_yes("a" * 4000)


def test_check_objects_to_a_file_that_is_none(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.yaml")
    [problem] = problems(SafetyPlugin, config={"lines_file": missing})
    assert problem == f"{missing}: cannot be read: No such file or directory; plugins.safety.config.lines_file names it"


async def test_a_changed_file_is_in_force_soon_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "lines.yaml"
    file.write_text(LINES, encoding="utf-8")
    async with running(SafetyPlugin, config={"lines_file": str(file), "poll": 0.01}) as kernel:
        help = kernel.get(HELP)
        assert "0800 000 000" in help.lines.help_lines(country="KE")
        file.write_text(LINES.replace("0800 000 000", "0800 111 111"), encoding="utf-8")
        with anyio.fail_after(60):
            while "0800 111 111" not in help.lines.help_lines(country="KE"):  # noqa: ASYNC110 - a file tells nobody
                await anyio.sleep(0.01)
        file.write_text("countries: {KE: {lines: []}}", encoding="utf-8")
        with anyio.fail_after(60):
            while (found := (await kernel.ask(health))["safety"]) == Health("ok"):  # noqa: ASYNC110 - as above
                await anyio.sleep(0.01)
        assert isinstance(found, Health)
        assert found.status == "degraded"
        assert "lines.yaml" in found.detail
        assert "0800 111 111" in help.lines.help_lines(country="KE")


async def test_the_command_shows_them_with_their_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "lines.yaml"
    file.write_text(LINES, encoding="utf-8")
    parser = argparse.ArgumentParser(prog="tta")
    commands.add(Subcommands(parser))
    said = ""
    async with running(SafetyPlugin, config={"lines_file": str(file)}) as kernel:
        for arguments in ([], ["--country", "ke"], ["--country", "US", "--kind", "substance", "--json"]):
            options = parser.parse_args(["safety", "lines", *arguments])
            assert await options.command.run(kernel, options) == 0
            said = capsys.readouterr().out
            if "--json" in arguments:
                assert json.loads(said)[0]["name"] == "Poison Control"
            else:
                assert "https://example.org/helplines" in said
    assert "988" in said
