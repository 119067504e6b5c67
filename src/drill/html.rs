//! A report as one HTML file: no script, no request to anywhere, dark and light, printable. What
//! came from files, the network or people is escaped.

use super::{
    charts,
    markdown::{figures, is_shown, kept, signed},
    report::{Report, Told, Verdict, time},
};
use std::fmt::Write;

/// Events that are shown; the journal has them all.
const EVENTS_SHOWN: usize = 300;

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#5b6570;--line:#d8dee4;--card:#f6f8fa;\
--good:#116329;--bad:#a40e26;--warn:#7d4e00;--r0:#1f77b4;--r1:#e08214;--r2:#2a9d6f;--r3:#8e5bb5;--r4:#a6761d;--r5:#6b7680;--step:#d7b7f5;--stepfg:#2d1650}\
@media(prefers-color-scheme:dark){:root{--bg:#14181d;--fg:#e6e9ec;--dim:#9aa4ae;--line:#333b44;--card:#1c2229;\
--good:#57ab5a;--bad:#f47067;--warn:#daaa3f;--r0:#58a6e0;--r1:#f0a04b;--r2:#4cc398;--r3:#b58be0;--r4:#c9a452;--r5:#8b96a1;--step:#553a7a;--stepfg:#f0e6ff}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:66rem;padding:1.5rem;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}\
h1{margin:0;font-size:1.6rem}h2{margin:2rem 0 .5rem;font-size:1.1rem}.dim{color:var(--dim)}\
.verdict{display:inline-block;padding:.15rem .7rem;border-radius:.4rem;border:2px solid;font-weight:700;letter-spacing:.05em}\
.PASS{color:var(--good)}.FAIL{color:var(--bad)}.ABORTED{color:var(--warn)}\
.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:1rem;margin:1rem 0;overflow-x:auto}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}\
th{color:var(--dim);font-weight:600}td.n{white-space:nowrap}tr.bad td{color:var(--bad);font-weight:600}\
svg{width:100%;height:auto;display:block}svg.spark{width:160px;height:24px}svg text{fill:var(--fg);font:12px system-ui,sans-serif}svg text.tick{fill:var(--dim);font-size:11px}\
svg text.in{fill:var(--stepfg);font-weight:600}.grid{stroke:var(--line)}.point{stroke:var(--fg);stroke-dasharray:3 3;opacity:.55}.dot{fill:var(--fg)}.step{fill:var(--step)}\
.r0{fill:var(--r0)}.r1{fill:var(--r1)}.r2{fill:var(--r2)}.r3{fill:var(--r3)}.r4{fill:var(--r4)}.r5{fill:var(--r5)}.bad{fill:var(--bad)}\
.spark polyline{fill:none;stroke:var(--r0);stroke-width:1.5}.legend{margin:.5rem 0 0}.key{display:inline-block;width:.8em;height:.8em;border-radius:.2em;margin:0 .35em 0 .8em}\
.k0{background:var(--r0)}.k1{background:var(--r1)}.k2{background:var(--r2)}.k3{background:var(--r3)}.k4{background:var(--r4)}.k5{background:var(--r5)}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;font-size:13px}code{overflow-wrap:anywhere}details{margin:.5rem 0}summary{cursor:pointer}li.alarm{color:var(--bad)}\
@media print{body{max-width:none}details>*{display:block}}";

/// The report as a page.
pub fn page(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write(report, &mut page);
    page
}

fn write(report: &Report, page: &mut String) -> std::fmt::Result {
    let head = &report.head;
    let (drill, run) = (escaped(&head.drill), escaped(&head.run));
    write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>Drill {drill} {run}: {verdict}</title><style>{STYLE}</style></head><body>\
         <h1>Drill {drill} <span class=\"verdict {verdict}\">{verdict}</span></h1>\
         <p><strong>{sentence}</strong></p>",
        verdict = report.verdict,
        sentence = escaped(&report.sentence),
    )?;
    if let Some(description) = &head.description {
        write!(page, "<p class=\"dim\">{}</p>", escaped(description))?;
    }
    write!(page, "<h2>Time line</h2><div class=\"card\">{}</div>", charts::timeline(report))?;
    write!(
        page,
        "<h2>Answers by region, each second</h2><div class=\"card\">{}</div>",
        charts::split(report)
    )?;
    budgets(report, page)?;
    points(report, page)?;
    steps(report, page)?;
    stops(report, page)?;
    told(page, "Approvals asked for and given", &report.approvals, "none were")?;
    foreseen(report, page)?;
    samples(report, page)?;
    trend(report, page)?;
    let shown = report.events.len().min(EVENTS_SHOWN);
    write!(page, "<details><summary>What the server wrote down ({shown})</summary>")?;
    told(page, "", &report.events[..shown], "nothing")?;
    page.push_str("</details>");
    facts(report, page)?;
    page.push_str("</body></html>\n");
    Ok(())
}

