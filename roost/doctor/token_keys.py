"""Whether the keys of tokens can be fetched where they come from a URL, as the gateways fetch them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import httpx

from roost.doctor.findings import Finding, or_well, wrong
from roost.settings import GatewaySettings, TokenIssuer

ABOUT: Final = "token keys"
_SECONDS: Final = 5.0


def published(gateway: GatewaySettings) -> Sequence[TokenIssuer]:
    """The issuers whose keys come from a URL."""
    first = TokenIssuer(issuer=gateway.issuer, jwks_url=gateway.jwks_url, jwks_ca_file=gateway.jwks_ca_file)
    return [each for each in (first, *gateway.issuers) if each.jwks_url]


def looked_at(gateway: GatewaySettings) -> Sequence[Finding]:
    """Findings on each of them."""
    issuers = published(gateway)
    names = ", ".join(each.issuer for each in issuers)
    return or_well(ABOUT, f"keys of {names} are fetched", _found(issuers))


def _found(issuers: Sequence[TokenIssuer]) -> Iterator[Finding]:
    for each in issuers:
        said = f"keys of {each.issuer} cannot be fetched from {each.jwks_url}"
        try:
            count = _keys(each.jwks_url or "", each.jwks_ca_file)
        except (OSError, httpx.HTTPError) as error:
            remedy = "is it up, and may whoever stands here ask it? Else correct ROOST_GATEWAY__JWKS_URL or _ISSUERS"
            if "CERTIFICATE_VERIFY_FAILED" in str(error) or isinstance(error, OSError):
                now = each.jwks_ca_file or "none, so whom the system trusts"
                remedy = f"name its certificate's authority in ROOST_GATEWAY__JWKS_CA_FILE (now {now})"
            yield wrong(ABOUT, f"{said}: {error}", remedy)
            continue
        except (ValueError, KeyError, TypeError):
            yield wrong(ABOUT, f"{said}: what it answers is no set of keys", "give the address of the JWKS itself")
            continue
        if not count:
            yield wrong(ABOUT, f"{each.jwks_url} publishes no key: every token of {each.issuer} is refused", "add one")


def _keys(url: str, authorities: Path | None) -> int:
    """How many are published. Raises OSError for a file of authorities that cannot be read, ValueError for no JSON."""
    trusted = ssl.create_default_context(cafile=str(authorities) if authorities else None)
    return len(httpx.get(url, verify=trusted, timeout=_SECONDS).raise_for_status().json()["keys"])
