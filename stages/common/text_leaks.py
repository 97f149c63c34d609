"""The questions of benchmarks as runs of words, and the texts that share them.

Evidence are runs of n words of a question (with its options where it is shorter than n), and of an answer
that is itself so long. What more than ten of them have in common is a template ("Answer with the option's
letter ..."): it is none, and neither is a run most of whose words stand in one.

A question of which nothing is left is short. Such ones meet by nature ("What colour is the car?"): they are
kept with the images that they are asked about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.sample import Ints, single
from stages.common.benchmark import Asked, Benchmark, Gallery, items
from stages.common.benchmark_rows import Faults
from stages.common.ngrams import Grams, Tokens, covered, grams, longest_run, tokens

VERSION = 1
_TEMPLATE = 10  # texts that may share a run
_BARE = re.compile(r"\s*([\d.,%$-]+|\w)\s*")
_SHOWN = 500  # characters of a question that are told with a hit
_SHORTEST = 3  # words of a question that is looked for with its image; letters: twice as many


class Match(NamedTuple):
    """What a text shares with the question that it shares most with."""

    text: int
    entry: int
    share: float
    rows: Ints  # of the index: the runs that both have


class _Source(NamedTuple):
    """A text of an item, and the names of the images that it is asked about."""

    item: str
    text: str
    images: tuple[str, ...] = ()


def build(benchmarks: Sequence[Benchmark], n: int, n_letters: int) -> dict[str, pa.Table]:
    """Tables `entries` (item, text, words), `grams` (gram, entry, start, length; sorted by gram), `short`
    (image, item, phrase, text) and `faults` (benchmark, fault, count)."""
    faults = {one.name: Faults() for one in benchmarks}
    sources = list(_sources(benchmarks, faults, n, n_letters))
    found = tokens(pa.array([s.text for s in sources], pa.string()))
    runs = grams(found, n, n_letters)
    own = _own_words(found, runs)
    evidence = _evidence(runs, own)
    order = np.lexsort((runs.starts[evidence], runs.hashes[evidence]))
    held = runs.take(np.flatnonzero(evidence)[order])
    once = np.ones(len(order), dtype=bool)  # of a run that a question repeats the first
    once[1:] = (held.hashes[1:] != held.hashes[:-1]) | (held.texts[1:] != held.texts[:-1])
    held = held.take(np.flatnonzero(once))
    entries, entry = np.unique(held.texts, return_inverse=True)
    before = np.append(0, np.cumsum(own))
    totals = before[found.offsets[entries + 1]] - before[found.offsets[entries]]
    return {
        "entries": pa.table(
            {
                "item": pa.array([sources[k].item for k in entries], pa.string()),
                "text": pa.array([sources[k].text[:_SHOWN] for k in entries], pa.string()),
                "words": totals,
            }
        ),
        "grams": pa.table(
            {
                "gram": held.hashes,
                "entry": entry.astype(np.int32),
                "start": (held.starts - found.offsets[held.texts]).astype(np.int32),
                "length": held.lengths.astype(np.int16),
            }
        ),
        "short": _short(found, own, sources, np.setdiff1d(np.arange(len(sources)), entries)),
        "faults": fault_table(faults),
    }


def fault_table(faults: Mapping[str, Faults]) -> pa.Table:
    """What could not be read, by benchmark."""
    told = [(name, fault, count) for name, some in faults.items() for fault, count in sorted(some.items())]
    names = pa.schema([("benchmark", pa.string()), ("fault", pa.string()), ("count", pa.int64())])
    return pa.Table.from_pylist([dict(zip(names.names, row, strict=True)) for row in told], names)


def _sources(
    benchmarks: Sequence[Benchmark], faults: Mapping[str, Faults], n: int, n_letters: int
) -> Iterator[_Source]:
    """The texts of all items, equal ones of equal images once."""
    gallery = Gallery()
    asked: list[Asked] = []
    for benchmark in benchmarks:
        for one in items(benchmark, faults[benchmark.name]):
            gallery.add(one)
            asked.append(one._replace(images=()))
    long = _long([one.item.question for one in asked], n, n_letters)
    offered = _long([_with_options(one, lettered=False) for one in asked], n, n_letters)
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for one, whole, joined in zip(asked, long, offered, strict=True):
        for source in _texts(one, bool(whole), bool(joined), tuple(gallery.names(one))):
            key = (source.text, source.images)
            if key not in seen:
                seen.add(key)
                yield source


def _long(texts: Sequence[str], n: int, n_letters: int) -> npt.NDArray[np.bool_]:
    """Which texts have a run."""
    runs = grams(tokens(pa.array(texts, pa.string())), n, n_letters)
    return np.bincount(runs.texts, minlength=len(texts)) > 0


def _texts(one: Asked, whole: bool, joined: bool, images: tuple[str, ...]) -> Iterator[_Source]:
    """`whole`: its question has a run; `joined`: with the options it has."""
    if one.item.question.strip():
        # a long one counts by itself, whatever image stands beside it
        yield _Source(one.name, one.item.question, () if whole else images)
    if joined and not whole:
        yield _Source(one.name, _with_options(one, lettered=False))
        yield _Source(one.name, _with_options(one, lettered=True))
    for answer in one.item.answers:
        yield _Source(one.name, answer)


def _with_options(one: Asked, lettered: bool) -> str:
    """Numbers and single letters are left out where they stand alone: they make no question its own."""
    options = [o for o in one.item.options if lettered or not _BARE.fullmatch(o)]
    if lettered:
        options = [f"{chr(65 + k)}. {option}" for k, option in enumerate(options[:26])]
    return " ".join([one.item.question, *options])


def _own_words(found: Tokens, runs: Grams) -> npt.NDArray[np.bool_]:
    """(m,): the words that lie in no template."""
    order = np.lexsort((runs.texts, runs.hashes))
    hashes, texts = runs.hashes[order], runs.texts[order]
    new = np.ones(len(order), dtype=bool)  # a run that a text repeats counts once
    new[1:] = (hashes[1:] != hashes[:-1]) | (texts[1:] != texts[:-1])
    gram, count = np.unique(hashes[new], return_counts=True)
    template = np.isin(runs.hashes, gram[count > _TEMPLATE])
    return ~covered(len(found.words), runs.starts[template], runs.lengths[template])


def _evidence(runs: Grams, own: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(k,): the runs of which more than half of the words are in no template."""
    before = np.append(0, np.cumsum(own))
    kept: npt.NDArray[np.bool_] = (
        2 * (before[runs.starts + runs.lengths] - before[runs.starts]) > runs.lengths
    )
    return kept


