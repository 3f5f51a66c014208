"""Episodes and optimisation."""
