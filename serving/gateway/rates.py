"""How much one customer may ask: a bucket of tokens for each, so that one who floods is turned away and others are not.

`model_spec.lua` has read the customer from the served name, which for gRPC stands in the message. The buckets belong to
one gateway: through a pool of N replicas a customer has N times the rate.
"""

from __future__ import annotations

from roost.settings import GatewaySettings
from serving.gateway.filters import REQUEST, http_filter
from serving.gateway.messages import Message, typed

_LIMIT = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
#: Of each customer's bucket while no rate is set for all: as good as none, and small enough for a protobuf number.
_UNLIMITED = 4_000_000_000
_BURST_SECONDS = 2
#: A bucket gains at least one token a second, so after a second there is one.
_RETRY_AFTER = "1"


def customer_rates(settings: GatewaySettings) -> list[Message]:
    """The filter that refuses what is beyond a customer's rate; none where no rate is set."""
    if settings.customer_rate is None and not settings.customer_rates:
        return []
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    content: Message = {
        "stat_prefix": "customer_rates",
        # Of requests whose name holds no customer; together, since nobody's model has such a name.
        "token_bucket": _everybody(settings),
        "filter_enabled": {**always, "runtime_key": "roost.customer_rates_enabled"},
        "filter_enforced": {**always, "runtime_key": "roost.customer_rates_enforced"},
        "response_headers_to_add": [{"header": {"key": "retry-after", "value": _RETRY_AFTER}}],
        "rate_limited_as_resource_exhausted": True,
        "always_consume_default_token_bucket": False,
        "rate_limits": [{"actions": [{"metadata": _customer()}]}],
        "descriptors": _descriptors(settings),
        # Beyond it the bucket that was asked longest ago is forgotten, and is full again when asked next.
        "max_dynamic_descriptors": settings.max_customers,
    }
    return [http_filter("local_ratelimit", typed(_LIMIT, content))]


def _customer() -> Message:
    key = {"key": REQUEST, "path": [{"key": "customer"}]}
    return {"descriptor_key": "customer", "metadata_key": key, "source": "DYNAMIC", "skip_if_absent": True}


def _descriptors(settings: GatewaySettings) -> list[Message]:
    named: list[Message] = [
        {"entries": [{"key": "customer", "value": customer}], "token_bucket": _bucket(rate, None)}
        for customer, rate in sorted(settings.customer_rates.items())
    ]
    # An entry without a value stands for each value that has no descriptor of its own.
    return [*named, {"entries": [{"key": "customer"}], "token_bucket": _everybody(settings)}]


def _everybody(settings: GatewaySettings) -> Message:
    if settings.customer_rate is None:
        return _bucket(_UNLIMITED, _UNLIMITED)
    return _bucket(settings.customer_rate, settings.customer_burst)


def _bucket(rate: int, burst: int | None) -> Message:
    """A bucket that gains `rate` tokens a second."""
    return {"max_tokens": burst or _BURST_SECONDS * rate, "tokens_per_fill": rate, "fill_interval": "1s"}
