from dataclasses import replace
from pathlib import Path

import pytest

from small_world import lay_out
from zeroscene.errors import DataFormatError, DatasetNotFoundError, SplitError, UnknownNameError
from zeroscene.names import index, key, words
from zeroscene.scenes.catalog import Benchmark, benchmark, benchmarks, standard_splits

SIZES = {
    "rssdivcs": (70, 56_000, 256), "ucmerced": (21, 2_100, 256), "aid": (30, 10_000, 600),
    "nwpu-resisc45": (45, 31_500, 256), "patternnet": (38, 30_400, 256), "whu-rs19": (19, 1_005, 600),
    "rsscn7": (7, 2_800, 400), "eurosat": (10, 27_000, 64), "rsi-cb256": (35, 24_747, 256),
}  # fmt: skip


def tiny(counts: dict[str, int]) -> Benchmark:
    """Return UC Merced cut down to a few pictures."""
    return replace(benchmark("ucmerced"), classes=tuple(counts), counts=counts, total=sum(counts.values()))


def draw(root: Path, counts: dict[str, int]) -> Path:
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True)
        lay_out(root / folder, *(f"{i}.png" for i in range(count)))
    return root


def test_the_catalog_holds_the_benchmarks_of_the_field() -> None:
    assert {b.name: (len(b.classes), b.total, b.pixels) for b in benchmarks()} == SIZES


@pytest.mark.parametrize("b", benchmarks(), ids=lambda b: b.name)
def test_entries_are_consistent(b: Benchmark) -> None:
    index(b.classes, b.title)
    assert list(b.classes) == [words(c) for c in b.classes]
    assert set(b.counts) in (set(b.classes), set())
    assert sum(b.counts.values()) in (b.total, 0)
    assert all(seen + unseen == len(b.classes) for seen, unseen in b.ratios)
    assert set(b.class_aliases.values()) <= set(b.classes)
    assert b.citation
    assert b.terms
    assert b.home.startswith("http")
    assert "<class>" in b.layout


def test_no_name_or_alias_stands_for_two_benchmarks() -> None:
    owner: dict[str, str] = {}
    for b in benchmarks():
        for spelling in (b.name, b.title, *b.aliases):
            assert owner.setdefault(key(spelling), b.name) == b.name


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("UC Merced", "ucmerced"), ("UCM", "ucmerced"), ("RESISC45", "nwpu-resisc45"), ("WHU_RS19", "whu-rs19"),
     ("RSICB256", "rsi-cb256"), ("EuroSAT (RGB)", "eurosat"), ("RSSDIVCS", "rssdivcs")],
)  # fmt: skip
def test_a_benchmark_is_found_under_its_usual_names(spelling: str, name: str) -> None:
    assert benchmark(spelling).name == name


def test_an_unknown_benchmark_lists_the_nearest_and_all() -> None:
    with pytest.raises(UnknownNameError, match=r"'patternet' \(nearest: patternnet\); known: rssdivcs"):
        benchmark("patternet")


def test_published_folder_spellings_are_the_catalog_classes() -> None:
    for name, folders in {
        "ucmerced": ["baseballdiamond", "mobilehomepark", "storagetanks"],
        "aid": ["BareLand", "StorageTanks", "RailwayStation"],
        "nwpu-resisc45": ["baseball_diamond", "thermal_power_station"],
        "whu-rs19": ["footballField", "railwayStation"],
        "eurosat": ["AnnualCrop", "HerbaceousVegetation", "SeaLake"],
        "rsi-cb256": ["parkinglot", "sandbeach", "river_protection_forest"],
    }.items():
        assert {key(f) for f in folders} <= {key(c) for c in benchmark(name).classes}


def test_a_complete_copy_is_complete(tmp_path: Path) -> None:
    counts = {"baseball diamond": 2, "harbor": 3}
    found = tiny(counts).verify(draw(tmp_path, {"Images/baseballdiamond": 2, "Images/Harbor": 3}))
    assert found.ok
    assert found.lines == (f"UC Merced Land Use at {tmp_path}: complete, 5 of 5 pictures",)


