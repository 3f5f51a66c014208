"""When rasters were taken, and spans of time: every way to say it, and one line for what says nothing."""

from datetime import UTC, datetime

import pytest
import rasterio

from geo_world import noise, write_raster
from zeroscene.errors import OptionError
from zeroscene.maps.archive.time import Period, TimeRule, iso


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "first", "end"),
    [
        ("2023", at(2023, 1, 1), at(2024, 1, 1)),
        ("2023-12", at(2023, 12, 1), at(2024, 1, 1)),
        ("2024-02-29", at(2024, 2, 29), at(2024, 3, 1)),
        ("2023-05-01T10:30", at(2023, 5, 1, 10, 30), at(2023, 5, 1, 10, 31)),
        ("2023-05-01T10:30:15+02:00", at(2023, 5, 1, 8, 30, 15), at(2023, 5, 1, 8, 30, 16)),
        ("2023/2024-06", at(2023, 1, 1), at(2024, 7, 1)),
        ("2023/", at(2023, 1, 1), None),
        ("/2023", None, at(2024, 1, 1)),
    ],
)
def test_a_time_is_the_whole_span_that_it_names(text, first, end):
    assert Period.of(text) == Period(first, end)


def test_a_span_holds_its_first_moment_and_not_its_end():
    year = Period.of("2023")
    assert at(2023, 1, 1) in year
    assert at(2023, 12, 31, 23, 59, 59) in year
    assert at(2024, 1, 1) not in year
    assert None not in year, "what has no time lies in no span"
    assert None in Period()


@pytest.mark.parametrize("text", ["", "/", "May 2023", "2023-13", "2023-02-30", "23", "2024/2023", "2023-05-01T25:00"])
def test_what_is_no_time_is_refused_with_the_forms_that_are(text):
    with pytest.raises(OptionError) as error:
        Period.of(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rule", "name", "time"),
    [
        ("2023-05", "a.tif", "2023-05-01"),
        ("%Y%m%d", "S2_20230517_tile.tif", "2023-05-17"),
        ("%Y%m%d", "tile_99999999_20230517.tif", "2023-05-17"),
        ("_%Y-%m", "12_2023-04.tif", "2023-04-01"),
        ("%Y%j", "doy2023032.tif", "2023-02-01"),
        ("%Y%m%dT%H%M%S", "x20230517T103015.tif", "2023-05-17T10:30:15Z"),
        ("A%Y%j.%H%M", "MOD02.A2020161.1035.061.2020340123456.hdf", "2020-06-09T10:35:00Z"),
        ("%Y%j", "x_2020366.tif", "2020-12-31"),
        ("%Y", "tile_1234_2020.tif", "2020-01-01"),
        ("%Y%m%d", "S2_20200105T013442_N0204_20200105T013443.tif", "2020-01-05"),
        ("%Y%m%d_20", "LC08_L1TP_195025_20200601_20200824_02_T1.tif", "2020-06-01"),
        ("S2%Y", "S22020.tif", "2020-01-01"),
    ],
)
def test_a_rule_finds_the_time_in_the_name(tmp_path, rule, name, time):
    assert iso(TimeRule.of(rule).time(tmp_path / name)) == time


def test_a_name_without_the_pattern_has_no_time(tmp_path):
    with pytest.raises(OptionError, match="no time like the pattern"):
        TimeRule.of("%Y%m%d").time(tmp_path / "mosaic.tif")


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("%Y%j", "S_20200601.tif"),
        ("%Y%j", "x_2019366.tif"),
        ("%Y%j", "x_2020000.tif"),
        ("%Y%j", "9999999.tif"),
        ("%Y", "tile_12345_1234.tif"),
        ("%Y%m%d", "x_20200601103000.tif"),
    ],
)
def test_a_part_of_a_longer_number_and_a_day_or_year_that_cannot_be_are_no_time(tmp_path, rule, name):
    with pytest.raises(OptionError, match="no time like the pattern"):
        TimeRule.of(rule).time(tmp_path / name)


def test_a_name_with_several_times_is_refused_until_the_pattern_says_which(tmp_path):
    with pytest.raises(OptionError, match=r"several times in its name \(2020-06-01, 2020-08-24\); write what stands"):
        TimeRule.of("%Y%m%d").time(tmp_path / "LC08_L1TP_195025_20200601_20200824_02_T1.tif")


def test_the_end_of_the_calendar_is_refused():
    with pytest.raises(OptionError, match="is not in the calendar"):
        Period.of("9999-12-31")


@pytest.mark.parametrize("rule", ["%Q", "%m%d", "%Y%d", "%Y%Y", "yesterday"])
def test_a_rule_that_cannot_work_is_refused(rule):
    with pytest.raises(OptionError):
        TimeRule.of(rule)


def test_the_acquisition_in_the_file_is_taken_and_the_date_of_the_file_only_where_it_is_asked_for(tmp_path):
    path = write_raster(tmp_path / "r.tif", noise())
    assert TimeRule.of(None).time(path) is None
    with pytest.raises(OptionError, match="no tag that says"):
        TimeRule.of("tag").time(path)
    with rasterio.open(path, "r+") as file:
        file.update_tags(TIFFTAG_DATETIME="2021:03:04 05:06:07")
    assert TimeRule.of(None).time(path) is None
    assert iso(TimeRule.of("tag").time(path)) == "2021-03-04T05:06:07Z"
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2020-03-04T05:06:07Z")
    assert iso(TimeRule.of(None).time(path)) == iso(TimeRule.of("tag").time(path)) == "2020-03-04T05:06:07Z"
