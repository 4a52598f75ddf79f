{
  alembic,
  callPackage,
  fastapi,
  httpx,
  hypothesis,
  nixel-acquisition,
  nixel-physics,
  nixel-reconstruction,
  nixel-safety,
  pillow,
  rich,
  sqlalchemy,
  sse-starlette,
  threadpoolctl,
  typer,
  uvicorn,
}:

callPackage ./distribution.nix { } {
  name = "imaging";
  folder = ../../services/imaging;
  description = "The imaging service of nixel: jobs, provenance, the page and the nixel command";
  dependencies = [
    alembic
    fastapi
    httpx
    nixel-acquisition
    nixel-physics
    nixel-reconstruction
    nixel-safety
    pillow
    rich
    sqlalchemy
    sse-starlette
    threadpoolctl
    typer
    uvicorn
  ];
  # It starts processes of its own with this very Python, which must find what it found.
  makeWrapperArgs = [ "--prefix PYTHONPATH : $program_PYTHONPATH" ];

  nativeCheckInputs = [ hypothesis ];
  pytestFlags = [ "--override-ini=pythonpath=tests" ];
  # They drive the built page in Chromium; the workspace's own test run and the VM tests do that.
  disabledTestPaths = [ "tests/test_page.py" ];
  # The committed description of the interface is written with the FastAPI of requirements/runtime.lock, and another
  # release may word it otherwise.
  disabledTests = [ "test_the_committed_description_is_the_interface" ];
}
