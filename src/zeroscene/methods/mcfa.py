"""MCFA: multi-level cross-modal feature alignment via contrastive learning (Liu et al. 2023, arXiv 2306.06066).

Two variational autoencoders share one latent space: visual (E_v, D_v) on x, semantic (E_s, D_s) on phi(c). With
z = mu + sigma * eps, sim the cosine, tau the temperature, and sums over the pictures i and classes c of an episode:

    reconstruction         |D_v(z_v) - x|_1 + |D_s(z_s) - phi|_1
    KL                     KL(q(z|x) || N(0, 1)) + KL(q(z|phi) || N(0, 1))
    cross reconstruction   |D_v(z_s of its class) - x|_1 + |D_s(z_v) - phi of its class|_1
    alignment              sqrt(|mu_v - mu_s|^2 + |sigma_v - sigma_s|^2), the 2-Wasserstein distance
    v2v                    -log( mean over same-class j != i of exp(sim(z_i, z_j) / tau)
                                 / sum over j != i of exp(sim(z_i, z_j) / tau) )
    v2s                    -log softmax over the classes c of sim(z_i, z_c) / tau, at the class of i
    s2v                    -log( mean over pictures i of c of exp(sim(z_c, z_i) / tau)
                                 / sum over all pictures i of exp(sim(z_c, z_i) / tau) )

Then a linear softmax classifier is trained on latents: of training pictures (E_v) for seen classes, of class vectors
(E_s) for unseen ones. A class added later needs its class vector and a refit of that layer, nothing else.

CADA-VAE (Schönfeld et al., CVPR 2019) is the same without the three contrastive terms.

Shapes: E episodes a step, C classes an episode, K pictures a class, D picture width, A class-vector width, L latent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zeroscene.files import digest
from zeroscene.methods.contract import Indices, Matrix, State, VectorMethod
from zeroscene.methods.scaling import ClassScaling, apply_scaling, fit_scaling
from zeroscene.options import Options
from zeroscene.training.episodes import Episodes
from zeroscene.training.softmax import fit_softmax

_CHUNK = 8192


class AlignedVAEOptions(Options):
    """Options of CADA-VAE; defaults are those of the MCFA paper, but for `episodes_per_step` and `precision`.

    The paper steps after every episode. Here eight episodes make a step of `learning_rate * episodes_per_step`,
    which ends at about the same training loss in a fraction of the time. Weights stay float32; `precision` is that of
    the matrix products in training.
    """

    hidden_visual: int = Field(512, ge=1)
    hidden_semantic: int = Field(256, ge=1)
    latent: int = Field(64, ge=1)
    picture_scaling: Literal["minmax", "root-minmax"] = "minmax"
    class_scaling: ClassScaling = "none"
    weight_reconstruction: float = Field(1.0, ge=0)
    weight_kl: float = Field(1.0, ge=0)
    weight_cross_reconstruction: float = Field(10.0, ge=0)
    weight_alignment: float = Field(1.0, ge=0)
    epochs: int = Field(50, ge=1)
    classes_per_episode: int = Field(5, ge=2)
    pictures_per_class: int = Field(5, ge=2)
    episodes_per_step: int = Field(8, ge=1)
    learning_rate: float = Field(1.5e-4, gt=0)
    latents_seen: int = Field(200, ge=1)
    latents_unseen: int = Field(200, ge=1)
    latents_unseen_generalised: int = Field(400, ge=1)
    classifier_epochs: int = Field(30, ge=1)
    classifier_learning_rate: float = Field(1e-3, gt=0)
    behaviour: Literal["corrected", "published"] = "corrected"
    precision: Literal["bf16", "fp32"] = "bf16"
    seed: int = Field(0, ge=0)


class MCFAOptions(AlignedVAEOptions):
    """Options of MCFA: those of CADA-VAE and the contrastive terms'."""

    tau: float = Field(2.0, gt=0)
    weight_v2v: float = Field(100.0, ge=0)
    weight_v2s: float = Field(100.0, ge=0)
    weight_s2v: float = Field(10.0, ge=0)


@dataclass(frozen=True)
class Terms:
    """The seven terms of a step, each a sum over its episodes."""

    reconstruction: Tensor
    kl: Tensor
    cross_reconstruction: Tensor
    alignment: Tensor
    v2v: Tensor
    v2s: Tensor
    s2v: Tensor

    def weighted(self, options: AlignedVAEOptions) -> Tensor:
        """Return the loss: the terms that the options give a weight, weighted and summed."""
        weights = {f.name: getattr(options, f"weight_{f.name}", 0.0) for f in fields(self)}
        return torch.stack([getattr(self, name) * weight for name, weight in weights.items() if weight]).sum()


