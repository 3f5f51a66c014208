"""How the encoder that ships with the package is made, from nothing: lessons, texts, loss, loop, card."""
