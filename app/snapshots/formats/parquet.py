"""Parquet files that Hugging Face `datasets` loads as pictures without any code.

The layout (`data/SPLIT-00000-of-00001.parquet`), the picture as struct<bytes, path> and the schema's
`huggingface` key are what its Parquet reader looks for.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from app.publish import Folder
from app.snapshots.formats.parts import parts
from app.snapshots.member import FIELDS, Field, Member, Value

FOLDER = "data"
FILE_BYTES = 400_000_000
GROUP_ROWS = 100
GROUP_BYTES = 64_000_000
DTYPES = {"timestamp": "timestamp[us, tz=UTC]"}
PICTURE_COLUMNS = ("image.bytes", "image.path")


def table_count(size: int) -> int:
    """How many files pictures of `size` bytes in all are cut into."""
    return max(1, -(-size // FILE_BYTES))


def table_name(split: str, number: int, count: int) -> str:
    return f"{split}-{number:05d}-of-{count:05d}.parquet"


def write_tables(
    folder: Folder,
    split: str,
    members: Iterable[Member],
    picture: Callable[[Member], bytes],
    seed: int,
    count: int,
) -> None:
    """Writes a split's Parquet files, holding one row group in memory at a time."""
    import pyarrow.parquet as pq

    schema = _schema()
    texts = [field.name for field in FIELDS]
    for number, part in parts(members, seed, count):
        with (
            folder.file(f"{FOLDER}/{table_name(split, number, count)}") as file,
            pq.ParquetWriter(
                file,
                schema,
                compression={**dict.fromkeys(texts, "zstd"), **dict.fromkeys(PICTURE_COLUMNS, "none")},
                use_dictionary=texts,
                write_statistics=texts,
            ) as writer,
        ):
            for rows in _row_groups(part, picture):
                writer.write_table(_table(rows, schema))


def _row_groups(members: Iterable[Member], picture: Callable[[Member], bytes]) -> Iterator[list[dict[str, Any]]]:
    """Rows in groups of at most 100 rows, and of about 64 MB of pictures."""
    group: list[dict[str, Any]] = []
    size = 0
    for member in members:
        data = picture(member)
        group.append({"image": {"bytes": data, "path": f"{member.key}.jpg"}} | _typed(member))
        size += len(data)
        if len(group) == GROUP_ROWS or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _typed(member: Member) -> dict[str, Value | datetime]:
    record = member.record()
    return {field.name: _typed_value(field, record[field.name]) for field in FIELDS}


def _typed_value(field: Field, value: Value) -> Value | datetime:
    if field.type == "timestamp" and isinstance(value, str):
        return datetime.fromisoformat(value)
    return None if field.nullable and value == "" else value


def _table(rows: list[dict[str, Any]], schema: Any) -> Any:
    import pyarrow as pa

    return pa.Table.from_pylist(rows, schema=schema)


def _schema() -> Any:
    import pyarrow as pa

    arrow = {
        "string": pa.string(),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = [pa.field("image", picture), *(pa.field(field.name, arrow[field.type]) for field in FIELDS)]
    return pa.schema(columns, metadata={"huggingface": json.dumps({"info": {"features": _features()}})})


def _features() -> dict[str, dict[str, str]]:
    """The columns' types in the words of `datasets`."""
    columns = {f.name: {"dtype": DTYPES.get(f.type, f.type), "_type": "Value"} for f in FIELDS}
    return {"image": {"_type": "Image"}, **columns}
