"""Audits one window of one capture point, on a worker.

In:  a task, and the files of its site.
Out: rows as JSON, and one row about the run, whatever happened.
Not: Spark, except for the number of the attempt.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from datetime import datetime

from afs_audit_spark.captures import is_local

TABLE_OF_RECORD = {"flow": "flows", "dns": "dns", "finding": "findings", "requirement": "requirements"}
RECORD = re.compile(r'\{"record":"([a-z]+)"')
FLOW_ID = re.compile(r'"flow_id":([0-9]+)')

# Remote files that are streamed at the same time, each by a Java process. More are copied to the scratch folder by one.
STREAMS = 4

MESSAGES_LIMIT = 20


def run(task, settings, attempt):
    """Yields `(table, day, window, seconds, row, cut, json)` for each row; first that of `runs`. `seconds` is the length of what the
    window has."""
    window = task["from_time"]
    if attempt >= settings["max_attempts"] - 1 and attempt > 0:
        # The attempt after this one would end the whole job.
        messages = [f"the task died {attempt} times: not audited"]
        yield "runs", task["day"], window, 0.0, 0, False, json.dumps(failed(task, messages, None))
        return
    with tempfile.TemporaryDirectory(prefix="afs-audit-", dir=settings["scratch"] or None) as folder, ExitStack() as stack:
        try:
            report, rows, unfinished = audit(task, settings, folder, stack)
        except Exception as error:  # Whatever is wrong with one capture ends only its own task.
            message = f"cannot run the audit: {type(error).__name__}: {error}"
            report, rows, unfinished = failed(task, [message], None), None, set()
        day = task["day"] or (report["first_seen"] or "")[:10] or "unknown"
        seconds = length(report)
        yield "runs", day, window, seconds, 0, False, json.dumps(report)
        if rows is None:
            return
        numbers = dict.fromkeys(TABLE_OF_RECORD.values(), 0)
        with open(rows, encoding="utf-8") as lines:
            for line in lines:
                record = RECORD.match(line)
                if not record:
                    # What was not done and what limits the results: the row about the run has it.
                    continue
                table = TABLE_OF_RECORD[record[1]]
                numbers[table] += 1
                cut = bool(unfinished) and table == "flows" and int(FLOW_ID.search(line)[1]) in unfinished
                yield table, day, window, seconds, numbers[table], cut, line


def audit(task, settings, folder, stack):
    """The row about the run; the file with the rows, none if it failed; the flows that are longer than what is read."""
    paths, readers = inputs(task["files"], settings, folder, stack)
    evidence, rows, errors = (os.path.join(folder, name) for name in ("evidence", "rows.jsonl", "errors"))
    command = [settings["binary"], "analyze", "-o", evidence, "--format", "jsonl", "--quiet", "--fail-on", "never"]
    # The table of captures says that these files are of one place, even if they show the same packets again.
    command += [f"--point=point={path}" for path in paths]
    command += ["--threads", str(settings["threads"]), "--memory", str(settings["memory"])]
    lead_in = settings["lead_in"] if task["from_time"] or task["until_time"] else ""
    for option, value in (("--from", task["from_time"]), ("--until", task["until_time"]), ("--lead-in", lead_in)):
        command += [option, value] if value else []
    for name, content in settings["policies"].get(task["site_file"], {}).items():
        path = os.path.join(folder, "policy", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        if name == os.path.basename(task["site_file"]):
            command += ["--site", path]
    if task["documents"]:
        command += ["--documents", ",".join(task["documents"])]
    with open(rows, "wb") as out, open(errors, "wb") as messages:
        # Messages name the captures as rows do, not by the scratch folder.
        status = subprocess.run(command, stdout=out, stderr=messages, stdin=subprocess.DEVNULL, check=False).returncode
    with open(errors, encoding="utf-8", errors="replace") as file:
        said = [line.strip().replace(folder + "/", "") for line in file.read().splitlines() if line.strip()]
    for reader in readers:
        said += reader.stop()
    try:
        with open(os.path.join(evidence, "manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
    except FileNotFoundError:
        if status < 0:
            said.append(f"afs-audit was ended by signal {-status}")
        return failed(task, said, status), None, set()
    return report(task, manifest, status, said, folder), rows, unfinished_flows(task, manifest)


def length(report):
    """How long what a run has is, in seconds."""
    if not report["first_seen"]:
        return 0.0
    first, last = (datetime.fromisoformat(report[name]) for name in ("first_seen", "last_seen"))
    return (last - first).total_seconds()


def unfinished_flows(task, manifest):
    """The flows that another window would have to continue. Where the captures end, flows end too."""
    return set(manifest.get("window", {}).get("unfinished_flows", [])) if task["until_time"] else set()


def report(task, manifest, status, said, folder):
    accounting, inputs_read = manifest["accounting"], manifest["inputs"]
    paths = dict(zip((os.path.basename(file) for file in task["files"]), task["files"]))
    said += [message for message in manifest["not_done"] if not any(message in earlier for earlier in said)]
    said += overlapping(task, inputs_read)
    tags = manifest.get("service_tags")
    not_decoded = [accounting[kind] for kind in ("unknown_link", "unreadable", "damaged")]
    is_complete = status in (0, 1) and not said
    return {
        "window_from": task["from_time"] or None,
        "window_until": task["until_time"] or None,
        "status": "complete" if is_complete else "incomplete",
        "exit_status": status,
        "messages": said[:MESSAGES_LIMIT],
        "inputs": [
            {
                "path": paths.get(os.path.basename(one["path"]), one["path"]),
                "outcome": one["outcome"],
                "why": one["why"],
                "bytes": one["bytes"],
                "blake3": one.get("blake3"),
                "frames": one["frames"],
                "earliest": one["earliest"],
                "latest": one["latest"],
                "reported_drops": one["reported_drops"],
            }
            for one in inputs_read
        ],
        "bytes": accounting["bytes"],
        "frames": accounting["frames"],
        "frames_in_window": manifest["window"]["frames"] if "window" in manifest else accounting["frames"],
        "frames_not_audited": accounting.get("before_window", 0) + accounting.get("after_window", 0),
        "frames_not_decoded": sum(sum(kind.values()) for kind in not_decoded),
        "reported_drops": sum(one["reported_drops"] or 0 for one in inputs_read),
        "first_seen": manifest.get("first_seen"),
        "last_seen": manifest.get("last_seen"),
        "flows": manifest["tally"]["flows"],
        "dns": manifest["tally"]["dns"],
        "findings": rows_of(manifest, "findings.csv"),
        "requirements": sum(manifest["requirements"].values()),
        "flows_cut": len(unfinished_flows(task, manifest)),
        "damage": manifest["damage"],
        "warnings": about_rows(manifest["warnings"], folder),
        "limits_reached": about_rows(manifest["limits_reached"], folder),
        "version": manifest["tool"]["version"],
        "documents": [f"{one['id']} {one['sha256']}" for one in manifest["documents"]],
        "site_sha256": (manifest.get("site") or {}).get("sha256"),
        "service_tags": f"{tags['file']} {tags['change_number']} {tags['sha256']}" if tags else None,
    }


def about_rows(sentences, folder):
    """Without those about evidence.pcapng, which is not kept and depends on whether an input can be read twice."""
    return [sentence.replace(folder + "/", "") for sentence in sentences if "evidence.pcapng" not in sentence]


def rows_of(manifest, name):
    return sum(output["rows"] for output in manifest["outputs"] if output["name"] == name)


def overlapping(task, inputs_read):
    """Files were divided among windows by the time of their first frames. One that is longer than that was cut."""
    read_until = dict(zip((os.path.basename(file) for file in task["files"]), task["read_until"]))
    for one in inputs_read:
        end = read_until.get(os.path.basename(one["path"]))
        if end and one["latest"] and one["latest"] >= end:
            yield (
                f"{one['name']} has frames until {one['latest']}, after the first frame of the next file: later windows may lack"
                " them; audit this point without --window"
            )


def failed(task, messages, status):
    """The row about a run without rows."""
    return {
        "window_from": task["from_time"] or None,
        "window_until": task["until_time"] or None,
        "status": "failed",
        "exit_status": status,
        "messages": messages[:MESSAGES_LIMIT],
        "inputs": [{"path": file} for file in task["files"]],
        "first_seen": None,
    }


def inputs(files, settings, folder, stack):
    """Local paths that the program reads, and what streams remote files to them."""
    remote = [file for file in files if settings["through_hadoop"] or not is_local(file)]
    if not remote:
        return files, []
    hadoop = hadoop_command(settings, folder)
    paths, readers = [], []
    for number, file in enumerate(files):
        if file not in remote:
            paths.append(file)
            continue
        place = os.path.join(folder, "captures", str(number))
        os.makedirs(place)
        paths.append(os.path.join(place, os.path.basename(file)))
    if len(remote) > STREAMS:
        readers = [CopiedFiles(hadoop, file, path) for file, path in zip(files, paths) if file in remote]
    else:
        readers = [StreamedFile(hadoop, file, path) for file, path in zip(files, paths) if file in remote]
    for reader in readers:
        stack.callback(reader.stop)
    return paths, readers


def hadoop_command(settings, folder):
    """The file system shell of the Hadoop that Spark brings along, with the configuration of the job."""
    home = settings["spark_home"] or os.environ.get("SPARK_HOME") or ""
    if not glob.glob(os.path.join(home, "jars", "hadoop-client-api-*.jar")):
        import pyspark

        home = os.path.dirname(pyspark.__file__)
    configuration = os.path.join(folder, "hadoop")
    os.makedirs(configuration, mode=0o700)
    with open(os.path.join(configuration, "core-site.xml"), "w", encoding="utf-8", opener=private) as file:
        file.write(settings["hadoop_configuration"])
    java = os.path.join(os.environ["JAVA_HOME"], "bin", "java") if "JAVA_HOME" in os.environ else "java"
    classpath = os.pathsep.join([configuration, os.path.join(home, "jars", "*"), *settings["jars"]])
    return [java, "-Xmx256m", "-cp", classpath, "org.apache.hadoop.fs.FsShell"]


def private(path, flags):
    return os.open(path, flags, 0o600)


class StreamedFile:
    """Streams a remote file to a named pipe."""

    def __init__(self, hadoop, uri, path):
        self.uri = with_scheme(uri)
        os.mkfifo(path)
        # Open until the end: what a short file left in the pipe would be lost if it had no reader for a moment.
        self.pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        pipe = os.open(path, os.O_WRONLY)
        with open(path + ".errors", "wb") as errors:
            self.process = subprocess.Popen([*hadoop, "-cat", self.uri], stdout=pipe, stderr=errors, stdin=subprocess.DEVNULL)
        os.close(pipe)
        self.errors = path + ".errors"
        self.stopped = False

    def stop(self):
        """Ends it; what went wrong."""
        if self.stopped:
            return []
        self.stopped = True
        os.close(self.pipe)
        if self.process.poll() is None:
            # The program ended without reading all of it, and says why.
            self.process.kill()
            self.process.wait()
            return []
        return failure(self.uri, self.process.returncode, self.errors)


class CopiedFiles:
    """Copies a remote file to the scratch folder before it is read."""

    def __init__(self, hadoop, uri, path):
        errors, uri = path + ".errors", with_scheme(uri)
        with open(path, "wb") as out, open(errors, "wb") as messages:
            status = subprocess.run([*hadoop, "-cat", uri], stdout=out, stderr=messages, stdin=subprocess.DEVNULL, check=False)
        self.said = failure(uri, status.returncode, errors)

    def stop(self):
        said, self.said = self.said, []
        return said


def with_scheme(uri):
    return f"file://{uri}" if is_local(uri) else uri


def failure(uri, status, errors):
    if status == 0:
        return []
    with open(errors, encoding="utf-8", errors="replace") as file:
        lines = [line for line in file.read().splitlines() if line.startswith("cat:")]
    return [f"cannot read {uri}: {lines[-1].removeprefix('cat: ') if lines else f'exit status {status}'}"]


def first_time(file, settings):
    """The time of the first frame of a file; none if it has none or cannot be read."""
    with tempfile.TemporaryDirectory(prefix="afs-audit-", dir=settings["scratch"] or None) as folder, ExitStack() as stack:
        paths, _ = inputs([file], settings, folder, stack)
        evidence = os.path.join(folder, "evidence")
        command = [settings["binary"], "analyze", *paths, "-c", "1", "-o", evidence, "--quiet", "--fail-on", "never"]
        subprocess.run([*command, "--hash", "none"], capture_output=True, stdin=subprocess.DEVNULL, check=False)
        try:
            with open(os.path.join(evidence, "manifest.json"), encoding="utf-8") as manifest:
                return json.load(manifest).get("first_seen")
        except FileNotFoundError:
            return None


def installed_binary(settings, spark_files):
    """The program on this worker: shipped with the job, or installed."""
    path = settings["binary"]
    if settings["is_shipped"]:
        path = spark_files(os.path.basename(path))
        if not os.access(path, os.X_OK):
            os.chmod(path, 0o755)
    elif not os.path.isabs(path):
        path = shutil.which(path) or path
    return {**settings, "binary": path}
