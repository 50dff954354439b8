"""The replicas: generations, predictions, memory."""

from __future__ import annotations

from typing import Final

from roost.dashboards.panels import PROMETHEUS, Dashboard, Panel, quantiles

FLEET_BOARD: Final = Dashboard(
    uid="roost-fleet",
    title="Roost: fleet",
    source=PROMETHEUS,
    panels=(
        Panel(
            title="Nodes behind",
            kind="stat",
            queries=(("max by (pool) (roost_pool_nodes_behind_count)", "{{pool}}"),),
            text="Nodes that do not serve the desired generation. Above 0 for minutes: runbook node-behind.",
        ),
        Panel(
            title="Nodes that answer",
            kind="stat",
            queries=(("max by (pool) (roost_pool_nodes_answering_count)", "{{pool}}"),),
        ),
        Panel(
            title="Restarts due",
            kind="stat",
            queries=(
                ("max by (pool) (roost_pool_restarts_due_count)", "{{pool}}"),
                ("max by (pool) (roost_pool_restarts_refused_count)", "{{pool}}: refused in a row"),
            ),
        ),
        Panel(title="Generation by node", queries=(("roost_node_generation", "{{instance}}"),), width=12),
        Panel(title="First to last node", unit="s", queries=quantiles("roost_pool_flip_skew_seconds"), width=12),
        Panel(
            title="Predictions",
            unit="reqps",
            queries=(("sum by (door) (rate(roost_gateway_answers_total[$__rate_interval]))", "{{door}}"),),
        ),
        Panel(
            title="Failed predictions",
            unit="percentunit",
            queries=(
                (
                    (
                        "sum by (instance, door) (rate(roost_gateway_failed_answers_total[$__rate_interval])) / "
                        "sum by (instance, door) (rate(roost_gateway_answers_total[$__rate_interval]))"
                    ),
                    "{{instance}} {{door}}",
                ),
            ),
            text="On the servers' side only. Above 0.1 %: runbook predictions-failing.",
        ),
        Panel(
            title="Children replaced",
            queries=(
                (
                    "sum by (child, cause) (increase(roost_node_child_restarts_total[$__rate_interval]))",
                    "{{child}}: {{cause}}",
                ),
            ),
        ),
        Panel(title="Model server memory", unit="bytes", queries=(("roost_node_model_server_bytes", "{{instance}}"),)),
        Panel(
            title="Memory debt",
            unit="bytes",
            queries=(("roost_node_leaked_bytes", "{{instance}}"),),
            text="What unloading did not give back. Runbook memory-debt.",
        ),
        Panel(title="Versions by state", queries=(("sum by (state) (roost_node_versions_count)", "{{state}}"),)),
        Panel(title="Load of a version", unit="s", queries=quantiles("roost_node_load_seconds"), width=12),
        Panel(
            title="Generations written",
            queries=(
                (
                    "sum by (pool, result) (rate(roost_pool_generation_writes_total[$__rate_interval]))",
                    "{{pool}} {{result}}",
                ),
            ),
            width=12,
        ),
    ),
)
