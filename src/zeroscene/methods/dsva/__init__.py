"""DSVA: deep semantic-visual alignment; `method` opens with the reference and the equations."""
