"""Vendor packages built for real by Nix with the machine's own tools (native-vendor.nix)."""

import functools
import subprocess

import nix_tools

EXPRESSION = nix_tools.ROOT / "tests" / "nix" / "vendor.nix"
PROGRAMS = ("cargo", "dpkg-deb", "gcc", "make", "patchelf", "python3", "readelf", "rustc")


@functools.cache
def why_not():
    """Why nothing can be built with the tools of the machine where Nix is, or nothing."""
    look = (
        'for each; do [ -x "/usr/bin/$each" ] || echo "$each"; done;'
        '/usr/bin/python3 -c "import elftools" 2>/dev/null || echo pyelftools'
    )
    missing = nix_tools.run("sh", "-c", look, "sh", *PROGRAMS).split()
    return f"where Nix is ({nix_tools.prefix()}), /usr lacks {', '.join(missing)}" if missing else ""


def build(attribute, **files):
    """Build an attribute of vendor.nix; returns its store path. `files` are its arguments."""
    arguments = [f"--argstr {name} {path}".split() for name, path in files.items()]
    return nix_tools.run(
        *("nix-build", "--no-out-link", EXPRESSION, "--attr", attribute),
        *("--argstr", "nixpkgs", nix_tools.in_store("nixpkgs")),
        *(each for pair in arguments for each in pair),
    ).strip()


def run(*command):
    """Run a program where Nix is; its status, and all that it said."""
    done = subprocess.run(
        [str(nix_tools.ROOT / "tools" / "nix"), *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout
