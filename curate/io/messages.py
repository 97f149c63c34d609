"""See `ReadMessages`."""

from __future__ import annotations

from typing import Literal

from curate.export.dialogue import MESSAGES, Dialect
from curate.io.conversation import ReadConversations


class ReadMessages(ReadConversations):
    """Conversations as `messages` with `role` and `content`, and `images`: ms-swift, LLaMA-Factory, OpenAI.

    A JSON array of any size, or JSON Lines. Names are those that ms-swift takes: `messages` or
    `conversations`, `role` or `from`, `content` or `value`, `images` or `image`. The content is a text with
    markers (`<image>`), or a list of parts (`text`, `image`, `image_url`), which become one text with a
    marker for each image; images are those of the row, and those that parts name themselves.

    All else is as for `read_llava`, but for what only LLaVA's trainers trip over: several images, URLs,
    absolute paths and system prompts are no faults here.
    """

    stage: Literal["read_messages"] = "read_messages"

    @classmethod
    def dialect(cls) -> Dialect:
        return MESSAGES
