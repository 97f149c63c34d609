"""From scene to pixels."""

from __future__ import annotations

from PIL import Image

from curate.demo import fonts, styles
from curate.demo.backgrounds import paint
from curate.demo.rng import stream
from curate.demo.scenes import Scene


def draw_scene(scene: Scene) -> Image.Image:
    """The scene as an RGB image; the same scene gives the same pixels."""
    image = paint(scene.background, scene.size)
    rng = stream("draw", scene.background.seed)
    for item in scene.objects:
        x1, y1, x2, y2 = item.box
        tile, mask = styles.tile(item.cls, item.rgb, scene.style, (x2 - x1, y2 - y1), item.flip, rng)
        if scene.style == "shaded":
            image.paste((20, 20, 30), (x1 + 5, y1 + 6), styles.shadow(mask))
        image.paste(tile, (x1, y1), mask)
    if scene.label:
        last = max(item.box[3] for item in scene.objects)
        height = max(14, (scene.size[1] - last) // 3)
        middle = (scene.size[0] // 2, (last + scene.size[1]) // 2)
        fonts.write(
            image, scene.label, scene.font, height, middle, scene.objects[0].rgb, max_width=scene.size[0] - 20
        )
    if scene.grain:
        image = styles.grain(image, "grain", 0.3, rng)
    return image
