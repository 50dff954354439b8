from __future__ import annotations

import io
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from roost.adapters.in_memory.object_store import InMemoryObjectStore
from roost.contracts.ids import InvalidId
from roost.settings import TrainingSettings
from training.datasets import DataSources
from training.datasets.object_store import TableDataset
from training.examples import TrainingRefused, Window

SCHEMA = b"""
label: churned
time: seen_at
labels: [stays, leaves]
features:
  plan: text
  seats: number
"""
CSV = b"""seen_at,plan,seats,churned,ignored
2026-02-01T00:00:00Z,basic,3,1,x
2026-01-01T00:00:00Z,pro,,0,y
"""


@pytest.fixture
def store() -> InMemoryObjectStore:
    store = InMemoryObjectStore()
    store.write("data/acme/schema.yaml", SCHEMA, if_generation=0)
    return store


@pytest.fixture
def tables(store: InMemoryObjectStore) -> TableDataset:
    return TableDataset(DataSources(open_store=lambda: store, settings=TrainingSettings()))


def put(store: InMemoryObjectStore, name: str, content: bytes) -> None:
    found = store.stat(name)
    store.write(name, content, if_generation=found.generation if found else 0)


def test_a_csv_file_is_read_in_order_of_time_with_missing_numbers(
    store: InMemoryObjectStore, tables: TableDataset
) -> None:
    put(store, "data/acme/1.csv", CSV)
    examples = tables.load("acme", None)
    assert examples.features["plan"].tolist() == ["pro", "basic"]
    assert np.isnan(examples.features["seats"][0])
    assert examples.label.tolist() == [0, 1]
    assert examples.at[0] == np.datetime64("2026-01-01T00:00:00")


def test_parquet_and_csv_files_are_read_together(store: InMemoryObjectStore, tables: TableDataset) -> None:
    put(store, "data/acme/1.csv", CSV)
    table = pa.table(
        {
            "seen_at": pa.array([datetime(2026, 1, 15, tzinfo=UTC)], pa.timestamp("us", tz="UTC")),
            "plan": ["basic"],
            "seats": pa.array([5], pa.int32()),
            "churned": [True],
        }
    )
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink)
    put(store, "data/acme/2.parquet", sink.getvalue())
    examples = tables.load("acme", None)
    assert examples.label.tolist() == [0, 1, 1]
    assert examples.features["seats"][1] == 5
    assert len(tables.load("acme", Window.parsed("2026-01-10:2026-01-20"))) == 1


def test_a_schema_may_describe_a_feature_for_those_who_send_it(
    store: InMemoryObjectStore, tables: TableDataset
) -> None:
    described = b"{label: y, time: t, features: {plan: {kind: text, description: what they pay for}, seats: number}}"
    put(store, "data/acme/schema.yaml", described)

    plan, seats = tables.schema("acme").features

    assert (plan.name, plan.kind, plan.description) == ("plan", "text", "what they pay for")
    assert seats.description == ""


def test_vectors_come_from_lists_of_one_length(store: InMemoryObjectStore, tables: TableDataset) -> None:
    put(
        store,
        "data/acme/schema.yaml",
        b"{label: y, time: t, task: regression, labels: [], features: {use: {vector: 2}}}",
    )
    for name, rows in (("good", [[1.0, 2.0], [3.0, 4.0]]), ("ragged", [[1.0], [2.0, 3.0]])):
        sink = io.BytesIO()
        times = pa.array(np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[s]"), pa.timestamp("s"))
        pyarrow.parquet.write_table(pa.table({"t": times, "y": [1.5, 2.5], "use": rows}), sink)
        put(store, f"data/acme/{name}.parquet", sink.getvalue())
        if name == "good":
            assert tables.load("acme", None).features["use"].tolist() == rows
    with pytest.raises(TrainingRefused, match=r"ragged.parquet: column use must have 2 numbers a row"):
        tables.load("acme", None)


def test_one_schema_may_serve_all_customers(store: InMemoryObjectStore, tables: TableDataset) -> None:
    put(store, "data/schema.yaml", SCHEMA)
    assert tables.schema("other").label == "churned"


def test_a_customer_without_schema_is_told_where_it_belongs(tables: TableDataset) -> None:
    with pytest.raises(TrainingRefused, match=r"write gs://roost/data/other/schema.yaml"):
        tables.load("other", None)


def test_a_customer_without_data_is_told_where_they_belong(tables: TableDataset) -> None:
    with pytest.raises(TrainingRefused, match=r"put CSV or Parquet files under gs://roost/data/acme/"):
        tables.load("acme", None)


def test_missing_columns_are_named_beside_those_that_are_there(
    store: InMemoryObjectStore, tables: TableDataset
) -> None:
    put(store, "data/acme/1.csv", b"seen_at,seats\n2026-01-01T00:00:00Z,1\n")
    with pytest.raises(TrainingRefused, match=r"1.csv lacks churned, plan; it has seen_at, seats"):
        tables.load("acme", None)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (b"2026-01-01T00:00:00Z,basic,many,1", "column seats is string"),
        (b"yesterday,basic,1,1", "column seen_at is string"),
        (b"2026-01-01T00:00:00Z,basic,1,maybe", "column churned is string"),
    ],
)
def test_a_column_of_another_type_is_named(
    store: InMemoryObjectStore, tables: TableDataset, row: bytes, named: str
) -> None:
    put(store, "data/acme/1.csv", b"seen_at,plan,seats,churned\n" + row + b"\n")
    with pytest.raises(TrainingRefused, match=named):
        tables.load("acme", None)


def test_a_file_that_is_no_table_is_named(store: InMemoryObjectStore, tables: TableDataset) -> None:
    put(store, "data/acme/1.parquet", b"not a parquet file")
    with pytest.raises(TrainingRefused, match=r"1.parquet cannot be read"):
        tables.load("acme", None)


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        (b"label: [", "is not YAML"),
        (b"just text", "has no features"),
        (b"{label: y, time: t}", "has no features"),
        (b"{label: y, time: t, features: {a: colour}}", "features.0.kind"),
        (b"{label: y, features: {a: text}}", "time: Field required"),
        (b"{label: y, time: t, lable: z, features: {a: text}}", "lable"),
    ],
)
def test_a_schema_with_a_mistake_is_refused_naming_it(
    store: InMemoryObjectStore, tables: TableDataset, schema: bytes, named: str
) -> None:
    put(store, "data/acme/schema.yaml", schema)
    with pytest.raises(TrainingRefused, match=named):
        tables.load("acme", None)


def test_an_id_that_leaves_the_folder_is_refused(tables: TableDataset) -> None:
    with pytest.raises(InvalidId):
        tables.load("../secrets", None)
