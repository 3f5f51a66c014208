"""A Ray that is not installed, or does not answer, is one line."""

import sys

import pytest
from typer.testing import CliRunner

from geo_world import noise, write_raster
from zeroscene.cli.main import app
from zeroscene.errors import MissingExtraError, OptionError
from zeroscene.maps.cluster import cluster


def test_without_ray_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    raster = write_raster(tmp_path / "r.tif", noise())
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"zeroscene\[ray\]"), cluster("local"):
        pass
    done = CliRunner().invoke(
        app, ["map", str(raster), "-c", "lake, river", "-o", str(tmp_path / "o"), "--ray", "auto"]
    )
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "ray://127.0.0.1:1"])
def test_an_address_that_nobody_listens_at_is_one_line(address):
    pytest.importorskip("ray", reason="needs the extra ray")
    with pytest.raises(OptionError, match=f"no Ray cluster answers at {address} "), cluster(address):
        pass


def test_no_workers_are_refused():
    with pytest.raises(OptionError, match="workers must be at least 1"), cluster("local", workers=0):
        pass
