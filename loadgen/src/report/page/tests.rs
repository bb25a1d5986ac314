//! Tests of the frame: contrast of its colours, and what every page must keep to.

use std::collections::HashMap;

use super::*;

const CSS: &str = include_str!("../../../assets/page.css");
/// Largest size of a page in bytes.
const PAGE_MAX: usize = 1 << 20;

/// What every page keeps to: well-formed, small, and nothing in it that is fetched.
pub(in crate::report) fn assert_sound(page: &str) {
    assert!(page.len() < PAGE_MAX, "{} bytes", page.len());
    assert_well_formed(page);
    assert_offline(page);
    assert_eq!(page.matches("<h1>").count(), 1, "a page asks one question");
    for part in ["<html lang=\"en\">", "name=\"viewport\"", "class=\"skip\" href=\"#main\"", "<main id=\"main\">"] {
        assert!(page.contains(part), "{part} is missing");
    }
}

/// Every element is closed in order; void elements need no end; no id stands twice.
fn assert_well_formed(page: &str) {
    let mut open = Vec::new();
    let mut ids = Vec::new();
    let mut rest = page;
    while let Some((_, tail)) = rest.split_once('<') {
        let (tag, after) = tail.split_once('>').expect("a tag without an end");
        rest = after;
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap();
        ids.extend(tag.split_once(" id=\"").map(|(_, id)| id.split('"').next().unwrap()));
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !tag.ends_with('/') && !["!doctype", "meta"].contains(&name) {
            open.push(name);
        }
        // What stands in these is no markup.
        if ["script", "style"].contains(&name) && !tag.starts_with('/') {
            let end = rest.find(&format!("</{name}>")).expect("an end");
            rest = &rest[end..];
        }
    }
    assert!(open.is_empty(), "{open:?}");
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "an id stands twice");
}

/// Nothing is loaded: no reference but to a place within the page, and the policy that forbids it.
fn assert_offline(page: &str) {
    assert!(page.contains("Content-Security-Policy\" content=\"default-src 'none'; "));
    for reference in [" src=", "url(", "@import", "<link", "<iframe", "<img", "<object", "fetch(", "XMLHttpRequest"] {
        assert!(!page.contains(reference), "{reference} refers to something outside the page");
    }
    for (at, _) in page.match_indices("href=") {
        assert!(page[at..].starts_with("href=\"#"), "{}", &page[at..(at + 60).min(page.len())]);
    }
}

type Rgb = [f64; 3];

/// The colours of the style sheet: name to light and dark.
fn colours() -> HashMap<&'static str, [Rgb; 2]> {
    let rgb = |text: &str| -> Rgb {
        let digits = text.trim().strip_prefix('#').expect("a colour is written #rrggbb");
        [0, 2, 4].map(|at| f64::from(u8::from_str_radix(&digits[at..at + 2], 16).unwrap()) / 255.0)
    };
    let pair = |(name, value): (&'static str, &'static str)| {
        let (light, dark) = value.split_once(')')?.0.trim().strip_prefix("light-dark(")?.split_once(',')?;
        Some((name.trim().rsplit("--").next()?, [rgb(light), rgb(dark)]))
    };
    CSS.split(';').filter_map(|part| part.rsplit_once(':').and_then(pair)).collect()
}

/// Relative luminance (WCAG 2.2, definitions).
fn luminance(colour: Rgb) -> f64 {
    let linear = |c: f64| if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
    0.2126 * linear(colour[0]) + 0.7152 * linear(colour[1]) + 0.0722 * linear(colour[2])
}

/// Contrast ratio (WCAG 2.2, definitions): 1 to 21.
fn contrast(one: Rgb, other: Rgb) -> f64 {
    let (a, b) = (luminance(one), luminance(other));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn the_ratio_is_the_one_of_the_standard() {
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
    // #767676 on white is the well-known lightest grey that passes.
    assert!((contrast([118.0 / 255.0; 3], [1.0; 3]) - 4.54).abs() < 0.005);
}

#[test]
fn every_text_and_every_line_stands_out_in_light_and_dark() {
    let colours = colours();
    assert!(colours.len() >= 20, "{:?}", colours.keys());
    let text = [
        ("ink", &["paper", "card", "good-back", "bad-back", "open-back", "band"][..]),
        ("muted", &["paper", "card", "good-back", "bad-back", "open-back", "band"]),
        ("good", &["paper", "card", "good-back", "band"]),
        ("bad", &["paper", "card", "bad-back", "band"]),
        ("open", &["paper", "card", "open-back", "band"]),
        ("focus", &["paper", "card"]),
    ];
    let lines =
        ["blue", "vermilion", "green", "purple", "orange", "sky", "grey"].map(|name| (name, &["paper", "band"][..]));
    let mut weak = Vec::new();
    for (least, pairs) in [(4.5, &text[..]), (3.0, &lines[..])] {
        for (front, backs) in pairs {
            for back in *backs {
                for (theme, at) in [("light", 0), ("dark", 1)] {
                    let ratio = contrast(colours[front][at], colours[back][at]);
                    if ratio < least {
                        weak.push(format!("{front} on {back}, {theme}: {ratio:.2}, expected {least}"));
                    }
                }
            }
        }
    }
    assert_eq!(weak, Vec::<String>::new());
}

#[test]
fn the_library_is_the_one_that_is_recorded() {
    let recorded = include_str!("../../../assets/uplot/README.md");
    let library = include_bytes!("../../../assets/uplot/uPlot.iife.min.js");
    assert!(library.starts_with(b"/*! https://github.com/leeoniya/uPlot (v1.6.32) */"));
    assert!(recorded.contains("1.6.32") && recorded.contains(&format!("| {} |", library.len())));
}

#[test]
fn data_cannot_end_the_element_it_stands_in() {
    let text = contained(&json!(["</script><script>alert(1)</script>"]));
    assert!(!text.contains('<'));
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()[0], "</script><script>alert(1)</script>");
}
