"""Transduction: a set of unlabelled pictures corrects its own scores; `refine` opens with the model."""
