"""Creates an engine by its name."""

from __future__ import annotations

from collections.abc import Mapping

from contentops.server.engines.protocol import CALL_SECONDS, Engine, EngineError

PASSES = ("one", "staged")
"""How a model writes: one call for each text, or a plan, sections and editing."""


def named(
    name: str,
    *,
    environ: Mapping[str, str] | None = None,
    model: str = "",
    max_tokens: int = 0,
    passes: str = "staged",
    call_seconds: float = CALL_SECONDS,
) -> Engine:
    """Return the engine with this name. The other parameters are only for engines that call a model.

    Raises EngineError for an unknown name, and for settings that cannot work.
    """
    if name == "outline":
        from contentops.server.engines.outline import OutlineEngine

        return OutlineEngine()
    if name == "openai":
        from contentops.server.engines.chat import ChatClient, endpoint
        from contentops.server.engines.openai import OpenAIEngine

        chat = ChatClient(endpoint(environ or {}, model), seconds=call_seconds)
        return OpenAIEngine(chat, max_tokens=max_tokens, passes=passes)
    raise EngineError(f"unknown engine `{name}`; known: `outline`, `openai`")
