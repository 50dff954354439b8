"""What an error of Google's client means: worth another try, or one of Roost's own errors."""

from __future__ import annotations

from roost.contracts.errors import Conflict, NotFound, Permanent, RoostError, StorageUnavailable


def _code(error: BaseException) -> int | None:
    from google.api_core.exceptions import GoogleAPICallError

    return int(error.code) if isinstance(error, GoogleAPICallError) and error.code is not None else None


def _unreachable(error: BaseException) -> bool:
    import requests
    from google.auth.exceptions import TransportError
    from google.cloud.storage.exceptions import DataCorruption

    # Subclasses of RequestException that blame the request (a bad URL) are ValueErrors too, and are bugs.
    broken = isinstance(error, requests.RequestException) and not isinstance(error, ValueError)
    return broken or isinstance(error, (ConnectionError, TimeoutError, TransportError, DataCorruption))


def worth_another_try(error: Exception, *, replaced: bool) -> bool:
    """Whether the same call may succeed soon. `replaced`: an object that was replaced meanwhile counts too."""
    if isinstance(error, RoostError):
        return isinstance(error, StorageUnavailable)
    code = _code(error)
    if code is None:
        return _unreachable(error)
    return code in {408, 429} or code >= 500 or (replaced and code in {404, 412})


def _words(error: Exception) -> str:
    """The store's own sentence, which names the account and the permission."""
    details: list[dict[str, str]] = list(getattr(error, "errors", ()))
    said = details[0].get("message") if details else None
    return (said or str(error)).strip().rstrip(".")


def translated(error: Exception, uri: str) -> Exception:
    """Roost's error for one of the client's; an error that is nobody's but ours (a bug) comes back as it is."""
    code = _code(error)
    if code == 404:
        return NotFound(f"{uri} does not exist")
    if code in {409, 412}:
        return Conflict(f"{uri}: the precondition did not hold")
    if code in {401, 403}:
        # The request is right and will pass once the right is given back: nothing may be dropped because of it.
        return StorageUnavailable(
            f"{uri}: the store refuses this account ({code}: {_words(error)}): check its roles on the bucket; a "
            "bucket of another project is refused in the same way"
        )
    if code is not None and code not in {408, 429} and code < 500:
        return Permanent(f"{uri}: the store refuses the request ({code}): {error}")
    if code is not None or _unreachable(error):
        return StorageUnavailable(f"{uri}: the store does not answer: {error}")
    return error
