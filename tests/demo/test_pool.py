"""The pool against its own truth: what is planted is there, and what is called clean is clean."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lxml import html
from PIL import Image, ImageOps

from curate.demo import generate
from curate.demo.classes import CLASSES, HELD_OUT_CLASSES
from curate.demo.colours import OBJECT_COLOURS
from curate.demo.kinds import CAUGHT_BY, DOCUMENT_COUNTS, DOCUMENT_IMAGE_COUNTS, PAIR_COUNTS
from curate.demo.styles import HELD_OUT_STYLE

PAIRS, DOCUMENTS = 250, 40

Members = dict[str, bytes]


def _digest(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _rows(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "truth.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pool")
    generate(root, PAIRS, DOCUMENTS, seed=3)
    return root


@pytest.fixture(scope="module")
def truth(pool: Path) -> list[dict[str, Any]]:
    return _rows(pool)


@pytest.fixture(scope="module")
def pairs(pool: Path, truth: list[dict[str, Any]]) -> list[tuple[dict[str, Any], Members]]:
    """Each pair's row with its members by last extension; read until the cut."""
    members: dict[str, Members] = {}
    for path in sorted((pool / "pairs").glob("*.tar")):
        with tarfile.open(path) as tar:
            while True:
                try:
                    info = tar.next()
                except tarfile.ReadError:
                    break  # the cut
                if info is None:
                    break
                name, extension = info.name.rsplit(".", 1)
                try:
                    members.setdefault(name, {})[extension] = tar.extractfile(info).read()  # type: ignore[union-attr]
                except tarfile.ReadError:
                    break
    return [(row, members.get(row["name"], {})) for row in truth if row["dataset"] == "pairs"]


def _of(pairs: list[tuple[dict[str, Any], Members]], kind: str) -> list[tuple[dict[str, Any], Members]]:
    chosen = [(row, files) for row, files in pairs if kind in row["defects"]]
    assert chosen
    return chosen


def _image(row: dict[str, Any], files: Members) -> bytes:
    return files[row["format"]]


def test_same_arguments_same_bytes_and_a_longer_pool_begins_alike(tmp_path: Path) -> None:
    first = generate(tmp_path / "a", 30, 6, seed=1)
    generate(tmp_path / "b", 30, 6, seed=1)
    generate(tmp_path / "c", 34, 8, seed=1)
    generate(tmp_path / "d", 30, 6, seed=2)
    assert _digest(tmp_path / "a") == _digest(tmp_path / "b")
    assert _digest(tmp_path / "a") != _digest(tmp_path / "d")
    short, long = (
        {(r["dataset"], r["key"]): r for r in _rows(tmp_path / name) if "tar_truncated" not in r["defects"]}
        for name in "ac"
    )
    shared = short.keys() & long.keys()
    assert len(shared) >= 34
    assert all(short[key] == long[key] for key in shared)
    assert first.pairs == 30


def test_workers_do_not_change_a_byte(tmp_path: Path) -> None:
    generate(tmp_path / "one", 24, 0)
    generate(tmp_path / "two", 24, 0, workers=2)
    assert _digest(tmp_path / "one") == _digest(tmp_path / "two")


def test_every_kind_is_planted_at_its_documented_rate(truth: list[dict[str, Any]]) -> None:
    planted = Counter(kind for row in truth if row["dataset"] == "pairs" for kind in row["defects"])
    assert planted.pop("tar_truncated") == 1
    for kind, count in PAIR_COUNTS:
        # A copy whose original cannot be found yet stays clean: at the start of a pool that may cost a few.
        assert count - 2 <= planted.pop(kind) <= count, kind
    assert not planted
    kinds = [kind for kind, _ in (*PAIR_COUNTS, *DOCUMENT_COUNTS, *DOCUMENT_IMAGE_COUNTS)]
    assert set(kinds) - {"declared_charset"} <= CAUGHT_BY.keys()


def test_files_are_what_the_truth_says(pairs: list[tuple[dict[str, Any], Members]]) -> None:
    broken = {"corrupt", "truncated", "zero_byte", "bomb", "missing_image", "tar_truncated"}
    schemas = set()
    for row, files in pairs:
        if broken & set(row["defects"]):
            continue
        with Image.open(io.BytesIO(_image(row, files))) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
            assert upright.size == (row["width"], row["height"])
            assert (upright.size != image.size) <= (row["variant"] == "exif_rotated")
        schemas.add(tuple(json.loads(files["json"])))
        if not row["defects"]:
            assert files["txt"].decode() == row["caption_true"]
            assert min(upright.size) >= 256
            assert max(upright.size) <= 768
    assert len(schemas) == 1
    variants = {row["variant"] for row, _ in pairs}
    assert {"exif_rotated", "cmyk", "grey"} <= variants
    assert {row["lang"] for row, _ in pairs} == {"en", "zh", "de", "fr", "es", "ja"}


