"""Draw the pictures of docs/synthetic.md: a sheet of all classes, true masks, a mosaic with its truth.

python benchmarks/pictures.py
"""

import colorsys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image, ImageDraw, ImageFont

from zeroscene.files import replacing
from zeroscene.scenes.synthetic.mosaic import Mosaic, write_mosaic
from zeroscene.scenes.synthetic.world import CLASSES, draw

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
INK, PAPER = (28, 28, 28), (255, 255, 255)
SIDE, EACH, ACROSS, GAP = 96, 4, 4, 14
MASKED, BESIDE = 224, 150
SCENES = {
    "harbor": (3, ("small_boats", "piers", "clear_water")),
    "intersection": (4, ("paved_road", "cars", "single_trees")),
    "swimming_pool": (3, ("pools", "detached_houses", "single_trees")),
    "storage_tank": (27, ("tanks", "cast_shadows", "paved_road")),
    "tennis_court": (2, ("tennis_courts", "single_trees", "cast_shadows")),
    "river": (2, ("water_cover", "shore_edge", "single_trees")),
}
COLOURS = ((230, 60, 50), (255, 205, 30), (60, 150, 255))
MOSAIC_CELL, MOSAIC_ROWS, MOSAIC_COLUMNS = 48, 12, 16


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def spoken(name: str) -> str:
    return name.replace("_", " ")


def save(picture: Image.Image, name: str) -> None:
    """Write a JPEG, or a PNG with a palette where a few flat colours lie over the picture."""
    path = PICTURES / name
    with replacing(path) as temporary:
        if path.suffix == ".jpg":
            picture.save(temporary, format="JPEG", quality=85, subsampling=0, optimize=True)
        else:
            picture.quantize(256, kmeans=2, dither=Image.Dither.NONE).save(temporary, format="PNG", optimize=True)
    print(f"{path.name}: {picture.width} x {picture.height}, {path.stat().st_size / 1000:.0f} kB")


def classes_sheet() -> Image.Image:
    """Return some pictures of every class, the classes in columns."""
    label = 20
    rows = -(-len(CLASSES) // ACROSS)
    width, height = EACH * (SIDE + 2) + GAP, SIDE + label + GAP
    sheet = Image.new("RGB", (ACROSS * width + GAP, rows * height + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, name in enumerate(CLASSES):
        column, row = divmod(number, rows)
        left, top = GAP + column * width, GAP + row * height
        pen.text((left, top), spoken(name), INK, font(15))
        for index in range(EACH):
            # Drawn larger and shrunk, as a picture in a page is.
            large = Image.fromarray(draw(name, 0, index, 2 * SIDE).pixels)
            sheet.paste(large.reduce(2), (left + index * (SIDE + 2), top + label))
    return sheet


def overlay(name: str, index: int, attributes: tuple[str, ...]) -> Image.Image:
    """Return a picture, and beside it in grey with the true masks of some attributes in colour and their names."""
    label = 24
    drawn = draw(name, 0, index, MASKED)
    grey = np.repeat(drawn.pixels.mean(axis=2, keepdims=True), 3, axis=2) * 0.55 + 90
    for attribute, colour in zip(reversed(attributes), reversed(COLOURS), strict=True):
        mask = drawn.mask(attribute)
        grey[mask] = 0.3 * grey[mask] + 0.7 * np.array(colour)
    block = Image.new("RGB", (2 * MASKED + 4 + BESIDE, MASKED + label), PAPER)
    pen = ImageDraw.Draw(block)
    pen.text((0, 0), spoken(name), INK, font(17))
    block.paste(Image.fromarray(drawn.pixels), (0, label))
    block.paste(Image.fromarray(grey.astype(np.uint8)), (MASKED + 4, label))
    for line, (attribute, colour) in enumerate(zip(attributes, COLOURS, strict=True)):
        left, top = 2 * MASKED + 14, label + 24 * line
        pen.rectangle((left, top + 2, left + 14, top + 16), fill=colour)
        pen.text((left + 20, top), spoken(attribute), INK, font(15))
    return block


def masks_sheet() -> Image.Image:
    blocks = [overlay(name, index, attributes) for name, (index, attributes) in SCENES.items()]
    width, height = blocks[0].width + GAP, blocks[0].height + GAP
    sheet = Image.new("RGB", (2 * width + GAP, -(-len(blocks) // 2) * height + GAP), PAPER)
    for number, block in enumerate(blocks):
        row, column = divmod(number, 2)
        sheet.paste(block, (GAP + column * width, GAP + row * height))
    return sheet


def mosaic_sheet() -> Image.Image:
    """Return a mosaic and, beside it, the class of each cell."""
    with tempfile.TemporaryDirectory() as folder:
        made = write_mosaic(Path(folder) / "m.tif", rows=MOSAIC_ROWS, columns=MOSAIC_COLUMNS)
        with rasterio.open(made.path) as file:
            pixels, known = file.read().transpose(1, 2, 0), file.dataset_mask() > 0
    pixels[~known] = 120  # no data is no colour
    height, width = made.shape
    shrink = MOSAIC_CELL / made.cell
    size = round(width * shrink), round(height * shrink)
    left = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    sheet = Image.new("RGB", (2 * size[0] + GAP, size[1]), PAPER)
    sheet.paste(left, (0, 0))
    sheet.paste(truth_map(made, size), (size[0] + GAP, 0))
    return sheet


def truth_map(made: Mosaic, size: tuple[int, int]) -> Image.Image:
    border = round(made.border * MOSAIC_CELL / made.cell)
    hues = {i: colorsys.hsv_to_rgb(i * 0.618 % 1, 0.22 + 0.14 * (i % 3), 0.97) for i in range(len(made.classes))}
    picture = Image.new("RGB", size, (120, 120, 120))
    pen = ImageDraw.Draw(picture)
    for (row, column), label in np.ndenumerate(made.labels):
        at = border + column * MOSAIC_CELL, border + row * MOSAIC_CELL
        colour = tuple(round(255 * part) for part in hues[int(label)])
        pen.rectangle((*at, at[0] + MOSAIC_CELL - 1, at[1] + MOSAIC_CELL - 1), fill=colour)
    for cells in regions(made.labels):
        row, column = min(cells, key=lambda cell: np.abs(np.array(cell) - np.mean(cells, axis=0)).sum())
        middle = border + (column + 0.5) * MOSAIC_CELL, border + (row + 0.5) * MOSAIC_CELL
        text = spoken(made.label(row, column)).replace(" ", "\n")
        pen.multiline_text(middle, text, INK, font(12), anchor="mm", align="center", spacing=1)
    return picture


def regions(labels: np.ndarray) -> list[list[tuple[int, int]]]:
    """Return the cells of each region of neighbours with one class."""
    left, found = set(np.ndindex(labels.shape)), []
    while left:
        waiting, cells = [left.pop()], []
        while waiting:
            row, column = waiting.pop()
            cells.append((row, column))
            for other in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if other in left and labels[other] == labels[row, column]:
                    left.remove(other)
                    waiting.append(other)
        found.append(cells)
    return found


def main() -> None:
    save(classes_sheet(), "synthetic_classes.jpg")
    save(masks_sheet(), "synthetic_masks.png")
    save(mosaic_sheet(), "synthetic_mosaic.png")


if __name__ == "__main__":
    main()
