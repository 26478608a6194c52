"""The columns of the tables.

In:  the JSON Schema that `afs-audit schema` prints.
Out: Spark types.
Not: rows.
"""

import json
import subprocess

from pyspark.sql import types as t

# Table and kind of record.
TABLES = {"flows": "flow", "findings": "finding", "requirements": "requirement", "dns": "dns"}

# What each row has besides the columns of its record. Site, day and point are the partitions.
PLACE = ("window", "row")

RUN_INPUT = t.StructType(
    [
        t.StructField("path", t.StringType()),
        t.StructField("outcome", t.StringType()),
        t.StructField("why", t.StringType()),
        t.StructField("bytes", t.LongType()),
        t.StructField("blake3", t.StringType()),
        t.StructField("frames", t.LongType()),
        t.StructField("earliest", t.TimestampType()),
        t.StructField("latest", t.TimestampType()),
        t.StructField("reported_drops", t.LongType()),
    ]
)
TEXTS = t.ArrayType(t.StringType())

RUNS = t.StructType(
    [
        t.StructField("window_from", t.TimestampType(), metadata={"comment": "missing: the beginning of the captures"}),
        t.StructField("window_until", t.TimestampType(), metadata={"comment": "missing: the end of the captures"}),
        t.StructField("status", t.StringType(), metadata={"comment": "complete, incomplete, or failed: no rows of this run"}),
        t.StructField("exit_status", t.IntegerType(), metadata={"comment": "of afs-audit; negative for a signal"}),
        t.StructField("messages", TEXTS, metadata={"comment": "what was not done, and what afs-audit wrote on standard error"}),
        t.StructField("inputs", t.ArrayType(RUN_INPUT)),
        t.StructField("bytes", t.LongType()),
        t.StructField("frames", t.LongType(), metadata={"comment": "all frames of the inputs"}),
        t.StructField("frames_in_window", t.LongType(), metadata={"comment": "of these, frames in the window itself"}),
        t.StructField("frames_not_audited", t.LongType(), metadata={"comment": "too far from the window"}),
        t.StructField("frames_not_decoded", t.LongType(), metadata={"comment": "damaged, not readable, of unknown link types"}),
        t.StructField("reported_drops", t.LongType(), metadata={"comment": "packets that the captures report as dropped"}),
        t.StructField("first_seen", t.TimestampType()),
        t.StructField("last_seen", t.TimestampType()),
        t.StructField("flows", t.LongType()),
        t.StructField("dns", t.LongType()),
        t.StructField("findings", t.LongType()),
        t.StructField("requirements", t.LongType()),
        t.StructField("flows_cut", t.LongType(), metadata={"comment": "flows longer than what is read after the window"}),
        t.StructField("damage", TEXTS),
        t.StructField("warnings", TEXTS),
        t.StructField("limits_reached", TEXTS),
        t.StructField("version", t.StringType(), metadata={"comment": "of afs-audit"}),
        t.StructField("documents", TEXTS, metadata={"comment": "each with the SHA-256 of its rule file"}),
        t.StructField("site_sha256", t.StringType()),
        t.StructField("service_tags", t.StringType(), metadata={"comment": "file, change number and SHA-256"}),
    ]
)


def column_type(schema):
    """The Spark type of a column."""
    if schema.get("type") == "array":
        return t.ArrayType(column_type(schema["items"]))
    if schema.get("format") == "date-time":
        return t.TimestampType()
    if schema.get("const") is True:
        return t.BooleanType()
    if schema.get("type") == "integer":
        return t.LongType()
    # Also what is a number in most rows and text in some, such as frames with the name of their file.
    return t.StringType()


def record_type(schema):
    """The Spark type of a record, without the name of its kind."""
    columns = ((name, column) for name, column in schema["properties"].items() if name != "record")
    return t.StructType(
        [
            t.StructField(name, column_type(column), metadata={"comment": column.get("description", "")})
            for name, column in columns
        ]
    )


def tables(binary):
    """The type of each table, as this program prints its records."""
    types = {}
    for table, kind in TABLES.items():
        printed = subprocess.run([binary, "schema", kind], check=True, capture_output=True, text=True).stdout
        types[table] = record_type(json.loads(printed))
    return {**types, "runs": RUNS}
