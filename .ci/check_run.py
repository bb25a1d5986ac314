#!/usr/bin/env python3
"""Checks the files of a run folder: all are there, none is empty, the numbers fit together."""

import csv
import json
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])


def rows(name):
    with open(folder / name, newline="") as file:
        found = list(csv.DictReader(file))
    assert found, f"{name} has no rows"
    return found


for name in ["scenario.toml", "plan.toml", "environment.json", "result.json", "report.html"]:
    assert (folder / name).stat().st_size > 0, f"{name} is empty"
assert (folder / "report.html").stat().st_size < 1 << 20, "report.html is larger than 1 MiB"

summary = rows("summary.csv")[0]
trials = rows("trials.csv")
outcomes = rows("outcomes.csv")
servers = rows("servers.csv")
timeline = rows("timeline.csv")
rows("latency.csv")
result = json.load(open(folder / "result.json"))

begun = json.load(open(folder / "begun.json"))
assert begun["schema"] == 1 and begun["plan"]["name"] == summary["scenario"], begun["schema"]
kept = [json.loads(line) for line in open(folder / "trials.jsonl")]
assert [trial["record"]["number"] for trial in kept] == [int(row["trial"]) for row in trials], "trials.jsonl"

figure = float(summary[f"{summary['figure']}_mean"])
assert figure > 0, summary
assert summary["failed"] == "0", summary
assert int(summary["attempted"]) > 0, summary
ok = sum(int(row["operations_in_sustain"]) for row in outcomes if row["outcome"] == "ok")
assert ok > 0, outcomes
by_reflectors = sum(int(row["reflector_requests"]) for row in servers)
by_client = sum(int(row["client_responses"]) for row in servers)
assert by_reflectors == by_client > 0, servers
assert len(servers) >= 2 and all(int(row["reflector_requests"]) > 0 for row in servers), servers
assert len(timeline) >= 3, timeline
print(f"run folder: {len(trials)} trials, {summary['figure']} {figure}, {by_client} responses agree with the ledgers")
