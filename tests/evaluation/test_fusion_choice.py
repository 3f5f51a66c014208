"""Weights of a fusion are chosen on seen classes that play unseen; a member that does harm gets none."""

from dataclasses import replace
from string import ascii_lowercase

import numpy as np
import pytest
from evaluation_world import pictures, split, table

from choices import choose
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.evaluation import selection
from zeroscene.evaluation.evaluate import evaluate
from zeroscene.evaluation.fusion import grid
from zeroscene.evaluation.protocol import Trial, carve
from zeroscene.evaluation.selection import validation_folds
from zeroscene.evaluation.tables import FixedTable, JoinedTables
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.fusion import spread
from zeroscene.methods.registry import create_method, method_class
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.views import join

FUSION = method_class("fusion")
FEW = {"ridge": 0.3, "picture_scaling": "power", "kernel": "rbf"}
HALVES = slice(0, 3), slice(3, 6)


def noisy(own: ClassTable, noise: float, seed: int = 4) -> ClassTable:
    drawn = np.random.default_rng(seed).normal(0, noise, own.matrix.shape).astype(np.float32)
    return replace(own, matrix=own.matrix + drawn)


def member(view: str, method: str = "kernel", **more) -> dict:
    return {"method": method, "view": view, "options": FEW if method == "kernel" else {}, **more}


@pytest.fixture
def trial() -> Trial:
    return carve(pictures(noise=0.9), split())


@pytest.fixture
def views() -> ClassTable:
    """Attributes, and noise that tells nothing of the classes."""
    nothing = replace(table(), matrix=np.zeros_like(table().matrix))
    return join({"good": table(), "useless": noisy(nothing, 1.0)})


def chosen(choice) -> list[float]:
    return [m["weight"] for m in choice.options["members"]]


def test_the_grid_holds_every_share_of_a_whole_those_of_few_members_first():
    assert grid(1) == [(1.0,)]
    assert grid(2)[:3] == [(1.0, 0.0), (0.0, 1.0), (0.9, 0.1)]
    assert len(grid(3)) == 66
    assert all(sum(weights) == pytest.approx(1) for members in (2, 3, 5) for weights in grid(members))
    assert set(np.unique(grid(5)).round(6)) == {0.0, 0.2, 0.4, 0.6, 0.8, 1.0}


def test_a_member_that_does_harm_gets_no_weight(trial):
    wrong = replace(table(), matrix=table().matrix[::-1])
    fixed = {"members": [member("wrong"), member("good")]}
    choice = choose(FUSION, trial.train_generalised, join({"wrong": wrong, "good": table()}), fixed=fixed)
    assert chosen(choice) == [0.0, 1.0]


def test_two_members_that_each_know_half_are_both_taken_and_better_than_each():
    classes = tuple(f"class {letter}" for letter in ascii_lowercase)
    trial = carve(pictures(classes, noise=0.3), split(classes[::4], classes))
    own = table(classes)
    one, other = (replace(own, matrix=own.matrix[:, half], columns=own.columns[half]) for half in HALVES)
    both = join({"one": one, "other": other})
    first, second, fused = (
        evaluate(FUSION, trial, both, fixed={"members": [member(view) for view in views]})
        for views in (["one"], ["other"], ["one", "other"])
    )
    assert min(chosen(fused.choice)) > 0
    assert min(fused.gzsl.AUSUC - own.gzsl.AUSUC for own in (first, second)) > 0.05
    assert min(fused.gzsl.H - own.gzsl.H for own in (first, second)) > 0.05


def test_the_choice_is_the_grid_point_of_the_highest_mean_area(trial, views):
    members = [member("good"), member("useless")]
    choice = choose(FUSION, trial.train_generalised, views, fixed={"members": members})
    scales = [m["scale"] for m in choice.options["members"]]
    areas = []
    for weights in grid(2):
        fixed = [{**m, "weight": w, "scale": s} for m, w, s in zip(members, weights, scales, strict=True)]
        folds = validation_folds(trial.train_generalised)
        of_folds = [
            selection._measure(create_method("fusion", members=fixed), fold, views.select(trial.split.seen))
            for fold in folds
        ]
        areas.append(np.mean([measure.curve.area for measure in of_folds]))
    assert chosen(choice) == list(grid(2)[int(np.argmax(areas))])


def test_with_one_member_every_figure_is_that_of_the_member(trial, views):
    alone = evaluate(method_class("eszsl"), trial, table())
    fused = evaluate(FUSION, trial, views, fixed={"members": [member("good", "eszsl")]})
    assert fused.gzsl == alone.gzsl
    assert fused.zsl == alone.zsl
    assert fused.choice.gamma == alone.choice.gamma
    assert fused.choice.options["members"][0]["options"] == alone.choice.options
    assert [record.t1_folds for record in fused.choice.candidates] == [c.t1_folds for c in alone.choice.candidates]


