//! The results as an SVG drawing: what came when in one run of each case, and how gaps are
//! distributed.

use std::fmt::Write;
use std::time::Duration;

use super::super::plot::{INK, OURS, grouped, nice_step};
use super::results::{Results, Series, milliseconds};
use super::run::Traces;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 70.0;
const AXIS: f64 = WIDTH - LEFT - RIGHT;
const TITLE: f64 = 52.0;
/// Above and below the area of a panel, and that.
const PANEL_TOP: f64 = 34.0;
const PANEL: f64 = 130.0;
const PANEL_BOTTOM: f64 = 50.0;
const CDF: f64 = 240.0;
const LEGEND_LINE: f64 = 18.0;

const LOST: &str = "#d62728";
const TCP: &str = "#c9d3dc";
const COLOURS: [&str; 7] =
    ["#1f6fb4", "#d9822b", "#2a9d5c", "#b5332e", "#7a58a8", "#7a5a48", "#cf6fae"];

/// What is shown before the event, and octets are counted over.
const BEFORE: Duration = Duration::from_millis(250);
const BIN: Duration = Duration::from_millis(20);

/// Draws what there is.
pub(super) fn draw(results: &Results) -> String {
    let (mut body, mut y) = (String::new(), TITLE);
    for series in results.series() {
        if let Some(traces) = &series.traces {
            let title = format!("{}, {}", series.case.name(), series.backend.name());
            timeline(&mut body, y, &title, traces);
            y += PANEL_TOP + PANEL + PANEL_BOTTOM;
        }
    }
    y += legend(&mut body, y);
    let measured: Vec<&Series> =
        results.series().iter().filter(|series| !series.gaps_ms.is_empty()).collect();
    if !measured.is_empty() {
        distribution(&mut body, y, &measured);
        y += PANEL_TOP + CDF + PANEL_BOTTOM + LEGEND_LINE * measured.len().div_ceil(3) as f64;
    }
    let title = "Handover of a mobile node";
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" \
         width=\"{WIDTH}\" height=\"{y}\" role=\"img\" font-family=\"sans-serif\" \
         font-size=\"12\" fill=\"{INK}\">\n<title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{y}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"30\" font-size=\"18\" font-weight=\"bold\">{title}</text>\n\
         {body}</svg>\n"
    )
}

/// A part of the drawing with an axis to the right and one upwards.
struct Area {
    top: f64,
    height: f64,
    from: f64,
    to: f64,
    most: f64,
}

impl Area {
    fn x(&self, value: f64) -> f64 {
        LEFT + AXIS * (value - self.from) / (self.to - self.from)
    }

    fn y(&self, value: f64) -> f64 {
        self.top + self.height * (1.0 - (value / self.most).min(1.0))
    }

    /// Lines, numbers and names; `step` upwards.
    fn frame(&self, body: &mut String, title: &str, names: (&str, &str), step: f64) {
        let (end, middle) = (self.top + self.height, LEFT + AXIS / 2.0);
        let _ = writeln!(
            body,
            "<text x=\"{LEFT}\" y=\"{:.1}\" font-size=\"13\" font-weight=\"bold\">{title}</text>\
             <text x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text x=\"{LEFT}\" y=\"{:.1}\" text-anchor=\"end\" dx=\"-6\" \
             font-size=\"11\">{}</text>",
            self.top - 14.0,
            end + 34.0,
            names.0,
            self.top - 13.0,
            names.1
        );
        let across = nice_step((self.to - self.from) / 8.0);
        let first = (self.from / across).ceil() as i32;
        for number in first..=(self.to / across).floor() as i32 {
            let value = f64::from(number) * across;
            let x = self.x(value);
            let _ = writeln!(
                body,
                "<path d=\"M{x:.1} {:.1}V{end:.1}\" stroke=\"#e3e7eb\"/><text x=\"{x:.1}\" \
                 y=\"{:.1}\" text-anchor=\"middle\" font-size=\"11\">{}</text>",
                self.top,
                end + 16.0,
                signed(value)
            );
        }
        for number in 0..=(self.most / step + 1e-9).floor() as i32 {
            let value = f64::from(number) * step;
            let y = self.y(value);
            let _ = writeln!(
                body,
                "<path d=\"M{LEFT} {y:.1}h{AXIS}\" stroke=\"#e3e7eb\"/><text x=\"{:.1}\" \
                 y=\"{:.1}\" text-anchor=\"end\" font-size=\"11\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                signed(value)
            );
        }
    }
}

