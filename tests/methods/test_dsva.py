"""DSVA on cached token grids: where its weights begin, what its losses say, how its scores come about."""

from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from small_world import ENCODER, SEEN, UNSEEN
from zeroscene.embeddings.crops import Crops
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.grids import TokenGrids
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.text import load_text_encoder
from zeroscene.errors import EncoderError, OptionError
from zeroscene.evaluation.annotation import read_vocabulary
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.dsva.loss import concentration, terms
from zeroscene.methods.dsva.method import DSVA
from zeroscene.methods.dsva.net import DSVANet
from zeroscene.methods.dsva.options import PUBLISHED, DSVAOptions, Setup
from zeroscene.scenes.folder import SceneFolder
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.vocabulary import with_prompts

ENCODED = EncoderIdentity("drawn", "w", "p", "pooler")
CLASSES = tuple(f"class {i}" for i in range(12))


@cache
def world() -> tuple[TrainingSet, ClassTable]:
    """Return pictures whose tokens are noise but for one, which shows the attributes of the class."""
    rng = np.random.default_rng(3)
    phi = (rng.random((12, 10)) < 0.4).astype(np.float32) + 0.05
    shown = phi @ rng.normal(0, 1, (10, 20)).astype(np.float32)
    y = np.repeat(np.arange(12), 9)
    tokens = rng.normal(0, 0.3, (len(y), 3, 3, 20)).astype(np.float32) + 0.5
    tokens[np.arange(len(y)), y % 3, rng.integers(0, 3, len(y))] += 3 * shown[y]
    pictures = Embeddings(
        tuple(f"p{i}" for i in range(len(y))), tokens.mean((1, 2)), ENCODED, tuple(CLASSES[i] for i in y),
        TokenGrids.of(tokens),
    )  # fmt: skip
    groups = ("things",) * 6 + ("grounds",) * 4
    table = ClassTable(CLASSES, phi, tuple(f"a{i}" for i in range(10)), "attributes", groups)
    return TrainingSet(pictures, CLASSES), table


@pytest.fixture(scope="module")
def small(prepared: Path) -> tuple[Embeddings, ClassTable]:
    """Return the small world with token grids, and its class table with the words of the tiny encoder."""
    scenes = SceneFolder.open(prepared / "pictures")
    pictures = EmbeddingStore.open(prepared / "token-grids").read(grids=True)
    table = with_prompts(knowledge_table(pictures.classes), read_vocabulary("synthetic"), load_text_encoder(ENCODER))
    return replace(pictures, crops=Crops(scenes, partial(load_image_encoder, ENCODER))), table


def first_loss(**options: object) -> float:
    train, table = world()
    fitted = DSVA(epochs=1, episodes_per_epoch=1, **options).fit(train, table)
    return fitted.losses_[0]["compatibility_global"] + fitted.losses_[0]["compatibility_local"]


def test_the_published_double_softmax_begins_near_twice_the_logarithm_of_the_classes_and_stays_there():
    chance = 2 * np.log(len(CLASSES))
    assert first_loss(behaviour="published") == pytest.approx(chance, rel=0.03)
    assert first_loss() < 0.8 * chance
    train, table = world()
    published = DSVA(behaviour="published", epochs=1, episodes_per_epoch=60).fit(train, table).losses_
    corrected = DSVA(behaviour="published", double_softmax=False, epochs=1, episodes_per_epoch=60)
    falls = [
        1 - np.mean([step["compatibility_local"] for step in one[-10:]]) / one[0]["compatibility_local"]
        for one in (published, corrected.fit(train, table).losses_)
    ]
    assert falls[0] < 0.5 * falls[1]


def test_published_sets_what_is_not_given():
    assert DSVA(behaviour="published").options.model_dump().items() >= PUBLISHED.items()
    assert DSVA(behaviour="published", start="ridge").options.start == "ridge"
    assert DSVA().options.double_softmax is False


