"""From the colours of a file to sRGB, by the profile it carries."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageCms import ImageCmsTransform


def to_srgb(image: Image, profile: bytes | None) -> Image:
    """From L, RGB or CMYK to RGB, by the file's profile where it has one that says something else."""
    from PIL import ImageCms

    known = transform(profile, image.mode) if profile else None
    if known is None:
        return image.convert("RGB")
    converted = ImageCms.applyTransform(image, known)
    assert converted is not None  # None only where it works in place
    return converted


@lru_cache(maxsize=64)
def transform(profile: bytes, mode: str) -> ImageCmsTransform | None:
    """To sRGB; None for profiles that are broken, made for another mode, or sRGB by another name.

    A data set holds few profiles many times over, hence the cache.
    """
    from PIL import Image, ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        found = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None
    if mode == "CMYK":
        return found
    # Names lie and differ ("sRGB IEC61966-2.1", "c2", ...): ask what it does to colours instead.
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    before = Image.fromarray(cube).convert(mode)
    after = ImageCms.applyTransform(before, found)
    change = np.asarray(after).astype(int) - np.asarray(before.convert("RGB")).astype(int)
    return None if np.abs(change).max() <= 2 else found
