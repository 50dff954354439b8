"""From an event to a version: objectives, what waits, what was refused."""

from __future__ import annotations

from typing import Final

from roost.dashboards.panels import PROMETHEUS, Dashboard, Panel, quantiles

PIPELINE_BOARD: Final = Dashboard(
    uid="roost-pipeline",
    title="Roost: pipeline",
    source=PROMETHEUS,
    panels=(
        Panel(
            title="Signup to answer",
            unit="s",
            queries=quantiles("roost_onboarding_signup_to_answer_seconds"),
            text="Promised: 99 % within 15 minutes.",
        ),
        Panel(
            title="Ready to serving",
            unit="s",
            queries=quantiles("roost_rollout_ready_to_serving_seconds"),
            text="Promised: 99 % within 60 seconds, where no person is asked.",
        ),
        Panel(
            title="Late, share of the last hour",
            unit="percentunit",
            queries=(
                ("roost:signup_to_answer_late:ratio_rate1h", "signup to answer"),
                ("roost:ready_to_serving_late:ratio_rate1h", "ready to serving"),
            ),
        ),
        Panel(
            title="Oldest unanswered signup",
            unit="s",
            kind="stat",
            queries=(("max(roost_onboarding_unanswered_seconds)", ""),),
        ),
        Panel(
            title="Oldest approval",
            unit="s",
            kind="stat",
            queries=(('max(roost_rollout_oldest_seconds{phase="AWAITING_APPROVAL"})', ""),),
        ),
        Panel(
            title="Past their deadline, or halted",
            kind="stat",
            queries=(
                ("sum(max by (phase) (roost_rollout_overdue_count))", "past the deadline"),
                ('max(roost_rollout_open_count{phase="HALTED"})', "halted"),
            ),
        ),
        Panel(title="Open rollouts", queries=(("max by (phase) (roost_rollout_open_count)", "{{phase}}"),), width=12),
        Panel(
            title="Transitions",
            queries=(("sum by (phase) (increase(roost_rollout_transitions_total[$__rate_interval]))", "{{phase}}"),),
            width=12,
        ),
        Panel(
            title="Canary checks",
            queries=(
                (
                    "sum by (check, outcome) (increase(roost_check_results_total[$__rate_interval]))",
                    "{{check}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            title="A step of a rollout",
            unit="s",
            queries=(
                (
                    (
                        "histogram_quantile(0.95, sum by (le, phase) "
                        "(rate(roost_rollout_step_seconds_bucket[$__rate_interval])))"
                    ),
                    "{{phase}}",
                ),
            ),
        ),
        Panel(
            title="Airflow runs asked for",
            queries=(("sum by (result) (increase(roost_onboarding_runs_total[$__rate_interval]))", "{{result}}"),),
        ),
        Panel(
            title="Events handled",
            queries=(
                (
                    "sum by (topic, result) (rate(roost_consumer_events_total[$__rate_interval]))",
                    "{{topic}} {{result}}",
                ),
            ),
        ),
        Panel(title="Events behind", queries=(("sum by (topic) (roost_consumer_lag_events)", "{{topic}}"),)),
        Panel(title="Events not in Kafka yet", queries=(("max(roost_outbox_pending_events)", "outbox"),)),
    ),
)
