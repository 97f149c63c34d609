from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pools
import pyarrow as pa
import pytest
from arrays import Pixels, encoded, plain, scene, turns
from decoding import decode_column
from near_links import links
from PIL import Image, ImageDraw, ImageEnhance

from curate.demo import generate
from curate.pixels import Decode
from curate.stage import CANONICAL
from stages.common import likeness, thumbs
from stages.group.near_image import NearImage
from stages.image.phash import Phash

THUMB = Phash(kinds=("thumb",))


def items(images: Sequence[Pixels | bytes | None], shape: str = "pair", start: int = 0) -> pa.Table:
    files = [encoded(i) if isinstance(i, np.ndarray) else i or encoded(plain()) for i in images]
    pixels, reasons = decode_column(files, Decode())
    assert set(reasons) <= {None}
    thumb = THUMB.open()(pa.table({CANONICAL: pixels})).columns["image_thumb"]
    missing = pa.array([i is None for i in images])
    ids = [f"{i:032x}" for i in range(start, start + len(images))]
    column = pa.array(thumb.to_pylist(), thumb.type, mask=missing.to_numpy(zero_copy_only=False))
    return pa.table({"sample_id": ids, "shape": [shape] * len(images), "image_thumb": column})


def linked(*images: Pixels | bytes | None, **fields: Any) -> set[tuple[int, int]]:
    found = links(NearImage.model_validate(fields), items(images))
    return {(int(a, 16), int(b, 16)) for a, b in found}


def everyone(count: int) -> set[tuple[int, int]]:
    return set(itertools.combinations(range(count), 2))


