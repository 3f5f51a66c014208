"""What DSVA costs beside its encoder, ViT-B/32 shape (224 px, 7 x 7 tokens of 768), random weights, in one process.

    python benchmarks/dsva_speed.py [--rounds 2]

- head phase: an episode from cached token grids (float16 on disk) beside one that runs the frozen encoder, whose
  pictures are decoded and resized already; the same episodes from the same weights, so the losses can be compared.
- inference: pictures named by DSVA beside the bare encoder, which is asked for vectors alone.
- fine-tuning, where there is a GPU: the loop in bf16 beside a plain one in float32.

The rivals take turns, so that a busy machine slows both alike; figures are medians of the rounds. With random weights
all tokens are much alike, which is the worst case for grids of float16; `tiny`, which is trained, stands beside.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tables import RESULTS
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.extract import extract
from zeroscene.embeddings.grids import TokenGrids
from zeroscene.encoders.huggingface import HuggingFaceImageEncoder, load_image_encoder
from zeroscene.encoders.source import quiet
from zeroscene.encoders.speed import Precision
from zeroscene.encoders.trainable import open_trainable
from zeroscene.files import write_json, write_text
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.dsva.loss import terms
from zeroscene.methods.dsva.method import DSVA
from zeroscene.methods.dsva.net import DSVANet, Views
from zeroscene.methods.dsva.pictures import Pictures
from zeroscene.methods.dsva.student import Student
from zeroscene.methods.dsva.tuning import FinetuneOptions, Lessons, rate_groups
from zeroscene.provenance import environment
from zeroscene.scenes.decode import decode
from zeroscene.scenes.folder import SceneFolder
from zeroscene.scenes.splits import Split
from zeroscene.scenes.synthetic import world
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.training.episodes import Episodes
from zeroscene.training.fabric import LOSS, Course, Plan, make_fabric, train
from zeroscene.training.pictures import SeenPictures

CLASSES, EACH, SIDE = 16, 8, 256
EPISODES, STEPS, BATCH = 20, 40, 32
THREADS = 2
SEEN = world.CLASSES[:CLASSES]


@dataclass(frozen=True)
class Bench:
    """Pictures and an encoder of the shape that is measured."""

    root: Path
    encoder: Path

    @classmethod
    def lay_out(cls, folder: Path) -> "Bench":
        """Draw the pictures and save the encoder."""
        import transformers as hf

        world.write_folder(folder / "pictures", SEEN, count=EACH, size=SIDE)
        torch.manual_seed(0)
        shape = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
        model = hf.CLIPVisionModel(hf.CLIPVisionConfig(image_size=224, patch_size=32, **shape))
        with quiet():
            model.save_pretrained(folder / "vit-b-32")
        write_json(
            folder / "vit-b-32" / "preprocessor_config.json",
            {
                "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 224}, "resample": 3,
                "crop_size": {"height": 224, "width": 224}, "do_center_crop": True,
                "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28],
            },
        )  # fmt: skip
        return cls(folder / "pictures", folder / "vit-b-32")

    @property
    def scenes(self) -> SceneFolder:
        """The pictures."""
        return SceneFolder.open(self.root)

    def load(self, precision: Precision) -> HuggingFaceImageEncoder:
        """Return the encoder."""
        return load(self.encoder, precision)

    def embed(self, encoder: HuggingFaceImageEncoder) -> Embeddings:
        """Return the pictures with their token grids, on disk."""
        place = self.root.parent / f"{encoder.identity.name}-{encoder.precision}"
        store = extract(self.scenes, encoder, place, grid=True)
        return store.read(grids=True)


def load(encoder: str | Path, precision: Precision) -> HuggingFaceImageEncoder:
    """Return an encoder that runs on two threads, each with its share of a batch; what is no encoder runs on one.

    Single operations that are shared out wait for each other whenever another process is busy, which would be measured.
    """
    torch.set_num_threads(THREADS)
    loaded = load_image_encoder(encoder, precision=precision)
    torch.set_num_threads(1)
    return loaded


def in_turn(
    rounds: int, *rivals: Callable[[], Any], clock: Callable[[], float] = time.perf_counter
) -> list[list[float]]:
    """Return the seconds of each rival in each round; all of them have run before."""
    seconds: list[list[float]] = [[] for _ in rivals]
    for _ in range(rounds):
        for own, run in zip(seconds, rivals, strict=True):
            begun = clock()
            run()
            own.append(clock() - begun)
    return seconds


def head_phase(bench: Bench, encoder: HuggingFaceImageEncoder, x: Embeddings, rounds: int) -> dict[str, Any]:
    """Compare episodes of the head phase: their losses, and in a number of rounds their time."""
    shown, table = TrainingSet(x, SEEN), knowledge_table(SEEN)
    method = DSVA(epochs=0).fit(shown, table)
    o = method.options
    prepared = torch.stack([encoder.prepare(decode(bench.root / i)) for i in x.ids])
    assert encoder.grid is not None
    grid = encoder.grid[:2]
    draws = list(
        Episodes(shown.y, o.classes_per_episode, o.pictures_per_class).draw(np.random.default_rng(0), EPISODES)
    )

    def run(views_of: Callable[[DSVANet], Callable[[np.ndarray], Views]]) -> list[float]:
        net = method.net().train()
        views, phi = views_of(net), net.class_vectors(torch.tensor(table.matrix)).detach()
        trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
        optimiser = torch.optim.Adam(trained, o.learning_rate, betas=(0.5, 0.999), fused=True)
        losses = []
        for rows in draws:
            found = terms(net, net(views(rows)), phi, torch.from_numpy(shown.y[rows]), grid, o.weights)
            loss = found.weighted(o.weights)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return losses

    def cached(net: DSVANet) -> Callable[[np.ndarray], Views]:
        return Pictures(net, x).views

    def live(net: DSVANet) -> Callable[[np.ndarray], Views]:
        def views(rows: np.ndarray) -> Views:
            seen = encoder.encode(prepared[rows], grid=True)
            assert seen.grid_BHWD is not None
            return net.views(seen.pooled_BD, seen.grid_BHWD.flatten(1, 2))

        return views

    curves = [run(cached), run(live)]
    found = {
        "encoder": "ViT-B/32 shape" if encoder.identity.name == "vit-b-32" else encoder.identity.name,
        "precision": encoder.precision,
        "steps": EPISODES,
        "greatest_loss_difference": float(np.abs(np.subtract(*curves)).max()),
        "losses": [curves[0][0], curves[0][-1]],
    }
    if not rounds:
        return found
    fast, slow = in_turn(rounds, lambda: run(cached), lambda: run(live))
    return found | {
        "cached_ms": 1000 * statistics.median(fast) / EPISODES,
        "live_ms": 1000 * statistics.median(slow) / EPISODES,
        "ratio": statistics.median(b / a for a, b in zip(fast, slow, strict=True)),
    }


def inference(bench: Bench, encoder: HuggingFaceImageEncoder, x: Embeddings, rounds: int) -> dict[str, Any]:
    """Compare naming pictures with encoding them."""
    table = knowledge_table(world.CLASSES)
    method = DSVA(epochs=0).fit(TrainingSet(x, SEEN), table)
    prepared = torch.stack([encoder.prepare(decode(bench.root / i)) for i in x.ids])
    starts = range(0, len(prepared), BATCH)

    def bare(first: int) -> None:
        encoder.encode(prepared[first : first + BATCH])

    def named(first: int) -> None:
        seen = encoder.encode(prepared[first : first + BATCH], grid=True)
        assert seen.grid_BHWD is not None
        ids, grids = x.ids[first : first + BATCH], TokenGrids.of(seen.grid_BHWD.numpy())
        method.scores(Embeddings(ids, seen.pooled_BD.numpy(), x.encoder, None, grids), table)

    named(0)
    # Batch by batch in turn, and time of the processor: other processes make either wait, but neither work.
    turns = [
        in_turn(1, partial(bare, first), partial(named, first), clock=time.process_time)
        for _ in range(rounds)
        for first in starts
    ]
    plain, whole = ([own[i][0] for own in turns] for i in range(2))
    return {
        "precision": encoder.precision,
        "bare_ms": 1000 * statistics.median(plain) / BATCH,
        "dsva_ms": 1000 * statistics.median(whole) / BATCH,
        "extra": statistics.median(b / a for a, b in zip(plain, whole, strict=True)) - 1,
        "classes": len(world.CLASSES),
    }


def fine_tuning(bench: Bench, x: Embeddings, folder: Path, steps: int = STEPS) -> dict[str, Any]:
    """Compare the loop in bf16 with a plain one in float32: seconds and mean loss of the last quarter of the steps."""
    table = knowledge_table(SEEN)
    head = DSVA(epochs=0).fit(TrainingSet(x, SEEN), table)
    o = FinetuneOptions(tune_epochs=2, tune_episodes=steps, tune_rate=1e-5, precision="bf16")
    assert x.labels is not None
    bound = Split("bench", "1", SEEN, world.CLASSES[CLASSES : CLASSES + 1]).with_holdout(x.ids, x.labels, 0.1)
    kept = [i for i, picture in enumerate(x.ids) if picture not in bound.held_out]
    shown = x.take(kept)
    pictures = SeenPictures(bench.root, shown.ids, shown.labels or (), bound, SEEN)

    def begin() -> tuple[Student, list[Any], Lessons]:
        encoder = open_trainable(bench.encoder)
        student = Student(encoder.tower, head, table, o).eval()
        return student, rate_groups(encoder, student, o), Lessons(pictures, encoder, o)

    def ours() -> float:
        student, groups, lessons = begin()
        fabric = make_fabric(1, "bf16")
        record = train(fabric, Course(student, groups, lessons.prepare), Plan(2, steps), folder / str(time.time()), "")
        return record.terms[-1][LOSS]

    def plain() -> float:
        student, groups, lessons = begin()
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        student.to(device)
        optimiser = torch.optim.Adam(
            [{"params": list(group.parameters), "lr": group.rate} for group in groups], betas=(0.5, 0.999)
        )
        losses = []
        for epoch in range(2):
            for episode in range(steps):
                seen, y = lessons.prepare(epoch, episode)
                loss = student(seen.to(device), y.to(device))[LOSS]
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
        return float(np.mean(losses[steps:]))

    losses = [ours(), plain()]
    fast, slow = in_turn(2, ours, plain)
    return {
        "bf16_s": statistics.median(fast), "fp32_s": statistics.median(slow),
        "ratio": statistics.median(b / a for a, b in zip(fast, slow, strict=True)), "losses": losses,
    }  # fmt: skip


def markdown(found: dict[str, Any]) -> str:
    """Return the figures as a table."""
    lines = ["| what | beside | figure | asked for |", "|---|---|---|---|"]
    for head in found["head_phase"]:
        if "ratio" in head:
            lines.append(
                f"| head phase, {head['cached_ms']:.1f} ms an episode | the encoder in {head['precision']} each step, "
                f"{head['live_ms']:.0f} ms | {head['ratio']:.0f} x faster | 10 x |"
            )
        off, first = head["greatest_loss_difference"], head["losses"][0]
        lines.append(
            f"| losses of {head['steps']} episodes | {head['encoder']} in {head['precision']} each step | differ by at "
            f"most {off:.1e}, {off / first:.0e} of the loss | 1e-3 |"
        )
    one = found["inference"]
    lines.append(
        f"| DSVA names a picture, {one['dsva_ms']:.2f} ms of processor time | the bare encoder in {one['precision']}, "
        f"{one['bare_ms']:.2f} ms | {100 * one['extra']:+.1f} % | at most 5 % |"
    )
    tuned = found["fine_tuning"]
    if isinstance(tuned, str):
        lines.append(f"| fine-tuning, bf16 on a GPU | plain loop in fp32 | {tuned} | 1.5 x |")
    else:
        lines.append(
            f"| fine-tuning, bf16 on a GPU, {tuned['bf16_s']:.1f} s | plain loop in fp32, {tuned['fp32_s']:.1f} s | "
            f"{tuned['ratio']:.1f} x faster, loss {tuned['losses'][0]:.3f} beside {tuned['losses'][1]:.3f} | 1.5 x |"
        )
    return "\n".join(lines) + "\n"


def measure(bench: Bench, rounds: int) -> dict[str, Any]:
    """Return all figures; times are of the arithmetic that suits the machine, losses of float32 too."""
    suited = bench.load("auto")
    x = bench.embed(suited)
    phases = [head_phase(bench, suited, x, rounds)]
    tiny = load("tiny", "fp32")
    phases.append(head_phase(bench, tiny, bench.embed(tiny), 0))
    if suited.precision != "fp32":
        exact = bench.load("fp32")
        phases.append(head_phase(bench, exact, bench.embed(exact), 0))
    tuned = fine_tuning(bench, x, bench.root.parent) if torch.cuda.is_available() else "not measured: no GPU here"
    return {
        "head_phase": phases, "inference": inference(bench, suited, x, rounds), "fine_tuning": tuned,
        "threads": {"encoder": THREADS, "dsva": 1}, "rounds": rounds, "environment": environment(),
    }  # fmt: skip


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    rounds = parser.parse_args(given).rounds
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Bench.lay_out(Path(folder)), rounds)
    text = markdown(found)
    print(text)
    write_json(RESULTS / "dsva_speed.json", found)
    write_text(RESULTS / "dsva_speed.md", text)


if __name__ == "__main__":
    main()
