"""The attribute knowledge base is complete, consistent, and says what to do when a class is not in it."""

import csv
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from zeroscene import names
from zeroscene.errors import DuplicateNameError, OptionError, UnknownNameError
from zeroscene.scenes import catalog
from zeroscene.semantics import knowledge
from zeroscene.semantics.knowledge import (
    canonical,
    compose,
    description,
    knowledge_table,
    known_classes,
    phrase,
    vocabulary,
)
from zeroscene.semantics.table import ClassTable

BENCHMARKS = {b.name: b for b in catalog.benchmarks()}
DOCUMENT = Path(__file__).parents[2] / "docs" / "knowledge.md"
GROUPS = {"objects", "materials", "functions", "surface", "layout"}

CLOSER = """
    dense_residential: medium_residential > sparse_residential
    medium_residential: sparse_residential > commercial_area
    dense_residential: mobile_home_park > farmland
    sparse_residential: medium_residential > forest
    mobile_home_park: dense_residential > sparse_residential
    buildings: commercial_area > dense_residential
    industrial_area: storage_room > medium_residential
    commercial_area: industrial_area > school
    freeway: overpass > railway
    freeway: highway > avenue
    overpass: viaduct > roundabout
    runway: freeway > river
    railway: freeway > river
    railway: railway_station > freeway
    intersection: overpass > runway
    crosswalk: intersection > parking_lot
    bridge: overpass > harbor
    forest: sparse_forest > meadow
    forest: mangrove > farmland
    chaparral: shrubwood > forest
    chaparral: sparse_forest > farmland
    agricultural: farmland > meadow
    meadow: pasture > golf_course
    golf_course: park > agricultural
    baseball_field: golf_course > parking_lot
    beach: coastline > lake
    beach: sea > forest
    sea: lake > river
    lake: pond > sea
    river: stream > sea
    wetland: river > beach
    snow_mountain: mountain > sea_ice
    desert: bare_land > beach
    cloud: snow_mountain > forest
    harbor: port > ship
    ship: sea > airplane
    airplane: airport > storage_tank
    parking_lot: shipping_yard > golf_course
    storage_tank: industrial_area > roundabout
    circular_farmland: rectangular_farmland > roundabout
    circular_farmland: rectangular_farmland > storage_tank
    roundabout: intersection > stadium
    stadium: ground_track_field > storage_tank
    tennis_court: basketball_court > football_field
    football_field: ground_track_field > baseball_field
    church: palace > industrial_area
    solar_panel: greenhouse > forest
    oil_well: oil_gas_field > storage_tank
    cemetery: christmas_tree_farm > sea
    swimming_pool: resort > lake
    wastewater_treatment_plant: storage_tank > lake
    terrace: farmland > mountain
"""

NEIGHBOURHOODS = {
    "dense_residential": {"residential", "medium_residential", "mobile_home_park", "town", "apartment_complex"},
    "freeway": {"highway", "overpass", "crosswalk", "intersection", "avenue", "viaduct"},
    "forest": {"sclerophyllous_forest", "shrubwood", "mangrove", "sparse_forest", "river_protection_forest"},
    "farmland": {"rectangular_farmland", "annual_crop", "green_farmland", "permanent_crop", "agricultural", "dry_farm"},
    "lake": {"river_lake", "lakeshore", "island", "pond", "river", "coastline"},
    "football_field": {"ground_track_field", "baseball_field", "stadium", "basketball_court", "tennis_court"},
    "harbor": {"port", "ferry_terminal", "ship", "shipping_yard"},
    "snow_mountain": {"glacier", "mountain", "sea_ice", "cloud"},
    "orchard": {"sapling", "christmas_tree_farm", "vineyard", "permanent_crop"},
    "industrial_area": {"storage_room", "buildings", "commercial_area", "shipping_yard", "thermal_power_station"},
}


@pytest.fixture(scope="module")
def table() -> ClassTable:
    return knowledge_table(known_classes())


def cosines(table: ClassTable) -> np.ndarray:
    unit = table.matrix / np.linalg.norm(table.matrix, axis=1, keepdims=True)
    return unit @ unit.T


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_class_of_every_benchmark_is_known_and_distinct(benchmark: str) -> None:
    classes = BENCHMARKS[benchmark].classes
    found = knowledge_table(classes)
    assert found.classes == classes
    distances = [np.linalg.norm(a - b) for a, b in combinations(found.matrix, 2)]
    assert min(distances) > 0.9


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_folder_spellings_mean_the_class_they_label(benchmark: str) -> None:
    for spelling, name in BENCHMARKS[benchmark].class_aliases.items():
        assert canonical(spelling) == canonical(name)
    for name in BENCHMARKS[benchmark].classes:
        joined = name.replace(" ", "")
        assert canonical(joined) == canonical(joined.upper()) == canonical(name.title()) == canonical(name)
        assert phrase(joined) == phrase(name)


