from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from arrays import Pixels, encoded, plain, scene
from collections_of_debian import DRAWINGS, STAMPS, need
from decoding import decode_column
from demo_pictures import sound
from PIL import Image

from curate.errors import RecipeError
from curate.pixels import Decode
from curate.stage import CANONICAL
from stages.image import nsfw
from stages.image.nsfw import EXPOSED, Nsfw


def found(files: list[bytes]) -> list[tuple[float, list[str]]]:
    pixels, _ = decode_column(files, Decode())
    out = Nsfw().open()(pa.table({CANONICAL: pixels}))
    assert out.drop is None
    return list(zip(*(values.to_pylist() for values in out.columns.values()), strict=True))


def alarms(files: list[bytes], above: float) -> float:
    scores = [score for score, _ in found(files) if score is not None]
    assert len(scores) > 80
    return sum(score > above for score in scores) / len(scores)


def test_it_says_what_the_package_says(demo_pool: Path, tmp_path: Path) -> None:
    from nudenet import NudeDetector

    detector = NudeDetector()
    pictures = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in sound(demo_pool)[:30]]
    files = [encoded(picture) for picture in pictures if min(picture.shape[:2]) < 512]
    ours = found(files)
    seen = 0
    for number, data in enumerate(files):
        (path := tmp_path / f"{number}.png").write_bytes(data)
        told = {one["class"]: one["score"] for one in detector.detect(str(path))[::-1]}
        seen += len(told)
        scores = {label: score for label, score in told.items() if label in EXPOSED}
        assert ours[number][0] == pytest.approx(max(scores.values(), default=0), abs=1e-5)
        assert set(ours[number][1]) == {label.lower() for label in scores}
    assert seen, "the detector finds something or other in drawings"


def test_only_exposed_parts_count_the_best_of_each() -> None:
    def detect(pixels: Pixels) -> list[dict[str, Any]]:
        said = [("FACE_FEMALE", 0.9), ("FEET_EXPOSED", 0.8), ("ANUS_EXPOSED", 0.3), ("BUTTOCKS_EXPOSED", 0.4)]
        return [{"class": name, "score": score} for name, score in [*said, ("ANUS_EXPOSED", 0.6)]]

    assert nsfw._exposed(detect, scene()) == {"anus_exposed": 0.6, "buttocks_exposed": 0.4}
    assert list(nsfw._exposed(detect, scene())) == ["anus_exposed", "buttocks_exposed"]


def test_the_classes_are_those_of_the_package() -> None:
    import nudenet.nudenet as package

    known = vars(package)["__labels"]
    assert set(EXPOSED) <= set(known)


def test_odd_pictures_are_harmless() -> None:
    odd = [plain(1, 1), plain(1, 9000), plain(9000, 1), scene(), plain(300, 300, (255, 255, 255))]
    assert found([encoded(picture) for picture in odd]) == [(0.0, [])] * len(odd)
    pixels, _ = decode_column([b"broken"], Decode())
    out = Nsfw().open()(pa.table({CANONICAL: pixels})).columns
    assert [values.to_pylist() for values in out.values()] == [[None], [None]]


def test_the_demo_is_for_everyone(demo_pool: Path) -> None:
    assert alarms(sound(demo_pool)[:150], 0.5) <= 0.02


@pytest.mark.real
def test_stamps_and_clip_art_raise_few_alarms() -> None:
    """Photos and drawings of animals, food and planets, and clip art: some are round and pink."""
    need("tuxpaint", "openclipart-png")
    for folder in (STAMPS, DRAWINGS):
        paths = sorted(folder.rglob("*.png"))
        assert alarms([path.read_bytes() for path in paths[:: len(paths) // 100]], 0.5) <= 0.02, folder.name


def test_without_the_package_the_plan_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nsfw, "_PACKAGE", "no_such_package_at_all")
    with pytest.raises(RecipeError, match=r"mmcurate\[safety\]"):
        Nsfw().check_columns(pa.schema([]))
