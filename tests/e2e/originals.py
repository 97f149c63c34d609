"""The raw input of a run, read again without anything of a run: what the outputs are held against."""

from __future__ import annotations

import html
import io
import re
import tarfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pools
from finished import RECIPES, Finished
from PIL import Image, ImageOps

from curate.plan import make
from curate.recipe import load
from curate.sources import discover


class Original(NamedTuple):
    """A raw sample: its images' bytes (None where a file is not there) and all text it may be cut from."""

    source: str
    images: list[bytes | None]
    text: str

    def says(self, text: str) -> bool:
        """Whether each line of the text stands in the source, spacing and markup aside."""
        return all(_plain(line) in self.text for line in text.splitlines() if line.strip())


def _plain(text: str) -> str:
    return " ".join(text.split())


def originals(run: Finished) -> dict[str, Original]:
    """sample_id -> the raw sample, for pairs and documents of the quickstart's pool."""
    recipe = RECIPES / "quickstart.yaml"
    paths = (f"raw.path={run.pool}/pairs", f"pages.path={run.pool}/docs")
    plan = make(load(recipe, paths))
    found = discover(plan, Path.cwd())
    return {
        row["sample_id"]: _original(row, run.pool / {"raw": "pairs", "pages": "docs"}[name])
        for name, source in plan.reads().items()
        for row in pools.raw_rows(source, found[name]).to_pylist()
    }


def _original(row: dict, root: Path) -> Original:
    images = [None if ref is None else _bytes(root, ref) for ref in row["image_ref"]]
    if "#" in row["source"]:
        path, _, rest = row["source"].partition("#")
        return Original(
            row["source"], images, _plain(_captions(root / path).get(rest.rpartition("@")[0], ""))
        )
    raw = (root / row["source"]).read_bytes()
    charset = re.search(rb"charset=[\"']?([\w-]+)", raw)
    page = raw.decode(charset[1].decode() if charset else "utf-8", "replace")
    # once without markup, once with what attributes hold
    return Original(row["source"], images, _plain(html.unescape(re.sub(r"<[^>]*>", "", page) + page)))


def _bytes(root: Path, reference: str) -> bytes | None:
    path, _, place = reference.partition("#bytes=")
    if not (root / path).is_file():
        return None
    if not place:
        return (root / path).read_bytes()
    offset, length = map(int, place.split("+"))
    with (root / path).open("rb") as file:
        file.seek(offset)
        return file.read(length)


@cache
def _captions(path: Path) -> dict[str, str]:
    """The `.txt` of each key, out of the tar by Python's own reader."""
    found = {}
    with tarfile.open(path) as tar:
        try:
            for member in tar:
                if member.name.endswith(".txt"):
                    # a name may hold several dots: WebDataset ends the key at the first
                    key = member.name.partition(".")[0]
                    found[key] = tar.extractfile(member).read().decode("utf-8", "replace")
        except tarfile.ReadError:  # the pool's last tar is cut
            pass
    return found


def upright(data: bytes) -> np.ndarray:
    """First frame, upright, alpha on white: what a trainer should see of the bytes."""
    with Image.open(io.BytesIO(data)) as image:
        turned = ImageOps.exif_transpose(image)
        if turned.has_transparency_data:
            turned = turned.convert("RGBA")
            turned = Image.alpha_composite(Image.new("RGBA", turned.size, "white"), turned)
        return np.asarray(turned.convert("RGB"))
