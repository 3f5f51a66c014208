import numpy as np
import pytest
from benchmark_job import plan
from evaluation_world import pictures, split, table, write_store
from hypothesis import given
from hypothesis import strategies as st

from zeroscene.embeddings.grids import TokenGrids
from zeroscene.errors import DuplicateNameError, OptionError, SplitError, StoreError, UnknownNameError
from zeroscene.evaluation.plan import BenchmarkPlan, MethodPlan, all_classes, grids_fingerprint, slug
from zeroscene.evaluation.protocol import carve
from zeroscene.evaluation.tables import embeddings_fingerprint
from zeroscene.evaluation.worker import load_embeddings, load_source
from zeroscene.methods import registry
from zeroscene.methods.eszsl import ESZSL
from zeroscene.scenes.split_files import write_splits
from zeroscene.scenes.splits import Split
from zeroscene.semantics.views import view


def test_cells_run_through_methods_encoders_tables_splits_and_seeds():
    cells = [cell.name for cell in plan().cells()]
    assert len(cells) == len(set(cells)) == 3 * 1 * 1 * 2 * 2
    assert cells[:3] == [
        "eszsl__tiny__knowledge__split-1__seed-0",
        "eszsl__tiny__knowledge__split-1__seed-1",
        "eszsl__tiny__knowledge__split-2__seed-0",
    ]
    assert cells[-1] == "kernel-fixed-width__tiny__knowledge__split-2__seed-1"


def test_a_method_is_checked_before_anything_runs():
    assert MethodPlan("ESZSL").label == "eszsl"
    with pytest.raises(UnknownNameError, match=r"eszls.*nearest: eszsl"):
        MethodPlan("eszls")
    with pytest.raises(OptionError, match="log_gama"):
        MethodPlan("eszsl", {"log_gama": 1})
    with pytest.raises(OptionError, match="seeds in the plan"):
        MethodPlan("ale", {"seed": 1})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"methods": ()}, OptionError, "methods is empty"),
        ({"tables": {}}, OptionError, "tables is empty"),
        ({"seeds": (0, 0)}, DuplicateNameError, "seeds: '0' and '0'"),
        ({"seeds": (-1,)}, OptionError, "seeds not be negative"),
        ({"folds": 1}, OptionError, "folds must be 2"),
        ({"holdout": 1.0}, OptionError, "holdout"),
        ({"selection": "best"}, OptionError, "'best' is not one of honest"),
        ({"splits": (split(), split(("airport",)))}, DuplicateNameError, "splits: '1' and '1'"),
        ({"splits": (split(), Split("other", "2", ("a",), ("b",)))}, SplitError, "tiny, other"),
        ({"tables": {"a b": "x", "A-b": "y"}}, DuplicateNameError, "'a b' and 'A-b' would share a file name"),
        ({"methods": (MethodPlan("eszsl"), MethodPlan("eszsl"))}, DuplicateNameError, "give each its own label"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        plan(**changes)


def test_the_fingerprint_of_pictures_follows_all_that_counts():
    x = pictures()
    same = x.take(np.arange(len(x)))
    turned = x.take(np.arange(len(x))[::-1])
    assert embeddings_fingerprint(same) == embeddings_fingerprint(x)
    assert len({embeddings_fingerprint(other) for other in (x, turned, pictures(seed=1), pictures(noise=0.3))}) == 4


def test_the_classes_of_a_plan_are_those_of_all_splits_once():
    one, other = Split("d", "1", ("a", "b"), ("c",)), Split("d", "2", ("A", "D"), ("c",))
    assert all_classes([one, other]) == ("a", "b", "c", "D")


class Gazer(ESZSL):
    """A method that says it looks at token grids."""

    name, reads = "gazer", "grids"


def test_token_grids_count_for_the_methods_that_look_at_them_alone(monkeypatch):
    monkeypatch.setitem(registry._METHODS, "gazer", f"{__name__}:Gazer")
    asked = plan(methods=(MethodPlan("eszsl"), MethodPlan("gazer")))
    assert asked.reads_grids
    assert not plan().reads_grids
    inputs = {cell.method.name: cell.inputs(asked, "x", "t", {}, "g") for cell in asked.cells()}
    assert inputs["gazer"]["grids"] == "g"
    assert "grids" not in inputs["eszsl"]


def test_the_fingerprint_of_grids_follows_shape_views_and_values():
    values = np.random.default_rng(0).random((12, 2, 3, 3, 4)).astype(np.float16)
    others = [values, values[:, :1], values[:6], values.reshape(12, 2, 9, 1, 4), values + 1]
    assert grids_fingerprint(TokenGrids.of(values.copy())) == grids_fingerprint(TokenGrids.of(values))
    assert len({grids_fingerprint(TokenGrids.of(one)) for one in others}) == len(others)
    assert grids_fingerprint(None) == ""


def test_a_store_without_grids_is_refused_where_they_are_looked_at(tmp_path):
    write_store(tmp_path / "store", pictures())
    assert load_embeddings(tmp_path / "store").grids is None
    with pytest.raises(StoreError, match="grid") as refused:
        load_embeddings(tmp_path / "store", grids=True)
    assert "\n" not in str(refused.value)


@given(st.text(max_size=30))
def test_a_slug_is_a_file_name_part_without_the_separator(text):
    made = slug(text)
    assert made
    assert "__" not in made
    assert not set('/\\:*?"<>| \n\0') & set(made)


FILE = """
embeddings: {tiny: store}
tables: {knowledge: knowledge.csv}
splits: [splits.json]
methods: [eszsl]
"""


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ("fold: 3", OptionError, "unknown option 'fold'; did you mean folds"),
        ("selection: best", OptionError, "'selection' = 'best'"),
        ("only: [7]", UnknownNameError, "unknown split: '7'; known: 1, 2"),
        ("only: [2, 1]", None, None),
    ],
)
def test_a_plan_file_is_read_strictly_and_relative_to_itself(tmp_path, changed, error, message):
    write_splits(tmp_path / "splits.json", plan().splits)
    file = tmp_path / "my plan.yaml"
    file.write_text(FILE + changed)
    if error:
        with pytest.raises(error, match=message):
            BenchmarkPlan.read(file)
        return
    read = BenchmarkPlan.read(file)
    assert (read.name, read.embeddings) == ("my plan", {"tiny": tmp_path / "store"})
    assert [s.name for s in read.splits] == ["2", "1"]
    assert (read.selection, read.folds, read.holdout, read.seeds) == ("honest", 4, 0.2, (0,))


