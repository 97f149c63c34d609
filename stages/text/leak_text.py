"""See `LeakText`."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.sample import Level, single
from curate.stage import Op, Out
from stages.common.cached_index import Tables
from stages.common.columns import reason_where
from stages.common.leaks import Leak
from stages.common.ngrams import tokens
from stages.common.text_leaks import VERSION, Lookup, build


class LeakText(Leak):
    """Texts that hold the question of an evaluation benchmark, in its own words.

        text_leak            string    <benchmark>/<item>, null where nothing leaks
        text_leak_by         string    `ngram`, or `short` (see below)
        text_leak_share      float32   how much of a question the text holds: of that it holds most of
        text_leak_ngram      string    the longest run of words that both have
        text_leak_question   string    how the benchmark asks (its first 500 characters)

    A question and a text are compared by runs of `n` words (13, as GPT-3, arXiv 2005.14165, appendix C), in
    NFKC form, without case and punctuation. A run that begins with a letter of a script without spaces (Han,
    kana, Thai, Lao, Khmer, Burmese) has `n_letters` letters instead. A text leaks where at least `min_share`
    of the question's words stand in runs that both have (Llama 2, arXiv 2307.09288, section A.6, calls a
    question dirty from 0.8): one run alone is often a saying, a title, a sentence of a form.

    A question of fewer than n words counts together with its options, where those are more than numbers; an
    answer of n words or more by itself. Runs that more than ten questions share ("Answer with the option's
    letter ...") are nobody's. Hints and lectures are not compared: training sets share them by right
    (ScienceQA).

    What is shorter still, as most questions about images are, meets by nature: "What colour is the car?" is
    no leak. With `short: with_image` it is one where the text holds it and an image of the sample is the one
    it is asked about: put `leak_image` before, with `action: mark` if another question about an image of a
    benchmark may stay.

    `text_leak_share` is 0 where nothing is shared; its percentiles help to choose `min_share`.
    """

    stage: Literal["leak_text"] = "leak_text"
    level: ClassVar[Level] = "text"

    n: int = Field(default=13, ge=3, le=64, description="Words of a run.")
    n_letters: int = Field(
        default=20, ge=3, le=128, description="Letters of one, in scripts without spaces between words."
    )
    min_share: float = Field(
        default=0.7, gt=0, le=1, description="Of a question's words, how many a text must hold in runs."
    )
    short: Literal["ignore", "with_image"] = Field(
        default="ignore", description="`with_image`: a short question leaks together with its image."
    )

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body", *(["image_leak"] if self.short == "with_image" else [])})

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                ("text_leak", pa.string()),
                ("text_leak_by", pa.string()),
                ("text_leak_share", pa.float32()),
                ("text_leak_ngram", pa.string()),
                ("text_leak_question", pa.string()),
            ]
        )

    def kind(self) -> str:
        return f"text-{VERSION}-{self.n}-{self.n_letters}"

    def build(self) -> Tables:
        return build(self.benchmarks(), self.n, self.n_letters)

    def open(self) -> Op:
        lookup = Lookup(self.tables(), self.n, self.n_letters)

        def op(table: pa.Table) -> Out:
            rows = table.num_rows
            bodies = single(table["text_body"]).cast(pa.string())
            found = tokens(pc.fill_null(bodies, ""))
            matches = lookup.best(found)
            told: list[dict[str, Any]] = [{} for _ in range(rows)]
            share = np.zeros(rows, dtype=np.float32)
            for match in matches:
                share[match.text] = match.share
                if match.share >= self.min_share:
                    told[match.text] = {
                        "text_leak": lookup.items[match.entry].as_py(),
                        "text_leak_by": "ngram",
                        "text_leak_ngram": lookup.run(found, match),
                        "text_leak_question": lookup.texts[match.entry].as_py(),
                    }
            if self.short == "with_image":
                shown = single(table["image_leak"])
                for row in np.flatnonzero(_any(shown)).tolist():
                    words = found.text(int(found.offsets[row]), int(found.offsets[row + 1]))
                    images = [image for image in shown[row].as_py() if image is not None]
                    hit = None if told[row] else lookup.short(words, images)
                    if hit is not None:
                        names = ("text_leak", "text_leak_ngram", "text_leak_question")
                        told[row] = {**dict(zip(names, hit, strict=True)), "text_leak_by": "short"}
            columns = {
                field.name: pa.array([one.get(field.name) for one in told], field.type)
                for field in self.writes()
                if field.name != "text_leak_share"
            }
            columns["text_leak_share"] = pa.array(share, mask=pc.is_null(bodies).to_numpy(False))
            leaks = pc.is_valid(columns["text_leak"])
            return Out(columns, reason_where(leaks, "leak") if self.action == "drop" else None)

        return op


def _any(lists: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(rows,): whether a list holds anything that is no null."""
    held = pc.is_valid(lists.flatten()).to_numpy(zero_copy_only=False)
    counts = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    rows = np.repeat(np.arange(len(counts)), counts)
    return np.bincount(rows[held], minlength=len(counts)) > 0
