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
    "Events handled, by topic and result: new, duplicate (known, or about somebody who has left), dead_letter.",
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
RUNS_ENDED: Final = Counter(
    "roost_onboarding_runs_ended_total",
    "Training runs that onboarding followed to their end, by result: success, failed.",
    ["result"],
)
SIGNUP_TO_ANSWER: Final = Histogram(
    "roost_onboarding_signup_to_answer_seconds",
    "From a customer's signup to their first model's answer, proved on every ready node.",
    buckets=(15, 30, 45, 60, 90, 120, 300, 600, 900, 1800, 3600, 14_400, 86_400),
)
UNANSWERED: Final = Gauge(
    "roost_onboarding_unanswered_seconds",
    "Age of the oldest signup that has neither an answer nor a refusal yet; 0 where there is none.",
)
TRANSITIONS: Final = Counter("roost_rollout_transitions_total", "Rollouts that entered a phase.", ["phase"])
STEP_SECONDS: Final = Histogram(
    "roost_rollout_step_seconds", "Seconds of one advance, by the phase it worked in.", ["phase"], buckets=_SECONDS
)
PHASE_OPEN: Final = Gauge("roost_rollout_open_count", "Rollouts now in a phase that is not an end.", ["phase"])
PHASE_OLDEST: Final = Gauge(
    "roost_rollout_oldest_seconds", "How long the oldest rollout of a phase is in it; 0 where there is none.", ["phase"]
)
OVERDUE: Final = Gauge("roost_rollout_overdue_count", "Rollouts that are past the deadline of their phase.", ["phase"])
CHECKS: Final = Counter("roost_check_results_total", "Canary check results.", ["check", "outcome"])
READY_TO_SERVING: Final = Histogram(
    "roost_rollout_ready_to_serving_seconds",
    "From the model-ready event to proved on every ready node, where no person was asked.",
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
NODES_ANSWERING: Final = Gauge(
    "roost_pool_nodes_answering_count", "Nodes of the pool that count in a promotion.", ["pool"]
)
RESTARTS_DUE: Final = Gauge(
    "roost_pool_restarts_due_count", "Nodes that the policy wants restarted: stale, or leaking.", ["pool"]
)
RESTARTS_REFUSED: Final = Gauge(
    "roost_pool_restarts_refused_count",
    "Restarts of the pool that were refused or did not finish, since the last one that was finished.",
    ["pool"],
)
RESTART_AGE: Final = Gauge(
    "roost_pool_restart_age_seconds",
    "Since a restart of the pool was last finished, where the policy has every node restarted each time; elsewhere 0.",
    ["pool"],
)
LEDGER_BEHIND: Final = Gauge(
    "roost_pool_ledger_behind_count",
    "Generations of the pool's desired object that the ledger knows nothing of; nothing is deployed by its word then.",
    ["pool"],
)
OUTBOX_PENDING: Final = Gauge("roost_outbox_pending_events", "Committed events that are not in Kafka yet.")
REMOVED: Final = Counter(
    "roost_retention_removed_total",
    "What went because it was done with, by kind: inbox, outbox and commands count rows, staging counts artifacts.",
    ["kind"],
)
NODE_GENERATION: Final = Gauge("roost_node_generation", "Generation that this node has taken up.")
NODE_READY: Final = Gauge("roost_node_ready", "1 while this node serves its generation.")
NODE_MODELS: Final = Gauge("roost_node_versions_count", "Versions on this node, by state.", ["state"])
NODE_LOAD: Final = Histogram(
    "roost_node_load_seconds", "From the start of a download to the first prediction.", buckets=_SECONDS
)
NODE_MEMORY: Final = Gauge("roost_node_model_server_bytes", "Resident set of the model server.")
NODE_LEAKED: Final = Gauge("roost_node_leaked_bytes", "Memory that unloading did not give back, estimated.")
NODE_CACHE_BYTES: Final = Gauge("roost_node_cache_bytes", "Bytes of the versions in the disk cache.")
NODE_CACHE_LIMIT: Final = Gauge("roost_node_cache_limit_bytes", "Bytes that the disk cache may take (cache_mb).")
NODE_CACHE_VERSIONS: Final = Gauge("roost_node_cache_versions_count", "Versions in the disk cache.")
NODE_CACHE_REMOVED: Final = Counter(
    "roost_node_cache_removed_total", "Versions that left the disk cache, by why: room, damaged, replaced.", ["why"]
)
NODE_CACHE_DAMAGED: Final = Counter(
    "roost_node_cache_damaged_total", "Times that a cached version was not what its manifest says."
)
NODE_DOWNLOADED: Final = Counter("roost_node_downloaded_bytes_total", "Bytes of versions brought into the disk cache.")
GATEWAY_ANSWERS: Final = Counter(
    "roost_gateway_answers_total", "Requests that this node's gateway answered, by door.", ["door"]
)
GATEWAY_FAILED: Final = Counter(
    "roost_gateway_failed_answers_total",
    "Of these, failed on the servers' side: 5xx, and gRPC statuses that mean the same.",
    ["door"],
)
GATEWAY_KEYS_MISSED: Final = Counter(
    "roost_gateway_keys_missed_total",
    "Looks, every five seconds, that found an issuer's keys not fetched from their URL; the node's log says why.",
)
NODE_MODELS_BYTES: Final = Gauge("roost_node_models_bytes", "Of the model server's memory, what loaded versions have.")
NODE_BASE_BYTES: Final = Gauge("roost_node_base_bytes", "Of the model server's memory, what it has without versions.")
NODE_UNLOAD_LEAKED: Final = Counter(
    "roost_node_unload_leaked_bytes_total", "Bytes that unloads did not give back at once, added up."
)
NODE_NEIGHBOUR_P99: Final = Gauge(
    "roost_node_neighbour_p99_seconds",
    "99th percentile of the models that are served, as the gateway measures it: quiet, and loading.",
    ["when"],
)
NODE_LOADS_HELD: Final = Counter("roost_node_loads_held_seconds_total", "Seconds that loads waited for the neighbours.")
NODE_RESTARTS: Final = Counter(
    "roost_node_child_restarts_total", "Children that were replaced, by child and cause.", ["child", "cause"]
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
APP_SECONDS: Final = Histogram(
    "roost_app_answer_seconds",
    "Answers of the node's own page for predictions, the model server's part included.",
    ["status"],
    buckets=_SECONDS,
)
TAP_REQUESTS: Final = Counter(
    "roost_tap_requests_total",
    "Requests that were taken for the canary, by result: recorded, over (the hour's bound), full, unfit, lost.",
    ["result"],
)
TRACE_SPANS: Final = Counter(
    "roost_trace_spans_total",
    "Spans of traces that are kept, by result: exported, full (too many waited), refused (the collector is away).",
    ["result"],
)
