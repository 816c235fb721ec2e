"""The commands ``tta tools …`` and ``tta policy explain``: what there is, how it does, and what a human decides."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, get_args

import msgspec

from tta_http import Principal
from tta_kernel import Kernel, Service
from tta_program import DONE, WANTING, Subcommands, fail, moment, print_json, table
from tta_program.arguments import duration, whole_number_to
from tta_safety import check_text
from tta_tool_policy import POLICY, Explanation

from . import hookspecs
from .model import ApprovalStatus, ToolError, split_id
from .report import Report, report
from .service import TOOLS
from .tools import StoredTools
from .views import Sort, ToolView, ordered, view

_Act = Callable[[StoredTools, argparse.Namespace], Awaitable[int]]
_JSON_LONGEST = 2**20


def add(subcommands: Subcommands) -> None:
    """Add the commands."""
    subcommands.group("tools", help="what agents act through: which tools there are, and how they do")

    def command(
        name: str, act: _Act, text: str, *, requires: Sequence[Service[Any]] = (), shared: bool = False,
        mutates: bool = False, target: str = "",
    ) -> argparse.ArgumentParser:  # fmt: skip
        async def run(kernel: Kernel, options: argparse.Namespace) -> int:
            return await _run(kernel, options, act, shared=shared)

        asks = (hookspecs.tools, *((check_text,) if name == "tools run" else ()))
        parser = subcommands.add(
            name, run, help=text, requires=(TOOLS, *requires), asks=asks, mutates=mutates, target=target
        )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="print JSON")
        return parser

    parser = command("tools list", _list, "list tools, and how they have done")
    parser.add_argument("--prefix", default="", help="those whose name begins so")
    parser.add_argument("--sort", choices=get_args(Sort), default="name", help="by name, or the highest figure first")
    parser.add_argument("--limit", type=whole_number_to(500), default=50, metavar="N", help="at most (%(default)s)")
    parser = command("tools show", _show, "show a tool: what it takes, gives and reaches")
    parser.add_argument("tool", help="its name, or name:version")
    parser = command(
        "tools run", _call, "call a tool in this process, under the policy", requires=(POLICY,), mutates=True,
        target="tool",
    )  # fmt: skip
    parser.add_argument("tool", help="its name, or name:version")
    parser.add_argument("--arguments", type=_object, default={}, metavar="JSON", help="an object (none)")
    parser.add_argument("--key", default="", help="make the call once, however often this is said")
    parser = command(
        "tools deprecate", _deprecate, "let nobody have a version who doesn't ask for it", shared=True, mutates=True,
        target="tool",
    )  # fmt: skip
    parser.add_argument("tool", help="name:version")
    parser = command(
        "tools cleanup", _cleanup, "deprecate tools that nobody uses, and delete the long deprecated", shared=True,
        mutates=True,
    )  # fmt: skip
    parser.add_argument("--max-idle", type=duration, metavar="TIME", help="what counts as idle (as the config says)")
    command("tools report", _report, "say which tools are used, slow, failing or unused, and what follows", shared=True)
    parser = command("tools approvals", _approvals, "list the calls that wait for a human", shared=True)
    parser.add_argument("--status", choices=get_args(ApprovalStatus), default="", help="only those")
    parser.add_argument("--limit", type=whole_number_to(500), default=50, metavar="N", help="at most (%(default)s)")
    parser = command(
        "tools approve", _approve, "let a call be made, once", shared=True, mutates=True, target="approval"
    )  # fmt: skip
    parser.add_argument("approval", help="its id, as `tta tools approvals` shows it")
    parser.add_argument("--by", default="", help="who you are (your login name)")
    parser.add_argument("--refuse", action="store_true", help="refuse it instead")
    parser = command(
        "policy explain", _explain, "say which rule decides about a call, and why", requires=(POLICY,)
    )  # fmt: skip
    parser.add_argument("tool", help="its name, or name:version")
    parser.add_argument("--as", dest="role", required=True, help="the role of whoever would call it")
    parser.add_argument("--principal", default="somebody", help="and their name")
    parser.add_argument("--agent", default="", help="the agent that would call it")
    parser.add_argument("--arguments", type=_object, default={}, metavar="JSON", help="an object (none)")


def _object(text: str) -> Mapping[str, Any]:
    if len(text) > _JSON_LONGEST:
        raise argparse.ArgumentTypeError("it is longer than a megabyte")
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise argparse.ArgumentTypeError('it is no JSON, such as {"dice": "3d6"}') from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError('arguments have names: say an object, such as {"dice": "3d6"}')
    return found


async def _run(kernel: Kernel, options: argparse.Namespace, act: _Act, *, shared: bool) -> int:
    tools = kernel.get(TOOLS)
    if not isinstance(tools, StoredTools):
        return fail("tools", "another plugin provides them: use its own commands")
    if shared and not tools.durable:
        return fail(
            "tools",
            "this is kept in memory, and this process has none of it: ask the running one (`GET /tools`, "
            "`/tools/approvals`), or keep it where all can see it (`tools-redis`)",
        )
    try:
        return await act(tools, options)
    except ToolError as exc:
        return fail("tools", str(exc))
    except ValueError as exc:
        return fail("tools", str(exc))


async def _list(tools: StoredTools, options: argparse.Namespace) -> int:
    figures = await tools.figures()
    views = [view(each, figures.get(each.id)) for each in await tools.all() if each.name.startswith(options.prefix)]
    shown = ordered(views, options.sort)[: options.limit]
    if options.json:
        print_json(shown)
        return DONE
    if not shown:
        print("there are no tools", file=sys.stderr)
        return DONE
    rows = [("TOOL", "STATUS", "REACHES", "CALLS", "ERRORS", "P95", "LAST USED", "DESCRIPTION")]
    rows += [
        (
            each.id, each.status, ",".join(each.safety_flags) or "-", str(each.calls), f"{each.error_rate:.1%}",
            _seconds(each), moment(each.last_used_at) if each.last_used_at else "-", each.description[:60],
        )
        for each in shown
    ]  # fmt: skip
    table(rows)
    if len(views) > len(shown):
        fail("tools", f"there are {len(views)}: --limit shows more")
    return DONE


def _seconds(shown: ToolView) -> str:
    return f"{shown.p95 * 1000:.3g} ms" if shown.p95 else "-"


async def _show(tools: StoredTools, options: argparse.Namespace) -> int:
    spec = await tools.get(*split_id(options.tool))
    shown = view(spec, (await tools.figures()).get(spec.id))
    if options.json:
        print_json({"spec": spec, "figures": shown})
        return DONE
    rows = [
        ("tool", spec.id), ("description", spec.description), ("status", spec.status), ("owner", spec.owner or "-"),
        ("runs", spec.callable or "in the process that registered it"),
        ("reaches", ", ".join(spec.safety_flags) or "-"),
        ("tags", ", ".join(spec.capabilities) or "-"),
        ("may be repeated", "yes" if spec.idempotent else "no"), ("signature", spec.signature),
        *(
            (f"takes {each.name}{'' if each.required else ', if you like'}", msgspec.json.encode(each.schema).decode())
            for each in spec.parameters
        ),
        ("gives", msgspec.json.encode(spec.returns_schema).decode()),
        *(("such as", msgspec.json.encode(each.parameters).decode()) for each in spec.examples),
        ("created", moment(spec.created_at) if spec.created_at else "-"),
        ("last used", moment(shown.last_used_at) if shown.last_used_at else "-"),
        ("calls", f"{shown.calls}, of which {shown.error_rate:.1%} fail; 95 % take up to {_seconds(shown)}"),
    ]  # fmt: skip
    table(rows)
    return DONE


async def _call(tools: StoredTools, options: argparse.Namespace) -> int:
    name, version = split_id(options.tool)
    principal = Principal(f"local:{getpass.getuser()}", "local", roles=("operator",))
    done = await tools.run(name, options.arguments, version=version, key=options.key, principal=principal)
    if options.json:
        print_json(done)
        return DONE
    print_json(done.value)
    if done.note:
        fail("tools", done.note)
    return DONE


async def _deprecate(tools: StoredTools, options: argparse.Namespace) -> int:
    name, version = split_id(options.tool)
    if not version:
        return fail("tools", f"say which version: {name}:1.0.0")
    await tools.deprecate(name, version)
    print_json({"deprecated": [options.tool]}) if options.json else print(f"{options.tool} is deprecated")
    return DONE


async def _cleanup(tools: StoredTools, options: argparse.Namespace) -> int:
    cleaned = await tools.cleanup(options.max_idle)
    if options.json:
        print_json(cleaned)
        return DONE
    for what, ids in (("deprecated", cleaned.deprecated), ("deleted", cleaned.pruned)):
        print(f"{len(ids)} {what}" + (f": {', '.join(ids)}" if ids else ""))
    return DONE


async def _report(tools: StoredTools, options: argparse.Namespace) -> int:
    static = {tool.spec.id for tool in tools.registry.local}
    found: Report = report(await tools.all(), await tools.figures(), static)
    if options.json:
        print_json(found)
        return DONE
    rows = [(name, ", ".join(getattr(found, name)) or "-") for name in ("used", "slow", "failing", "unused")]
    rows += [(each.tool, f"{each.what}: {each.figure}") for each in found.recommendations]
    table(rows)
    return DONE


async def _approvals(tools: StoredTools, options: argparse.Namespace) -> int:
    page = await tools.approvals(options.status, limit=options.limit)
    if options.json:
        print_json(page)
        return DONE
    if not page.approvals:
        print("nothing waits for a human", file=sys.stderr)
        return DONE
    rows = [("APPROVAL", "TOOL", "STATUS", "ASKED BY", "AGENT", "SESSION", "RULE", "UNTIL")]
    rows += [
        (
            each.id, f"{each.tool}:{each.version}", each.status, each.requester, each.agent or "-", each.session or "-",
            each.rule, moment(each.expires_at),
        )
        for each in page.approvals
    ]  # fmt: skip
    table(rows)
    return DONE


async def _approve(tools: StoredTools, options: argparse.Namespace) -> int:
    wanted = not options.refuse
    found = await tools.decide(options.approval, approved=wanted, by=options.by or getpass.getuser())
    if options.json:
        print_json(found)
    else:
        print(f"{found.tool}:{found.version}: {found.status} by {found.by}")
    return DONE if (found.status != "refused") == wanted else WANTING


async def _explain(tools: StoredTools, options: argparse.Namespace) -> int:
    name, version = split_id(options.tool)
    principal = Principal(options.principal, "key", roles=(options.role,))
    found: Explanation = await tools.explain(
        name, options.arguments, version=version, agent=options.agent, principal=principal
    )  # fmt: skip
    decision = found.decision
    if options.json:
        print_json(found)
        return DONE
    print(f"{decision.effect}, by {decision.rule}: {decision.reason}")
    rows = [("RULE", "SECTION", "EFFECT", "HOLDS", "WHY NOT")]
    rows += [
        (
            each.rule, each.section, each.effect + (" (shadow)" if each.shadow else ""),
            "decides" if each.decides else "nobody knows" if each.holds is None else "yes" if each.holds else "no",
            ", ".join([*each.failed, *(f"{what} (unknown)" for what in each.undecided)]) or "-",
        )
        for each in found.rules
    ]  # fmt: skip
    table(rows)
    return DONE
