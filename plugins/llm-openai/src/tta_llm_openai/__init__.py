"""Language models behind any endpoint that speaks as OpenAI does: Ollama, vLLM, llama.cpp, hosted ones."""

from __future__ import annotations

from .config import Config, Endpoint
from .plugin import LlmOpenai

__all__ = ["Config", "Endpoint", "LlmOpenai"]
