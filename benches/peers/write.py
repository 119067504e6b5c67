#!/usr/bin/env python3
"""write.py DOC SUMMARY STREAM COMMAND   puts the tables of one run into DOC, in the place of the last ones.

SUMMARY is OUT.summary.json of harness.py, STREAM what `cargo bench --bench stream` printed.
"""
import json, platform, sys, time

from verdict import streams, verdicts, wrong

BEGIN, END = "<!-- what benches/peers.sh --write wrote -->", "<!-- end of it -->"


def table(heads, rows):
    return "\n".join(["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)] + ["| " + " | ".join(row) + " |" for row in rows])


def ratio(r):
    return f"{r['ratio']:.2f} ({r['ratio_lo']:.2f}-{r['ratio_hi']:.2f})" if r["ratio"] else "-"


def main():
    doc, summary, stream, command = sys.argv[1:]
    summary = json.load(open(summary))
    rows = summary["rows"]
    # Kinds of answer of one server of ours, in a table of their own.
    alone = ["policies", "w1-miss", "w4-miss"]
    lost = [f"{r['peer']} {r['workload']} {r['lost']:,} of {r['sent']:,}" for r in rows if r["lost"]]
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
    number = lambda x, form: "-" if x is None else format(x, form)
    peers = table(
        ["workload", "server", "x echo (range)", "us of CPU a query (best)", "best p99 at 50,000 q/s, us", "load, s (CPU)", "PSS, MiB (later)"],
        [[r["workload"], r["peer"], ratio(r), f"{r['cpu']:.2f} ({r['cpu_min']:.2f})", number(r["p99_min"], ".0f"),
          f"{r['load_s']:.2f} ({r['load_cpu']:.2f})", f"{r['pss_mib']:.0f} ({r['pss_later_mib']:.0f})"]
         for r in rows if r["workload"] not in alone])
    kinds = table(["workload", "answer", "x first (range)", "us of CPU a query (best)"],
                  [[r["workload"], r["peer"], ratio(r), f"{r['cpu']:.2f} ({r['cpu_min']:.2f})"] for r in rows if r["workload"] in alone])
    stream = streams(stream)
    tcp = table(["server", "us of CPU a query", "queries/s a core", "queries/s seen"],
                [[name, f"{cost:.2f}", f"{core:,}", f"{seen:,}"] for name, (cost, seen, core) in stream.items()])
    changes = table(["changed", "times", "slowest, s", "queries/s meanwhile", "answered", "lost", "dropped by the server", "p99, us"],
                    [[c["change"], f"{c['times']:,}", number(c["slowest_s"], ".3f"), f"{c['rate']:,}", f"{c['received']:,}", f"{c['lost']:,}",
                      f"{sum(c['drops'].values()):,}", f"{c['p99_us']:,.0f}"] for c in summary["changes"]])
    bounds = table(["what", "figure", "bound", "stands"], verdicts(summary, stream))
    text = f"""{BEGIN}

{time.strftime('%Y-%m-%d')}, {model}, Linux {platform.release()}:

```sh
{command}
```

{peers}

Answers that were wrong: {', '.join(wrong(summary)) or 'none'}. Lost: {', '.join(lost) or 'none'}.

One Tradewind, one kind of answer against another:

{kinds}

One Tradewind that reads a zone or a City database anew, or has a verdict changed, again and again, at half of what it answered at the most:

{changes}

Pipelined over TCP, one worker each, 4 connections with 64 queries in flight, by turns, medians of 15 rounds:

{tcp}

What this run had to reach:

{bounds}

{END}"""
    old = open(doc).read()
    before, rest = old.split(BEGIN)
    open(doc, "w").write(before + text + rest.split(END)[1])


main()
