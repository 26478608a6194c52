"""The views over all sites, as text and as one HTML page.

In:  the tables of a lake.
Out: the first rows of each view, and how many there are.
Not: which rows there are; the SQL files beside this one say that.
"""

import dataclasses
import html
import importlib.resources
import json

from pyspark.sql import types as t

from afs_audit_spark import captures, job

# File name and title.
VIEWS = {
    "servers_endpoints": "Servers and the endpoints that they need",
    "undocumented_destinations": "Destinations that no document lists",
    "blocked": "What was blocked, and by what",
    "doubtful_captures": "Captures that are missing, incomplete, lossy or old",
    "changes": "What changed since the day before",
}

# A longer value is cut in a table of text.
TEXT_WIDTH = 40

# Rows of a view that leave Spark; all are in the tables, and the SQL files give them.
PAGE_ROWS = 500

# Sites that the summary names.
NAMED_SITES = 5

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; color: #1b1b1b; background: #fff; }
a { color: inherit; } h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { border-bottom: 1px solid #d0d0d0; padding: .3rem .6rem; text-align: left; vertical-align: top; }
td { max-width: 24rem; overflow-wrap: break-word; } td.time { white-space: nowrap; }
th { background: #f2f2f2; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.blocked { color: #a4000f; font-weight: 600; white-space: nowrap; } td.reached { color: #1d6b2f; } p.note { color: #555; }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #eee; } th { background: #2a2a2a; }
  td.blocked { color: #ff8f8f; } td.reached { color: #86d79a; } p.note { color: #aaa; } }
"""


@dataclasses.dataclass
class View:
    """The first rows of a view, and the number of all."""

    columns: list
    rows: list
    total: int


def register(spark, lake):
    """Makes the tables of a lake known to SQL."""
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
    columns = json.loads(captures.read_bytes(spark, f"{lake}/{job.COLUMNS_FILE}"))
    jvm = spark._jvm
    for name, schema in columns.items():
        structure = t.StructType.fromJson(schema)
        path = jvm.org.apache.hadoop.fs.Path(f"{lake}/{name}")
        exists = path.getFileSystem(spark._jsc.hadoopConfiguration()).exists(path)
        table = spark.read.schema(structure).parquet(f"{lake}/{name}") if exists else spark.createDataFrame([], structure)
        table.createOrReplaceTempView(name)


def query(spark, name):
    """The rows of a view."""
    return spark.sql(importlib.resources.files("afs_audit_spark").joinpath("views", f"{name}.sql").read_text())


def cell(value):
    """A value as text: times without a fraction, lists with commas, nothing for what is missing."""
    if value is None:
        return ""
    if hasattr(value, "strftime"):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return ", ".join(map(cell, value)) if isinstance(value, list) else str(value)


def print_view(view, limit):
    """The first rows as a table of text. Columns without a value are left out."""
    shown = [[printable(cell(value)) for value in row] for row in view.rows[:limit]]
    if not shown:
        return "  none\n"
    used = [at for at in range(len(view.columns)) if any(row[at] for row in shown)]
    lines = [[view.columns[at].replace("_", " ") for at in used], *([row[at] for at in used] for row in shown)]
    widths = [min(TEXT_WIDTH, max(len(line[at]) for line in lines)) for at in range(len(used))]
    text = "".join("  " + "  ".join(shortened(*pair) for pair in zip(line, widths)).rstrip() + "\n" for line in lines)
    return text + (f"  … and {view.total - len(shown)} more\n" if view.total > len(shown) else "")


def shortened(text, width):
    return (text if len(text) <= width else text[: width - 1] + "…").ljust(width)


def printable(text):
    """Names come from packets: nothing in them reaches the terminal as a control sequence."""
    return "".join(character if character.isprintable() else "?" for character in text)


def page(views, lake, summary):
    """All views as one page. Everything in it is escaped."""
    parts = [
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">",
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>afs-audit: all sites</title><style>{STYLE}</style></head><body><main>",
        f"<h1>afs-audit: all sites</h1>\n<p>{html.escape(summary)}</p>\n",
        f"<p class=\"note\">From the tables in {html.escape(lake)}. Times are UTC.</p>\n<ul>\n",
    ]
    for name, view in views.items():
        parts.append(f"<li><a href=\"#{name}\">{html.escape(VIEWS[name])}</a>: {view.total}</li>\n")
    parts.append("</ul>\n")
    for name, view in views.items():
        parts.append(f"<h2 id=\"{name}\">{html.escape(VIEWS[name])}</h2>\n")
        if not view.rows:
            parts.append("<p class=\"note\">none</p>\n")
            continue
        head = "".join(f"<th scope=\"col\">{html.escape(column.replace('_', ' '))}</th>" for column in view.columns)
        parts.append(f"<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"{name}\"><table><tr>{head}</tr>\n")
        for row in view.rows:
            parts.append("<tr>" + "".join(page_cell(value) for value in row) + "</tr>\n")
        parts.append("</table></div>\n")
        if view.total > len(view.rows):
            parts.append(f"<p class=\"note\">{view.total - len(view.rows)} more rows: see {name}.sql</p>\n")
    parts.append("</main></body></html>\n")
    return "".join(parts)


def page_cell(value):
    words = {"blocked": "blocked", "partly-blocked": "blocked", "reached": "reached"}
    if hasattr(value, "strftime"):
        kind = "time"
    else:
        kind = "number" if isinstance(value, int) else words.get(value, "") if isinstance(value, str) else ""
    return f"<td{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{html.escape(cell(value))}</td>"


def collect(spark, lake):
    """All views."""
    register(spark, lake)
    found = {}
    for name in VIEWS:
        table = query(spark, name)
        rows = [tuple(row) for row in table.limit(PAGE_ROWS + 1).collect()]
        total = len(rows) if len(rows) <= PAGE_ROWS else table.count()
        found[name] = View(table.columns, rows[:PAGE_ROWS], total)
    return found


def summarize(spark):
    """One sentence about all sites; after `register`."""
    runs = spark.sql(
        "SELECT count(DISTINCT site) AS sites, count(DISTINCT site, point) AS points, count(*) AS runs,"
        " count_if(status = 'complete') AS complete FROM runs"
    ).first()
    sites = [row.site for row in spark.sql("SELECT DISTINCT site FROM requirements WHERE blocked > 0 ORDER BY site").take(NAMED_SITES + 1)]
    named = ", ".join(sites[:NAMED_SITES]) + (" and others" if len(sites) > NAMED_SITES else "")
    blocked = f"Endpoints that servers need look blocked at {named}." if sites else "No endpoint that servers need looks blocked."
    return f"{runs.sites} sites, {runs.points} capture points: {runs.complete} of {runs.runs} runs are complete. {blocked}"
