"""The templates are plugins that work: made, built, installed on their own, and part of a turn or of the tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

SENTENCE = "Take all the time you need."


def new(root: Path, name: str, target: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    """Make a plugin with a Python that sees nothing installed, except in the folder ``path``."""
    command: list[str | Path] = [sys.executable, "-S", root / "plugin-template/new.py", name, target]
    environ = os.environ | {"PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ)


def block(printed: str) -> str:
    """Return the lines that are to become the turn."""
    return printed[printed.index("\nversion: 1\n") + 1 :]


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
    """Install the story and ``plugin`` from wheels into a new environment; return its programs' folder.

    Building and installing are done by the tools of our own environment, so that the new one needs none.
    """
    run(sys.executable, "-m", "venv", "--without-pip", at / "venv", cwd=at)
    programs = at / "venv/bin"
    for folder in (*story_folders(root), plugin):
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", at / "wheels", cwd=folder)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")
    into = ("--python", programs / "python", "install", "--no-compile", "-c", root / "constraints.txt")
    run(*pip, *into, "pytest", *sorted((at / "wheels").glob("*.whl")), cwd=at)
    return programs


def configuration(root: Path, printed: str, at: Path) -> Path:
    """Copy the tree's config as the page says, and make what ``new.py`` printed its turn.

    The upper layer is written anew: whoever works in the tree may have changed it.
    """
    folder = at / "config"
    (folder / "workflows").mkdir(parents=True)
    (folder / "base.yaml").write_bytes((root / "config/base.yaml").read_bytes())
    kernel = msgspec.yaml.decode((root / "config/development.yaml").read_bytes())["kernel"]
    plugins = {"crisis": {"config": {"need_durable": False}}, "notify": {"config": {"need_humans": False}}}
    layer = {"kernel": kernel, "plugins": plugins}
    (folder / "development.yaml").write_bytes(msgspec.yaml.encode(layer))
    (folder / "workflows/turn.yaml").write_text(block(printed), encoding="utf-8")
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


def test_the_steps_before_ones_own_do_what_those_of_the_story_do(root: Path, tmp_path: Path) -> None:
    printed = new(root, "kind-words", tmp_path / "plugin").stdout
    told = msgspec.yaml.decode((root / "config/workflows/collaborative.yaml").read_bytes())
    scene, *repeated, mine = msgspec.yaml.decode(block(printed))["steps"]
    assert scene["agent"] == "world-builder"
    assert [step["agent"] for step in repeated] == [step["agent"] for step in told["steps"]]
    assert (mine["id"], mine["agent"]) == ("kind-words", "kind-words")


def test_the_page_shows_what_is_printed(root: Path, tmp_path: Path) -> None:
    printed = new(root, "kind-words", tmp_path / "plugin").stdout
    page = (root / "docs/writing-a-plugin.md").read_text(encoding="utf-8")
    assert f"```yaml\n{block(printed)}```" in page


@pytest.mark.parametrize("name", ["abacus", "kind-words", "zebra", "x-y"])
def test_imports_and_names_are_sorted_whatever_the_name(root: Path, tmp_path: Path, name: str) -> None:
    new(root, name, tmp_path)

    rules = ("--isolated", "--no-cache", "--select", "I,RUF022", "--line-length", "120")
    run(sys.executable, "-m", "ruff", "check", *rules, ".", cwd=tmp_path)


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


@pytest.mark.parametrize("name", ["agents", "agents-memory", "world", "kernel"])
def test_a_name_of_this_tree_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    refused = new(root, name, tmp_path / "plugin")

    assert refused.returncode == 2
    assert f"{name!r} is taken by tta-" in refused.stderr
    assert not (tmp_path / "plugin").exists()


@pytest.mark.parametrize("name", ["kind-words", "kinder-words"])
def test_a_name_that_is_installed_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    info = tmp_path / "site/tta_kind_words-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tta-kind-words\nVersion: 1.0\n", encoding="utf-8")
    entries = "[tta.plugins]\nkind-words = tta_kind_words:K\nkinder-words = tta_kind_words:L\n"
    (info / "entry_points.txt").write_text(entries, encoding="utf-8")

    refused = new(root, name, tmp_path / "plugin", path=str(tmp_path / "site"))

    assert refused.returncode == 2
    assert f"{name!r} is taken by tta-kind-words, which is installed" in refused.stderr


def test_a_folder_that_cannot_be_made_is_refused_in_a_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    refused = new(root, "kind-words", tmp_path / "file/plugin")

    assert refused.returncode == 2
    assert "name a folder where you may write" in refused.stderr
    assert "Traceback" not in refused.stderr


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


@pytest.fixture
def tree(root: Path, tmp_path: Path) -> Path:
    """Copy what a new distribution of the tree is entered in, or held against."""
    left_out = shutil.ignore_patterns(".*", "__pycache__", "_build", "build", "dist")
    for folder in ("docs/changelog.d", "kernel", "plugins", "plugin-template", "scripts", "tests"):
        shutil.copytree(root / folder, tmp_path / "tree" / folder, ignore=left_out)
    for file in ("VERSION", "constraints.txt", "pyproject.toml", "requirements-demo.txt", "requirements-dev.txt",
        "requirements-embedding.txt",
    ):  # fmt: skip
        shutil.copy(root / file, tmp_path / "tree" / file)
    return tmp_path / "tree"


@pytest.mark.parametrize(("name", "storey"), [("abacus", "capability"), ("zebra-stripes", "surface")])
def test_a_distribution_made_in_the_tree_passes_what_is_asked_of_every_one(tree: Path, name: str, storey: str) -> None:
    printed = run(sys.executable, "-S", tree / "plugin-template/new.py", name, "--in-tree", storey, cwd=tree)
    assert f"holds the {storey} {name}" in printed

    run(sys.executable, "-m", "ruff", "check", "--no-cache", f"plugins/{name}", cwd=tree)
    run(sys.executable, "-m", "ruff", "format", "--check", "--no-cache", f"plugins/{name}", cwd=tree)
    held = (
        "test_hygiene.py::test_every_plugin_has_a_readme_of_half_a_page",
        "test_requirements.py",
        "storeys/test_storeys.py::test_the_map_says_what_the_manifests_say",
        "storeys/test_storeys.py::test_this_tree_keeps_its_storeys",
    )
    source = f"pythonpath=plugins/{name}/src"
    tests = [f"plugins/{name}", *(f"tests/{each}" for each in held)]
    assert " passed" in run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", source, *tests, cwd=tree)
