"""Fine-tuning for DSVA (Xu et al. 2023, section 3.5): first the branches on frozen tokens, then the encoder too.

Phase 1 is `method.DSVA` on cached token grids. Phase 2 trains the encoder and the branches together, on episodes of
random windows, with the same losses and a focus crop where the present maps point; Adam, 1e-6 x 0.9^(epoch // 10).

How many epochs are worth it is chosen honestly: some seen classes play unseen, the rest is trained on, and after each
epoch it is measured how well the classes that play unseen are told apart; then all seen classes are trained on for as
many epochs as were best, which can be none. Only training pictures come in here (`training.pictures.SeenPictures`).
"""

import importlib.metadata
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from lightning_fabric import Fabric

from zeroscene.embeddings.crops import Crops
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.extract import extract
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.source import TRAINING, TRAINING_FORMAT
from zeroscene.encoders.speed import arithmetic
from zeroscene.encoders.trainable import TrainableEncoder, open_trainable
from zeroscene.errors import DatasetNotFoundError, EncoderError, OptionError, SplitError, StoreError
from zeroscene.files import json_digest, read_json, write_json
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.dsva.method import DSVA
from zeroscene.methods.dsva.student import Student
from zeroscene.methods.dsva.tuning import GROUPS, FinetuneOptions, Lessons, rate_groups, t1
from zeroscene.methods.registry import load_method
from zeroscene.provenance import environment
from zeroscene.scenes.splits import validation_groups
from zeroscene.semantics.table import ClassTable
from zeroscene.training.fabric import Course, Record, make_fabric, train
from zeroscene.training.pictures import SeenPictures

SPLIT: Final = "split.json"
_RUN, _CLAIM, _HEAD, _GRIDS = "run", "run.json", "head", "grids"
_FALL, _EVERY = 0.9, 10
_ADVICE: Final = (
    "set pictures_per_class or classes_per_episode lower (accumulate takes several episodes a step), precision=bf16, "
    "or unfreeze to the number of last layers to train"
)


