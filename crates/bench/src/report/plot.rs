//! Plots as SVG, written by hand: lines over a logarithmic axis, readable on a light and on a dark page.

use std::fmt::Write as _;

use super::record::Record;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 52.0;

/// What a letter of the legend takes on average, and what is between two entries.
const LETTER: f64 = 6.4;
const BETWEEN: f64 = 28.0;

/// Colours that are told apart without telling red from green.
const COLOURS: [&str; 4] = ["#0072b2", "#e69f00", "#56b4e9", "#cc79a7"];

/// One picture: how something grows.
pub(crate) struct Plot {
    /// The file's name, without its ending.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What grows, from left to right.
    pub(crate) across: &'static str,
    /// What is measured of it, and by what its numbers are divided.
    pub(crate) upward: &'static str,
    pub(crate) divisor: f64,
    pub(crate) lines: &'static [Line],
}

/// One line of it.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// How much there is, and which metric says what it costs then.
    pub(crate) points: &'static [(f64, &'static str)],
}

/// Every plot.
pub(crate) const PLOTS: &[Plot] = &[
    Plot {
        name: "subscribers-rate",
        title: "Deliveries a second, by subscribers",
        across: "subscribers",
        upward: "million/s",
        divisor: 1e6,
        lines: &[
            Line { name: "Moorline", points: &[(1.0, "fanout.1"), (10.0, "fanout.10"), (100.0, "fanout.100")] },
            Line {
                name: "NATS core",
                points: &[(1.0, "nats.core_1"), (10.0, "nats.core_10"), (100.0, "nats.core_100")],
            },
            Line {
                name: "bare WebSocket, batched",
                points: &[
                    (1.0, "websocket.batched_1"),
                    (10.0, "websocket.batched_10"),
                    (100.0, "websocket.batched_100"),
                ],
            },
            Line {
                name: "bare WebSocket, flushed",
                points: &[
                    (1.0, "websocket.flushed_1"),
                    (10.0, "websocket.flushed_10"),
                    (100.0, "websocket.flushed_100"),
                ],
            },
        ],
    },
    Plot {
        name: "subscribers-cpu",
        title: "The gateway's processor time for a delivery, by subscribers",
        across: "subscribers",
        upward: "µs",
        divisor: 1.0,
        lines: &[Line {
            name: "Moorline",
            points: &[(1.0, "fanout.cpu_1"), (10.0, "fanout.cpu_10"), (100.0, "fanout.cpu_100")],
        }],
    },
    Plot {
        name: "events-memory",
        title: "The gateway's peak memory, by events of one job",
        across: "events",
        upward: "MiB",
        divisor: 1.0,
        lines: &[Line { name: "one job", points: &[(250_000.0, "million.one_quarter"), (1_000_000.0, "million.one")] }],
    },
    Plot {
        name: "jobs-memory",
        title: "The gateway's peak memory, by jobs of 100 events",
        across: "jobs",
        upward: "MiB",
        divisor: 1.0,
        lines: &[Line { name: "64 at once", points: &[(2_500.0, "million.many_quarter"), (10_000.0, "million.many")] }],
    },
    Plot {
        name: "sessions-memory",
        title: "What a session needs in memory, by sessions",
        across: "sessions",
        upward: "KiB",
        divisor: 1.0,
        lines: &[
            Line {
                name: "idle, with heartbeats",
                points: &[(1_000.0, "idle.memory_tenth"), (10_000.0, "idle.memory")],
            },
            Line { name: "parked", points: &[(500.0, "idle.parked_tenth"), (4_500.0, "idle.parked")] },
        ],
    },
];