def test_broken_images_do_not_decode(pairs: list[tuple[dict[str, Any], Members]]) -> None:
    for kind in ("corrupt", "truncated", "zero_byte"):
        for row, files in _of(pairs, kind):
            with pytest.raises((OSError, SyntaxError)), Image.open(io.BytesIO(_image(row, files))) as image:
                image.load()
    for _, files in _of(pairs, "missing_image"):
        assert set(files) == {"json", "txt"}
    for _, files in _of(pairs, "missing_caption"):
        assert "txt" not in files
    for _, files in _of(pairs, "non_utf8_caption"):
        with pytest.raises(UnicodeDecodeError):
            files["txt"].decode()


def test_bombs_are_small_files_that_declare_huge_pictures() -> None:
    from curate.demo.encode import bomb, header_only

    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(bomb("x")))
    assert len(bomb("x")) < 80_000
    assert bomb("x") != bomb("y")
    header = bomb("x")[16:24]
    assert int.from_bytes(header[:4], "big") * int.from_bytes(header[4:], "big") == 576_000_000
    assert len(header_only("x")) < 300
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(header_only("x")))
    # The valid one really decodes, here at a size that does not take 72 MB.
    with Image.open(io.BytesIO(bomb("x", side=8000))) as image:
        assert image.mode == "1"
        assert not np.asarray(image).any()


def test_copies_point_at_their_originals(pairs: list[tuple[dict[str, Any], Members]]) -> None:
    by_key = {(row["file"], row["key"]): (row, files) for row, files in pairs}
    other_caption = 0
    for row, files in _of(pairs, "exact_duplicate_image"):
        original, theirs = by_key[(row["of"]["file"], row["of"]["key"])]
        assert _image(row, files) == _image(original, theirs)
        assert original["defects"] == []
        other_caption += files["txt"] != theirs["txt"]
    assert other_caption
    for row, files in _of(pairs, "near_duplicate_image"):
        original, theirs = by_key[(row["of"]["file"], row["of"]["key"])]
        assert _image(row, files) != _image(original, theirs)
        small = [
            np.asarray(
                ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("L").resize((16, 16)),
                dtype=float,
            )
            for data in (_image(row, files), _image(original, theirs))
        ]
        assert np.abs(small[0] - small[1]).mean() < 16, row["detail"]
    for row, files in _of(pairs, "swapped_caption"):
        original, _ = by_key[(row["of"]["file"], row["of"]["key"])]
        assert files["txt"].decode() == original["caption_true"] != row["caption_true"]


def test_clean_images_are_unique(pairs: list[tuple[dict[str, Any], Members]]) -> None:
    clean = [hashlib.sha256(_image(row, files)).digest() for row, files in pairs if not row["defects"]]
    assert len(clean) > 100
    assert len(set(clean)) == len(clean)


def test_boxes_hold_objects_of_the_named_colour(pairs: list[tuple[dict[str, Any], Members]]) -> None:
    names, palette = list(OBJECT_COLOURS), np.array(list(OBJECT_COLOURS.values()), dtype=float)
    filled = ("circle", "square", "envelope", "heart", "box", "triangle", "apple", "pear", "balloon", "star")
    looked = 0
    for row, files in pairs:
        if row["defects"] or row["content"] != "scene":
            continue
        pixels = np.asarray(
            ImageOps.exif_transpose(Image.open(io.BytesIO(_image(row, files)))).convert("RGB")
        )
        for item in row["objects"]:
            if item["style"] not in ("flat", "outline", "pixel") or item["class"] not in filled:
                continue
            x1, y1, x2, y2 = item["box"]
            if any(relation in ("on", "inside") for _, relation, _ in row["relations"]):
                continue  # something stands in front of it
            third_x, third_y = (x2 - x1) // 3, (y2 - y1) // 4
            middle = pixels[y1 + third_y : y2 - third_y, x1 + third_x : x2 - third_x].reshape(-1, 3)
            mean = np.median(middle, axis=0)  # per channel
            nearest = names[int(np.abs(palette - mean).sum(axis=1).argmin())]
            assert nearest == item["color"], (row["key"], item)
            looked += 1
    assert looked >= 10


