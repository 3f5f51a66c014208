"""`zeroscene synthetic`: what the commands write is what the library draws."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import shell
from PIL import Image
from typer.testing import CliRunner

from zeroscene.cli.main import app
from zeroscene.scenes.synthetic.mosaic import Mosaic
from zeroscene.scenes.synthetic.world import CLASSES, draw
from zeroscene.semantics.table import ClassTable

runner = CliRunner()
run = partial(shell.run, "synthetic")
error = partial(shell.error, "synthetic")


class TestPictures:
    def test_they_are_those_of_the_library(self, tmp_path: Path) -> None:
        told = run(
            "pictures", "-c", "Lake, sea ice", "--seed", 3, "--first", 2, "--count", 2, "--size", 20, "-o", tmp_path
        )
        assert "4 pictures of 2 classes, 20 px" in told
        assert len(list(tmp_path.rglob("*.png"))) == 4
        with Image.open(tmp_path / "sea_ice" / "sea_ice_00003.png") as picture:
            assert np.array_equal(np.asarray(picture), draw("sea ice", 3, 3, 20).pixels)

    def test_all_classes_where_none_are_named(self, tmp_path: Path) -> None:
        told = json.loads(run("pictures", "--count", 1, "--size", 16, "-o", tmp_path, "--json"))
        assert tuple(told["classes"]) == CLASSES
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(CLASSES)

    def test_names_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "names.txt").write_text("harbor\nlake\n")
        run("pictures", "-c", f"@{tmp_path / 'names.txt'}", "--count", 1, "--size", 16, "-o", tmp_path / "p")
        assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["harbor", "lake"]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("-c", "lake, harbr"), "error: unknown classes of the synthetic world: 'harbr' (nearest: harbor)"),
            (("--size", 15), "error: size 15 is too small to draw a scene; give 16 pixels or more"),
            (("-c", "lake, Lake"), "'lake' and 'Lake' are the same name"),
        ],
    )
    def test_bad_input_is_one_line(self, tmp_path: Path, words: tuple, message: str) -> None:
        assert message in error("pictures", *words, "-o", tmp_path / "p")
        assert not (tmp_path / "p").exists()

    @pytest.mark.parametrize("words", [("--seed", "1.5"), ("--seed", "one"), ("--count", "0"), ("--first", "-1")])
    def test_numbers_out_of_range_are_refused_with_the_option(self, tmp_path: Path, words: tuple[str, str]) -> None:
        done = runner.invoke(app, ["synthetic", "pictures", *words, "-o", str(tmp_path / "p")])
        assert done.exit_code == 2
        assert words[0] in done.stderr
        assert not (tmp_path / "p").exists()


class TestMosaic:
    def test_it_says_what_it_wrote(self, tmp_path: Path) -> None:
        file = tmp_path / "m.tif"
        told = run("mosaic", "-c", "lake, river", "--rows", 2, "--columns", 3, "--cell", 32, "--border", 5, "-o", file)
        assert "6 cells of" in told
        assert f"mosaic: {file}, 106 x 74 px, 3.4375 m a pixel, EPSG:32632" in told
        assert Mosaic.read(file).classes == ("lake", "river")

    def test_as_json(self, tmp_path: Path) -> None:
        words = ("mosaic", "--rows", 1, "--columns", 1, "--cell", 16, "-o", tmp_path / "m.tif", "--json")
        told = json.loads(run(*words))
        assert (told["width"], told["height"], told["crs"]) == (144, 144, "EPSG:32632")
        assert Path(told["truth"]).is_file()

    def test_a_class_without_scenes_of_the_size(self, tmp_path: Path) -> None:
        said = error("mosaic", "-c", "stadium", "-o", tmp_path / "m.tif")
        assert "scenes of class 'stadium' are 135 to 165 m wide, the cells 110 m" in said


class TestClasses:
    def test_they_are_listed_with_what_is_in_them(self) -> None:
        told = run("classes", "-c", "swimming pool, lake", "--count", 6)
        assert "swimming_pool  38-62" in told
        assert "pools" in told

    def test_the_true_table(self, tmp_path: Path) -> None:
        words = ("classes", "-c", "lake, sea", "--count", 4, "--seed", 9, "-o", tmp_path / "t.csv", "--json")
        told = json.loads(run(*words))
        table = ClassTable.read(tmp_path / "t.csv")
        assert (table.classes, table.kind, table.provenance["seed"], table.provenance["count"]) == (
            ("lake", "sea"), "attributes", 9, 4,
        )  # fmt: skip
        assert told["classes"]["sea"]["metres"] == [80, 200]
        assert set(told["classes"]["sea"]["attributes"]) == {
            column for column, share in zip(table.columns, table.row("sea"), strict=True) if share >= 0.5
        }
