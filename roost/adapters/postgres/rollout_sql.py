"""The statements of `PostgresRollouts`.

``now`` is NULL where the database's own clock decides; see `Database.stamp`.
"""

from __future__ import annotations

from typing import Final

INSERT: Final = """
INSERT INTO rollouts (id, customer, model, pool, phase, run_id, digest, artifact_uri, trained_at, received_at,
    entered_at, deadline, version, previous_version, verdict, load_generation, flip_generation, skew_ms, approved_by,
    reason, wave_id, facts, traceparent, revision, due_at)
VALUES (%(id)s, %(customer)s, %(model)s, %(pool)s, %(phase)s, %(run_id)s, %(digest)s, %(artifact_uri)s, %(trained_at)s,
    %(received_at)s, %(entered_at)s, %(deadline)s, %(version)s, %(previous_version)s, %(verdict)s,
    %(load_generation)s, %(flip_generation)s, %(skew_ms)s, %(approved_by)s, %(reason)s, %(wave_id)s, %(facts)s,
    %(traceparent)s, %(revision)s, coalesce(%(now)s::timestamptz, clock_timestamp()))
ON CONFLICT DO NOTHING
"""

# Whose training had failed has a model now: the run was cleared, or another one came. The event of a run from before
# the failure, that comes late, says nothing of it.
TRAINED: Final = """
UPDATE onboardings SET stage = 'trained', error = NULL
WHERE customer = %(customer)s AND model = %(model)s AND stage = 'failed'
  AND (failed_at IS NULL OR failed_at <= %(trained_at)s OR airflow_run_id = %(run_id)s)
"""

# Identity (customer, model, digest, run, trace) is never written again.
UPDATE: Final = """
UPDATE rollouts SET pool = %(pool)s, phase = %(phase)s, entered_at = %(entered_at)s, deadline = %(deadline)s,
    version = %(version)s, previous_version = %(previous_version)s, verdict = %(verdict)s,
    load_generation = %(load_generation)s, flip_generation = %(flip_generation)s, skew_ms = %(skew_ms)s,
    approved_by = %(approved_by)s, reason = %(reason)s, wave_id = %(wave_id)s, facts = %(facts)s,
    revision = %(revision)s, changed = nextval('rollout_changes'),
    due_at = coalesce(%(now)s::timestamptz, clock_timestamp()), lease_owner = NULL, lease_until = NULL
WHERE id = %(id)s
"""

SEARCH: Final = """
SELECT * FROM rollouts
WHERE (%(customer)s::text IS NULL OR customer = %(customer)s)
  AND (%(model)s::text IS NULL OR model = %(model)s)
  AND (%(pool)s::text IS NULL OR pool = %(pool)s)
  AND (%(attempts)s::text[] IS NULL OR run_id = ANY(%(attempts)s))
  AND (%(phases)s::text[] IS NULL OR phase = ANY(%(phases)s))
  AND (%(before)s::timestamptz IS NULL OR received_at < %(before)s)
ORDER BY received_at DESC, id COLLATE "C" DESC
LIMIT %(limit)s
"""

CLAIM: Final = """
WITH t AS (SELECT coalesce(%(now)s::timestamptz, clock_timestamp()) AS now)
UPDATE rollouts SET lease_owner = %(owner)s, lease_until = t.now + %(seconds)s * interval '1 second'
FROM t
WHERE id IN (
    SELECT r.id FROM rollouts r, t
    WHERE r.phase = ANY(%(phases)s) AND r.due_at <= t.now AND (r.lease_until IS NULL OR r.lease_until <= t.now)
    ORDER BY r.received_at, r.id
    LIMIT %(limit)s
    FOR UPDATE OF r SKIP LOCKED)
RETURNING rollouts.*
"""

GIVE_BACK: Final = """
UPDATE rollouts SET lease_owner = NULL, lease_until = NULL,
    due_at = coalesce(%(now)s::timestamptz, clock_timestamp()) + %(seconds)s * interval '1 second'
WHERE id = %(id)s AND lease_owner = %(owner)s
"""

# The counter outlives its rollouts, so that no number comes twice.
ALLOCATE: Final = """
WITH counter AS (
    INSERT INTO served_versions (customer, model, last_version) VALUES (%(customer)s, %(model)s, 1)
    ON CONFLICT (customer, model) DO UPDATE SET last_version = served_versions.last_version + 1
    RETURNING last_version)
INSERT INTO version_allocations (rollout_id, customer, model, version)
SELECT %(id)s, %(customer)s, %(model)s, last_version FROM counter
RETURNING version
"""

# At most one rollout of a name is LIVE, and each has left LIVE before the next enters it: the order of writes tells
# the newest, whatever the clocks say. What had settled before its customer left is unloaded, and its objects may be
# deleted; a LIVE one is still the deployer's, which takes it back while they leave.
LIVE: Final = """
SELECT r.* FROM rollouts r LEFT JOIN onboardings o ON o.customer = r.customer
WHERE r.customer = %s AND r.model = %s
  AND (r.phase = 'LIVE' OR (r.phase = 'SETTLED' AND (o.left_at IS NULL OR r.received_at > o.left_at)))
ORDER BY (r.phase = 'LIVE') DESC, r.changed DESC
LIMIT 1
"""