@dataclass(frozen=True)
class Gaussian:
    """A diagonal Gaussian over latents: mean and log-variance, and one sample z."""

    mu: Tensor
    logvar: Tensor
    z: Tensor


def kl(q: Gaussian) -> Tensor:
    """Return the sum of KL(q || N(0, 1)) over rows."""
    return 0.5 * (q.mu.square() + q.logvar.exp() - 1 - q.logvar).sum()


def alignment(v_ECKL: Gaussian, s_ECL: Gaussian) -> Tensor:
    """Return the sum of 2-Wasserstein distances between each picture's Gaussian and its class's."""
    mean = (v_ECKL.mu - s_ECL.mu.unsqueeze(2)).square().sum(-1)
    spread = ((v_ECKL.logvar / 2).exp() - (s_ECL.logvar / 2).exp().unsqueeze(2)).square().sum(-1)
    return (mean + spread).clamp_min(1e-12).sqrt().sum()


def v2v(z_ECKL: Tensor, tau: float) -> Tensor:
    """Return the cross-instance contrast: pictures of one class together, of other classes apart."""
    e, c, k, _ = z_ECKL.shape
    z = F.normalize(z_ECKL, dim=-1).flatten(1, 2)
    sim = (z @ z.transpose(1, 2) / tau).masked_fill(torch.eye(c * k, dtype=torch.bool), -torch.inf)
    own = sim.view(e, c, k, c, k).diagonal(dim1=1, dim2=3)
    return (sim.logsumexp(-1).sum() - own.logsumexp(2).sum()) + e * c * k * float(np.log(k - 1))


def v2s(z_v_ECKL: Tensor, z_s_ECL: Tensor, tau: float) -> Tensor:
    """Return the cross-modal contrast of each picture with the episode's class vectors."""
    sim_ECKC = _cross(z_v_ECKL, z_s_ECL, tau)
    return (sim_ECKC.logsumexp(-1) - sim_ECKC.diagonal(dim1=1, dim2=3).transpose(1, 2)).sum()


def s2v(z_v_ECKL: Tensor, z_s_ECL: Tensor, tau: float) -> Tensor:
    """Return the cross-modal contrast of each class vector with the episode's pictures."""
    sim_ECKC = _cross(z_v_ECKL, z_s_ECL, tau)
    e, c, k, _ = sim_ECKC.shape
    own_EKC = sim_ECKC.diagonal(dim1=1, dim2=3)
    return sim_ECKC.flatten(1, 2).logsumexp(1).sum() - own_EKC.logsumexp(1).sum() + e * c * float(np.log(k))


def _cross(z_v_ECKL: Tensor, z_s_ECL: Tensor, tau: float) -> Tensor:
    z_v, z_s = F.normalize(z_v_ECKL, dim=-1), F.normalize(z_s_ECL, dim=-1)
    return torch.einsum("eckl,edl->eckd", z_v, z_s) / tau


