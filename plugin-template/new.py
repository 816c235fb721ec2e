"""Make a plugin of your own, ``new.py kind-words ../kind-words``, or one of this tree, ``--in-tree capability``."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent
TREE = TEMPLATE.parent
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")
LEFT_OUT = {"new.py", "in-tree", "__pycache__", "build", "dist"}
# What a distribution of the tree begins as, in whatever storey: no agent, and a manifest like the others'.
IN_TREE = TEMPLATE / "in-tree"
STOREYS = ("surface", "actor", "capability", "backend", "client")

NEXT = """\
{target} holds the plugin {name}. Next, in the environment in which tta runs:

  pip install -e '{target}[test]'
  pytest {target}
  tta plugins

To give it a part in a turn, copy the configuration, and let the lines below be the copy's workflows/turn.yaml: all
agents of the story one after the other, and a step of yours.

  cp -r config {target}/config
  tta check --config {target}/config
  tta workflows graph turn --config {target}/config
  tta play --config {target}/config --trace -- "look around"

version: 1
timeout: 30s
steps:
  - id: scene
    agent: world-builder
    input: {{world: input.world, seed: input.seed}}
  - id: intent
    agent: input-processor
    input: {{text: input.text, world: steps.scene.world, history: input.history, due: input.due}}
  - id: world
    agent: world-builder
    input:
      intent: steps.intent.intent
      world: steps.scene.world
      seed: input.seed
      text: input.text
      profile: input.profile
      due: input.due
  - id: story
    agent: narrative-generator
    stream: true
    input:
      change: steps.world.change
      world: steps.world.world
      seed: input.seed
      turn: input.turn
      text: input.text
      history: input.history
      summary: input.summary
      profile: input.profile
      tone: input.tone
      themes: input.themes
      due: input.due
  - id: {name}
    agent: {name}
    input: {{text: steps.story.text}}
output: {{text: steps.{name}.text, world: steps.story.world}}
"""

NEXT_IN_TREE = """\
{target} holds the {storey} {name}, requirements-dev.txt installs it, and plugins/README.md shows it. Next:

  make dev
  .venv-dev/bin/pytest plugins/{name} tests/storeys

Say what it is for in its pyproject.toml (then `make map`) and in its README.md. Where it is to run in staging and
production, name it in config/staging.yaml and config/production.yaml: nothing runs there unless it is named.
"""


def files(template: Path = TEMPLATE) -> Iterator[Path]:
    """Yield what belongs to a template, relative to it."""
    for path in sorted(template.rglob("*")):
        inner = path.relative_to(template)
        dropped = any(part in LEFT_OUT or part.startswith(".") or part.endswith(".egg-info") for part in inner.parts)
        if path.is_file() and not dropped and path.suffix != ".pyc":
            yield inner


def spellings(name: str) -> dict[str, str]:
    """Return what the templates' names become, in each of their spellings."""
    package = name.replace("-", "_")
    title = "".join(word.capitalize() for word in name.split("-"))
    return {
        "example-agent": name,
        "example_agent": package,
        "ExampleAgent": title,
        "example-plugin": name,
        "example_plugin": package,
        "ExamplePlugin": title,
    }


def renamed(text: str, new: dict[str, str]) -> str:
    """Replace all spellings in one pass, so that a new name may contain the old one."""
    return re.sub("|".join(new), lambda found: new[found.group()], text)


def sorted_names(text: str) -> str:
    """Sort imported and exported names anew, as linters want them: a class has another initial now."""

    def again(found: re.Match[str]) -> str:
        names = sorted(found[2].split(", "), key=lambda name: (len(name.strip('"')) == 1 or not name.isupper(), name))
        return found[1] + ", ".join(names) + found[3]

    return re.sub(r"^((?:from \S+ import |__all__ = \[))(.+?)(\]?)$", again, text, flags=re.MULTILINE)


def sorted_imports(text: str) -> str:
    """Sort imports of the tree's packages anew: among them the new one has another place now."""
    block = r"(?:^from tta_\S+ import .+\n){2,}"
    return re.sub(block, lambda found: "".join(sorted(found[0].splitlines(keepends=True))), text, flags=re.MULTILINE)


