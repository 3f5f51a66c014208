"""How an archive cuts rasters: equal windows are equal however they are written; what speaks against them is told."""

import pytest
from archive_world import CUTTING, added, begun, labels, write
from mapping_world import MeanColour, question

from zeroscene.errors import OptionError
from zeroscene.maps.archive.folder import Archive, Cutting
from zeroscene.maps.archive.maps import maps
from zeroscene.maps.archive.query import ask


@pytest.mark.parametrize("window", ["16", "16px", "16.0 pixels", " 16  px "])
def test_equal_windows_are_the_same_however_they_are_written(tmp_path, window):
    archive = begun(tmp_path / "archive")
    assert Archive.begin(archive.path, MeanColour.identity, 4, Cutting(window)).cutting == CUTTING
    assert str(Cutting("1.1km")) == "windows of 1100 m that overlap by 0.5"


@pytest.mark.parametrize(("window", "overlap"), [("110meters", 0.5), ("0 m", 0.5), ("16 px", 1.0), ("16 px", -0.1)])
def test_windows_that_are_no_length_or_overlap_too_far_are_no_cutting(window, overlap):
    with pytest.raises(OptionError, match=r"is no length|is out of range"):
        Cutting(window, overlap)


def test_maps_tell_what_speaks_against_their_windows_and_who_answers(tmp_path):
    write(tmp_path / "small.tif", labels(1, 1, 5))
    archive, told = added(tmp_path / "archive", tmp_path / "small.tif")
    (_, made), *_ = maps(ask(archive, question()), notes=("words alone",))
    assert told[0].notes[0].startswith("windows of 16 x 16 pixels are larger than the raster")
    assert made.provenance["notes"][:2] == ["words alone", told[0].notes[0]]
