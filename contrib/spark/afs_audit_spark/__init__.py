"""Audits the captures of many sites with afs-audit on Apache Spark."""