fn budgets(report: &Report, page: &mut String) -> std::fmt::Result {
    page.push_str(
        "<h2>Budgets</h2><div class=\"card\"><table><tr><th>measure</th><th>budget</th>\
         <th>measured</th><th>margin</th><th></th></tr>",
    );
    for line in report.budgets.iter().filter(|line| is_shown(line)) {
        let class = if line.kept == Some(false) { " class=\"bad\"" } else { "" };
        let [budget, measured, margin] = figures(line);
        write!(
            page,
            "<tr{class}><td>{}</td><td class=\"n\">{budget}</td><td class=\"n\">{measured}</td>\
             <td class=\"n\">{margin}</td><td>{}</td></tr>",
            escaped(&line.name),
            kept(line)
        )?;
    }
    page.push_str("</table></div>");
    Ok(())
}

fn points(report: &Report, page: &mut String) -> std::fmt::Result {
    page.push_str(
        "<div class=\"card\"><table><tr><th>point</th><th>since the start</th>\
         <th>since the injection</th></tr>",
    );
    let shown = |ms: Option<f64>| ms.map_or_else(|| "never".to_owned(), signed);
    for point in &report.timeline {
        let (at, since) = (shown(point.ms), shown(point.since_injected_ms));
        let name = escaped(&point.name);
        write!(
            page,
            "<tr><td>{name}</td><td class=\"n\">{at}</td><td class=\"n\">{since}</td></tr>"
        )?;
    }
    for (share, ms) in &report.ttl_tail {
        write!(
            page,
            "<tr><td>caches let go of the old answer, {} (computed)</td><td></td><td class=\"n\">{}</td></tr>",
            escaped(share),
            time(*ms)
        )?;
    }
    page.push_str("</table></div>");
    Ok(())
}

fn steps(report: &Report, page: &mut String) -> std::fmt::Result {
    page.push_str("<h2>Steps</h2><div class=\"card\"><table><tr><th>step</th><th>what</th><th>from</th><th>until</th></tr>");
    for step in &report.steps {
        let to = step.to_ms.map_or_else(|| "taken back at the end".to_owned(), time);
        let (id, said, from) = (escaped(&step.id), escaped(&step.said), time(step.from_ms));
        write!(
            page,
            "<tr><td>{id}</td><td>{said}</td><td class=\"n\">{from}</td><td class=\"n\">{to}</td></tr>"
        )?;
    }
    page.push_str("</table></div>");
    for one in &report.besides {
        write!(page, "<p>At the end besides: <code>{}</code></p>", escaped(one))?;
    }
    Ok(())
}

fn stops(report: &Report, page: &mut String) -> std::fmt::Result {
    if report.stops.is_empty() {
        return Ok(());
    }
    page.push_str("<h2>Stop conditions</h2><div class=\"card\"><table><tr><th>condition</th><th>over time</th><th>least</th><th>most</th><th>fired</th></tr>");
    for stop in &report.stops {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
        let fired =
            stop.fired_ms.map_or_else(|| "no".to_owned(), |ms| format!("after {}", time(ms)));
        let class = if stop.fired_ms.is_some() { " class=\"bad\"" } else { "" };
        write!(
            page,
            "<tr{class}><td><code>{}</code></td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{fired}</td></tr>",
            escaped(&stop.when),
            charts::spark(&stop.values),
            number(stop.least),
            number(stop.most)
        )?;
    }
    page.push_str("</table></div>");
    Ok(())
}

fn told(page: &mut String, title: &str, all: &[Told], none: &str) -> std::fmt::Result {
    if !title.is_empty() {
        write!(page, "<h2>{title}</h2>")?;
    }
    if all.is_empty() {
        return write!(page, "<p class=\"dim\">{none}</p>");
    }
    page.push_str("<ul>");
    for one in all {
        let class = if one.alarm { " class=\"alarm\"" } else { "" };
        let (at, text, seq) = (time(one.ms), escaped(&one.text), one.seq);
        write!(page, "<li{class}>{at} {text} <span class=\"dim\">#{seq}</span></li>")?;
    }
    page.push_str("</ul>");
    Ok(())
}

fn foreseen(report: &Report, page: &mut String) -> std::fmt::Result {
    for line in &report.foreseen {
        let (step, moved) = (escaped(&line.step), line.moved * 100.0);
        write!(page, "<p>Foreseen of step {step}: {moved:.1} % of all clients would move")?;
        for (place, (flow, share)) in line.flows.iter().take(5).enumerate() {
            let before = if place == 0 { ": " } else { ", " };
            write!(page, "{before}{} {:.1} %", escaped(flow), share * 100.0)?;
        }
        page.push_str(" <span class=\"dim\">(by routed address space, not by traffic)</span></p>");
    }
    Ok(())
}