def test_verification_says_exactly_what_differs(tmp_path: Path) -> None:
    root = draw(tmp_path, {"beach": 2, "harbor": 3, "palace": 1, "river": 0})
    (root / "harbor/0.png").write_bytes(b"")
    (root / "readme.txt").write_text("x")
    found = tiny({"airplane": 2, "beach": 3, "harbor": 3, "river": 1}).verify(root)
    assert not found.ok
    assert str(found).splitlines() == [
        f"UC Merced Land Use at {tmp_path}: differs from what was published, 5 of 9 pictures",
        "class 'airplane': missing",
        "class 'beach': 2 of 3 pictures",
        "class 'river': 0 of 1 pictures",
        "harbor/0.png: unreadable: the file is empty (0 bytes)",
        "palace: skipped: the folder is none of the wanted classes",
        "readme.txt: skipped: not a picture (JPEG, PNG, TIFF or BMP)",
        "river: skipped: class 'river' has no pictures",
    ]


def test_too_many_pictures_differ_too(tmp_path: Path) -> None:
    found = tiny({"beach": 2}).verify(draw(tmp_path, {"beach": 3}))
    assert found.lines[1:] == ("class 'beach': 3 of 2 pictures",)


def test_where_only_the_total_is_known_only_the_total_is_checked(tmp_path: Path) -> None:
    b = replace(benchmark("rsi-cb256"), classes=("river", "town"), total=4)
    root = draw(tmp_path, {"water area/river": 3, "other objects/town": 1})
    assert b.verify(root).ok
    assert not replace(b, total=5).verify(root).ok


def test_a_missing_data_set_says_where_to_get_it_and_its_layout(tmp_path: Path) -> None:
    for act in (benchmark("aid").verify, benchmark("aid").open):
        with pytest.raises(DatasetNotFoundError) as error:
            act(tmp_path / "AID")
        for part in (str(tmp_path / "AID"), "captain-whu.com", "never downloads", "AID/<class>/<picture>.jpg"):
            assert part in str(error.value)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="none of the wanted classes"):
        benchmark("aid").verify(draw(tmp_path, {"cats": 1, "dogs": 1}))


def test_open_labels_pictures_with_the_catalog_names(tmp_path: Path) -> None:
    root = draw(tmp_path, {"aGrass": 1, "bField": 1, "cIndustry": 1, "dRiverLake": 1, "eForest": 1, "fResident": 1,
                           "gParking": 1})  # fmt: skip
    scenes = benchmark("rsscn7").open(root)
    assert scenes.classes == benchmark("rsscn7").classes
    assert scenes.labels[3] == "river lake"  # type: ignore[index]


def test_open_refuses_a_copy_that_lacks_a_class(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="'forest'"):
        benchmark("rsscn7").open(draw(tmp_path, {"grass": 1, "field": 1}))


def test_standard_splits() -> None:
    splits = standard_splits("RSSDIVCS", "60/10", 5)
    assert [s.name for s in splits] == [f"random-60-10-seed0-{i}" for i in range(1, 6)]
    assert all((len(s.seen), len(s.unseen), s.dataset) == (60, 10, "rssdivcs") for s in splits)
    assert standard_splits(benchmark("ucm"), (16, 5), 1, seed=2) == standard_splits("ucm", "16/5", 1, seed=2)


def test_a_ratio_that_is_not_standard_is_refused_with_those_that_are() -> None:
    with pytest.raises(SplitError, match="standard ratios 16/5, 13/8, 10/11, 7/14 of seen/unseen classes, not 20/1"):
        standard_splits("ucmerced", "20/1", 1)


def test_ucmerced_is_complete(shared: Path) -> None:
    found = benchmark("ucmerced").verify(shared / "real/ucmerced")
    assert found.ok, str(found)
    assert set(found.found.values()) == {100}


def test_class_lists_equal_the_facts(shared: Path) -> None:
    facts = (shared / "facts/rssdivcs_classes.txt").read_text().split()
    assert [key(c) for c in benchmark("rssdivcs").classes] == [key(f) for f in facts]


def test_whu_rs19_equals_the_published_embeddings(shared: Path) -> None:
    import json

    import numpy as np
    from safetensors import safe_open

    with safe_open(shared / "real/whu-rs19-embeddings/clip-vit-b-32.safetensors", "numpy") as f:
        classes, labels = json.loads(f.metadata()["classes"]), f.get_tensor("labels")
    counts = dict(zip(map(key, classes), np.bincount(labels).tolist(), strict=True))
    assert counts == {key(name): count for name, count in benchmark("whu-rs19").counts.items()}
