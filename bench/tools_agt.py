"""Microsoft's agent governance toolkit, in an environment of its own: reads calls, and writes decisions a second."""

from __future__ import annotations

import json
import sys
import time

from agent_os.policies import (  # type: ignore[import-not-found]
    PolicyAction,
    PolicyCondition,
    PolicyDefaults,
    PolicyDocument,
    PolicyEvaluator,
    PolicyOperator,
    PolicyRule,
)


def main() -> None:
    """Decide each call once; the last line says how many that were for each second of the processor.

    A rule of the toolkit's has one condition. So its rules ask for the tool alone, which is less than ours do.
    """
    told = json.load(sys.stdin)
    rules = [
        PolicyRule(
            name=f"rule-{tool}",
            condition=PolicyCondition(field="tool_name", operator=PolicyOperator.EQ, value=tool),
            action=PolicyAction.ALLOW,
        )
        for tool in told["tools"]
    ]
    document = PolicyDocument(name="bench", rules=rules, defaults=PolicyDefaults(action=PolicyAction.DENY))
    evaluator = PolicyEvaluator([document])
    contexts = [{"tool_name": tool, "n": n} for tool, n in told["calls"]]
    assert evaluator.evaluate(contexts[0]).allowed
    began = time.thread_time()
    for context in contexts:
        evaluator.evaluate(context)
    print(len(contexts) / (time.thread_time() - began))


if __name__ == "__main__":
    main()
