"""The quickstart's outputs through the loaders that trainers use, held against the raw input."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pools
import pytest
import webdataset
from finished import Finished
from originals import Original, upright
from PIL import Image, ImageOps

from curate.export.llava import validate

Raw = dict[str, Original]
_SAME = 6.0  # mean difference of a channel, of 255, that a JPEG of quality 95 may make of a noisy picture


def samples(run: Finished, output: str) -> list[dict[str, Any]]:
    """Through `webdataset`, undecoded."""
    shards = [str(p) for p in sorted(run.output(output).glob("*.tar"))]
    return list(webdataset.WebDataset(shards, shardshuffle=False))


def source_of(id: str, raw: Raw) -> tuple[Original, int]:
    """The raw sample and which of its images: a pair out of a page is `<page>#<image>`."""
    parent, _, number = id.partition("#")
    return raw[parent], int(number or 0)


# -- webdataset ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pairs(quickstart: Finished) -> list[dict[str, Any]]:
    return samples(quickstart, "pt_pairs")


def test_pairs_come_as_many_and_as_named_as_the_manifest_says(quickstart: Finished, pairs: list[Any]) -> None:
    assert len(pairs) == quickstart.manifest("pt_pairs")["samples"] > 100
    keys = [s["__key__"] for s in pairs]
    assert keys == pools.index(quickstart.out, "pt_pairs")["key"].to_pylist()
    members = {k for s in pairs for k in s if not k.startswith("__")}
    assert members == {"jpg", "json", "txt"}


def test_pairs_have_the_pixels_of_their_source(pairs: list[Any], raw: Raw) -> None:
    kinds = set()
    for pair in pairs:
        facts = json.loads(pair["json"])
        original, number = source_of(facts["sample_id"], raw)
        data = original.images[number]
        assert data is not None
        written, expected = np.asarray(Image.open(io.BytesIO(pair["jpg"]))), upright(data)
        assert written.shape == expected.shape == (facts["image_height"], facts["image_width"], 3)
        kinds.add(facts["image_stored"])
        if facts["image_stored"] == "original":
            assert pair["jpg"] == data
            assert (written == expected).all()
        else:
            assert np.abs(written.astype(int) - expected).mean() < _SAME, facts["sample_id"]
    assert kinds == {"original", "jpeg"}


def test_pairs_say_what_their_source_says(pairs: list[Any], raw: Raw) -> None:
    for pair in pairs:
        id = json.loads(pair["json"])["sample_id"]
        original, _ = source_of(id, raw)
        text = pair["txt"].decode()
        assert text.strip()
        assert original.says(text), (id, text)
    assert not original.says(text + " and more")  # the question is not always answered by yes


def test_documents_keep_images_and_texts_in_reading_order(quickstart: Finished, raw: Raw) -> None:
    found = samples(quickstart, "pt_documents")
    assert len(found) == quickstart.manifest("pt_documents")["samples"] > 10
    count = 0
    for document in found:
        facts = json.loads(document["json"])
        original = raw[facts["sample_id"]]
        names = [name for name in facts["images"] if name is not None]
        numbers = [int(name[3:5]) for name in names]
        assert numbers == sorted(set(numbers))
        assert set(names) == {k for k in document if k.startswith("img")}
        layout = "".join("t" if name is None else "i" for name in facts["images"])
        assert layout == facts["layout"]
        for name, number, stored in zip(names, numbers, facts["image_stored"], strict=True):
            data = original.images[number]
            assert data is not None
            written = np.asarray(Image.open(io.BytesIO(document[name])))
            difference = np.abs(written.astype(int) - upright(data)).mean()
            assert difference == 0 if stored == "original" else difference < _SAME
            assert stored == "jpeg" or document[name] == data
            count += 1
        assert all(original.says(text) for text in facts["texts"] if text is not None)
    assert count == quickstart.manifest("pt_documents")["images"]


def test_documents_that_lost_an_image_say_so(quickstart: Finished, raw: Raw) -> None:
    lost = 0
    ledger = pools.ledger(quickstart.out, "pt_documents")
    for document in samples(quickstart, "pt_documents"):
        facts = json.loads(document["json"])
        id = facts["sample_id"]
        told = {d["index"]: d["reason"] for d in facts["dropped_images"]}
        there = {int(name[3:5]) for name in facts["images"] if name is not None}
        assert there | set(told) == set(range(len(raw[id].images)))
        assert not there & set(told)
        dead = [r for r in ledger if r["sample_id"] == id and r["level"] == "image"]
        assert told == {r["index"]: f"{r['node']}:{r['reason']}" for r in dead}
        lost += len(told)
    assert lost > 0


# -- Hugging Face datasets ----------------------------------------------------------------------------------


def test_datasets_reads_pairs(
    quickstart: Finished, pairs: list[Any], load_dataset: Callable[..., Any]
) -> None:
    loaded = load_dataset("webdataset", data_files=str(quickstart.output("pt_pairs") / "*.tar"))
    assert len(loaded) == quickstart.manifest("pt_pairs")["samples"]
    for row, pair in zip(loaded, pairs, strict=True):
        assert row["__key__"] == pair["__key__"]
        assert row["txt"].encode() == pair["txt"]
        assert row["json"] == json.loads(pair["json"])
        assert (np.asarray(row["jpg"]) == np.asarray(Image.open(io.BytesIO(pair["jpg"])))).all()


def test_datasets_reads_pairs_as_their_card_describes_them(
    quickstart: Finished, pairs: list[Any], load_dataset: Callable[..., Any]
) -> None:
    loaded = load_dataset(str(quickstart.output("pt_pairs")))
    assert loaded.num_rows == len(pairs)
    assert [row["json"] for row in loaded.remove_columns("jpg")] == [json.loads(p["json"]) for p in pairs]
    assert loaded[0]["jpg"].mode == "RGB"
    guessed = load_dataset("webdataset", data_files=str(quickstart.output("pt_pairs") / "*.tar"))
    assert set(loaded.features) == set(guessed.features)
    assert set(loaded.features["json"]) == set(guessed.features["json"])


def test_datasets_reads_documents(quickstart: Finished, raw: Raw, load_dataset: Callable[..., Any]) -> None:
    loaded = load_dataset(str(quickstart.output("pt_documents_hf")))
    assert loaded.num_rows == quickstart.manifest("pt_documents_hf")["samples"]
    of_tar = {f["sample_id"]: f for s in samples(quickstart, "pt_documents") for f in [json.loads(s["json"])]}
    images = 0
    for row in loaded:
        twin = of_tar[row["sample_id"]]
        assert row["layout"] == twin["layout"]
        assert row["texts"] == twin["texts"]
        assert row["dropped_images"] == twin["dropped_images"]
        assert row["layout"].count("i") == len(row["images"]) == row["n_images"]
        assert ["i" if text is None else "t" for text in row["texts"]] == list(row["layout"])
        left = sorted(
            set(range(len(raw[row["sample_id"]].images))) - {d["index"] for d in row["dropped_images"]}
        )
        for image, number, digest in zip(row["images"], left, row["image_sha256"], strict=True):
            data = raw[row["sample_id"]].images[number]
            assert data is not None
            assert hashlib.sha256(data).hexdigest() == digest
            with Image.open(io.BytesIO(data)) as opened:
                expected = ImageOps.exif_transpose(opened)  # as `datasets` does
                assert image.size == expected.size
                assert (np.asarray(image.convert("RGB")) == np.asarray(expected.convert("RGB"))).all()
            images += 1
    assert images == quickstart.manifest("pt_documents_hf")["images"] > 0


# -- LLaVA --------------------------------------------------------------------------------------------------


def test_llava_passes_the_checks_of_its_trainers(quickstart: Finished, raw: Raw) -> None:
    folder = quickstart.output("sft")
    rows = json.loads((folder / "llava.json").read_text())
    assert validate(rows, folder) == []
    assert len(rows) == quickstart.manifest("sft")["samples"]
    assert [json.loads(line) for line in (folder / "llava.jsonl").read_text().splitlines()] == rows
    index = pools.index(quickstart.out, "sft").select(["key", "sample_id"]).to_pylist()
    ids = {row["key"]: row["sample_id"] for row in index}
    for row in rows:
        original, number = source_of(ids[row["id"]], raw)
        data = original.images[number]
        assert data is not None
        assert original.says(row["conversations"][1]["value"])
        with Image.open(folder / row["image"]) as image:
            height, width, _ = upright(data).shape
            assert image.size == (width, height)
