"""The one catalogue of metrics.

Names are ``roost_<subsystem>_<name>_<unit>``. Labels are bounded: never a customer, a served name or a version, since
thousands of customers must not become thousands of label values.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

CONSUMED: Final = Counter(
    "roost_consumer_events_total",
    "Events handled, by topic and result: new, duplicate, dead_letter.",
    ["topic", "result"],
)
CONSUMER_LAG: Final = Gauge("roost_consumer_lag_events", "Events behind the end of the topic.", ["topic", "partition"])
CONSUMER_AGE: Final = Histogram(
    "roost_consumer_age_seconds", "Age of an event when it was committed.", ["topic"], buckets=_SECONDS
)
BREAKER_OPEN: Final = Gauge(
    "roost_consumer_breaker_open", "1 while a consumer stopped because nearly all is poison.", ["topic"]
)
RUNS_STARTED: Final = Counter(
    "roost_onboarding_runs_total", "Airflow runs asked for, by result: started, exists, refused, retry.", ["result"]
)
TRANSITIONS: Final = Counter("roost_rollout_transitions_total", "Rollouts that entered a phase.", ["phase"])
STEP_SECONDS: Final = Histogram(
    "roost_rollout_step_seconds", "Seconds of one advance, by the phase it worked in.", ["phase"], buckets=_SECONDS
)
PHASE_OPEN: Final = Gauge("roost_rollout_open_count", "Rollouts now in a phase that is not an end.", ["phase"])
CHECKS: Final = Counter("roost_check_results_total", "Canary check results.", ["check", "outcome"])
READY_TO_SERVING: Final = Histogram(
    "roost_rollout_ready_to_serving_seconds",
    "From the model-ready event to proved on every ready node.",
    buckets=(0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900),
)
GENERATION: Final = Gauge("roost_pool_generation", "Newest desired generation written or seen.", ["pool"])
GENERATION_WRITES: Final = Counter(
    "roost_pool_generation_writes_total",
    "Writes of a desired object, by result: written, lost_race, unavailable.",
    ["pool", "result"],
)
FLIP_SKEW: Final = Histogram(
    "roost_pool_flip_skew_seconds", "First to last node on the new version.", ["pool"], buckets=_SECONDS
)
NODES_BEHIND: Final = Gauge(
    "roost_pool_nodes_behind_count", "Nodes that do not serve the desired generation.", ["pool"]
)
OUTBOX_PENDING: Final = Gauge("roost_outbox_pending_events", "Committed events that are not in Kafka yet.")
NODE_GENERATION: Final = Gauge("roost_node_generation", "Generation that this node has taken up.")
NODE_READY: Final = Gauge("roost_node_ready", "1 while this node serves its generation.")
NODE_MODELS: Final = Gauge("roost_node_versions_count", "Versions on this node, by state.", ["state"])
NODE_LOAD: Final = Histogram(
    "roost_node_load_seconds", "From the start of a download to the first prediction.", buckets=_SECONDS
)
NODE_MEMORY: Final = Gauge("roost_node_model_server_bytes", "Resident set of the model server.")
NODE_LEAKED: Final = Gauge("roost_node_leaked_bytes", "Memory that unloading did not give back, estimated.")
NODE_RESTARTS: Final = Counter(
    "roost_node_child_restarts_total", "Children that were replaced, by child and cause.", ["child", "cause"]
)
RESTARTS: Final = Counter(
    "roost_restart_nodes_total", "Nodes that a rolling restart dealt with, by result.", ["pool", "result"]
)
CONSOLE_COMMANDS: Final = Counter(
    "roost_console_commands_total",
    "Commands of people, by command and result: accepted, duplicate.",
    ["command", "result"],
)
CONSOLE_REFUSED: Final = Counter(
    "roost_console_refused_requests_total",
    "Requests that nobody may make, by HTTP status: no or bad token, foreign machine, foreign origin, not JSON.",
    ["status"],
)
