"""The job: reads the table of captures, runs a task for each window of each point, and writes the tables.

In:  settings of the command line, and a Spark session.
Out: Parquet tables, partitioned by site, day and capture point.
Not: what a row says.
"""

import dataclasses
import json
import os
import tempfile
import zipfile

from pyspark import SparkFiles, StorageLevel, TaskContext
from pyspark.sql import functions as f
from pyspark.sql import types as t

from afs_audit_spark import audit, captures, merge, schema, windows

PARTITIONS = ["site", "day", "point"]

ROWS = t.StructType(
    [
        t.StructField("table", t.StringType()),
        t.StructField("site", t.StringType()),
        t.StructField("day", t.StringType()),
        t.StructField("point", t.StringType()),
        t.StructField("window", t.StringType()),
        t.StructField("seconds", t.DoubleType()),
        t.StructField("row", t.LongType()),
        t.StructField("cut", t.BooleanType()),
        t.StructField("json", t.StringType()),
    ]
)

# Tables whose rows add up over windows.
MERGED = {"findings": merge.findings, "requirements": merge.requirements}

# The day of a run without a frame.
UNKNOWN_DAY = "unknown"

# The columns of the tables, also of those without a row.
COLUMNS_FILE = "_columns.json"


def session_settings():
    """What the tables depend on, whatever the cluster is configured to."""
    return {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.sources.partitionOverwriteMode": "dynamic",
        "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.compression.codec": "zstd",
    }


def ship_package(spark):
    """Makes this package importable on the workers."""
    folder = os.path.dirname(os.path.abspath(__file__))
    archive = os.path.join(tempfile.mkdtemp(prefix="afs-audit-"), "afs_audit_spark.zip")
    with zipfile.ZipFile(archive, "w") as package:
        for name in sorted(os.listdir(folder)):
            if name.endswith(".py"):
                package.write(os.path.join(folder, name), f"afs_audit_spark/{name}")
    spark.sparkContext.addPyFile(archive)


def hadoop_configuration(spark):
    """What the job sets of Hadoop's configuration, as a core-site.xml."""
    from xml.sax.saxutils import escape

    prefix = "spark.hadoop."
    configured = [(key, value) for key, value in spark.sparkContext.getConf().getAll() if key.startswith(prefix)]
    properties = (
        f"<property><name>{escape(key.removeprefix(prefix))}</name><value>{escape(value)}</value></property>\n"
        for key, value in sorted(configured)
    )
    return f"<configuration>\n{''.join(properties)}</configuration>\n"


def task_settings(spark, options, policies):
    """What every task needs."""
    conf = spark.sparkContext.getConf()
    if options.binary_is_local:
        spark.sparkContext.addFile(options.binary)
    return {
        "binary": options.binary,
        "is_shipped": options.binary_is_local,
        "threads": options.threads,
        "lead_in": options.lead_in,
        "memory": options.memory,
        "scratch": options.scratch,
        "through_hadoop": options.through_hadoop,
        "spark_home": options.spark_home,
        "jars": [jar for jar in conf.get("spark.jars", "").split(",") if jar],
        "hadoop_configuration": hadoop_configuration(spark),
        "max_attempts": max_attempts(spark),
        "policies": policies,
    }


def max_attempts(spark):
    """How often Spark starts a task before the job fails. In local mode it is a part of the name of the master."""
    master = spark.sparkContext.master
    if master.startswith("local-cluster"):
        return int(spark.sparkContext.getConf().get("spark.task.maxFailures", "4"))
    if master.startswith("local"):
        _, _, failures = master.removeprefix("local[").rstrip("]").partition(",")
        return int(failures or 1)
    return int(spark.sparkContext.getConf().get("spark.task.maxFailures", "4"))


def first_times(spark, points, settings):
    """The time of the first frame of each file, read by the workers."""
    files = sorted({file for point in points for file in point.files})
    if not files:
        return {}
    shared = spark.sparkContext.broadcast(settings)

    def survey(part):
        local = audit.installed_binary(shared.value, SparkFiles.get)
        return [(file, audit.first_time(file, local)) for file in part]

    parts = min(len(files), 4 * spark.sparkContext.defaultParallelism)
    found = spark.sparkContext.parallelize(files, parts).mapPartitions(survey).collect()
    return {file: windows.parse_time(time) for file, time in found if time}


def plan(spark, points, options, settings):
    """The tasks, by site, point and time."""
    if not options.window:
        return [(point, windows.whole(point)) for point in points]
    lead_in = windows.parse_duration(options.lead_in)
    length = windows.parse_duration(options.window)
    times = first_times(spark, points, settings)
    bounds = [windows.parse_time(time) if time else None for time in (options.from_time, options.until_time)]
    return [(point, task) for point in points for task in windows.divide(point, times, length, lead_in, *bounds)]


