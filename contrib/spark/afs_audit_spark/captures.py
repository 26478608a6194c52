"""The table of captures, and the files that it names.

In:  a CSV or Parquet file with one row for each capture path.
Out: capture points with their files, from the file systems that Spark reads.
Not: the content of a capture.
"""

import posixpath
import tomllib
from dataclasses import dataclass, field

COLUMNS = ("site", "point", "path", "site_file", "documents")


class InputError(Exception):
    """The table or a site file cannot be used."""


@dataclass
class CapturePoint:
    """The captures of one place at one site."""

    site: str
    point: str
    site_file: str = ""
    documents: list = field(default_factory=list)
    # URIs or local paths, sorted.
    files: list = field(default_factory=list)


def read_table(spark, path):
    """The capture points of the table at `path`, with their files."""
    reader = spark.read
    table = reader.parquet(path) if path.endswith(".parquet") else reader.csv(path, header=True, comment="#")
    missing = [name for name in ("site", "path") if name not in table.columns]
    if missing:
        raise InputError(f"table of captures: {path}: no column {missing[0]}")
    unknown = [name for name in table.columns if name not in COLUMNS]
    if unknown:
        raise InputError(f"table of captures: {path}: unknown column {unknown[0]}; known are {', '.join(COLUMNS)}")
    points = {}
    # One row for each ring of captures: the table is small.
    for number, row in enumerate(table.collect(), start=1):
        values = {name: (row[name] or "").strip() if name in table.columns else "" for name in COLUMNS}
        if not values["site"] or not values["path"]:
            raise InputError(f"table of captures: {path}: row {number}: a site and a path are needed")
        key = (values["site"], values["point"] or "default")
        documents = [word for word in values["documents"].replace(",", ";").split(";") if word]
        point = points.setdefault(key, CapturePoint(*key, values["site_file"], documents))
        if (point.site_file, point.documents) != (values["site_file"], documents):
            raise InputError(
                f"table of captures: {path}: row {number}: another site file or other documents than the rows before for"
                f" {key[0]}, {key[1]}"
            )
        point.files += list_files(spark, values["path"])
    for point in points.values():
        point.files = sorted(set(point.files))
    return [points[key] for key in sorted(points)]


def list_files(spark, path):
    """The files at `path`: a file, a folder with all below it, or a pattern. A path without a file is returned as it is: that it
    is missing is said by the task that reads it."""
    jvm = spark._jvm
    hadoop_path = jvm.org.apache.hadoop.fs.Path(path)
    file_system = hadoop_path.getFileSystem(spark._jsc.hadoopConfiguration())
    found = []
    waiting = list(file_system.globStatus(hadoop_path) or [])
    while waiting:
        status = waiting.pop()
        name = status.getPath().getName()
        if status.isDirectory():
            waiting += list(file_system.listStatus(status.getPath()))
        elif not name.startswith((".", "_")):
            found.append(local_path(status.getPath().toString()))
    return found or [local_path(path)]


def local_path(uri):
    """A path of the local file system without its scheme; other URIs as they are."""
    if uri.startswith("file:"):
        return "/" + uri.removeprefix("file:").lstrip("/")
    return uri


def is_local(uri):
    return "://" not in uri


def read_bytes(spark, path):
    """A small file from any of Spark's file systems."""
    jvm = spark._jvm
    hadoop_path = jvm.org.apache.hadoop.fs.Path(path)
    file_system = hadoop_path.getFileSystem(spark._jsc.hadoopConfiguration())
    try:
        stream = file_system.open(hadoop_path)
    except Exception as error:
        raise InputError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    try:
        return bytes(jvm.org.apache.commons.io.IOUtils.toByteArray(stream))
    finally:
        stream.close()


def read_policy(spark, path):
    """A site file and the service tag file that it names, by their paths below the site file's folder."""
    text = read_bytes(spark, path)
    try:
        tags = tomllib.loads(text.decode()).get("service-tags", {}).get("file", "")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError):
        # The program says what is wrong with it, and where.
        tags = ""
    files = {posixpath.basename(path): text}
    if tags and not posixpath.isabs(tags):
        if ".." in tags.split("/"):
            raise InputError(f"site file: {path}: the service tag file must be below the folder of the site file")
        files[tags] = read_bytes(spark, posixpath.join(posixpath.dirname(path) or ".", tags))
    return files
