"""The honest protocol as types: what may be trained on, and what is only tested on, never lie in one object.

`carve` divides the pictures of a data set by a split. `contract.TrainingSet` holds pictures of seen classes and is all
that fitting and `selection` accept; `TestSet` holds the rest, has no place in their signatures, and `selection` does
not import it. Plain zero-shot is fitted on every picture of the seen classes, generalised zero-shot without the
held-out ones, on which S is measured (methods.md section 4; Xian et al., 2018).
"""

from dataclasses import dataclass

import numpy as np

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.errors import SplitError
from zeroscene.evaluation.tables import refuse_fine_tuned
from zeroscene.methods.contract import TrainingSet
from zeroscene.scenes.splits import Split

HOLDOUT = 0.2


@dataclass(frozen=True)
class TestSet:
    """Pictures that nothing but the final measurement may look at.

    Attributes:
        unseen_pictures: every picture of the unseen classes.
        seen_pictures: the held-out pictures of the seen classes.
        seen, unseen: the classes, each with at least one picture here.
    """

    __test__ = False  # the name is the protocol's, not pytest's

    unseen_pictures: Embeddings
    seen_pictures: Embeddings
    seen: tuple[str, ...]
    unseen: tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """One split bound to pictures.

    Attributes:
        split: the split, with its held-out pictures named.
        train_all: every picture of the seen classes; plain zero-shot is fitted on it.
        train_generalised: the same without the held-out pictures; selection and generalised zero-shot use it.
        test: what is measured on.
    """

    split: Split
    train_all: TrainingSet
    train_generalised: TrainingSet
    test: TestSet


def carve(pictures: Embeddings, split: Split, *, holdout: float = HOLDOUT, seed: int = 0) -> Trial:
    """Divide labelled pictures into training and test sets; pictures of classes outside the split are left out.

    Args:
        pictures: labelled embeddings of the data set.
        split: the classes; its own held-out pictures are taken when it names any.
        holdout: share of each seen class to hold out when the split names none.
        seed: decides which.

    Raises:
        DataFormatError: the pictures have no labels.
        SplitError: a class of the split has no pictures, a held-out id is not a picture of a seen class, the
            hold-out leaves a seen class without training or without test pictures, or the encoder was fine-tuned under
            another split.
    """
    split.check_classes(pictures.classes)
    assert pictures.labels is not None
    of_seen = pictures.label_indices(split.seen) >= 0
    bound = split if split.held_out else split.with_holdout(pictures.ids, pictures.labels, holdout, seed)
    refuse_fine_tuned(pictures.encoder, bound)
    kept = set(bound.held_out)
    held_out = np.array([i in kept for i in pictures.ids], np.bool_)
    if strangers := kept - {i for i, ok in zip(pictures.ids, of_seen, strict=True) if ok}:
        raise SplitError(
            f"split {split.name!r}: held-out picture {min(strangers)!r} is not a picture of a seen class "
            f"({len(strangers)} such)"
        )
    test = TestSet(pictures.of_classes(split.unseen), pictures.take(held_out), split.seen, split.unseen)
    train = pictures.take(of_seen & ~held_out)
    for what, part in (("held-out", test.seen_pictures), ("training", train)):
        have = set(part.label_indices(split.seen).tolist())
        if empty := [name for i, name in enumerate(split.seen) if i not in have]:
            raise SplitError(f"split {split.name!r}: the hold-out leaves no {what} pictures of {', '.join(empty)}")
    return Trial(bound, TrainingSet(pictures.take(of_seen), split.seen), TrainingSet(train, split.seen), test)