def test_table_is_an_attribute_table_of_the_whole_vocabulary(table: ClassTable) -> None:
    assert table.kind == "attributes"
    assert table.columns == tuple(a.name for a in vocabulary())
    assert table.groups == tuple(a.group for a in vocabulary())
    assert table.provenance["source"] == "knowledge"
    assert len(table) == len(known_classes()) >= 105


def test_vocabulary_is_large_grouped_defined_and_phrased() -> None:
    attributes = vocabulary()
    assert len(attributes) >= 98
    assert {a.group for a in attributes} == GROUPS
    for a in attributes:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", a.name)
        assert len(a.definition.split()) >= 5, a.name
        assert 1 <= len(a.prompt.split()) <= 8, a.name
    for distinct in ({a.definition for a in attributes}, {a.prompt for a in attributes}):
        assert len(distinct) == len(attributes)


def test_values_lie_on_the_scale(table: ClassTable) -> None:
    assert table.matrix.min() >= 0
    assert table.matrix.max() <= 1
    steps = table.matrix * 20
    assert np.abs(steps - steps.round()).max() < 1e-4, "values go in steps of 0.05"


def test_every_class_is_described_by_enough_attributes_of_every_kind(table: ClassTable) -> None:
    present = table.matrix > 0
    assert present.sum(axis=1).min() >= 8
    for group in ("surface", "layout"):
        columns = np.array([g == group for g in table.groups])
        assert (present[:, columns].sum(axis=1) >= 3).all(), group


def test_no_two_classes_are_alike(table: ClassTable) -> None:
    for (i, a), (j, b) in combinations(enumerate(table.matrix), 2):
        pair = table.classes[i], table.classes[j]
        assert np.linalg.norm(a - b) > 0.6, pair
        assert (np.abs(a - b) > 0.075).sum() >= 8, pair


def test_every_attribute_discriminates(table: ClassTable) -> None:
    for column, values in zip(table.columns, table.matrix.T, strict=True):
        assert np.ptp(values) >= 0.4, column
        assert values.std() >= 0.055, column
        assert (values > 0).sum() >= 2, column
        assert values.mean() <= 0.5, column


def test_no_two_attributes_say_the_same(table: ClassTable) -> None:
    similar = np.corrcoef(table.matrix.T) - np.eye(len(table.columns))
    assert similar.max() < 0.99


@pytest.mark.parametrize("line", [line.strip() for line in CLOSER.strip().splitlines()])
def test_a_class_is_closer_to_what_looks_like_it(table: ClassTable, line: str) -> None:
    a, near, far = re.split(r"\W+ ", line)
    of = table.classes.index
    similarity = cosines(table)[of(a)]
    assert similarity[of(near)] > similarity[of(far)]


@pytest.mark.parametrize("name", NEIGHBOURHOODS)
def test_the_three_nearest_classes_are_of_the_family(table: ClassTable, name: str) -> None:
    order = np.argsort(-cosines(table)[table.classes.index(name)])
    nearest = {table.classes[i] for i in order[1:4]}
    assert nearest <= NEIGHBOURHOODS[name]


def test_synonyms_point_at_classes_and_never_away_from_their_own_name() -> None:
    rows = knowledge._rows("synonyms.csv")
    classes = {names.key(c): c for c in known_classes()}
    assert {row["class"] for row in rows} == set(classes.values()), "every class has a synonym or a phrase"
    for row in rows:
        assert classes.get(names.key(row["alias"]), row["class"]) == row["class"], row
    keys = [names.key(row["alias"]) for row in rows]
    assert len(keys) == len(set(keys))


def test_a_plural_never_means_another_class() -> None:
    spellings = knowledge._spellings()
    for key, spelling in spellings.items():
        for singular in knowledge._singulars(key):
            assert singular not in spellings or spellings[singular].canonical == spelling.canonical, key


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Baseball Diamond", "baseball_field"),
        ("crossroads", "intersection"),
        ("marina", "harbor"),
        ("Port", "port"),
        ("snowberg", "snow_mountain"),
        ("Bridges", "bridge"),
        ("beaches", "beach"),
        ("cemeteries", "cemetery"),
        ("car park", "parking_lot"),
        ("airport_runway", "runway"),
        ("airport", "airport"),
        ("airplane", "airplane"),
    ],
)
def test_spellings_and_everyday_words_have_one_meaning(name: str, expected: str) -> None:
    assert canonical(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("baseballdiamond", "baseball diamond"),
        ("parkinglot", "parking lot"),
        ("denseresidential", "dense residential"),
        ("BareLand", "bare land"),
        ("SeaLake", "sea or lake"),
        ("hirst", "sandbank"),
        ("gParking", "parking lot"),
        ("Center", "convention center"),
        ("parking_lot", "parking lot"),
    ],
)
def test_phrase_is_readable(name: str, expected: str) -> None:
    assert phrase(name) == expected


