"""A user's own tables: CSV or Parquet files in the object store, one folder a customer, with a schema beside them.

``data/<customer>/schema.yaml`` (or ``data/schema.yaml`` for all) says what the columns are, and every ``*.csv`` and
``*.parquet`` of the folder is read. `docs/training.md` shows an example.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import yaml
from pydantic import ValidationError

from roost.contracts.errors import NotFound
from roost.contracts.ids import check_id
from roost.ports.object_store import ObjectStore
from training.datasets import DataSources
from training.examples import Array, Examples, Feature, Schema, TrainingRefused, Window

_SCHEMA_NAME = "schema.yaml"


class TableDataset:
    """`Dataset` of tables in the bucket, below `settings.training.data_prefix`."""

    def __init__(self, sources: DataSources) -> None:
        """Nothing is read yet."""
        self._sources = sources
        self._prefix = sources.settings.data_prefix

    def schema(self, customer: str) -> Schema:
        """The customer's own schema file, else the one for all."""
        own = f"{self._folder(customer)}{_SCHEMA_NAME}"
        for name in (own, f"{self._prefix}{_SCHEMA_NAME}"):
            try:
                content, _ = self._store.read(name)
            except NotFound:
                continue
            return _schema(self._store.uri(name), content)
        raise TrainingRefused(f"{customer} has no schema: write {self._store.uri(own)}, as docs/training.md shows")

    def load(self, customer: str, window: Window | None) -> Examples:
        """All rows of the customer's files."""
        schema = self.schema(customer)
        folder = self._folder(customer)
        names = [found.name for found in self._store.list(folder) if found.name.endswith((".csv", ".parquet"))]
        if not names:
            raise TrainingRefused(f"{customer} has no data: put CSV or Parquet files under {self._store.uri(folder)}")
        parts = [_examples(self._store.uri(name), self._table(name), schema) for name in names]
        examples = Examples.merged(parts)
        return examples if window is None else examples.within(window)

    def customers_alike(self, customer: str) -> Sequence[str]:  # noqa: ARG002 (the port's argument)
        """None: only the policy's cohorts can say whose rows may be pooled."""
        return ()

    @cached_property
    def _store(self) -> ObjectStore:
        return self._sources.open_store()

    def _folder(self, customer: str) -> str:
        return f"{self._prefix}{check_id(customer, 'customer id')}/"

    def _table(self, name: str) -> pa.Table:
        content, _ = self._store.read(name)
        try:
            if name.endswith(".csv"):
                return pyarrow.csv.read_csv(io.BytesIO(content))
            return pyarrow.parquet.read_table(io.BytesIO(content))
        except pa.ArrowInvalid as error:
            raise TrainingRefused(f"{self._store.uri(name)} cannot be read as a table: {error}") from error


def _schema(uri: str, content: bytes) -> Schema:
    try:
        document = yaml.safe_load(content)
        columns = document.get("features") if isinstance(document, dict) else None
        if not isinstance(columns, dict):
            raise TrainingRefused(f"{uri} has no features: list each column with its kind, text, number or vector")
        features = [_feature(name, kind) for name, kind in columns.items()]
        return Schema.model_validate({**document, "features": features})
    except yaml.YAMLError as error:
        raise TrainingRefused(f"{uri} is not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise TrainingRefused(f"{uri}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _feature(name: object, kind: object) -> dict[str, object]:
    """``plan: text``, ``seats: number``, ``usage: {vector: 7}`` or ``plan: {kind: text, description: …}``."""
    if isinstance(kind, dict) and "kind" in kind:
        return {**kind, "name": name}
    if isinstance(kind, dict) and set(kind) == {"vector"}:
        return {"name": name, "kind": "vector", "size": kind["vector"]}
    return {"name": name, "kind": kind}


def _examples(uri: str, table: pa.Table, schema: Schema) -> Examples:
    missing = [name for name in (schema.time, schema.label, *schema.names) if name not in table.column_names]
    if missing:
        raise TrainingRefused(
            f"{uri} lacks {', '.join(missing)}; it has {', '.join(table.column_names)}: "
            "add the columns or change the schema"
        )
    at = _column(uri, table, schema.time, pa.timestamp("s", tz="UTC")).to_numpy(zero_copy_only=False)
    label = np.asarray(_column(uri, table, schema.label, pa.float32()).to_numpy(zero_copy_only=False), dtype=np.float32)
    features = {feature.name: _values(uri, table, feature) for feature in schema.features}
    order = np.argsort(at, kind="stable")
    return Examples(features=features, label=label, at=at.astype("datetime64[s]")).rows(order)


def _values(uri: str, table: pa.Table, feature: Feature) -> Array:
    if feature.kind == "text":
        texts = _column(uri, table, feature.name, pa.string()).fill_null("")
        return np.asarray(texts.to_numpy(zero_copy_only=False), dtype=object)
    if feature.kind == "number":
        numbers = _column(uri, table, feature.name, pa.float32())
        return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float32)
    rows = _column(uri, table, feature.name, pa.list_(pa.float32())).to_pylist()
    lengths = {len(row) if row is not None else 0 for row in rows}
    if lengths != {feature.size}:
        raise TrainingRefused(f"{uri}: column {feature.name} must have {feature.size} numbers a row, not {lengths}")
    return np.asarray(rows, dtype=np.float32)


def _column(uri: str, table: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    column = table[name]
    try:
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        if pa.types.is_timestamp(kind) and not pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("s"))
        if pa.types.is_timestamp(kind):
            naive = column.type.tz is None
            return column.cast(pa.timestamp("s"), safe=False).cast(kind) if naive else column.cast(kind, safe=False)
        return column.cast(kind)
    except pa.ArrowInvalid as error:
        raise TrainingRefused(f"{uri}: column {name} is {column.type}, not {kind}: {error}") from error
    except pa.ArrowNotImplementedError as error:
        raise TrainingRefused(f"{uri}: column {name} is {column.type}, which cannot become {kind}") from error
