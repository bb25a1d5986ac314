//! From weights, shares of the bytes or letters to the order in which the frames of a mix follow each other.
//!
//! The order of weights is ours, as RFC 6985 leaves it open: beginning with the size that is most frequent
//! (of equals, the one listed first), each next size is laid between the L frames that are there already,
//! the k-th of its w frames behind ⌈(k + ½) L / w⌉ of them, k from 0. So each size comes evenly spread, and
//! 7:4:1 becomes ABAABACABAAB. Equal weights keep the order in which they are listed.

use super::SEQUENCE_MAX;

/// How much of a share half a digit is when it is written without decimals.
const HALF_A_PERCENT: f64 = 0.005;

/// Why an order cannot be made, for a person.
pub type Refusal = String;

/// The order of so many frames of each size, smallest whole numbers first.
///
/// # Errors
/// A weight of 0, or more than [`SEQUENCE_MAX`] frames.
pub fn of_weights(weights: &[u32]) -> Result<Vec<u8>, Refusal> {
    if let Some(at) = weights.iter().position(|weight| *weight == 0) {
        return Err(format!("weight {} is 0: leave the size out, or give it 1 or more", at + 1));
    }
    let divisor = weights.iter().fold(0, |divisor, weight| greatest_common_divisor(divisor, *weight)).max(1);
    let weights: Vec<u32> = weights.iter().map(|weight| weight / divisor).collect();
    if weights.iter().all(|weight| *weight == 1) {
        return Ok((0..weights.len()).map(|at| at as u8).collect());
    }
    let frames: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    if frames > SEQUENCE_MAX as u64 {
        return Err(format!(
            "{frames} frames until the sequence repeats; expected at most {SEQUENCE_MAX} in lowest terms"
        ));
    }
    let mut rank: Vec<usize> = (0..weights.len()).collect();
    rank.sort_by_key(|at| std::cmp::Reverse(weights[*at]));
    Ok(rank.into_iter().fold(Vec::new(), |order, at| lay_between(&order, at as u8, weights[at] as usize)))
}

/// `count` frames of one size, evenly between those that are there.
fn lay_between(order: &[u8], letter: u8, count: usize) -> Vec<u8> {
    let mut laid = Vec::with_capacity(order.len() + count);
    let mut taken = 0;
    for k in 0..count {
        let before = ((2 * k + 1) * order.len()).div_ceil(2 * count);
        laid.extend_from_slice(&order[taken..before]);
        laid.push(letter);
        taken = before;
    }
    laid.extend_from_slice(&order[taken..]);
    laid
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// The smallest whole weights whose frames of so many `bytes` have these shares of all bytes, each to the
/// last digit as written: 6.856 %, 56.415 % and 36.729 % of 40, 576 and 1,500 bytes are 7:4:1.
///
/// # Errors
/// A share that is no share, shares that are not the whole, or no weights with at most [`SEQUENCE_MAX`]
/// frames.
pub fn weights_of_shares(bytes: &[u32], shares: &[String]) -> Result<Vec<u32>, Refusal> {
    let shares = shares.iter().map(|text| Share::read(text)).collect::<Result<Vec<_>, Refusal>>()?;
    let (sum, slack) =
        shares.iter().fold((0.0, 1e-9), |(sum, slack), share| (sum + share.ratio, slack + share.half_digit));
    if (sum - 1.0_f64).abs() > slack {
        return Err(format!("the shares add up to {:.4}%; expected 100%", sum * 100.0));
    }
    // Frames of each size for one byte of all.
    let frames: Vec<f64> = shares.iter().zip(bytes).map(|(share, bytes)| share.ratio / f64::from(*bytes)).collect();
    let fewest = frames.iter().copied().fold(f64::INFINITY, f64::min);
    for rarest in 1..=SEQUENCE_MAX {
        let weights: Vec<f64> = frames.iter().map(|frames| (frames / fewest * rarest as f64).round()).collect();
        if weights.iter().sum::<f64>() > SEQUENCE_MAX as f64 {
            break;
        }
        if reproduces(&weights, bytes, &shares) {
            return Ok(weights.into_iter().map(|weight| weight as u32).collect());
        }
    }
    let message = "no weights with up to {} frames in all have these shares; expected shares of whole frames, to as many \
                   digits as they are true (6.856%, 56.415% and 36.729% of 40, 576 and 1500 bytes are 7:4:1), or weights";
    Err(message.replace("{}", &SEQUENCE_MAX.to_string()))
}

fn reproduces(weights: &[f64], bytes: &[u32], shares: &[Share]) -> bool {
    let of = |(weight, bytes): (&f64, &u32)| weight * f64::from(*bytes);
    let all: f64 = weights.iter().zip(bytes).map(of).sum();
    let near = |(part, share): (f64, &Share)| (part / all - share.ratio).abs() <= share.half_digit + 1e-12;
    weights.iter().zip(bytes).map(of).zip(shares).all(near)
}

struct Share {
    ratio: f64,
    /// Half of the last digit as written, as a ratio.
    half_digit: f64,
}

impl Share {
    fn read(text: &str) -> Result<Self, Refusal> {
        let refuse =
            || format!("{text:?} is not a share; expected more than 0, up to 100, with a percent sign: \"6.856%\"");
        let number = text.trim().strip_suffix('%').map(str::trim).ok_or_else(refuse)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(refuse());
        }
        let percent =
            number.parse::<f64>().ok().filter(|percent| *percent > 0.0 && *percent <= 100.0).ok_or_else(refuse)?;
        let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        Ok(Self { ratio: percent / 100.0, half_digit: HALF_A_PERCENT / 10_f64.powi(decimals.min(12) as i32) })
    }
}

