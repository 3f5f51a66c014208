"""Zero-shot methods, one file each, under one contract."""
