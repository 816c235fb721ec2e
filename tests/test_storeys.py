"""Imports go downwards only: every import and every declared dependency against one map."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# What `[tool.tta] storey = …` in a manifest may say; what each may import stands in `may_import`.
STOREYS = ("surface", "actor", "capability", "backend", "client", "kernel")

# A second package in one distribution: package -> the one that the distribution is called after.
BESIDE = {"tta_program": "tta_kernel"}

# A second package in one distribution: package -> the one that the distribution is called after.
BESIDE = {"tta_program": "tta_kernel"}

KERNEL_NEEDS = {"anyio", "msgspec", "packaging", "pluggy", "pyyaml"}

# Imported without being declared: module -> why.
NOT_DECLARED = {
    "pytest": "contract tests and fixtures in `testing` modules; whoever imports them runs pytest",
    "hypothesis": "state machines of a contract, in `testing` modules like the tests beside them",
}
# Declared without being imported: (distribution, dependency) -> why.
NOT_IMPORTED: dict[tuple[str, str], str] = {}


def may_import(name: str, storeys: Mapping[str, str]) -> set[str]:
    """Return the distributions of ours that ``name``'s storey allows it."""
    capabilities = {other for other, storey in storeys.items() if storey == "capability"}
    match storeys[name]:
        case "surface" | "actor" | "capability":
            return {"kernel"} | capabilities - {name}
        case "backend":
            capability = implemented(name, storeys)
            if capability is None:
                return {"kernel"}
            client = name.removeprefix(f"{capability}-")
            return {"kernel", capability} | ({client} if storeys.get(client) == "client" else set())
        case "client":
            return {"kernel"}
        case _:
            return set()


def implemented(backend: str, storeys: Mapping[str, str]) -> str | None:
    """Return the capability that a backend is named after, such as ``agents`` by ``agents-redis``."""
    named = [other for other, storey in storeys.items() if storey == "capability" and backend.startswith(f"{other}-")]
    return max(named, key=len, default=None)


class Import(NamedTuple):
    where: str
    module: str
    in_testing: bool


class Distribution(NamedTuple):
    name: str
    folder: Path
    storey: str | None
    project: Mapping[str, object]
    imports: Sequence[Import]

    @property
    def package(self) -> str:
        return f"tta_{self.name.replace('-', '_')}"

    def declared(self, *, with_extras: bool = False) -> set[str]:
        """Return the names of its dependencies, in the canonical spelling."""
        lines = list(_strings(self.project.get("dependencies")))
        extras = self.project.get("optional-dependencies")
        if with_extras and isinstance(extras, Mapping):
            lines += [line for extra in extras.values() for line in _strings(extra)]
        return {canonicalize_name(Requirement(line).name) for line in lines}


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def read_imports(source: Path, root: Path) -> Iterator[Import]:
    """Yield the top-level module of each import, wherever in the file it stands."""
    in_testing = "testing" in {*source.parts[:-1], source.stem}
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0):
                modules = [module]
            case _:
                continue
        for module in modules:
            where = f"{source.relative_to(root)}:{node.lineno}"
            package = module.partition(".")[0]
            yield Import(where, BESIDE.get(package, package), in_testing)


def read_tree(root: Path) -> list[Distribution]:
    """Read the kernel and each directory in ``plugins`` that has a ``pyproject.toml``."""
    tree = []
    for manifest in sorted([root / "kernel/pyproject.toml", *root.glob("plugins/*/pyproject.toml")]):
        folder = manifest.parent
        imports = [found for source in sorted(folder.glob("src/**/*.py")) for found in read_imports(source, root)]
        content = tomllib.loads(manifest.read_text(encoding="utf-8"))
        storey = content.get("tool", {}).get("tta", {}).get("storey")
        tree.append(Distribution(folder.name, folder, storey, content["project"], imports))
    return tree


