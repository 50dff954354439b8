"""The client's network part, which also remembers why connections failed."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from kafka import errors
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from roost.adapters.kafka.connection import client_options, translated
from roost.adapters.kafka.refusals import refusal, silent_end, unreadable
from roost.contracts.errors import BrokerRefused, RoostError
from roost.settings import KafkaSettings


class PlainClient(KafkaNetClient):  # type: ignore[misc]  # the base ships no types
    """The client's own network part, which asks for no topic to be made.

    kafka-python 3.0.12 accepts `allow_auto_create_topics` and does not hand it on, so that a consumer that came
    before `roost topics ensure` made its topic with whatever number of partitions the broker likes.
    """

    def __init__(self, **configs: Any) -> None:
        """As the base, with the flag where metadata requests look for it."""
        super().__init__(**configs)
        self.cluster.config["allow_auto_create_topics"] = False


class Witness:
    """Goes with one client of kafka-python and knows what its connections failed of.

    The client (3.0.12) keeps that to its log: a wrong password, an unknown authority and a broker that is away all end
    as "Unable to bootstrap". Where its constructor fails, it also leaves its thread and its sockets behind.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        """For one client, which `made` makes."""
        self._settings = settings
        self._client: PlainClient | None = None
        #: What the last connection that failed for a telling reason failed of; None once one is good.
        self.refused: BrokerRefused | None = None

    def made(self, client: Callable[..., Any], **options: object) -> Any:
        """The client, with our settings and these options.

        Raises `SettingsInvalid`, `BrokerRefused` where a TLS file cannot be read, and the client's own errors.
        """
        # The client would connect first, and leave that socket to the garbage collector, at each of its attempts.
        refused = unreadable(self._settings)
        if refused is not None:
            raise refused
        try:
            return client(**client_options(self._settings) | {"kafka_client": self._network} | options)
        except BaseException:
            if self._client is not None:
                self._client.close()
                self._client._net.stop()  # noqa: SLF001 (the owner that would stop it was never made)
            raise

    def translated(self, error: Exception, doing: str) -> RoostError:
        """What the error means; where the client only knows that it waited in vain, what its connections failed of."""
        vague = isinstance(error, errors.KafkaTimeoutError | errors.KafkaConnectionError | errors.NodeNotReadyError)
        if self.refused is not None and vague:
            return self.refused
        return translated(error, self._settings, doing)

    def _network(self, **configs: Any) -> PlainClient:
        net = NetworkSelector(**configs)
        self._client = PlainClient(net=net, manager=_Connections(net, self, **configs), **configs)
        return self._client

    def saw(self, error: Exception) -> BrokerRefused | None:
        """A connection failed. Returns the refusal, if it was one."""
        found = refusal(error, self._settings)
        self.refused = found or self.refused
        return found

    def saw_silent_end(self) -> None:
        """A connection was made, and ended before it was of any use."""
        if self.refused is None and not self._settings.security_protocol.startswith("SASL"):
            self.refused = silent_end(self._settings)


class _Connections(KafkaConnectionManager):  # type: ignore[misc]  # the base ships no types
    """Tells a witness, and gives up as soon as every broker it was told of has refused."""

    def __init__(self, net: NetworkSelector, witness: Witness, **configs: Any) -> None:
        super().__init__(net, **configs)
        self._witness = witness
        self._refused_by: set[object] = set()
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()

    def get_connection(self, node_id: Any, *args: Any, **options: Any) -> Any:
        """As the base. Raises `KafkaConnectionError` where nobody of the first list let us in: repeating is no help."""
        if not self.bootstrapped and len(self._refused_by) >= len(self.cluster.bootstrap_brokers()):
            raise errors.KafkaConnectionError(str(self._witness.refused))
        connection = super().get_connection(node_id, *args, **options)
        if connection not in self._watched:
            self._watched.add(connection)
            connection.init_future.add_callback(lambda _: self._good())
            connection.init_future.add_errback(lambda error: self._failed(node_id, error))
            connection.close_future.add_errback(lambda _: self._ended(connection))
        return connection

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:
        """As the base, and what a broker says before it hangs up is heard.

        kafka-python 3.0.12 throws away what came together with the end of a connection. On a busy machine the alert of
        a TLS port and the end that follows it come together: why we were refused was known at some attempts only.
        """
        transport = await super()._build_transport(node, timeout_at)
        received = transport._sock_recv  # noqa: SLF001 (the client offers no other place)

        def heard() -> tuple[bytes, Exception | None]:
            data, error = received()
            # The end is still there at the next look.
            return data, None if data else error

        transport._sock_recv = heard  # noqa: SLF001 (as above)
        return transport

    def _good(self) -> None:
        if self.bootstrapped:
            self._witness.refused = None

    def _failed(self, node_id: object, error: Exception) -> None:
        if self._witness.saw(error) is not None:
            self._refused_by.add(node_id)
        elif not self.bootstrapped and "socket disconnected" in str(error):
            self._witness.saw_silent_end()

    def _ended(self, connection: Any) -> None:
        if not self.bootstrapped and connection.init_future.succeeded():
            self._witness.saw_silent_end()
