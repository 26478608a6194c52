"""Merges the findings and requirements of windows into those of a day.

In:  rows of the windows of a capture point.
Out: one row for each finding, and for each server and endpoint, as one run over the day has them.
Not: what a window cannot see: whether something worked further away than its lead-in. `differs` names the columns that windows
     disagree on.
"""

from pyspark.sql import Window
from pyspark.sql import functions as f
from pyspark.sql import types as t

# Columns of merged rows besides those of their records.
MARKS = t.StructType(
    [
        t.StructField("windows", t.LongType(), metadata={"comment": "windows that the row was merged from; missing: no windows"}),
        t.StructField("differs", t.ArrayType(t.StringType()), metadata={"comment": "columns that these windows disagree on"}),
    ]
)

FINDING = ("code", "mechanism", "audited_host", "target", "server_port")
REQUIREMENT = ("references", "documents", "service", "documented_as", "level", "server", "name")

# At most so many frames, as in the rows of one run.
FINDING_FRAMES, REQUIREMENT_FRAMES = 10, 8

# Frames of all windows, each with its file; those of the first file without it, as in a row of one run.
FRAMES = """flatten(transform(ordered, o -> transform(coalesce(o.frames, array()),
    frame -> CASE WHEN instr(frame, '#') > 0 THEN frame ELSE concat(o.file, '#', frame) END)))"""
FIRST_FILE = "substring_index(get(all_frames, 0), '#', 1)"
SHORT_FRAMES = """CASE WHEN size(all_frames) > 0 THEN transform(all_frames,
    frame -> IF(startswith(frame, concat(file, '#')), substring(frame, length(file) + 2), frame)) END"""


def without_windows(rows):
    """Rows of a job without windows, with the columns of merged rows."""
    marks = [f.lit(None).cast(mark.dataType).alias(mark.name) for mark in MARKS]
    place = [name for name in rows.columns[: rows.columns.index("row") + 1]]
    return rows.select(*place, *marks, *(quoted(name) for name in rows.columns[len(place) :] if name != "seconds"))


def quoted(name):
    return f.col(f"`{name}`")


def grouped(rows, partitions, key, order, choice):
    """Rows by their key: all of a key as the list `ordered`, and the first of another order as `chosen`."""
    names = [quoted(name) for name in rows.columns]
    values = [f.expr(text).alias(f"o{number}") for number, text in enumerate(order)]
    listed = f.array_sort(f.collect_list(f.struct(*values, *names))).alias("ordered")
    chosen = f.min_by(f.struct(*names), f.struct(*map(f.expr, choice))).alias("chosen")
    # All rows of a partition meet in one task, so that it is one file.
    return rows.repartition(*partitions).groupBy(*partitions, *map(quoted, key)).agg(listed, chosen)


def merged(groups, rows, values, compared, frames_limit):
    """A row for each group: columns in `values` by their expression, all others of the chosen row. `compared` has columns that may
    differ, and when they differ although all windows agree."""
    differs = ", ".join(
        f"IF(size(array_distinct(ordered.`{name}`)) > 1 OR {anyway}, '{name}', NULL)" for name, anyway in compared.items()
    )
    base = groups.withColumn("all_frames", f.expr(f"slice(array_distinct({FRAMES}), 1, {frames_limit})"))
    base = base.withColumn("file", f.expr(FIRST_FILE)).withColumn("short_frames", f.expr(SHORT_FRAMES))
    values = {
        **values,
        "file": "file",
        "frames": "short_frames",
        "windows": "CAST(size(array_distinct(ordered.window)) AS BIGINT)",
        "differs": f"filter(array({differs}), name -> name IS NOT NULL)",
    }
    columns = without_windows(rows).columns
    return base.select(*(f.expr(values.get(name, f"chosen.`{name}`")).alias(name) for name in columns))


