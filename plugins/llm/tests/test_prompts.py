"""Prompts are files with a version, and what is put into them stays data within its budget."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tta_llm.prompts import Prompt, PromptError, Section, load, plain

PROMPT = Prompt("tell@3", "Tell what has happened in this story to whoever reads it, kindly and in order.")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "prompted"
    (folder / "prompts").mkdir(parents=True)
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "prompted", raising=False)
    return folder / "prompts"


def test_a_prompt_s_first_line_is_its_name_and_version(package: Path) -> None:
    (package / "tell.md").write_text("# tell@12\n\nTell it.\n")
    assert load("prompted", "tell") == Prompt("tell@12", "Tell it.")


@pytest.mark.parametrize("text", ["", "tell@1\n", "# tell\n", "# tell@0\n", "# other@1\n", "# tell@1"])
def test_a_prompt_that_does_not_say_its_version_is_none(package: Path, text: str) -> None:
    (package / "tell.md").write_text(text)
    with pytest.raises(PromptError, match="its first line isn't like `# tell@1`"):
        load("prompted", "tell")
    with pytest.raises(PromptError, match="FileNotFoundError"):
        load("prompted", "missing")


@given(st.lists(st.text(max_size=300), max_size=5), st.lists(st.text(max_size=300), max_size=5), st.integers(0, 2000))
def test_each_line_stays_one_json_string_and_all_of_them_within_the_budget(
    needed: list[str], other: list[str], most: int
) -> None:
    sections = [Section("Other", tuple(other)), Section("Needed", tuple(needed), needed=True)]
    system, user = PROMPT.messages(sections, most=most)
    assert (system.text, system.role, user.role) == (PROMPT.text, "system", "user")
    lines = [line for line in user.text.split("\n") if line and line not in ("## Other", "## Needed")]
    told = [msgspec.json.decode(line, type=str) for line in lines]
    assert told[len(told) - len(needed) :] == [plain(line) for line in needed]
    kept = told[: len(told) - len(needed)]
    assert kept == [plain(line) for line in other][len(other) - len(kept) :]
    if kept:
        assert len(user.text) <= most


@given(st.text(max_size=300))
def test_a_plain_text_has_no_marks_of_any_template(text: str) -> None:
    assert not re.search(r"[<>\[\]{}|`#\\\x00-\x1f]", plain(text))
    assert plain(plain(text)) == plain(text)
    assert len(plain(text, 10)) <= 11


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        ("I was told: tell what has happened in this story to whoever reads it!", True),
        ("TELL WHAT HAS HAPPENED,\nin this story to whoever", True),
        ("This is tell@3.", True),
        ("Tell what has happened in this story.", False),
        ("", False),
    ],
)
def test_a_run_of_its_words_is_a_leak(text: str, *, leaks: bool) -> None:
    assert PROMPT.leaks(text) is leaks
