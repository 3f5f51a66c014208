"""Any picture file to 8-bit RGB: by its content, never by its suffix, and within bounded memory.

JPEG goes through simplejpeg; CMYK JPEG, PNG, BMP, GIF and WebP through Pillow; TIFF, 16-bit PNG and pictures too large
to be held go through rasterio (`zeroscene.scenes.rasters`, which says how other values become 8-bit).
"""

import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from zeroscene.errors import PictureError
from zeroscene.pixels import Picture

MAX_PIXELS = 4096 * 4096
"""A picture with more pixels is decoded at reduced scale, so that no picture takes more than 48 MiB as RGB."""

_HEAD = 32
_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_GIF = (b"GIF87a", b"GIF89a")
# Pillow can open EPS, FLI, PSD and forty more; formats that no scene comes in stay closed.
_PILLOW_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
_JPEG_SCALES = (2, 4, 8)
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)


def decode(path: Path) -> Picture:
    """Return a picture as (H, W, 3) uint8 RGB.

    Grey becomes three equal channels, transparent pixels become black, a palette is looked up. Above `MAX_PIXELS` the
    picture is decoded at a whole fraction of its size (1/2, 1/3, ...; JPEG 1/2, 1/4, 1/8). Orientation tags of cameras
    are not applied: scenes have no up.

    Raises:
        PictureError: the file cannot be read, is empty, truncated or no picture, or is too large to be reduced.
    """
    try:
        with path.open("rb") as f:
            head = f.read(_HEAD)
            content = head + f.read() if head.startswith(_JPEG) else b""
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror or error}") from error
    if not head:
        raise PictureError(f"{path}: the file is empty (0 bytes)")
    if content:
        return _guarded(path, lambda: _jpeg(content))
    if head.startswith(_TIFF):
        return _raster(path, "GTiff")
    if head.startswith(_PNG) and len(head) >= 29:
        return _png(path, head)
    if head.startswith(b"BM") and len(head) >= 26:
        width, height = (int.from_bytes(head[i : i + 4], "little", signed=True) for i in (18, 22))
        if width * abs(height) > MAX_PIXELS:
            return _raster(path, "BMP")
    elif head.startswith(_GIF):
        width, height = (int.from_bytes(head[i : i + 2], "little") for i in (6, 8))
        if width * height > MAX_PIXELS:
            return _raster(path, "GIF")
    elif not (head.startswith(b"RIFF") and head[8:12] == b"WEBP"):
        raise PictureError(f"{path}: {_what(head)}, not a picture (JPEG, PNG, TIFF, BMP, GIF or WebP)")
    return _guarded(path, lambda: _pillow(path.read_bytes()))


def reduction(height: int, width: int) -> int:
    """Return the least whole number by which both sides are divided so that at most `MAX_PIXELS` are left."""
    return max(1, math.ceil(math.sqrt(height * width / MAX_PIXELS)))


def _guarded(path: Path, read: Callable[[], Picture]) -> Picture:
    # The decoders meet hostile bytes and raise whatever their parsers raise; whatever it is, the file is at fault.
    try:
        return read()
    except MemoryError:
        raise
    except Exception as error:
        raise PictureError(f"{path}: cannot be decoded: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _what(head: bytes) -> str:
    printable = all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return "the content is text" if printable else "the content is unknown or cut off"


def _jpeg(content: bytes) -> Picture:
    height, width, colours, _ = simplejpeg.decode_jpeg_header(content, strict=False)
    factor = 1
    if height * width > MAX_PIXELS:
        factor = next((s for s in _JPEG_SCALES if reduction(height, width) <= s), 0)
        if not factor:
            raise ValueError(f"{width} x {height} pixels are too many to reduce; cut the picture into tiles")
        if _is_progressive(content):
            raise ValueError(f"a progressive JPEG of {width} x {height} pixels cannot be reduced; save it as baseline")
    if colours in ("CMYK", "YCCK"):
        return _pillow(content, (math.ceil(width / factor), math.ceil(height / factor)))
    scale = {} if factor == 1 else {"min_height": math.ceil(height / factor), "min_width": math.ceil(width / factor)}
    try:
        picture: Picture = simplejpeg.decode_jpeg(content, "RGB", **scale)
    except ValueError:
        # Strict decoding also refuses stray bytes that harm no pixel; Pillow knows them from a truncated file.
        return _pillow(content, (math.ceil(width / factor), math.ceil(height / factor)))
    return picture


def _is_progressive(content: bytes) -> bool:
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker in _PROGRESSIVE
        position += 1 if marker == 0xFF else 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return False


def _png(path: Path, head: bytes) -> Picture:
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    depth, interlaced = head[24], head[28]
    if height * width > MAX_PIXELS and interlaced:
        raise PictureError(f"{path}: an interlaced PNG of {width} x {height} pixels cannot be reduced; save it plain")
    if depth == 16 or height * width > MAX_PIXELS:
        return _raster(path, "PNG")
    return _guarded(path, lambda: _pillow(path.read_bytes()))


def _pillow(content: bytes, at_least: tuple[int, int] | None = None) -> Picture:
    with Image.open(io.BytesIO(content), formats=_PILLOW_FORMATS) as image:
        if at_least:
            image.draft(None, at_least)
        picture: Image.Image = image
        if image.has_transparency_data:
            with_alpha = image.convert("RGBA")
            picture = Image.new("RGB", image.size)
            picture.paste(with_alpha, mask=with_alpha.getchannel("A"))
        return np.array(picture.convert("RGB"))


def _raster(path: Path, driver: str) -> Picture:
    from zeroscene.scenes.rasters import read_rgb

    return _guarded(path, lambda: read_rgb(path, driver, reduction))
