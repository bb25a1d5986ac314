//! The frame that all pages share: one template, one style sheet, one script, the charts' data.
//!
//! A page is one file that needs nothing else, not even a network: everything is inlined, and its
//! content security policy forbids whatever would be fetched. Templates escape every value but the
//! drawings, which this program made itself. Without a script the drawings stay.
//! Contrast: WCAG 2.2, 1.4.3 and 1.4.11; the tests compute it from the style sheet.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Value, json};

use super::plot::Picture;

/// Renders one page. `template` extends `base.html`, whose header says which values it needs;
/// `pictures` arrive in it under that name and as the data of the charts.
///
/// # Errors
/// What the template engine says; only a fault in a template can cause it.
pub(super) fn render(
    name: &str,
    template: &str,
    mut values: Value,
    pictures: &[Picture],
) -> Result<String, minijinja::Error> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_template("macros.html", include_str!("../../assets/macros.html"))?;
    templates.add_template("base.html", include_str!("../../assets/base.html"))?;
    templates.add_template(name, template)?;
    if let (Value::Object(values), Value::Object(frame)) = (&mut values, frame(pictures)) {
        values.extend(frame);
    }
    templates.get_template(name)?.render(Serde(values))
}

/// What the frame needs on every page.
fn frame(pictures: &[Picture]) -> Value {
    json!({
        "css": include_str!("../../assets/page.css"),
        "script": concat!(include_str!("../../assets/page.js"), include_str!("../../assets/charts.js")),
        "library": include_str!("../../assets/uplot/uPlot.iife.min.js"),
        "library_css": include_str!("../../assets/uplot/uPlot.min.css"),
        "notice": include_str!("../../assets/uplot/LICENSE"),
        "island": island(pictures),
        "pictures": pictures.iter().map(picture_value).collect::<Vec<_>>(),
    })
}

/// The charts' data.
fn island(pictures: &[Picture]) -> String {
    let live = |picture: &Picture| picture.drawn.as_ref().ok()?.live.clone();
    contained(&pictures.iter().filter_map(live).collect())
}

/// JSON that cannot end the element it stands in, whatever its texts are.
fn contained(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

fn picture_value(picture: &Picture) -> Value {
    let (stem, caption) = (picture.stem, &picture.caption);
    match &picture.drawn {
        Ok(drawn) => json!({
            "stem": stem,
            "caption": caption,
            "title": drawn.title(),
            "svg": inline(&drawn.svg, caption),
            "live": drawn.live.is_some(),
        }),
        Err(why) => json!({ "stem": stem, "caption": caption, "svg": null, "why": why }),
    }
}

/// SVG text for use inside a page: as wide as the page allows, with its caption for screen readers.
fn inline(svg: &str, caption: &str) -> String {
    let Some((head, rest)) = svg.split_once('>') else { return String::new() };
    let view = head.split_once("viewBox=\"").and_then(|(_, rest)| rest.split_once('"')).map_or("", |(view, _)| view);
    let caption = minijinja::HtmlEscape(caption);
    format!("<svg viewBox=\"{view}\" role=\"img\" aria-label=\"{caption}\">{rest}")
}

#[cfg(test)]
pub(super) mod tests;
