"""The questions that the REST API and the pages both ask. Reading only; every method is one moment's answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deployer.console import audit, fleet_views, shapes, views
from deployer.console.fleet import FleetReader, replica_view
from deployer.console.offers import offers
from deployer.console.one_moment import rollout_and_history
from deployer.console.pace import expected_at
from deployer.console.sources import Sources
from deployer.console.why import evidence
from deployer.console.why.answer import WhyAnswer
from deployer.console.why.evidence import UnknownCustomer
from deployer.console.why.explain import explain
from deployer.rollout.possible import Possible
from roost.contracts.events import Command
from roost.contracts.ids import DEFAULT_MODEL, check_id
from roost.contracts.links import trace_page
from roost.contracts.rollout import Phase, Rollout
from roost.ports.ledger import RolloutQuery

#: What an expectation is made from.
_LATELY_LIVE: Final = RolloutQuery(phases=frozenset({Phase.LIVE}), limit=25)


class Reader:
    """Reads the sources into the API's shapes. Raises what the ledger raises."""

    def __init__(self, sources: Sources) -> None:
        """`sources` stay open as long as this reader is used."""
        self.sources = sources
        self.fleet_reader = FleetReader(sources)
        self._possible = Possible(sources.ledger, sources.desired.has)

    def rollouts(self, query: RolloutQuery) -> views.RolloutPage:
        """One page, newest first; one row more is read to know whether another page follows."""
        wanted = RolloutQuery(
            customer=query.customer,
            model=query.model,
            phases=query.phases,
            pool=query.pool,
            run_id=query.run_id,
            limit=query.limit + 1,
            before=query.before,
        )
        found = self.sources.ledger.rollouts(wanted)
        rows = tuple(shapes.summary(row) for row in found[: query.limit])
        more = len(found) > query.limit
        return views.RolloutPage(items=rows, next_before=rows[-1].received_at if more and rows else None)

    def rollout(self, rollout_id: str) -> views.RolloutDetail:
        """One rollout with history, verdict and what each replica says. Raises `NotFound`."""
        ledger = self.sources.ledger
        rollout, history = rollout_and_history(ledger, rollout_id)
        replicas, error = self._replicas(rollout)
        refused = ledger.quarantined(rollout.digest)
        row = shapes.summary(rollout)
        return views.RolloutDetail(
            rollout=row,
            artifact_uri=rollout.artifact_uri,
            verdict=rollout.verdict,
            history=shapes.history(history),
            facts=rollout.facts,
            replicas=replicas,
            replicas_error=error,
            quarantine=shapes.quarantine(refused) if refused else None,
            actions=offers(self._possible, rollout),
            expected_at=expected_at(rollout, ledger.rollouts(_LATELY_LIVE)),
            trace_page=trace_page(self.sources.trace_page, row.trace_id),
        )

    def customer(self, customer: str) -> views.CustomerView:
        """One customer. Raises `InvalidId`, `UnknownCustomer`."""
        check_id(customer, "customer id")
        ledger = self.sources.ledger
        row = ledger.onboarding(customer)
        newest = ledger.rollouts(RolloutQuery(customer=customer, limit=1))
        if row is None and not newest:
            raise UnknownCustomer(f"nothing is known of customer {customer!r}: no signup, no rollout")
        live = ledger.live(customer, newest[0].model if newest else row.model if row else DEFAULT_MODEL)
        return views.CustomerView(
            customer=customer,
            onboarding=shapes.onboarding(row) if row else None,
            live=shapes.summary(live) if live else None,
            newest=shapes.summary(newest[0]) if newest else None,
            freezes=tuple(entry for entry in self.freezes() if entry.of_fleet or entry.customer == customer),
        )

    def why(self, customer: str, model: str) -> WhyAnswer:
        """The explanation. Raises `InvalidId`, `UnknownCustomer`."""
        check_id(customer, "customer id")
        check_id(model, "model id")
        possible = self._possible
        answer = explain(evidence.collect(self.sources, self.fleet_reader, possible, customer, model))
        answering = possible.meant(Command.ROLLBACK, customer, model)
        return answer.model_copy(
            update={
                "trace_page": trace_page(self.sources.trace_page, answer.trace_id),
                "actions": offers(possible, answering) if answering else (),
            }
        )

    def fleet(self) -> fleet_views.FleetView:
        """All pools and nodes."""
        return self.fleet_reader.view()

    def events(self, *, after: int, limit: int) -> views.EventPage:
        """The newest `limit` events above `after`, oldest first."""
        items = tuple(shapes.event(row) for row in self.sources.ledger.recent_events(limit=limit, after=after))
        return views.EventPage(items=items, last_sequence=items[-1].sequence if items else after)

    def quarantines(self) -> Sequence[views.QuarantineView]:
        """Refused digests, newest first."""
        return [shapes.quarantine(entry) for entry in self.sources.ledger.quarantines()]

    def freezes(self) -> Sequence[views.FreezeView]:
        """Freezes that stand."""
        return [shapes.freeze(entry) for entry in self.sources.ledger.freezes()]

    def commands(self, limit: int) -> Sequence[views.CommandView]:
        """The audit list, newest first."""
        return audit.commands(self.sources.ledger, self.sources.ledger.commands(limit))

    def _replicas(self, rollout: Rollout) -> tuple[tuple[views.ReplicaView, ...], str | None]:
        report = self.fleet_reader.pool(rollout.pool)
        if not rollout.version:
            return (), report.nodes_error
        return tuple(replica_view(node, rollout.name, rollout.version) for node in report.nodes), report.nodes_error
