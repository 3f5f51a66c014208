"""Fitted methods at work: models with all they need beside them, pictures from folders and stores, answers."""