class VAE(nn.Module):
    """One hidden layer with ReLU on either side of a latent Gaussian."""

    def __init__(self, width: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw weights Xavier-uniform with gain 0.5; biases are zero."""
        for layer in (*self.encoder, *self.decoder):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight, gain=0.5, generator=generator)
                nn.init.zeros_(layer.bias)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and logvar, (..., L) each, float32."""
        mu, logvar = self.encoder(x).float().chunk(2, dim=-1)
        return mu, logvar


class AlignedVAEs(nn.Module):
    """The visual and the semantic autoencoder over one latent space."""

    def __init__(self, width: int, attributes: int, options: AlignedVAEOptions) -> None:
        super().__init__()
        self.visual = VAE(width, options.hidden_visual, options.latent)
        self.semantic = VAE(attributes, options.hidden_semantic, options.latent)
        self.published = options.behaviour == "published"

    def sample(self, mu: Tensor, logvar: Tensor, generator: torch.Generator) -> Gaussian:
        """Return z = mu + sigma * eps, sigma = exp(logvar / 2), one eps a dimension.

        The public implementation takes sigma = exp(logvar) and one eps a row.
        """
        shape = (*mu.shape[:-1], 1) if self.published else mu.shape
        sigma = logvar.exp() if self.published else (logvar / 2).exp()
        return Gaussian(mu, logvar, mu + sigma * torch.randn(shape, generator=generator))

    def terms(self, x_ECKD: Tensor, phi_ECA: Tensor, tau: float, contrast: bool, generator: torch.Generator) -> Terms:
        """Return the seven terms of a step; the contrastive ones are zero without `contrast`.

        A class's D_v(z_s) is decoded once and compared with all its pictures.
        """
        episodes, pictures = x_ECKD.shape[:2], x_ECKD.shape[2]
        v = self.sample(*self.visual.encode(x_ECKD), generator)
        s = self.sample(*self.semantic.encode(phi_ECA), generator)
        x_hat = self.visual.decoder(torch.cat([v.z, s.z.unsqueeze(2)], dim=2))
        phi_hat = self.semantic.decoder(torch.cat([s.z.unsqueeze(2), v.z], dim=2))
        phi = phi_ECA.unsqueeze(2)
        zero = x_hat.new_zeros((), dtype=torch.float32)
        return Terms(
            reconstruction=_l1(x_hat[:, :, :pictures], x_ECKD) + _l1(phi_hat[:, :, :1], phi),
            kl=kl(v) + kl(s),
            cross_reconstruction=_l1(x_hat[:, :, pictures:].expand(*episodes, pictures, -1), x_ECKD)
            + _l1(phi_hat[:, :, 1:], phi.expand(*episodes, pictures, -1)),
            alignment=alignment(v, s),
            v2v=v2v(v.z, tau) if contrast else zero,
            v2s=v2s(v.z, s.z, tau) if contrast else zero,
            s2v=s2v(v.z, s.z, tau) if contrast else zero,
        )


def _l1(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().sum(dtype=torch.float32)


class AlignedVAEMethod(VectorMethod[AlignedVAEOptions]):
    """Training, the latent classifier and its refit for new classes: what MCFA and CADA-VAE share."""

    apart: ClassVar[bool] = False

    @classmethod
    def candidates(cls) -> Sequence[Mapping[str, Any]]:
        """Option sets among which honest selection chooses; the first is the default.

        Longer training fits the seen classes better and, from some point on, unseen ones worse. Roots spread the
        long-tailed activations of a network over [0, 1], of which min-max alone uses little.
        """
        return ({}, {"epochs": 25}, {"epochs": 25, "picture_scaling": "root-minmax"})

    def _fit(self, x: Matrix, y: Indices, phi: Matrix) -> State:
        o = self.options
        state = fit_scaling(o.picture_scaling, x, "pictures") | fit_scaling(o.class_scaling, phi, "classes")
        x = apply_scaling(o.picture_scaling, state, x, "pictures")
        phi = apply_scaling(o.class_scaling, state, phi, "classes")
        net = self._network(x.shape[1], phi.shape[1])
        self._train(net, torch.tensor(x), y, torch.tensor(phi))
        state |= {f"net.{k}": v.numpy() for k, v in net.state_dict().items()}
        return state | self._latents_of(net, x, y)

    def _network(self, width: int, attributes: int) -> AlignedVAEs:
        with torch.random.fork_rng(devices=[]):  # layers draw from the program's generator before `initialise`
            net = AlignedVAEs(width, attributes, self.options)
        generator = torch.Generator().manual_seed(self.options.seed)
        net.visual.initialise(generator)
        net.semantic.initialise(generator)
        return net

    def _train(self, net: AlignedVAEs, x: Tensor, y: Indices, phi: Tensor) -> None:
        o = self.options
        tau = getattr(o, "tau", 1.0)
        contrast = isinstance(o, MCFAOptions) and o.weight_v2v + o.weight_v2s + o.weight_s2v > 0
        dtype = torch.bfloat16 if o.precision == "bf16" else torch.float32
        x, phi = x.to(dtype), phi.to(dtype)
        rng, generator = np.random.default_rng(o.seed), torch.Generator().manual_seed(o.seed + 1)
        rate = o.learning_rate * o.episodes_per_step
        optimiser = torch.optim.Adam(net.parameters(), rate, amsgrad=True, fused=True)
        episodes = Episodes(y, o.classes_per_episode, o.pictures_per_class, o.behaviour == "published")
        for _ in range(o.epochs):
            for classes_EC, pictures_ECK in episodes.steps(rng, o.episodes_per_step):
                with torch.autocast("cpu", dtype, enabled=o.precision == "bf16"):
                    terms = net.terms(
                        x[torch.from_numpy(pictures_ECK)], phi[torch.from_numpy(classes_EC)], tau, contrast, generator
                    )
                    loss = terms.weighted(o)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()

    @torch.no_grad()
    def _latents_of(self, net: AlignedVAEs, x: Matrix, y: Indices) -> State:
        """Return the Gaussians of up to `latents_seen` training pictures a seen class, for later refits."""
        rng = np.random.default_rng(self.options.seed)
        kept = [rng.permutation(np.flatnonzero(y == c))[: self.options.latents_seen] for c in range(y.max() + 1)]
        rows = np.concatenate(kept)
        mu, logvar = net.visual.encode(torch.from_numpy(x[rows]))
        return {"seen.mu": mu.numpy(), "seen.logvar": logvar.numpy(), "seen.y": y[rows]}

    @torch.no_grad()
    def _scores(self, x: Matrix, phi: Matrix, seen: Indices) -> Matrix:
        net = self._network(self.state_["net.visual.encoder.0.weight"].shape[1], phi.shape[1])
        net.load_state_dict(
            {k.removeprefix("net."): torch.from_numpy(v) for k, v in self.state_.items() if k.startswith("net.")}
        )
        phi = apply_scaling(self.options.class_scaling, self.state_, phi, "classes")
        weight_CL, bias_C = self._classifier(net, phi, seen)
        parts = []
        for first in range(0, len(x), _CHUNK):
            part = apply_scaling(self.options.picture_scaling, self.state_, x[first : first + _CHUNK], "pictures")
            mu, _ = net.visual.encode(torch.from_numpy(part))
            parts.append(F.log_softmax(F.linear(mu, weight_CL, bias_C), dim=1).numpy())
        return np.concatenate(parts) if parts else np.empty((0, len(phi)), np.float32)

    def _classifier(self, net: AlignedVAEs, phi: Matrix, seen: Indices) -> tuple[Tensor, Tensor]:
        """Return the linear softmax layer over the candidate classes, (C, L) and (C,), in their order.

        Latents are drawn and batches are formed in an order that depends on the classes alone, so that the same
        classes in another order get the same scores.
        """
        o = self.options
        order = sorted(range(len(phi)), key=lambda c: (seen[c], phi[c].tobytes()))
        unseen_count = o.latents_unseen_generalised if (seen >= 0).any() else o.latents_unseen
        mu_s, logvar_s = net.semantic.encode(torch.tensor(phi))
        latents, labels = [], []
        for position, c in enumerate(order):
            rng = np.random.default_rng(int(digest(f"{o.seed}", phi[c].tobytes()), 16))
            if seen[c] >= 0:
                rows = rng.choice(np.flatnonzero(self.state_["seen.y"] == seen[c]), o.latents_seen)
                mu, logvar = (torch.from_numpy(self.state_[f"seen.{k}"][rows]) for k in ("mu", "logvar"))
            else:
                mu, logvar = (t[c].expand(unseen_count, -1) for t in (mu_s, logvar_s))
            generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
            latents.append(net.sample(mu, logvar, generator).z)
            labels.append(torch.full((len(mu),), position))
        weight, bias = fit_softmax(
            torch.cat(latents),
            torch.cat(labels),
            len(order),
            epochs=o.classifier_epochs,
            learning_rate=o.classifier_learning_rate,
            batch=32,
            seed=o.seed,
        )
        back = torch.from_numpy(np.argsort(order))
        return weight[back], bias[back]


class CADAVAE(AlignedVAEMethod):
    """CADA-VAE: aligned VAEs without contrast."""

    name: ClassVar[str] = "cada-vae"
    title: ClassVar[str] = "CADA-VAE"
    reference: ClassVar[str] = (
        "Schönfeld et al., Generalized Zero- and Few-Shot Learning via Aligned Variational Autoencoders, CVPR 2019"
    )
    Options: ClassVar[type[Options]] = AlignedVAEOptions


class MCFA(AlignedVAEMethod):
    """MCFA: aligned VAEs with instance, cross-instance and cross-modal alignment."""

    name: ClassVar[str] = "mcfa"
    title: ClassVar[str] = "MCFA"
    reference: ClassVar[str] = (
        "Liu et al., Multi-level Cross-modal Feature Alignment via Contrastive Learning towards Zero-shot "
        "Classification of Remote Sensing Image Scenes, 2023, arXiv 2306.06066"
    )
    Options: ClassVar[type[Options]] = MCFAOptions
