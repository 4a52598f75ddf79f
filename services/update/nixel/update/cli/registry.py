"""What a command is: a module that describes its arguments and runs.

To add one, write a module in this folder with `add(commands)`, which makes its parser and ends with
`parser.set_defaults(run=run)`; `run(arguments)` does what is asked and returns the exit status. Then name the
module in `nixel.update.cli.COMMANDS`; the help lists commands in that order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import argparse
    from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class Command(Protocol):
    """One command of `nixel-update`: a module of this folder."""

    def add(self, commands: Commands) -> None:
        """Describe the command's arguments and name the function that runs it.

        Parameters
        ----------
        commands
            Where its parser is made, with `commands.add_parser(NAME, help=...)`.
        """
