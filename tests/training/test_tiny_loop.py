"""The run: the same bits on any number of threads, killed or not; longer runs go on from where the rate was whole."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_world
import torch
from safetensors.torch import load_file

from zeroscene.errors import StoreError
from zeroscene.scenes.synthetic.captions import words
from zeroscene.training.tiny import loop
from zeroscene.training.tiny.loop import Run
from zeroscene.training.tiny.model import build_tokenizer
from zeroscene.training.tiny.pool import draw_pool

RECIPE = tiny_world.RECIPE


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return draw_pool(tmp_path_factory.mktemp("pool"), 0, tiny_world.LESSONS, 32, 1)


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(loop, "_KEEP", 2)


def trained(recipe, pool, folder, jobs=1, stop=None) -> Run:
    """Return a run that went to its end, or to the moment before a step."""
    run = Run(recipe, pool, build_tokenizer(words(), recipe.shape.longest), folder, jobs)
    run.resume()
    if stop is not None:
        step = run._step

        def until(number):
            if number == stop:
                raise KeyboardInterrupt
            return step(number)

        run._step = until
        with pytest.raises(KeyboardInterrupt):
            run.train()
    else:
        run.train()
    return run


def same(one: Run, other: Run) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters, other.parameters, strict=True))


@pytest.fixture(scope="module")
def whole(pool, tmp_path_factory):
    loop._KEEP = 2
    return trained(RECIPE, pool, tmp_path_factory.mktemp("whole"))


def test_training_lowers_the_loss(whole):
    first, last = whole.state.curve[0], whole.state.curve[-1]
    assert [point.step for point in whole.state.curve] == [2, 4, 5, 6, 8]
    assert last.whole + last.grid < first.whole + first.grid


def test_two_threads_end_with_the_same_bits_as_one(whole, pool, tmp_path):
    assert same(trained(RECIPE, pool, tmp_path, jobs=2), whole)


@pytest.mark.parametrize("stop", [1, 5, 7])
def test_an_interrupted_run_goes_on_to_the_same_bits(whole, pool, tmp_path, stop):
    trained(RECIPE, pool, tmp_path, stop=stop)
    again = trained(RECIPE, pool, tmp_path)
    assert same(again, whole)
    assert again.state.curve == whole.state.curve


def test_a_killed_command_goes_on_to_the_same_files(tmp_path):
    command = [sys.executable, str(Path(tiny_world.__file__)), str(tmp_path / "killed")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment)
    while not (tmp_path / "killed" / "run" / "state.safetensors").is_file():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, env=environment, check=True)
    tiny_world.small_pretrain(tmp_path / "whole")
    ends = [tmp_path / name / "encoder" for name in ("killed", "whole")]
    for file in ("model.safetensors", "tokenizer.json", "config.json", "preprocessor_config.json"):
        assert (ends[0] / file).read_bytes() == (ends[1] / file).read_bytes()
    scores = [json.loads((end / "card.json").read_text())["scores"] for end in ends]
    assert scores[0] == scores[1]


def test_a_finished_run_can_be_made_longer(pool, tmp_path):
    longer = replace(RECIPE, steps=12)
    trained(RECIPE, pool, tmp_path / "grown")
    assert same(trained(longer, pool, tmp_path / "grown"), trained(longer, pool, tmp_path / "at once"))


def test_a_run_cannot_be_made_shorter_than_it_is(whole, pool, tmp_path):
    trained(RECIPE, pool, tmp_path)
    with pytest.raises(StoreError, match="ask for more epochs"):
        trained(replace(RECIPE, steps=4), pool, tmp_path)


def test_another_recipe_is_refused(pool, tmp_path):
    trained(RECIPE, pool, tmp_path, stop=3)
    with pytest.raises(StoreError, match="another seed or recipe"):
        trained(replace(RECIPE, seed=1), pool, tmp_path)


def test_a_damaged_state_is_named(pool, tmp_path):
    trained(RECIPE, pool, tmp_path, stop=3)
    file = tmp_path / "state.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StoreError, match=r"state\.safetensors is damaged"):
        trained(RECIPE, pool, tmp_path)


def test_every_lesson_is_looked_at_once_an_epoch(whole):
    rows = np.concatenate([whole._rows(step) for step in range(6)])
    for epoch in range(5):
        assert sorted(rows[epoch * 48 : (epoch + 1) * 48]) == list(range(48))


def test_the_rate_rises_stays_and_falls_to_zero():
    recipe = replace(RECIPE, steps=1000, fall=0.4)
    rates = [recipe.rate_at(step) for step in range(1000)]
    assert rates[0] < rates[100] < rates[300] == rates[599] == recipe.rate
    assert rates[600:] == sorted(rates[600:], reverse=True)
    assert 0 < rates[-1] < recipe.rate / 100


def test_the_state_is_no_pickle(whole):
    assert load_file(whole.folder / "state.safetensors")["judge.bias"].shape == ()
