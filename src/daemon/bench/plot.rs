//! The results as an SVG drawing: a bar for each median, a line from the lowest to the highest run.

use std::fmt::Write;

use super::case::Case;
use super::results::Row;
use super::statistics::Summary;
use super::traffic::Traffic;

const WIDTH: f64 = 760.0;
/// Left of the bars stand the cases, right of them the values.
const LEFT: f64 = 120.0;
const BARS: f64 = 520.0;
const BAR: f64 = 16.0;
const ROW: f64 = 26.0;
/// Above and below the bars of one traffic.
const PANEL_TOP: f64 = 34.0;
const PANEL_BOTTOM: f64 = 52.0;
const TITLE: f64 = 48.0;
const LEGEND: f64 = 34.0;
/// A bar that is longer than the tunnels' longest by this factor is cut, so that those stay
/// readable.
const CUT: f64 = 1.5;

pub(super) const OURS: &str = "#1f6fb4";
const OTHERS: &str = "#a9b4bf";
pub(super) const INK: &str = "#222";

/// Draws rows; those without a rate are left out.
pub(super) fn draw(rows: &[Row]) -> String {
    let of_traffic = |traffic: Traffic| -> Vec<(&Row, Summary)> {
        let rows = rows.iter().filter(|row| row.traffic == traffic.name());
        rows.filter_map(|row| Some((row, row.mbit_s?))).collect()
    };
    let (mut body, mut y) = (String::new(), TITLE);
    for traffic in Traffic::ALL {
        let bars = of_traffic(traffic);
        if !bars.is_empty() {
            panel(&mut body, y, traffic, &bars);
            y += PANEL_TOP + ROW * bars.len() as f64 + PANEL_BOTTOM;
        }
    }
    legend(&mut body, y);
    let height = y + LEGEND;
    let title = "Throughput between two sites";
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" font-family=\"sans-serif\" \
         font-size=\"13\" fill=\"{INK}\">\n\
         <title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"30\" font-size=\"18\" font-weight=\"bold\">{title}</text>\n\
         {body}</svg>\n"
    )
}

/// The bars of one traffic with their axis.
fn panel(body: &mut String, top: f64, traffic: Traffic, bars: &[(&Row, Summary)]) {
    let axis = Axis::over(bars);
    let (first, end) = (top + PANEL_TOP, top + PANEL_TOP + ROW * bars.len() as f64);
    let heading = match traffic {
        Traffic::Tcp => "TCP, one connection",
        Traffic::Udp1362 => "UDP, 1,362 octets of payload",
        Traffic::Udp64 => "UDP, 64 octets of payload",
    };
    let y = top + 20.0;
    let _ = writeln!(body, "<text x=\"{LEFT}\" y=\"{y}\" font-weight=\"bold\">{heading}</text>");
    for tick in axis.ticks() {
        let x = axis.x(tick);
        let _ = writeln!(
            body,
            "<path d=\"M{x:.1} {first}V{end}\" stroke=\"#e3e7eb\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"11\">{}</text>",
            end + 16.0,
            grouped(tick)
        );
    }
    let (middle, label_y) = (LEFT + BARS / 2.0, end + 34.0);
    let _ = writeln!(
        body,
        "<text x=\"{middle}\" y=\"{label_y}\" text-anchor=\"middle\" font-size=\"12\">Mbit/s of \
         payload that arrived</text>"
    );
    for (index, (row, rate)) in bars.iter().enumerate() {
        bar(body, first + ROW * index as f64, &axis, row, *rate);
    }
    let _ = writeln!(body, "<path d=\"M{LEFT} {first}V{end}\" stroke=\"{INK}\"/>");
}

fn bar(body: &mut String, top: f64, axis: &Axis, row: &Row, rate: Summary) {
    let is_ours = Case::named(row.case).is_some_and(Case::is_lispguard);
    let (fill, weight) = if is_ours { (OURS, "bold") } else { (OTHERS, "normal") };
    let (y, middle) = (top + (ROW - BAR) / 2.0, top + ROW / 2.0);
    let (text_y, end) = (middle + 4.5, axis.x(rate.median));
    let _ = writeln!(
        body,
        "<text x=\"{:.1}\" y=\"{text_y}\" text-anchor=\"end\" font-weight=\"{weight}\">{}</text>\
         <rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{fill}\"/>",
        LEFT - 8.0,
        row.case,
        end - LEFT
    );
    let is_cut = rate.median > axis.end;
    let value_x = if is_cut {
        let x = end - 14.0;
        let _ = writeln!(
            body,
            "<path d=\"M{x:.1} {:.1}l6 -{height}M{:.1} {:.1}l6 -{height}\" stroke=\"#fff\" \
             stroke-width=\"2\"/>",
            y + BAR + 1.0,
            x + 5.0,
            y + BAR + 1.0,
            height = BAR + 2.0
        );
        end
    } else {
        let (low, high) = (axis.x(rate.min), axis.x(rate.max));
        let _ = writeln!(
            body,
            "<path d=\"M{low:.1} {middle}H{high:.1}M{low:.1} {0:.1}v8M{high:.1} {0:.1}v8\" \
             stroke=\"{INK}\" stroke-width=\"1.5\" fill=\"none\"/>",
            middle - 4.0
        );
        end.max(high)
    };
    let cut = if is_cut { " (cut)" } else { "" };
    let _ = writeln!(
        body,
        "<text x=\"{:.1}\" y=\"{text_y}\" font-weight=\"{weight}\">{}{cut}</text>",
        value_x + 8.0,
        grouped(rate.median)
    );
}

