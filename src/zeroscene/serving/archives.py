"""Archives as users ask for them: an encoder by its name, windows of the size that suits it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from zeroscene.encoders.base import ImageEncoder
from zeroscene.errors import OptionError, PictureError
from zeroscene.maps.archive.add import Adding, Told, reason, require_one
from zeroscene.maps.archive.folder import Archive, Cutting, is_archive
from zeroscene.maps.layout import Layout
from zeroscene.maps.scale import default_window, trained_gsd
from zeroscene.scenes.geo import GeoRaster
from zeroscene.scenes.geo_source import opened
from zeroscene.serving.sources import Origin, open_image_encoder

_OVERLAP: Final = 0.5


def begin(
    path: Path,
    rasters: Sequence[Path],
    encoder: str | None,
    window: str | None,
    overlap: float | None,
    adding: Adding,
    *,
    pictures: bool = False,
    pooling: str = "auto",
    **choices: Any,
) -> tuple[Archive, ImageEncoder]:
    """Return the archive of a folder, begun now or earlier, and its encoder.

    A new archive is begun only when something of what is to be added can be read.

    Args:
        path: the folder.
        rasters: what is to be added; the first that can be read decides the size of windows where nobody says it.
        encoder: model folder, hub id, or `tiny`; that of the archive where None.
        window: side of a window; that of the archive, or at first what suits the encoder and the first raster, where
            None.
        overlap: share by which windows overlap; that of the archive, or a half, where None.
        adding: how rasters are read.
        pictures: they are whole pictures. Windows of rasters that come later are then the ground that suits the
            encoder, or pixels where that is not known.
        pooling: which output of the encoder is taken, at first.
        choices: precision, backend and download.

    Raises:
        OptionError: a new archive without an encoder, windows that are no length, or others than the archive has.
        PictureError: a new archive, and not one of the rasters can be read.
        EncoderMismatchError: the archive is of another encoder; both are named.
        EncoderError: there is no such encoder.
        StoreError: the folder holds other things, or cannot be written.
    """
    there = Archive.open(path) if is_archive(path) else None
    noted = Origin.read(path) if there is not None else None
    if encoder is None:
        if there is None:
            raise OptionError(f"{path} is a new archive: say what encodes its windows, --encoder")
        if noted is None:
            raise OptionError(f"{path} does not say where its encoder {there.encoder.name!r} is; give --encoder")
        eye, origin = noted.open(there.encoder, **choices), noted
    else:
        pooled = noted.pooling if noted is not None and pooling == "auto" else pooling
        eye, origin = open_image_encoder(encoder, pooling=pooled, **choices), Origin.of(encoder, pooled)
    if there is not None:
        cutting = Cutting(window or there.cutting.window, there.cutting.overlap if overlap is None else overlap)
    else:
        cutting = _first_cutting(rasters, eye, window, _OVERLAP if overlap is None else overlap, adding, pictures)
    arithmetic = {name: str(getattr(eye, name)) for name in ("precision", "backend") if hasattr(eye, name)}
    archive = Archive.begin(path, eye.identity, eye.width, cutting, arithmetic)
    if origin != noted:
        origin.write(path)
    return archive, eye


@dataclass(frozen=True)
class Reopened:
    """Opens the encoder of an archive, here or in another process.

    Attributes:
        archive: its folder.
        precision: auto, fp32 or bf16.
        download: fetch the encoder if it is not on this machine.
    """

    archive: Path
    precision: str = "auto"
    download: bool = False

    def __call__(self) -> ImageEncoder:
        """Return the encoder.

        Raises:
            EncoderError: it is not where the archive says.
            OptionError: the archive does not say where it is.
        """
        archive, noted = Archive.open(self.archive), Origin.read(self.archive)
        if noted is None:
            raise OptionError(f"{self.archive} does not say where its encoder {archive.encoder.name!r} is")
        return noted.open(archive.encoder, precision=self.precision, download=self.download)


def _first_cutting(
    rasters: Sequence[Path],
    eye: ImageEncoder,
    window: str | None,
    overlap: float,
    adding: Adding,
    pictures: bool,
) -> Cutting:
    """Return how a new archive cuts rasters: as the user says, or as it suits the first one that can be added.

    Raises:
        OptionError: the window is no length, or a number is out of range.
        PictureError: not one can be added; the first reason is named.
    """
    trained = trained_gsd(eye.identity)
    asked = Cutting(window or default_window(eye, trained, None), overlap)

    def suiting(gsd: tuple[float, float] | None) -> Cutting:
        return asked if window is not None else replace(asked, window=default_window(eye, trained, gsd))

    skipped: list[Told] = []
    for path in rasters:
        try:
            adding.rule.time(path)
            if pictures:
                opened(path).close()
                return suiting(None if trained is None else (trained, trained))
            raster = GeoRaster.open(path, adding.bands)
            cutting = suiting(raster.gsd if adding.gsd is None else (adding.gsd, adding.gsd))
            Layout.of(raster, cutting.window, cutting.overlap, adding.gsd)
            return cutting
        except (PictureError, OptionError) as error:
            skipped.append(Told(str(path), "skipped", notes=(reason(error, path),)))
    require_one(skipped)
    return asked