def test_in_closed_form_a_class_vector_points_to_the_mean_of_its_pictures():
    train, table = world()
    ten = CLASSES[:10]  # ten attributes can be fitted to ten classes exactly, not to twelve
    few = TrainingSet(train.pictures.of_classes(ten), ten)
    table = replace(table, matrix=np.random.default_rng(0).random((12, 10)).astype(np.float32))
    net = DSVA(epochs=0, ridge=1e-6).fit(few, table).net()
    x = few.pictures.x
    v_ND = F.normalize(torch.from_numpy(np.sign(x) * np.sqrt(np.abs(x))), dim=1)
    v_ND = F.normalize(v_ND - v_ND.mean(0), dim=1)
    means_SD = torch.stack([v_ND[torch.from_numpy(few.y == c)].mean(0) for c in range(10)])
    phi_SA = F.normalize(torch.tensor(table.select(ten).matrix), dim=1)
    assert F.cosine_similarity(phi_SA @ net.directions("global"), means_SD, dim=1).min() > 0.999


def test_words_are_directions_and_an_attribute_without_words_begins_at_nothing(small):
    pictures, table = small
    train = TrainingSet(pictures.of_classes(SEEN), SEEN)
    net = DSVA(epochs=0).fit(train, table).net()
    prompts = torch.from_numpy(np.array(table.prompts.vectors))
    known = torch.from_numpy(table.prompts.known)
    for branch in ("global", "local"):
        assert F.cosine_similarity(net.directions(branch), prompts)[known].min() > 0.999
        assert not net.directions(branch)[~known].any()
    assert net.branches == ("global", "local")
    without = DSVA(epochs=0, start="ridge").fit(train, table)
    assert without.net().branches == ("global", "local", "focus")
    assert without.predicting == ("global", "focus")


def test_unseen_classes_are_recognised_by_words(small):
    pictures, table = small
    method = DSVA().fit(TrainingSet(pictures.of_classes(SEEN), SEEN), table)
    new = pictures.of_classes(UNSEEN)
    right = method.scores(new, table.select(UNSEEN)).best() == new.label_indices(UNSEEN)
    assert right.mean() > 0.7


@pytest.mark.parametrize("start", ["prompts", "ridge"])
def test_a_score_is_the_sum_of_what_each_attribute_adds(small, start):
    pictures, table = small
    method = DSVA(start=start).fit(TrainingSet(pictures.of_classes(SEEN), SEEN), table)
    weights = method.class_weights(table)
    summed = sum(
        torch.einsum("na,ca->nca", torch.cat([looked.attributes[b] for looked in method.look(pictures)]), one)
        for b, one in weights.items()
    )
    np.testing.assert_allclose(summed.sum(2), method.scores(pictures, table).values, rtol=1e-4, atol=1e-4)


def test_maps_are_where_the_tokens_are_and_the_local_branch_is_their_greatest_value():
    train, table = world()
    looked = next(DSVA(start="ridge", predict="all").fit(train, table).look(train.pictures))
    assert looked.maps_NRA.shape == (64, 9, 10)
    torch.testing.assert_close(looked.attributes["local"], looked.maps_NRA.amax(1))


def test_concentration_is_the_squared_distance_from_the_peak_where_an_attribute_is_found():
    maps = torch.full((1, 4, 1), -100.0)  # one attribute on a grid of 2 x 2
    maps[0, 0], maps[0, 3] = 100.0, 50.0
    assert concentration(maps, (2, 2)).item() == pytest.approx(2.0)  # the far corner: 1 + 1
    spread = maps.clone()
    spread[0, 1] = 50.0
    assert concentration(spread, (2, 2)).item() == pytest.approx(3.0)


