# What our distributions have in common. Each is built from its own folder alone, so that a change in one does not
# rebuild another; its tests run in the check phase.
{
  lib,
  buildPythonPackage,
  setuptools,
  pytestCheckHook,
  pytest-timeout,
}:

{
  name,
  folder,
  description,
  dependencies ? [ ],
  nativeCheckInputs ? [ ],
  # Files that the tests read, beside the package and the tests themselves.
  testFiles ? [ ],
  pytestFlags ? [ ],
  ...
}@arguments:

let
  # Python's bytecode appears in a checkout by running it, and must not make it another source.
  sources = lib.fileset.fileFilter (file: !file.hasExt "pyc");
in
buildPythonPackage (
  removeAttrs arguments [
    "name"
    "folder"
    "description"
    "testFiles"
  ]
  // {
    pname = "nixel-${name}";
    version = (lib.importTOML (folder + "/pyproject.toml")).project.version;
    pyproject = true;

    src = lib.fileset.toSource {
      root = folder;
      fileset = lib.fileset.unions (
        [
          (folder + "/pyproject.toml")
          (sources (folder + "/nixel"))
          (sources (folder + "/tests"))
        ]
        ++ testFiles
      );
    };

    build-system = [ setuptools ];
    inherit dependencies;

    nativeCheckInputs = [
      pytestCheckHook
      pytest-timeout
    ]
    ++ nativeCheckInputs;
    # As in the workspace's pyproject.toml, which is not here.
    pytestFlags = [
      "--import-mode=importlib"
      "--timeout=300"
      "--override-ini=pythonpath=tests"
    ]
    ++ pytestFlags;
    # Those measure how a machine copes, which a build does not ask.
    disabledTestMarks = [ "slow" ];
    # What is tested is what was installed. A Unix socket's path is short (107 bytes), and a build folder may not be.
    preCheck = ''
      rm -r nixel
      TMPDIR=$(mktemp -d /tmp/nixel.XXXXXX)
    '';
    postCheck = ''
      rm -rf "$TMPDIR"
      TMPDIR=$NIX_BUILD_TOP
    '';

    pythonImportsCheck = [ "nixel.${name}" ];

    meta = {
      inherit description;
      platforms = lib.platforms.linux;
    };
  }
)