VIEWS_PLAN = """\
embeddings: {tiny: store}
tables:
  both:
    views: {attributes: classes.csv, others: others.csv}
splits: [splits.json]
methods:
  - {name: fusion, options: {members: [{method: kernel, view: attributes}, {method: eszsl, view: others}]}}
"""


def test_views_of_a_plan_become_one_source(tmp_path):
    write_splits(tmp_path / "splits.json", plan().splits)
    table().write(tmp_path / "classes.csv")
    table(seed=3).write(tmp_path / "others.csv")
    (tmp_path / "plan.yaml").write_text(VIEWS_PLAN)
    read = BenchmarkPlan.read(tmp_path / "plan.yaml")
    assert read.tables["both"] == {"attributes": tmp_path / "classes.csv", "others": tmp_path / "others.csv"}
    source = load_source(read.tables["both"], read.classes)
    train = carve(pictures(), split()).train_all
    assert (
        view(source.of(train, train.seen), "others").matrix.tobytes()
        == table(seed=3).select(train.seen).matrix.tobytes()
    )


@pytest.mark.parametrize("entry", ["{views: classes.csv}", "{views: {}}", "{views: {a: classes.csv}, encoder: tiny}"])
def test_views_stand_alone_and_name_their_tables(tmp_path, entry):
    write_splits(tmp_path / "splits.json", plan().splits)
    wrong = VIEWS_PLAN.replace("\n    views: {attributes: classes.csv, others: others.csv}", " " + entry)
    (tmp_path / "plan.yaml").write_text(wrong)
    with pytest.raises(OptionError, match="table 'both': `views` stands alone"):
        BenchmarkPlan.read(tmp_path / "plan.yaml")


def test_a_fusion_looks_at_token_grids_where_a_member_does():
    assert not MethodPlan("fusion", {"members": [{"method": "kernel"}]}).reads_grids
    assert MethodPlan("fusion", {"members": [{"method": "kernel"}, {"method": "dsva"}]}).reads_grids