def _short(found: Tokens, own: npt.NDArray[np.bool_], sources: Sequence[_Source], which: Ints) -> pa.Table:
    rows = []
    for k in which.tolist():
        first, last = int(found.offsets[k]), int(found.offsets[k + 1])
        start, stop = longest_run(own[first:last])
        weight = (stop - start) - 0.5 * found.letter[first + start : first + stop].sum()
        if weight >= _SHORTEST:
            phrase = found.text(first + start, first + stop)
            rows += [
                (image, sources[k].item, phrase, sources[k].text[:_SHOWN]) for image in sources[k].images
            ]
    names = ("image", "item", "phrase", "text")
    columns = zip(*sorted(rows), strict=True) if rows else ((),) * len(names)
    return pa.table([pa.array(list(column), pa.string()) for column in columns], names=names)


class Lookup:
    """Texts against an index that `build` made."""

    def __init__(self, index: Mapping[str, pa.Table], n: int, n_letters: int) -> None:
        self.items = index["entries"]["item"]
        self.texts = index["entries"]["text"]
        self._n, self._n_letters = n, n_letters
        runs = index["grams"]
        self._grams = single(runs["gram"]).to_numpy()
        self._entries, self._starts, self._lengths = (
            single(runs[name]).to_numpy().astype(np.int64) for name in ("entry", "start", "length")
        )
        self._words = single(index["entries"]["words"]).to_numpy()
        self._short: dict[str, list[tuple[str, str, str]]] = {}
        for image, *rest in zip(*(c.to_pylist() for c in index["short"].columns), strict=True):
            item, phrase, text = rest
            self._short.setdefault(image, []).append((item, phrase, text))

    def best(self, found: Tokens) -> list[Match]:
        """For each text that shares a run with a question the one it holds most of, by share, then order.

        What lies far apart in the text is not added up: long texts hold a bit of everything.
        """
        runs = grams(found, self._n, self._n_letters)
        first = np.searchsorted(self._grams, runs.hashes, side="left")
        counts = np.searchsorted(self._grams, runs.hashes, side="right") - first
        each = np.repeat(np.arange(len(counts)), counts)
        rows = first[each] + np.arange(len(each)) - (np.cumsum(counts) - counts)[each]
        text, entry, start = runs.texts[each], self._entries[rows], self._starts[rows]
        # in a copy the places in text and question differ by the same number
        apart = runs.starts[each] - start
        order = np.lexsort((apart, entry, text))
        text, entry, start, apart, rows = (v[order] for v in (text, entry, start, apart, rows))
        new = np.ones(len(rows), dtype=bool)
        new[1:] = np.diff(text).astype(bool) | np.diff(entry).astype(bool) | (np.diff(apart) > self._n)
        place = np.cumsum(new) - 1
        order = np.lexsort((start, place))
        place, start, rows = place[order], start[order], rows[order]
        reach = self._lengths[rows]
        within = np.flatnonzero(np.diff(place) == 0)  # words of the next run count there
        reach[within] = np.minimum(reach[within], np.diff(start)[within])
        share = np.bincount(place, weights=reach, minlength=int(new.sum())) / self._words[entry[new]]
        text, entry = text[new], entry[new]
        order = np.lexsort((entry, -share, text))
        best = order[np.diff(text[order], prepend=-1) > 0]
        begin = np.searchsorted(place, np.arange(len(text) + 1))
        return [
            Match(int(text[k]), int(entry[k]), min(1.0, float(share[k])), rows[begin[k] : begin[k + 1]])
            for k in best
        ]

    def run(self, found: Tokens, match: Match) -> str:
        """The longest stretch of words that text and question share, as the text has it."""
        mine = found.only(match.text)
        runs = grams(mine, self._n, self._n_letters)
        hit = np.isin(runs.hashes, self._grams[match.rows])
        start, stop = longest_run(covered(len(mine.words), runs.starts[hit], runs.lengths[hit]))
        return mine.text(start, stop)

    def short(self, words: str, images: Iterable[str]) -> tuple[str, str, str] | None:
        """(item, phrase, question) of the first short question about one of the images that the text has."""
        padded = f" {words} "
        for image in images:
            for item, phrase, text in self._short.get(image, ()):
                if f" {phrase} " in padded:
                    return item, phrase, text
        return None
