"""Makes the files beside it, which other programs' writers wrote:

    pip install pyarrow==26.0.1 duckdb==2.0.0 polars==2.1.0 && python make.py
"""
import duckdb
import polars
import pyarrow
import pyarrow.parquet as pq

OPTIONS = ["Negative", "Neutral", "Positive"]
rows = [
    {
        "id": i,
        "input": "Sentence %d, naïve — “quoted”\nAnswer:" % i,
        "options": OPTIONS[: i % 4] or None if i % 8 == 0 else OPTIONS[: i % 4],
        "gold_index": i % 3,
        "score": None if i % 5 == 0 else i / 4,
        "sure": i % 2 == 0,
    }
    for i in range(300)
]
table = pyarrow.Table.from_pylist(rows)
pq.write_table(table, "pyarrow.parquet")
pq.write_table(table, "pyarrow_v2_zstd.parquet", compression="zstd", data_page_version="2.0", row_group_size=128)
pq.write_table(table, "pyarrow_gzip_plain.parquet", compression="gzip", use_dictionary=False, data_page_size=512)
pq.write_table(
    table, "pyarrow_delta.parquet", compression="none", use_dictionary=False,
    column_encoding={"input": "DELTA_BYTE_ARRAY", "id": "DELTA_BINARY_PACKED", "gold_index": "DELTA_BINARY_PACKED"},
)
duckdb.from_arrow(table).write_parquet("duckdb.parquet")
polars.from_arrow(table).write_parquet("polars.parquet")
