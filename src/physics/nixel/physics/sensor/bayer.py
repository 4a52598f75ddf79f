"""The colour filters on a sensor's pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nixel.physics.arrays import Array

_ORDERS = ("RGGB", "BGGR", "GRBG", "GBRG")


@dataclass(frozen=True)
class Bayer:
    """Mosaic of colour filters that repeats every two rows and two columns.

    Parameters
    ----------
    order : str
        Colours at (0, 0), (0, 1), (1, 0) and (1, 1) in rows and columns: "RGGB", "BGGR", "GRBG" or "GBRG".

    Raises
    ------
    ValueError
        If it is another order.

    References
    ----------
    Bayer, "Color imaging array", US patent 3971065 (1976).
    """

    order: str = "RGGB"

    def __post_init__(self) -> None:
        if self.order not in _ORDERS:
            raise ValueError(f"order: expected one of {', '.join(_ORDERS)}, found {self.order!r}")

    def sites(self, colour: str) -> tuple[tuple[int, int], ...]:
        """Rows and columns, 0 or 1, of a colour's pixels in the first 2 x 2.

        Parameters
        ----------
        colour
            "R", "G" or "B".

        Returns
        -------
        tuple of (row, column)
            Two for "G", one otherwise.

        Raises
        ------
        ValueError
            If it is another colour.
        """
        if colour not in ("R", "G", "B"):
            raise ValueError(f"colour: expected R, G or B, found {colour!r}")
        return tuple(divmod(index, 2) for index, found in enumerate(self.order) if found == colour)

    def planes(self, frame: Array, colour: str) -> tuple[Array, ...]:
        """One plane for each of the colour's `sites`: every second pixel of every second row from there.

        Parameters
        ----------
        frame
            Raw frame, (..., y, x), any dtype, of any library; its pixel (0, 0) is a corner of the mosaic.
        colour
            "R", "G" or "B".

        Returns
        -------
        tuple of array, (..., about y/2, about x/2)
            Views of the frame. A plane's pixels are two of the sensor's apart.

        Raises
        ------
        ValueError
            If the frame has no rows and columns, or fewer than two of either, or the colour is another.
        """
        if frame.ndim < 2 or min(frame.shape[-2:]) < 2:
            raise ValueError(
                f"frame: expected (..., y, x) with two rows and columns or more, found {tuple(frame.shape)}"
            )
        return tuple(frame[..., row::2, column::2] for row, column in self.sites(colour))

    def spread(self, values: Mapping[str, float], shape: tuple[int, int]) -> NDArray[np.float64]:
        """Give each pixel the value of its colour.

        Parameters
        ----------
        values
            For "R", "G" and "B".
        shape
            Rows and columns.

        Returns
        -------
        ndarray, float64, (y, x)

        Raises
        ------
        ValueError
            If a colour has no value.
        """
        missing = [colour for colour in "RGB" if colour not in values]
        if missing:
            raise ValueError(f"values: expected one for each of R, G and B, found none for {missing[0]}")
        tile = np.array([values[colour] for colour in self.order], dtype=np.float64).reshape(2, 2)
        rows, columns = (np.arange(n) % 2 for n in shape)
        spread: NDArray[Any] = tile[rows[:, None], columns[None, :]]
        return spread

    def flipped(self, *, vertically: bool = False, horizontally: bool = False) -> Bayer:
        """Order of the mosaic when a frame with even numbers of rows and columns is read the other way round.

        Parameters
        ----------
        vertically, horizontally
            From the last row, from the last column. Both together turn the picture by 180 degrees.

        Returns
        -------
        Bayer
        """
        first, second = self.order[:2], self.order[2:]
        if vertically:
            first, second = second, first
        if horizontally:
            first, second = first[::-1], second[::-1]
        return Bayer(first + second)
