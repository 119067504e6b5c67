//! The drawings of a report, as inline SVG: a time line, and who answered second by second.
//!
//! Colours are classes, so that the page's style sheet has them for light and dark; each area has
//! a name beside it, so that no colour has to be told from another.

use super::{
    html::escaped,
    report::{Report, time},
};
use std::{collections::BTreeSet, fmt::Write};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
/// Regions with a colour of their own; more share the last one.
const COLOURS: usize = 6;

/// Where a time lies, in a drawing of the whole run.
struct Scale {
    end_ms: f64,
}

impl Scale {
    fn of(report: &Report) -> Scale {
        let seconds = report.seconds.last().map_or(0.0, |row| f64::from(row.second + 1) * 1e3);
        let points = report.timeline.iter().filter_map(|point| point.ms);
        Scale { end_ms: points.fold(seconds, f64::max).max(1_000.0) }
    }

    fn x(&self, ms: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (ms / self.end_ms).clamp(0.0, 1.0)
    }

    /// Marks of whole seconds: some ten of them.
    fn ticks(&self) -> Vec<f64> {
        let seconds = self.end_ms / 1e3;
        let step = [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0];
        let step = step.into_iter().find(|step| seconds / step <= 12.0).unwrap_or(600.0);
        (0..=(seconds / step) as u32).map(|n| f64::from(n) * step * 1e3).collect()
    }
}

/// Steps as bars, and the points of the run as marks with their names.
pub(super) fn timeline(report: &Report) -> String {
    let scale = Scale::of(report);
    let points: Vec<_> =
        report.timeline.iter().filter_map(|point| Some((point, point.ms?))).collect();
    let (bars, row) = (report.steps.len() as f64 * 22.0, 20.0);
    let height = 30.0 + bars + points.len() as f64 * row + 24.0;
    let mut svg = open(height, "Time line of the drill: steps and points");
    axis(&mut svg, &scale, height);
    for (place, step) in report.steps.iter().enumerate() {
        let (from, to) = (scale.x(step.from_ms), scale.x(step.to_ms.unwrap_or(scale.end_ms)));
        let y = 16.0 + place as f64 * 22.0;
        let (id, width) = (escaped(&step.id), (to - from).max(2.0));
        put(
            &mut svg,
            format_args!(
                "<rect class=\"step\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"16\" rx=\"3\"/>\
             <text class=\"in\" x=\"{:.1}\" y=\"{:.1}\">{id}</text>",
                from + 6.0,
                y + 12.0
            ),
        );
    }
    for (place, (point, ms)) in points.iter().enumerate() {
        let (x, y) = (scale.x(*ms), 34.0 + bars + place as f64 * row);
        // Names stand where there is room.
        let (anchor, at) = match x > WIDTH * 0.6 {
            true => ("end", x - 8.0),
            false => ("start", x + 8.0),
        };
        let (name, when) = (escaped(&point.name), time(*ms));
        put(
            &mut svg,
            format_args!(
                "<line class=\"point\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"10\" y2=\"{:.1}\"/>\
             <circle class=\"dot\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4\"/>\
             <text x=\"{at:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{name} · {when}</text>",
                y - 4.0,
                y - 4.0
            ),
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Answers of each second, stacked by region; what was lost, empty or wrong above them.
pub(super) fn split(report: &Report) -> String {
    const HEIGHT: f64 = 260.0;
    const BOTTOM: f64 = 30.0;
    let scale = Scale::of(report);
    let regions: BTreeSet<&str> =
        report.seconds.iter().flat_map(|row| row.regions.keys().map(String::as_str)).collect();
    let most = report.seconds.iter().map(|row| row.asked).max().unwrap_or(1).max(1) as f64;
    let y = |count: f64| 10.0 + (HEIGHT - BOTTOM - 10.0) * (1.0 - count / most);
    let mut svg = open(HEIGHT, "Answers by region, second by second");
    axis(&mut svg, &scale, HEIGHT);
    put(
        &mut svg,
        format_args!(
            "<text x=\"{:.1}\" y=\"18\" text-anchor=\"end\">{most:.0}/s</text>",
            LEFT - 6.0
        ),
    );
    for row in &report.seconds {
        let from = scale.x(f64::from(row.second) * 1e3);
        let width = (scale.x(f64::from(row.second + 1) * 1e3) - from - 1.0).max(0.5);
        let mut below = 0.0;
        let counted = regions.iter().enumerate().map(|(place, region)| {
            let count = row.regions.get(*region).copied().unwrap_or(0);
            (format!("r{}", place.min(COLOURS - 1)), *region, count)
        });
        let counted: Vec<_> = counted.chain([("bad".to_owned(), "no reply", row.lost)]).collect();
        for (class, name, count) in counted {
            if count == 0 {
                continue;
            }
            let (top, bottom) = (y(below + count as f64), y(below));
            below += count as f64;
            let (name, second) = (escaped(name), row.second);
            put(
                &mut svg,
                format_args!(
                    "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\">\
                 <title>second {second}: {name} {count}</title></rect>",
                    (bottom - top).max(0.5)
                ),
            );
        }
    }
    for name in ["injected", "first changed answer", "restored", "recovered"] {
        let point = report.timeline.iter().find(|point| point.name == name);
        if let Some(ms) = point.and_then(|point| point.ms) {
            let x = scale.x(ms);
            put(
                &mut svg,
                format_args!(
                    "<line class=\"point\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"6\" y2=\"{:.1}\"><title>{name}</title></line>",
                    HEIGHT - BOTTOM
                ),
            );
        }
    }
    svg.push_str("</svg><p class=\"legend\">");
    for (place, region) in regions.iter().enumerate() {
        let class = place.min(COLOURS - 1);
        put(&mut svg, format_args!("<span class=\"key k{class}\"></span>{} ", escaped(region)));
    }
    svg.push_str("</p>");
    svg
}

/// A line of the values of one stop condition.
pub(super) fn spark(values: &[f64]) -> String {
    const SPARK: (f64, f64) = (160.0, 24.0);
    let (least, most) = values
        .iter()
        .fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(*value), most.max(*value)));
    if values.len() < 2 {
        return String::new();
    }
    let span = (most - least).max(1e-9);
    let mut points = String::new();
    for (place, value) in values.iter().enumerate() {
        let x = SPARK.0 * place as f64 / (values.len() - 1) as f64;
        let y = 2.0 + (SPARK.1 - 4.0) * (1.0 - (value - least) / span);
        put(&mut points, format_args!("{x:.1},{y:.1} "));
    }
    let (width, height) = SPARK;
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-label=\"over time\"><polyline points=\"{points}\"/></svg>"
    )
}

fn open(height: f64, label: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\" \
         preserveAspectRatio=\"xMidYMid meet\">"
    )
}

fn axis(svg: &mut String, scale: &Scale, height: f64) {
    for ms in scale.ticks() {
        let x = scale.x(ms);
        put(
            svg,
            format_args!(
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"8\" y2=\"{:.1}\"/>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0} s</text>",
                height - 22.0,
                height - 8.0,
                ms / 1e3
            ),
        );
    }
}

fn put(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(more);
}
