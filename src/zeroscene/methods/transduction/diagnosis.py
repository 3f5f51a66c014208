"""What can be known without labels about whether a refinement helped."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zeroscene.methods.contract import Indices
from zeroscene.methods.transduction.space import Array

# Measured on folds of seen classes, docs/transduction.md.
CLEAR = 0.5
STRAINED = 0.1
ENOUGH = 5  # pictures a class, in the mean
LOST = 0.25


@dataclass(frozen=True)
class Diagnosis:
    """Signs of help and harm; none of them needs a label.

    Attributes:
        moved: share of the pictures whose best class changed.
        agreement_before: share of nearest neighbours that had the same best class.
        agreement_after: the same after the refinement.
        naming: (C,) how clearly the inductive scores prefer the name that a class's pictures got: half the difference
            of (score of a - score of b) between the pictures of a and of b, in its deviations within them, for the b
            where this is smallest. NaN for a class without pictures, infinite where it is the only one.
        rival: (C,) column of that b; the class itself where there is none.
        before: (C,) pictures of each class by the inductive scores.
        after: (C,) pictures of each class now.
        strain: share of its equal part that the smallest class lacks under balanced priors; 0 under free ones. It is
            above 0 where pictures resist equal classes.
    """

    moved: float
    agreement_before: float
    agreement_after: float
    naming: Array
    rival: Indices
    before: Indices
    after: Indices
    strain: float

    def warnings(self, classes: Sequence[str]) -> list[str]:
        """Return what a user should look at, a sentence each; empty where nothing speaks against the result.

        Args:
            classes: C names.
        """
        n, c = int(self.after.sum()), len(self.after)
        found = []
        if n < ENOUGH * c:
            found.append(f"{n} pictures are few for {c} classes; clusters need {ENOUGH} a class or more")
        if self.strain > STRAINED:
            found.append("the pictures resist classes of equal size; refine with priors=free")
        if self.agreement_after <= self.agreement_before < 1:
            found.append("neighbours agree no better than before; the classes are no clusters in this space")
        for a in np.flatnonzero((self.before >= ENOUGH) & (self.after < LOST * self.before)).tolist():
            found.append(f"{classes[a]!r} kept {self.after[a]} of {self.before[a]} pictures; look at those it lost")
        unclear = np.flatnonzero(self.naming < CLEAR).tolist()
        for a, b in sorted(
            {(min(a, b), max(a, b)) for a, b in zip(unclear, self.rival[unclear].tolist(), strict=True)}
        ):
            found.append(
                f"{classes[a]!r} and {classes[b]!r} may have swapped names: the scores hardly tell them apart; "
                "look at some pictures of both"
            )
        return found


def diagnose(unary: Array, refined: Array, near: Indices, strain: float) -> Diagnosis:
    """Compare the answers before and after.

    Args:
        unary: (N, C) logits of the inductive scores.
        refined: (N, C) log-probabilities after the refinement.
        near: (N, k) rows of nearest neighbours.
        strain: of balanced priors.
    """
    c = unary.shape[1]
    before, after = unary.argmax(axis=1), refined.argmax(axis=1)
    naming, rival = _naming(unary, after)
    return Diagnosis(
        float((before != after).mean()),
        _agreement(before, near),
        _agreement(after, near),
        naming,
        rival,
        np.bincount(before, minlength=c),
        np.bincount(after, minlength=c),
        strain,
    )


def _agreement(best: Indices, near: Indices) -> float:
    return float((best[near] == best[:, None]).mean()) if near.size else 1.0


def _naming(unary: Array, best: Indices) -> tuple[Array, Indices]:
    c = unary.shape[1]
    counts = np.bincount(best, minlength=c)
    lead, variance = np.zeros((c, c)), np.zeros((c, c))
    for a in np.flatnonzero(counts):
        of_a = unary[best == a]
        leads = of_a[:, [a]] - of_a
        lead[a], variance[a] = leads.mean(axis=0), leads.var(axis=0)
    weighted = counts[:, None] * variance
    deviation = np.sqrt((weighted + weighted.T) / np.maximum(counts[:, None] + counts, 1))
    clear = (lead + lead.T) / 2 / np.maximum(deviation, 1e-12)
    clear[:, counts == 0] = np.inf
    np.fill_diagonal(clear, np.inf)
    smallest = clear.min(axis=1)
    rival = np.where(np.isfinite(smallest), clear.argmin(axis=1), np.arange(c))
    return np.where(counts > 0, smallest, np.nan), rival
