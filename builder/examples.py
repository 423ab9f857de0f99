"""assets/examples.jpg: composites beside their masks."""

from __future__ import annotations

import io

from PIL import Image

from builder.places import Place, write_whole
from builder.rows import spread_rows

FILE_NAME = "assets/examples.jpg"

_PAIRS = 12
_COLUMNS = 3
_CELL = (240, 200)
_GAP = 6
_PAPER = (255, 255, 255)


def write_examples(folder: Place) -> Place:
    """Write a sheet of a dozen pairs, spread over the splits; the same folder, the same bytes.

    Raises:
        FolderError: there are no rows, or a shard cannot be read.
        OSError: the picture cannot be written.
    """
    _, rows = spread_rows(folder, _PAIRS)
    cells = [_cell(row["image"], row["mask"]) for row in rows]
    width, height = 2 * _CELL[0] + 3 * _GAP, _CELL[1] + 2 * _GAP
    columns = min(_COLUMNS, len(cells))
    lines = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * width, lines * height), _PAPER)
    for number, cell in enumerate(cells):
        sheet.paste(cell, (number % columns * width + _GAP, number // columns * height + _GAP))
    path = folder / FILE_NAME
    encoded = io.BytesIO()
    sheet.save(encoded, "JPEG", quality=88)
    write_whole(path, encoded.getvalue())
    return path


def _cell(image: bytes, mask: bytes) -> Image.Image:
    """Return a composite with its mask at the right of it, centred together."""
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in (image, mask)]
    for picture in pictures:
        picture.thumbnail(_CELL, Image.Resampling.LANCZOS)
    cell = Image.new("RGB", (2 * _CELL[0] + _GAP, _CELL[1]), _PAPER)
    width, height = pictures[0].size
    left, top = _CELL[0] - width, (_CELL[1] - height) // 2
    cell.paste(pictures[0], (left, top))
    cell.paste(pictures[1], (_CELL[0] + _GAP, top))
    return cell
