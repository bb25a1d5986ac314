//! The fit against published points, and what it refuses.

use super::*;

fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../tests/vectors/statistics.json")).unwrap()
}

/// The 32 points of the Cisco set.
fn cisco() -> Vec<Point> {
    let vectors = vectors();
    let column = |name: &str| {
        let values = vectors["usl_cisco"][name].as_array().unwrap();
        values.iter().map(|value| value.as_f64().unwrap()).collect::<Vec<_>>()
    };
    column("n").into_iter().zip(column("x")).map(|(n, x)| Point { n, x }).collect()
}

fn close(found: f64, wanted: &serde_json::Value, relative: f64) {
    let wanted = wanted.as_f64().unwrap();
    assert!((found - wanted).abs() <= relative * wanted.abs(), "{found} instead of {wanted}");
}

#[test]
fn the_published_fit_of_the_cisco_set_is_found() {
    let vectors = vectors();
    let points = cisco();
    assert_eq!(points.len(), 32);
    let start = linear_law(&points).unwrap();
    let wanted = &vectors["usl_cisco"]["linearised_start"];
    close(start.lambda, &wanted["lam"], 1e-6);
    close(start.alpha, &wanted["alpha"], 1e-6);
    close(start.beta, &wanted["beta"], 1e-6);

    let fit = Fit::of(&points, 1).unwrap();
    let wanted = &vectors["usl_cisco"]["fit"];
    close(fit.law.lambda, &wanted["lam"], 1e-6);
    close(fit.law.alpha, &wanted["alpha"], 1e-5);
    close(fit.law.beta, &wanted["beta"], 1e-5);
    close(fit.r_squared, &wanted["r2"], 1e-8);
    let peak = fit.peak.unwrap();
    close(peak.n, &wanted["n_max"], 1e-6);
    close(peak.x, &wanted["x_max"], 1e-6);
    let published = &vectors["usl_cisco"]["published"];
    close(fit.law.lambda, &published["lam"], 1e-5);
    close(fit.law.alpha, &published["alpha"], 1e-4);
    close(fit.asymptote.unwrap(), &serde_json::json!(fit.law.lambda / fit.law.alpha), 1e-12);
}

/// The warning that the rule of twice the largest N comes from: twelve points say 10,032 for 32
/// workers, 12,074 were measured.
#[test]
fn a_fit_of_the_first_twelve_points_may_not_speak_about_thirty_two() {
    let vectors = vectors();
    let wanted = &vectors["usl_cisco_first12"];
    let fit = Fit::of(&cisco()[..12], 1).unwrap();
    assert!(fit.law.alpha < 1e-9, "{:?}", fit.law);
    close(fit.law.beta, &wanted["beta"], 1e-5);
    close(fit.law.lambda, &wanted["lam"], 1e-5);
    close(fit.law.throughput(32.0), &wanted["predict_x_at_32"], 1e-5);
    let actual = wanted["actual_x_at_32"].as_f64().unwrap();
    let short = fit.law.throughput(32.0) / actual - 1.0;
    assert!((-0.18..-0.16).contains(&short), "{short}");
    assert_eq!(
        fit.predict(32.0).unwrap_err().to_string(),
        "N = 32 lies beyond 2 × the largest measured N (12): no prediction; measure at 16 workers or more"
    );
    let edge = fit.predict(24.0).unwrap();
    assert!(edge.extrapolated && !fit.predict(12.0).unwrap().extrapolated);
}

#[test]
fn the_band_holds_the_fit_repeats_with_its_seed_and_widens_outwards() {
    let points = &cisco()[..16];
    let fit = Fit::of(points, 7).unwrap();
    assert_eq!(fit.predict(24.0).unwrap(), Fit::of(points, 7).unwrap().predict(24.0).unwrap());
    assert_ne!(fit.predict(24.0).unwrap(), Fit::of(points, 8).unwrap().predict(24.0).unwrap());
    let width = |n| {
        let said = fit.predict(n).unwrap();
        assert!(said.low < said.x && said.x < said.high, "{said:?}");
        (said.high - said.low) / said.x
    };
    assert!(width(32.0) > 2.0 * width(12.0), "{} {}", width(32.0), width(12.0));
}

#[test]
fn a_law_is_found_again_in_points_made_from_it() {
    for law in [
        Law { lambda: 1_000.0, alpha: 0.05, beta: 0.001 },
        Law { lambda: 20.0, alpha: 0.3, beta: 0.0 },
        Law { lambda: 4e5, alpha: 0.0, beta: 0.0 },
        Law { lambda: 5_000.0, alpha: 1.0, beta: 0.0 },
    ] {
        let points: Vec<Point> = [1.0, 2.0, 4.0, 8.0, 12.0, 16.0].map(|n| Point { n, x: law.throughput(n) }).into();
        let found = Fit::of(&points, 1).unwrap();
        assert!((found.law.lambda / law.lambda - 1.0).abs() < 1e-6, "{found:?}");
        assert!((found.law.alpha - law.alpha).abs() < 1e-6, "{found:?}");
        assert!((found.law.beta - law.beta).abs() < 1e-8, "{found:?}");
    }
}

#[test]
fn too_little_is_refused_with_what_to_do() {
    let points = cisco();
    let refusal = |points: &[Point]| Fit::of(points, 1).unwrap_err().to_string();
    assert_eq!(
        refusal(&points[..5]),
        "too few points for a fit: 5, at least 6 with different N are needed; measure at more numbers of workers"
    );
    // Repeats at the same N add nothing to the curve.
    assert!(refusal(&[&points[..5], &points[..5]].concat()).starts_with("too few points for a fit: 5,"));
    assert_eq!(refusal(&points[1..]), "no point at N = 1: the smallest is 2; measure with one worker");
    let lonely: Vec<Point> = (1..=6).map(|n| Point { n: f64::from(n), x: if n == 6 { 100.0 } else { 10.0 } }).collect();
    assert_eq!(
        refusal(&lonely),
        "too few points near the peak: 1 with more than 60 % of the highest throughput, at least 2 are needed; measure at larger N"
    );
    let mut bad = points;
    bad[3].x = f64::NAN;
    assert_eq!(refusal(&bad), "point N = 4, X = NaN is no measurement: N has to be at least 1 and X more than 0");
}
