"""Encoding the windows of a raster: what is kept, what is refused, and that a killed run ends with the same bytes."""

import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rasterio import Affine
from windows_job import OneConvolution, encode

from geo_world import noise, write_raster
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.encoders.base import Encoded, EncoderIdentity
from zeroscene.errors import EncoderMismatchError, OptionError, PictureError, StoreError
from zeroscene.maps.encode import encode_windows
from zeroscene.maps.layout import Layout
from zeroscene.maps.outlines import footprints
from zeroscene.scenes.geo import GeoRaster

ENCODER = OneConvolution()


@pytest.fixture
def raster(tmp_path) -> GeoRaster:
    """A raster of 250 x 250 pixels with a hole; windows of 16 that overlap by a half make two parts of it."""
    values = noise(3, 250, 250)
    values[:, 50:97, 60:130] = 0
    return GeoRaster.open(write_raster(tmp_path / "r.tif", values, nodata=0, tiled=True, blockxsize=64, blockysize=64))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_each_window_with_data_has_the_vector_of_its_pixels(raster, tmp_path):
    layout = Layout.of(raster, 16)
    found = encode_windows(raster, layout, ENCODER, tmp_path / "work", batch=8)
    whole = found.read()
    assert len(found) == len(whole) == len(found.store.read()) > 850
    assert found.store.part_count == 2
    seen, reader = set(), raster.reader()
    for row, column, share, x in zip(whole.rows, whole.columns, whole.share, whole.x, strict=True):
        pixels, valid = reader.read(layout.at(row, column))
        assert share == pytest.approx(valid.mean())
        np.testing.assert_allclose(x, ENCODER.encode(ENCODER.prepare(pixels)[None]).pooled_BD[0], atol=1e-6)
        seen.add((row, column))
    for row, column in np.ndindex(*layout.windows):
        if (row, column) not in seen:
            assert not reader.read(layout.at(row, column))[1].any()
            assert found.window_share[row, column] == 0
    reader.close()
    assert {s.reason for s in found.store.skipped} == {"no pixel of it has data"}
    assert len(found.store.skipped) == layout.count - len(found)


def test_parts_are_the_whole(raster, tmp_path):
    found = encode_windows(raster, Layout.of(raster, 16), ENCODER, tmp_path / "work")
    parts = list(found.parts())
    whole = found.read()
    for name in ("rows", "columns", "share", "x"):
        np.testing.assert_array_equal(np.concatenate([getattr(p, name) for p in parts]), getattr(whole, name))


