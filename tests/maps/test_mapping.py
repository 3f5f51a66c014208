"""A raster becomes a map: what a cell says, what is left out and why, and that nothing depends on how it was read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mapping_world import COLOURS, MeanColour, painted, question, table

from geo_world import write_raster
from zeroscene.encoders.base import Encoded, EncoderIdentity
from zeroscene.errors import EncoderMismatchError, OptionError
from zeroscene.maps import windows
from zeroscene.maps.cells import NODATA, REJECTED
from zeroscene.maps.encode import encode_windows
from zeroscene.maps.layout import Layout
from zeroscene.maps.mapping import MapOptions, map_raster, map_windows
from zeroscene.maps.question import Question
from zeroscene.maps.scene_map import SceneMap
from zeroscene.methods.dsva.method import DSVA
from zeroscene.methods.prompts import cosine_scores
from zeroscene.methods.transduction.spatial import Grid, refine_grid
from zeroscene.scenes.geo import GeoRaster

CLASSES = tuple(COLOURS)
LABELS = np.array([[0, 0, 1, 1, 1], [0, 0, 1, 1, 2], [3, 3, 3, 2, 2], [3, 3, 3, 2, 2]])
CELL = 8


@pytest.fixture
def raster(tmp_path: Path) -> GeoRaster:
    return GeoRaster.open(write_raster(tmp_path / "r.tif", painted(LABELS, CELL, noise=30)))


def mapped(
    raster: GeoRaster,
    work: Path,
    overlap: float = 0.0,
    asked: Question | None = None,
    side: int = CELL,
    **options: object,
) -> SceneMap:
    layout = Layout.of(raster, side, overlap)
    return map_raster(raster, layout, MeanColour(), asked or question(), MapOptions(**options), work=work)


def test_without_overlap_a_cell_is_the_answer_about_its_pixels(raster, tmp_path):
    made = mapped(raster, tmp_path / "work")
    assert made.klass.tolist() == LABELS.tolist()
    pixels, _ = raster.read((0, 0, raster.height, raster.width))
    for row, column in np.ndindex(LABELS.shape):
        cell = pixels[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
        x = MeanColour().encode(MeanColour().prepare(cell)[None]).pooled_BD.numpy()
        logits = 20.0 * cosine_scores(x, table().matrix)[0]
        p = np.sort(np.exp(logits) / np.exp(logits).sum())
        assert made.confidence[row, column] == pytest.approx(p[-1], rel=1e-5)
        assert made.margin[row, column] == pytest.approx(p[-1] - p[-2], rel=1e-4)


def test_with_overlap_a_cell_is_the_mean_of_the_windows_that_cover_it(raster, tmp_path):
    layout = Layout.of(raster, CELL, 0.5)
    vectors = encode_windows(raster, layout, MeanColour(), tmp_path / "work")
    made = map_windows(raster, vectors, question())
    whole = vectors.read()
    logits = 20.0 * cosine_scores(whole.x, table().matrix).astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    p = p.reshape(*layout.windows, len(CLASSES))
    assert made.shape == layout.shape == (8, 10)
    for cell in np.ndindex(made.shape):
        mean = p[np.ix_(*layout.covering(*cell))].mean(axis=(0, 1))
        assert made.klass[cell] == mean.argmax()
        assert made.confidence[cell] == pytest.approx(mean.max(), rel=1e-5)


def test_the_map_lies_where_the_raster_lies(raster, tmp_path):
    made = mapped(raster, tmp_path / "work", overlap=0.5)
    assert made.crs == raster.crs
    assert tuple(made.transform)[:6] == (4.0, 0.0, 500_000.0, 0.0, -4.0, 5_400_000.0)
    assert made.bounds == (500_000.0, 5_400_000.0 - 32, 500_000.0 + 40, 5_400_000.0)


def test_cells_without_enough_data_have_no_class(tmp_path):
    values = painted(LABELS, CELL)
    values[:, :CELL, :3] = 0  # of the first cell 5/8 are left
    values[:, :CELL, CELL : 2 * CELL] = 0
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", values, nodata=0))
    made = mapped(raster, tmp_path / "work")
    assert (made.klass[0, 0], made.klass[0, 1]) == (0, NODATA)
    assert made.share[0, :3].tolist() == [0.625, 0, 1]
    strict = mapped(raster, tmp_path / "work", share=0.7)
    assert strict.klass[0, :3].tolist() == [NODATA, NODATA, 1]
    assert np.isnan(strict.confidence[0, 0])
    assert strict.provenance["cells"] == {
        "of_a_class": 18, "none_of_these": 0, "too_little_data": 2, "not_encoded": 0
    }  # fmt: skip


def test_a_window_counts_as_much_as_it_saw(tmp_path):
    values = painted(np.array([[0, 1, 1]]), CELL)
    values[:, :, :6] = 0  # the first window of two cells sees 10 of its 16 columns
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", values, nodata=0))
    layout = Layout.of(raster, 2 * CELL, 0.5)
    vectors = encode_windows(raster, layout, MeanColour(), tmp_path / "work")
    p = question().distributions(vectors.read().x, 20.0)
    share = vectors.read().share.astype(float)
    assert share.tolist() == pytest.approx([0.5 * 10 / 16, 0.5])  # the lower half lies beyond the raster
    made = map_windows(raster, vectors, question())
    middle = (share[:, None] * p).sum(axis=0) / share.sum()
    assert made.confidence[0, 1] == pytest.approx(middle.max(), rel=1e-5)


def test_unsure_cells_are_none_of_these(raster, tmp_path):
    sure = mapped(raster, tmp_path / "work")
    bound = float(np.median(sure.confidence))
    made = mapped(raster, tmp_path / "work", least=bound)
    assert (made.klass == np.where(sure.confidence < np.float32(bound), REJECTED, sure.klass)).all()
    assert made.rejected.any()
    np.testing.assert_array_equal(made.confidence, sure.confidence)


def test_one_class_alone_is_set_against_what_nobody_asks_about(raster, tmp_path):
    among = mapped(raster, tmp_path / "work")
    alone = mapped(raster, tmp_path / "work", asked=question(["sand"], ["red earth", "green field", "blue lake"]))
    assert alone.classes == ("sand",)
    assert ((alone.klass == 0) == (LABELS == 3)).all()
    assert ((alone.klass == REJECTED) == (LABELS != 3)).all()
    np.testing.assert_allclose(alone.confidence[LABELS == 3], among.confidence[LABELS == 3], rtol=1e-5)
    assert (alone.confidence[LABELS != 3] < 0.5).all()


def test_refined_cells_are_those_of_the_grid(raster, tmp_path):
    layout = Layout.of(raster, CELL, 0)
    vectors = encode_windows(raster, layout, MeanColour(), tmp_path / "work")
    made = map_windows(raster, vectors, question(scale=5.0), MapOptions(refine="spatial"))
    x = vectors.read().x
    p = question(scale=5.0).distributions(x, 5.0)
    refined = refine_grid(x, np.log(p).astype(np.float32), Grid.of(np.ones(LABELS.shape, bool)))
    assert made.klass.ravel().tolist() == refined.values.argmax(axis=1).tolist()
    np.testing.assert_allclose(made.confidence.ravel(), np.exp(refined.values.max(axis=1)), rtol=1e-4)
    assert any("refined" in note for note in made.provenance["notes"])


def test_cells_without_data_stay_out_of_the_refinement(tmp_path):
    labels = LABELS.copy()
    labels[0, 3:] = labels[3, 0] = -1
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", painted(labels, CELL, noise=20), nodata=0))
    made = mapped(raster, tmp_path / "work", overlap=0.5, refine="spatial")
    assert (made.nodata == np.repeat(np.repeat(labels < 0, 2, 0), 2, 1)).all()


def test_an_empty_raster_is_a_map_without_data(tmp_path):
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", np.zeros((3, 20, 20), np.uint8), nodata=0))
    for refine in ("none", "spatial"):
        made = mapped(raster, tmp_path / "work", refine=refine)
        assert made.nodata.all()
        assert made.provenance["cells"]["too_little_data"] == made.klass.size


def test_a_model_that_knows_no_probabilities_maps_the_same_classes(raster, tmp_path):
    asked = question(scale=None)
    made = mapped(raster, tmp_path / "work", asked=asked)
    assert made.klass.tolist() == LABELS.tolist()
    assert "relative" in made.provenance["probabilities"]


def test_what_is_subtracted_from_a_class_is_subtracted_before_votes(raster, tmp_path):
    asked = replace(question(), minus=np.array([5, 0, 0, 0], np.float32))
    assert not (mapped(raster, tmp_path / "work", overlap=0.5, asked=asked).klass == 0).any()


def test_vectors_of_no_finite_number_leave_cells_that_say_so(tmp_path):
    class Blind(MeanColour):
        def encode(self, pictures_BCHW: torch.Tensor, grid: bool = False) -> Encoded:
            found = super().encode(pictures_BCHW).pooled_BD
            return Encoded(torch.where(found[:, 2:3] > 0.5, torch.nan, found))

    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", painted(LABELS, CELL)))
    made = map_raster(raster, Layout.of(raster, CELL, 0), Blind(), question(), work=tmp_path / "work")
    assert (made.nodata == (LABELS == 2)).all()
    assert made.provenance["cells"]["not_encoded"] == 5
    assert any("no finite vector" in note for note in made.provenance["notes"])


@pytest.mark.parametrize("refine", ["none", "spatial"])
def test_a_raster_read_in_swaths_gives_the_same_map(tmp_path, monkeypatch, refine):
    labels = np.random.default_rng(1).integers(0, 4, (12, 40))
    path = write_raster(tmp_path / "r.tif", painted(labels, CELL, noise=20), tiled=True, blockxsize=16, blockysize=16)
    raster = GeoRaster.open(path)
    made = mapped(raster, tmp_path / "whole", overlap=0.5, refine=refine)
    monkeypatch.setattr(windows, "_BAND", 4 * 300 * 64)
    assert len(windows.rectangles(raster, Layout.of(raster, CELL, 0.5), 10**6)) > 1
    swaths = mapped(raster, tmp_path / "swaths", overlap=0.5, refine=refine)
    np.testing.assert_array_equal(swaths.klass, made.klass)
    np.testing.assert_allclose(swaths.confidence, made.confidence, rtol=1e-4)


def test_another_question_about_the_same_windows_encodes_nothing(raster, tmp_path):
    class Closed(MeanColour):
        def encode(self, pictures_BCHW: torch.Tensor, grid: bool = False) -> Encoded:
            raise AssertionError("encoded again")

    layout = Layout.of(raster, CELL, 0.5)
    map_raster(raster, layout, MeanColour(), question(), work=tmp_path / "work")
    made = map_raster(raster, layout, Closed(), question(CLASSES[1:]), work=tmp_path / "work")
    assert made.classes == CLASSES[1:]


def test_another_encoder_than_that_of_the_method_is_refused(raster, tmp_path):
    class Other(MeanColour):
        identity = EncoderIdentity("another", "weights 2", "8", "projection")

    with pytest.raises(EncoderMismatchError, match=r"needs encoder 'mean colour'.*'another'"):
        map_raster(raster, Layout.of(raster, CELL), Other(), question(), work=tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_question_that_cannot_be_answered_is_refused():
    with pytest.raises(OptionError, match="name the others"):
        question(["sand"]).require_probability()
    with pytest.raises(OptionError, match="grids of tokens"):
        Question(DSVA(), table(), np.zeros(4, np.float32))


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.sampled_from([0.0, 0.5, 0.7]),
    st.sampled_from(["uint8", "uint16", "int16", "float32"]), st.integers(1, 6), st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from(["none", "spatial"]), st.integers(0, 100),
)  # fmt: skip
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_raster_breaks_the_map_and_every_cell_is_explained(
    tmp_path_factory, height, width, side, overlap, dtype, bands, empty, refine, seed
):
    folder = tmp_path_factory.mktemp("any")
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 200, (bands, height, width)).astype(dtype)
    hole = rng.random((height, width)) < empty
    values[:, hole] = np.nan if dtype == "float32" else 0
    nodata = None if dtype == "float32" else 0
    raster = GeoRaster.open(write_raster(folder / "r.tif", values, nodata=nodata))
    made = mapped(raster, folder / "work", overlap, side=side, refine=refine, least=0.3)
    told = made.provenance["cells"]
    assert sum(told.values()) == made.klass.size
    assert told["of_a_class"] == (made.klass >= 0).sum()
    assert told["none_of_these"] == made.rejected.sum()
    assert told["too_little_data"] == (made.share < 0.5).sum()
    assert ((made.share < 0.5) <= made.nodata).all()
