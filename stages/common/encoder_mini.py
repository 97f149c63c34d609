"""A small encoder of our own, shipped with the package: for the demo, for tests, for machines without torch.

Trained by `infra/train_mini` on the demo's drawings, Open Clip Art, icons and emoji, in English, Chinese,
German, French, Spanish and Japanese. It knows the demo's things, their colours and, to a degree, who is left
of whom; of clip art it knows something, of photographs next to nothing. Two ONNX graphs, run by onnxruntime
on one thread.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import RecipeError
from stages.common.encoder import Facts, Floats, Frame, Front, Precision, Tokens, Towers
from stages.common.encoder_resize import Resize
from stages.common.weight_files import digests

DIM = 256
SIZE = 96  # pixels a side
TOKENS = 64  # of a text, with the one that opens it
FEATURES = 8  # of a token
BUCKETS = 16_384  # rows of the table of features; 0 is none, 1 opens a text

IMAGE = Path(__file__).with_name("mini_image.onnx")
TEXT = Path(__file__).with_name("mini_text.onnx")

_OPENING = (1,) + (0,) * (FEATURES - 1)
# Characters: beyond what 64 tokens usually take. NFKC may lengthen a text 18-fold.
_LONGEST_TEXT = 2_000
# Chinese and Japanese are written without spaces: ideographs, kana, their iteration marks.
_UNSPACED = "\u3005\u3007\u3041-\u3096\u309d\u309e\u30a1-\u30fa\u30fc-\u30fe\u3400-\u4dbf\u4e00-\u9fff"
_UNSPACED += "\uf900-\ufaff\U00020000-\U000323af"
_RUN = re.compile(rf"([{_UNSPACED}]+)|[^\W_{_UNSPACED}]+")


@dataclass(frozen=True)
class Mini:
    """The one model `mini`; it has no other weights."""

    weights: str = ""

    def facts(self) -> Facts:
        """RecipeError where weights are named."""
        if self.weights:
            raise RecipeError("weights", f"mini has its own, not {self.weights!r}", "leave it out")
        return Facts(DIM, SIZE)

    def assets(self) -> Mapping[str, str]:
        """SHA-256 of the two graphs, weights within."""
        return digests((IMAGE, TEXT), "model")

    def notices(self) -> frozenset[str]:
        """Whose pictures it learned from."""
        learned = (
            "drawings of Curate's demo, Open Clip Art (public domain), WordNet, Unicode CLDR, and icons:"
            " Noto, Firefox OS, IconPark, Material Design (Apache-2.0), Fluent, Icons8, Tabler, Phosphor,"
            " Health Icons (MIT), Twemoji, Emoji One 2, Streamline (CC BY 4.0), game-icons.net (CC BY 3.0)"
        )
        return frozenset({f"mini, Curate's own encoder (Apache-2.0), trained on {learned}"})

    def front(self) -> Front:
        """On a worker."""
        return _Front()

    def towers(self, precision: Precision, gpu: bool) -> Towers:
        """Always float32 on the CPU, on the thread that calls."""
        return _Towers()


class _Front:
    """See `Front`."""

    # the whole image, whatever its aspect: a caption also speaks of what stands at the rim
    _resize = Resize(SIZE, mode="squash")

    def pixels(self, frame: Frame) -> Frame:
        """Both sides to 96 pixels, bicubic with antialiasing."""
        return self._resize(frame)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """`tokens`: int64 (n, 64, 8), rows of the table for each token; 0 where there is nothing."""
        found = np.zeros((len(texts), TOKENS, FEATURES), dtype=np.int64)
        for row, text in zip(found, texts, strict=True):
            rows = [_OPENING, *(features(word) for word in words(text)[: TOKENS - 1])]
            row[: len(rows)] = rows
        return {"tokens": found}


def words(text: str) -> list[str]:
    """The tokens of a text, NFKC and casefolded; punctuation is none.

    A word or number is one token. Of a run without spaces every second character begins one, which also holds
    the two after it: two that it stands for, and one for the pair across the joint.
    """
    plain = unicodedata.normalize("NFKC", text[:_LONGEST_TEXT]).casefold()
    found: list[str] = []
    for match in _RUN.finditer(plain):
        run = match.group()
        if match.group(1):
            found += [run[i : i + 3] for i in range(0, len(run), 2)]
        else:
            found.append(run)
    return found


@lru_cache(maxsize=65_536)
def features(word: str) -> tuple[int, ...]:
    """Rows of the table for a token, padded with 0.

    Of a word: the word and its first seven trigrams, `<` and `>` at its ends. Of a piece of a run without
    spaces: its two characters, the pairs and the three.
    """
    if _RUN.match(word[0]).group(1):  # type: ignore[union-attr]  # `words` matched it
        parts = dict.fromkeys((word[0], word[1:2], word[:2], word[1:3], word))
        kinds = [f"c{part}" for part in parts if part]
    else:
        padded = f"<{word}>"
        trigrams = (padded[i : i + 3] for i in range(len(padded) - 2))
        kinds = [f"w{word}", *(f"t{part}" for part in dict.fromkeys(trigrams))]
    # CRC-32: the same everywhere, and in C
    rows = [
        2 + zlib.crc32(kind.encode("utf-8", "surrogatepass")) % (BUCKETS - 2) for kind in kinds[:FEATURES]
    ]
    return tuple(rows + [0] * (FEATURES - len(rows)))


class _Towers:
    """See `Towers`. Rows go through one by one: a matrix product of other height may round another way."""

    def __init__(self) -> None:
        self._image = _session(IMAGE)
        self._text = _session(TEXT)

    def images(self, pixels: Frame) -> Floats:
        """Of (n, 96, 96, 3) uint8."""
        return _each(self._image, "pixels", (row[None] for row in pixels), len(pixels))

    def texts(self, tokens: Tokens) -> Floats:
        """Each at its own length: padding would cost more than it saves."""
        ids = tokens["tokens"]
        lengths = (ids[:, :, 0] > 0).sum(axis=1)
        rows = (row[None, :length] for row, length in zip(ids, lengths, strict=True))
        return _each(self._text, "tokens", rows, len(ids))


def _each(session: Any, name: str, rows: Any, count: int) -> Floats:
    found: npt.NDArray[np.float32] = np.empty((count, DIM), dtype=np.float32)
    for place, row in enumerate(rows):
        (found[place : place + 1],) = session.run(None, {name: row})
    return found


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
