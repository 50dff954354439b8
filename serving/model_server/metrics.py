"""The official server's metrics, by its names, in Prometheus' text format as its exporter writes it.

Written here rather than with a library: the official counters do not end in `_total`, which libraries insist on, and
its exporter writes `# TYPE` lines but no `# HELP`, metrics by name, and numbers with six digits.
"""

import bisect
import threading
from collections.abc import Iterable, Sequence
from typing import Literal

PREFIX = ":tensorflow:serving:"
SAVED_MODEL_PREFIX = ":tensorflow:cc:saved_model:"


def exponential(scale: float, growth: float, count: int) -> tuple[float, ...]:
    """Return bucket limits as TensorFlow builds them: `scale`, then each `growth` times the one before."""
    return tuple(scale * growth**index for index in range(count))


#: Microseconds: 10 times 1.8 to the n, up to some 20 minutes.
LATENCY_BUCKETS = exponential(10, 1.8, 33)
EXAMPLE_BUCKETS = exponential(1, 2, 15)
#: Microseconds, up to about one second.
QUEUING_BUCKETS = exponential(100, 1.2, 52)
#: Rows.
BATCH_BUCKETS = exponential(1, 2, 14)

Labels = tuple[str, ...]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _rendered(names: Sequence[str], values: Labels, *more: tuple[str, str]) -> str:
    pairs = [*zip(names, values, strict=True), *more]
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs) + "}"


class Counter:
    """A count that only grows, per combination of label values."""

    kind: Literal["counter"] = "counter"

    def __init__(self, name: str, labels: Sequence[str]) -> None:
        self.name = name
        self._labels = tuple(labels)
        self._lock = threading.Lock()
        self._values: dict[Labels, int] = {}

    def add(self, *labels: str, amount: int = 1) -> None:
        """Count up."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + amount

    def first(self) -> int:
        """The count of the first combination of label values, in their order; 0 where nothing was counted."""
        with self._lock:
            return min(self._values.items())[1] if self._values else 0

    def lines(self) -> Iterable[str]:
        """The samples, one a line."""
        with self._lock:
            values = sorted(self._values.items())
        for labels, value in values:
            yield f"{self.name}{_rendered(self._labels, labels)} {value}"


class Histogram:
    """A distribution over fixed buckets, per combination of label values."""

    kind: Literal["histogram"] = "histogram"

    def __init__(self, name: str, labels: Sequence[str], limits: tuple[float, ...]) -> None:
        self.name = name
        self._labels = tuple(labels)
        self._limits = limits
        self._lock = threading.Lock()
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def add(self, *labels: str, value: float) -> None:
        """Count one observation. A value at a limit falls into the bucket above it, as in TensorFlow's samplers."""
        bucket = bisect.bisect_right(self._limits, value)
        with self._lock:
            counts = self._counts.get(labels)
            if counts is None:
                counts = self._counts[labels] = [0] * (len(self._limits) + 1)
            counts[bucket] += 1
            self._sums[labels] = self._sums.get(labels, 0.0) + value

    def lines(self) -> Iterable[str]:
        """The samples, one a line: cumulative buckets, sum, count."""
        with self._lock:
            observed = [(labels, tuple(counts), self._sums[labels]) for labels, counts in sorted(self._counts.items())]
        for labels, counts, total in observed:
            running = 0
            for limit, count in zip((*self._limits, None), counts, strict=True):
                running += count
                text = "+Inf" if limit is None else f"{limit:g}"
                yield f"{self.name}_bucket{_rendered(self._labels, labels, ('le', text))} {running}"
            yield f"{self.name}_sum{_rendered(self._labels, labels)} {total:g}"
            yield f"{self.name}_count{_rendered(self._labels, labels)} {running}"


class Metrics:
    """All metrics of one server."""

    def __init__(self) -> None:
        self.request_count = Counter(PREFIX + "request_count", ("model_name", "status"))
        self.request_latency = Histogram(
            PREFIX + "request_latency", ("model_name", "API", "entrypoint"), LATENCY_BUCKETS
        )
        self.runtime_latency = Histogram(PREFIX + "runtime_latency", ("model_name", "API", "runtime"), LATENCY_BUCKETS)
        self.example_counts = Histogram(PREFIX + "request_example_counts", ("model",), EXAMPLE_BUCKETS)
        self.example_count_total = Counter(PREFIX + "request_example_count_total", ("model",))
        batching = PREFIX + "batching_session:"
        self.batch_queuing = Histogram(batching + "queuing_latency", ("thread_pool_name",), QUEUING_BUCKETS)
        self.batch_input_size = Histogram(batching + "input_batch_size", (), BATCH_BUCKETS)
        self.batch_processed_size = Histogram(batching + "processed_batch_size", (), BATCH_BUCKETS)
        self.batch_padding = Histogram(batching + "padding_size", ("execution_batch_size",), BATCH_BUCKETS)
        self.warmup_latency = Histogram(PREFIX + "model_warmup_latency", ("model_path", "status"), LATENCY_BUCKETS)
        self.load_attempts = Counter(SAVED_MODEL_PREFIX + "load_attempt_count", ("model_path", "status"))
        self.load_latency = Counter(SAVED_MODEL_PREFIX + "load_latency", ("model_path",))

    def value_of(self, path: str) -> int:
        """What a reload's `metric_names` asks for, by TensorFlow's path (`/tensorflow/serving/request_count`).

        As officially it is the first of a counter's values, whatever its labels, and 0 for a histogram or no metric.
        """
        name = path.replace("/", ":")
        found = next((each for each in vars(self).values() if each.name == name), None)
        return found.first() if isinstance(found, Counter) else 0

    def page(self) -> str:
        """Everything, in Prometheus' text format."""
        lines: list[str] = []
        for metric in sorted(vars(self).values(), key=lambda each: each.name):
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            lines.extend(metric.lines())
        return "\n".join(lines) + "\n"