@dataclass(frozen=True)
class FoldScores:
    """How the epochs of one fold did.

    Attributes:
        pseudo_unseen: the seen classes that played unseen.
        scores: T1 among them before phase 2 and after each epoch.
    """

    pseudo_unseen: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned encoder.

    Attributes:
        folder: the encoder, in the layout of any other.
        epochs: how many it was trained for; 0 leaves it as it was.
        terms: mean loss terms of each epoch.
        folds: what the number of epochs was chosen on; empty for `select=last`.
        speaks: whether this process is the one to tell a user; there is one process a device.
    """

    folder: Path
    epochs: int
    terms: tuple[dict[str, float], ...]
    folds: tuple[FoldScores, ...]
    speaks: bool = True


def finetune(
    pictures: SeenPictures,
    encoder: str | Path,
    table: ClassTable,
    out: Path,
    options: FinetuneOptions,
    *,
    download: bool = False,
    accelerator: str = "auto",
) -> Finetuned:
    """Fine-tune an encoder; killed at any moment, the same call goes on and ends with the same weights.

    `out` becomes an encoder folder with `training.json` (on what, how) and `split.json`, the split that it may be
    evaluated under. `out/run` holds the checkpoints, `last` and `best`; the cached grids are removed at the end.

    Args:
        pictures: training pictures of the seen classes.
        encoder: folder in the Hugging Face layout, `tiny`, or a hub id.
        table: holds the vectors of all seen classes.
        out: new, empty, or begun by the same call.
        options: of both phases.
        download: fetch a hub id that is not in the local cache.
        accelerator: `auto`, `cpu` or `cuda`.

    Raises:
        EncoderError: no such encoder, or it has no token grid.
        SplitError: the encoder was fine-tuned under another split already.
        UnknownNameError: a seen class is absent from the table.
        OptionError: too few classes to choose on, too few layers or devices, or a step does not fit into memory.
        StoreError: `out` is of another run, or cannot be written.
    """
    fabric = make_fabric(options.devices, arithmetic(options.precision), accelerator)
    fabric.launch()
    run = _Run(fabric, pictures, encoder, table.select(pictures.seen), out, options, download)
    return run.finish() if (out / TRAINING).is_file() else run.tune()


class _Run:
    """One call of `finetune`."""

    def __init__(
        self,
        fabric: Fabric,
        pictures: SeenPictures,
        encoder: str | Path,
        table: ClassTable,
        out: Path,
        options: FinetuneOptions,
        download: bool,
    ):
        self.fabric, self.pictures, self.table, self.out, self.options = fabric, pictures, table, out, options
        self.name, self.folder = encoder, out / _RUN
        self.base = _checked(open_trainable(encoder, download=download), options, pictures)
        self.groups = validation_groups(pictures.seen, GROUPS, options.seed)[: options.folds]
        if options.select == "honest" and len(pictures.seen) < 4:
            raise OptionError(
                f"select=honest lets seen classes play unseen, two at least, and trains on two; there are "
                f"{len(pictures.seen)} seen classes: set select=last"
            )
        self.same = json_digest(
            [
                self.base.fingerprint,
                options.deciding(),
                pictures.split.fingerprint,
                list(pictures.ids),
                table.fingerprint,
            ]
        )
        self._claim()

    def _claim(self) -> None:
        """Refuse a folder of another run, and note whose it is."""
        claim = self.folder / _CLAIM
        try:
            owner = read_json(claim)["same"]
        except DatasetNotFoundError:
            if (self.out / "config.json").is_file():
                raise StoreError(f"{self.out} holds a model already; give another folder") from None
            owner = self.same
            if self.fabric.is_global_zero:
                write_json(claim, {"same": self.same})
        self.fabric.barrier()
        if owner != self.same:
            raise StoreError(
                f"{self.out} was begun with other pictures, classes, options or another encoder; give another folder"
            )

    def tune(self) -> Finetuned:
        """Choose the number of epochs, train, write the encoder."""
        o = self.options
        embedded = self._embedded()
        folds: list[FoldScores] = []
        epochs = o.tune_epochs
        if o.select == "honest":
            for number, group in enumerate(self.groups, start=1):
                _, record = self._stage(f"fold-{number}", embedded, group, o.tune_epochs)
                folds.append(FoldScores(group, tuple(record.scores)))
            epochs = best_epoch([fold.scores for fold in folds])
        encoder, record = self._stage("all", embedded, (), epochs)
        made = Finetuned(self.out, epochs, tuple(record.terms), tuple(folds))
        if self.fabric.is_global_zero:
            encoder.save(self.out, {TRAINING: self._note(made), SPLIT: self.pictures.split.to_json()})
        self.fabric.barrier()
        return self.finish()

    def finish(self) -> Finetuned:
        """Return what a finished run wrote, and remove what only an unfinished one needs."""
        if self.fabric.is_global_zero:
            shutil.rmtree(self.folder / _GRIDS, ignore_errors=True)
        note = read_json(self.out / TRAINING)
        folds = tuple(FoldScores(tuple(fold["pseudo_unseen"]), tuple(fold["t1"])) for fold in note["folds"])
        return Finetuned(self.out, note["epochs"], tuple(note["terms"]), folds, self.fabric.is_global_zero)

    def _note(self, made: Finetuned) -> dict[str, Any]:
        split = self.pictures.split
        lightning = importlib.metadata.version("lightning-fabric")
        return {
            "format": TRAINING_FORMAT,
            "encoder": self.base.to_json(),
            "split": {
                "dataset": split.dataset, "name": split.name, "fingerprint": split.fingerprint,
                "seen": list(split.seen), "unseen": list(split.unseen), "held_out": len(split.held_out),
            },
            "pictures": len(self.pictures),
            "table": {"fingerprint": self.table.fingerprint, "provenance": dict(self.table.provenance)},
            "options": self.options.deciding(),
            "epochs": made.epochs,
            "terms": list(made.terms),
            "folds": [{"pseudo_unseen": list(fold.pseudo_unseen), "t1": list(fold.scores)} for fold in made.folds],
            "environment": {**environment(), "lightning-fabric": lightning},
        }  # fmt: skip

    def _embedded(self) -> Embeddings:
        """Return the training pictures as the frozen encoder sees them, from the cache where they are there."""
        o = self.options
        frozen = load_image_encoder(self.name, precision=o.precision)
        scenes, folder = self.pictures.scenes(), self.folder / _GRIDS
        if self.fabric.is_global_zero:
            extract(scenes, frozen, folder, grid=True)
        self.fabric.barrier()
        return replace(EmbeddingStore.open(folder).read(grids=True), crops=Crops(scenes, lambda: frozen))

    def _stage(
        self, name: str, embedded: Embeddings, unseen: Sequence[str], epochs: int
    ) -> tuple[TrainableEncoder, Record]:
        """Train both phases on all classes but `unseen`, on which it is measured after each epoch."""
        folder, o = self.folder / name, self.options
        seen = tuple(one for one in self.pictures.seen if one not in unseen)
        shown = self.pictures.of_classes(seen)
        table = self.table.select(seen)
        head = self._head(folder / _HEAD, TrainingSet(embedded.of_classes(seen), seen), table)
        encoder = open_trainable(self.name)
        student = Student(encoder.tower, head, table, o).eval()
        lessons = Lessons(shown, encoder, o)
        measured = self.pictures.of_classes(unseen) if unseen else None
        course = Course(
            student,
            rate_groups(encoder, student, o),
            lessons.prepare,
            lambda epoch: _FALL ** (epoch // _EVERY),
            None if measured is None else lambda: t1(self.fabric, student, encoder, measured, self.table),
            _ADVICE,
        )
        try:
            same = json_digest([self.same, list(seen)])
            return encoder, train(self.fabric, course, o.plan(epochs), folder, same)
        finally:
            lessons.close()

    def _head(self, folder: Path, shown: TrainingSet, table: ClassTable) -> DSVA:
        """Return the branches fitted on the frozen tokens."""
        if self.fabric.is_global_zero and not (folder / "method.json").is_file():
            DSVA(**self.options.head()).fit(shown, table).save(folder)
        self.fabric.barrier()
        head = load_method(folder)
        assert isinstance(head, DSVA)
        return head


def best_epoch(scores: Sequence[Sequence[float]]) -> int:
    """Return the number of epochs with the best mean over folds; the fewest of equals.

    Args:
        scores: of each fold, before the first epoch and after each.
    """
    return int(np.asarray(scores).mean(0).argmax())


def _checked(encoder: TrainableEncoder, o: FinetuneOptions, pictures: SeenPictures) -> EncoderIdentity:
    """Refuse what could not be trained before anything long begins; returns the encoder's identity."""
    before = encoder.identity.fine_tuned
    if before is not None and before.split != pictures.split.fingerprint:
        raise SplitError(
            f"{encoder.identity.name} was fine-tuned on {before.dataset!r} under another split already, and would be "
            "refused under either; begin with the encoder that it was made of"
        )
    if encoder.tower.layout.grid is None:
        raise EncoderError(f"{encoder.identity.name} has no token grid, which dsva looks at; take another encoder")
    encoder.unfreeze(o.unfreeze)
    o.plan(o.tune_epochs).check(o.devices)
    return encoder.identity
