"""`nixel hologram`: reconstruct one, which needs no further word, or simulate some."""

from typing import Any

import typer
from typer.core import TyperGroup

from nixel.imaging.cli.hologram_reconstruct import reconstruct
from nixel.imaging.cli.hologram_simulate import simulate


class _Holograms(TyperGroup):
    """What is no command is the hologram that `reconstruct` takes, or an option of it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  a class of typer's own click
        """Put in the command that is meant."""
        if not args or args[0] not in self.commands:
            args = ["reconstruct", *args]
        return super().parse_args(ctx, args)


hologram = typer.Typer(
    cls=_Holograms,
    help="Reconstruct an in-line hologram, or simulate some: from files to files.",
    add_completion=False,
)
for _command in (reconstruct, simulate):
    hologram.command()(_command)
