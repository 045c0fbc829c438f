//! Horizontal bars: a line of words for each row, and its figure below it.

use super::svg::{Anchor, INK, Size, Svg, WIDTH};
use super::{color, figure};

const TOP: f64 = 58.0;
const ROW: f64 = 48.0;
const BAR: f64 = 18.0;
/// Right of the longest bar, for its figure.
const FIGURE: f64 = 90.0;
/// Of a part's name, with the room between two.
const PART: f64 = 86.0;
/// Of the parts of a bar, from the left.
const OPACITY: [f64; 2] = [1.0, 0.45];

/// A chart of bars.
pub(super) struct Bars {
    pub(super) title: &'static str,
    pub(super) subtitle: &'static str,
    pub(super) unit: &'static str,
    /// What the parts of each bar are; without names, there is but one.
    pub(super) parts: &'static [&'static str],
    pub(super) rows: Vec<Bar>,
}

/// A row.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) does: String,
    /// Lengths, as `Bars::parts`.
    pub(super) parts: Vec<f64>,
    /// The least and the most that single rounds had.
    pub(super) spread: Option<(f64, f64)>,
}

impl Bar {
    fn total(&self) -> f64 {
        self.parts.iter().sum()
    }

    fn end(&self) -> f64 {
        self.spread.map_or(0.0, |(_, most)| most).max(self.total())
    }
}

impl Bars {
    pub(super) fn draw(&self) -> String {
        let mut svg = Svg::new(self.title, self.subtitle, TOP + ROW * self.rows.len() as f64);
        self.legend(&mut svg);
        let longest = self.rows.iter().map(Bar::end).fold(f64::MIN_POSITIVE, f64::max);
        let scale = (WIDTH - FIGURE) / longest;
        for (index, row) in self.rows.iter().enumerate() {
            self.row(&mut svg, row, TOP + ROW * index as f64, scale);
        }
        svg.finish()
    }

    /// The names of the parts, at the right edge.
    fn legend(&self, svg: &mut Svg) {
        let mut left = WIDTH - PART * self.parts.len() as f64;
        for (part, opacity) in self.parts.iter().zip(OPACITY) {
            svg.area((left, 30.0), 12.0, 12.0, INK, opacity);
            svg.text((left + 18.0, 40.0), Anchor::Start, Size::Small, INK, part);
            left += PART;
        }
    }

    fn row(&self, svg: &mut Svg, row: &Bar, top: f64, scale: f64) {
        svg.label((0.0, top + 13.0), &row.name, &row.does);
        let top = top + 19.0;
        let mut left = 0.0;
        for (part, opacity) in row.parts.iter().zip(OPACITY) {
            svg.area((left, top), part * scale, BAR, color(&row.name), opacity);
            left += part * scale;
        }
        if let Some((least, most)) = row.spread {
            whisker(svg, least * scale, most * scale, top + BAR / 2.0);
        }
        let text = format!("{} {}", figure(row.total()), self.unit);
        svg.text((row.end() * scale + 8.0, top + 14.0), Anchor::Start, Size::Label, INK, &text);
    }
}

fn whisker(svg: &mut Svg, left: f64, right: f64, middle: f64) {
    svg.line((left, middle), (right, middle), 1.0);
    for end in [left, right] {
        svg.line((end, middle - 4.0), (end, middle + 4.0), 1.0);
    }
}
