import ast
import importlib
import inspect
from dataclasses import replace
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from evaluation_world import CLASSES, pictures, split, table
from pydantic import Field

import zeroscene
from choices import choose
from zeroscene import options
from zeroscene.errors import OptionError, UnknownNameError
from zeroscene.evaluation import fusion, selection
from zeroscene.evaluation.evaluate import evaluate
from zeroscene.evaluation.protocol import TestSet, Trial, carve
from zeroscene.evaluation.selection import validation_folds
from zeroscene.methods.contract import TrainingSet, VectorMethod
from zeroscene.methods.registry import method_class


class RegressionOptions(options.Options):
    ridge: float = Field(1.0, gt=0)
    blind: bool = False
    seed: int = 0


class Regression(VectorMethod[RegressionOptions]):
    """Ridge regression from class vectors to pictures; `blind` ignores the picture."""

    name, title, reference = "regression", "Regression", "a test"
    Options = RegressionOptions
    asked: list = []  # noqa: RUF012 - every (classes, seen) of a call to scores

    @classmethod
    def candidates(cls):
        return ({"blind": True}, {}, {"ridge": 1.0}, {"ridge": 1e6, "blind": True})

    def _fit(self, x, y, phi):
        A = phi[y].astype(np.float64)
        W = np.linalg.solve(A.T @ A + self.options.ridge * np.eye(A.shape[1]), A.T @ x)
        return {"W": W.astype(np.float32)}

    def _scores(self, x, phi, seen):
        self.asked.append((len(phi), int((seen >= 0).sum())))
        prototypes = phi @ self.state_["W"]
        distance = ((x[:, None] - prototypes) ** 2).sum(axis=2)
        bias = np.where(seen >= 0, 3.0, 0.0)
        return np.zeros_like(distance) if self.options.blind else bias - distance


@pytest.fixture
def train():
    return carve(pictures(), split()).train_generalised


def test_each_seen_class_plays_unseen_once(train):
    folds = validation_folds(train, 4)
    assert sorted(c for fold in folds for c in fold.unseen) == sorted(train.seen)
    assert [len(fold.unseen) for fold in folds] == [3, 2, 2]


def test_a_fold_trains_on_four_fifths_of_its_seen_classes_and_validates_on_all_else(train):
    for fold in validation_folds(train, 3, seed=5):
        trained, validated = set(fold.train.pictures.ids), set(fold.validation.ids)
        assert not trained & validated
        assert trained | validated == set(train.pictures.ids)
        assert not set(fold.unseen) & set(fold.train.seen)
        kept_back = [label for label in fold.validation.labels if label not in fold.unseen]
        assert {kept_back.count(c) for c in fold.train.seen} == {2}  # of 10


def test_folds_depend_on_names_and_seed_only(train):
    turned = TrainingSet(train.pictures.take(np.arange(len(train.pictures))[::-1]), train.seen[::-1])

    def members(folds):
        return [(frozenset(f.unseen), frozenset(f.train.pictures.ids)) for f in folds]

    assert members(validation_folds(turned, 3)) == members(validation_folds(train, 3))
    assert members(validation_folds(train, 3, seed=1)) != members(validation_folds(train, 3))


@pytest.mark.parametrize(("seen", "sizes"), [(1, []), (2, [1, 1]), (3, [1, 1, 1]), (4, [2, 2]), (9, [3, 2, 2, 2])])
def test_few_classes_make_few_folds(seen, sizes):
    train = TrainingSet(pictures().of_classes(CLASSES[:seen]), CLASSES[:seen])
    assert [len(fold.unseen) for fold in validation_folds(train, 4)] == sizes


def test_the_best_candidate_wins_and_the_first_of_equals(train):
    choice = choose(Regression, train, table())
    assert choice.options == {}
    assert [c.options for c in choice.candidates] == [dict(c) for c in Regression.candidates()]
    blind, default, same, _ = (c.t1 for c in choice.candidates)
    assert default == same > 0.8 > blind
    assert all(len(c.t1_folds) == len(choice.folds) == 3 for c in choice.candidates)
    assert choice.selection == "honest"


def test_gamma_undoes_the_bias_towards_seen_classes(train):
    choice = choose(Regression, train, table(), fixed={"blind": False})
    assert 0 < choice.gamma < 6
    assert choice.harmonic > 0.8


def test_fixed_options_are_not_chosen(train):
    choice = choose(Regression, train, table(), fixed={"ridge": 2.0})
    assert [c.options for c in choice.candidates] == [{"blind": True, "ridge": 2.0}, {"ridge": 2.0}]
    assert choice.options == {"ridge": 2.0}
    with pytest.raises(OptionError, match="rigde"):
        choose(Regression, train, table(), fixed={"rigde": 2.0})


def test_one_seen_class_gives_the_first_option_set_and_says_so():
    train = TrainingSet(pictures().of_classes(["beach"]), ("beach",))
    choice = choose(Regression, train, table())
    assert (choice.options, choice.gamma, choice.folds) == ({"blind": True}, 0.0, ())
    assert "one seen class" in choice.note


