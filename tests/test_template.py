"""The template is a plugin that works: made, built, installed on its own, and part of a turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

SENTENCE = "Take all the time you need."


def new(root: Path, name: str, target: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [sys.executable, root / "plugin-template/new.py", name, target]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def run(*command: str | Path, cwd: Path) -> str:
    """Return what a command prints; what it prints fails the test if it doesn't succeed."""
    ours = ("TTA_", "PYTHON", "PYTEST", "COV")
    env = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def story_folders(root: Path) -> list[Path]:
    """Return the distributions that a turn of the story needs."""
    lines = (root / "requirements-demo.txt").read_text(encoding="utf-8").splitlines()
    return [root / line.removeprefix("-e ./") for line in lines if line.startswith("-e ")]


def environment(root: Path, plugin: Path, at: Path) -> Path:
    """Install the story and ``plugin`` from wheels into a new environment; return its programs' folder."""
    run(sys.executable, "-m", "venv", at / "venv", cwd=at)
    programs = at / "venv/bin"
    pip = (programs / "python", "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")
    pins = ("-c", root / "constraints.txt")
    run(*pip, "install", *pins, "hatchling", "pytest", cwd=at)
    alone = ("--no-deps", "--no-build-isolation", "--wheel-dir", at / "wheels")
    run(*pip, "wheel", *alone, *story_folders(root), plugin, cwd=at)
    run(*pip, "install", *pins, *sorted((at / "wheels").glob("*.whl")), cwd=at)
    return programs


def configuration(root: Path, printed: str, at: Path) -> Path:
    """Write the tree's ``base.yaml``, and above it what ``new.py`` said to add."""
    folder = at / "config"
    folder.mkdir()
    (folder / "base.yaml").write_bytes((root / "config/base.yaml").read_bytes())
    layer = msgspec.yaml.decode(printed[printed.index("\nplugins:\n") :])
    ours = msgspec.yaml.decode((root / "config/development.yaml").read_bytes())
    layer = {"kernel": ours["kernel"], "plugins": ours["plugins"] | layer["plugins"]}
    (folder / "development.yaml").write_bytes(msgspec.yaml.encode(layer))
    return folder


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_plugin_made_from_the_template_takes_part_in_a_turn(root: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "kind-words"
    made = new(root, "kind-words", plugin)
    assert made.returncode == 0, made.stderr
    programs = environment(root, plugin, tmp_path)

    assert "passed" in run(programs / "python", "-m", "pytest", plugin, cwd=plugin)

    folder = configuration(root, made.stdout, tmp_path)
    tta = (programs / "tta", "--config", folder, "--env", "development")
    listed = json.loads(run(*tta, "plugins", "--json", cwd=tmp_path))["plugins"]
    mine = {each["name"]: each for each in listed}["kind-words"]
    assert (mine["distribution"], mine["version"], mine["state"]) == ("tta-kind-words", "0.1.0", "ready")

    run(*tta, "check", cwd=tmp_path)

    response = json.loads(run(*tta, "play", "--json", "--", "look around", cwd=tmp_path))
    assert response["text"].endswith(f" {SENTENCE}")
    assert response["outcome"] == "story"
    assert "kind-words" in [step["agent"].partition(":")[0] for step in response["steps"]]


def test_the_steps_that_it_says_to_repeat_are_those_of_the_story(root: Path, tmp_path: Path) -> None:
    printed = new(root, "kind-words", tmp_path / "plugin").stdout
    base = msgspec.yaml.decode((root / "config/base.yaml").read_bytes())

    def turn(layer: Any) -> Any:
        return layer["plugins"]["workflows"]["config"]["workflows"]["turn"]

    *repeated, mine = turn(msgspec.yaml.decode(printed[printed.index("\nplugins:\n") :]))["steps"]
    steps = [{key: value for key, value in step.items() if key != "stream"} for step in turn(base)["steps"]]
    assert repeated == steps
    assert mine["agent"] == "kind-words"


def test_the_page_shows_what_is_printed(root: Path, tmp_path: Path) -> None:
    printed = new(root, "kind-words", tmp_path / "plugin").stdout
    page = (root / "docs/writing-a-plugin.md").read_text(encoding="utf-8")
    assert "```yaml" + printed[printed.index("\nplugins:\n") :] + "```" in page


def test_nothing_of_the_templates_name_is_left(root: Path, tmp_path: Path) -> None:
    new(root, "kind-words", tmp_path)

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    said = [str(path.relative_to(tmp_path)) + path.read_text(encoding="utf-8") for path in files]
    assert [text for text in said if "example" in text.replace("## Example", "").lower()] == []
    names = {path.name for path in files}
    assert {"pyproject.toml", "README.md", "py.typed", "plugin.py", "test_agent.py"} <= names
    assert "new.py" not in names


@pytest.mark.parametrize("name", ["KindWords", "kind_words", "kind--words", "kind-", "2kind", "kind words", ""])
def test_a_name_that_is_none_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    refused = new(root, name, tmp_path / "plugin")

    assert refused.returncode == 2
    assert f"{name!r} is not a name: use lower-case words joined by hyphens" in refused.stderr
    assert not (tmp_path / "plugin").exists()


@pytest.mark.parametrize("name", ["config", "step-context", "tta-kind-words"])
def test_a_name_that_would_not_work_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    refused = new(root, name, tmp_path / "plugin")

    assert refused.returncode == 2
    assert f"{name!r}" in refused.stderr
    assert not (tmp_path / "plugin").exists()


def test_a_folder_with_something_in_it_is_refused_and_left_alone(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")

    refused = new(root, "kind-words", tmp_path)

    assert refused.returncode == 2
    assert f"{tmp_path} is not empty" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_inside_the_template_is_refused(root: Path) -> None:
    refused = new(root, "kind-words", root / "plugin-template/kind-words")

    assert refused.returncode == 2
    assert "is inside the template" in refused.stderr
    assert not (root / "plugin-template/kind-words").exists()
