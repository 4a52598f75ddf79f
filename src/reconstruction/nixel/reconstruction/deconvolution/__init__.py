"""Deconvolution of images with a known point spread function.

`richardson_lucy` is the maximum-likelihood estimate under Poisson noise, non-negative; `wiener` the best linear one.
"""

from nixel.reconstruction.deconvolution.linear import spectrum_shape, wiener
from nixel.reconstruction.deconvolution.poisson import richardson_lucy

__all__ = ["richardson_lucy", "spectrum_shape", "wiener"]