def edits(picture: Pixels) -> list[bytes]:
    """What happens to pictures on the web."""
    image = Image.fromarray(picture)
    width, height = image.size
    cut = image.crop((round(width * 0.01), 0, round(width * 0.99), round(height * 0.98)))
    found = [encoded(picture, "JPEG", quality=q) for q in (45, 75)]
    found += [encoded(picture, kind) for kind in ("GIF", "WEBP", "PNG")]
    for size in ((width // 2, height // 2), (width * 6 // 5, height * 6 // 5)):
        found.append(encoded(np.asarray(image.resize(size, Image.Resampling.BICUBIC)), "JPEG", quality=88))
    for tool in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        found += [encoded(np.asarray(tool(image).enhance(f)), "JPEG", quality=90) for f in (0.9, 1.1)]
    return [*found, encoded(np.asarray(cut), "JPEG", quality=90), encoded(np.asarray(image.convert("L")))]


def drawing(seed: int, outline: int = 3) -> Pixels:
    """A symmetric figure on white: half of its frequencies are nothing but noise."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (200, 200), "white")
    for radius in sorted(rng.integers(15, 95, 3), reverse=True):
        box = (100 - radius, 100 - radius, 99 + radius, 99 + radius)
        draw = ImageDraw.Draw(image)
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, outline="black", width=outline)
    return np.asarray(image)


@pytest.mark.parametrize("place", list(itertools.product((0.0, 0.3, 1.0), repeat=2)))
def test_crops_by_2_percent_are_found_wherever_they_lie(place: tuple[float, float]) -> None:
    """A frame too, of which the crop takes a part away."""
    pictures = [scene(seed, 300, 400) for seed in range(6)]
    framed = scene(7, 300, 400)
    framed[:, :4] = framed[:3] = 20
    for picture in (*pictures, framed):
        height, width = picture.shape[:2]
        down, right = round(height * 0.02), round(width * 0.02)
        top, left = round(down * place[0]), round(right * place[1])
        cut = np.ascontiguousarray(picture[top : top + height - down, left : left + width - right])
        assert linked(picture, encoded(cut, "JPEG", quality=85)) == {(0, 1)}


@pytest.mark.parametrize("seed", range(4))
def test_edited_copies_are_found(seed: int) -> None:
    copies = edits(scene(seed, 300, 400))
    found = linked(scene(seed, 300, 400), *copies)
    assert {pair for pair in found if pair[0] == 0} == {(0, i + 1) for i in range(len(copies))}


def test_copies_of_symmetric_drawings_are_found() -> None:
    for seed in range(6):
        picture = drawing(seed)
        copies = [encoded(picture, "JPEG", quality=q) for q in (40, 60, 80)]
        assert linked(picture, *copies) == everyone(4)


def test_different_pictures_are_not_linked() -> None:
    pictures = [scene(seed, 200, 260) for seed in range(60)]
    assert linked(*pictures) == set()


def test_the_same_in_other_colours_is_another_picture() -> None:
    def figure(colour: tuple[int, int, int], size: int = 60) -> Pixels:
        pixels = scene(1, 300, 400) // 4 + 140
        pixels[100 : 100 + size, 150 : 150 + size] = colour
        return pixels

    red, green = (200, 40, 40), (40, 128, 40)  # of equal luma
    assert linked(figure(red), figure(green)) == set()
    assert linked(figure(red, 25), figure(green, 25)) == set()
    assert linked(figure(red), figure((196, 46, 44))) == {(0, 1)}


def test_logos_on_white_do_not_collapse() -> None:
    logos = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        pixels = plain(240, 240, (255, 255, 255))
        tile = rng.integers(0, 2, (4, 4, 1)) * rng.integers(60, 255, 3) + rng.integers(0, 60, 3)
        pixels[80:160, 80:160] = np.kron(tile, np.ones((20, 20, 1))).clip(0, 255)
        logos.append(pixels)
    assert len(linked(*logos)) <= 2  # of 780


def test_pictures_of_one_colour_are_copies_only_where_they_are_equal() -> None:
    colours = [(255, 255, 255), (255, 255, 255), (252, 255, 255), (0, 0, 0), (0, 0, 0), (200, 9, 9)]
    keys = NearImage().prepare(items([plain(90, 90, c) for c in colours]), {})
    first = [found[0] for found in keys.keys.to_pylist()]
    assert all(len(found) == 1 for found in keys.keys.to_pylist())
    assert [first.index(key) for key in first] == [0, 0, 2, 3, 3, 5]
    twins = keys.signature["twin"].to_pylist()
    assert [twins.index(twin) for twin in twins] == [0, 0, 2, 3, 3, 5]


def test_how_alike_they_must_be_is_for_the_recipe() -> None:
    picture = scene(3, 300, 400)
    saved, cut = encoded(picture, "JPEG", quality=80), np.ascontiguousarray(picture[:294, 4:396])
    assert linked(picture, saved, cut, min_similarity=0.99) == {(0, 1)}
    assert linked(picture, saved, cut) == everyone(3)


def test_a_stretched_picture_is_another_one() -> None:
    image = Image.fromarray(scene(2, 200, 200))
    assert linked(*(np.asarray(image.resize(size)) for size in ((200, 200), (203, 200)))) == {(0, 1)}
    assert linked(*(np.asarray(image.resize(size)) for size in ((200, 200), (260, 200)))) == set()


@pytest.mark.parametrize(("orientations", "wanted"), [("none", 1), ("flips", 4), ("all", 8)])
def test_orientations(orientations: str, wanted: int) -> None:
    eight = [encoded(turned, "JPEG", quality=80) for turned in turns(scene(5, 300, 400))]
    found = linked(scene(5, 300, 400), *eight, orientations=orientations)
    assert len([pair for pair in found if pair[0] == 0]) == wanted
    # of the eight, each is linked with as many of the others
    assert len(found) == wanted + 8 * (wanted - 1) // 2


@pytest.mark.parametrize(("distance", "crop_distance"), [(6, 4), (3, 5), (6, None)])
def test_all_within_the_distances_are_candidates(distance: int, crop_distance: int | None) -> None:
    """link() gives exactly the pairs whose hashes are that close, or that of one and a crop's of the other,
    and whose looks allow it, each once."""
    rng = np.random.default_rng(3)
    pictures = [scene(seed, 60, 80) for seed in rng.integers(0, 12, 90)]
    noisy = [np.clip(p + rng.normal(0, 30, p.shape), 0, 255).astype(np.uint8) for p in pictures]
    stage = NearImage(max_distance=distance, crop_distance=crop_distance)
    signature, keys = stage.prepare(items(noisy), {})
    hashes = signature["hashes"].combine_chunks().flatten().to_numpy()
    crops = signature["crops"].combine_chunks().flatten().to_numpy().reshape(90, -1)
    looks = np.repeat(signature["looks"].to_numpy(), 90)
    possible = thumbs.may_be_alike(looks, looks.reshape(90, 90).T.ravel()).reshape(90, 90)
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None])
    of_crops = np.bitwise_count(crops[:, None] ^ hashes[None, :, None]).min(axis=2)
    near = apart <= distance
    if crop_distance is not None:
        cropped = np.minimum(of_crops, of_crops.T) <= crop_distance
        assert (possible & cropped & ~near).any(), "some are found as crops alone"
        near |= cropped
    wanted = {(int(i), int(j)) for i, j in zip(*np.nonzero(near & possible), strict=True) if i < j}
    owner = np.repeat(np.arange(90), keys.value_lengths().to_numpy())
    order = np.argsort(keys.flatten().to_numpy(), kind="stable")
    bucket = signature.select(stage.carried().names).take(pa.array(owner[order]))
    bucket = bucket.append_column("key", keys.flatten().take(pa.array(order)))
    found = [
        tuple(sorted((int(owner[order[i]]), int(owner[order[j]]))))
        for table in stage.link(bucket)
        for i, j in zip(table["left"].to_pylist(), table["right"].to_pylist(), strict=True)
    ]
    assert len(found) == len(set(found))
    assert set(found) == wanted
    assert len(wanted) > 100


def test_pairs_and_documents_never_meet() -> None:
    picture = scene(1)
    both = pa.concat_tables([items([picture] * 2), items([picture] * 2, "document", 2)])
    signature, keys = NearImage().prepare(both, {})
    twins, lists = signature["twin"].to_pylist(), [set(found) for found in keys.to_pylist()]
    assert twins[0] == twins[1] != twins[2] == twins[3]
    assert lists[0] == lists[1]
    assert not lists[0] & lists[2]
    for scope, kept in (("pairs", [True, True, False, False]), ("documents", [False, False, True, True])):
        _, keys = NearImage.model_validate({"scope": scope}).prepare(both, {})
        assert [bool(found) for found in keys.to_pylist()] == kept


def test_an_image_without_pixels_stands_alone() -> None:
    signature, keys = NearImage().prepare(items([None, scene(1), None]), {})
    assert [bool(found) for found in keys.to_pylist()] == [False, True, False]
    assert signature["twin"].null_count == 2


def test_likeness_is_symmetric_and_of_the_pair_alone() -> None:
    rng = np.random.default_rng(0)
    table = items([e for seed in range(5) for e in edits(scene(seed, 100, 130))])
    shown = thumbs.array(table["image_thumb"].combine_chunks())
    left, right = rng.integers(0, len(shown), (2, 400))
    alike = likeness.alike(shown[left], shown[right])
    assert np.array_equal(alike, likeness.alike(shown[right], shown[left]), equal_nan=True)
    one_by_one = [
        likeness.alike(shown[i : i + 1], shown[j : j + 1])[0] for i, j in zip(left, right, strict=True)
    ]
    assert np.array_equal(alike, np.array(one_by_one), equal_nan=True)
    assert set(alike[left == right]) == {1}


# -- in a run --


def recipe(path: str, **fields: Any) -> pools.Recipe:
    return {
        "name": "near",
        "nodes": [
            {"id": "raw", "stage": "read_webdataset", "path": path, "part_rows": 300},
            {"stage": "probe"},
            {"stage": "phash", "kinds": ["thumb"]},
            {"id": "near", "stage": "near_image", **fields},
            {"id": "out", "stage": "write_parquet"},
        ],
    }


def test_planted_copies_of_the_demo_are_found_and_nothing_else(tmp_path: Path) -> None:
    """Exact and near copies, as pairs within clusters: recall and precision of at least 0.99."""
    wanted: set[tuple[str, str]] = set()
    found: set[tuple[str, str]] = set()
    for seed in (11, 12, 13, 14):
        generate(tmp_path / f"{seed}", pairs=500, documents=0, seed=seed)
        chosen = recipe(f"{tmp_path}/{seed}/pairs/*.tar")
        plan, sources = pools.planned(chosen)
        places = pools.raw_rows(plan.reads()["raw"], sources["raw"]).select(["sample_id", "source"])
        of = {r["sample_id"]: f"{seed} {_place(r['source'])}" for r in places.to_pylist()}
        pools.run(chosen, tmp_path / f"run{seed}")
        alive = {r["sample_id"] for r in pools.index(tmp_path / f"run{seed}", "out").to_pylist()}
        clusters: dict[str, set[str]] = defaultdict(set)
        for row in pools.ledger(tmp_path / f"run{seed}", "out"):
            if row["node"] == "near":
                survivor = row["image_near_survivor"]
                clusters[survivor] |= {of[row["sample_id"]], of[survivor]}
                alive.add(row["sample_id"])
        shown = {of[own] for own in alive}
        found |= _within(clusters.values())
        wanted |= _within([cluster & shown for cluster in _planted(tmp_path / f"{seed}", seed)])
    assert len(wanted) > 160
    assert len(found & wanted) >= 0.99 * len(wanted), wanted - found
    assert len(found & wanted) >= 0.99 * len(found), found - wanted


def _within(clusters: Iterable[set[str]]) -> set[tuple[str, str]]:
    return {pair for members in clusters for pair in itertools.combinations(sorted(members), 2)}


def _place(source: str) -> str:
    return source.partition("@")[0].replace("#", "/")


def _planted(pool: Path, seed: int) -> list[set[str]]:
    """The originals with their copies."""
    truth = [json.loads(line) for line in (pool / "truth.jsonl").read_text().splitlines()]
    clusters: dict[str, set[str]] = {}
    for row in truth:
        if {"exact_duplicate_image", "near_duplicate_image"} & set(row["defects"]):
            original, own = (f"{seed} {r['file']}/{r['key']}" for r in (row["of"], row))
            both = clusters.get(original, {original}) | clusters.get(own, {own})
            clusters.update(dict.fromkeys(both, both))
    return list(clusters.values())


def test_the_larger_copy_survives_whatever_the_order(tmp_path: Path) -> None:
    pictures = [scene(seed, 300, 400) for seed in range(4)]
    small = [np.asarray(Image.fromarray(p).resize((200, 150))) for p in pictures]
    files = [encoded(p, "JPEG", quality=85) for p in small] + [encoded(p) for p in pictures]
    rows = [pools.Pair(f"k{i}", data, f"text {i}") for i, data in enumerate(files)]
    rows += [pools.Pair(f"w{i}", encoded(pictures[i], "WEBP"), f"webp {i}") for i in range(4)]
    kept = []
    for number, (order, shards) in enumerate(((rows, 1), (rows[::-1], 3))):
        path = pools.write_tars(tmp_path / f"tars{number}", order, shards)
        out = tmp_path / f"run{number}"
        pools.run(recipe(path, prefer=[{"column": "image_width"}, {"column": "image_n_bytes"}]), out)
        assert set(pools.dead(out).values()) == {"near:duplicate"}
        kept.append(pools.index(out, "out").sort_by("sample_id").to_pylist())
    assert kept[0] == kept[1]
    assert len(kept[0]) == 4
    assert {row["image_width"] for row in kept[0]} == {400}
    assert {row["image_format"] for row in kept[0]} == {"png"}


def test_furniture_of_pages_is_capped(tmp_path: Path) -> None:
    """The same logo on every page, saved anew for each: boilerplate, though no two files are equal."""
    logo = scene(9, 120, 200)
    (tmp_path / "pages").mkdir()
    for page in range(6):
        (tmp_path / f"pages/l{page}.jpg").write_bytes(encoded(logo, "JPEG", quality=60 + 4 * page))
        (tmp_path / f"pages/p{page}.png").write_bytes(encoded(scene(20 + page, 150, 200)))
        body = (
            f'<p>{"Words of the page. " * 20}</p><img src="l{page}.jpg"><p>More.</p><img src="p{page}.png">'
        )
        html = f"<html><body><main>{body}</main></body></html>"
        (tmp_path / f"pages/{page}.html").write_text(html)
    nodes = [
        {"id": "raw", "stage": "read_html", "path": f"{tmp_path}/pages/*.html"},
        {"stage": "phash"},
        {"id": "near", "stage": "near_image", "max_documents": 5},
        {"id": "out", "stage": "write_parquet", "form": "documents"},
    ]
    pools.run({"name": "pages", "nodes": nodes}, tmp_path / "run")
    dropped = [row for row in pools.ledger(tmp_path / "run") if row["node"] == "near"]
    assert [(r["level"], r["index"], r["reason"]) for r in dropped] == [("image", 0, "boilerplate")] * 6
