"""Language models: asked within limits and budgets, streamed, structured, and with tools under the policy."""

from __future__ import annotations

from .budgets import BUDGETS, Account, Amount, Budgets, BudgetsError, Reserved, Spent, guard_budgets
from .errors import LlmError
from .events import LlmCalled
from .model import (
    ChatReply,
    ChatRequest,
    Finish,
    Message,
    Piece,
    Role,
    ToolCall,
    Usage,
    estimated_tokens,
)  # fmt: skip
from .models import MODELS, Delta, Embedded, ModelCall, ModelInfo, Models, ToolOffer
from .plugin import LlmEmbedder, LlmMemory, LlmPlugin
from .service import LLM, ChatStream, LanguageModel, ModelState
from .settings import Budget, Config, Limits, ModelSettings, Retries

__all__ = [
    "BUDGETS", "LLM", "MODELS", "Account", "Amount", "Budget", "Budgets", "BudgetsError", "ChatReply", "ChatRequest",
    "ChatStream", "Config", "Delta", "Embedded", "Finish", "LanguageModel", "Limits", "LlmCalled", "LlmEmbedder",
    "LlmError", "LlmMemory", "LlmPlugin", "Message", "ModelCall", "ModelInfo", "ModelSettings",
    "ModelState", "Models", "Piece", "Reserved", "Retries", "Role", "Spent", "ToolCall", "ToolOffer", "Usage",
    "estimated_tokens", "guard_budgets",
]  # fmt: skip