/// The order that a text of letters gives, A the first of so many sizes.
///
/// # Errors
/// No letter, more than [`SEQUENCE_MAX`], one that no size has, or a size that no letter names.
pub fn of_genome(genome: &str, sizes: usize) -> Result<Vec<u8>, Refusal> {
    let last = letter(sizes.saturating_sub(1));
    let read = |c: char| {
        let at = (c as u32).checked_sub('A' as u32).filter(|at| (*at as usize) < sizes);
        at.map(|at| at as u8).ok_or_else(|| format!("{c:?} names no size; expected A to {last}, in the order of sizes"))
    };
    let order = genome.chars().take(SEQUENCE_MAX + 1).map(read).collect::<Result<Vec<u8>, Refusal>>()?;
    if order.is_empty() || order.len() > SEQUENCE_MAX {
        return Err(format!("a genome has 1 to {SEQUENCE_MAX} letters, such as \"ABAABACABAAB\""));
    }
    match (0..sizes).find(|at| !order.contains(&(*at as u8))) {
        Some(unused) => Err(format!("{} does not stand in it; leave its size out", letter(unused))),
        None => Ok(order),
    }
}

/// The letter of a size, A for 0; at most 26.
pub(super) fn letter(at: usize) -> char {
    char::from(b'A' + (at % super::SIZES_MAX) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(order: &[u8]) -> String {
        order.iter().map(|at| letter(usize::from(*at))).collect()
    }

    #[test]
    fn weights_are_laid_evenly() {
        for (weights, genome) in [
            (&[7, 4, 1][..], "ABAABACABAAB"),
            (&[14, 8, 2], "ABAABACABAAB"),
            (&[1, 4, 7], "CBCCBCACBCCB"),
            (&[1], "A"),
            (&[5], "A"),
            (&[1, 1, 1], "ABC"),
            (&[3, 1], "AABA"),
            (&[1, 3], "BBAB"),
        ] {
            let order = of_weights(weights).unwrap();
            assert_eq!(text(&order), genome, "{weights:?}");
        }
    }

    #[test]
    fn every_weight_keeps_its_count() {
        for a in 1..12_u32 {
            for b in 1..12 {
                for c in [1, 5, 30] {
                    let order = of_weights(&[a, b, c]).unwrap();
                    let count = |at| order.iter().filter(|found| **found == at).count() as u32;
                    let (found, divisor) = ([count(0), count(1), count(2)], (a + b + c) / order.len() as u32);
                    assert_eq!(found.map(|count| count * divisor), [a, b, c]);
                }
            }
        }
    }

    #[test]
    fn shares_of_the_bytes_are_the_smallest_weights_that_have_them() {
        let shares = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let simple = |texts: &[&str]| weights_of_shares(&[40, 576, 1500], &shares(texts));
        assert_eq!(simple(&["6.856%", "56.415%", "36.729%"]).unwrap(), [7, 4, 1]);
        assert_eq!(simple(&["6.856 %", "56.4%", "36.7%"]).unwrap(), [7, 4, 1]);
        // The same mix by its frames on Ethernet.
        let frames = weights_of_shares(&[64, 594, 1518], &shares(&["10.318%", "54.721%", "34.961%"]));
        assert_eq!(frames.unwrap(), [7, 4, 1]);
        assert_eq!(weights_of_shares(&[100, 300], &shares(&["50%", "50%"])).unwrap(), [3, 1]);
        for (texts, words) in [
            (&["6.8%", "56.4%", "30%"][..], "add up to 93.2000%; expected 100%"),
            (&["0%", "50%", "50%"], "\"0%\" is not a share"),
            (&["x%", "50%", "50%"], "\"x%\" is not a share"),
            (&["7", "56%", "37%"], "\"7\" is not a share"),
            (&["33.333333%", "33.333333%", "33.333334%"], "no weights with up to 1024 frames"),
        ] {
            let error = simple(texts).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_genome_names_every_size() {
        assert_eq!(of_genome("ABBA", 2).unwrap(), [0, 1, 1, 0]);
        let error = |genome: &str| of_genome(genome, 2).unwrap_err();
        assert_eq!(error("ABC"), "'C' names no size; expected A to B, in the order of sizes");
        assert_eq!(error("AA"), "B does not stand in it; leave its size out");
        assert!(error("").contains("1 to 1024 letters") && error(&"AB".repeat(513)).contains("1 to 1024 letters"));
        assert!(error("ab").contains("'a' names no size"));
    }

    #[test]
    fn weights_without_frames_or_with_too_many_are_refused() {
        assert_eq!(of_weights(&[3, 0]).unwrap_err(), "weight 2 is 0: leave the size out, or give it 1 or more");
        assert!(of_weights(&[u32::MAX, u32::MAX - 1]).unwrap_err().contains("expected at most 1024 in lowest terms"));
    }
}