def test_each_cell_has_its_share(raster, tmp_path):
    layout = Layout.of(raster, 24, 2 / 3)
    found = encode_windows(raster, layout, ENCODER, tmp_path / "work")
    _, valid = raster.read((0, 0, raster.height, raster.width))
    for row, column in np.ndindex(*layout.shape):
        cell = valid[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
        assert found.cell_pixels[row, column] == cell.sum()
        assert found.cell_share[row, column] == pytest.approx(cell.mean())


@pytest.mark.parametrize("shape", [(5, 7), (1, 300), (300, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("empty", [False, True])
def test_no_raster_is_too_small_or_too_empty(tmp_path, shape, dtype, empty):
    values = np.zeros((1, *shape), dtype) if empty else noise(1, *shape, dtype)
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", values, nodata=0))
    layout = Layout.of(raster, 16)
    found = encode_windows(raster, layout, ENCODER, tmp_path / "work")
    assert len(found.read()) == (0 if empty else layout.count)
    assert found.cell_share.shape == layout.shape
    assert (found.cell_share == (0 if empty else 1)).all()


def test_windows_have_outlines_on_the_ground(raster, tmp_path):
    layout = Layout.of(raster, 100, 0)
    work = encode_windows(raster, layout, ENCODER, tmp_path / "work")
    first, *_, last = footprints(raster, layout, *np.divmod(np.arange(9), 3))
    assert first.west == pytest.approx(9, abs=1e-6)  # the central meridian of the zone
    assert (first.east - first.west) == pytest.approx(100 / 72_800, rel=0.02)  # metres a degree at 48.7 north
    assert (last.east - last.west) == pytest.approx(50 / 72_800, rel=0.02)  # cut at the edge of the raster
    assert first.north > first.south > last.north > last.south
    assert work.store.part_path(0).is_file()


def test_outlines_cross_the_antimeridian_and_are_absent_where_nothing_is_known(tmp_path):
    east = Affine(0.001, 0, 179.95, 0, -0.001, 10)
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", noise(1, 50, 100), crs="EPSG:4326", transform=east))
    (found,) = footprints(raster, Layout(50, 100, (50, 100)), np.array([0]), np.array([0]))
    assert found.crosses
    assert (found.west, found.east) == pytest.approx((179.95, -179.95))
    nowhere = replace(raster, crs=None, gsd=None)
    assert footprints(nowhere, Layout(50, 100, (50, 50)), np.array([0, 0]), np.array([0, 1])) == [None, None]


def test_neither_threads_nor_the_name_of_the_file_change_a_vector(raster, tmp_path):
    layout = Layout.of(raster, 16)
    encode_windows(raster, layout, ENCODER, tmp_path / "one", workers=1)
    encode_windows(raster, layout, ENCODER, tmp_path / "four", workers=4)
    assert contents(tmp_path / "one") == contents(tmp_path / "four")
    moved = Path(shutil.move(raster.path, tmp_path / "moved.tif"))
    encode_windows(GeoRaster.open(moved), layout, ENCODER, tmp_path / "one")  # the same raster: nothing to do
    assert contents(tmp_path / "one") == contents(tmp_path / "four")


@pytest.mark.parametrize("calls", [0, 3, 70, 100])
def test_an_interrupted_run_goes_on_after_its_last_whole_part(raster, tmp_path, calls):
    layout = Layout.of(raster, 16)
    encode_windows(raster, layout, ENCODER, tmp_path / "whole", batch=8)

    class Interrupted(OneConvolution):
        left = calls

        def encode(self, pictures_BCHW: torch.Tensor, grid: bool = False) -> Encoded:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return super().encode(pictures_BCHW, grid)

    with pytest.raises(KeyboardInterrupt):
        encode_windows(raster, layout, Interrupted(), tmp_path / "broken", batch=8)
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "broken").rglob("part-*")}
    assert len(written) == (2 if calls >= 70 else 0)  # vectors and cells of the first part
    encode_windows(raster, layout, ENCODER, tmp_path / "broken", batch=8)
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")
    assert all(p.stat().st_mtime_ns == when for p, when in written.items())


def test_killed_at_any_moment_the_same_command_ends_with_the_same_bytes(tmp_path):
    path = write_raster(tmp_path / "r.tif", noise(3, 500, 500), compress="deflate")
    encode(path, tmp_path / "whole")
    job = [sys.executable, str(Path(__file__).with_name("windows_job.py")), str(path), str(tmp_path / "killed")]
    kills = 0
    for moment in (0.0, 0.1, 0.25):
        with subprocess.Popen(job, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(moment + random.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
    assert kills > 0
    encode(path, tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_vector_that_is_not_finite_is_a_skipped_window(raster, tmp_path):
    class Overflowing(OneConvolution):
        def encode(self, pictures_BCHW: torch.Tensor, grid: bool = False) -> Encoded:
            pooled_BD = super().encode(pictures_BCHW, grid).pooled_BD
            pooled_BD[1] = torch.inf
            return Encoded(pooled_BD)

    found = encode_windows(raster, Layout.of(raster, 50, 0), Overflowing(), tmp_path / "work", batch=5)
    assert len(found.read()) == 25 - 5
    assert {s.reason for s in found.store.skipped} == {"the encoder gives values for it that are not finite"}


# --- refusals


def refused(error: type[Exception], words: str, raster: GeoRaster, layout: Layout, encoder, work: Path) -> None:
    before = contents(work)
    with pytest.raises(error, match=words) as caught:
        encode_windows(raster, layout, encoder, work)
    assert "\n" not in str(caught.value)
    assert contents(work) == before


def test_a_folder_belongs_to_one_raster_layout_and_encoder(raster, tmp_path):
    layout, work = Layout.of(raster, 50), tmp_path / "work"
    encode_windows(raster, layout, ENCODER, work)
    other = GeoRaster.open(raster.path, bands=(3, 2, 1))
    refused(StoreError, r"from another raster \(r\.tif: other content, bands or stretch", other, layout, ENCODER, work)
    refused(StoreError, "windows of 50 x 50 .* now it is windows of 25 x 25",
            raster, Layout(250, 250, (25, 25)), ENCODER, work)  # fmt: skip

    class Other(OneConvolution):
        identity = EncoderIdentity("other", "seed 1", "16", "mean")

    refused(EncoderMismatchError, "'one convolution'", raster, layout, Other(), work)
    refused(OptionError, "layout is of 9 x 9 pixels", raster, Layout(9, 9, (3, 3)), ENCODER, work)


def test_a_folder_with_other_things_is_left_alone(raster, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("important")
    refused(StoreError, r"holds other things \(thesis", raster, Layout.of(raster, 50), ENCODER, tmp_path / "work")


def test_a_damaged_part_is_named(raster, tmp_path):
    found = encode_windows(raster, Layout.of(raster, 50), ENCODER, tmp_path / "work")
    path = tmp_path / "work" / "cells" / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StoreError, match=r"part-00000\.parquet is damaged"):
        encode_windows(raster, found.layout, ENCODER, tmp_path / "work")
    path.unlink()
    assert len(encode_windows(raster, found.layout, ENCODER, tmp_path / "work")) == len(found)


def test_a_raster_that_breaks_leaves_whole_parts_only(tmp_path):
    path = write_raster(tmp_path / "r.tif", noise(3, 600, 300), compress="deflate", blockysize=8)
    raster, content = GeoRaster.open(path), path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4] + bytes(len(content) - len(content) * 3 // 4))
    layout = Layout.of(raster, 16)
    with pytest.raises(PictureError, match="cannot be decoded"):
        encode_windows(raster, layout, ENCODER, tmp_path / "work")
    path.write_bytes(content)
    encode_windows(raster, layout, ENCODER, tmp_path / "work")
    encode_windows(raster, layout, ENCODER, tmp_path / "whole")
    assert contents(tmp_path / "work") == contents(tmp_path / "whole")
    assert EmbeddingStore.open(tmp_path / "work" / "vectors").complete
