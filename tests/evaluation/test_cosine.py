import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from zeroscene.errors import DataFormatError
from zeroscene.evaluation.cosine import cosine_scores

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "whu_rs19_cosine.py"


def test_length_does_not_count_and_precision_is_float32():
    x = np.array([[3.0, 4.0], [0.0, 2.0]], np.float16)
    scores = cosine_scores(x, np.array([[10.0, 0.0], [0.0, 1.0]]))
    assert scores.dtype == np.float32
    assert scores == pytest.approx(np.array([[0.6, 0.8], [0.0, 1.0]]), abs=1e-7)


def test_a_zero_vector_scores_zero():
    assert cosine_scores(np.zeros((1, 2)), np.ones((3, 2))).tolist() == [[0.0, 0.0, 0.0]]


def test_vectors_of_another_width_are_refused():
    with pytest.raises(DataFormatError, match=r"\(2, 3\).*\(4, 5\)"):
        cosine_scores(np.ones((2, 3)), np.ones((4, 5)))


@pytest.mark.real
def test_six_models_and_107_prompts_reproduce_the_published_accuracies(shared, monkeypatch):
    spec = importlib.util.spec_from_file_location("whu_rs19_cosine", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, script)
    spec.loader.exec_module(script)
    rows = list(script.measure(shared / "real" / "whu-rs19-embeddings", shared / "facts" / "whu_rs19_expected.csv"))
    assert len(rows) == 6 * 107
    assert [row for row in rows if abs(row.difference) > row.tolerance] == []
    assert {row.tolerance for row in rows if row.prompt == "averageprompt"} == {0.01}
    assert {row.model for row in rows if row.tolerance > 0.01} == {"CLIP/ViT-B-32", "CLIP/ViT-L-14"}
