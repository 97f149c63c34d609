"""With local files no hub is asked: what is missing there is told at once, not after minutes of retries."""

from __future__ import annotations

import os
import sys


def go_offline() -> None:
    """Set HF_HUB_OFFLINE, unless the environment says otherwise, for what is imported and for what was.

    huggingface_hub reads the variable when it is imported, which another library (`datasets`) may have done.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None and os.environ["HF_HUB_OFFLINE"].upper() in ("1", "ON", "YES", "TRUE"):
        vars(constants)["HF_HUB_OFFLINE"] = True
