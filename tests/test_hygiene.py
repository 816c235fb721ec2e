"""Promises that no single file can keep: size, vocabulary, a README each, nothing private."""

from __future__ import annotations

import ast
import io
import ipaddress
import re
import subprocess
import tokenize
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

# A number to watch: a commit that raises it says for what. Lines would say nothing, since they can be joined.
KERNEL_TOKENS = 15_000
LAYOUT = {"COMMENT", "NEWLINE", "NL", "INDENT", "DEDENT", "ENCODING", "ENDMARKER"}
DOMAIN_WORDS = r"agents?|redis|tools?|workflows?|safety|cris[ie]s|story|stories|players?"

README_PARTS = ("Provides", "Requires", "Config", "Example")
README_LINES = 80
FRAGMENT = re.compile(r"([a-z0-9-]+)\.(added|changed|deprecated|removed|fixed|security)(\.\d+)?\.md")

PRIVATE = {
    "a package index": r"--(?:extra-)?index-url|--find[-]links|index-url\s*=|https?://\S+/simple\b",
    "a path of a machine": r"(?<![\w.])/(?:home|Users|root)/\w|[A-Z]:\\Users\\",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "a token": r"\b(?:AKIA[0-9A-Z]{16}|gh[opsu]_\w{36}|xox[abp]-[\w-]{10}|sk-[A-Za-z0-9]{32})",
    "a password": r"://[^\s/:@{}$]+:[^\s/@{}$]{3,}@(?!localhost|127\.0\.0\.1|[\w.-]*example\b)",
}
ADDRESSES = ("plugins/tools-basic/src/tta_tools_basic/addresses.py", "plugins/tools-basic/tests/test_fetch.py")
"""Files that are about addresses: they name one of each kind that is never to be reached, and nobody's own."""
IPV4 = re.compile(r"(?<![\w.=])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])")


def plugin_folders(root: Path) -> list[Path]:
    return [manifest.parent for manifest in sorted(root.glob("plugins/*/pyproject.toml"))]


def project_files(root: Path) -> list[Path]:
    """Return what git tracks, or would if it were added; all there is where there is no git."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        ours = [path.relative_to(root) for path in root.rglob("*")]
        names = [str(path) for path in ours if not path.parts[0].startswith((".venv", "build"))]
    else:
        names = listed.stdout.split("\0")
    return [root / name for name in names if (root / name).is_file()]


def private_things(text: str, own_paths: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield what in ``text`` belongs to a machine or a person rather than to the project."""
    for what, pattern in PRIVATE.items():
        if found := re.search(pattern, text):
            yield f"{what}: {found.group()}"
    for path in own_paths:
        if path in text:
            yield f"a path of this machine: {path}"
    for found in IPV4.finditer(text):
        try:
            address = ipaddress.IPv4Address(found.group())
        except ValueError:
            continue
        documentation = ("192.0.2.", "198.51.100.", "203.0.113.")
        if not (address.is_loopback or address.is_unspecified) and not str(address).startswith(documentation):
            yield f"an address: {address}"


def tokens(source: str) -> int:
    """Count the tokens of a module without comments, docstrings and layout; descriptions of attributes count."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = sum(
        isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None
        for node in ast.walk(ast.parse(source))
    )
    found = tokenize.generate_tokens(io.StringIO(source).readline)
    return sum(tokenize.tok_name[each.type] not in LAYOUT for each in found) - docstrings


def test_tokens_are_counted_without_docstrings_comments_and_layout() -> None:
    source = '"""A module."""\n\nx = 1  # a reason\n"""What x is."""\n\n\ndef f() -> None:\n    """Do."""\n    return\n'
    wanted = ["x", "=", "1", '"""What x is."""', "def", "f", "(", ")", "->", "None", ":", "return"]
    assert tokens(source) == len(wanted)


def test_the_kernel_stays_small(root: Path) -> None:
    modules = [file for file in root.glob("kernel/src/tta_kernel/**/*.py") if file.parent.name != "testing"]
    assert sum(tokens(file.read_text(encoding="utf-8")) for file in modules) <= KERNEL_TOKENS, "say for what"


@pytest.mark.parametrize("package", ["tta_kernel", "tta_program"])
def test_its_modules_form_no_circle(root: Path, package: str) -> None:
    """Count imports for type checkers and those within functions, too: whoever reads meets them all the same."""
    folder = root / "kernel/src" / package
    needs = {file.stem: set(siblings(file)) for file in folder.glob("*.py") if file.stem != "__init__"}
    assert needs.keys() > {"hooks", "kernel"} or needs.keys() > {"config", "run"}
    list(TopologicalSorter(needs).static_order())


def siblings(file: Path) -> Iterator[str]:
    """Name the modules of its own package that a module imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.ImportFrom(level=1, module=str(module)):
                yield module
            case ast.ImportFrom(level=1, module=None, names=names):
                yield from (each.name for each in names)


def test_the_kernel_never_imports_the_program(root: Path) -> None:
    modules = sorted(root.glob("kernel/src/tta_kernel/**/*.py"))
    importers = [file.name for file in modules if "tta_program" in file.read_text(encoding="utf-8")]
    assert importers == ["kernels.py"]  # of the testing kit


def test_the_kernel_knows_no_word_of_the_domain(root: Path) -> None:
    word = re.compile(rf"(?<![a-z])(?:{DOMAIN_WORDS})(?![a-z])", re.IGNORECASE)
    said = [
        f"{file.relative_to(root)}:{number}: {found.group()}"
        for file in sorted(root.glob("kernel/src/**/*.py"))
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        for found in word.finditer(line)
    ]
    assert said == []


