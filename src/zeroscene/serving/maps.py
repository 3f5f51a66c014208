"""Maps as users ask for them: a raster, a labeller, a folder; the vectors of windows kept hidden while it is made."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from zeroscene.encoders.base import ImageEncoder
from zeroscene.errors import PictureError, StoreError, ZeroSceneError
from zeroscene.files import digest, remove_folder
from zeroscene.maps.layout import Layout
from zeroscene.maps.mapping import MapOptions, map_raster
from zeroscene.maps.outputs import check_folder
from zeroscene.maps.scale import default_window, scale_notes, trained_gsd
from zeroscene.maps.scene_map import SceneMap
from zeroscene.scenes.geo import GeoRaster
from zeroscene.serving.labeller import Labeller

WORK: Final = ".windows-"
"""Begin of the name of the folder in which vectors lie, in that of the map, until the map is whole."""


@dataclass(frozen=True)
class Windows:
    """How a raster is cut.

    Attributes:
        side: of a window, in metres ("110 m") or pixels; what suits the encoder where None.
        overlap: share of its side by which a window overlaps the next.
        gsd: metres a pixel of the raster, where it does not know itself or is wrong.
        encoder_gsd: metres a pixel of the pictures that the encoder was trained on, where known.
    """

    side: str | float | None = None
    overlap: float = 0.5
    gsd: float | None = None
    encoder_gsd: float | None = None

    def layout(self, raster: GeoRaster, encoder: ImageEncoder) -> Layout:
        """Return where the windows of a raster lie; its notes say what speaks against their scale.

        Raises:
            OptionError: a number out of range, or metres of a raster whose pixels have no known size.
        """
        gsd = raster.gsd if self.gsd is None else (self.gsd, self.gsd)
        trained = trained_gsd(encoder.identity, self.encoder_gsd)
        side = default_window(encoder, trained, gsd) if self.side is None else self.side
        layout = Layout.of(raster, side, self.overlap, self.gsd)
        return replace(layout, notes=(*layout.notes, *scale_notes(encoder, layout, trained, gsd)))


def write_map(
    raster: GeoRaster,
    labeller: Labeller,
    out: str | Path,
    windows: Windows | None = None,
    options: MapOptions | None = None,
    *,
    store: str | Path | None = None,
) -> SceneMap:
    """Make the map of a raster, write it, and return it; killed at any moment, the same call goes on.

    Args:
        raster: the raster.
        labeller: what answers.
        out: folder of the map, new or empty or that of another map.
        windows: how the raster is cut; what suits the encoder when None.
        options: how windows become a map; the defaults when None.
        store: folder that keeps the vectors of the windows for another question. Without one they are removed when
            the map is whole.

    Raises:
        PictureError: the raster cannot be decoded.
        OptionError: a number out of range, or a question that the method cannot answer.
        EncoderMismatchError: the encoder, the vectors or the classes are not those of the method.
        StoreError: a folder cannot be written, or holds other things.
    """
    out = Path(out)
    asked = labeller.question
    asked.require_probability()
    encoder = labeller.eye()
    layout = (windows or Windows()).layout(raster, encoder)
    layout = replace(layout, notes=(*labeller.notes, *layout.notes))
    if store is not None:
        require_apart(Path(store), out)
    with _folder(out):
        own = digest(raster.fingerprint, layout.fingerprint, encoder.identity.fingerprint)
        work = out / f"{WORK}{own}" if store is None else Path(store)
        made = map_raster(raster, layout, encoder, asked, options, work=work)
        made.write(out)
        _clear(out)
    return made


def require_apart(store: Path, out: Path) -> None:
    """Make sure that vectors are not kept among the files of a map.

    Raises:
        StoreError: they would be.
    """
    inside = store.resolve().is_relative_to(out.resolve())
    if inside and not any(part.startswith(".") for part in store.resolve().relative_to(out.resolve()).parts):
        raise StoreError(f"the vectors in {store} would lie among the files of the map in {out}; give another folder")


@contextmanager
def _folder(out: Path) -> Iterator[None]:
    """Make the folder of a map; where no map can be made, leave nothing that was not there."""
    new = not out.exists()
    check_folder(out)
    try:
        yield
    except ZeroSceneError as error:
        if isinstance(error, PictureError):  # vectors of a raster that is broken will never be whole
            _clear(out)
        if new:
            with suppress(OSError):  # it holds what the same command will go on with
                out.rmdir()
        raise


def _clear(out: Path) -> None:
    for passed in list(out.glob(f"{WORK}*")):
        remove_folder(passed)
