"""MMC4's record: sentences, and images that belong to one of them each (arXiv 2304.06939).

    text_list           the texts, in reading order
    image_info          of each image, in reading order: image_name (its file), raw_url, matched_text_index,
                        matched_sim, and further columns of images
    similarity_matrix   [image][text] cosines, where all embeddings are there; then also `matched_sim`

Which text an image belongs to:

    place   the one behind it, before which loaders put it: the order stays as it is. Images behind the last
            text get an empty text of their own, with the similarities of the text before it
    clip    the one that the `clip` stage assigned to it (each image another one, as MMC4 does), else its most
            similar one. Loaders put it there, wherever it stood
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from curate.export.documents import web_address

Match: TypeAlias = Literal["place", "clip"]
Matrix: TypeAlias = npt.NDArray[np.float64]


def similarities(images: Sequence[Any], texts: Sequence[Any]) -> Matrix | None:
    """Cosines [image][text] of embeddings; None where one is missing, or there is nothing to compare."""
    if not images or not texts or any(v is None for v in (*images, *texts)):
        return None
    image, text = _unit(images), _unit(texts)
    # not BLAS, whose sums depend on how many there are
    found: Matrix = np.einsum("id,td->it", image, text)
    return found


def _unit(vectors: Sequence[Any]) -> Matrix:
    found: Matrix = np.asarray(vectors, np.float64)
    length = np.sqrt((found * found).sum(axis=1, keepdims=True))
    return found / np.where(length > 0, length, 1)


def behind(layout: str) -> list[int]:
    """Of each image the number of the text behind it; the number of texts where there is none."""
    found, texts = [], 0
    for span in layout:
        if span == "i":
            found.append(texts)
        else:
            texts += 1
    return found


def assigned(given: Sequence[int | None], layout: str, matrix: Matrix | None) -> list[int]:
    """Of each image the text that it was given, else its most similar one, else one beside it."""
    last = layout.count("t") - 1
    found = []
    for i, (text, near) in enumerate(zip(given, behind(layout), strict=True)):
        if text is None:
            text = int(np.argmax(matrix[i])) if matrix is not None else min(near, last)
        found.append(text)
    return found


def record(
    layout: str,
    texts: Sequence[str],
    images: Sequence[tuple[str, Mapping[str, Any]]],
    columns: Mapping[str, Any],
    matrix: Matrix | None = None,
    given: Sequence[int | None] | None = None,
) -> dict[str, Any]:
    """`images`: of each the name of its file and its columns. `columns`: of the document. `given`: the text
    assigned to each image (`clip`); left out: by place."""
    listed = list(texts)
    by_place = given is None or not listed
    at = behind(layout) if by_place else assigned(given or (), layout, matrix)
    if any(text == len(listed) for text in at):
        listed.append("")
        if matrix is not None:
            matrix = np.concatenate([matrix, matrix[:, -1:]], axis=1)
    rows = None if matrix is None else [[_short(value) for value in row] for row in matrix]
    found = {n: v for n, v in columns.items() if v is not None}
    found["text_list"] = listed
    found["image_info"] = [
        _info(name, own, text, None if rows is None else rows[i][text])
        for i, ((name, own), text) in enumerate(zip(images, at, strict=True))
    ]
    return found if rows is None else {**found, "similarity_matrix": rows}


def _info(name: str, columns: Mapping[str, Any], text: int, similarity: float | None) -> dict[str, Any]:
    # what the source called the image is left to the index: here its file has that key
    found = {n: v for n, v in columns.items() if v is not None and n not in ("image_url", "image_name")}
    found |= {"image_name": name, "raw_url": web_address(columns), "matched_text_index": text}
    return found if similarity is None else {**found, "matched_sim": similarity}


def _short(value: float) -> float:
    """A float32 with the digits it has."""
    return float(str(np.float32(value)))
