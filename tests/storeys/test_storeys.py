"""This tree keeps the rules; and on trees made for it, that the rules can be broken."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from .rules import KERNEL_NEEDS, check


def test_this_tree_keeps_its_storeys(root: Path) -> None:
    assert check(root, packages_distributions()) == []


def run_map(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "scripts/map_plugins.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_map_says_what_the_manifests_say(root: Path) -> None:
    done = run_map(root, "--check")
    assert (done.returncode, done.stderr) == (0, "")


# What follows proves that the checks can fail, on trees made for it.

PLACES = {
    "kernel": "kernel",
    "redis": "client",
    "agents-redis": "backend",
    "messages-redis": "backend",
    "world-neo4j": "backend",
    "world-builder": "actor",
    "narrative-generator": "actor",
    "telemetry": "actor",
    "play": "surface",
    "dashboard": "surface",
}


def write_distribution(
    root: Path,
    name: str,
    code: str = "",
    *,
    needs: Sequence[str] = (),
    manifest: str | None = None,
    file: str = "__init__.py",
) -> None:
    """Write what ``PLACES`` has in its storey; anything else is a capability."""
    folder = root / "kernel" if name == "kernel" else root / "plugins" / name
    package = f"tta_{name.replace('-', '_')}"
    source = folder / "src" / package / file
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(code, encoding="utf-8")
    entry = f'\n[project.entry-points."tta.plugins"]\n{name} = "{package}:Plugin"\n'
    default = f'[project]\nname = "tta-{name}"\ndependencies = {[*needs]}\n'
    default += "" if name == "kernel" else entry
    storey = f'\n[tool.tta]\nstorey = "{PLACES.get(name, "capability")}"\n'
    (folder / "pyproject.toml").write_text((manifest or default) + storey, encoding="utf-8")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    needs = sorted(KERNEL_NEEDS)
    write_distribution(tmp_path, "kernel", f"import {', '.join(needs)}", needs=needs)
    return tmp_path


def problems(tree: Path) -> list[str]:
    foreign = {name: [name] for name in ("pytest", "redis", "rich", *KERNEL_NEEDS)}
    return check(tree, foreign)


def test_a_tree_in_order_has_no_problems(tree: Path) -> None:
    write_distribution(tree, "agents", "import tta_kernel", needs=["tta-kernel"])
    write_distribution(tree, "redis", "import redis", needs=["redis>=5"])
    write_distribution(
        tree,
        "agents-redis",
        "import tta_agents, tta_redis",
        needs=["tta-agents ~= 1.0", "tta_redis"],
    )
    write_distribution(tree, "play", "from tta_agents.x import y", needs=["tta-agents"])
    assert problems(tree) == []


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("kernel", "agents"),
        ("redis", "agents"),
        ("agents", "redis"),
        ("agents", "world-builder"),
        ("agents", "agents-redis"),
        ("agents", "play"),
        ("world-builder", "narrative-generator"),
        ("world-builder", "redis"),
        ("play", "agents-redis"),
        ("play", "world-builder"),
        ("play", "dashboard"),
        ("agents-redis", "messages"),
        ("agents-redis", "messages-redis"),
        ("world-neo4j", "redis"),
        ("agents", "nobody-knows"),
    ],
)
def test_an_import_out_of_the_storey_is_named(tree: Path, importer: str, imported: str) -> None:
    for name in ("agents", "messages", "world"):
        write_distribution(tree, name)
    if imported in PLACES:
        write_distribution(tree, imported)
    module = f"tta_{imported.replace('-', '_')}"
    write_distribution(tree, importer, f"import {module}", needs=[f"tta-{imported}"])
    found = [line for line in problems(tree) if line.endswith(f" {imported!r}")]
    at = "kernel" if importer == "kernel" else f"plugins/{importer}"
    package = f"tta_{importer.replace('-', '_')}"
    assert [line.partition(": ")[0] for line in found] == [
        f"{at}/src/{package}/__init__.py:1",
        f"{importer}/pyproject.toml",
    ]


@pytest.mark.parametrize(
    "code",
    [
        "from tta_play import x",
        "import os, tta_play.terminal as t",
        "def f():\n    import tta_play",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import tta_play",
        "try:\n    import tta_play\nexcept ImportError:\n    pass",
    ],
)
def test_an_import_is_seen_wherever_it_stands(tree: Path, code: str) -> None:
    write_distribution(tree, "play")
    write_distribution(tree, "agents", code)
    assert any("may not use the surface 'play'" in line for line in problems(tree))


def test_a_dependency_alone_breaks_a_storey(tree: Path) -> None:
    write_distribution(tree, "agents-redis")
    write_distribution(tree, "agents", needs=["tta-agents-redis"])
    assert any("may not use the backend" in line for line in problems(tree))


def test_an_extra_breaks_a_storey_too(tree: Path) -> None:
    manifest = (
        '[project]\nname = "tta-agents"\noptional-dependencies = {r = ["tta-agents-redis"]}\n'
        'entry-points = {"tta.plugins" = {agents = "tta_agents:A"}}'
    )
    write_distribution(tree, "agents-redis")
    write_distribution(tree, "agents", manifest=manifest)
    assert any("may not use the backend" in line for line in problems(tree))


def test_what_an_extra_brings_is_for_the_module_of_its_name(tree: Path) -> None:
    manifest = (
        '[project]\nname = "tta-agents"\noptional-dependencies = {fancy = ["rich"]}\n'
        'entry-points = {"tta.plugins" = {agents = "tta_agents:A"}}'
    )
    write_distribution(tree, "agents", "import rich", manifest=manifest, file="fancy.py")
    assert problems(tree) == []
    write_distribution(tree, "agents", "import rich", manifest=manifest, file="plain.py")
    assert problems(tree) == ["plugins/agents/src/tta_agents/plain.py:1: imports 'rich' without declaring rich"]


def test_capabilities_in_a_circle_are_named(tree: Path) -> None:
    write_distribution(tree, "agents", "import tta_world", needs=["tta-world"])
    write_distribution(tree, "world", "import tta_agents", needs=["tta-agents"])
    assert [line for line in problems(tree) if line.startswith("circle: ")]


def test_an_undeclared_import_is_named(tree: Path) -> None:
    write_distribution(tree, "agents", "import tta_kernel\nimport rich")
    at = "plugins/agents/src/tta_agents/__init__.py"
    assert problems(tree) == [
        f"{at}:1: imports 'tta_kernel' without declaring tta-kernel",
        f"{at}:2: imports 'rich' without declaring rich",
    ]


def test_an_unused_dependency_is_named(tree: Path) -> None:
    write_distribution(tree, "agents", needs=["rich", "tta-kernel"])
    assert problems(tree) == [
        "agents: declares 'rich' and never imports it",
        "agents: declares 'tta-kernel' and never imports it",
    ]


def test_a_module_that_nothing_provides_is_named(tree: Path) -> None:
    write_distribution(tree, "agents", "import numpy")
    assert any("no installed distribution provides 'numpy'" in line for line in problems(tree))


@pytest.mark.parametrize("file", ["testing.py", "testing/contract.py"])
def test_pytest_needs_no_declaring_in_a_testing_module(tree: Path, file: str) -> None:
    write_distribution(tree, "agents", "import pytest", file=file)
    assert problems(tree) == []


def test_pytest_is_a_dependency_anywhere_else(tree: Path) -> None:
    write_distribution(tree, "agents", "import pytest", file="contract.py")
    assert any("imports 'pytest' without declaring" in line for line in problems(tree))


def test_the_kernel_takes_no_further_dependency(tree: Path) -> None:
    needs = [*sorted(KERNEL_NEEDS), "rich"]
    write_distribution(tree, "kernel", f"import {', '.join(needs)}", needs=needs)
    assert any(line.startswith("kernel: depends on") for line in problems(tree))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "plugins/weather: has no storey; say `[tool.tta] storey = …` in its pyproject.toml"),
        ('storey = "attic"', "plugins/weather: has an unknown storey, 'attic'; say"),
        ('storey = "kernel"', "plugins/weather: the storey 'kernel' is the kernel's"),
        ('storey = "backend"', "plugins/weather: a backend is named after the capability that it implements"),
    ],
)
def test_a_distribution_in_no_storey_of_its_own_is_named(tree: Path, line: str, problem: str) -> None:
    write_distribution(tree, "weather")
    manifest = tree / "plugins/weather/pyproject.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('storey = "capability"', line), encoding="utf-8")
    [found] = problems(tree)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("name", "entry_points", "problem"),
    [
        ("tta-actor", {}, "the distribution is 'tta-actor', not 'tta-telemetry'"),
        ("tta-telemetry", {"telemetry": "tta_metry:A"}, "'telemetry' leads out of tta_telemetry"),
        ("tta-telemetry", {"telemetry": "tta_telemetry:A", "siren": "tta_telemetry:S"}, "'siren' should begin"),
        ("tta-telemetry", {}, "has no entry point 'telemetry' in 'tta.plugins'"),
    ],
)
def test_a_second_spelling_is_named(tree: Path, name: str, entry_points: Mapping[str, str], problem: str) -> None:
    entries = "\n".join(f"{entry} = {target!r}" for entry, target in entry_points.items())
    manifest = f"[project]\nname = {name!r}\n[project.entry-points.'tta.plugins']\n{entries}"
    write_distribution(tree, "telemetry", manifest=manifest)
    assert problem in problems(tree)[0]


def test_a_capability_may_be_vocabulary_only(tree: Path) -> None:
    write_distribution(tree, "world", manifest='[project]\nname = "tta-world"')
    assert problems(tree) == []


def test_a_second_package_in_one_distribution_is_named(tree: Path) -> None:
    write_distribution(tree, "agents")
    (tree / "plugins/agents/src/tta_agents_more").mkdir()
    assert problems(tree) == ["plugins/agents/src: holds ['tta_agents', 'tta_agents_more'], not ['tta_agents']"]


def test_an_entry_point_in_two_distributions_names_both(tree: Path) -> None:
    write_distribution(tree, "agents-redis")
    manifest = (
        '[project]\nname = "tta-agents"\nentry-points = {"tta.plugins" = '
        '{agents = "tta_agents:A", agents-redis = "tta_agents:R"}}'
    )
    write_distribution(tree, "agents", manifest=manifest)
    assert problems(tree) == ["entry point 'agents-redis': in 'agents' and in 'agents-redis'"]


def test_a_stale_map_says_how_to_renew_it_and_then_holds(root: Path, tree: Path) -> None:
    for manifest in tree.glob("**/pyproject.toml"):
        text = manifest.read_text(encoding="utf-8")
        manifest.write_text(text.replace("[project]\n", '[project]\ndescription = "A kernel."\n'), encoding="utf-8")
    page = tree / "plugins/README.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text("# Plugins\n\n<!-- map: written by `make map` -->\n<!-- end of the map -->\n", encoding="utf-8")

    stale = run_map(root, "--root", str(tree), "--check")
    assert (stale.returncode, "run `make map`" in stale.stderr) == (1, True)

    assert run_map(root, "--root", str(tree)).returncode == 0
    assert "| [kernel](../kernel) | A kernel. |" in page.read_text(encoding="utf-8")
    assert run_map(root, "--root", str(tree), "--check").returncode == 0
