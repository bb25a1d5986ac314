//! Which bytes may stand where in an HTTP/1 message, and lists in field values.
//!
//! The classes are those of RFC 9110 (5.5, 5.6) and RFC 9112 (3.2), narrowed where a lenient
//! reading has been used to smuggle requests: no control characters, no fragment in a target.

/// Characters of a method, a field name or a connection option (`tchar`).
pub(crate) const TOKEN: u8 = 1;
/// Characters of a field value or a reason phrase: HTAB, SP, VCHAR, obs-text.
pub(crate) const TEXT: u8 = 2;
/// Characters of a request target: visible ASCII without `#`.
pub(crate) const TARGET: u8 = 4;
/// Characters of a registered name or an address in `Host`, without the comma that joins lists.
pub(crate) const HOST: u8 = 8;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = class_of(byte as u8);
        byte += 1;
    }
    table
}

const fn class_of(byte: u8) -> u8 {
    let alphanumeric = byte.is_ascii_alphanumeric();
    let mut class = 0;
    if alphanumeric || is_in(byte, b"!#$%&'*+-.^_`|~") {
        class |= TOKEN;
    }
    if byte == b'\t' || (b' ' <= byte && byte != 0x7f) {
        class |= TEXT;
    }
    if b'!' <= byte && byte <= b'~' && byte != b'#' {
        class |= TARGET;
    }
    if alphanumeric || is_in(byte, b"-._~%!$&'()*+;=") {
        class |= HOST;
    }
    class
}

const fn is_in(byte: u8, set: &[u8]) -> bool {
    let mut index = 0;
    while index < set.len() {
        if set[index] == byte {
            return true;
        }
        index += 1;
    }
    false
}

/// Whether `byte` belongs to one of the classes in `class`.
pub(crate) fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// How many bytes at the start of `bytes` belong to `class`.
pub(crate) fn run(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|&byte| !is(byte, class)).unwrap_or(bytes.len())
}

/// Whether `bytes` is not empty and belongs to `class` throughout.
pub(crate) fn all(bytes: &[u8], class: u8) -> bool {
    !bytes.is_empty() && run(bytes, class) == bytes.len()
}

/// `bytes` without the optional whitespace (SP, HTAB) around it.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(|byte| !blank(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// The members of a comma-separated list, trimmed, empty ones left out (RFC 9110, 5.6.1.2).
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|member| !member.is_empty())
}

/// A decimal number of at least one digit that fits 63 bits, so that sums cannot overflow.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut number: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    (number <= i64::MAX as u64).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_the_grammar() {
        for byte in 0..=255u8 {
            let control = byte < b' ' || byte == 0x7f;
            assert_eq!(is(byte, TEXT), !control || byte == b'\t', "{byte}");
            assert!(!is(byte, TOKEN) || byte.is_ascii_graphic(), "{byte}");
            assert!(!is(byte, TARGET | HOST) || byte.is_ascii_graphic(), "{byte}");
        }
        for byte in b"()<>@,;:\\\"/[]?={} \t" {
            assert!(!is(*byte, TOKEN), "{byte}");
        }
        assert!(!is(b'#', TARGET) && !is(b',', HOST) && !is(b'@', HOST) && !is(b'/', HOST));
    }

    #[test]
    fn lists_lose_whitespace_and_empty_members() {
        let members: Vec<&[u8]> = list(b" close,\t, keep-alive ,,x\t").collect();
        assert_eq!(members, [b"close".as_slice(), b"keep-alive", b"x"]);
        assert_eq!(list(b" , ").count(), 0);
    }

    #[test]
    fn numbers_have_digits_only_and_fit_63_bits() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"007"), Some(7));
        assert_eq!(decimal(b"9223372036854775807"), Some(i64::MAX as u64));
        for bad in ["", "+1", "-1", "1 ", "0x1", "1_0", "9223372036854775808", "99999999999999999999"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad}");
        }
    }
}
