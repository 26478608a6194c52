"""The command line.

In:  arguments.
Out: tables in a lake, views as text, a page; the exit status says whether everything was audited.
Not: how a task runs.
"""

import argparse
import datetime
import os
import shutil
import sys
import tempfile

from pyspark.sql import SparkSession

if not __package__:
    # spark-submit runs this file as a script: the package may not be installed.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from afs_audit_spark import captures, job, views, windows


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="afs_audit_spark", description=__package__ and "Audit the captures of many sites on Spark")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="audit the captures of a table, and write the tables of the lake")
    run.add_argument("captures", help="CSV or Parquet file: site, point, path, site_file, documents")
    run.add_argument("lake", help="folder of the tables; partitions of this run are replaced")
    run.add_argument("--binary", default="afs-audit", help="the program; a file is shipped to the workers")
    run.add_argument("--installed", action="store_true", help="the program is installed on the workers: ship nothing")
    run.add_argument("--window", help="one task for so much time of each capture point, such as 6h; by default one for all of it")
    run.add_argument("--lead-in", default="1h", help="read so much before and after each window (1h)")
    run.add_argument("--from", dest="from_day", type=datetime.date.fromisoformat, help="first day, with --window")
    run.add_argument("--until", dest="until_day", type=datetime.date.fromisoformat, help="day after the last one, with --window")
    run.add_argument("--threads", type=int, default=1, help="threads of each task; as spark.task.cpus (1)")
    run.add_argument("--memory", type=int, default=1024, help="memory limit of the program in each task, in MiB (1024)")
    run.add_argument("--scratch", default="", help="folder of the workers for a task's files; by default that for temporary files")
    run.add_argument("--through-hadoop", action="store_true", help="read local files as remote ones are read")
    run.add_argument("--spark-home", default="", help="Spark's folder on the workers, for remote files; by default SPARK_HOME")
    show = commands.add_parser("views", help="print the views over all sites")
    show.add_argument("lake", help="folder of the tables")
    show.add_argument("--html", help="also write one page to this file")
    show.add_argument("--rows", type=int, default=12, help="rows of each view (12)")
    for one in (run, show):
        one.add_argument("--master", help="Spark's master; by default that of spark-submit, else local[*,4]")
    options = parser.parse_args(arguments)
    if options.command == "run":
        check(parser, options)
    return options


def check(parser, options):
    for text in filter(None, (options.window, options.lead_in)):
        try:
            windows.parse_duration(text)
        except ValueError as error:
            parser.error(str(error))
    if options.memory < 128:
        parser.error(f"--memory {options.memory}: at least 128")
    if (options.from_day or options.until_day) and not options.window:
        parser.error("--from and --until need --window")
    if options.window and windows.parse_duration("1d") % windows.parse_duration(options.window):
        parser.error(f"--window {options.window}: days must be a multiple of it, because partitions are whole days")
    options.from_time, options.until_time = (
        f"{day.isoformat()}T00:00:00Z" if day else None for day in (options.from_day, options.until_day)
    )
    found = options.binary if options.installed else shutil.which(options.binary)
    if not found:
        parser.error(f"no program {options.binary}: give its path with --binary")
    options.binary, options.binary_is_local = (found if options.installed else os.path.abspath(found)), not options.installed


def session(options):
    builder = SparkSession.builder.appName("afs-audit")
    # spark-submit has set the master.
    if options.master or "PYSPARK_GATEWAY_PORT" not in os.environ:
        builder = builder.master(options.master or "local[*,4]")
        # One machine: no page to watch it, few partitions for the few rows of the views, and patience where it is busy.
        small = {
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.shuffle.partitions": "4",
            "spark.network.timeout": "900s",
            "spark.executor.heartbeatInterval": "60s",
            "spark.worker.timeout": "900",
        }
        builder = builder.config(map=small)
    return builder.getOrCreate()


def main(arguments=None):
    options = parse_arguments(arguments)
    spark = session(options)
    try:
        return run(spark, options) if options.command == "run" else show(spark, options)
    except captures.InputError as error:
        print(f"afs_audit_spark: {error}", file=sys.stderr)
        return 2
    finally:
        spark.stop()


def run(spark, options):
    """2 if not everything was audited."""
    runs = job.run(spark, options)
    for row in runs:
        window = f" {row['window']}" if row["window"] else ""
        nouns = {"frames": "frame", "flows": "flow", "dns": "DNS row", "findings": "finding", "requirements": "requirement"}
        numbers = ", ".join(counted(row[name] or 0, noun) for name, noun in nouns.items())
        print(views.printable(f"{row['site']} {row['point']} {row['day']}{window}: {row['status']}: {numbers}"))
        for message in row["messages"] or []:
            print(views.printable(f"    {message}"))
    return 0 if all(row["status"] == "complete" for row in runs) else 2


def counted(number, noun):
    """`1 finding`, `2 findings`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def show(spark, options):
    lake = options.lake.rstrip("/")
    found = views.collect(spark, lake)
    summary = views.summarize(spark)
    print(f"{views.printable(summary)}\n")
    for name, view in found.items():
        print(f"{views.VIEWS[name]}\n{views.print_view(view, options.rows)}")
    if options.html:
        write_page(options.html, views.page(found, lake, summary))
    return 0


def write_page(path, text):
    """Replaces a file as a whole."""
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(os.path.abspath(path)), encoding="utf-8", delete=False) as file:
        file.write(text)
    os.replace(file.name, path)


if __name__ == "__main__":
    sys.exit(main())
