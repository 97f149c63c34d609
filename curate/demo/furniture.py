"""The images that a site repeats on page after page: logo, banner, advertisement, icons, tracking pixel."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image, ImageDraw

from curate.demo.encode import jpeg, save
from curate.demo.fonts import write
from curate.demo.samples import Pool
from curate.demo.styles import grain


@lru_cache(maxsize=4)
def furniture(pool: Pool) -> dict[str, bytes]:
    """File name -> bytes; the same files lie in every topic's img folder."""
    rng = pool.stream("furniture")
    face = "inline" if pool.held_out else "bold"
    logo = Image.new("RGB", (180, 60), "white")
    ImageDraw.Draw(logo).ellipse((6, 8, 50, 52), fill=(196, 40, 60))
    write(logo, "Daily Sketch", face, 20, (116, 30), (40, 40, 48), max_width=120)
    banner = grain(Image.new("RGB", (728, 90), (62, 104, 168)), "clouds", 1.0, rng)
    write(banner, "Visit our spring fair", face, 40, (364, 45), (255, 255, 255), max_width=680)
    advert = grain(Image.new("RGB", (300, 250), (246, 196, 60)), "grain", 1.0, rng)
    write(advert, "BUY PENS", face, 44, (150, 90), (150, 20, 30), max_width=270)
    write(advert, "now 20% off", face, 24, (150, 160), (40, 40, 40), max_width=270)
    icons = {}
    for name, colour in (("share", (40, 120, 220)), ("mail", (90, 90, 96))):
        icon = Image.new("RGBA", (24, 24))
        draw = ImageDraw.Draw(icon)
        draw.rounded_rectangle((0, 0, 23, 23), 5, fill=(*colour, 255))
        lines = ((6, 12, 18, 6), (6, 12, 18, 18)) if name == "share" else ((4, 7, 12, 14), (12, 14, 20, 7))
        for line in lines:
            draw.line(line, fill=(255, 255, 255, 255), width=2)
        icons[f"icon-{name}.png"] = save(icon, "png")
    return {
        "logo.png": save(logo, "png"),
        "banner.jpg": jpeg(banner),
        "ad.jpg": jpeg(advert),
        "pixel.gif": save(Image.new("P", (1, 1)), "gif"),
        **icons,
    }