fn samples(report: &Report, page: &mut String) -> std::fmt::Result {
    if report.samples.is_empty() {
        return Ok(());
    }
    page.push_str("<details><summary>Raw answers around the changes</summary><div class=\"card\"><table><tr><th>at</th><th>asked</th><th>answer</th><th>TTL</th><th>region</th></tr>");
    for sample in &report.samples {
        let records = match sample.records.is_empty() {
            true => sample.rcode.clone(),
            false => sample.records.join(" "),
        };
        write!(
            page,
            "<tr><td class=\"n\">{}</td><td>{}</td><td><code>{}</code></td><td class=\"n\">{}</td><td>{}</td></tr>",
            time(sample.at_ms),
            escaped(&sample.asked),
            escaped(&records),
            sample.ttl_s,
            escaped(&sample.region)
        )?;
    }
    page.push_str("</table></div></details>");
    Ok(())
}

fn trend(report: &Report, page: &mut String) -> std::fmt::Result {
    if report.trend.is_empty() {
        return Ok(());
    }
    page.push_str("<h2>The runs before</h2><div class=\"card\"><table><tr><th>run</th><th>verdict</th><th>detect</th><th>first_change</th><th>ttl_tail_p99</th><th>recover</th></tr>");
    for run in &report.trend {
        let class = if run.verdict == Verdict::Pass { "" } else { " class=\"bad\"" };
        write!(page, "<tr{class}><td>{}</td><td>{}</td>", escaped(&run.run), run.verdict)?;
        for name in ["detect", "first_change", "ttl_tail_p99", "recover"] {
            let figure = run.measures.get(name).map_or_else(|| "-".to_owned(), |ms| time(*ms));
            write!(page, "<td class=\"n\">{figure}</td>")?;
        }
        page.push_str("</tr>");
    }
    page.push_str("</table></div>");
    Ok(())
}

fn facts(report: &Report, page: &mut String) -> std::fmt::Result {
    let head = &report.head;
    page.push_str("<h2>Evidence</h2><div class=\"card\"><table>");
    let revision = head.revision.to_string();
    let lanes = head.lanes.join("; ");
    let degraded = head.degraded.join("; ");
    let owner = head.owner.clone().unwrap_or_default();
    for (name, fact) in [
        ("run", &head.run),
        ("mode", &head.mode),
        ("started", &head.started),
        ("by", &head.who),
        ("acknowledged", &head.ack),
        ("owner", &owner),
        ("revision of the files", &revision),
        ("server version", &head.server_version),
        ("asked at", &head.server),
        ("asked", &lanes),
        ("degraded before", &degraded),
        ("drill file", &head.file),
        ("its SHA-256", &head.sha256),
    ] {
        if !fact.is_empty() {
            write!(page, "<tr><th>{name}</th><td>{}</td></tr>", escaped(fact))?;
        }
    }
    write!(
        page,
        "</table><details><summary>The drill's file</summary><pre>{}</pre></details></div>\
         <p class=\"dim\">Made from the journal by <code>tradewind drill report</code>; \
         <code>--verify JOURNAL</code> computes the verdict again.</p>",
        escaped(&head.text)
    )
}

/// `text` as text of HTML, in content and in attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::{
        journal::{Entry, Head, Row, What},
        markdown,
        report::report,
    };

    fn nasty() -> Report {
        let evil = "<script>alert(\"1\")</script> | `x`";
        let head = Head {
            drill: evil.into(),
            description: Some(evil.into()),
            who: evil.into(),
            text: evil.into(),
            stops: vec![evil.into()],
            lanes: vec![evil.into()],
            mode: "live".into(),
            ..Head::default()
        };
        let regions = [(evil.to_owned(), 7)].into();
        let row = Row { asked: 7, answered: 7, regions, ..Row::default() };
        let entries = [
            Entry { ms: 0.0, what: What::Began(Box::new(head)) },
            Entry { ms: 1.0, what: What::Second(row) },
            Entry { ms: 2.0, what: What::Aborted { why: evil.into(), left: vec![evil.into()] } },
        ];
        report(&entries).unwrap()
    }

    #[test]
    fn nothing_of_what_people_wrote_is_markup_and_nothing_is_fetched() {
        let page = page(&nasty());
        assert!(!page.contains("<script"), "{page}");
        for request in ["http://", "https://", "src=", "href=", "url(", "@import"] {
            assert!(!page.contains(request), "{request}");
        }
        assert!(page.contains("default-src 'none'") && page.contains("prefers-color-scheme:dark"));
        assert!(page.contains("&lt;script&gt;"));
    }

    #[test]
    fn nothing_breaks_out_of_a_cell_of_markdown() {
        let page = markdown::page(&nasty());
        assert!(page.contains("\\<script\\>alert"), "{page}");
        assert!(
            page.lines()
                .filter(|line| line.contains("script"))
                .all(|line| !line.contains(" | `x`"))
        );
    }
}
