"""A world that needs no download: aerial scenes drawn from a grammar, with the truth about everything in them."""
