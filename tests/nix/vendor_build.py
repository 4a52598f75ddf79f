"""Vendor packages built for real by the private Nix with the machine's own tools (vendor.nix)."""

import functools
import subprocess

import native_build
import nix_tools

EXPRESSION = nix_tools.ROOT / "tests" / "nix" / "vendor.nix"
PROGRAMS = ("cargo", "dpkg-deb", "gcc", "make", "patchelf", "python3", "readelf", "rustc")


@functools.cache
def why_not():
    """Why nothing can be built with the tools of the machine where Nix is, or nothing."""
    *_, reason = native_build.prepare()
    if reason:
        return reason
    look = (
        'for each; do [ -x "/usr/bin/$each" ] || echo "$each"; done;'
        '/usr/bin/python3 -c "import elftools" 2>/dev/null || echo pyelftools'
    )
    missing = nix_tools.run("sh", "-c", look, "sh", *PROGRAMS).split()
    return f"where Nix is ({nix_tools.prefix()}), /usr lacks {', '.join(missing)}" if missing else ""


def build(attribute, *, unfree=True, **files):
    """Build an attribute of vendor.nix; returns its store path. `files` are its arguments."""
    site, npm, _ = native_build.prepare()
    arguments = {"nixpkgs": nix_tools.in_store("nixpkgs"), "site": site, "npm": npm, **files}
    given = [part for name, value in arguments.items() for part in ("--argstr", name, value)]
    return nix_tools.run(
        *("env", f"NIXPKGS_ALLOW_UNFREE={int(unfree)}"),
        *("nix-build", "--no-out-link", EXPRESSION, "--attr", attribute, *given),
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
