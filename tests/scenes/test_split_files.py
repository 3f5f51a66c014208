import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscene.errors import DataFormatError, DatasetNotFoundError, DuplicateNameError, OptionError, SplitError
from zeroscene.scenes.split_files import read_splits, write_splits
from zeroscene.scenes.splits import Split


def saved(tmp_path: Path, value: object, name: str = "splits.json") -> Path:
    path = tmp_path / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_splits_come_back_as_they_were_written(tmp_path: Path) -> None:
    splits = [Split("ucm", "1", ("a", "b"), ("c",), ("a/1.jpg", "b/é.jpg")), Split("ucm", "2", ("a",), ("b", "c"))]
    write_splits(tmp_path / "s.json", splits)
    assert read_splits(tmp_path / "s.json") == splits
    splits[0].write(tmp_path / "one.json")
    assert read_splits(tmp_path / "one.json") == splits[:1]


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4))
def test_any_picture_id_survives(tmp_path_factory: pytest.TempPathFactory, held_out: list[str]) -> None:
    path = tmp_path_factory.mktemp("s") / "s.json"
    split = Split("x", "1", ("a",), ("b",), tuple(held_out))
    write_splits(path, [split])
    assert read_splits(path) == [split]


def test_a_published_list_with_ids_and_stated_counts(tmp_path: Path) -> None:
    value = {
        "dataset": "ucmerced",
        "seen": 2,
        "unseen": 1,
        "splits": [{"id": 1, "unseen": ["c"], "seen": ["a", "b"]}, {"id": 2, "unseen": ["a"], "seen": ["b", "c"]}],
    }
    one, two = read_splits(saved(tmp_path, value))
    assert (one.dataset, one.name, one.unseen) == ("ucmerced", "1", ("c",))
    assert two.name == "2"
    value["seen"] = 3
    with pytest.raises(SplitError, match="split '1' has 2 seen classes, the file states 3"):
        read_splits(saved(tmp_path, value))


def test_a_person_writes_yaml(tmp_path: Path) -> None:
    text = "seen: [beach, harbor]\nunseen:\n  - golf course\n"
    (split,) = read_splits(saved(tmp_path, text, "coast.yaml"))
    assert (split.dataset, split.name, split.unseen) == ("coast", "coast", ("golf course",))


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        ({"seen": ["a"], "unseen": ["A"]}, SplitError, "seen and unseen at once"),
        ({"seen": ["a"], "unseen": []}, SplitError, "at least one"),
        ({"seen": ["a", "a "], "unseen": ["b"]}, DuplicateNameError, "the same name"),
        ({"seen": "a", "unseen": ["b"]}, DataFormatError, "split 1, seen: expected a list"),
        ({"seen": [7], "unseen": ["b"]}, DataFormatError, "7 is no text; put names"),
        ({"seen": ["a"]}, DataFormatError, "expected a mapping with the lists"),
        ([], DataFormatError, "expected a mapping with the lists"),
        ({"splits": []}, DataFormatError, "at least one split"),
        ({"splits": [["a"]]}, DataFormatError, "split 1: expected a mapping"),
        ({"seen": ["a"], "unseen": ["b"], "heldout": []}, DataFormatError, "'heldout'; did you mean 'held_out'"),
        ({"seen": ["a"], "unseen": ["b"], "format": "v9"}, DataFormatError, "the format is 'v9'"),
        ({"splits": [{"id": 1, "seen": ["a"], "unseen": ["b"]}] * 2}, DuplicateNameError, "two splits are named '1'"),
        ("{broken", DataFormatError, "not valid JSON"),
    ],
)
def test_bad_files_are_refused_with_their_name(tmp_path: Path, value: object, error: type, says: str) -> None:
    path = saved(tmp_path, value)
    with pytest.raises(error) as caught:
        read_splits(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_yaml_that_reads_a_class_as_truth_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="False is no text"):
        read_splits(saved(tmp_path, "seen: [no, a]\nunseen: [b]\n", "s.yml"))
    with pytest.raises(DataFormatError, match="not valid YAML"):
        read_splits(saved(tmp_path, "seen: [a\n", "t.yml"))


def test_a_missing_file_and_another_suffix(tmp_path: Path) -> None:
    for name in ("no.json", "no.yaml"):
        with pytest.raises(DatasetNotFoundError, match="no such file"):
            read_splits(tmp_path / name)
    with pytest.raises(OptionError, match=r"written as \.json"):
        write_splits(tmp_path / "s.yaml", [])


def test_the_published_ucmerced_splits(shared: Path) -> None:
    splits = read_splits(shared / "facts/ucmerced_splits_16_5.json")
    assert [s.name for s in splits] == [str(i) for i in range(1, 26)]
    assert {(len(s.seen), len(s.unseen)) for s in splits} == {(16, 5)}
    assert splits[0].unseen == ("beach", "harbor", "parkinglot", "runway", "sparseresidential")
