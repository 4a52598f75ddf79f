"""`nixel mpi snr`: how good a calibration is."""

from pathlib import Path
from typing import Annotated

import typer

from nixel.imaging.cli.common import progress
from nixel.imaging.cli.outputs import check_place, computing
from nixel.imaging.errors import UserError


def snr(
    calibration: Annotated[Path, typer.Argument(help="A system matrix, MDF.", metavar="MDF")],
    best: Annotated[int, typer.Option(min=1, help="How many frequencies to list.", metavar="N")] = 20,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the ratio of every frequency there, and a picture beside it.", metavar="CSV"
        ),
    ] = None,
) -> None:
    """Tell the signal-to-noise ratio of a calibration's frequencies, as MPIFiles defines it."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from nixel.acquisition.formats.atomic import atomic_write
    from nixel.acquisition.formats.images import write_png
    from nixel.imaging.curve_picture import Axis, draw_curves
    from nixel.imaging.mpi_matrix import frequencies, signal_to_noise_of
    from nixel.imaging.mpi_signal import kept_frequencies

    if out is not None:
        check_place(out, calibration)
    with progress("mpi") as report, computing(1):
        matrix, ratios = signal_to_noise_of(calibration, report)
    hertz, numbers = frequencies(matrix).tolist(), kept_frequencies(matrix).tolist()
    if out is not None:
        lines = ["channel,frequency number,frequency [Hz],signal-to-noise ratio"]
        lines += [
            f"{channel},{numbers[place]},{hertz[place]!r},{ratio!r}"
            for channel, each in enumerate(ratios.tolist())
            for place, ratio in enumerate(each)
        ]
        picture = draw_curves(
            np.array(hertz) / 1e3,
            [(f"channel {number}", ratio) for number, ratio in enumerate(ratios[:3])],
            Axis("frequency [kHz]"),
            Axis("signal-to-noise ratio", decades=True),
        )
        try:
            with atomic_write(out) as temporary:
                write_png(out.with_name(f"{out.name}.png"), picture, texts={"Title": calibration.name})
                temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"--out {out}: cannot be written: {error.strerror}") from error
    size = matrix.calibration.size if matrix.calibration is not None else ()
    typer.echo(
        f"{' x '.join(map(str, size))} voxels, {ratios.shape[0]} channels, {ratios.shape[1]} frequencies"
    )
    for threshold in (1, 3, 10, 100):
        typer.echo(f"ratio above {threshold:>3}: {int((ratios > threshold).sum()):>6} rows")
    order = np.argsort(ratios, axis=None)[::-1][:best]
    table = Table("channel", "number", "frequency", "ratio", box=None, pad_edge=False)
    for channel, place in zip(*np.unravel_index(order, ratios.shape), strict=True):
        told = f"{hertz[place] / 1e3:.2f} kHz", f"{ratios[channel, place]:.1f}"
        table.add_row(str(channel), str(numbers[place]), *told)
    Console().print(table)
    if out is not None:
        typer.echo(out)
        typer.echo(out.with_name(f"{out.name}.png"))
