"""Pretrained eyes and readers: Hugging Face models by hub id or local folder."""
