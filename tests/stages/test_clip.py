"""`clip`: cosines of pairs and in documents, what is encoded, and what a change makes it do again."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pools
import pyarrow as pa
import pytest
import tiny_clip
from PIL import Image

from curate.stage import Arrays
from stages.image.clip import Clip, Cosines, ImageTower, TextTower

pytestmark = pytest.mark.usefixtures("torchvision")

COUNT = 24


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_clip.write(tmp_path_factory.mktemp("model"))


@pytest.fixture
def tars(tmp_path: Path) -> str:
    return pools.write_tars(tmp_path / "in", pools.pairs(COUNT), 2)


def recipe(tars: str, model: str, *more: dict[str, Any], **fields: Any) -> pools.Recipe:
    return {
        "name": "scored",
        "nodes": [
            {"stage": "read_webdataset", "id": "raw", "path": tars, "part_rows": 8},
            {"stage": "probe"},
            {"stage": "clip", "model": model, **fields},
            *more,
            {"stage": "write_webdataset", "id": "out", "shard_size": 16, "images": "original"},
        ],
    }


def reference(model: str) -> dict[str, float]:
    """Text -> cosine with its image, by open_clip's own pipeline."""
    import open_clip
    import torch

    folder = model.removeprefix("local-dir:")
    net, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    net.eval()
    pairs = pools.pairs(COUNT)
    images = torch.stack([transform(Image.open(io.BytesIO(p.image)).convert("RGB")) for p in pairs])
    tokens = open_clip.tokenize([p.text for p in pairs])
    with torch.inference_mode():
        image = net.encode_image(images, normalize=True)
        text = net.encode_text(tokens, normalize=True)
    return {p.text: float(c) for p, c in zip(pairs, (image * text).sum(1), strict=True)}


def test_scores_are_the_raw_cosines_of_the_models_own_pipeline(tars: str, model: str, tmp_path: Path) -> None:
    pools.run(recipe(tars, model, pixels="full", precision="fp32"), tmp_path / "run")
    table = pools.index(tmp_path / "run", "out")
    expected = reference(model)
    assert table.num_rows == COUNT
    for text, score in zip(table["text_body"].to_pylist(), table["image_clip"].to_pylist(), strict=True):
        assert score == pytest.approx(expected[text], abs=1e-4)
    vectors = np.array(table["image_clip_embedding"].to_pylist())
    assert vectors.shape == (COUNT, tiny_clip.DIM)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-3)
    assert table["image_clip_embedding"].type == pa.list_(pa.float16(), tiny_clip.DIM)


def test_how_the_input_is_cut_changes_no_score(tars: str, model: str, tmp_path: Path) -> None:
    found = []
    for rows in (3, 100):
        out = tmp_path / str(rows)
        pools.run(pools.with_node(recipe(tars, model), "raw", part_rows=rows), out)
        table = pools.index(out, "out").sort_by("sample_id")
        found.append(table["image_clip"].to_numpy())
    assert np.abs(found[0] - found[1]).max() < 1e-5