fn legend(body: &mut String, top: f64) {
    let (y, text_y) = (top, top + 11.0);
    let mut x = LEFT;
    for (fill, text, width) in [(OURS, "lispguard", 100.0), (OTHERS, "others", 80.0)] {
        let _ = writeln!(
            body,
            "<rect x=\"{x}\" y=\"{y}\" width=\"14\" height=\"14\" fill=\"{fill}\"/>\
             <text x=\"{}\" y=\"{text_y}\" font-size=\"12\">{text}</text>",
            x + 20.0
        );
        x += width;
    }
    let (middle, end) = (top + 7.0, x + 24.0);
    let _ = writeln!(
        body,
        "<path d=\"M{x} {middle}H{end}M{x} {0}v8M{end} {0}v8\" stroke=\"{INK}\" \
         stroke-width=\"1.5\" fill=\"none\"/>\
         <text x=\"{1}\" y=\"{text_y}\" font-size=\"12\">bar: median run; line: lowest to highest \
         run</text>",
        middle - 4.0,
        end + 8.0
    );
}

/// From zero to a little beyond the longest bar that is not cut.
struct Axis {
    end: f64,
    step: f64,
}

impl Axis {
    fn over(bars: &[(&Row, Summary)]) -> Axis {
        let longest = |is_wanted: &dyn Fn(&Row) -> bool| {
            let wanted = bars.iter().filter(|(row, _)| is_wanted(row));
            wanted.map(|(_, rate)| rate.max).fold(0.0, f64::max)
        };
        let (all, tunnels) = (longest(&|_| true), longest(&|row| row.case != Case::Routed.name()));
        let longest = if tunnels > 0.0 && all > CUT * tunnels { tunnels } else { all };
        let step = nice_step(longest / 5.0);
        Axis { end: (longest / step).ceil().max(1.0) * step, step }
    }

    /// Where a value stands; what is cut ends a little beyond the axis.
    fn x(&self, value: f64) -> f64 {
        const ROOM: f64 = 0.88;
        let part = value / self.end;
        LEFT + BARS * ROOM * if part > 1.0 { 1.05 } else { part }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let (step, count) = (self.step, (self.end / self.step).round() as u32);
        (0..=count).map(move |number| f64::from(number) * step)
    }
}

/// 1, 2 or 5 times a power of ten that is not less than this.
pub(super) fn nice_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-3).log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power);
    step.into_iter().find(|step| *step >= least).unwrap_or(10.0 * power)
}

/// With commas between thousands, and one decimal where it tells something.
pub(super) fn grouped(value: f64) -> String {
    let text = if value < 10.0 && value.fract() > 0.049 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    };
    let whole = text.find('.').unwrap_or(text.len());
    let mut grouped = String::new();
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index < whole && (whole - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(character);
    }
    grouped
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn row(case: Case, traffic: Traffic, median: f64) -> Row {
        let rate = Summary { min: median * 0.9, median, max: median * 1.1 };
        Row {
            case: case.name(),
            traffic: traffic.name(),
            mbit_s: Some(rate),
            cpu_s_per_gb: None,
            user_packets_per_10000: None,
        }
    }

    /// Every tag is closed in turn, and no bare ampersand stands anywhere.
    pub(in super::super) fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        for part in svg.split('<').skip(1) {
            let (tag, text) = part.split_once('>').expect("a tag ends");
            assert!(!text.contains('>') && !part.contains('&'), "{part}");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "{svg}");
            } else if !tag.ends_with('/') {
                open.push(tag.split_whitespace().next().expect("a tag has a name"));
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn a_drawing_is_well_formed_and_names_everything() {
        let mut rows = Vec::new();
        for traffic in Traffic::ALL {
            for (index, case) in Case::ALL.into_iter().enumerate() {
                rows.push(row(case, traffic, 10_000.0 / (1.0 + index as f64 * 10.0)));
            }
        }
        rows.push(Row { mbit_s: None, ..rows[0] });
        let svg = draw(&rows);
        assert_well_formed(&svg);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        for text in ["Throughput between two sites", "wireguard-go", "median run", "64 octets"] {
            assert!(svg.contains(text), "{text}");
        }
        assert_eq!(svg.matches("10,000 (cut)").count(), 3, "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn nothing_and_zero_are_drawn_too() {
        assert_well_formed(&draw(&[]));
        let svg = draw(&[row(Case::Userspace, Traffic::Udp64, 0.0)]);
        assert_well_formed(&svg);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn numbers_are_grouped_and_steps_are_round() {
        for (value, text) in [(0.0, "0"), (9.96, "10.0"), (3.0, "3"), (1234.5, "1,234")] {
            assert_eq!(grouped(value), text);
        }
        assert_eq!(grouped(12_345_678.0), "12,345,678");
        for (least, step) in [(130.0, 200.0), (200.0, 200.0), (0.7, 1.0), (51.0, 100.0)] {
            assert_eq!(nice_step(least), step);
        }
    }
}
