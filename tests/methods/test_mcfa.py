"""MCFA: every term against a direct double loop, golden values, the published defects, classes at run time."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import OptionError
from zeroscene.methods import mcfa
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.mcfa import CADAVAE, MCFA, AlignedVAEs, Gaussian, MCFAOptions
from zeroscene.semantics.table import ClassTable

E, C, K, D, A, L, TAU = 3, 4, 5, 12, 7, 6, 2.0


@pytest.fixture
def latents() -> tuple[Gaussian, Gaussian]:
    g = torch.Generator().manual_seed(1)

    def gaussian(*shape: int) -> Gaussian:
        mu, logvar, eps = (torch.randn(*shape, generator=g, dtype=torch.float64) for _ in range(3))
        return Gaussian(mu, logvar, mu + (logvar / 2).exp() * eps)

    return gaussian(E, C, K, L), gaussian(E, C, L)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def test_v2v_is_the_double_loop_of_the_paper(latents: tuple[Gaussian, Gaussian]) -> None:
    z = latents[0].z
    expected = 0.0
    pictures = list(product(range(C), range(K)))
    for e, i in product(range(E), pictures):
        sims = {j: math.exp(cosine(z[e][i], z[e][j]) / TAU) for j in pictures if j != i}
        same = [s for j, s in sims.items() if j[0] == i[0]]
        expected -= math.log(sum(same) / len(same) / sum(sims.values()))
    assert float(mcfa.v2v(z, TAU)) == pytest.approx(expected, rel=1e-10)


def test_v2s_is_the_double_loop_of_the_paper(latents: tuple[Gaussian, Gaussian]) -> None:
    v, s = latents[0].z, latents[1].z
    expected = 0.0
    for e, c, k in product(range(E), range(C), range(K)):
        sims = [math.exp(cosine(v[e, c, k], s[e, other]) / TAU) for other in range(C)]
        expected -= math.log(sims[c] / sum(sims))
    assert float(mcfa.v2s(v, s, TAU)) == pytest.approx(expected, rel=1e-10)


def test_s2v_is_the_double_loop_of_the_paper(latents: tuple[Gaussian, Gaussian]) -> None:
    v, s = latents[0].z, latents[1].z
    expected = 0.0
    for e, c in product(range(E), range(C)):
        sims = {(o, k): math.exp(cosine(s[e, c], v[e, o, k]) / TAU) for o, k in product(range(C), range(K))}
        own = [sims[c, k] for k in range(K)]
        expected -= math.log(sum(own) / K / sum(sims.values()))
    assert float(mcfa.s2v(v, s, TAU)) == pytest.approx(expected, rel=1e-10)


def test_alignment_is_the_wasserstein_distance_of_each_picture_and_its_class(
    latents: tuple[Gaussian, Gaussian],
) -> None:
    v, s = latents
    expected = 0.0
    for e, c, k in product(range(E), range(C), range(K)):
        squared = 0.0
        for d in range(L):
            squared += (float(v.mu[e, c, k, d]) - float(s.mu[e, c, d])) ** 2
            squared += (math.exp(float(v.logvar[e, c, k, d]) / 2) - math.exp(float(s.logvar[e, c, d]) / 2)) ** 2
        expected += math.sqrt(squared)
    assert float(mcfa.alignment(v, s)) == pytest.approx(expected, rel=1e-10)


def test_kl_is_the_closed_form_of_torch(latents: tuple[Gaussian, Gaussian]) -> None:
    q = latents[0]
    normal = torch.distributions.Normal(q.mu, (q.logvar / 2).exp())
    unit = torch.distributions.Normal(torch.zeros_like(q.mu), torch.ones_like(q.mu))
    expected = torch.distributions.kl_divergence(normal, unit).sum()
    assert float(mcfa.kl(q)) == pytest.approx(float(expected), rel=1e-10)


def network(behaviour: str = "corrected") -> AlignedVAEs:
    options = MCFAOptions(hidden_visual=16, hidden_semantic=8, latent=L, behaviour=behaviour)
    net = AlignedVAEs(D, A, options)
    generator = torch.Generator().manual_seed(0)
    net.visual.initialise(generator)
    net.semantic.initialise(generator)
    return net


def episode() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(7)
    return torch.rand(E, C, K, D, generator=g), torch.rand(E, C, A, generator=g)


def test_reconstructions_are_the_double_loop_of_the_paper() -> None:
    net, (x, phi) = network(), episode()
    terms = net.terms(x, phi, TAU, True, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    v = net.sample(*net.visual.encode(x), generator)
    s = net.sample(*net.semantic.encode(phi), generator)
    own = cross = 0.0
    for e, c in product(range(E), range(C)):
        own += float((net.semantic.decoder(s.z[e, c]).detach() - phi[e, c]).abs().sum())
        for k in range(K):
            own += float((net.visual.decoder(v.z[e, c, k]).detach() - x[e, c, k]).abs().sum())
            cross += float((net.visual.decoder(s.z[e, c]).detach() - x[e, c, k]).abs().sum())
            cross += float((net.semantic.decoder(v.z[e, c, k]).detach() - phi[e, c]).abs().sum())
    assert float(terms.reconstruction.detach()) == pytest.approx(own, rel=1e-5)
    assert float(terms.cross_reconstruction.detach()) == pytest.approx(cross, rel=1e-5)


GOLDEN = {
    "corrected": {
        "reconstruction": 398.014,
        "kl": 1.64276,
        "cross_reconstruction": 567.378,
        "alignment": 15.1399,
        "v2v": 178.055,
        "v2s": 83.054,
        "s2v": 35.7936,
    },
    "published": {
        "reconstruction": 401.124,
        "kl": 1.64276,
        "cross_reconstruction": 562.107,
        "alignment": 15.1399,
        "v2v": 175.943,
        "v2s": 91.0542,
        "s2v": 36.7071,
    },
}


@pytest.mark.parametrize("behaviour", ["corrected", "published"])
def test_first_value_of_each_term_is_golden(behaviour: str) -> None:
    net, (x, phi) = network(behaviour), episode()
    terms = net.terms(x, phi, TAU, True, torch.Generator().manual_seed(3))
    values = {name: float(getattr(terms, name).detach()) for name in GOLDEN[behaviour]}
    assert values == pytest.approx(GOLDEN[behaviour], rel=1e-5)


def test_published_noise_is_one_scalar_a_row_with_the_variance_as_deviation() -> None:
    mu, logvar = torch.zeros(4000, 3), torch.full((4000, 3), math.log(0.25))
    published = network("published").sample(mu, logvar, torch.Generator().manual_seed(0)).z
    corrected = network().sample(mu, logvar, torch.Generator().manual_seed(0)).z
    assert torch.equal(published[:, 0], published[:, 2])
    assert float(published.std()) == pytest.approx(0.25, rel=0.05)
    assert float(torch.corrcoef(corrected.T)[0, 1].abs()) < 0.05
    assert float(corrected.std()) == pytest.approx(0.5, rel=0.05)


def test_loss_is_the_weighted_sum_of_the_terms() -> None:
    net, (x, phi) = network(), episode()
    terms = net.terms(x, phi, TAU, True, torch.Generator().manual_seed(3))
    paper = MCFAOptions()
    expected = (terms.reconstruction + terms.kl + 10 * terms.cross_reconstruction + terms.alignment) + (
        100 * terms.v2v + 100 * terms.v2s + 10 * terms.s2v
    )
    assert float(terms.weighted(paper).detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    without = MCFAOptions(weight_v2v=0, weight_v2s=0, weight_s2v=0)
    assert float(terms.weighted(without).detach()) == pytest.approx(
        float(terms.weighted(CADAVAE().options).detach()), rel=1e-6
    )


IDENTITY = EncoderIdentity("toy", "w", "p", "o")


def toy(seen: int = 8, unseen: int = 3, pictures: int = 20) -> tuple[Embeddings, ClassTable]:
    rng = np.random.default_rng(0)
    phi = rng.random((seen + unseen, 10)).astype(np.float32)
    mixing = rng.normal(size=(10, 24)).astype(np.float32)
    names = tuple(f"class {i}" for i in range(seen + unseen))
    labels = tuple(name for name in names for _ in range(pictures))
    x = np.repeat(phi @ mixing, pictures, axis=0) + 0.3 * rng.normal(size=(len(labels), 24)).astype(np.float32)
    table = ClassTable(names, phi, tuple(f"a{i}" for i in range(10)), "attributes")
    return Embeddings(tuple(map(str, range(len(labels)))), x.astype(np.float32), IDENTITY, labels), table


SMALL = {"hidden_visual": 32, "hidden_semantic": 32, "latent": 16, "learning_rate": 1e-3}


def test_bf16_and_float32_training_agree_on_most_unseen_pictures() -> None:
    pictures, table = toy()
    seen, unseen = table.classes[:8], table.classes[8:]
    train, test = TrainingSet(pictures.of_classes(seen), seen), pictures.of_classes(unseen)
    best = [
        MCFA(precision=precision, **SMALL).fit(train, table).scores(test, table.select(unseen)).best()
        for precision in ("bf16", "fp32")
    ]
    assert (best[0] == best[1]).mean() > 0.8


def test_generalised_scores_cover_seen_and_unseen_classes() -> None:
    pictures, table = toy()
    seen = table.classes[:8]
    method = MCFA(**SMALL).fit(TrainingSet(pictures.of_classes(seen), seen), table)
    scores = method.scores(pictures, table)
    of_seen = pictures.label_indices(table.classes) < 8
    assert (scores.best()[of_seen] == pictures.label_indices(table.classes)[of_seen]).mean() > 0.8
    np.testing.assert_allclose(np.exp(scores.values).sum(axis=1), 1, rtol=1e-4)


def test_one_seen_class_and_uneven_classes_are_learned_from() -> None:
    pictures, table = toy()
    one = table.classes[:1]
    MCFA(**SMALL).fit(TrainingSet(pictures.of_classes(one), one), table)
    uneven = pictures.take([*range(3), *range(20, 40)])
    scores = MCFA(**SMALL).fit(TrainingSet(uneven, table.classes[:2]), table).scores(pictures, table)
    assert np.isfinite(scores.values).all()


def test_a_single_picture_a_class_is_refused_since_v2v_needs_two() -> None:
    with pytest.raises(OptionError, match="pictures_per_class"):
        MCFA(pictures_per_class=1)
