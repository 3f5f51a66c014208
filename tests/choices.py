"""What honest selection chose, without the folds in which it did."""

from typing import Any

from zeroscene.evaluation.fusion import choose_in_folds
from zeroscene.evaluation.results import Choice


def choose(*given: Any, **options: Any) -> Choice:
    """Return the choice of `choose_in_folds`, whose arguments these are."""
    return choose_in_folds(*given, **options).choice
