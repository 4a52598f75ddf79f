"""What an image must not contain, read on first boot from `nixel.toml` on the boot partition.

`parse` and `plan` are pure; `apply` is the edge that writes, `activate` the one that runs commands.
"""

from nixel.update.provision.model import Account, Known, Network, Problem, Provision, Wifi
from nixel.update.provision.parse import parse
from nixel.update.provision.plan import commands, plan

__all__ = ["Account", "Known", "Network", "Problem", "Provision", "Wifi", "commands", "parse", "plan"]
