"""One customer, asked of the ledger."""

from __future__ import annotations

from typing import Final

from roost.dashboards.panels import LEDGER, Dashboard, Panel

CUSTOMER_BOARD: Final = Dashboard(
    uid="roost-customer",
    title="Roost: one customer",
    source=LEDGER,
    panels=(
        Panel(
            title="Where they stand",
            kind="table",
            width=24,
            queries=(
                (
                    (
                        "SELECT stage, model, signed_up_at, airflow_run_id, attempts, next_attempt_at, error "
                        "FROM onboardings WHERE customer = '$customer'"
                    ),
                    "",
                ),
            ),
        ),
        Panel(
            title="Rollouts",
            kind="table",
            width=24,
            queries=(
                (
                    (
                        "SELECT received_at, model, version, phase, reason, approved_by, skew_ms, run_id FROM rollouts "
                        "WHERE customer = '$customer' ORDER BY received_at DESC LIMIT 50"
                    ),
                    "",
                ),
            ),
        ),
        Panel(
            title="Seconds from announced to live",
            unit="s",
            width=12,
            queries=(
                (
                    (
                        "SELECT rollouts.received_at AS time, model, "
                        "extract(epoch FROM transitions.at - rollouts.received_at) AS seconds "
                        "FROM rollouts JOIN transitions ON transitions.rollout_id = rollouts.id "
                        "WHERE customer = '$customer' AND transitions.after = 'LIVE' ORDER BY 1"
                    ),
                    "",
                ),
            ),
        ),
        Panel(
            title="Transitions",
            kind="table",
            width=12,
            queries=(
                (
                    (
                        "SELECT at, version, before, after, actor, transitions.reason FROM transitions "
                        "JOIN rollouts ON rollouts.id = rollout_id "
                        "WHERE customer = '$customer' ORDER BY at DESC LIMIT 100"
                    ),
                    "",
                ),
            ),
        ),
        Panel(
            title="Quarantined artifacts",
            kind="table",
            width=24,
            queries=(("SELECT at, model, digest, reason, actor FROM quarantines WHERE customer = '$customer'", ""),),
        ),
    ),
    variables=(
        {
            "name": "customer",
            "label": "Customer",
            "type": "query",
            "datasource": LEDGER,
            "query": "SELECT customer FROM onboardings ORDER BY customer",
            "refresh": 1,
        },
    ),
)