def test_a_changed_caption_encodes_no_image(tars: str, model: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = pools.run(recipe(tars, model), out)
    assert pools.computed(first)["clip"] == 2 * COUNT
    before = {r["text_body"]: r["image_clip"] for r in pools.index(out, "out").to_pylist()}
    amend = {"stage": "amend", "add": " at night"}
    raw, probe, clip, write = recipe(tars, model)["nodes"]
    again = {**clip, "id": "again", "name": "new"}
    changed = {"name": "scored", "nodes": [raw, probe, clip, amend, again, write]}
    report = pools.run(changed, out)
    assert pools.computed(report) == {"amend": COUNT, "again": 2 * COUNT}, "the first scores stand"
    other = {**amend, "add": " by day"}
    report = pools.run({**changed, "nodes": [raw, probe, clip, other, again, write]}, out)
    assert pools.computed(report) == {"amend": COUNT, "again": COUNT}, "texts alone"
    after = {r["text_before"]: (r["image_clip"], r["image_new"]) for r in pools.index(out, "out").to_pylist()}
    assert {text: old for text, (old, _) in after.items()} == before
    assert all(old != new for old, new in after.values())


def test_other_weights_are_another_score(tars: str, model: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    mine = tiny_clip.write(folder)
    out = tmp_path / "run"
    pools.run(recipe(tars, mine), out)
    assert pools.computed(pools.run(recipe(tars, mine), out)) == {}
    tiny_clip.write(folder, seed=1)
    assert pools.computed(pools.run(recipe(tars, mine), out))["clip"] == 2 * COUNT


def tower(kind: type[Any], model: str, **fields: Any) -> Any:
    return kind(model=model, weights="", precision="fp32", name="clip", **fields)


def test_what_occurs_often_is_encoded_once(model: str) -> None:
    texts = tower(TextTower, model)
    asked: list[int] = []
    real = texts.load(False)

    def counting(arrays: Arrays) -> Arrays:
        asked.append(len(next(iter(arrays.values()))))
        return real(arrays)

    op = texts.open_around(counting)
    column = pa.array(["a", "b", "a", None, "b", "a"])
    found = op(pa.table({"text_body": column})).columns["text_clip_embedding"]
    assert asked == [2]
    rows = found.to_pylist()
    assert rows[0] == rows[2] == rows[5] != rows[1] == rows[4]
    assert rows[3] is None
    op(pa.table({"text_body": pa.array(["b", "c"])}))
    assert asked == [2, 1]


def test_an_overflow_is_no_embedding(model: str) -> None:
    texts = tower(TextTower, model)

    def overflowing(arrays: Arrays) -> Arrays:
        found = np.ones((len(arrays["tokens"]), tiny_clip.DIM), dtype=np.float32)
        found[1] = np.nan
        return {"embedding": found}

    out = texts.open_around(overflowing)(pa.table({"text_body": ["a", "b", "c"]}))
    assert [v is None for v in out.columns["text_clip_embedding"].to_pylist()] == [False, True, False]


def unit(rng: np.random.Generator, n: int) -> np.ndarray:
    found = rng.normal(size=(n, 8))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def document(layout: str, images: np.ndarray, texts: np.ndarray) -> pa.Table:
    kind = pa.list_(pa.list_(pa.float16(), 8))
    return pa.table(
        {
            "layout": [layout],
            "image_clip_embedding": pa.array([images.astype(np.float16).tolist()], kind),
            "text_clip_embedding": pa.array([texts.astype(np.float16).tolist()], kind),
            "text_index": pa.array([[3 * i for i in range(len(texts))]], pa.list_(pa.int32())),
        }
    )


@pytest.mark.parametrize(
    "layout", ["titti", "it", "ti", "iittt", "ttiit", "tttiii", "tiiiit", "iii", "ttt", "itittit"]
)
def test_images_in_documents(layout: str) -> None:
    rng = np.random.default_rng(len(layout))
    images, texts = unit(rng, layout.count("i")), unit(rng, layout.count("t"))
    out = Cosines(name="clip").open()(document(layout, images, texts)).columns
    near, best, own = (out[f"image_clip{x}"].to_pylist()[0] for x in ("", "_all", "_text"))
    cosines = images @ texts.T
    if not len(texts):
        assert near == best == own == [None] * len(images)
        return
    places = {"i": [], "t": []}
    for place, span in enumerate(layout):
        places[span].append(place)
    for k, place in enumerate(places["i"]):
        before = [t for t, p in enumerate(places["t"]) if p < place][-1:]
        after = [t for t, p in enumerate(places["t"]) if p > place][:1]
        assert near[k] == pytest.approx(max(cosines[k, t] for t in before + after), abs=2e-3)
        assert best[k] == pytest.approx(cosines[k].max(), abs=2e-3)
    # MMC4: different texts, of all such assignments the one with the largest sum
    chosen = [(k, t // 3) for k, t in enumerate(own) if t is not None]
    assert len({t for _, t in chosen}) == len(chosen) == min(cosines.shape)
    few, many = sorted(cosines.shape)
    short = cosines if len(images) <= len(texts) else cosines.T
    sums = [sum(short[i, j] for i, j in enumerate(p)) for p in itertools.permutations(range(many), few)]
    assert sum(cosines[k, t] for k, t in chosen) == pytest.approx(max(sums, default=0), abs=1e-2)


def test_a_pair_is_a_short_document() -> None:
    rng = np.random.default_rng(0)
    images, texts = unit(rng, 1), unit(rng, 1)
    scored = Cosines(name="clip").open()
    alone = scored(document("it", images, texts)).columns
    both = scored(document("itt", images, np.concatenate([texts, -images]))).columns
    for name in ("image_clip", "image_clip_all", "image_clip_text"):
        assert alone[name].to_pylist() == both[name].to_pylist()


def test_an_image_or_text_without_an_embedding_has_no_score() -> None:
    table = document("titi", unit(np.random.default_rng(1), 2), unit(np.random.default_rng(2), 2))
    kind = table["text_clip_embedding"].type
    texts = table["text_clip_embedding"].to_pylist()
    table = table.set_column(2, "text_clip_embedding", pa.array([[None, texts[0][1]]], kind))
    out = Cosines(name="clip").open()(table).columns
    assert out["image_clip_text"].to_pylist()[0].count(None) == 1, "one text is left for two images"
    none = table.set_column(2, "text_clip_embedding", pa.array([[None, None]], kind))
    out = Cosines(name="clip").open()(none).columns
    assert out["image_clip"].to_pylist() == out["image_clip_text"].to_pylist() == [[None, None]]


def test_two_encoders_side_by_side(tars: str, model: str, tmp_path: Path) -> None:
    second = {"stage": "clip", "id": "other", "model": tiny_clip.write(tmp_path / "b", 7), "name": "b"}
    pools.run(recipe(tars, model, second), tmp_path / "run")
    row = pools.index(tmp_path / "run", "out").to_pylist()[0]
    assert row["image_clip"] != row["image_b"]


def test_the_towers_ask_for_pixels_of_their_size(model: str) -> None:
    assert tower(ImageTower, model, pixels="canonical").short_side() == tiny_clip.SIDE
    assert Clip(model=model).writes().names[0] == "image_clip_embedding"
