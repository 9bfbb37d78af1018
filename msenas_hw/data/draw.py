"""Samples of a data set as a picture: PNG, SVG, or text for a terminal."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msenas_hw.data.dataset import Dataset
from targets.errors import ConfigError

Colours = NDArray[np.uint8]
_CLASSES, _COLUMNS, _SHOWN = 10, 10, 3
# Pixels of a tile's longer edge, at least, and between tiles.
_TILE, _GAP = 56, 4
_SHADES = " .:-=+*#%@"
_WIDEST = 72


@dataclass(frozen=True, eq=False)
class Sheet:
    """Tiles in rows, a row a class.

    Attributes:
        tiles: rows of RGB pictures [H, W, 3].
        captions: class of each row.
    """

    tiles: list[list[Colours]]
    captions: list[str]

    def picture(self) -> Colours:
        """All tiles on white, [H, W, 3]."""
        height, width = self.tiles[0][0].shape[:2]
        columns = max(map(len, self.tiles))
        sheet = np.full(
            (len(self.tiles) * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), 255, np.uint8
        )
        for row, tiles in enumerate(self.tiles):
            for column, tile in enumerate(tiles):
                y, x = row * (height + _GAP) + _GAP, column * (width + _GAP) + _GAP
                sheet[y : y + height, x : x + width] = tile
        return sheet


def sheet(data: Dataset, names: tuple[str, ...], steps: int) -> Sheet:
    """The first training samples of the first classes; of recordings one a class, a tile a step.

    Polarity 1 is red and 0 is blue. Frames of a single row become one tile, a line a step.
    """
    x, y = data.part("train")
    rows, captions = [], []
    for label in np.unique(y)[:_CLASSES]:
        chosen = np.flatnonzero(y == label)[: 1 if data.recorded else _COLUMNS]
        if data.recorded:
            frames = data.encoded("train", chosen, "events", steps)[0][:, 0]
            frames = frames.transpose(2, 1, 0, 3) if frames.shape[2] == 1 else frames
            rows.append([_tile(frame, frames.max(), events=True) for frame in frames[:steps]])
        else:
            rows.append([_tile(picture, 1.0, events=False) for picture in np.asarray(x[chosen])])
        captions.append(names[label] if label < len(names) else str(label))
    return Sheet(rows, captions)


def _tile(values: NDArray[np.float32], most: float, events: bool) -> Colours:
    """RGB of [C, H, W]."""
    scaled = np.clip(values / max(float(most), 1e-9), 0, 1)
    channels = len(scaled)
    if channels == 3 and not events:
        colours = scaled.transpose(1, 2, 0)
    elif channels == 2:
        colours = np.stack((scaled[1], scaled[0] * 0.3 + scaled[1] * 0.3, scaled[0]), axis=-1)
    else:
        colours = np.repeat(scaled.mean(axis=0)[..., None], 3, axis=-1)
    factor = -(-_TILE // max(colours.shape[:2]))
    return (colours * 255).astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)


def write(sheet: Sheet, path: Path) -> None:
    """The sheet as a file; ConfigError unless its name ends with .png or .svg."""
    if path.suffix not in (".png", ".svg"):
        raise ConfigError(f"--picture {path}: found {path.suffix!r}, allowed .png or .svg")
    picture = sheet.picture()
    path.write_bytes(png(picture) if path.suffix == ".png" else svg(sheet, picture).encode())


def png(picture: Colours) -> bytes:
    """An RGB picture [H, W, 3] in the format PNG (ISO/IEC 15948)."""
    height, width = picture.shape[:2]
    lines = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def svg(sheet: Sheet, picture: Colours) -> str:
    """The same with the classes written beside it."""
    height, width = picture.shape[:2]
    each = height / len(sheet.captions)
    margin = 8 * max(map(len, sheet.captions)) + 12
    lines = "".join(
        f'<text x="{margin - 6}" y="{(row + 0.5) * each + 4:.0f}" text-anchor="end">{escape(name)}</text>'
        for row, name in enumerate(sheet.captions)
    )
    data = base64.b64encode(png(picture)).decode()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{margin + width}" height="{height}" '
        f'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>{lines}'
        f'<image x="{margin}" width="{width}" height="{height}" style="image-rendering:pixelated" '
        f'href="data:image/png;base64,{data}"/></svg>\n'
    )


def text(data: Dataset, names: tuple[str, ...], steps: int) -> str:
    """A few training samples in characters, side by side; events of all steps added up."""
    _, y = data.part("train")
    blocks, captions = [], []
    for label in np.unique(y)[:_SHOWN]:
        row = np.flatnonzero(y == label)[:1]
        x = data.encoded("train", row, "events" if data.recorded else "graded", steps)[0][:, 0]
        plane = x.mean(axis=1)[:, 0] if x.shape[2:3] == (1,) and data.recorded else x.mean(axis=(0, 1))
        blocks.append(_shaded(plane))
        captions.append(names[label] if label < len(names) else str(label))
    width = max(len(block[0]) for block in blocks)
    height = max(map(len, blocks))
    lines = [
        "  ".join(block[i] if i < len(block) else " " * width for block in blocks) for i in range(height)
    ]
    return "\n".join(["  ".join(f"{name[:width]:<{width}}" for name in captions), *lines])


def _shaded(plane: NDArray[np.float32]) -> list[str]:
    """Two characters a pixel, so that it looks square; wide planes are thinned."""
    thin = -(-plane.shape[1] // (_WIDEST // 2))
    plane = plane[:: min(thin, max(1, plane.shape[0] // 8)), ::thin]
    level = np.rint(plane / max(float(plane.max()), 1e-9) * (len(_SHADES) - 1)).astype(int)
    return ["".join(_SHADES[value] * 2 for value in line) for line in level]
