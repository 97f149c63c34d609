from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pools
import pyarrow as pa
import pytest
from by_key import drops, samples

from curate.errors import RecipeError
from stages.common.entries import Entries, words
from stages.group.balance import Balance


def listed(folder: Path, *entries: str) -> str:
    path = folder / "entries.txt"
    path.write_text("\n".join(entries), encoding="utf-8")
    return str(path)


def entries_in(text: str, *entries: str) -> set[str]:
    return Entries(entries).found(words(pa.array([text])).to_pylist()[0])


# What MetaCLIP's own `substr_matching` (facebookresearch/MetaCLIP, metaclip/substr_matching.py, with
# pyahocorasick 2.3) finds in captions of Tux Paint's stamps, and of these made by hand.
_METADATA = (
    "a",
    "apple",
    "granny",
    "granny smith",
    "smith",
    "dollar",
    "half dollar",
    "loon",
    "two",
    "dog",
    "og",
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("granny smith apple", {"granny", "smith", "granny smith", "apple"}),
        ("a half dollar, two dollar.", {"a", "half dollar", "dollar", "two"}),
        ("named after the bird: a loon\na dog", {"a", "loon", "dog"}),
        ("dogs hotdog loony", set()),
        ("granny\tsmith!", {"granny", "smith", "granny smith"}),
        ("", set()),
    ],
)
def test_entries_as_the_original_finds_them(text: str, found: set[str]) -> None:
    assert entries_in(text, *_METADATA) == found


@pytest.mark.parametrize(
    ("text", "entries", "found"),
    [
        ("A RED-Bike (dog)", ("red bike", "Dog"), {"red bike", "dog"}),
        ("两只猫在桌子上。", ("猫", "桌子", "子桌"), {"猫", "桌 子"}),
        ("ねこがいる", ("ねこ",), {"ね こ"}),
        ("I write C++, not C", ("c++", "c", "c#"), {"c + +", "c"}),
        ("ｆｕｌｌ ﬁne  cafe\u0301", ("full", "fine", "café"), {"full", "fine", "café"}),
        (
            "new york city hall",
            ("new york", "york city hall", "new york city hall of"),
            {"new york", "york city hall"},
        ),
    ],
)
def test_entries_beyond_it(text: str, entries: tuple[str, ...], found: set[str]) -> None:
    assert entries_in(text, *entries) == found


def pool(count: int, start: int = 0) -> pa.Table:
    """Every sample says `photo`, every tenth `red`, every hundredth `cat`, and each thousandth nothing."""

    def text(i: int) -> list[str]:
        if i % 1000 == 999:
            return ["none of these"]
        return ["a photo" + " red" * (i % 10 == 0) + " cat" * (i % 100 == 0), "photo"]

    return samples(count, start, text_body=text)


def test_heads_are_thinned_and_tails_stay(tmp_path: Path) -> None:
    table = pool(4000)
    stage = Balance(entries=listed(tmp_path, "photo", "red", "cat"), limit=100)
    fates = drops(stage, table)
    assert all(fates[i] is None for i in range(0, 4000, 100)), "40 cats are not too many"
    assert [i for i, fate in enumerate(fates) if fate == "no_entry"] == [999, 1999, 2999, 3999]
    red = [fates[i] for i in range(0, 4000, 10) if i % 100]
    # kept by `red` (100 of 400) or by `photo` (100 of 3,996)
    assert red.count(None) / 360 == pytest.approx(1 - (1 - 100 / 400) * (1 - 100 / 3996), abs=0.07)
    plain = [fate for i, fate in enumerate(fates) if i % 10 and i % 1000 != 999]
    assert plain.count(None) / len(plain) == pytest.approx(100 / 3996, abs=0.012)
    assert set(fates) == {None, "no_entry", "over_represented"}


def test_samples_without_an_entry_may_stay(tmp_path: Path) -> None:
    stage = Balance(entries=listed(tmp_path, "cat"), limit=1, unmatched="keep")
    assert stage.reasons() == {"over_represented"}
    fates = drops(stage, pool(200))
    assert [i for i, fate in enumerate(fates) if fate is not None] in ([0], [100], [0, 100], [])
    assert (
        drops(Balance(entries=listed(tmp_path, "photo"), limit=200, unmatched="keep"), pool(200))
        == [None] * 200
    )


def test_draws_for_entries_are_independent(tmp_path: Path) -> None:
    """With three entries of probability 1/2 seven of eight stay; one draw for all would keep half."""
    table = samples(2000, text_body=lambda i: ["one two three"])
    fates = drops(Balance(entries=listed(tmp_path, "one", "two", "three"), limit=1000), table)
    assert fates.count(None) / 2000 == pytest.approx(7 / 8, abs=0.03)