def test_nothing_private_is_in_the_tree(root: Path) -> None:
    own_paths = tuple(path for path in (str(root), str(Path.home())) if path.count("/") > 1)
    found = []
    for file in project_files(root):
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        name = str(file.relative_to(root))
        things = [what for what in private_things(text, own_paths) if name not in ADDRESSES or "an address" not in what]
        found += [f"{name}: {what}" for what in things]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "pip install --extra-index" + "-url x",
        "https:/" + "/mirror.example.org/pypi/simple",
        "cd /home/" + "alice/src",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "AKIA" + "A" * 16,
        "redis:/" + "/admin:hunter2@db.internal:6379",
        "host: 10.0." + "0.7",
    ],
)
def test_something_private_would_be_found(text: str) -> None:
    assert list(private_things(text))


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000",
        "0.0.0.0",
        "192.0.2.1",
        "trove==2026.9.21.13",
        "pkg==1.2.3.4",
        "1.2.3",
    ],
)
def test_what_is_not_private_passes(text: str) -> None:
    assert list(private_things(text)) == []


def test_every_distribution_says_that_it_is_typed(root: Path) -> None:
    folders = [root / "kernel", *plugin_folders(root)]
    assert [f.name for f in folders if not list(f.glob("src/*/py.typed"))] == []


def test_every_plugin_has_a_readme_of_half_a_page(root: Path) -> None:
    assert [line for folder in plugin_folders(root) for line in readme_problems(folder)] == []


def readme_problems(folder: Path) -> Iterator[str]:
    """Check for what it is for, what it provides and requires, its config, and an example."""
    file = folder / "README.md"
    if not file.is_file():
        yield f"{folder.name}: has no README.md"
        return
    text = file.read_text(encoding="utf-8")
    intro = re.split(r"^## ", text, maxsplit=1, flags=re.MULTILINE)[0]
    title, _, purpose = intro.strip().partition("\n")
    if title != f"# tta-{folder.name}":
        yield f"{folder.name}: README.md begins with {title!r}, not '# tta-{folder.name}'"
    if not purpose.strip():
        yield f"{folder.name}: README.md doesn't say what it is for"
    for part in README_PARTS:
        if not has_part(text, part):
            yield f"{folder.name}: README.md has neither '## {part}' nor a table's row or line that says it"
    if not re.search(r"^```\w+\n.+?^```$", text, flags=re.MULTILINE | re.DOTALL):
        yield f"{folder.name}: README.md shows no code in its example"
    if (length := text.count("\n")) > README_LINES:
        yield f"{folder.name}: README.md has {length} lines; {README_LINES} are plenty"


def has_part(text: str, part: str) -> bool:
    """Look for a section, else for what stands for it where the README is a table and a code block."""
    if re.search(rf"^## {part}\n+(?!#)\S", text, flags=re.MULTILINE):
        return True
    match part:
        case "Provides" | "Requires":
            shape = rf"^\| *[*`]*{part}[*`]* *\| *[^|\s]"
        case "Config":
            shape = r"^\|[^\n]*\b(?:key|config|default)\b[^\n]*\|$|nothing to configure"
        case _:
            shape = r"^```\w"
    return re.search(shape, text, flags=re.MULTILINE | re.IGNORECASE) is not None


SECTIONS = "## Provides\n\nCLOCK\n\n## Requires\n\nnothing\n\n## Config\n\nnone\n\n## Example\n\n```python\nx\n```\n"
TABLE = (
    "| | |\n|---|---|\n| provides | `CLOCK` |\n| requires | nothing |\n\nNothing to configure.\n\n```python\nx\n```\n"
)


@pytest.mark.parametrize("body", [SECTIONS, TABLE])
def test_a_readme_has_its_parts_as_sections_or_as_a_table(tmp_path: Path, body: str) -> None:
    folder = tmp_path / "clock"
    folder.mkdir()
    (folder / "README.md").write_text(f"# tta-clock\n\nTells the hour.\n\n{body}", encoding="utf-8")
    assert list(readme_problems(folder)) == []


@pytest.mark.parametrize(
    ("body", "without", "missing"),
    [
        (SECTIONS, "## Provides\n\nCLOCK\n\n", "neither '## Provides'"),
        (SECTIONS, "none\n\n", "neither '## Config'"),
        (SECTIONS, "```python\nx\n```", "no code"),
        (TABLE, "| requires | nothing |\n", "neither '## Requires'"),
        (TABLE, "Nothing to configure.", "neither '## Config'"),
        (TABLE, "```python\nx\n```", "no code"),
    ],
)
def test_a_readme_that_lacks_something_is_named(tmp_path: Path, body: str, without: str, missing: str) -> None:
    folder = tmp_path / "clock"
    folder.mkdir()
    text = body.replace(without, "")
    (folder / "README.md").write_text(f"# tta-clock\n\nTells the hour.\n\n{text}", encoding="utf-8")
    assert any(missing in line for line in readme_problems(folder))


def test_changelog_fragments_say_whose_and_what_kind(root: Path) -> None:
    owners = {"project", "kernel", *(folder.name for folder in plugin_folders(root))}
    fragments = [f for f in (root / "docs/changelog.d").iterdir() if f.suffix == ".md"]
    misnamed = [
        fragment.name
        for fragment in fragments
        if not (match := FRAGMENT.fullmatch(fragment.name)) or match[1] not in owners
    ]
    assert misnamed == []
    assert [f.name for f in fragments if not f.read_text(encoding="utf-8").strip()] == []
