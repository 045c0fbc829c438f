//! Curves over a number that grows by factors, each with its name at its right end.

use super::svg::{Anchor, INK, Point, Size, Svg, WIDTH};
use super::{color, figure};

const HEIGHT: f64 = 360.0;
const LEFT: f64 = 40.0;
/// For the names.
const RIGHT: f64 = WIDTH - 130.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = HEIGHT - 48.0;
/// Between two names.
const LINE: f64 = 16.0;
const MOST_TICKS: f64 = 6.0;

/// A chart of curves.
pub(super) struct Curves {
    pub(super) title: &'static str,
    pub(super) subtitle: &'static str,
    /// What grows.
    pub(super) along: &'static str,
    /// From the least to the most, all above zero.
    pub(super) at: Vec<f64>,
    pub(super) rows: Vec<Curve>,
}

/// A row.
pub(super) struct Curve {
    pub(super) name: String,
    /// One for each of `Curves::at`.
    pub(super) values: Vec<f64>,
}

impl Curves {
    pub(super) fn draw(&self) -> String {
        let mut svg = Svg::new(self.title, self.subtitle, HEIGHT);
        let most = self.rows.iter().flat_map(|row| &row.values).copied().fold(f64::MIN_POSITIVE, f64::max);
        let step = step(most);
        let ceiling = (most / step).ceil() * step;
        self.grid(&mut svg, step, ceiling);
        let mut ends = Vec::new();
        for row in &self.rows {
            let points: Vec<Point> =
                self.at.iter().zip(&row.values).map(|(at, value)| (self.x(*at), y(*value, ceiling))).collect();
            svg.curve(&points, color(&row.name));
            ends.extend(points.last().map(|(_, y)| (*y, row.name.as_str())));
        }
        names(&mut svg, ends);
        svg.finish()
    }

    fn grid(&self, svg: &mut Svg, step: f64, ceiling: f64) {
        let mut value = 0.0;
        while value <= ceiling + step / 2.0 {
            let y = y(value, ceiling);
            svg.line((LEFT, y), (RIGHT, y), if value == 0.0 { 1.0 } else { 0.25 });
            svg.text((LEFT - 8.0, y + 4.0), Anchor::End, Size::Small, INK, &value.to_string());
            value += step;
        }
        for at in &self.at {
            let x = self.x(*at);
            svg.line((x, BOTTOM), (x, BOTTOM + 5.0), 1.0);
            svg.text((x, BOTTOM + 20.0), Anchor::Middle, Size::Small, INK, figure(*at).trim_end_matches(".0"));
        }
        svg.text(((LEFT + RIGHT) / 2.0, BOTTOM + 40.0), Anchor::Middle, Size::Small, INK, self.along);
    }

    /// By its logarithm.
    fn x(&self, at: f64) -> f64 {
        let (Some(least), Some(most)) = (self.at.first(), self.at.last()) else { return LEFT };
        // One point alone has no width to stand in.
        let whole = (most / least).ln().max(f64::MIN_POSITIVE);
        LEFT + 12.0 + (RIGHT - LEFT - 24.0) * (at / least).ln() / whole
    }
}

fn y(value: f64, ceiling: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * value / ceiling
}

/// Names beside the ends of curves, moved down where they would cover each other.
fn names(svg: &mut Svg, mut ends: Vec<(f64, &str)>) {
    ends.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut free = f64::MIN;
    for (y, name) in ends {
        let y = y.max(free);
        svg.text((RIGHT + 8.0, y + 4.0), Anchor::Start, Size::Label, color(name), name);
        free = y + LINE;
    }
}

/// Between two lines of the grid: 1, 2 or 5 times a power of ten.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf((most / MOST_TICKS).log10().floor());
    let enough = |factor: &f64| most / (factor * power) <= MOST_TICKS;
    [1.0, 2.0, 5.0].into_iter().find(enough).unwrap_or(10.0) * power
}
