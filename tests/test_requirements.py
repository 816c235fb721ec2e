"""What pip is asked to install: all of it local, pinned, and nothing forgotten."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version


def lines(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8").splitlines()
    return [line for line in text if line.strip() and not line.startswith("#")]


def listed_folders(root: Path, file: str) -> list[str]:
    return [line.removeprefix("-e ./") for line in lines(root / file) if line.startswith("-e ")]


def manifests(root: Path) -> dict[str, dict[str, object]]:
    """Return the ``pyproject.toml`` of each distribution, by its folder."""
    files = sorted([root / "kernel/pyproject.toml", *root.glob("plugins/*/pyproject.toml")])
    return {str(file.parent.relative_to(root)): tomllib.loads(file.read_text(encoding="utf-8")) for file in files}


def dependencies(manifest: dict[str, object]) -> Iterator[str]:
    project = manifest["project"]
    assert isinstance(project, dict)
    for line in project.get("dependencies", []):
        yield canonicalize_name(Requirement(line).name)


def test_the_development_environment_holds_every_distribution(root: Path) -> None:
    assert sorted(listed_folders(root, "requirements-dev.txt")) == sorted(manifests(root))


@pytest.mark.parametrize("file", ["requirements-demo.txt", "requirements-dev.txt"])
def test_what_a_listed_distribution_needs_of_ours_is_listed(root: Path, file: str) -> None:
    tree, folders = manifests(root), listed_folders(root, file)
    listed = {f"tta-{Path(folder).name}" for folder in folders}
    needed = {name for folder in folders for name in dependencies(tree[folder]) if name.startswith("tta-")}
    assert needed - listed == set(), "pip would look for these in an index"


def test_frameworks_are_names_and_compatible_versions(root: Path) -> None:
    asked = [Requirement(line) for line in lines(root / "requirements-embedding.txt") if not line.startswith("-")]
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines(root / "constraints.txt")}
    vague = [each.name for each in asked if not each.specifier and canonicalize_name(each.name) not in pinned]
    assert (vague, [each.name for each in asked if each.url]) == ([], [])


def test_constraints_are_names_and_exact_versions(root: Path) -> None:
    shape = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.]*")
    assert [line for line in lines(root / "constraints.txt") if not shape.fullmatch(line)] == []


def test_whatever_is_installed_from_an_index_is_pinned(root: Path) -> None:
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines(root / "constraints.txt")}
    tools = {
        canonicalize_name(Requirement(line).name)
        for line in lines(root / "requirements-dev.txt")
        if not line.startswith("-")
    }
    needed = {name for manifest in manifests(root).values() for name in dependencies(manifest)}
    assert {name for name in needed | tools if not name.startswith("tta-")} - pinned == set()


def test_pins_satisfy_what_the_distributions_ask_for(root: Path) -> None:
    pins = dict(line.split("==") for line in lines(root / "constraints.txt"))
    versions = {canonicalize_name(name): version for name, version in pins.items()}
    unsatisfied = []
    for folder, manifest in manifests(root).items():
        project = manifest["project"]
        assert isinstance(project, dict)
        for line in project.get("dependencies", []):
            need = Requirement(line)
            version = versions.get(canonicalize_name(need.name))
            if version is not None and not need.specifier.contains(version):
                unsatisfied.append(f"{folder}: {line}, pinned to {version}")
    assert unsatisfied == []


def test_every_distribution_takes_its_version_from_one_file(root: Path) -> None:
    Version((root / "VERSION").read_text(encoding="utf-8").strip())
    elsewhere = []
    for folder, manifest in manifests(root).items():
        match manifest:
            case {
                "project": {"dynamic": ["version"]},
                "tool": {"hatch": {"version": {"path": str(path)}}},
            } if (root / folder / path).resolve() == root / "VERSION":
                pass
            case _:
                elsewhere.append(folder)
    assert elsewhere == []


def test_every_distribution_asks_for_the_same_python(root: Path) -> None:
    asked = {
        str(project.get("requires-python"))
        for manifest in manifests(root).values()
        if isinstance(project := manifest["project"], dict)
    }
    assert asked == {">=3.11"}
