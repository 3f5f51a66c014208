"""Encode once, keep, reuse: extraction and the embedding store."""
