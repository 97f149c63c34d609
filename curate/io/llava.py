"""See `ReadLlava`."""

from __future__ import annotations

from typing import Literal

from curate.export.dialogue import LLAVA, Dialect
from curate.io.conversation import ReadConversations


class ReadLlava(ReadConversations):
    """Conversations of LLaVA's format: `id`, `image` and `conversations` with `from` and `value`.

    A JSON array of any size, or JSON Lines: as LLaVA, LLaVA-NeXT, ShareGPT4V, Qwen2-VL's and Qwen3-VL's
    fine-tuning and InternVL read them, and as `write_llava` writes them. `source` is the file and the number
    of the row in it, from 1: of the line, or of the array's element.

    A turn is a text, and its images stand before it. Markers (`<image>`) that lead a turn, or a single one at
    its end, are taken out, as `messages.images` says which images a turn has; a marker amid the text stays.
    `row_fault_text` says what is wrong with a row, a line `code: detail` each, and `row_faults` (with
    `faults: keep`) the same as a list; docs/audit.md has all codes and what trainers do. Reading mends some
    of them (an `id` that is none, `image: null`, a marker in another place); a row with any other is dropped,
    for the first of them, unless `faults: keep`.

    A row with `video` or `audio` is `other_media`, an image within the JSON (`data:`) is `inline_image`.
    """

    stage: Literal["read_llava"] = "read_llava"

    @classmethod
    def dialect(cls) -> Dialect:
        return LLAVA