def owner(name: str) -> str | None:
    """Return the distribution that has a plugin's name already, in this tree or installed."""
    wanted = f"tta-{name}"
    for manifest in [TREE / "kernel/pyproject.toml", *sorted(TREE.glob("plugins/*/pyproject.toml"))]:
        project = tomllib.loads(manifest.read_text(encoding="utf-8"))["project"]
        if project["name"] == wanted or name in project.get("entry-points", {}).get("tta.plugins", ()):
            return f"{project['name']}, in {manifest.parent}"
    for each in distributions():
        entries = each.entry_points.select(group="tta.plugins", name=name)
        if each.name == wanted or [*entries]:
            return f"{each.name}, which is installed"
    return None


def objection(name: str, target: Path) -> str | None:
    """Say why there can be no such plugin there."""
    if not NAME.fullmatch(name):
        return f"{name!r} is not a name: use lower-case words joined by hyphens, such as kind-words"
    if name.startswith("tta-"):
        return f"{name!r} begins with 'tta-', which the distribution gets anyway: use {name.removeprefix('tta-')!r}"
    if who := owner(name):
        return f"{name!r} is taken by {who}, and yours would take its place: use another name"
    title = spellings(name)["ExampleAgent"]
    source = "".join((TEMPLATE / file).read_text(encoding="utf-8") for file in files() if file.suffix == ".py")
    if re.search(rf"\b{title}\b", source) and name != "example-agent":
        return f"{name!r} would make a class {title}, which the template needs itself: use another name"
    if target.exists() and not target.is_dir():
        return f"{target} is a file: name a new folder, or an empty one"
    if target.is_dir() and any(target.iterdir()):
        return f"{target} is not empty: name a new folder, or an empty one"
    if target.resolve().is_relative_to(TEMPLATE):
        return f"{target} is inside the template: name a folder elsewhere"
    return None


def make(name: str, target: Path, template: Path = TEMPLATE, more: dict[str, str] | None = None) -> None:
    """Copy a template to ``target`` under its new name; ``more`` is what else is replaced."""
    new = spellings(name) | (more or {})
    for file in list(files(template)):
        copy = target / renamed(str(file), new)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = renamed((template / file).read_text(encoding="utf-8"), new)
        copy.write_text(sorted_names(text) if file.suffix == ".py" else text, encoding="utf-8")
        shutil.copymode(template / file, copy)


def make_in_tree(name: str, target: Path, storey: str) -> None:
    """Make a distribution of the tree, and enter it where the tree lists them."""
    make(name, target, IN_TREE, {"example-storey": storey})
    for file in target.rglob("*.py"):
        file.write_text(sorted_imports(file.read_text(encoding="utf-8")), encoding="utf-8")
    requirements = TREE / "requirements-dev.txt"
    lines = requirements.read_text(encoding="utf-8").splitlines(keepends=True)
    ours = [line for line in lines if line.startswith("-e ./plugins/")]
    first = lines.index(ours[0])
    lines[first : first + len(ours)] = sorted({*ours, f"-e ./plugins/{name}\n"})
    requirements.write_text("".join(lines), encoding="utf-8")
    subprocess.run([sys.executable, TREE / "scripts/map_plugins.py"], check=True)


def main(arguments: Sequence[str]) -> int:
    """Make the plugin, and print what to do next."""
    parser = argparse.ArgumentParser(prog="new.py", description="Make a plugin of your own, or one of this tree.")
    parser.add_argument("name", metavar="NAME", help="lower-case words joined by hyphens, such as kind-words")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("target", metavar="TARGET", nargs="?", type=Path, help="a new folder, or an empty one")
    where.add_argument("--in-tree", metavar="STOREY", choices=STOREYS, help="in plugins/, and in which storey")
    options = parser.parse_args(arguments)
    name, storey = options.name, options.in_tree
    target = TREE / "plugins" / name if storey else options.target
    try:
        if why := objection(name, target):
            parser.error(why)
        if storey:
            make_in_tree(name, target, storey)
        else:
            make(name, target)
    except OSError as exc:
        parser.error(f"{exc.filename or target}: {exc.strerror}: name a folder where you may write")
    print((NEXT_IN_TREE if storey else NEXT).format(name=name, target=target, storey=storey), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
