//! Student's t-test of two samples with one variance.
//!
//! The tail of the t distribution with whole degrees of freedom is a finite sum (Abramowitz and Stegun,
//! 26.7.3 and 26.7.4).

use std::f64::consts::FRAC_PI_2;

/// Two-sided p of the hypothesis that both samples have the same mean, 0 to 1. 1 if a sample is empty
/// or there are fewer than three values, because then nothing is known of their spread.
pub fn t_test(left: &[f64], right: &[f64]) -> f64 {
    if left.is_empty() || right.is_empty() || left.len() + right.len() < 3 {
        return 1.0;
    }
    let freedom = left.len() + right.len() - 2;
    let difference = mean(left) - mean(right);
    let variance = (squares(left) + squares(right)) / freedom as f64;
    let error = (variance * (1.0 / left.len() as f64 + 1.0 / right.len() as f64)).sqrt();
    // Constant samples: equal ones tell nothing, different ones leave no doubt.
    if difference == 0.0 {
        return 1.0;
    }
    two_sided(difference / error, freedom)
}

/// The arithmetic mean; NaN without values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn squares(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

/// P(|T| ≥ |t|) with `freedom` degrees of freedom, 1 or more.
fn two_sided(t: f64, freedom: usize) -> f64 {
    let angle = (t.abs() / (freedom as f64).sqrt()).atan();
    if angle >= FRAC_PI_2 {
        return 0.0;
    }
    let square = angle.cos().powi(2);
    let odd = freedom % 2 == 1;
    // The series of A&S: 1 + 1/2 cos² + 1·3/(2·4) cos⁴ … for even, cos + 2/3 cos³ + … for odd.
    let (mut term, first) = if odd { (angle.cos(), 3) } else { (1.0, 2) };
    let mut sum = if freedom == 1 { 0.0 } else { term };
    for at in (first..).step_by(2).take_while(|at| at + 2 <= freedom) {
        term *= square * (at - 1) as f64 / at as f64;
        sum += term;
    }
    let within = if odd { (angle + angle.sin() * sum) / FRAC_PI_2 } else { angle.sin() * sum };
    (1.0 - within).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_the_tables() {
        // Two-sided 5 % and 0.1 % points of Student's distribution.
        for (freedom, t, p) in [
            (1, 12.706_205, 0.05),
            (2, 4.302_653, 0.05),
            (3, 3.182_446, 0.05),
            (10, 2.228_139, 0.05),
            (29, 2.045_230, 0.05),
            (48, 2.010_635, 0.05),
            (4, 8.610_302, 0.001),
            (20, 3.849_516, 0.001),
            (1, 636.619_249, 0.001),
        ] {
            let found = two_sided(t, freedom);
            assert!((found / p - 1.0).abs() < 1e-5, "{freedom}: {found}");
        }
    }

    #[test]
    fn constant_samples_are_equal_or_are_not() {
        assert_eq!(t_test(&[5.0; 4], &[5.0; 4]), 1.0);
        assert_eq!(t_test(&[5.0; 4], &[6.0; 4]), 0.0);
        assert_eq!((t_test(&[], &[1.0, 2.0, 3.0]), t_test(&[1.0], &[2.0])), (1.0, 1.0));
    }
}
