from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tiny_clip
from pydantic import ValidationError

from curate.errors import RecipeError
from stages.common.encoders import encoder
from stages.common.scoring import vector_type, vectors
from stages.image.clip import Clip
from stages.image.tags import Tags

COLUMN = "image_clip_embedding"
NAMES = ("cat", "dog", "a lighthouse", "自転車", "tree")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_clip.write(tmp_path_factory.mktemp("model") / "clip")


def embeddings(count: int, seed: int = 0, absent: int | None = None) -> pa.Table:
    rows = np.random.default_rng(seed).normal(size=(count, tiny_clip.DIM))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    present = np.arange(count) != (-1 if absent is None else absent)
    return pa.table({COLUMN: vectors(rows[present].astype(np.float16), present, tiny_clip.DIM)})


def tagged(table: pa.Table, **config: Any) -> list[tuple[Any, Any]]:
    stage = Tags(**config)
    stage.check_columns(table.schema)
    out = stage.open()(table)
    assert out.drop is None
    tags, scores = out.columns.values()
    return list(zip(tags.to_pylist(), scores.to_pylist(), strict=True))


def by_hand(model: str, table: pa.Table, templates: list[str], names: tuple[str, ...]) -> np.ndarray:
    """Cosines as CLIP's notebook computes its zero-shot weights, one name after the other."""
    kind = encoder(model, "")
    front, towers = kind.front(), kind.towers("fp32", gpu=False)
    weights = []
    for name in names:
        mean = towers.texts(front.tokens([t.replace("{}", name) for t in templates])).mean(axis=0)
        weights.append(mean / np.linalg.norm(mean))
    rows = np.array(table[COLUMN].to_pylist(), dtype=np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True) @ np.stack(weights).T)


@pytest.mark.parametrize(
    "template", ["a photo of {}", ["a photo of {}", "a drawing of {}", "{}"]], ids=["one", "three"]
)
def test_tags_are_the_largest_cosines(model: str, template: Any) -> None:
    table = embeddings(12)
    found = tagged(table, model=model, vocabulary=NAMES, template=template, top=3)
    cosines = by_hand(model, table, [template] if isinstance(template, str) else template, NAMES)
    for row, (tags, scores) in zip(cosines, found, strict=True):
        order = np.argsort(-row)[:3]
        assert tags == [NAMES[i] for i in order]
        assert scores == pytest.approx(row[order].tolist(), abs=1e-5)


def test_an_image_is_closest_to_the_text_it_was_made_of(model: str) -> None:
    kind = encoder(model, "")
    texts = [f"a photo of {name}" for name in NAMES]
    rows = kind.towers("fp32", gpu=False).texts(kind.front().tokens(texts)).astype(np.float16)
    table = pa.table({COLUMN: vectors(rows, np.ones(len(rows), bool), tiny_clip.DIM)})
    for name, (tags, scores) in zip(NAMES, tagged(table, model=model, vocabulary=NAMES), strict=True):
        assert tags[0] == name
        assert scores[0] == pytest.approx(1, abs=1e-4)
        assert scores == sorted(scores, reverse=True)


def test_no_embedding_no_tags(model: str) -> None:
    found = tagged(embeddings(3, absent=1), model=model, vocabulary=NAMES)
    assert [tags is None for tags, _ in found] == [False, True, False]
    assert found[1] == (None, None)
    assert tagged(embeddings(0), model=model, vocabulary=NAMES) == []


def test_min_score_leaves_out_what_is_far(model: str) -> None:
    table = embeddings(30)
    whole = tagged(table, model=model, vocabulary=NAMES)
    least = float(np.median([s for _, scores in whole for s in scores]))
    for (tags, scores), (fewer, kept) in zip(
        whole, tagged(table, model=model, vocabulary=NAMES, min_score=least), strict=True
    ):
        assert kept == [s for s in scores if s >= np.float32(least)]
        assert fewer == tags[: len(kept)]
    assert tagged(table, model=model, vocabulary=NAMES, min_score=2)[0] == ([], [])


def test_equal_scores_are_in_the_order_of_names(model: str) -> None:
    """Names beyond the context are cut to the same text."""
    long = "very " * 100
    names = [f"{long}{end}" for end in ("z", "b", "m")]
    for tags, scores in tagged(embeddings(9), model=model, vocabulary=names):
        assert tags == sorted(names)
        assert len(set(scores)) == 1


def test_a_row_is_tagged_alone(model: str) -> None:
    table = embeddings(50)
    names = [f"thing {i}" for i in range(40)]
    op = Tags(model=model, vocabulary=names).open()
    whole = {name: values.to_pylist() for name, values in op(table).columns.items()}
    for i in range(50):
        one = op(table.slice(i, 1)).columns
        assert {name: values.to_pylist()[0] for name, values in one.items()} == {
            name: values[i] for name, values in whole.items()
        }


def test_a_vocabulary_in_a_file(model: str, tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("\ufeff# animals\ncat\n\n dog \ncat\n# places\na lighthouse\n自転車\ntree\n", "utf-8")
    inline, listed = Tags(model=model, vocabulary=NAMES), Tags(model=model, vocabulary=str(path))
    assert inline.identity() == listed.identity(), "what counts are the names"
    table = embeddings(4)
    assert tagged(table, model=model, vocabulary=NAMES) == tagged(table, model=model, vocabulary=str(path))
    path.write_text("cat\n", "utf-8")
    assert inline.identity() != listed.identity()
    assert [len(tags) for tags, _ in tagged(table, model=model, vocabulary=str(path))] == [1] * 4


def test_it_shares_the_model_of_clip(model: str) -> None:
    keys = {part.model_key() for _, part in Clip(model=model).by_level() if hasattr(part, "model_key")}
    assert keys == {Tags(model=model, vocabulary=NAMES, template="{}").model_key()}


def refusal(table: pa.Table, **config: Any) -> str:
    with pytest.raises(RecipeError) as raised:
        Tags(**config).check_columns(table.schema)
    return str(raised.value)


def test_what_does_not_fit_is_refused(model: str, tmp_path: Path) -> None:
    other = pa.table({COLUMN: pa.array([[0.0] * 8], vector_type(8))})
    assert "32 numbers" in (why := refusal(other, model=model, vocabulary=NAMES))
    assert "has 8" in why
    scalar = pa.table({COLUMN: pa.array([0.5])})
    assert "no embedding" in refusal(scalar, model=model, vocabulary=NAMES)
    table = embeddings(1)
    assert "in brackets" in refusal(table, model=model, vocabulary=str(tmp_path / "cat"))
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    assert "not UTF-8" in refusal(table, model=model, vocabulary=str(tmp_path / "latin"))
    (tmp_path / "empty").write_text("# nothing\n\n")
    assert "no name" in refusal(table, model=model, vocabulary=str(tmp_path / "empty"))
    assert "no name" in refusal(table, model=model, vocabulary=())


@pytest.mark.parametrize("template", ["a photo", "{} and {}", "{0}", ["{}", "x"]])
def test_a_template_has_one_place_for_the_name(template: Any) -> None:
    with pytest.raises(ValidationError):
        Tags(vocabulary=NAMES, template=template)
