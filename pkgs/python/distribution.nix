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
  ...
}@arguments:

buildPythonPackage (
  {
    pname = "nixel-${name}";
    version = (lib.importTOML (folder + "/pyproject.toml")).project.version;
    pyproject = true;

    src = lib.fileset.toSource {
      root = folder;
      fileset = lib.fileset.unions [
        (folder + "/pyproject.toml")
        (folder + "/nixel")
        (folder + "/tests")
      ];
    };

    build-system = [ setuptools ];
    inherit dependencies;

    nativeCheckInputs = [
      pytestCheckHook
      pytest-timeout
    ]
    ++ nativeCheckInputs;
    pytestFlags = [ "--import-mode=importlib" ];

    pythonImportsCheck = [ "nixel.${name}" ];

    meta = {
      inherit description;
      platforms = lib.platforms.linux;
    };
  }
  // removeAttrs arguments [
    "name"
    "folder"
    "description"
    "dependencies"
    "nativeCheckInputs"
  ]
)
