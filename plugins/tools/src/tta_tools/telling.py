"""Whether what a tool says may reach a player: every check that is enabled is asked, and every doubt is a no."""

from __future__ import annotations

from tta_kernel import Context
from tta_safety import About, check_text, each, merge

from .making import Check


def checker(ctx: Context) -> Check:
    """Return what says why a text may not be told: ``unchecked``, ``failed`` or ``blocked``; "" where it may."""

    async def check(text: str, session: str, owner: str) -> str:
        answers = await ctx.ask(check_text, text, "tool", session, About(user=owner))
        verdicts = each(answers, "tool")
        verdict = merge(verdicts.values())
        if verdict.status != "checked":
            return verdict.status
        return "blocked" if any(one.objects for one in verdicts.values()) else ""

    return check
