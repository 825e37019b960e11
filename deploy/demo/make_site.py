"""Draws the pictures of the demo's site: python deploy/demo/make_site.py (needs Pillow).

Its pages are written by hand, in deploy/demo/site. What this draws is kept there, too, because it
is small; so nobody needs to run it but who wants other pictures.
"""

from __future__ import annotations

import math
import random
import shutil
from pathlib import Path

from PIL import Image, ImageDraw

SITE = Path(__file__).parent / "site"
COLOURS = ["#0b3954", "#087e8b", "#bfd7ea", "#ff5a5f", "#c81d25", "#f2c14e", "#5fad56", "#4d5382"]
# By how a page comes to show them. The ending is the format.
PICTURES = {
    "link rel": {"favicon.ico": (32, 32), "img/touch.png": (180, 180)},
    "meta og:image": {"img/card.jpg": (480, 252)},
    "img src": {"img/harbour.jpg": (480, 240)},
    "CSS url()": {"img/paper.png": (64, 64), "img/rope.png": (96, 16)},
    "srcset": {"shapes/circle.png": (120, 120), "shapes/circle-2x.png": (240, 240),
               "shapes/circle-3x.png": (360, 360)},
    "picture source": {"shapes/star.png": (160, 160), "shapes/star.webp": (160, 160),
                       "shapes/star-wide.webp": (320, 160)},
    "data-src": {"lazy/one.gif": (120, 90), "lazy/two.gif": (120, 90), "lazy/three.png": (120, 90)},
    "style": {"styles/stripes.png": (80, 80), "styles/dots.png": (80, 80)},
    "a href": {f"gallery/large-{n}.{'png' if n % 2 else 'jpg'}": (320, 240) for n in range(1, 5)},
    "img beside them": {f"gallery/small-{n}.png": (80, 60) for n in range(1, 5)},
    "area": {"map/sea.png": (300, 200), "map/island-1.png": (150, 100),
             "map/island-2.png": (150, 100)},
    "iframe": {"frame/inside.png": (140, 100)},
    "base href": {"base/assets/compass.png": (140, 140)},
    "twice": {"twins/moon.png": (130, 130)},
    "canonical": {"canonical/only.png": (110, 110)},
    "disallowed": {"private/secret.png": (100, 100)},
}  # fmt: skip


def draw(name: str, size: tuple[int, int]) -> Image.Image:
    """A picture that no other name has: each has its seed from its name."""
    dice = random.Random(name)
    width, height = size
    ground, *inks = dice.sample(COLOURS, 4)
    image = Image.new("RGB", size, ground)
    pen = ImageDraw.Draw(image)
    for ink in inks:
        x, y, r = dice.randrange(width), dice.randrange(height), dice.randint(4, 6 + height // 3)
        corners = dice.choice([0, 3, 4, 5, 6])
        if corners:
            turn = dice.random()
            angles = [2 * math.pi * (n / corners + turn) for n in range(corners)]
            pen.polygon([(x + r * math.cos(a), y + r * math.sin(a)) for a in angles], fill=ink)
        else:
            pen.ellipse((x - r, y - r, x + r, y + r), fill=ink)
    return image


def save(image: Image.Image, path: Path) -> None:
    """As small as it goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".png", ".gif"):
        image = image.quantize(16)
    if path.suffix == ".ico":
        image.save(path, sizes=[image.size])
    else:
        image.save(path, optimize=True, quality=70)


def main() -> None:
    """Draw them all."""
    for pictures in PICTURES.values():
        for name, size in pictures.items():
            save(draw(name, size), SITE / name)
    shutil.copy(SITE / "twins/moon.png", SITE / "twins/the-same-moon.png")
    lie = SITE / "lies/jpeg-inside.png"
    save(draw("lies/jpeg-inside.png", (120, 120)), lie.with_suffix(".jpg"))
    lie.with_suffix(".jpg").rename(lie)


if __name__ == "__main__":
    main()
