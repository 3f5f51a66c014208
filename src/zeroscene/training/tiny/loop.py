"""The training loop: pieces of a batch on all cores, the same numbers on any number of them, killed or not.

A step's texts, pictures and their orientations follow from the seed and the step's number. Its gradient is the sum over
pieces of fixed size, in their order; threads only share out the pieces. So neither the number of threads nor an
interruption changes a bit of the result on one machine.

The learning rate is constant and falls to zero over the last part. The state at the start of the fall is kept too:
asked for more epochs, a finished run continues from there.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from zeroscene.encoders.speed import arithmetic, device
from zeroscene.errors import StoreError
from zeroscene.files import json_digest, replacing
from zeroscene.progress import progress
from zeroscene.training.tiny.loss import Judge, contrast, pair_weights
from zeroscene.training.tiny.model import Shape, build_model, look, pad, read
from zeroscene.training.tiny.muon import Muon
from zeroscene.training.tiny.pool import Pool
from zeroscene.training.tiny.texts import Speech, draw_texts, orient

_PICTURES, _TEXTS = 32, 128
"""Pictures and texts in a piece."""

_KEEP = 100
_WARM = 200
_CLIP = 1.0
_LARGEST_LOG_SCALE = 4.6
_SCALARS = 10.0
"""Scales and biases have far to go and few steps to go it in."""


@dataclass(frozen=True)
class Recipe:
    """What decides the weights.

    Attributes:
        seed: of weights, texts, order and orientations.
        steps: in all.
        batch: pictures a step.
        rate: learning rate.
        decay: weight decay of matrices.
        fall: part of the steps in which the rate falls to zero.
        grid: weight of the loss of the token grid.
        shape: of the encoder.
        speech: how much is said.
    """

    seed: int = 0
    steps: int = 4000
    batch: int = 128
    rate: float = 2e-3
    decay: float = 0.05
    fall: float = 0.4
    grid: float = 0.5
    shape: Shape = field(default_factory=Shape)
    speech: Speech = field(default_factory=Speech)

    def of_length(self, looks: int) -> "Recipe":
        """Return the recipe with as many steps as it takes to look at so many pictures."""
        return replace(self, steps=-(-looks // self.batch))

    @property
    def turn(self) -> int:
        """The step at which the rate begins to fall."""
        return self.steps - int(self.fall * self.steps)

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step."""
        left = (self.steps - step) / max(1, self.steps - self.turn)
        return self.rate * min(1.0, (step + 1) / _WARM, left)

    @property
    def trunk(self) -> str:
        """Digest of what decides the weights as long as the rate does not fall."""
        same = {name: value for name, value in asdict(self).items() if name not in ("steps", "fall")}
        return json_digest(same)


class Point(NamedTuple):
    """The mean losses of the steps since the last point."""

    step: int
    whole: float
    grid: float


@dataclass
class State:
    """A run at some step.

    Attributes:
        step: steps done.
        seconds: time they took.
        curve: losses so far.
    """

    step: int = 0
    seconds: float = 0.0
    curve: list[Point] = field(default_factory=list)


class _Batch(NamedTuple):
    """What a step looks at and reads.

    Attributes:
        pictures: (B, 3, side, side) uint8.
        ids: tokens of L texts.
        truth: (B, L) bool, whether each text is true of each picture.
        phrases: number of texts at the end that say one fact.
    """

    pictures: Tensor
    ids: list[list[int]]
    truth: Tensor
    phrases: int


