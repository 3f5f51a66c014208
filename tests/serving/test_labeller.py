"""The labeller: from pictures and words to answers, honest about how sure they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, OptionError, UnknownNameError
from zeroscene.methods.confidence import Confidence, Promise, Setting, Thresholds, untrained_confidence
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.kernel import KernelPrototypes
from zeroscene.methods.prompts import Prompts
from zeroscene.methods.transduction.refine import TransductionOptions
from zeroscene.semantics.table import ClassTable
from zeroscene.serving.answers import NONE
from zeroscene.serving.asking import Asking
from zeroscene.serving.labeller import Labeller

EYE = EncoderIdentity("toy", "w", "p", "projection")
READER = EncoderIdentity("toy", "w", "t", "text-projection")
NAMES = ("forest", "river", "harbor", "desert")


def table(classes=NAMES) -> ClassTable:
    rows = np.eye(8, dtype=np.float32)[[NAMES.index(name) for name in classes]]
    provenance = {"source": "text", "encoder": READER.to_json(), "space": "toy"}
    return ClassTable(tuple(classes), rows, tuple(f"dim{i}" for i in range(8)), "embedding", provenance=provenance)


def pictures(each=12, classes=NAMES, noise=0.35, seed=0) -> Embeddings:
    rng = np.random.default_rng(seed)
    y = np.repeat([NAMES.index(name) for name in classes], each)
    # Words lie beside the pictures they mean: towards the next class, and without the four dimensions of looks.
    x = np.eye(8)[y] + 0.6 * np.eye(8)[(y + 1) % 4] + np.eye(8)[4 + y] + noise * rng.normal(size=(len(y), 8))
    labels = tuple(NAMES[i] for i in y)
    return Embeddings(tuple(f"{seed}-{i}" for i in range(len(y))), x.astype(np.float32), EYE, labels)


def labeller(classes=NAMES, confidence: Confidence | None = None, contrast: ClassTable | None = None) -> Labeller:
    def nobody() -> None:
        raise AssertionError("vectors are at hand; the encoder is not needed")

    method = Prompts.untrained(EYE, table(classes))
    return Labeller(method, table(classes), nobody, confidence or untrained_confidence(20.0), contrast)


def test_probabilities_are_the_softmax_of_the_models_own_scale() -> None:
    x = pictures()
    answers = labeller().answer(x, Asking())
    logits = 20.0 * labeller().method.scores(x, table()).values.astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answers.probability, expected.max(axis=1), rtol=1e-4)
    assert answers.answered.all()


def test_less_probable_answers_are_none_of_these() -> None:
    every = labeller().answer(pictures(), Asking())
    answers = labeller().answer(pictures(), Asking(least=0.9))
    assert (answers.answered == (every.probability >= 0.9)).all()
    assert 0 < answers.counts()[NONE] < len(answers)


def test_a_precision_is_refused_where_nobody_calibrated() -> None:
    with pytest.raises(OptionError, match="no precision can be promised: nobody calibrated"):
        labeller().answer(pictures(), Asking(precision=0.95))


def test_a_least_probability_and_a_precision_exclude_each_other() -> None:
    with pytest.raises(OptionError, match="not for both"):
        Asking(least=0.5, precision=0.9)
    with pytest.raises(OptionError, match=r"least probability 1\.5 does not lie between 0 and 1"):
        Asking(least=1.5)


def test_refinement_over_the_set_names_more_pictures_right_and_says_what_it_did() -> None:
    x = pictures(each=40)
    wish = Asking(refine=TransductionOptions())
    right = [
        np.mean([row["class"] == label for row, label in zip(labeller().answer(x, w).rows(), x.labels, strict=True)])
        for w in (Asking(), wish)
    ]
    assert right[1] > right[0]
    assert labeller().answer(x, wish).made["refined"]["priors"] == "free"


def test_one_class_alone_is_set_against_what_nobody_asked_about() -> None:
    x = pictures(classes=("forest", "desert"), noise=0.1)
    answers = labeller(("forest",), contrast=table(("river", "harbor", "desert"))).answer(x, Asking())
    said = [row["class"] for row in answers.rows()]
    assert np.mean([(a == "forest") == (b == "forest") for a, b in zip(said, x.labels, strict=True)]) > 0.9
    assert "against 3 other classes" in answers.notes[-1]


def test_one_class_alone_without_contrast_has_a_score_and_no_probability() -> None:
    answers = labeller(("forest",)).answer(pictures(), Asking())
    assert answers.probability is None
    assert "no probability" in answers.notes[-1]
    with pytest.raises(OptionError, match="name the others"):
        labeller(("forest",)).answer(pictures(), Asking(least=0.5))


ALONE, REST = ("forest",), ("river", "harbor", "desert")


@pytest.mark.parametrize("contrast", [None, REST])
def test_one_class_alone_is_not_refined(contrast: tuple[str, ...] | None) -> None:
    alone = labeller(ALONE, contrast=None if contrast is None else table(contrast))
    with pytest.raises(OptionError, match="one class alone cannot be refined: name the others"):
        alone.answer(pictures(), Asking(refine=TransductionOptions()))


def test_examples_of_one_class_alone_find_more_of_it_against_what_nobody_asked_about() -> None:
    x, shown = pictures(each=30, noise=0.5), pictures(each=6, classes=ALONE, noise=0.5, seed=1)
    alone = labeller(ALONE, contrast=table(REST))
    plain, adapted = alone.answer(x, Asking()), alone.answer(x, Asking(), shown)
    own = np.array([label == "forest" for label in x.labels])
    assert ((adapted.answered == own).mean()) > (plain.answered == own).mean()
    assert len(set(adapted.score.tolist())) > len(x) / 2
    assert any("6 examples (forest 6)" in note for note in adapted.notes)
    assert "against 3 other classes" in adapted.notes[-1]


def test_an_example_of_a_contrast_class_is_refused_like_any_that_nobody_asked_about() -> None:
    with pytest.raises(UnknownNameError, match="harbor"):
        labeller(ALONE, contrast=table(REST)).answer(pictures(), Asking(), pictures(2, ("harbor",), seed=1))


def test_examples_of_one_class_alone_are_refused_where_there_is_nothing_to_tell_it_from() -> None:
    with pytest.raises(OptionError, match="do not tell it from any other: name the others"):
        labeller(ALONE).answer(pictures(), Asking(), pictures(2, ALONE, seed=1))


@pytest.mark.parametrize("gamma", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_a_gamma_that_is_not_finite_is_refused(gamma: float) -> None:
    with pytest.raises(OptionError, match="is no finite number"):
        replace(labeller(), gamma=gamma)


def fitted(seen: tuple[str, ...]) -> KernelPrototypes:
    train = pictures(each=20, classes=seen, seed=3)
    return KernelPrototypes().fit(TrainingSet(train, seen), table(seen))


def test_gamma_is_taken_from_the_seen_classes_that_a_new_one_alone_is_set_against() -> None:
    seen, x = NAMES[1:], pictures(noise=0.5)
    confidence = Confidence(seen=seen, settings={"new": Setting(temperature=0.1)})
    alone = replace(labeller(ALONE, confidence, table(seen)), method=fitted(seen), gamma=0.2)
    among = replace(labeller(NAMES, confidence), method=alone.method, gamma=0.2)
    answers = alone.answer(x, Asking())
    scores = alone.method.scores(x, table()).values - 0.2 * np.array([0, 1, 1, 1])
    expected = np.exp(scores / 0.1) / np.exp(scores / 0.1).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answers.probability, expected[:, 0], rtol=1e-4)
    assert answers.made["gamma"] == among.answer(x, Asking()).made["gamma"] == 0.2
    assert (answers.answered > replace(alone, gamma=0.0).answer(x, Asking()).answered).any()


def test_a_window_of_a_map_hears_of_one_class_alone_what_a_picture_hears() -> None:
    seen, x = NAMES[1:], pictures(noise=0.5)
    confidence = Confidence(seen=seen, settings={"new": Setting(temperature=0.1)})
    alone = replace(labeller(ALONE, confidence, table(seen)), method=fitted(seen), gamma=0.2)
    asked = alone.question
    heard = asked.distributions(x.x, asked.logit_scale(x.x))[:, 0]
    np.testing.assert_allclose(heard, alone.answer(x, Asking()).probability, rtol=1e-4)


def test_gamma_is_not_taken_where_a_seen_class_alone_is_set_against_seen_ones() -> None:
    confidence = Confidence(seen=NAMES, settings={"new": Setting(temperature=0.1)})
    alone = replace(labeller(ALONE, confidence, table(REST)), method=fitted(NAMES), gamma=0.2)
    plain = replace(alone, gamma=0.0).answer(pictures(), Asking())
    np.testing.assert_array_equal(alone.answer(pictures(), Asking()).probability, plain.probability)


def test_the_confidence_of_another_fit_is_refused() -> None:
    confidence = Confidence(seen=NAMES, settings={"new": Setting(temperature=0.1)})
    one, other = fitted(NAMES), fitted(NAMES[1:])
    replace(labeller(), method=one, confidence=confidence.of(one))
    with pytest.raises(DataFormatError, match="confidence kept with this kernel is of another fit"):
        replace(labeller(), method=other, confidence=confidence.of(one))


def test_probabilities_refined_in_another_way_than_the_calibrated_one_say_so_and_a_precision_is_refused() -> None:
    promise = Promise(precision=0.95, lead=1.0, coverage=0.5, measured=0.97)
    tried = Setting(temperature=1.0, thresholds=(Thresholds(candidates=4, reachable=0.96, promises=(promise,)),))
    confidence = Confidence(seen=(), settings={"new refined": tried}, refinement=TransductionOptions())
    asked, x = labeller(confidence=confidence), pictures()
    free, balanced = TransductionOptions(), TransductionOptions(priors="balanced")
    asked.answer(x, Asking(refine=free, precision=0.9))
    assert not any("were not checked" in note for note in asked.answer(x, Asking(refine=free)).notes)
    said = "probabilities refined with priors=balanced and not free were not checked on other classes"
    assert said in asked.answer(x, Asking(refine=balanced)).notes
    with pytest.raises(OptionError, match="no precision can be promised for scores refined with priors=balanced"):
        asked.answer(x, Asking(refine=balanced, precision=0.9))


@pytest.mark.parametrize(
    ("classes", "wish"), [(NAMES, {"least": 0.5}), (NAMES, {"precision": 0.9}), (ALONE, {"least": 0.5})]
)
def test_a_model_without_probabilities_names_both_causes(classes: tuple[str, ...], wish: dict[str, float]) -> None:
    without = replace(labeller(classes), confidence=None)
    with pytest.raises(OptionError, match="fitted with --no-select, or on too few classes"):
        without.answer(pictures(), Asking(**wish))


def test_examples_help_and_are_told() -> None:
    x, shown = pictures(each=30), pictures(each=8, seed=1)
    right = [
        np.mean([row["class"] == label for row, label in zip(made.rows(), x.labels, strict=True)])
        for made in (labeller().answer(x, Asking()), labeller().answer(x, Asking(), shown))
    ]
    assert right[1] > right[0]
    assert any("32 examples" in note for note in labeller().answer(x, Asking(), shown).notes)


def test_an_example_of_another_class_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="harbor"):
        labeller(("forest", "river")).answer(pictures(), Asking(), pictures(each=2, classes=("harbor",), seed=1))


def test_pictures_that_are_examples_are_told() -> None:
    x = pictures()
    answers = labeller().answer(x, Asking(), x.take(range(3)))
    assert any("3 of the pictures are examples themselves" in note for note in answers.notes)


def test_the_command_and_the_function_agree(tmp_path: Path, tiny_pictures: Path) -> None:
    from typer.testing import CliRunner

    from zeroscene.cli.main import app
    from zeroscene.serving.label import label

    names = ["lake", "freeway", "snow mountain"]
    answers = label(tiny_pictures, names)
    done = CliRunner().invoke(app, ["label", str(tiny_pictures), *names, "-o", str(tmp_path / "labels.csv")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "labels.csv").read_text() == answers.csv()
    right = [row["id"].split("/")[0] == row["class"].replace(" ", "_") for row in answers.rows()]
    assert np.mean(right) > 0.8


def test_a_saved_model_of_words_predicts_the_same(tmp_path: Path, tiny_pictures: Path) -> None:
    from typer.testing import CliRunner

    from zeroscene.cli.main import app

    def run(*words: object) -> None:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output

    names, model = ["lake", "freeway", "snow mountain"], tmp_path / "model"
    run("label", tiny_pictures, *names, "--save", model, "-o", tmp_path / "a.csv")
    run("predict", model, tiny_pictures, "--classes", ",".join(names), "-o", tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


@pytest.fixture(scope="module")
def tiny_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from zeroscene.scenes.synthetic.world import write_folder

    folder = tmp_path_factory.mktemp("drawn") / "pictures"
    write_folder(folder, ("lake", "freeway", "snow_mountain"), count=4, seed=11)
    return folder


def test_a_model_that_knows_nothing_is_told_and_not_silently_used(tmp_path: Path) -> None:
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    from zeroscene.encoders import tiny
    from zeroscene.serving.label import WordModel

    folder = shutil.copytree(tiny.WEIGHTS, tmp_path / "untrained")
    tensors = load_file(folder / "model.safetensors")
    torch.manual_seed(0)
    untrained = {name: torch.randn_like(t) * 0.05 if t.ndim > 1 else t for name, t in tensors.items()}
    save_file(untrained, folder / "model.safetensors", {"format": "pt"})
    assert any("no better than random" in note for note in WordModel.of(["lake", "freeway"], str(folder)).notes)


def test_kept_scores_answer_as_scores_made_anew(tmp_path: Path, tiny_pictures: Path) -> None:

    from zeroscene.embeddings.extract import extract
    from zeroscene.scenes.folder import SceneFolder
    from zeroscene.serving.label import WordModel
    from zeroscene.serving.large import answer_store

    model = WordModel.of(["lake", "freeway", "snow mountain"])
    store = extract(SceneFolder.open(tiny_pictures), model.dual.image, tmp_path / "store")
    for asking, gamma in ((Asking(), 0.0), (Asking(least=0.9), 0.0), (Asking(), 0.3)):
        anew = replace(model.labeller, gamma=gamma).answer(store.read(), asking)
        kept = answer_store(store, model.method, model.table, model.confidence, gamma, asking)
        assert list(kept.rows()) == list(anew.rows())
    more = WordModel.of(["lake", "freeway", "snow mountain", "bridge"])
    again = answer_store(store, model.method, more.table, model.confidence, 0.0, Asking())
    assert again.made["computed"] == ["bridge"]