def test_false_captions_say_the_false_word(pairs: list[tuple[dict[str, Any], Members]]) -> None:
    for kind in ("wrong_object", "wrong_attribute"):
        for row, files in _of(pairs, kind):
            wrong = row["detail"]["wrong"]
            if row["lang"] == "en" and wrong["what"] in ("object", "color", "value"):
                said = files["txt"].decode()
                assert wrong["said"].split()[-1][:3] in said  # "leaves" for several a leaf
            assert wrong["said"] != wrong["true"]


def test_tar_reads_with_webdataset_and_ends_in_the_middle(pool: Path, truth: list[dict[str, Any]]) -> None:
    wds = pytest.importorskip("webdataset")
    keys = []
    with pytest.raises((tarfile.ReadError, EOFError, OSError, ValueError)):
        keys.extend(
            sample["__key__"]
            for sample in wds.WebDataset(
                str(pool / "pairs" / "00000.tar"), shardshuffle=False, empty_check=False
            )
        )
    expected = [row["key"] for row in truth if row["dataset"] == "pairs"]
    assert keys == expected[: len(keys)]
    assert len(keys) >= len(expected) - 2
    assert any("_v1" in key for key in keys)
    assert (pool / "pairs" / "00000.tar").stat().st_size % 512 != 0


def test_documents_parse_and_list_their_images_in_order(pool: Path, truth: list[dict[str, Any]]) -> None:
    documents = [row for row in truth if row["dataset"] == "docs"]
    assert len(documents) == DOCUMENTS
    for row in documents:
        data = (pool / "docs" / row["file"]).read_bytes()
        if "empty_document" in row["defects"]:
            assert row["images"] == []
            continue
        tree = html.fromstring(
            data.decode(row["encoding"]).encode(), parser=html.HTMLParser(encoding="utf-8")
        )
        assert [image.get("src")[:60] for image in tree.iter("img")] == [
            image["src"] for image in row["images"]
        ]
        text = " ".join(tree.text_content().split())
        for paragraph in row["paragraphs"]:
            assert " ".join(paragraph.split()) in text
        for image in row["images"]:
            file = (pool / "docs" / row["file"]).parent / image["src"]
            if image["role"] == "content":
                assert file.exists() == ("broken_link" not in image["defects"])
                if not image["defects"]:
                    with Image.open(file) as opened:
                        opened.load()
        if "undeclared_charset" in row["defects"]:
            assert b"charset" not in data
            with pytest.raises(UnicodeDecodeError):
                data.decode()
    by_file = {row["file"]: (pool / "docs" / row["file"]).read_bytes() for row in documents}
    for row in documents:
        if "exact_duplicate_document" in row["defects"]:
            assert by_file[row["file"]] == by_file[row["of"]["file"]]
        if "near_duplicate_document" in row["defects"]:
            original = next(other for other in documents if other["file"] == row["of"]["file"])
            same = set(row["paragraphs"]) & set(original["paragraphs"])
            assert row["paragraphs"] != original["paragraphs"]
            assert len(same) >= len(original["paragraphs"]) - 2


def test_held_out_pool_shares_no_class_and_no_style(tmp_path: Path, truth: list[dict[str, Any]]) -> None:
    generate(tmp_path, 40, 4, held_out=True)

    def seen(rows: list[dict[str, Any]], field: str) -> set[str]:
        images = [image for row in rows for image in row.get("images", ())]
        scenes = [part for part in [*rows, *images] if part.get("content") in ("scene", "logo")]
        return {item[field] for part in scenes for item in part["objects"]}

    rows = _rows(tmp_path)
    assert seen(rows, "class") <= set(HELD_OUT_CLASSES)
    assert seen(rows, "style") == {HELD_OUT_STYLE}
    assert seen(truth, "class") <= set(CLASSES)
    assert HELD_OUT_STYLE not in seen(truth, "style")


def test_negative_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="negative"):
        generate(tmp_path, -1, 0)


def test_only_an_earlier_pool_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError):
        generate(tmp_path, 2, 1)
    assert (tmp_path / "docs" / "mine.txt").exists()
    generate(tmp_path / "new", 2, 1)
    generate(tmp_path / "new", 0, 0)
    assert list((tmp_path / "new").rglob("*.tar")) == []
