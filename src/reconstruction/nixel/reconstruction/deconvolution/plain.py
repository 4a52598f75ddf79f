"""The Richardson-Lucy iteration as plain formulas, for arrays of any library."""

from __future__ import annotations

from nixel.physics.arrays import Array, irfftn, namespace, rfftn
from nixel.reconstruction.deconvolution.grid import transfer_function
from nixel.reconstruction.deconvolution.problem import Problem, Progress, momentum
from nixel.reconstruction.deconvolution.variation import variation_factor


def iterate(problem: Problem, iterations: int, *, acceleration: bool, progress: Progress | None) -> Array:
    """Take the steps from the start; the estimate on the grid.

    Parameters
    ----------
    problem
        Arrays of one library.
    iterations
        Steps.
    acceleration
        Whether to extrapolate.
    progress
        Told the steps done and the steps in all.

    Returns
    -------
    array, shape of the grid
    """
    xp = namespace(problem.image)
    axes, lengths = problem.grid.axes, problem.grid.lengths
    window = tuple(slice(n) for n in problem.grid.image)
    least = problem.least
    joined = problem.joined() if problem.regularisation else []
    transfer = transfer_function(problem.psf, problem.grid, problem.image, workers=1)
    adjoint = xp.conj(transfer)
    estimate = xp.astype(problem.weights > 0, problem.image.dtype) * problem.start
    step = correction = xp.zeros_like(estimate)
    strength = square = 0.0
    for done in range(1, iterations + 1):
        point = xp.clip(estimate + strength * step, 0, None) if strength else estimate
        if done == 1:  # a uniform object blurred is itself
            blurred = xp.full_like(point, problem.start)
        else:
            blurred = irfftn(rfftn(point, None, axes) * transfer, lengths, axes)
        ratio = xp.zeros_like(estimate)
        ratio[window] = problem.image / (xp.abs(blurred[window]) + problem.background + least)
        factor = xp.abs(irfftn(rfftn(ratio, None, axes) * adjoint, lengths, axes)) * problem.weights
        if problem.regularisation:
            planes = xp.concat([point[-1:, ...], point, point[:1, ...]])
            factor = factor * variation_factor(planes, joined, problem.regularisation)
        new = point * factor
        if acceleration:
            latest = (new - point) / problem.start
            strength = momentum(float(xp.sum(latest * correction)), square)
            square = float(xp.sum(latest * latest))
            step, correction = new - estimate, latest
        estimate = new
        if progress is not None:
            progress(done, iterations)
    return estimate
