#!/usr/bin/env python3
"""write.py DOC SUMMARY STREAM COMMAND   puts the tables of one run into DOC, in the place of the last ones.

SUMMARY is OUT.summary.json of harness.py, STREAM what `cargo bench --bench stream` printed.
"""
import json, platform, sys, time

BEGIN, END = "<!-- what benches/peers.sh --write wrote -->", "<!-- end of it -->"


def table(heads, rows):
    return "\n".join(["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)] + ["| " + " | ".join(row) + " |" for row in rows])


def ratio(r):
    return f"{r['ratio']:.2f} ({r['ratio_lo']:.2f}-{r['ratio_hi']:.2f})" if r["ratio"] else "-"


def main():
    doc, summary, stream, command = sys.argv[1:]
    rows = json.load(open(summary))
    wrong = [f"{r['peer']} {r['workload']}" for r in rows if not r["ok"]]
    lost = [f"{r['peer']} {r['workload']} {r['loss']:.2f} %" for r in rows if r["loss"]]
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
    number = lambda x, form: "-" if x is None else format(x, form)
    peers = table(
        ["workload", "server", "x echo (range)", "us of CPU a query (best)", "best p99 at 50,000 q/s, us", "load, s (CPU)", "PSS, MiB (later)"],
        [[r["workload"], r["peer"], ratio(r), f"{r['cpu']:.2f} ({r['cpu_min']:.2f})", number(r["p99_min"], ".0f"),
          f"{r['load_s']:.2f} ({r['load_cpu']:.2f})", f"{r['pss_mib']:.0f} ({r['pss_later_mib']:.0f})"]
         for r in rows if r["workload"] != "policies"])
    policies = table(["answer", "x static (range)", "us of CPU a query (best)"],
                     [[r["peer"], ratio(r), f"{r['cpu']:.2f} ({r['cpu_min']:.2f})"] for r in rows if r["workload"] == "policies"])
    lines = [line.split() for line in open(stream) if "us/q" in line]
    tcp = table(["server", "us of CPU a query", "queries/s a core", "queries/s seen"],
                [[w[0], w[3], f"{int(w[5]):,}", f"{int(w[1]):,}"] for w in lines])
    text = f"""{BEGIN}

{time.strftime('%Y-%m-%d')}, {model}, Linux {platform.release()}:

```sh
{command}
```

{peers}

Answers that were wrong: {', '.join(wrong) or 'none'}. Lost at saturation: {', '.join(lost) or 'none'}.

One Tradewind, one kind of answer against another:

{policies}

Pipelined over TCP, one worker each, 4 connections with 64 queries in flight, by turns, medians of 15 rounds:

{tcp}

{END}"""
    old = open(doc).read()
    before, rest = old.split(BEGIN)
    open(doc, "w").write(before + text + rest.split(END)[1])


main()