def check(root: Path, provided_by: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a line for each broken rule; ``provided_by`` maps modules to foreign distributions."""
    tree = read_tree(root)
    known = [d for d in tree if d.storey in STOREYS]
    storeys = {d.name: d.storey for d in known if d.storey is not None}
    return [
        *(line for d in tree for line in wrong_places(d, storeys, root)),
        *(line for d in tree for line in wrong_spellings(d, root)),
        *doubled_entry_points(tree),
        *(line for d in known for line in wrong_storeys(d, storeys)),
        *(line for d in known for line in wrong_dependencies(d, provided_by)),
        *circles(known),
    ]


def wrong_places(dist: Distribution, storeys: Mapping[str, str], root: Path) -> Iterator[str]:
    """Check that it says which storey it stands in, and that its name fits there."""
    at = dist.folder.relative_to(root)
    if dist.storey not in STOREYS:
        said = "has no storey" if dist.storey is None else f"has an unknown storey, {dist.storey!r}"
        yield f"{at}: {said}; say `[tool.tta] storey = …` in its pyproject.toml, one of {', '.join(STOREYS)}"
    elif (dist.storey == "kernel") != (dist.name == "kernel"):
        yield f"{at}: the storey 'kernel' is the kernel's, and its only one"
    elif dist.storey == "backend" and implemented(dist.name, storeys) is None:
        yield f"{at}: a backend is named after the capability that it implements, such as agents-{dist.name}"


def wrong_spellings(dist: Distribution, root: Path) -> Iterator[str]:
    """Check that directory, distribution, package and entry points share one name."""
    at = dist.folder.relative_to(root)
    if dist.project["name"] != f"tta-{dist.name}":
        yield f"{at}: the distribution is {dist.project['name']!r}, not 'tta-{dist.name}'"
    packages = sorted(p.name for p in (dist.folder / "src").glob("*") if p.name.startswith("tta_"))
    if [package for package in packages if BESIDE.get(package) != dist.package] != [dist.package]:
        yield f"{at}/src: holds {packages}, not ['{dist.package}']"
    entries = entry_points(dist)
    # A capability may be vocabulary and nothing else.
    if dist.name not in entries and dist.storey not in {"capability", "kernel"}:
        yield f"{at}: has no entry point {dist.name!r} in 'tta.plugins'"
    for entry, target in entries.items():
        if entry != dist.name and not entry.startswith(f"{dist.name}-"):
            yield f"{at}: entry point {entry!r} should begin with '{dist.name}-'"
        if target.partition(":")[0].partition(".")[0] != dist.package:
            yield f"{at}: entry point {entry!r} leads out of {dist.package}, to {target!r}"


def entry_points(dist: Distribution) -> Mapping[str, str]:
    groups = dist.project.get("entry-points")
    return groups.get("tta.plugins", {}) if isinstance(groups, Mapping) else {}


def doubled_entry_points(tree: Iterable[Distribution]) -> Iterator[str]:
    owners: dict[str, str] = {}
    for dist in tree:
        for entry in entry_points(dist):
            if entry in owners:
                yield f"entry point {entry!r}: in {owners[entry]!r} and in {dist.name!r}"
            owners[entry] = dist.name


def wrong_storeys(dist: Distribution, storeys: Mapping[str, str]) -> Iterator[str]:
    """Check what of ours it imports or declares against its storey."""
    allowed = may_import(dist.name, storeys)
    uses = [(found.where, _ours(found.module)) for found in dist.imports]
    uses += [
        (f"{dist.folder.name}/pyproject.toml", _ours(name.replace("-", "_")))
        for name in sorted(dist.declared(with_extras=True))
    ]
    for where, other in uses:
        if other is None or other == dist.name or other in allowed:
            continue
        its = storeys.get(other, "unknown distribution")
        yield f"{where}: the {dist.storey} {dist.name!r} may not use the {its} {other!r}"


def _ours(module: str) -> str | None:
    return module.removeprefix("tta_").replace("_", "-") if module.startswith("tta_") else None


def wrong_dependencies(dist: Distribution, provided_by: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Check that what is imported is declared, and what is declared, imported."""
    declared = dist.declared()
    if dist.name == "kernel" and declared != KERNEL_NEEDS:
        yield f"kernel: depends on {sorted(declared)}, and should on {sorted(KERNEL_NEEDS)}"
    used = set()
    for where, module, in_testing in dist.imports:
        if module in sys.stdlib_module_names or module == dist.package:
            continue
        if _ours(module) is None:
            providers = {canonicalize_name(name) for name in provided_by.get(module, ())}
        else:
            providers = {canonicalize_name(module)}
        used |= providers
        if not providers:
            yield f"{where}: no installed distribution provides {module!r}"
        elif not providers & declared and not (in_testing and module in NOT_DECLARED):
            yield f"{where}: imports {module!r} without declaring {'/'.join(sorted(providers))}"
    for name in sorted(declared - used):
        if (dist.name, name) not in NOT_IMPORTED:
            yield f"{dist.name}: declares {name!r} and never imports it"


def circles(tree: Iterable[Distribution]) -> Iterator[str]:
    """Check that no distribution needs itself by way of others, in imports or declarations."""
    needs = {
        dist.name: {
            other
            for module in [*(i.module for i in dist.imports), *dist.declared()]
            if (other := _ours(module.replace("-", "_"))) and other != dist.name
        }
        for dist in tree
    }
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        yield f"circle: {' → '.join(error.args[1])}"


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