def test_every_class_has_one_sentence() -> None:
    assert set(knowledge._descriptions()) == set(known_classes())
    for name in known_classes():
        sentence = description(name)
        assert 20 <= len(sentence.split()) <= 40, name
        assert sentence[0].isupper(), name
        assert sentence.endswith("."), name
    assert len({description(name) for name in known_classes()}) == len(known_classes())


def test_unknown_classes_are_all_named_with_the_nearest_names_and_the_remedy() -> None:
    with pytest.raises(UnknownNameError, match=r"'vinyard' \(nearest: vineyard.*'qqq'.*compose.*own table") as error:
        knowledge_table(["beach", "vinyard", "qqq"])
    assert "\n" not in str(error.value)
    with pytest.raises(UnknownNameError, match="nearest: vineyard"):
        canonical("vinyard")


def test_two_names_of_one_class_are_refused() -> None:
    with pytest.raises(DuplicateNameError, match="'grass' and 'meadow' both mean 'meadow'"):
        knowledge_table(["grass", "sea", "meadow"])


def test_names_that_were_understood_as_another_class_are_on_record() -> None:
    assert knowledge_table(["marina", "sea"]).provenance["meant"] == {"marina": "harbor"}


def test_composed_class_joins_the_table() -> None:
    wind = compose({"electrical_equipment": 0.5, "Rough Grass": 0.6, "energy": 1}, "wind_farm")
    joined = knowledge_table(["sea", "meadow"]).union(wind)
    assert joined.classes == ("sea", "meadow", "wind_farm")
    assert joined.row("wind_farm")[joined.columns.index("rough_grass")] == np.float32(0.6)
    assert (joined.row("wind_farm") > 0).sum() == 3


def test_composing_can_start_from_a_known_class() -> None:
    base = knowledge_table(["quarry"])
    values = dict(zip(base.columns, base.matrix[0].tolist(), strict=True)) | {"murky_water": 0.9}
    row = compose(values, "flooded quarry").matrix[0]
    assert np.flatnonzero(row != base.matrix[0]).tolist() == [base.columns.index("murky_water")]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"tree_covr": 1.0}, UnknownNameError, "'tree_covr' .nearest: tree_cover"),
        ({"cars": 1.5}, OptionError, "'cars' of class 'x' is 1.5; give a number from 0 to 1"),
        ({"cars": float("nan")}, OptionError, "'cars'"),
        ({"cars": 0.0}, OptionError, "no attribute above 0"),
        ({}, OptionError, "no attribute above 0"),
        ({"cars": 1.0, "Cars": 0.5}, DuplicateNameError, "'cars' and 'Cars'"),
    ],
)
def test_composing_from_wrong_values_says_so(values: dict[str, float], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        compose(values, "x")


def test_edited_table_reads_back_and_joins(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    knowledge_table(["sea", "meadow"]).write(path)
    lines = path.read_text().splitlines()
    lines.append(lines[-1].replace("meadow", "moor"))
    path.write_text("\n".join(lines))
    mine = ClassTable.read(path)
    assert mine.classes == ("sea", "meadow", "moor")
    assert mine.select(["moor"]).union(knowledge_table(["river"])).classes == ("moor", "river")


def test_table_that_went_through_a_spreadsheet_keeps_its_space(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    written = knowledge_table(["marina", "meadow"])
    written.write(path)
    with path.open(newline="") as f:
        rows = list(csv.reader(f))
    width = max(len(row) for row in rows)
    with path.open("w", newline="", encoding="utf-8-sig") as f:
        csv.writer(f).writerows(row + [""] * (width - len(row)) for row in rows)
    mine = ClassTable.read(path)
    assert mine.provenance == written.provenance
    assert mine.fingerprint == written.fingerprint


def test_documented_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    scope: dict[str, object] = {}
    for block in blocks:
        exec(block, scope)
    assert isinstance(scope["flooded"], ClassTable)


def test_documentation_lists_the_vocabulary_as_it_is() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for a in vocabulary():
        assert f"| `{a.name}` | {a.definition} | {a.prompt} |" in text
    assert f"{len(vocabulary())} attributes" in text
    assert f"{len(known_classes())} classes" in text
    assert f"version {knowledge.VERSION}" in text


def test_values_belong_to_their_version(table: ClassTable) -> None:
    assert (table.provenance["version"], table.provenance["table"]) == ("1.0", "e8b0f3ceef9faa07"), (
        "a change of the table needs a new knowledge.VERSION; then write both here"
    )