def test_options_of_a_member_are_those_it_would_get_alone(trial, views):
    members = [{"method": "kernel", "view": "good"}, {"method": "eszsl", "view": "good"}]
    choice = choose(FUSION, trial.train_generalised, views, fixed={"members": members})
    for own in choice.options["members"]:
        expected = choose(method_class(own["method"]), trial.train_generalised, table())
        assert own["options"] == expected.options


def test_a_scale_is_the_spread_of_scores_in_the_folds_and_the_refit_uses_it(trial, views):
    choice = choose(FUSION, trial.train_generalised, views, fixed={"members": [member("good"), member("useless")]})
    own = table().select(trial.split.seen)
    spreads = [
        spread(create_method("kernel", **FEW).fit(fold.train, own).scores(fold.validation, own).values)
        for fold in validation_folds(trial.train_generalised)
    ]
    scale = choice.options["members"][0]["scale"]
    assert scale == pytest.approx(np.mean(spreads), rel=1e-3)
    refit = create_method("fusion", **choice.options).fit(trial.train_all, views)
    assert refit.state_["scales"][0] == scale


def test_members_are_fitted_once_a_fold_whatever_the_number_of_weights(trial, views, monkeypatch):
    counted = []
    kernel = method_class("kernel")
    own_fit = kernel._fit
    monkeypatch.setattr(kernel, "_fit", lambda *a: counted.append(1) or own_fit(*a))
    choice = choose(FUSION, trial.train_generalised, views, fixed={"members": [member("good"), member("useless")]})
    assert len(counted) == 2 * len(choice.folds)


def test_given_weights_are_kept(trial, views):
    members = [member("good", weight=1.0), member("useless", weight=3.0)]
    choice = choose(FUSION, trial.train_generalised, views, fixed={"members": members})
    assert chosen(choice) == [1.0, 3.0]
    assert choice.gamma != 0


def test_the_record_shows_each_member_alone_and_says_what_the_weights_are_worth(trial, views):
    choice = choose(FUSION, trial.train_generalised, views, fixed={"members": [member("good"), member("useless")]})
    assert [[m["weight"] for m in c.options["members"]] for c in choice.candidates][:2] == [[1.0, 0.0], [0.0, 1.0]]
    assert choice.options in [c.options for c in choice.candidates]
    assert "best member alone (kernel on good)" in choice.note


def test_labels_of_test_pictures_and_vectors_of_unseen_classes_do_not_matter(trial, views):
    """The choice sees a training set, and of the table its seen classes only."""
    fixed = {"members": [member("good"), member("useless")]}
    spoiled = views.select(trial.split.seen).union(
        replace(views.select(trial.split.unseen), matrix=views.select(trial.split.unseen).matrix[::-1] * 7)
    )
    first, second = (choose(FUSION, trial.train_generalised, t, fixed=fixed) for t in (views, spoiled))
    assert first == second


def test_with_too_few_classes_members_weigh_the_same_and_the_reader_is_told():
    own = pictures(classes=("airport", "beach", "bridge"))
    train = TrainingSet(own, own.classes)
    both = join({"a": table(own.classes), "b": noisy(table(own.classes), 0.1)})
    fixed = {"members": [member("a"), member("b")]}
    choice = choose(FUSION, train, both, fixed=fixed)
    assert chosen(choice) == [1.0, 1.0]
    assert "too few seen classes" in choice.note
    single = own.of_classes(["airport"])
    nothing = choose(FUSION, TrainingSet(single, ("airport",)), both, fixed=fixed)
    assert nothing.gamma == 0
    assert create_method("fusion", **nothing.options).fit(train, both).scores(own, both).values.shape == (36, 3)


def test_sources_joined_give_each_training_set_its_own_views(trial):
    class Counting(FixedTable):
        asked: tuple[Embeddings, ...] = ()

        def of(self, train, classes):
            type(self).asked = (*self.asked, train.pictures)
            return super().of(train, classes)

    source = JoinedTables({"good": FixedTable(table()), "other": Counting(noisy(table(), 0.1))})
    choice = choose(FUSION, trial.train_generalised, source, fixed={"members": [member("good"), member("other")]})
    assert chosen(choice) == chosen(
        choose(
            FUSION,
            trial.train_generalised,
            join({"good": table(), "other": noisy(table(), 0.1)}),
            fixed={"members": [member("good"), member("other")]},
        )
    )
    source.check(trial.split)
    assert (
        source.fingerprint != JoinedTables({"other": source.parts["other"], "good": source.parts["good"]}).fingerprint
    )
    made = source.of(trial.train_all, trial.split.classes)
    assert (
        made.fingerprint
        == join({"good": table().select(made.classes), "other": noisy(table(), 0.1).select(made.classes)}).fingerprint
    )


def test_weights_are_never_chosen_on_test_pictures(trial, views):
    fixed = {"members": [member("good"), member("useless")]}
    found = evaluate(FUSION, trial, views, fixed=fixed, selection="test-oracle")
    assert found.choice.selection == "test-oracle"
    assert found.choice.options == fixed
    assert [m["weight"] for m in found.options["members"]] == [None, None]
