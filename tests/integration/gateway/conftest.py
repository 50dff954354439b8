"""The gateway as it stands in a node, before a stand-in for the model server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from roost.settings import GatewaySettings
from serving.gateway.tokens import SigningKey, key_set
from tests.integration.gateway.running import Running, configured, running
from tests.integration.gateway.secured import Secured, a_secured_gateway
from tests.integration.gateway.stand_in import StandIn, stand_in


@pytest.fixture(scope="module")
def model_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with stand_in(tmp_path_factory.mktemp("model")) as server:
        yield server


@pytest.fixture(scope="module")
def signing_key() -> SigningKey:
    return SigningKey.create()


@pytest.fixture(scope="module")
def open_gateway(model_server: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Asks for no token; takes up to 1 MB; writes an access log."""
    directory = tmp_path_factory.mktemp("open")
    settings = GatewaySettings(max_body_mb=1, access_log=directory / "access.log")
    with running(configured(directory, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        yield it


@pytest.fixture(scope="module")
def token_gateway(
    model_server: StandIn, signing_key: SigningKey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """Asks for a token of `signing_key`."""
    directory = tmp_path_factory.mktemp("tokens")
    keys = directory / "jwks.json"
    keys.write_text(key_set([signing_key]))
    settings = GatewaySettings(jwks_file=keys, access_log=directory / "access.log")
    with running(configured(directory, socket=model_server.socket, rest=model_server.rest, settings=settings)) as it:
        yield it


@pytest.fixture(scope="module")
def tls(model_server: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Speaks TLS on both doors."""
    with a_secured_gateway(tmp_path_factory.mktemp("tls"), model_server, mutual=False) as it:
        yield it


@pytest.fixture(scope="module")
def mutual(model_server: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Asks for the client's certificate too."""
    with a_secured_gateway(tmp_path_factory.mktemp("mutual"), model_server, mutual=True) as it:
        yield it