impl Plot {
    /// The picture; none if none of it was measured.
    pub(crate) fn draw(&self, record: &Record) -> Option<String> {
        let value = |key: &str| record.metrics.get(key).map(|measured| measured.median / self.divisor);
        let lines: Vec<(&str, Vec<(f64, f64)>)> = self
            .lines
            .iter()
            .map(|line| (line.name, line.points.iter().filter_map(|(at, key)| Some((*at, value(key)?))).collect()))
            .filter(|(_, points): &(_, Vec<_>)| !points.is_empty())
            .collect();
        let all: Vec<(f64, f64)> = lines.iter().flat_map(|(_, points)| points).copied().collect();
        let least = all.iter().map(|(at, _)| at.log10()).reduce(f64::min)?;
        let most = all.iter().map(|(at, _)| at.log10()).reduce(f64::max)?;
        let top = round_up(all.iter().map(|(_, value)| *value).fold(0.0, f64::max));
        let span = (most - least).max(0.1);
        let x = |at: f64| LEFT + (at.log10() - least) / span * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
        let mut svg = Svg::begin(self);
        for quarter in 0..=4 {
            let value = top * f64::from(quarter) / 4.0;
            svg.rule(LEFT, y(value), WIDTH - RIGHT, y(value));
            svg.text(LEFT - 8.0, y(value) + 4.0, "end", &tick(value));
        }
        let mut marks: Vec<f64> = all.iter().map(|(at, _)| *at).collect();
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        for at in marks {
            svg.text(x(at), HEIGHT - BOTTOM + 20.0, "middle", &tick(at));
        }
        svg.text(f64::midpoint(LEFT, WIDTH - RIGHT), HEIGHT - 10.0, "middle", self.across);
        svg.text(LEFT - 8.0, TOP - 12.0, "end", self.upward);
        let mut across = LEFT + 12.0;
        for ((name, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
            svg.line(colour, points.iter().map(|(at, value)| (x(*at), y(*value))));
            svg.legend(across, TOP - 12.0, colour, name);
            across += legend_width(name);
        }
        Some(svg.end())
    }
}

/// The next number of one digit and zeros, so that ticks are round.
fn round_up(value: f64) -> f64 {
    let step = 10_f64.powf(value.max(1e-9).log10().floor());
    (value / step).ceil().max(1.0) * step
}

fn tick(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} M", value / 1e6),
        value if value >= 1e4 => format!("{} k", value / 1e3),
        // Two digits, and no zeros after them.
        value => format!("{}", (value * 100.0).round() / 100.0),
    }
}

/// The room that a line's name takes in the legend.
fn legend_width(name: &str) -> f64 {
    f64::from(u32::try_from(name.chars().count()).unwrap_or_default()) * LETTER + BETWEEN
}

struct Svg(String);

impl Svg {
    fn begin(plot: &Plot) -> Self {
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<title>{}</title>\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"18\" font-size=\"14\" font-weight=\"bold\">{}</text>\n",
            plot.title, plot.title
        ))
    }

    fn put(&mut self, args: std::fmt::Arguments<'_>) {
        // Writing into a text does not fail.
        writeln!(self.0, "{args}").unwrap_or_default();
    }

    fn rule(&mut self, x1: f64, y1: f64, x2: f64, y2: f64) {
        self.put(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#d0d0d0\"/>"
        ));
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        self.put(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"));
    }

    fn line(&mut self, colour: &str, points: impl Iterator<Item = (f64, f64)>) {
        let points: Vec<(f64, f64)> = points.collect();
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.put(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        ));
        for (x, y) in points {
            self.put(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>"));
        }
    }

    fn legend(&mut self, x: f64, y: f64, colour: &str, name: &str) {
        self.put(format_args!("<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>", y - 4.0));
        self.text(x + 8.0, y, "start", name);
    }

    fn end(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metric;

    #[test]
    fn every_point_is_a_metric() {
        for (_, key) in PLOTS.iter().flat_map(|plot| plot.lines).flat_map(|line| line.points) {
            assert!(Metric::find(key).is_some(), "{key}");
        }
    }

    #[test]
    fn the_names_of_all_lines_stand_beside_each_other() {
        for plot in PLOTS {
            let width: f64 = plot.lines.iter().map(|line| legend_width(line.name)).sum();
            assert!(LEFT + width < WIDTH, "{}", plot.name);
        }
    }

    #[test]
    fn ticks_have_no_digits_that_say_nothing() {
        let ticks = [0.0, 0.125, 2.5, 5.0, 7.5, 1_000.0, 10_000.0, 1_500_000.0].map(tick);
        assert_eq!(ticks, ["0", "0.13", "2.5", "5", "7.5", "1000", "10 k", "1.5 M"]);
    }

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, top) in [(0.9, 0.9), (1.1, 2.0), (37.0, 40.0), (812_345.0, 900_000.0)] {
            assert!((round_up(value) - top).abs() < top * 1e-9, "{value}");
        }
    }
}