def audited(spark, tasks, settings):
    """The rows of all tables. Each task is a partition, and its rows leave it as they are written: nothing is shuffled."""
    shared = spark.sparkContext.broadcast(settings)
    lines = [
        json.dumps({**dataclasses.asdict(task), "site_file": point.site_file, "documents": point.documents})
        for point, task in tasks
    ]
    def run(part):
        local = audit.installed_binary(shared.value, SparkFiles.get)
        attempt = TaskContext.get().attemptNumber()
        for line in part:
            task = json.loads(line)
            for table, day, window, seconds, row, cut, text in audit.run(task, local, attempt):
                yield table, task["site"], day, task["point"], window, seconds, row, cut, text

    rows = spark.sparkContext.parallelize(lines, len(lines)).mapPartitions(run)
    # On disk, so that the packets are read once for all tables.
    return spark.createDataFrame(rows, ROWS, verifySchema=False).persist(StorageLevel.DISK_ONLY)


def table_of(rows, name, columns, has_windows):
    """One table of the rows, in the order of the runs; what windows say of the same finding or endpoint in one row."""
    place = [f.col(column) for column in (*PARTITIONS, *schema.PLACE)]
    more = {"flows": ["cut"], "findings": ["seconds"], "requirements": ["seconds"]}.get(name, [])
    parsed = rows.where(f.col("table") == name).select(
        *place, *more, f.from_json("json", columns, {"mode": "FAILFAST"}).alias("record")
    )
    table = parsed.select(*place, *more, "record.*")
    if name in MERGED:
        table = MERGED[name](table, PARTITIONS) if has_windows else merge.without_windows(table)
    # The order in which Spark writes partitions; within a task, so without a shuffle.
    return table.sortWithinPartitions(*PARTITIONS, *schema.PLACE)


def write(spark, rows, lake, types, has_windows):
    """Replaces the partitions of this run, whole, in all tables; the rows of `runs`. Those of failed runs keep their earlier rows."""
    for name, columns in types.items():
        table_of(rows, name, columns, has_windows).write.mode("overwrite").partitionBy(*PARTITIONS).parquet(f"{lake}/{name}")
    runs = table_of(rows, "runs", types["runs"], has_windows).collect()
    delete_earlier(spark, lake, runs)
    columns = {name: table_of(rows, name, columns, has_windows).schema.jsonValue() for name, columns in types.items()}
    write_text(spark, f"{lake}/{COLUMNS_FILE}", json.dumps(columns, indent=1, sort_keys=True) + "\n")
    return runs


def delete_earlier(spark, lake, runs):
    """Deletes what earlier runs wrote to partitions of this run that it has no rows for. Spark replaces only those with rows."""
    numbers = {}
    for row in runs:
        numbers.setdefault(tuple(row[name] for name in PARTITIONS), []).append(row)
    for (site, day, point), rows in numbers.items():
        # A run that found nothing to read does not know its day; now it is known, or was never.
        if day != UNKNOWN_DAY and (site, UNKNOWN_DAY, point) not in numbers:
            delete_partition(spark, f"{lake}/runs", (site, UNKNOWN_DAY, point))
        if any(row["status"] == "failed" for row in rows):
            continue
        for table in schema.TABLES:
            if not any(row[table] for row in rows):
                delete_partition(spark, f"{lake}/{table}", (site, day, point))


def delete_partition(spark, table, partition):
    """What an earlier run wrote and this one has no rows for."""
    jvm = spark._jvm
    escape = jvm.org.apache.spark.sql.catalyst.catalog.ExternalCatalogUtils.escapePathName
    place = "/".join(f"{name}={escape(value)}" for name, value in zip(PARTITIONS, partition))
    path = jvm.org.apache.hadoop.fs.Path(f"{table}/{place}")
    path.getFileSystem(spark._jsc.hadoopConfiguration()).delete(path, True)


def write_text(spark, path, text):
    """Replaces a small file."""
    hadoop_path = spark._jvm.org.apache.hadoop.fs.Path(path)
    stream = hadoop_path.getFileSystem(spark._jsc.hadoopConfiguration()).create(hadoop_path, True)
    try:
        stream.write(bytearray(text.encode()))
    finally:
        stream.close()


def run(spark, options):
    """Runs the job; the rows of `runs`."""
    for key, value in session_settings().items():
        spark.conf.set(key, value)
    ship_package(spark)
    points = captures.read_table(spark, options.captures)
    if not points:
        raise captures.InputError(f"table of captures: {options.captures}: no rows")
    site_files = sorted({point.site_file for point in points if point.site_file})
    policies = {path: captures.read_policy(spark, path) for path in site_files}
    settings = task_settings(spark, options, policies)
    tasks = plan(spark, points, options, settings)
    rows = audited(spark, tasks, settings)
    try:
        runs = write(spark, rows, options.lake.rstrip("/"), schema.tables(options.binary), bool(options.window))
    finally:
        rows.unpersist()
    return sorted(runs, key=lambda row: [row[name] or "" for name in (*PARTITIONS, "window")])
