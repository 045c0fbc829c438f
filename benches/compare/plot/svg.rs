//! A picture as text: a few shapes and words. It has no background of its own and only colours that show on white and
//! on black; no script, and no style sheet that a host may strip.

use std::fmt::Write;

/// Of every picture, in pixels.
pub(super) const WIDTH: f64 = 760.0;

/// Words and thin lines: equally far from white and from the black of a dark page.
pub(super) const INK: &str = "#717a85";

/// Where the given point is in a text.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How big words are.
#[derive(Clone, Copy)]
pub(super) enum Size {
    Title,
    Label,
    Small,
}

impl Size {
    fn attributes(self) -> &'static str {
        match self {
            Self::Title => r#"font-size="16" font-weight="600""#,
            Self::Label => r#"font-size="13" font-weight="600""#,
            Self::Small => r#"font-size="12" font-weight="400""#,
        }
    }
}

/// A point, from the upper left corner.
pub(super) type Point = (f64, f64);

/// A picture in the making.
pub(super) struct Svg {
    title: String,
    height: f64,
    shapes: String,
}

impl Svg {
    /// An empty picture with its title and, below it, what is shown in which unit.
    pub(super) fn new(title: &str, subtitle: &str, height: f64) -> Self {
        let mut svg = Self { title: title.to_owned(), height, shapes: String::new() };
        svg.text((0.0, 20.0), Anchor::Start, Size::Title, INK, title);
        svg.text((0.0, 40.0), Anchor::Start, Size::Small, INK, subtitle);
        svg
    }

    pub(super) fn text(&mut self, (x, y): Point, anchor: Anchor, size: Size, color: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (font, text) = (size.attributes(), escaped(text));
        self.shape(&format!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" {font} fill="{color}">{text}</text>"#
        ));
    }

    /// A name and, behind it, more about it.
    pub(super) fn label(&mut self, (x, y): Point, name: &str, more: &str) {
        let (label, small) = (Size::Label.attributes(), Size::Small.attributes());
        let (name, more) = (escaped(name), escaped(more));
        self.shape(&format!(
            r#"<text x="{x:.1}" y="{y:.1}" fill="{INK}" {label}>{name}<tspan dx="8" {small}>{more}</tspan></text>"#
        ));
    }

    /// A filled box from its upper left corner; `opacity` of 1 hides what is below it.
    pub(super) fn area(&mut self, (x, y): Point, width: f64, height: f64, color: &str, opacity: f64) {
        self.shape(&format!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{color}" fill-opacity="{opacity}"/>"#
        ));
    }

    /// A thin line.
    pub(super) fn line(&mut self, (x1, y1): Point, (x2, y2): Point, opacity: f64) {
        self.shape(&format!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{INK}" stroke-opacity="{opacity}"/>"#
        ));
    }

    /// A line through points, with a dot on each.
    pub(super) fn curve(&mut self, points: &[Point], color: &str) {
        let mut path = String::new();
        for (x, y) in points {
            // Writing to a string does not fail.
            let _ = write!(path, "{x:.1},{y:.1} ");
            self.shape(&format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{color}"/>"#));
        }
        let path = path.trim_end();
        self.shape(&format!(r#"<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>"#));
    }

    /// The file's text.
    pub(super) fn finish(self) -> String {
        let Self { title, height, shapes } = self;
        let title = escaped(&title);
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img" font-family="system-ui, sans-serif">
<title>{title}</title>
{shapes}</svg>
"#
        )
    }

    fn shape(&mut self, shape: &str) {
        self.shapes.push_str(shape);
        self.shapes.push('\n');
    }
}

/// XML 1.0 section 2.4. Control characters, which no XML may hold, become spaces.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}
