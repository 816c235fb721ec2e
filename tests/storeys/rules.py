"""The rules: imports go downwards only, every dependency is declared, one name has one spelling."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# What `[tool.tta] storey = …` in a manifest may say; what each may import stands in `may_import`.
STOREYS = ("surface", "actor", "capability", "backend", "client", "kernel")

# A second package in one distribution: package -> the one that the distribution is called after.
BESIDE = {"tta_program": "tta_kernel"}

KERNEL_NEEDS = {"anyio", "msgspec", "packaging", "pluggy", "pyyaml"}

# Imported without being declared: module -> why.
NOT_DECLARED = {
    "pytest": "contract tests and fixtures in `testing` modules; whoever imports them runs pytest",
    "hypothesis": "state machines of a contract, in `testing` modules like the tests beside them",
}
# Declared without being imported: (distribution, dependency) -> why.
NOT_IMPORTED: dict[tuple[str, str], str] = {
    ("schedules", "tzdata"): "zoneinfo reads it where the system has no time zones, as small containers have not",
    ("tools-basic", "tzdata"): "zoneinfo reads it where the system has no time zones, as small containers have not",
    ("notify", "tzdata"): "zoneinfo reads it where the system has no time zones, as small containers have not",
}


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

    def of_extra(self, where: str) -> set[str]:
        """Return what the extras bring that the module at ``where``, or a package that it is in, is named after."""
        path = Path(where.partition(":")[0])
        return {canonicalize_name(name) for part in (*path.parts, path.stem) for name in self._brought_by(part)}

    def _brought_by(self, extra: str) -> Iterator[str]:
        """Yield the names of what an extra brings, also by way of others of this distribution."""
        extras = self.project.get("optional-dependencies")
        lines = _strings(extras.get(extra)) if isinstance(extras, Mapping) else []
        for needed in map(Requirement, lines):
            if canonicalize_name(needed.name) == f"tta-{self.name}":
                for other in needed.extras:
                    yield from self._brought_by(other)
            else:
                yield needed.name


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
        elif not providers & (declared | dist.of_extra(where)) and not (in_testing and module in NOT_DECLARED):
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
