//! One plot as inline SVG: lines over a linear or logarithmic axis, with a legend, and nothing that runs.

use std::fmt::Write;

/// Size of a plot in its own units; small, so that a telephone shows its letters at a size that can be read.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 260.0;
/// Space for the words at the axes.
const LEFT: f64 = 54.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;
/// Points of one line that are drawn; more lie closer than a pixel.
const POINTS_MAX: usize = 400;
/// Lines with so few points get a mark at each.
const MARKED: usize = 12;
/// Marks that an axis aims at.
const TICKS: f64 = 5.0;
/// Lowest value on a logarithmic axis, as a share of the highest.
const LOG_SPAN: f64 = 1e-6;

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Series {
    pub(crate) fn new(name: &str, points: Vec<(f64, f64)>) -> Series {
        Series {
            name: name.to_owned(),
            points,
        }
    }
}

/// One plot.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    title: &'static str,
    x: &'static str,
    y: &'static str,
    series: Vec<Series>,
    log_x: bool,
}

/// An axis: where values lie between its ends.
#[derive(Clone, Copy, Debug)]
struct Axis {
    low: f64,
    high: f64,
    log: bool,
}

impl Axis {
    /// A linear axis from 0 to a round number.
    fn linear(values: impl Iterator<Item = f64>) -> Axis {
        let high = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let high = if high > 0.0 { high } else { 1.0 };
        let step = step(high);
        Axis {
            low: 0.0,
            high: (high / step).ceil() * step,
            log: false,
        }
    }

    fn logarithmic(values: impl Iterator<Item = f64> + Clone) -> Axis {
        let positive = values.filter(|value| value.is_finite() && *value > 0.0);
        let high = positive.clone().fold(f64::MIN_POSITIVE, f64::max);
        let low = positive.fold(high, f64::min).max(high * LOG_SPAN);
        Axis {
            low: 10f64.powf(low.log10().floor()),
            // Never an axis without length.
            high: 10f64
                .powf(high.log10().ceil())
                .max(10f64.powf(low.log10().floor() + 1.0)),
            log: true,
        }
    }

    /// 0 at the low end, 1 at the high one.
    fn place(self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        share.clamp(0.0, 1.0)
    }

    fn ticks(self) -> Vec<f64> {
        if self.log {
            let (low, high) = (self.low.log10().round() as i32, self.high.log10().round() as i32);
            return (low..=high).map(|power| 10f64.powi(power)).collect();
        }
        let step = step(self.high);
        let count = (self.high / step).round() as i32;
        (0..=count).map(|n| f64::from(n) * step).collect()
    }
}

/// A round distance between marks: 1, 2 or 5 times a power of ten.
fn step(high: f64) -> f64 {
    let rough = high / TICKS;
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * power >= rough * 0.999_999);
    factor.unwrap_or(10.0) * power
}

/// A number without digits that say nothing.
fn number(value: f64) -> String {
    let text = if value >= 1_000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.4}")
    };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Text that may hold anything, for HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

impl Chart {
    pub(crate) fn new(title: &'static str, x: &'static str, y: &'static str, series: Vec<Series>) -> Chart {
        Chart {
            title,
            x,
            y,
            series,
            log_x: false,
        }
    }

    /// With powers of ten at equal distances below.
    pub(crate) fn with_log_x(mut self) -> Chart {
        self.log_x = true;
        self
    }

    /// Whether there is anything to draw.
    pub(crate) fn is_empty(&self) -> bool {
        self.series.iter().all(|series| series.points.is_empty())
    }

    /// The plot with its title and legend.
    pub(crate) fn figure(&self) -> String {
        let points = || self.series.iter().flat_map(|series| series.points.iter());
        let xs = points().map(|(x, _)| *x);
        let x = if self.log_x {
            Axis::logarithmic(xs)
        } else {
            Axis::linear(xs)
        };
        let y = Axis::linear(points().map(|(_, y)| *y));
        let mut svg = String::new();
        axes(&mut svg, x, y);
        for (index, series) in self.series.iter().enumerate() {
            line(&mut svg, &series.points, x, y, index + 1);
        }
        let (middle, base) = (LEFT + (WIDTH - LEFT - RIGHT) / 2.0, HEIGHT - 6.0);
        let mut legend = String::new();
        for (index, series) in self.series.iter().enumerate() {
            let _ = write!(legend, "<li class=\"s{}\">{}</li>", index + 1, escaped(&series.name));
        }
        let title = escaped(self.title);
        format!(
            "<figure><figcaption>{title} <span>{}</span></figcaption><ul class=\"legend\">{legend}</ul>\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}, {} over {}\">{svg}\
             <text class=\"name\" x=\"{middle}\" y=\"{base}\" text-anchor=\"middle\">{}</text></svg></figure>\n",
            escaped(self.y),
            escaped(self.y),
            escaped(self.x),
            escaped(self.x),
        )
    }
}