def test_more_data_moves_few_decisions(tmp_path: Path) -> None:
    """A fifth more of everything: a head keeps 5/6 of those it kept, and takes none of them back."""
    stage = Balance(entries=listed(tmp_path, "photo", "red", "cat"), limit=100)
    old = pool(4000)
    before = np.array(drops(stage, old), dtype=object)
    after = np.array(drops(stage, pa.concat_tables([old, pool(800, 4000)]))[:4000], dtype=object)
    assert all(b is None for b, a in zip(before, after, strict=True) if a is None)
    stayed = before == None  # noqa: E711
    lost = np.count_nonzero(stayed & (after != None)) / np.count_nonzero(stayed)  # noqa: E711
    assert 0.08 < lost < 0.22
    assert np.count_nonzero(before != after) / 4000 < 0.02


def test_values_without_a_list() -> None:
    tags = [["cat", "dog"], ["cat"], None, [], ["dog", "dog"]]
    table = samples(5, image_tags=[None if t is None else [t] for t in tags])
    assert drops(Balance(key="image_tags", limit=10), table) == [None, None, "no_entry", "no_entry", None]
    many = samples(900, cluster=lambda i: i % 3 if i % 3 else 0)
    fates = drops(Balance(key="cluster", limit=30), many)
    kept = Counter(i % 3 for i, fate in enumerate(fates) if fate is None)
    assert all(15 < kept[c] < 48 for c in range(3))


def test_order_and_seed() -> None:
    table = samples(300, language=lambda i: "en")
    order = np.random.default_rng(0).permutation(300)
    stage = Balance(key="language", limit=50)
    there = drops(stage, table)
    assert [there[i] for i in order] == drops(stage, table.take(pa.array(order)))
    assert there != drops(Balance(key="language", limit=50, seed=1), table)


def test_the_list_is_its_content(tmp_path: Path) -> None:
    one, other = tmp_path / "a.txt", tmp_path / "b.txt"
    one.write_text("# cats\ncat\n")
    other.write_text("# cats\ncat\n")
    same = {Balance(entries=str(path)).identity() for path in (one, other)}
    assert len(same) == 1
    other.write_text("dog\n")
    assert Balance(entries=str(other)).identity() not in same
    (tmp_path / "metadata.json").write_text(json.dumps(["cat", "# cats"]))
    stage = Balance(entries=str(tmp_path / "metadata.json"))
    assert drops(stage, samples(2, text_body=[["a # cats"], ["a dog"]])) == [None, "no_entry"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("l.txt", b"# nothing\n\n", "holds no entry"),
        ("l.txt", b"\xff\xfe", "not UTF-8"),
        ("l.txt", b"a\0b", "null byte"),
        ("l.json", b"{]", "is no JSON"),
        ("l.json", b'{"a": 1}', "no array of texts"),
        ("l.json", b"[1]", "no array of texts"),
    ],
)
def test_bad_lists_are_told_at_plan_time(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecipeError, match=f"entries: .*{told}"):
        Balance(entries=str(tmp_path / name)).check_columns(pa.schema([]))


def test_recipes_are_told_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"cannot be read(.|\n)*holds: entries.txt"):
        Balance(entries=listed(tmp_path, "a") + "x").check_columns(pa.schema([]))
    columns = pa.schema([("score", pa.float32()), ("image_tags", pa.list_(pa.string())), ("n", pa.int32())])
    with pytest.raises(RecipeError, match="key: `score` holds float"):
        Balance(key="score").check_columns(columns)
    with pytest.raises(RecipeError, match="key: `n` holds int32"):
        Balance(key="n", entries=listed(tmp_path, "a")).check_columns(columns)
    Balance(key="image_tags").check_columns(columns)
    Balance(key="n").check_columns(columns)


def test_in_a_run(tmp_path: Path) -> None:
    path = pools.write_tars(tmp_path / "in", pools.pairs(90), 3)
    entries = listed(tmp_path, "caption", "xxxxxx", "number 7")

    def recipe(part_rows: int) -> pools.Recipe:
        nodes: list[dict[str, Any]] = [
            {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": part_rows},
            {"id": "even", "stage": "balance", "entries": entries, "limit": 13},
            {"id": "out", "stage": "write_webdataset", "shard_size": 16},
        ]
        return {"name": "balanced", "nodes": nodes}

    report = pools.run(recipe(8), tmp_path / "a")
    pools.prove(report)
    pools.run(recipe(1000), tmp_path / "b")
    assert pools.dead(tmp_path / "a") == pools.dead(tmp_path / "b")
    texts = pools.index(tmp_path / "a", "out")["text_body"].to_pylist()
    # 12 of 90 end in six letters: fewer than the limit, so all of them are there
    assert sum(text.endswith(" xxxxxx") for text in texts) == 12
    assert any("number 7 " in text for text in texts)
    assert 12 < len(texts) < 45
    assert set(pools.dead(tmp_path / "a").values()) == {"even:over_represented"}
