"""Packages built for real by the private Nix, with the machine's own tools in the place of nixpkgs' (native.nix)."""

import functools
import os
import shutil
import subprocess
import sys

import nix_tools

EXPRESSION = nix_tools.ROOT / "tests" / "nix" / "native.nix"


@functools.cache
def prepare():
    """What native.nix asks for, or why it cannot be had: (site, npm, "") or ("", "", reason)."""
    done = subprocess.run(
        [str(nix_tools.ROOT / "tools" / "nix-builders"), sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return "", "", done.stderr.strip().removeprefix("nixel: ")
    site, npm = done.stdout.split()
    return site, npm, ""


@functools.cache
def environment():
    """npm's own settings of this machine, for whoever fetches a package inside the private Nix's root."""
    asked = ["npm", "config", "get", "registry"]
    registry = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    settings = {"npm_config_registry": registry}
    certificates = os.environ.get("NODE_EXTRA_CA_CERTS")
    if certificates:
        # The root has certificates of its own at the same path.
        copy = nix_tools.CACHE / "builders" / "certificates.crt"
        shutil.copyfile(certificates, copy)
        settings["NODE_EXTRA_CA_CERTS"] = str(copy)
    return settings


def build(attribute="", *, expression=EXPRESSION):
    """Build an attribute of nixpkgs with our overlay, or a file with the same arguments; return its store path."""
    site, npm, _ = prepare()
    # What a builder without a sandbox wrote to the home that none has stops every later build.
    shutil.rmtree(nix_tools.on_host("homeless-shelter"), ignore_errors=True)
    settings = [f"{name}={value}" for name, value in environment().items()]
    printed = nix_tools.run(
        *("env", *settings),
        *("nix", "build", "--no-link", "--print-out-paths", "--print-build-logs", "--impure", "--quiet"),
        *("--file", expression, *filter(None, [attribute])),
        *("--argstr", "nixpkgs", nix_tools.in_store("nixpkgs")),
        *("--argstr", "site", site),
        *("--argstr", "npm", npm),
    )
    return printed.split()[-1]


def bring_python_source(name, version, sha256):
    """Put a package's source into the store, fetched by pip, whose settings say where this machine's registry is.

    Nix then has what the package's expression asks for, and fetches nothing.
    """
    file = f"{name}-{version}.tar.gz"
    there = nix_tools.run("nix-store", "--print-fixed-path", "sha256", sha256, file).strip()
    if nix_tools.on_host(there).exists():
        return
    folder = nix_tools.CACHE / "builders" / "sources"
    folder.mkdir(exist_ok=True)
    asked = folder / f"{name}.txt"
    asked.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", name),
            *("--require-hashes", "--dest", str(folder), "--requirement", str(asked)),
        ],
        check=True,
    )
    nix_tools.run("nix-store", "--add-fixed", "sha256", folder / file)


def closure(store_path):
    """Everything that a store path needs to be there."""
    return nix_tools.run("nix-store", "--query", "--requisites", store_path).split()
