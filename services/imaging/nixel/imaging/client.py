"""A client of the imaging service, for the command line."""

import json
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import httpx

from nixel.imaging.errors import UserError

DEFAULT_URL = "http://127.0.0.1:8642"
_POLL_SECONDS = 0.1
_ANSWER = 30.0  # s
_ACTION = 120.0  # s: a property may take as long as a stage's search for its switches
_SILENCE = 40.0  # s: the service says something every 15 s, if only that it is there


class NoServiceError(UserError):
    """No imaging service answers."""


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
        self._http = httpx.Client(base_url=f"{self.url}/api/v1", timeout=_ANSWER, trust_env=False)

    def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None, timeout: float = _ANSWER
    ) -> Any:  # noqa: ANN401 - JSON
        try:
            response = self._http.request(method, path, json=body, timeout=timeout)
        except httpx.TransportError as error:
            raise self._none(error) from error
        if response.is_error:
            raise self._refusal(method, path, response)
        return response.json()

    def _none(self, error: Exception) -> NoServiceError:
        return NoServiceError(
            f"no imaging service answers at {self.url} ({error}). Start one with `nixel demo` or "
            "`nixel serve`, or name another address with --url."
        )

    def _refusal(self, method: str, path: str, response: httpx.Response) -> UserError:
        try:
            return UserError(response.json()["detail"])
        except (ValueError, KeyError, TypeError):
            return UserError(f"{self.url} answered {response.status_code} to {method} {path}: is it nixel?")

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

    def put(self, path: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """The answer to a PUT below /api/v1.

        Raises
        ------
        UserError
            If the service does not answer or refuses.
        """
        return self._request("PUT", path, body, timeout=_ACTION)

    def events(self, path: str) -> Iterator[Any]:
        """The data of each server-sent event of a stream below /api/v1, as it comes.

        Raises
        ------
        UserError
            If the service does not answer or refuses, and when the stream ends.
        """
        try:
            with self._http.stream("GET", path, timeout=httpx.Timeout(_ANSWER, read=_SILENCE)) as stream:
                if stream.is_error:
                    stream.read()
                    raise self._refusal("GET", path, stream)
                for line in stream.iter_lines():
                    if line.startswith("data: "):
                        yield json.loads(line.removeprefix("data: "))
        except httpx.ConnectError as error:
            raise self._none(error) from error
        except httpx.TransportError as error:
            raise UserError(f"the imaging service at {self.url} is gone ({error}).") from error
        raise UserError(f"the imaging service at {self.url} has ended.")

    def wait(self, run_id: int, states: Collection[str]) -> dict[str, Any]:
        """Wait until a run is in none of these states, and return it."""
        while True:
            run: dict[str, Any] = self.get(f"/runs/{run_id}")
            if run["state"] not in states:
                return run
            time.sleep(_POLL_SECONDS)

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
        while run["state"] in ("queued", "running", "paused"):
            time.sleep(_POLL_SECONDS)
            run = self.get(f"/runs/{run['id']}")
            progress = run["progress"]
            if progress and report:
                report(progress["stage"], progress["done"], progress["total"])
        if run["state"] != "done":
            raise UserError(f"run {run['id']} ({run['kind']}) ended as {run['state']}: {run['message']}")
        finished: dict[str, Any] = run
        return finished
