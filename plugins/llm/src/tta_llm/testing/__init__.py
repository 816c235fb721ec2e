"""For tests of whoever asks models, and of backends: a model that follows a script, and the contracts."""

from __future__ import annotations

from .budgets import BudgetsContract, SharedBudgetsContract
from .models import ModelsContract
from .scripted import Says, ScriptedModels, scripted

__all__ = ["BudgetsContract", "ModelsContract", "Says", "ScriptedModels", "SharedBudgetsContract", "scripted"]