def findings(rows, partitions):
    """The findings of days. Sums are those of all windows; everything else is that of the window with the lowest confidence, which
    knows most of what speaks against the finding, and of these of the first."""
    confidence = "CASE confidence WHEN 'weak' THEN 0 WHEN 'strong' THEN 1 WHEN 'certain' THEN 2 ELSE 3 END"
    groups = grouped(rows, partitions, FINDING, ["window", "row"], [confidence, "window", "row"])
    values = {
        "count": "aggregate(ordered.count, 0L, (sum, one) -> sum + one)",
        "first_seen": "array_min(ordered.first_seen)",
        "last_seen": "array_max(ordered.last_seen)",
    }
    compared = dict.fromkeys(("title", "severity", "confidence", "message", "recommendation", "cause"), "false")
    return merged(groups, rows, values, compared, FINDING_FRAMES)


def requirements(rows, partitions):
    """The requirements of days, with the state of all windows. A window without attempts of any server has rows without a server:
    they count only if no window has one."""
    of_point = Window.partitionBy(*partitions)
    apart = rows.repartition(*partitions).withColumn("tried", f.max(f.col("server").isNotNull()).over(of_point))
    rows = apart.where("server IS NOT NULL OR NOT tried").drop("tried")
    # First what shows the worst state, as in the frames of a row of one run.
    worst = "CASE WHEN blocked > 0 THEN 0 WHEN reached > 0 THEN 1 WHEN count > 0 THEN 2 ELSE 3 END"
    # What absence means depends on how long was captured: of windows without an attempt, the longest one says it.
    groups = grouped(rows, partitions, REQUIREMENT, [worst, "window"], [worst, "-seconds", "window", "row"])
    for name in ("count", "reached", "blocked"):
        groups = groups.withColumn(name, f.expr(f"aggregate(ordered.{name}, 0L, (sum, one) -> sum + one)"))
    for name in ("seen", "reached", "blocked"):
        groups = groups.withColumn(f"first_{name}", f.expr(f"array_min(ordered.first_{name})"))
        groups = groups.withColumn(f"last_{name}", f.expr(f"array_max(ordered.last_{name})"))
    sums = ("count", "reached", "blocked", "first_seen", "last_seen", "first_reached", "last_reached", "first_blocked", "last_blocked")
    values = {name: name for name in sums}
    # What the rows of windows say of blocked attempts speaks of their own.
    note_of_one = "concat(o.blocked, ' of ', o.count, IF(o.blocked = 1, ' attempts looks blocked', ' attempts look blocked'))"
    of_reached = f"get(filter(ordered, o -> o.reached > 0 AND o.note IS NOT NULL AND o.note != {note_of_one}), 0).note"
    values |= {
        "state": """CASE WHEN blocked > 0 AND reached > 0 THEN 'partly-blocked' WHEN blocked > 0 THEN 'blocked'
            WHEN reached > 0 THEN 'reached' ELSE 'not-observed' END""",
        "last_state": """CASE WHEN last_blocked IS NOT NULL AND (last_reached IS NULL OR last_blocked > last_reached) THEN 'blocked'
            WHEN last_reached IS NOT NULL THEN 'reached' END""",
        "mechanism": "get(filter(ordered, o -> o.last_blocked = last_blocked), 0).mechanism",
        "note": f"""CASE WHEN reached > 0 AND {of_reached} IS NOT NULL THEN {of_reached}
            WHEN reached > 0 AND blocked > 0
            THEN concat(blocked, ' of ', count, IF(blocked = 1, ' attempts looks blocked', ' attempts look blocked'))
            WHEN reached = 0 AND blocked = 0 THEN chosen.note END""",
    }
    # The note about an absence says how long the capture is, and a window is a part of it.
    compared = {"state": "false", "mechanism": "false", "note": "count = 0 AND size(array_distinct(ordered.window)) > 1"}
    return merged(groups, rows, values, compared, REQUIREMENT_FRAMES)
