"""Methods whose score is the dot product of what a picture gives and what a class gives.

What the pictures give can be kept, and a class more costs one product with it: see `methods.columns`.
"""

from abc import abstractmethod

from zeroscene.methods.contract import Indices, Matrix, O, VectorMethod
from zeroscene.vectors import products


class ProductMethod(VectorMethod[O]):
    """Base of the vector methods with score_nc = a(x_n)' b(phi_c)."""

    @abstractmethod
    def picture_side(self, x: Matrix) -> Matrix:
        """Return (N, K) float32: a(x_n), each row worked out from its own picture alone, equal to the bit.

        Args:
            x: (N, D) pictures.
        """

    @abstractmethod
    def class_side(self, phi: Matrix) -> Matrix:
        """Return (C, K) float32: b(phi_c), each row worked out from its own class vector alone, equal to the bit.

        Args:
            phi: (C, A) class vectors.
        """

    def _scores(self, x: Matrix, phi: Matrix, seen: Indices) -> Matrix:
        return products(self.picture_side(x), self.class_side(phi))
