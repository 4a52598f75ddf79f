"""A client of the imaging service, for the command line."""

import time
from collections.abc import Callable
from typing import Any

import httpx

from nixel.imaging.errors import UserError

DEFAULT_URL = "http://127.0.0.1:8642"
_POLL_SECONDS = 0.1


class ServiceClient:
    """Talks to one imaging service.

    Parameters
    ----------
    url : str
        Such as ``http://127.0.0.1:8642``.
    """

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self.url = url.rstrip("/")
        # Straight to the loopback interface: a proxy of the environment has no part in it.
        self._http = httpx.Client(base_url=f"{self.url}/api/v1", timeout=30.0, trust_env=False)

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
        try:
            response = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            raise UserError(
                f"no imaging service answers at {self.url} ({error}). Start one with `nixel demo` or "
                "`nixel serve`, or name another address with --url."
            ) from error
        if response.is_error:
            try:
                detail = response.json()["detail"]
            except (ValueError, KeyError, TypeError):
                detail = f"{self.url} answered {response.status_code} to {method} {path}: is it nixel?"
            raise UserError(detail)
        return response.json()

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """The answer to a GET below /api/v1.

        Raises
        ------
        UserError
            If the service does not answer or refuses.
        """
        return self._request("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """The answer to a POST below /api/v1.

        Raises
        ------
        UserError
            If the service does not answer or refuses.
        """
        return self._request("POST", path, body)

    def perform(
        self, request: dict[str, Any], report: Callable[[str, int, int], None] | None = None
    ) -> dict[str, Any]:
        """Queue a run and follow it to its end.

        Parameters
        ----------
        request : dict
            As POST /runs takes it.
        report : callable, optional
            Told stage, done and total as it goes on.

        Returns
        -------
        dict
            The finished run.

        Raises
        ------
        UserError
            If the service does not answer, or the run did not end well.
        """
        run = self.post("/runs", request)
        while run["state"] in ("queued", "running"):
            time.sleep(_POLL_SECONDS)
            run = self.get(f"/runs/{run['id']}")
            progress = run["progress"]
            if progress and report:
                report(progress["stage"], progress["done"], progress["total"])
        if run["state"] != "done":
            raise UserError(f"run {run['id']} ({run['kind']}) ended as {run['state']}: {run['message']}")
        finished: dict[str, Any] = run
        return finished
