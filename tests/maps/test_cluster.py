"""Maps and archives on a Ray cluster: the files of one process, whatever becomes of the workers."""

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from cluster_world import ADDING, Asked, Differing, Killing
from mapping_world import MeanColour, painted

from geo_world import noise, write_raster
from zeroscene.errors import (
    DuplicateNameError,
    EncoderMismatchError,
    PictureError,
    StoreError,
)
from zeroscene.maps.archive.add import add_rasters
from zeroscene.maps.archive.cluster import add_rasters_on
from zeroscene.maps.archive.folder import Archive, Cutting
from zeroscene.maps.cluster import Cluster, Job, cluster
from zeroscene.maps.encode import encode_windows
from zeroscene.maps.layout import Layout
from zeroscene.maps.mapping import MapOptions
from zeroscene.scenes.geo import GeoRaster
from zeroscene.serving.map_list import Making, write_maps
from zeroscene.serving.maps import Windows

SIDES = ((40, 30), (64, 64), (9, 50))


@pytest.fixture(scope="module")
def workers():
    """Two workers of a Ray of this machine."""
    pytest.importorskip("ray", reason="needs the extra ray")
    with pytest.MonkeyPatch.context() as patch:
        here = Path(__file__).parent
        patch.setenv("PYTHONPATH", f"{here}{os.pathsep}{here.parent}")
        with cluster("local", workers=2) as found:
            yield found


@pytest.fixture(scope="module")
def rasters(tmp_path_factory) -> list[Path]:
    """Rasters of cells in colours: one part, two parts, and two rows of windows."""
    folder = tmp_path_factory.mktemp("rasters")
    random = np.random.default_rng(0)
    return [
        write_raster(folder / f"r{k}.tif", painted(random.integers(-1, 4, sides), 8, noise=9), nodata=0, tiled=True,
                     blockxsize=64, blockysize=64)
        for k, sides in enumerate(SIDES)
    ]  # fmt: skip


def files(folder: Path) -> dict[str, bytes]:
    every = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in every}


def making(eye=MeanColour) -> Making:
    return Making(Asked(eye), Windows(16), MapOptions(refine="spatial"))


def broken(path: Path) -> Path:
    """Write a raster that can be opened, with one of 256 blocks that cannot be decoded and is not in the sample."""
    write_raster(path, noise(3, 2048, 64), tiled=False, blockysize=8, compress="deflate")
    content = path.read_bytes()
    for share in range(5, 12):
        place = len(content) * share // 16
        path.write_bytes(content[:place] + bytes(4000) + content[place + 4000 :])
        with suppress(PictureError):
            GeoRaster.open(path)
            return path
    raise AssertionError("every block is in the sample")


def finish(work: Callable[[], object]) -> None:
    """Do what is refused while workers of a run that has just ended still write."""
    for _ in range(100):
        try:
            work()
            return
        except StoreError as error:
            if "another run is writing" not in str(error):
                raise
            time.sleep(0.2)
    raise AssertionError("workers go on after the end of their run")


def test_maps_are_those_of_one_process_though_a_worker_is_killed(workers, rasters, tmp_path):
    here = write_maps(rasters, making(), tmp_path / "here")
    killed = tmp_path / "killed"
    there = write_maps(rasters, making(Killing(os.getpid(), killed)), tmp_path / "there", ray=workers)
    assert killed.exists()
    assert files(tmp_path / "here") == files(tmp_path / "there")
    assert [one.cells for one in there] == [one.cells for one in here]
    assert [one.folder.name for one in there] == ["r0", "r1", "r2"]
    assert sum(sum(one.cells.values()) for one in there) <= sum(map(np.prod, SIDES))


