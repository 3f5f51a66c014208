"""From nothing to an encoder in a folder: lessons, training, weights, card."""

from collections.abc import Sequence
from pathlib import Path

from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.text import load_text_encoder
from zeroscene.errors import OptionError
from zeroscene.files import write_text
from zeroscene.training.tiny.card import Making, write_card
from zeroscene.training.tiny.loop import Point, Recipe, Run
from zeroscene.training.tiny.model import build_model, build_tokenizer, save_encoder
from zeroscene.training.tiny.pool import Pool, draw_pool, grammar_digest
from zeroscene.training.tiny.scores import FactScores, fact_vectors, picture_vectors, score_facts

ENCODER, POOL, FRESH, CURVE, RUN = "encoder", "lessons", "fresh", "curve.csv", "run"

MOST_FRESH = 3000
"""Lessons that score an encoder, unless it was trained on fewer."""

# Lessons that score an encoder come from a stream that no lesson of a pool is from.
_FRESH_SEED = 1_000_003


def pretrain(out: Path, recipe: Recipe, lessons: int, fresh: int, jobs: int, command: str) -> Making:
    """Train the tiny encoder; killed at any moment, the same call goes on and ends with the same weights.

    `out/encoder` holds the encoder with its card; `out/lessons`, `out/fresh` and `out/run` what an interrupted run
    needs; `out/curve.csv` the loss on the way.

    Args:
        out: a folder, empty or of an earlier run.
        recipe: of the training.
        lessons: size of the pool.
        fresh: lessons on which the encoder is scored.
        jobs: processes that draw, and threads that train; the numbers do not depend on it.
        command: what the card says made it.

    Raises:
        OptionError: a number that is not positive.
        StoreError: `out` is of another run, damaged, or cannot be written.
    """
    from zeroscene.scenes.synthetic.captions import words

    for name, value in (("lessons", lessons), ("fresh lessons", fresh), ("steps", recipe.steps), ("jobs", jobs)):
        if value < 1:
            raise OptionError(f"{name} must be 1 or more, not {value}")
    side = recipe.shape.picture
    pool = draw_pool(out / POOL, recipe.seed, lessons, side, jobs)
    unseen = draw_pool(out / FRESH, recipe.seed + _FRESH_SEED, fresh, side, jobs)
    tokenizer = build_tokenizer(words(), recipe.shape.longest)
    run = Run(recipe, pool, tokenizer, out / RUN, jobs)
    run.resume()
    run.train(lambda curve: _write_curve(out / CURVE, curve))
    encoder, untrained = out / ENCODER, out / RUN / "untrained"
    save_encoder(encoder, run.model, tokenizer, recipe.shape)
    save_encoder(untrained, build_model(recipe.shape, len(tokenizer), recipe.seed), tokenizer, recipe.shape)
    making = Making(
        command=command,
        recipe=recipe,
        lessons=lessons,
        grammar=grammar_digest(),
        seconds=run.state.seconds,
        jobs=jobs,
        curve=tuple(run.state.curve),
        scores=score_folder(encoder, unseen),
        untrained=score_folder(untrained, unseen),
        fresh=fresh,
    )
    write_card(encoder, making)
    return making


def score_folder(folder: Path, lessons: Pool) -> FactScores:
    """Return how well an encoder finds the attributes of lessons, without training.

    Args:
        folder: the encoder.
        lessons: some that it was not trained on.
    """
    from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES

    # Attributes are the first of the facts.
    names = [attribute.name for attribute in ATTRIBUTES]
    pictures = picture_vectors(load_image_encoder(folder, precision="fp32"), list(lessons.pixels))
    texts = fact_vectors(load_text_encoder(folder), names)
    return score_facts(pictures, names, lessons.facts[:, : len(names)], texts)


def _write_curve(file: Path, curve: Sequence[Point]) -> None:
    rows = [f"{point.step},{point.whole:.6f},{point.grid:.6f}" for point in curve]
    write_text(file, "\n".join(["step,pictures,tokens", *rows]) + "\n")