/// Echoes by when they were sent, the time each took upwards; below, what was lost; behind, octets
/// by TCP.
fn timeline(body: &mut String, top: f64, title: &str, traces: &Traces) {
    let since_event = |at: Duration| at.as_secs_f64() - traces.event_at.as_secs_f64();
    let (from, to) = (-BEFORE.as_secs_f64(), since_event(traces.end_at).max(0.1));
    let is_shown = |at: Duration| (from..=to).contains(&since_event(at));
    let shown: Vec<_> = traces.echoes.iter().filter(|echo| is_shown(echo.sent_at)).collect();
    let took = |echo: &&super::echoes::Echo| {
        echo.received_at.map(|at| milliseconds(at.saturating_sub(echo.sent_at)))
    };
    let slowest = shown.iter().filter_map(took).fold(1.0, f64::max);
    let step = nice_step(slowest / 4.0);
    let most = (slowest / step).ceil() * step;
    let area = Area { top: top + PANEL_TOP, height: PANEL, from, to, most };
    octets(body, &area, traces);
    area.frame(body, title, ("seconds from the event", "ms"), step);
    let (mut dots, mut lost) = (String::new(), String::new());
    let end = area.top + area.height;
    for echo in &shown {
        let x = area.x(since_event(echo.sent_at));
        let _ = match took(echo) {
            Some(took) => write!(dots, "M{x:.1} {:.1}h0", area.y(took)),
            None => write!(lost, "M{x:.1} {end:.1}v-8"),
        };
    }
    let (event, first) = (area.x(0.0), area.top);
    let _ = writeln!(
        body,
        "<path d=\"M{event:.1} {first}V{end}\" stroke=\"{INK}\" stroke-dasharray=\"4 3\"/>\
         <path d=\"{dots}\" stroke=\"{OURS}\" stroke-width=\"2.4\" stroke-linecap=\"round\" \
         fill=\"none\"/><path d=\"{lost}\" stroke=\"{LOST}\" fill=\"none\"/>"
    );
}

/// A step for each bin, the highest at the top.
fn octets(body: &mut String, area: &Area, traces: &Traces) {
    let (from, bin) = (area.from, BIN.as_secs_f64());
    let count = ((area.to - from) / bin).floor() as usize;
    let mut bins = vec![0_usize; count];
    for arrival in &traces.arrivals {
        let at = (arrival.at + BEFORE).checked_sub(traces.event_at);
        let bin = at.map(|at| (at.as_micros() / BIN.as_micros()) as usize);
        if let Some(bin) = bin.and_then(|bin| bins.get_mut(bin)) {
            *bin += arrival.octets;
        }
    }
    let Some(most) = bins.iter().copied().max().filter(|most| *most > 0) else { return };
    let (end, width) = (area.top + area.height, area.x(from + bin) - area.x(from));
    let mut path = format!("M{LEFT} {end:.1}");
    for (number, octets) in bins.iter().enumerate() {
        let x = LEFT + width * number as f64;
        let y = end - area.height * *octets as f64 / most as f64;
        let _ = write!(path, "V{y:.1}H{:.1}", x + width);
    }
    let rate = most as f64 * 8.0 / bin / 1e6;
    let _ = writeln!(
        body,
        "<path d=\"{path}V{end:.1}Z\" fill=\"{TCP}\" opacity=\"0.6\"/><text x=\"{:.1}\" \
         y=\"{:.1}\" font-size=\"11\">{} Mbit/s</text>",
        LEFT + AXIS + 4.0,
        area.top + 4.0,
        grouped(rate)
    );
}

/// What the marks of the panels mean; its height.
fn legend(body: &mut String, top: f64) -> f64 {
    let mut x = LEFT;
    for (colour, text, width) in [
        (OURS, "echo of a datagram: when it was sent, and how long it took", 400.0),
        (LOST, "datagram without an echo", 190.0),
        (TCP, "octets by TCP in 20 ms", 0.0),
    ] {
        let _ = writeln!(
            body,
            "<rect x=\"{x}\" y=\"{top}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{}\">{text}</text>",
            x + 18.0,
            top + 10.0
        );
        x += width;
    }
    40.0
}