def test_a_term_without_weight_is_not_there_and_the_lasso_is_the_length_of_the_weights():
    net = DSVANet(4, 3, ("global", "local"), "centred", True)
    torch.nn.init.constant_(net.weight["global"], 0.5)
    views = net.views(torch.rand(2, 4), torch.rand(2, 6, 4))
    phi, y = F.normalize(torch.rand(5, 3), dim=1), torch.tensor([0, 4])
    found = terms(net, net(views), phi, y, (2, 3), {"lasso": 1.0})
    assert found.lasso.item() == pytest.approx(3.0)
    assert found.compatibility_global == found.concentration == 0


def test_the_crop_is_looked_at_again_and_counts(small):
    pictures, table = small
    train = TrainingSet(pictures.of_classes(SEEN), SEEN)
    options = {"start": "ridge", "focus": "crop", "predict": "all", "episodes_per_epoch": 5}
    method = DSVA(**options).fit(train, table)
    assert method.predicting == ("global", "local", "focus")
    new = pictures.of_classes(UNSEEN)
    cropped, whole = method.scores(new, table), DSVA(**{**options, "focus": "whole"}).fit(train, table)
    assert np.abs(cropped.values - whole.scores(new, table).values).max() > 0.01
    with pytest.raises(EncoderError, match="give the folder of pictures, or take focus=whole"):
        method.scores(replace(new, crops=None), table)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "prompts"}, "brings no words for its attributes; make it with `annotate`"),
        ({"predict": "local", "weight_compatibility_local": 0.0}, "needs a branch whose compatibility has a weight"),
        ({"focus": "crop", "weight_compatibility_local": 0.0}, "needs the local branch, which says where to look"),
    ],
)
def test_options_that_cannot_be_had_are_said_in_one_line(options, message):
    train, table = world()
    with pytest.raises(OptionError, match=message):
        DSVA(**options).fit(train, table)


def test_words_of_another_model_are_refused(small):
    _, table = small
    train, _ = world()
    words = replace(world()[1], prompts=replace(table.prompts, vectors=table.prompts.vectors[:10]))
    with pytest.raises(OptionError, match="use the two towers of one model, with the projection"):
        DSVA(start="prompts").fit(train, words)


def test_embeddings_without_grids_are_refused_with_the_remedy():
    train, table = world()
    plain = TrainingSet(replace(train.pictures, grids=None), CLASSES)
    with pytest.raises(EncoderError, match=r"embed again with --grid"):
        DSVA().fit(plain, table)


@pytest.mark.parametrize("told", [True, False])
def test_what_is_left_open_is_decided_by_whether_there_are_words(told):
    setup = Setup.of(DSVAOptions(), told)
    assert (setup.start, setup.inputs) == (("prompts", "centred") if told else ("ridge", "power"))
    assert setup.centred_classes is told
    given = Setup.of(DSVAOptions(inputs="centred", focus="none", predict="local"), told)
    assert (given.inputs, given.predicting) == ("centred", ("local",))


def test_one_seed_gives_one_fit():
    train, table = world()
    one, same, other = (DSVA(seed=seed).fit(train, table).scores(train.pictures, table).values for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


def test_training_sees_the_cached_views_and_scores_see_the_first():
    train, table = world()
    tokens = train.pictures.grids.read(np.arange(len(train.pictures)))
    turned = np.rot90(tokens, axes=(1, 2))
    several = replace(
        train.pictures, grids=TokenGrids.of(np.stack([tokens, turned + 0.2], 1)), views=train.pictures.x[:, None] + 0.2
    )
    one = DSVA(start="ridge").fit(train, table)
    both = DSVA(start="ridge").fit(TrainingSet(several, CLASSES), table)
    assert (one.state_["net.weight.local"] != both.state_["net.weight.local"]).any()
    np.testing.assert_array_equal(
        both.scores(several, table).values, both.scores(replace(several, views=None), table).values
    )
    begun = [DSVA(start="ridge", epochs=0).fit(TrainingSet(x, CLASSES), table) for x in (train.pictures, several)]
    np.testing.assert_array_equal(*(fitted.state_["net.weight.global"] for fitted in begun))
