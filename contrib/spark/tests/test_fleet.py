"""The job with a real Spark: its rows are those of `afs-audit analyze` on one machine, whatever fails beside them.

Run from this package's folder with AFS_AUDIT set to the program: python -m unittest -v tests.test_fleet
"""

import datetime
import hashlib
import json
import os
import pathlib
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

from afs_audit_spark import __main__ as command
from afs_audit_spark import audit, captures, job, merge, schema, views, windows

# The Java processes of a test live for seconds.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j2.level=ERROR")

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = os.environ.get("AFS_AUDIT", str(ROOT / "target/debug/afs-audit"))
CAPTURES = ROOT / "captures"

# Three sites of lab captures: one file, a ring of files over hours, and a folder of several.
SITES = {
    "amsterdam": (str(CAPTURES / "demo/capture.pcap"), str(CAPTURES / "demo/site.toml")),
    "berlin": (str(CAPTURES / "site-blocked/capture.pcap"), str(CAPTURES / "site-blocked/site.toml")),
    "cairo, <b>": (str(CAPTURES / "lab/dns-*.pcap"), ""),
}

# Columns that depend on where reading began.
NUMBERS = ("flow_id", "flows")


def table_of(folder, sites, name="captures.csv"):
    path = pathlib.Path(folder) / name
    lines = ["site,point,path,site_file,documents"]
    lines += [f'"{site}",span,"{files}","{site_file}",' for site, (files, site_file) in sites.items()]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def expected_rows(files, site_file):
    """The rows of one machine, by table."""
    found = sorted(str(file) for file in pathlib.Path("/").glob(files.removeprefix("/")))
    arguments = ["--site", site_file] if site_file else []
    printed = subprocess.run(
        [BINARY, "analyze", *found, *arguments, "--format", "jsonl", "--quiet", "--fail-on", "never"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    rows = {table: [] for table in schema.TABLES}
    for line in printed.splitlines():
        row = json.loads(line)
        table = audit.TABLE_OF_RECORD.get(row.pop("record"))
        if table:
            rows[table].append(normal(row))
    return rows


def normal(row):
    """A row of JSON or of Spark in one form: times to the microsecond, frames as text."""
    def value(name, one):
        if isinstance(one, list):
            return [value(name, part) for part in one]
        if isinstance(one, datetime.datetime):
            return one.isoformat(timespec="microseconds")
        if isinstance(one, str) and len(one) == 30 and one.endswith("Z") and one[10] == "T":
            return one[:26]
        return str(one) if "frame" in name and not isinstance(one, bool) else one

    return {name: value(name, one) for name, one in row.items() if one is not None}


def rows_of(spark, lake, table, site, without=()):
    """The rows of a site in a lake, in the order of its run."""
    views.register(spark, lake)
    found = spark.table(table).where(f"site = '{site}'").orderBy("day", "window", "row").collect()
    left_out = {*job.PARTITIONS, *schema.PLACE, "cut", *without}
    return [normal({name: one for name, one in row.asDict().items() if name not in left_out}) for row in found]


def without_numbers(rows):
    return sorted(json.dumps({name: one for name, one in row.items() if name not in NUMBERS}, sort_keys=True) for row in rows)


def content(lake):
    """The hash of every data file, by partition. The names of files are random."""
    found = {}
    for path in sorted(pathlib.Path(lake).rglob("*.parquet")):
        place = str(path.parent.relative_to(lake))
        found.setdefault(place, []).append(hashlib.sha256(path.read_bytes()).hexdigest())
    return {place: sorted(hashes) for place, hashes in found.items()}


def write_later(path, copy, seconds):
    """A copy of a pcap file in which everything happens later."""
    data = bytearray(pathlib.Path(path).read_bytes())
    place = 24
    while place < len(data):
        time, _, length = struct.unpack_from("<III", data, place)
        struct.pack_into("<I", data, place, time + seconds)
        place += 16 + length
    pathlib.Path(copy).write_bytes(data)


def wrapper(folder, name, script):
    """A program in place of the real one."""
    path = pathlib.Path(folder) / name
    path.write_text(f"#!/bin/sh\n{script}\nexec {BINARY} \"$@\"\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


class SparkTest(unittest.TestCase):
    master = ""
    longMessage = True

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="fleet-test-")
        cls.spark = command.session(cls.options("none", "none"))
        cls.spark.sparkContext.setLogLevel("OFF")
        # For a few hundred rows, compiling the plans takes longer than running them.
        cls.spark.conf.set("spark.sql.codegen.wholeStage", "false")
        cls.spark.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")

    @classmethod
    def tearDownClass(cls):
        cls.spark.stop()
        shutil.rmtree(cls.folder)

    @classmethod
    def options(cls, table, lake, *more):
        lake = os.path.join(cls.folder, lake)
        arguments = ["run", table, lake, "--binary", BINARY, "--master", cls.master, *more]
        return command.parse_arguments(arguments)

    def run_job(self, sites, lake, *more):
        """The rows of `runs` by site and window."""
        options = self.options(table_of(self.folder, sites), lake, *more)
        return {(row["site"], row["window"]): row for row in job.run(self.spark, options)}

    def check_rows(self, lake, sites):
        for site in sites:
            for table, rows in expected_rows(*SITES[site]).items():
                found = rows_of(self.spark, os.path.join(self.folder, lake), table, site)
                self.assertEqual(found, rows, f"{site} {table}")


class LocalMode(SparkTest):
    master = "local[2,4]"

    def test_rows_are_those_of_one_machine_and_failures_cost_one_capture(self):
        corrupt = os.path.join(self.folder, "corrupt.pcap")
        pathlib.Path(corrupt).write_bytes(b"\xd4\xc3\xb2\xa1" + bytes(range(256)) * 8)
        text = os.path.join(self.folder, "text.pcap")
        pathlib.Path(text).write_text("not a capture")
        sites = {**SITES, "missing": ("/nowhere/capture.pcap", ""), "corrupt": (corrupt, ""), "text": (text, "")}
        runs = self.run_job(sites, "lake")
        for site in SITES:
            row = runs[site, ""]
            self.assertEqual((row["status"], row["exit_status"], row["messages"]), ("complete", 0, []), site)
            self.assertEqual(row["frames"], row["frames_in_window"])
            self.assertTrue(all(one["blake3"] for one in row["inputs"]), row["inputs"])
            self.assertRegex(row["documents"][0], r"^[a-z0-9@-]+ [0-9a-f]{64}$")
        self.check_rows("lake", SITES)
        self.assertEqual(runs["missing", ""]["status"], "failed")
        self.assertIn("/nowhere/capture.pcap: no such file", runs["missing", ""]["messages"][0])
        self.assertEqual(runs["text", ""]["status"], "failed")
        self.assertIn("text file, not a capture", runs["text", ""]["messages"][0])
        corrupt = runs["corrupt", ""]
        self.assertTrue(corrupt["status"] == "failed" or corrupt["damage"], corrupt)
        self.check_views()
        self.check_again()

    def check_again(self):
        """A second run gives the same bytes, also when files are read as those of object storage are."""
        lake = os.path.join(self.folder, "lake")
        before = content(lake)
        self.run_job({site: SITES[site] for site in ("amsterdam", "berlin")}, "lake", "--through-hadoop")
        self.assertEqual(content(lake), before)
        # A site that has lost its capture keeps its rows; one without a policy has no requirements, and the earlier ones go.
        rows = rows_of(self.spark, lake, "flows", "amsterdam")
        sites = {"amsterdam": ("/nowhere/else.pcap", ""), "berlin": (SITES["berlin"][0], ""), "missing": SITES["berlin"]}
        runs = self.run_job(sites, "lake")
        self.assertEqual(runs["amsterdam", ""]["status"], "failed")
        self.assertEqual(rows_of(self.spark, lake, "flows", "amsterdam"), rows)
        self.assertEqual(rows_of(self.spark, lake, "requirements", "berlin"), [])
        days = {path.parent.parent.name for path in pathlib.Path(lake, "runs/site=missing").rglob("*.parquet")}
        self.assertEqual(days, {"day=2026-01-05"}, "the run that failed is replaced")

    def check_views(self):
        lake = os.path.join(self.folder, "lake")
        found = views.collect(self.spark, lake)
        rows = {name: [dict(zip(view.columns, row)) for row in view.rows] for name, view in found.items()}
        endpoint = rows["servers_endpoints"][0]
        self.assertEqual((endpoint["site"], endpoint["state"], endpoint["level"]), ("berlin", "blocked", "required"))
        self.assertEqual(endpoint["blocked_since"].isoformat()[:10], "2026-01-05")
        self.assertIn("updates.vendor.example", [row["destination"] for row in rows["undocumented_destinations"]])
        self.assertIn("tcp-refused", [row["mechanism"] for row in rows["blocked"]])
        doubts = {row["site"]: row["doubts"] for row in rows["doubtful_captures"]}
        self.assertEqual((doubts["missing"], doubts["berlin"]), ("1 failed", "old"))
        page = views.page(found, lake, views.summarize(self.spark))
        self.assertIn("updates.vendor.example", page)
        self.assertIn("Endpoints that servers need look blocked at amsterdam, berlin.", page)
        # What leaves Spark is bounded, and what does not is counted.
        with unittest.mock.patch.object(views, "PAGE_ROWS", 2):
            few = views.collect(self.spark, lake)["servers_endpoints"]
        self.assertEqual((len(few.rows), few.total), (2, found["servers_endpoints"].total))
        self.assertIn(f"… and {few.total - 1} more", views.print_view(few, 1))

    def test_windows_have_the_rows_of_one_machine(self):
        site = "cairo, <b>"
        whole = expected_rows(*SITES[site])
        runs = self.run_job({site: SITES[site]}, "windows", "--window", "1h")
        self.assertEqual({row["status"] for row in runs.values()}, {"complete"}, runs)
        self.assertEqual(len(runs), 6, [window for _, window in runs])
        self.assertEqual(sum(row["frames_in_window"] for row in runs.values()), 439)
        for table in ("flows", "dns"):
            found = rows_of(self.spark, os.path.join(self.folder, "windows"), table, site)
            self.assertEqual(without_numbers(found), without_numbers(whole[table]), table)


    def test_findings_and_requirements_of_windows_are_those_of_one_run(self):
        ring = os.path.join(self.folder, "ring")
        os.mkdir(ring)
        for number in range(4):
            write_later(SITES["amsterdam"][0], os.path.join(ring, f"{number}.pcap"), 7200 * number)
        site = (f"{ring}/*.pcap", SITES["amsterdam"][1])
        self.run_job({"whole": site}, "merged")
        runs = self.run_job({"divided": site}, "merged", "--window", "2h")
        self.assertEqual(len(runs), 4, [window for _, window in runs])
        lake = os.path.join(self.folder, "merged")
        less = 0
        for table, key in (("findings", merge.FINDING), ("requirements", merge.REQUIREMENT)):
            whole, divided = (self.rows_by_key(lake, table, name, key) for name in ("whole", "divided"))
            self.assertEqual(divided.keys(), whole.keys())
            for place, row in divided.items():
                differs = row.pop("differs")
                self.assertEqual(row.pop("windows"), 4, row)
                # A note names the length of the capture, which no window knows.
                self.assertEqual(differs, ["note"] if "note" in differs else [], row)
                may_differ = [*differs, "flows", "frames"]
                # A window compares with less: its message says less, and then recommends something more general.
                message, longer = row.get("message", ""), whole[place].get("message", "")
                self.assertTrue(longer.startswith(message), f"{message} {longer}")
                may_differ += ["message", "recommendation"] if message != longer else []
                less += message != longer
                expected = {**whole[place], **{name: row[name] for name in may_differ if name in row}}
                self.assertEqual(row, expected, table)
                self.assertEqual(row.get("frames", [])[:1], whole[place].get("frames", [])[:1])
        self.assertLessEqual(less, 1)

    def rows_by_key(self, lake, table, site, key):
        rows = rows_of(self.spark, lake, table, site)
        found = {json.dumps([row.get(name) for name in key]): row for row in rows}
        self.assertEqual(len(found), len(rows), f"{table} of {site}: keys are unique")
        return found


    def test_windows_that_disagree_are_merged_with_care(self):
        def table(name, rows, types):
            fields = [("site", "string"), ("day", "string"), ("point", "string"), ("window", "string"), ("row", "long")]
            fields += [("seconds", "double")]
            structure = ", ".join(f"{field} {kind}" for field, kind in fields)
            place = {"site": "a", "day": "2026-01-05", "point": "b", "row": 1, "seconds": 60.0}
            values = [[{**place, **row}.get(field) for field in [*(field for field, _ in fields), *types[name].names]] for row in rows]
            all_fields = structure + ", " + ", ".join(f"`{one.name}` {one.dataType.simpleString()}" for one in types[name])
            return self.spark.createDataFrame(values, all_fields)

        types = schema.tables(BINARY)
        endpoint = {"references": ["r"], "documents": ["d"], "service": "s", "documented_as": ["x"], "level": "required"}
        times = [datetime.datetime(2026, 1, 5, hour) for hour in range(4)]
        reached = {"state": "reached", "count": 2, "reached": 1, "blocked": 0, "first_reached": times[0], "last_reached": times[0]}
        blocked = {"state": "blocked", "count": 1, "reached": 0, "blocked": 1, "first_blocked": times[2], "last_blocked": times[2]}
        none = {**endpoint, "state": "not-observed", "count": 0, "reached": 0, "blocked": 0}
        rows = [
            {**endpoint, **reached, "window": "", "server": "10.1.0.4", "file": "a", "frames": ["1", "b#2"]},
            {**endpoint, **blocked, "window": "2", "server": "10.1.0.4", "file": "b", "frames": ["3"], "mechanism": "tcp-refused"},
            {**none, "window": "3", "note": "too short"},
            {**none, "window": "", "server": "10.1.0.5", "note": "long", "seconds": 90.0},
            {**none, "window": "2", "server": "10.1.0.5", "note": "short"},
        ]
        one, other = merge.requirements(table("requirements", rows, types), job.PARTITIONS).orderBy("server").collect()
        self.assertEqual((one["state"], one["last_state"], one["mechanism"]), ("partly-blocked", "blocked", "tcp-refused"))
        self.assertEqual((one["count"], one["note"], one["windows"]), (3, "1 of 3 attempts looks blocked", 2))
        self.assertEqual((one["file"], one["frames"]), ("b", ["3", "a#1", "2"]))
        self.assertEqual(one["differs"], ["state", "mechanism"])
        self.assertEqual((other["server"], other["note"], other["differs"]), ("10.1.0.5", "long", ["note"]))
        finding = {"code": "AFS202", "audited_host": "10.1.0.4", "target": "t", "server_port": 443, "severity": "high", "file": "a"}
        rows = [
            {**finding, "window": "", "confidence": "strong", "count": 2, "message": "no reply", "frames": ["1"], "flows": [1]},
            {**finding, "window": "2", "confidence": "weak", "count": 1, "message": "no reply; it worked later", "frames": ["9"], "flows": [4]},
        ]
        (one,) = merge.findings(table("findings", rows, types), job.PARTITIONS).collect()
        self.assertEqual((one["count"], one["confidence"], one["message"]), (3, "weak", "no reply; it worked later"))
        # The numbers of flows are those of the window that the row names.
        self.assertEqual((one["window"], one["flows"], one["frames"]), ("2", [4], ["1", "9"]))
        self.assertEqual(one["differs"], ["confidence", "message"])

    def test_other_programs_read_the_tables(self):
        import duckdb
        import pandas

        self.run_job({"0042": SITES["berlin"]}, "read")
        lake = os.path.join(self.folder, "read")
        found = duckdb.connect().execute(
            f"SELECT site, server, state, blocked FROM read_parquet('{lake}/requirements/**/*.parquet', hive_partitioning = true,"
            " hive_types_autocast = false) WHERE blocked > 0"
        ).fetchall()
        self.assertEqual(found, [("0042", "10.1.0.4", "blocked", 2)])
        flows = pandas.read_parquet(f"{lake}/flows")
        self.assertEqual(len(flows), len(expected_rows(*SITES["berlin"])["flows"]))
        self.assertEqual(str(flows["first_seen"].dtype), "datetime64[us, UTC]")


class Submitted(unittest.TestCase):
    def test_spark_submit_runs_the_job(self):
        with tempfile.TemporaryDirectory(prefix="fleet-test-") as folder:
            table = table_of(folder, {"berlin": SITES["berlin"], "missing": ("/nowhere/capture.pcap", "")})
            submit = [os.path.join(os.path.dirname(sys.executable), "spark-submit"), "--master", "local[2,4]"]
            script = ROOT / "contrib/spark/afs_audit_spark/__main__.py"
            # From a folder in which the package cannot be found.
            done = subprocess.run(
                [*submit, str(script), "run", table, os.path.join(folder, "lake"), "--binary", BINARY],
                env={**os.environ, "PYSPARK_PYTHON": sys.executable, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"},
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("berlin span 2026-01-05: complete: 22 frames, 5 flows", done.stdout)
            self.assertIn("missing span unknown: failed", done.stdout)


class LocalCluster(SparkTest):
    """Two workers in processes of their own. One is killed while it audits, and one task dies at each attempt."""

    master = "local-cluster[2,1,1024]"

    def test_a_killed_worker_costs_nothing_and_a_deadly_capture_itself(self):
        once = os.path.join(self.folder, "once")
        deadly = os.path.join(self.folder, "deadly.pcap")
        shutil.copy(SITES["amsterdam"][0], deadly)
        # Parents of the program: the Python worker, its daemon, the worker's Java process.
        parent = "$(cut -d' ' -f4 /proc/{}/stat)"
        script = f"""case "$*" in *deadly*) kill -KILL $PPID; exit 1;;
*site-blocked*) if mkdir {once} 2>/dev/null; then
  daemon={parent.format("$PPID")}; kill -KILL {parent.format("$daemon")}; exit 1; fi;;
esac"""
        sites = {**SITES, "deadly": (deadly, "")}
        options = self.options(table_of(self.folder, sites), "lake")
        options.binary = wrapper(self.folder, "afs-audit", script)
        runs = {row["site"]: row for row in job.run(self.spark, options)}
        self.assertTrue(os.path.exists(once), "a worker was killed")
        self.assertEqual({site: runs[site]["status"] for site in SITES}, dict.fromkeys(SITES, "complete"))
        self.check_rows("lake", SITES)
        self.assertEqual(runs["deadly"]["status"], "failed")
        self.assertEqual(runs["deadly"]["messages"], ["the task died 3 times: not audited"])


class WithoutSpark(unittest.TestCase):
    def test_windows_divide_a_point(self):
        point = captures.CapturePoint("site", "span", files=["a", "b", "c", "broken"])
        times = {name: windows.parse_time(f"2026-11-20T{hour}:30:00Z") for name, hour in (("a", "22"), ("b", "23"))}
        times["c"] = windows.parse_time("2026-11-21T05:30:00Z")
        hour, six = windows.parse_duration("1h"), windows.parse_duration("6h")
        tasks = windows.divide(point, times, six, hour)
        self.assertEqual(
            [(task.day, task.from_time, task.until_time, task.files) for task in tasks],
            [
                ("2026-11-20", "", "2026-11-21T00:00:00Z", ["a", "b", "c", "broken"]),
                # A file may last until the next one begins, so a may have frames of the lead-in.
                ("2026-11-21", "2026-11-21T00:00:00Z", "", ["a", "b", "c"]),
            ],
        )
        self.assertEqual(tasks[0].read_until, ["2026-11-20T23:31:00Z", "2026-11-21T05:31:00Z", "", ""])
        only = windows.divide(point, times, six, hour, windows.parse_time("2026-11-21T00:00:00Z"))
        self.assertEqual([task.from_time for task in only], ["2026-11-21T00:00:00Z"])

    def test_text_from_packets_is_escaped(self):
        rows = [("<script>alert(1)</script>", 1, None, ["\x1b[31m", "&"])]
        columns = ["name", "count", "<i>", "names"]
        view = views.View(columns, rows, 1)
        page = views.page({"changes": view}, "<lake>", "<summary>")
        self.assertIn("&lt;script&gt;alert(1)&lt;/script&gt;", page)
        for text in ("<script", "<i>", "<lake>", "<summary>"):
            self.assertNotIn(text, page)
        self.assertNotIn("\x1b", views.print_view(view, 9))

    def test_types_follow_the_schema(self):
        types = schema.tables(BINARY)
        names = {field.name: field.dataType.simpleString() for field in types["flows"]}
        self.assertEqual(names["flow_id"], "bigint")
        self.assertEqual(names["first_seen"], "timestamp")
        self.assertEqual(names["evidence_frames"], "array<string>")
        self.assertEqual(names["tls_resumed"], "boolean")


if __name__ == "__main__":
    unittest.main()