fn at_x(axis: Axis, value: f64) -> f64 {
    LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)
}

fn at_y(axis: Axis, value: f64) -> f64 {
    HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)
}

fn axes(svg: &mut String, x: Axis, y: Axis) {
    // Writing to a string does not fail.
    for tick in y.ticks() {
        let (at, text) = (at_y(y, tick), number(tick));
        let (right, label) = (WIDTH - RIGHT, LEFT - 6.0);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{label}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            at + 4.0,
        );
    }
    for tick in x.ticks() {
        let (at, text) = (at_x(x, tick), number(tick));
        let (bottom, label) = (HEIGHT - BOTTOM, HEIGHT - BOTTOM + 16.0);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
             <text x=\"{at:.1}\" y=\"{label}\" text-anchor=\"middle\">{text}</text>",
        );
    }
}

fn line(svg: &mut String, points: &[(f64, f64)], x: Axis, y: Axis, class: usize) {
    let every = points.len().div_ceil(POINTS_MAX).max(1);
    let drawn = points.iter().enumerate();
    // The last point is always drawn: it is where a line ends.
    let drawn = drawn.filter(|(index, _)| index % every == 0 || index + 1 == points.len());
    let mut path = String::new();
    for (_, (px, py)) in drawn {
        let _ = write!(path, "{:.1},{:.1} ", at_x(x, *px), at_y(y, *py));
    }
    let _ = write!(svg, "<polyline class=\"s{class}\" points=\"{}\"/>", path.trim_end());
    if points.len() <= MARKED {
        for (px, py) in points {
            let (px, py) = (at_x(x, *px), at_y(y, *py));
            let _ = write!(
                svg,
                "<circle class=\"s{class}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3\"/>"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_begin_at_zero_and_end_at_a_round_number() {
        let ticks = |values: &[f64]| Axis::linear(values.iter().copied()).ticks();
        assert_eq!(ticks(&[3.0, 9.3]), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(&[0.0]), ticks(&[1.0]), "nothing above zero still has an axis");
        let log = Axis::logarithmic([0.05, 3.0].into_iter());
        let shown: Vec<String> = log.ticks().into_iter().map(number).collect();
        assert_eq!(shown, ["0.01", "0.1", "1", "10"]);
        assert_eq!(log.place(0.1), 1.0 / 3.0);
    }

    #[test]
    fn a_plot_stays_inside_its_frame_and_escapes_its_words() {
        let series = Series::new("a<b", vec![(0.0, 5.0), (1e12, f64::from(u32::MAX)), (7.0, 0.0)]);
        let svg = Chart::new("t", "x", "y & z", vec![series]).figure();
        assert!(svg.contains("a&lt;b") && svg.contains("y &amp; z"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let points = svg.split("points=\"").nth(1).and_then(|rest| rest.split('"').next());
        for point in points.expect("a line").split(' ') {
            let (x, y) = point.split_once(',').expect("two numbers");
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((LEFT..=WIDTH - RIGHT).contains(&x) && (TOP..=HEIGHT - BOTTOM).contains(&y));
        }
    }

    #[test]
    fn a_long_line_is_thinned_and_keeps_its_end() {
        let points: Vec<_> = (0..10_000).map(|n| (f64::from(n), 1.0)).collect();
        let mut svg = String::new();
        let x = Axis::linear(points.iter().map(|point| point.0));
        line(&mut svg, &points, x, x, 1);
        assert!(svg.matches(',').count() <= POINTS_MAX + 1);
        let end = format!("{:.1},", at_x(x, 9_999.0));
        assert!(svg.contains(&end), "{end}");
    }
}