class Run:
    """An encoder in training.

    Attributes:
        model: a CLIPModel.
        state: where the run is.
    """

    def __init__(self, recipe: Recipe, pool: Pool, tokenizer: Any, folder: Path, jobs: int):
        self.recipe, self.pool, self.tokenizer, self.folder = recipe, pool, tokenizer, folder
        self.device = device()
        self.model = build_model(recipe.shape, len(tokenizer), recipe.seed).train().to(self.device)
        if self.device.type == "cpu":
            # torch's fused attention is three to ten times slower than plain products at a hundred tokens.
            self.model.set_attn_implementation("eager")
        self.judge = Judge().to(self.device)
        named = [*self.model.named_parameters(), *self.judge.named_parameters(prefix="judge")]
        self.names = [name for name, _ in named]
        self.parameters = [parameter for _, parameter in named]
        self._bf16 = arithmetic("auto") == "bf16"
        self.state = State()
        self._same = json_digest([recipe.trunk, len(pool), _digest(pool)])
        threads = 1 if self.device.type == "cuda" else jobs
        self._threads = ThreadPoolExecutor(threads, "train", torch.set_num_threads, (1,))
        self._ahead: tuple[int, Future[_Batch]] | None = None
        self.optimisers = _optimisers(named, recipe, torch.bfloat16 if self._bf16 else torch.float32, self._threads)
        self._pieces = _PICTURES if self.device.type == "cpu" else recipe.batch

    def train(self, tell: Callable[[Sequence[Point]], None] = lambda _curve: None) -> None:
        """Go on to the last step, keeping the state on the way.

        Args:
            tell: is given the curve whenever the state is kept.
        """
        recipe, state = self.recipe, self.state
        begun, recent = time.monotonic() - state.seconds, []
        with (
            _one_thread(),
            progress("training", recipe.steps * recipe.batch, done=state.step * recipe.batch) as advance,
        ):
            while state.step < recipe.steps:
                recent.append(self._step(state.step))
                state.step += 1
                advance(recipe.batch)
                if state.step % _KEEP == 0 or state.step in (recipe.turn, recipe.steps):
                    whole, grid = (float(np.mean(column)) for column in zip(*recent, strict=True))
                    state.curve.append(Point(state.step, whole, grid))
                    recent, state.seconds = [], time.monotonic() - begun
                    if state.step == recipe.turn:
                        self._keep("trunk")
                    self._keep("state")
                    tell(state.curve)

    def resume(self) -> None:
        """Go back to where an earlier run of the same recipe stopped, if there was one.

        Raises:
            StoreError: the folder is of another recipe, its file is damaged, or it has trained for longer already.
        """
        past = []
        for name in ("state", "trunk"):
            file = self.folder / f"{name}.safetensors"
            if not file.is_file():
                continue
            note = _note(file)
            if note["same"] != self._same:
                raise StoreError(f"{self.folder} holds a run of another seed or recipe; give another --out")
            same_fall = (note["steps"], note["turn"]) == (self.recipe.steps, self.recipe.turn)
            if same_fall or note["step"] <= min(note["turn"], self.recipe.turn):
                self._load(file, note)
                return
            past.append(note["step"])
        if past:
            raise StoreError(
                f"{self.folder} was trained for {min(past):,} steps or more before its rate fell; "
                f"ask for more epochs, or give another --out"
            )

    def _step(self, step: int) -> tuple[float, float]:
        recipe = self.recipe
        gradients, losses = self._gradients(self._lesson_of(step), step)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(self.parameters, _CLIP)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate_at(step) * group.get("faster", 1.0)
            optimiser.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=_LARGEST_LOG_SCALE)
        return losses

    def _lesson_of(self, step: int) -> "_Batch":
        number, ahead = self._ahead or (-1, None)
        return ahead.result() if ahead is not None and number == step else self._prepare(step)

    def _prepare(self, step: int) -> "_Batch":
        recipe, rows = self.recipe, self._rows(step)
        facts_BF = self.pool.facts[rows]
        texts = draw_texts(facts_BF, recipe.speech, f"{recipe.seed}/{step}")
        return _Batch(
            torch.from_numpy(orient(self.pool.pixels, rows.tolist(), [recipe.seed, step])),
            self.tokenizer(list(texts.texts))["input_ids"],
            torch.from_numpy(texts.truth(facts_BF)),
            texts.phrases,
        )

    def _rows(self, step: int) -> Any:
        """Return the pictures of a step: each once in an order that is new in every epoch."""
        batch, count = self.recipe.batch, len(self.pool)
        places = np.arange(step * batch, (step + 1) * batch)
        rows = np.empty(batch, np.int64)
        for epoch in np.unique(places // count):
            order = np.random.default_rng([self.recipe.seed, int(epoch)]).permutation(count)
            here = places // count == epoch
            rows[here] = order[places[here] % count]
        return rows

    def _gradients(self, batch: "_Batch", step: int) -> tuple[list[Tensor], tuple[float, float]]:
        """Return the gradient of every parameter and both losses; the next step is prepared meanwhile.

        The texts are read once; each piece of pictures gives its gradient by them, and their sum goes back through
        the text tower.
        """
        ids, truth_BL, phrases = batch.ids, batch.truth.to(self.device), batch.phrases
        order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), i))
        groups = [order[first : first + _TEXTS] for first in range(0, len(order), _TEXTS)]
        vectors = list(self._threads.map(lambda group: self._read(pad([ids[i] for i in group])), groups))
        places = torch.tensor([i for group in groups for i in group]).argsort().to(self.device)
        leaf_LD = torch.cat([v.detach() for v in vectors])[places].requires_grad_()
        weights_BL = pair_weights(truth_BL)
        single_BP = pair_weights(truth_BL[:, -phrases:])

        def piece(rows: slice) -> tuple[list[Tensor], float, float]:
            with self._autocast():
                pooled_BD, tokens_BTD = look(self.model, batch.pictures[rows].to(self.device))
            logits_BL = self.judge.whole(self.model.logit_scale, pooled_BD, leaf_LD)
            whole = contrast(logits_BL, truth_BL[rows], weights_BL[rows])
            logits_BP = self.judge.grid(tokens_BTD, leaf_LD[-phrases:])
            grid = contrast(logits_BP, truth_BL[rows, -phrases:], single_BP[rows])
            return self._derive(whole + self.recipe.grid * grid, [*self.parameters, leaf_LD]), whole.item(), grid.item()

        def back(part: tuple[Tensor, Tensor]) -> list[Tensor]:
            vectors_LD, gradient_LD = part
            return self._derive(vectors_LD, self.parameters, gradient_LD)

        slices = [slice(first, first + self._pieces) for first in range(0, len(batch.pictures), self._pieces)]
        pieces = self._threads.map(piece, slices)
        self._ahead = step + 1, self._threads.submit(self._prepare, step + 1)
        done = list(pieces)
        *total, leaf_gradient_LD = _sum(gradients for gradients, _, _ in done)
        by_group = torch.split(leaf_gradient_LD[places.argsort()], [len(group) for group in groups])
        of_texts = self._threads.map(back, zip(vectors, by_group, strict=True))
        return _sum([total, *of_texts]), (sum(w for _, w, _ in done), sum(g for _, _, g in done))

    def _read(self, ids_LT: Tensor) -> Tensor:
        with self._autocast():
            return read(self.model, ids_LT.to(self.device))

    def _derive(self, value: Tensor, inputs: Sequence[Tensor], gradient: Tensor | None = None) -> list[Tensor]:
        return list(torch.autograd.grad(value, inputs, gradient, allow_unused=True, materialize_grads=True))

    def _autocast(self) -> Any:
        # All threads share the cache of rounded weights and clear it for each other: whether two uses of a matrix add
        # their gradients before or after rounding would be left to chance.
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16, cache_enabled=False)

    def _keep(self, name: str) -> None:
        from safetensors.torch import save_file

        tensors = dict(zip(self.names, (p.detach() for p in self.parameters), strict=True))
        for number, optimiser in enumerate(self.optimisers):
            for index, moments in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{number}.{index}.{key}": value for key, value in moments.items()}
        note = {"same": self._same, "steps": self.recipe.steps, "turn": self.recipe.turn, **asdict(self.state)}
        with replacing(self.folder / f"{name}.safetensors") as temporary:
            save_file({k: v.cpu().contiguous() for k, v in tensors.items()}, temporary, {"note": json.dumps(note)})

    def _load(self, file: Path, note: dict[str, Any]) -> None:
        from safetensors.torch import load_file

        tensors = load_file(file)
        with torch.no_grad():
            for name, parameter in zip(self.names, self.parameters, strict=True):
                parameter.copy_(tensors[name])
        moments: list[dict[int, dict[str, Tensor]]] = [{} for _ in self.optimisers]
        for name, value in tensors.items():
            if name.startswith("optimiser."):
                _, number, index, key = name.split(".")
                moments[int(number)].setdefault(int(index), {})[key] = value
        for optimiser, state in zip(self.optimisers, moments, strict=True):
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        curve = [Point(*point) for point in note["curve"]]
        self.state = State(note["step"], note["seconds"], curve)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch from sharing out single operations: on a busy machine its threads wait for each other all the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _optimisers(
    named: Sequence[tuple[str, nn.Parameter]], recipe: Recipe, inner: torch.dtype, threads: Executor
) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices of the layers, AdamW for all else."""
    layers = [p for name, p in named if ".layers." in name and p.ndim == 2]
    outer = [p for name, p in named if not (".layers." in name and p.ndim == 2) and p.ndim >= 2]
    vectors = [p for _, p in named if p.ndim == 1]
    scalars = [p for _, p in named if p.ndim == 0]
    adam = torch.optim.AdamW(
        [
            {"params": outer, "weight_decay": recipe.decay},
            {"params": vectors, "weight_decay": 0.0},
            {"params": scalars, "weight_decay": 0.0, "faster": _SCALARS},
        ],
        lr=recipe.rate,
        betas=(0.9, 0.98),
    )
    return [Muon(layers, recipe.rate, recipe.decay, inner, threads), adam]


def _sum(parts: Any) -> list[Tensor]:
    total: list[Tensor] = []
    for part in parts:
        if total:
            torch._foreach_add_(total, part)
        else:
            total = part
    return total


def _digest(pool: Pool) -> str:
    """Return a digest of some of the lessons, enough to tell pools apart."""
    from zeroscene.files import digest

    some = np.linspace(0, len(pool) - 1, 16).astype(int)
    return digest(pool.pixels[some].tobytes(), pool.facts[some].tobytes())


def _note(file: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:
            return dict(json.loads(opened.metadata()["note"]))
    except (SafetensorError, KeyError, ValueError) as error:
        raise StoreError(f"{file} is damaged; remove it and repeat the command") from error
