//! Placeholders of DUT files and their templates.
//!
//! Pure. A placeholder is a lower-case word between braces, without spaces, so that the braces of the
//! programs' own languages stay as they are; `{{word}}` is the text `{word}`.

/// Whether a text has a placeholder of this name.
pub(crate) fn uses(text: &str, word: &str) -> bool {
    placeholders(text).iter().any(|found| found == word)
}

/// The words of all placeholders of a text.
pub(crate) fn placeholders(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let kept = fill_line(line, |word| {
        words.push(word.to_owned());
        Some(String::new())
    });
    debug_assert!(kept.is_ok(), "every word is given a value");
    words
}

/// Replaces each placeholder of a line, or returns the first one without a value.
pub(crate) fn fill_line(line: &str, mut value: impl FnMut(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        rest = &rest[open..];
        if let Some((word, after)) = rest.strip_prefix('{').and_then(braced_word).filter(|(_, a)| a.starts_with('}')) {
            filled.push_str(&format!("{{{word}}}"));
            rest = &after[1..];
        } else if let Some((word, after)) = braced_word(rest) {
            filled.push_str(&value(word).ok_or_else(|| word.to_owned())?);
            rest = after;
        } else {
            filled.push('{');
            rest = &rest[1..];
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The word of a text that begins with `{word}`, and what follows.
fn braced_word(text: &str) -> Option<(&str, &str)> {
    let (word, after) = text.strip_prefix('{')?.split_once('}')?;
    let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_word.then_some((word, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_in_double_braces_is_no_placeholder() {
        assert!(uses("listen {port};", "port") && uses("{{port}} {port}", "port"));
        assert!(!uses("{{port}}", "port") && !uses("{ports} { port } {}", "port"));
        assert_eq!(placeholders("{a} {{b}}\n{c} {D}"), ["a", "c"]);
    }
}