/// The share of runs whose gap is not longer.
fn distribution(body: &mut String, top: f64, measured: &[&Series]) {
    let gaps = measured.iter().flat_map(|series| series.gaps_ms.iter().copied());
    let longest = gaps.fold(1.0, f64::max);
    let step = nice_step(longest / 8.0);
    let to = (longest / step).ceil() * step;
    let area = Area { top: top + PANEL_TOP, height: CDF, from: 0.0, to, most: 100.0 };
    area.frame(body, "Gaps", ("ms without an echo", "% of runs"), 25.0);
    let below = area.top + area.height + PANEL_BOTTOM;
    for (number, series) in measured.iter().enumerate() {
        let mut sorted = series.gaps_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let mut path = format!("M{LEFT} {:.1}", area.y(0.0));
        for (rank, gap) in sorted.iter().enumerate() {
            let share = 100.0 * (rank + 1) as f64 / sorted.len() as f64;
            let _ = write!(path, "H{:.1}V{:.1}", area.x(*gap), area.y(share));
        }
        let colour = COLOURS[number % COLOURS.len()];
        // More series than colours: the second round is dashed.
        let dashes = if number < COLOURS.len() { "none" } else { "5 3" };
        let (x, y) =
            (LEFT + (number % 3) as f64 * AXIS / 3.0, below + LEGEND_LINE * (number / 3) as f64);
        let _ = writeln!(
            body,
            "<path d=\"{path}H{:.1}\" stroke=\"{colour}\" stroke-width=\"1.8\" fill=\"none\" \
             stroke-dasharray=\"{dashes}\"/><path d=\"M{x:.1} {y:.1}h24\" stroke=\"{colour}\" \
             stroke-width=\"3\" stroke-dasharray=\"{dashes}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}, {}</text>",
            LEFT + AXIS,
            x + 30.0,
            y + 4.0,
            series.case.name(),
            series.backend.name()
        );
    }
}

/// With as many decimals as an axis needs.
fn signed(value: f64) -> String {
    let sign = if value < -1e-9 { "-" } else { "" };
    let value = value.abs();
    if value < 1.0 && value > 1e-9 {
        return format!("{sign}{}", (value * 100.0).round() / 100.0);
    }
    format!("{sign}{}", grouped(value))
}

#[cfg(test)]
mod tests {
    use super::super::super::plot::tests::assert_well_formed;
    use super::super::case::{Backend, Case};
    use super::super::download::Arrival;
    use super::super::echoes::Echo;
    use super::super::quality::Quality;
    use super::super::run::Run;
    use super::*;

    fn run(gap: u64) -> Run {
        let ms = Duration::from_millis;
        let echo = |number: u64| Echo {
            sent_at: ms(number),
            received_at: (!number.is_multiple_of(9)).then(|| ms(number + 10)),
        };
        Run {
            gap: ms(gap),
            gap_before: ms(2),
            lost: 3,
            tcp_stall: ms(40),
            underlay: "netem",
            traces: Traces {
                event_at: ms(400),
                end_at: ms(900),
                echoes: (0..900).map(echo).collect(),
                arrivals: (0..900).map(|at| Arrival { at: ms(at), octets: 2000 }).collect(),
            },
        }
    }

    #[test]
    fn every_case_is_drawn_and_named() {
        let mut results = Results::new(Quality::default(), Duration::from_millis(1));
        for case in Case::ALL {
            for backend in Backend::ALL {
                for gap in [11, 12, 30] {
                    results.add(case, backend, Some(run(gap)));
                }
                results.add(case, backend, None);
            }
        }
        let svg = draw(&results);
        assert_well_formed(&svg);
        for case in Case::ALL {
            assert_eq!(svg.matches(case.name()).count(), 4, "{}", case.name());
        }
        assert!(svg.contains("seconds from the event") && svg.contains("% of runs"));
        assert!(svg.contains(">16 Mbit/s<") && !svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn nothing_and_runs_without_traces_are_drawn_too() {
        let mut results = Results::new(Quality::default(), Duration::from_millis(1));
        assert_well_formed(&draw(&results));
        results.add(Case::Roam, Backend::Kernel, None);
        assert_well_formed(&draw(&results));
        results.add(Case::Roam, Backend::Kernel, Some(Run { traces: Traces::default(), ..run(0) }));
        let svg = draw(&results);
        assert_well_formed(&svg);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