def test_an_archive_is_that_of_one_process(workers, rasters, tmp_path):
    nothing = tmp_path / "nothing.tif"
    nothing.write_bytes(rasters[0].read_bytes()[:2000])
    again = Path(shutil.copy(rasters[1], tmp_path / "again.tif"))
    given = [nothing, broken(tmp_path / "bad.tif"), *rasters, again]
    begun = [
        Archive.begin(tmp_path / name, MeanColour.identity, MeanColour.width, Cutting("16"))
        for name in ("here", "there")
    ]
    here = add_rasters(begun[0], given, MeanColour(), ADDING)
    heard = []
    there = add_rasters_on(workers, begun[1], given, MeanColour, ADDING, heard.append)
    for place in ("archive.json", "windows"):
        assert files(tmp_path / "here" / place) == files(tmp_path / "there" / place)
    assert [one.state for one in there] == ["skipped", "skipped", "added", "added", "added", "there"]
    assert there == here
    assert [one.path for one in heard] == [str(path) for path in given]
    later = add_rasters_on(workers, begun[1], rasters, MeanColour, ADDING)
    assert {one.state for one in later} == {"there"}


def test_a_task_that_kills_every_worker_ends_the_run_and_one_process_goes_on(workers, rasters, tmp_path):
    raster = GeoRaster.open(rasters[1])
    layout = Layout.of(raster, 16)
    job = Job(raster.path, None, layout, tmp_path / "work", 16)
    with pytest.raises(StoreError, match="has killed its worker 3 times"):
        workers.encode([job], Killing(os.getpid()), MeanColour())
    encode_windows(raster, layout, MeanColour(), tmp_path / "alone", batch=16)
    finish(lambda: encode_windows(raster, layout, MeanColour(), tmp_path / "work", batch=16))
    assert files(tmp_path / "work") == files(tmp_path / "alone")


def test_a_worker_with_another_encoder_is_refused(workers, rasters, tmp_path):
    raster = GeoRaster.open(rasters[0])
    job = Job(raster.path, None, Layout.of(raster, 16), tmp_path / "work")
    with pytest.raises(EncoderMismatchError, match="a worker has another encoder"):
        workers.encode([job], Differing(os.getpid()), MeanColour())


def test_a_broken_raster_is_told_when_the_others_are_mapped(rasters, tmp_path):
    bad = broken(tmp_path / "bad.tif")
    (text := tmp_path / "text.tif").write_text("no raster")
    made = write_maps([bad, rasters[0], text], making(), tmp_path / "out")
    assert [getattr(one, "reason", None) is None for one in made] == [False, True, False]
    assert "damaged" in made[0].reason
    assert "not a raster that can be read" in made[2].reason
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["r0"]
    with pytest.raises(PictureError, match=r"bad\.tif"):
        write_maps([bad, text], making(), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_vectors_are_not_kept_among_the_files_of_a_map(rasters, tmp_path):
    for store in (tmp_path / "out", tmp_path / "out" / "vectors"):
        with pytest.raises(StoreError, match="would lie among the files of the map"):
            write_maps(rasters[:1], making(), tmp_path / "out", store=store)
    assert not (tmp_path / "out").exists()


def test_one_raster_has_its_map_in_the_folder_itself(rasters, tmp_path):
    write_maps(rasters[:1], making(), tmp_path / "out", store=tmp_path / "kept")
    assert (tmp_path / "out" / "map.tif").is_file()
    assert (tmp_path / "kept" / "windows.json").is_file()


def test_rasters_of_one_name_have_folders_of_their_own(rasters, tmp_path):
    (tmp_path / "other").mkdir()
    other = shutil.copy(rasters[1], tmp_path / "other" / rasters[0].name)
    made = write_maps([rasters[0], Path(other)], making(), tmp_path / "out")
    assert len({one.folder for one in made}) == 2
    assert all(one.folder.name.startswith("r0-") for one in made)


def test_the_same_content_twice_is_refused(rasters, tmp_path):
    copy = Path(shutil.copy(rasters[0], tmp_path / "copy.tif"))
    with pytest.raises(DuplicateNameError, match=r"r0\.tif and .*copy\.tif have the same content"):
        write_maps([rasters[0], copy], making(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_to_do_needs_no_cluster(rasters, tmp_path):
    assert Cluster(2).each(MeanColour, []) == []