def test_three_seen_classes_choose_gamma_only_and_say_so():
    train = TrainingSet(pictures().of_classes(CLASSES[:3]), CLASSES[:3])
    choice = choose(Regression, train, table(), fixed={"blind": False})
    assert len(choice.candidates) == 1
    assert choice.gamma > 0
    assert "too few seen classes" in choice.note


def test_one_picture_a_class_is_not_enough_to_choose_on():
    x = pictures(each=1)
    choice = choose(Regression, TrainingSet(x, CLASSES), table())
    assert choice.folds == ()
    assert "one picture a class" in choice.note


def test_a_seen_class_without_a_vector_is_named(train):
    with pytest.raises(UnknownNameError, match="airport"):
        choose(Regression, train, table(CLASSES[1:]))


# The wall between selection and test pictures.


def imported_modules(module: str, found: set[str]) -> set[str]:
    """Names of all zeroscene modules that a module imports, directly or not, at any depth of its code."""
    found.add(module)
    source = Path(importlib.import_module(module).__file__).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        wanted = []
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            wanted = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in wanted:
            path = Path(zeroscene.__file__).parent.joinpath(*name.split(".")[1:])
            exists = path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
            if name.startswith("zeroscene") and exists and name not in found:
                imported_modules(name, found)
    return found


def test_selection_imports_nothing_that_knows_a_test_picture():
    reached = imported_modules("zeroscene.evaluation.selection", set())
    assert "zeroscene.evaluation.metrics" in reached
    for module in ("protocol", "oracle", "measure", "evaluate", "plan", "runner"):
        assert f"zeroscene.evaluation.{module}" not in reached
    for name in reached:
        assert not {TestSet, Trial} & {v for v in vars(importlib.import_module(name)).values() if inspect.isclass(v)}


@pytest.mark.parametrize("select", [selection.select_in_folds, fusion.select_fusion, fusion.choose_in_folds])
def test_selection_takes_one_set_of_pictures_and_that_is_a_training_set(select):
    hints = get_type_hints(select)
    assert hints["train"] is TrainingSet
    assert set(hints) == {"method", "train", "classes", "fixed", "folds", "seed", "return"}
    assert not issubclass(TestSet, TrainingSet)


def poisoned(trial: Trial) -> Trial:
    """The trial with every test picture replaced by noise, in the test set and where plain ZSL trains on it."""

    def noise(part):
        rng = np.random.default_rng(99)
        return replace(part, x=rng.normal(size=part.x.shape).astype(np.float32) * 100)

    everything = trial.train_all.pictures
    held_out = np.isin(everything.ids, trial.split.held_out)
    x = everything.x.copy()
    x[held_out] = 1e3
    return replace(
        trial,
        train_all=replace(trial.train_all, pictures=replace(everything, x=x)),
        test=replace(
            trial.test, unseen_pictures=noise(trial.test.unseen_pictures), seen_pictures=noise(trial.test.seen_pictures)
        ),
    )


@pytest.mark.parametrize("name", ["eszsl", "kernel"])
def test_poisoned_test_pictures_leave_the_choice_bit_identical(name):
    trial = carve(pictures(noise=1.0), split())
    clean, poison = (evaluate(method_class(name), t, table()) for t in (trial, poisoned(trial)))
    assert poison.choice == clean.choice
    assert poison.zsl != clean.zsl
    assert poison.gzsl != clean.gzsl


def test_vectors_of_unseen_classes_leave_the_choice_bit_identical(train):
    changed = table().matrix.copy()
    changed[[CLASSES.index(c) for c in split().unseen]] = 7
    other = replace(table(), matrix=changed)
    assert choose(Regression, train, other) == choose(Regression, train, table())


def test_oracle_selection_does_look_and_says_so():
    trial = carve(pictures(noise=1.0), split())
    clean, poison = (
        evaluate(method_class("eszsl"), t, table(), selection="test-oracle") for t in (trial, poisoned(trial))
    )
    assert clean.choice.selection == "test-oracle"
    assert "test pictures" in clean.choice.note
    assert poison.choice != clean.choice
    honest = evaluate(method_class("eszsl"), trial, table())
    assert clean.zsl.t1 == max(c.t1 for c in clean.choice.candidates) >= honest.zsl.t1
    assert abs(clean.gzsl.H - clean.choice.harmonic) < 1e-5


def test_a_refit_asks_about_the_classes_of_the_test_only_after_the_choice():
    trial = carve(pictures(), split())
    Regression.asked.clear()
    evaluate(Regression, trial, table(), fixed={"blind": False})
    folds, final = Regression.asked[:-3], Regression.asked[-3:]
    assert all(classes <= len(trial.split.seen) for classes, _ in folds)
    assert final == [(3, 0), (10, 7), (10, 7)]
