"""Messages that are sent until they have gone, or can't."""

from __future__ import annotations

import anyio

from tta_kernel import as_failure
from tta_messages import Message, Messages, MessagesError, SendResult

_LONGEST_PAUSE = 1.0


async def send(messages: Messages, *wanted: Message, patience: float) -> SendResult | None:
    """Send, and again for up to ``patience`` seconds what a full queue or a lost store keeps from going.

    Return the first result that is a refusal for good; None where all went.
    """
    left, pause = list(wanted), 0.02
    with anyio.move_on_after(patience):
        while True:
            try:
                results = await messages.send(*left)
            except MessagesError:
                results = [SendResult(message.id, delivered=False, error="queue_full") for message in left]
            except Exception:
                raise
            except BaseException as exc:
                # A cancellation that a store lets out would end the task of a stream, and its caller wait for ever.
                raise as_failure(exc) from exc
            for result in results:
                if result.error not in ("", "queue_full", "not_replicated"):
                    return result
            left = [message for message, result in zip(left, results, strict=True) if result.error == "queue_full"]
            if not left:
                return None
            await anyio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
    return SendResult(left[0].id, delivered=False, error="queue_full", detail="the queue stayed full, or out of reach")
