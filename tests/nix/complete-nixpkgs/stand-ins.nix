# What is built of Haskell packages, as programs that only say that they are not it.
_: prev: {
  nixfmt = prev.writeShellScriptBin "nixfmt" ''
    echo "nixfmt: a stand-in that formats nothing" >&2
    exit 1
  '';
}
