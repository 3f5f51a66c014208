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
_NEAR = 8  # classes that a circle may go on to, those whose scores are nearest


@dataclass(frozen=True)
class Diagnosis:
    """Signs of help and harm; none of them needs a label.

    Attributes:
        moved: share of the pictures whose best class changed.
        agreement_before: share of nearest neighbours that had the same best class.
        agreement_after: the same after the refinement.
        naming: (C,) how clearly the inductive scores prefer the name that a class's pictures got: what they would lose
            if it and another class swapped names, or three passed them on in a circle, for the others where this is
            smallest. For a pair it is half the difference of (score of a - score of b) between the pictures of a and of
            b, in its deviations within them; for a circle the sum of its three leads so measured, over the root of 6,
            which is the same scale. NaN for a class without pictures, infinite where it is the only one.
        others: (C, 2) columns of these others: twice the same for a pair; the class itself where there are none.
        before: (C,) pictures of each class by the inductive scores.
        after: (C,) pictures of each class now.
        strain: share of its equal part that the smallest class lacks under balanced priors; 0 under free ones. It is
            above 0 where pictures resist equal classes.
    """

    moved: float
    agreement_before: float
    agreement_after: float
    naming: Array
    others: Indices
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
        for group in self._unclear():
            *first, last = (repr(classes[a]) for a in group)
            found.append(
                f"{', '.join(first)} and {last} may have swapped names: the scores hardly tell them apart; "
                f"look at some pictures of {'both' if len(group) == 2 else 'each'}"
            )
        return found

    def _unclear(self) -> list[list[int]]:
        """Return the classes that may have swapped names, those together that have a circle or a pair in common."""
        groups: list[set[int]] = []
        for a in np.flatnonzero(self.naming < CLEAR).tolist():
            joined = {a, *self.others[a].tolist()}
            for group in [one for one in groups if one & joined]:
                groups.remove(group)
                joined |= group
            groups.append(joined)
        return sorted(sorted(group) for group in groups)


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
    naming, others = _naming(unary, after)
    return Diagnosis(
        float((before != after).mean()),
        _agreement(before, near),
        _agreement(after, near),
        naming,
        others,
        np.bincount(before, minlength=c),
        np.bincount(after, minlength=c),
        strain,
    )


def _agreement(best: Indices, near: Indices) -> float:
    return float((best[near] == best[:, None]).mean()) if near.size else 1.0


def _naming(unary: Array, best: Indices) -> tuple[Array, Indices]:
    counts, leads = _standardised_leads(unary, best)
    c = len(counts)
    own = np.arange(c)
    # How far a circle a -> b -> a, or a -> b -> d -> a, would lower the scores if its classes passed on their names.
    pairs = leads + leads.T
    near = np.argsort(leads, axis=1, kind="stable")[:, :_NEAR]
    rows = own[:, None, None]
    b = near[:, :, None]
    d = near[near]
    with np.errstate(invalid="ignore"):
        triples = leads[rows, b] + leads[b, d] + leads[d, rows]
    triples = np.where((d == rows) | (d == b), np.inf, triples).reshape(c, -1)
    least = triples.argmin(axis=1)
    by_pair, by_triple = pairs.min(axis=1) / 2, triples[own, least] / np.sqrt(6)
    smallest = np.minimum(by_pair, by_triple)
    second = np.where(np.isfinite(by_pair), pairs.argmin(axis=1), own)
    in_circle = by_triple < by_pair
    width = near.shape[1]
    others = np.column_stack([second, second])
    others[in_circle, 0] = near[own, least // width][in_circle]
    others[in_circle, 1] = d.reshape(c, -1)[own, least][in_circle]
    return np.where(counts > 0, smallest, np.nan), others


def _standardised_leads(unary: Array, best: Indices) -> tuple[Indices, Array]:
    """Return the pictures of each class, and (C, C) how far its pictures prefer its score over another, in deviations.

    Infinite for a class itself and for classes without pictures.
    """
    c = unary.shape[1]
    counts = np.bincount(best, minlength=c)
    lead, variance = np.zeros((c, c)), np.zeros((c, c))
    for a in np.flatnonzero(counts):
        of_a = unary[best == a]
        leads = of_a[:, [a]] - of_a
        lead[a], variance[a] = leads.mean(axis=0), leads.var(axis=0)
    weighted = counts[:, None] * variance
    deviation = np.sqrt((weighted + weighted.T) / np.maximum(counts[:, None] + counts, 1))
    standardised = lead / np.maximum(deviation, 1e-12)
    standardised[counts == 0] = np.inf
    standardised[:, counts == 0] = np.inf
    np.fill_diagonal(standardised, np.inf)
    return counts, standardised
