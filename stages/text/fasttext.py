"""See `Fasttext`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from curate.errors import RecipeError, nearest
from curate.sample import Level, single
from curate.stage import Map, Op, Out
from stages.common import fasttext_model

SHIPPED = "caption_quality"
_SHIPPED_LABEL = "good"


class Fasttext(Map):
    """The probability that a fastText classifier gives a text for one label, 0 to 1; null for no text.

        text_fasttext   or, with a `name`, text_<name>_fasttext

    `model` is the path of any supervised model (.bin or .ftz): DCLM's likeness to instructions (arXiv
    2406.11794), a classifier of educational value, one of your own. It sees the text as it is, line ends as
    spaces, and the score is that of fastText's own `predict`. The file is checked at plan time, and its hash
    is part of the fingerprint.

    `caption_quality` is shipped (0.9 MB, labels good and junk; made by infra/train_caption_quality.py): does
    a text read as a caption, or as what stands in its place on the web: file names, addresses, key words,
    buttons, shop offers, markup, mojibake? For English, Chinese, German, French, Spanish and Japanese. It
    judges the form alone, knows nothing of the image, and learned from generated text: bound it low (`min:
    0.1` loses 1 to 2 % of real captions), beside the rules of `text_junk`.
    """

    stage: Literal["fasttext"] = "fasttext"
    level: ClassVar[Level] = "text"

    model: str = Field(default=SHIPPED, description="`caption_quality`, or the path of a .bin or .ftz.")
    label: str = Field(
        default="", description="The label to score, without `__label__`; needed with a model of your own."
    )
    name: str = Field(
        default="", pattern="^[a-z0-9_]*$", description="Tells the columns of two such nodes apart."
    )

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body"})

    def writes(self) -> pa.Schema:
        return pa.schema([(self._column(), pa.float32())])

    def assets(self) -> Mapping[str, str]:
        return {"model": self._model().digest}

    def notices(self) -> frozenset[str]:
        if self.model != SHIPPED:
            return frozenset()
        return frozenset({"`fasttext`: caption_quality, made of our own texts and Unicode CLDR's names"})

    def check_columns(self, columns: pa.Schema) -> None:
        labels = self._model().labels
        wanted = self._label()
        if not wanted:
            raise RecipeError("label", f"say which label of {self.model} to score", nearest("", labels[:20]))
        if wanted not in labels:
            raise RecipeError(
                "label", f"{self.model} has no label `{wanted}`", nearest(wanted, labels[:1000])
            )

    def open(self) -> Op:
        model = self._model()
        wanted, column = self._label(), self._column()
        predict = fasttext_model.predictor(model, len(model.labels))

        def score(text: str | None) -> float | None:
            # a label that is missing has a probability under 1e-5 (hierarchical softmax stops there)
            return dict(predict(text)).get(wanted, 0.0) if text and not text.isspace() else None

        def op(table: pa.Table) -> Out:
            texts = single(table["text_body"]).cast(pa.string()).to_pylist()
            return Out({column: pa.array([score(text) for text in texts], pa.float32())})

        return op

    def _model(self) -> fasttext_model.Model:
        shipped = Path(__file__).with_name("caption_quality.ftz")
        return fasttext_model.checked(shipped if self.model == SHIPPED else self.model)

    def _label(self) -> str:
        return self.label or (_SHIPPED_LABEL if self.model == SHIPPED else "")

    def _column(self) -> str:
        return f"text_{self.name}_fasttext" if self.name else "text_fasttext"
