//! What a demand file means, and what is refused, word for word.

use super::*;

const SOUND: &str = r#"
[[service]]
name = "shop"
cps = "20k/s"
tps = "60k/s"
connection_lifetime = "45s"
check = "http"
[growth]
per_year = "20%"
years = 2
[operation]
monitoring = ["snmp"]
access = ["10.0.0.0/8"]
"#;

fn spoilt(from: &str, to: &str) -> String {
    assert!(SOUND.contains(from), "{from}");
    parse("demand.toml", &SOUND.replace(from, to)).unwrap_err().to_string()
}

fn with(extra: &str) -> Result<Demand, String> {
    parse("demand.toml", &format!("{SOUND}{extra}")).map_err(|error| error.to_string())
}

#[test]
fn a_sound_demand_has_its_defaults_and_no_warnings() {
    let demand = parse("demand.toml", SOUND).unwrap();
    assert_eq!(demand.warnings, Vec::<String>::new());
    assert_eq!(demand.today(Resource::Cc), Some(900_000.0));
    assert_eq!(demand.today(Resource::Bandwidth), None);
    assert!((demand.planned(Resource::Cps).unwrap() - 28_800.0).abs() < 1e-6);
    assert_eq!((demand.redundancy.tolerated_failures, demand.planning.derate), (1, 1.0));
    assert_eq!(demand.planning.cpu, Limits { normal: 0.6, failed: 0.8 });
    assert_eq!(demand.planning.memory, Limits { normal: 0.8, failed: 0.9 });
    assert!(is_demand_file(SOUND));
    assert!(!is_demand_file("[scenario]\nname = \"x\"\n") && !is_demand_file("kind = \"none\"\n"));
}

#[test]
fn the_example_is_sound_and_the_schema_knows_its_sections() {
    let example = include_str!("../../../../scenarios/demand.example.toml");
    assert!(is_demand_file(example));
    let demand = parse("scenarios/demand.example.toml", example).unwrap();
    assert_eq!(demand.warnings, Vec::<String>::new());
    assert_eq!(demand.today(Resource::Bandwidth), Some(12e9));
    let schema = schema();
    for section in ["site", "service", "users", "growth", "redundancy", "operation", "planning", "price"] {
        assert!(schema["properties"][section].is_object(), "{section} is missing in {schema}");
    }
}

#[test]
fn a_demand_without_a_peak_is_refused() {
    assert_eq!(
        spoilt("cps = \"20k/s\"\ntps = \"60k/s\"\n", ""),
        "demand.toml:2: service.0: has no peak; expected cps, tps, bandwidth or cc of the busiest second: cps = \"20k/s\""
    );
    assert_eq!(
        parse("demand.toml", "[growth]\nyears = 1\n").unwrap_err().to_string(),
        "demand.toml: service: missing; expected at least one [[service]] with its peak: cps = \"20k/s\""
    );
}

#[test]
fn negative_growth_and_endless_plans_are_refused() {
    assert_eq!(
        spoilt("\"20%\"", "\"-5%\""),
        "demand.toml:9: growth.per_year: \"-5%\" is negative; a device has to carry today's peak on its first day: write \"0%\""
    );
    assert_eq!(
        spoilt("years = 2", "years = -1"),
        "demand.toml:10: growth.years: -1 years; expected a whole number from 0 to 20"
    );
    assert!(
        spoilt("\"20%\"", "\"much\"").starts_with("demand.toml:9: growth.per_year: \"much\" is not a share; expected")
    );
}

#[test]
fn a_mean_that_hides_the_peak_is_refused_unless_its_ratio_is_stated() {
    assert_eq!(
        spoilt("check = \"http\"", "statistic = \"mean-1h\""),
        "demand.toml:7: service.0.statistic: \"mean-1h\" hides the busiest second, which the device has to carry; expected \"max-1s\" or \"p99.9-1s\" from logs with a time stamp per second, or peak_to_mean beside it"
    );
    let text = SOUND.replace("check = \"http\"", "check = \"http\"\nstatistic = \"mean-1h\"\npeak_to_mean = 3");
    let demand = parse("demand.toml", &text).unwrap();
    assert_eq!(demand.today(Resource::Cps), Some(60_000.0));
    assert_eq!(
        demand.warnings,
        ["service shop: its peak is a mean-1h × 3; measure the busiest second, because the ratio decides the answer"]
    );
    assert_eq!(
        spoilt("check = \"http\"", "peak_to_mean = 3.0"),
        "demand.toml:7: service.0.peak_to_mean: \"max-1s\" is a peak already; leave peak_to_mean out"
    );
    assert!(
        spoilt("check = \"http\"", "statistic = \"mean-1m\"\npeak_to_mean = 0.5")
            .contains("0.5 is no ratio of a peak to a mean; expected 1 to 1000")
    );
}

#[test]
fn connections_at_once_that_contradict_littles_law_are_refused() {
    assert_eq!(
        spoilt("check = \"http\"", "cc = \"500k\""),
        "demand.toml:7: service.0.cc: 500000 connections at once contradict 20000/s × 45 s open = 900000 (Little's law); correct one of them, or leave cc out"
    );
    let more = parse("demand.toml", &SOUND.replace("check = \"http\"", "check = \"http\"\ncc = \"2M\"")).unwrap();
    assert_eq!(more.today(Resource::Cc), Some(2e6));
    assert_eq!(more.services[0].cc_from, "as stated; more than CPS × time open, which is 900000");
    let times = |text: &str| SOUND.replace("connection_lifetime = \"45s\"", text);
    let kept = parse("demand.toml", &times("connection_lifetime = \"30s\"\nkeepalive_idle = \"5s\"\naging = \"10s\""))
        .unwrap();
    assert_eq!(kept.today(Resource::Cc), Some(900_000.0));
    assert_eq!(kept.services[0].cc_from, "CPS × 45 s open (lifetime + keep-alive idle + aging)");
    for key in ["keepalive_idle", "aging"] {
        let why = parse("demand.toml", &times(&format!("{key} = \"5s\""))).unwrap_err().to_string();
        assert!(why.contains(&format!("service.0.{key}: given without connection_lifetime")), "{why}");
    }
    assert!(spoilt("cps = \"20k/s\"\n", "").contains("service.0.connection_lifetime: given without cps"));
    assert_eq!(
        spoilt("\"60k/s\"", "\"5k/s\""),
        "demand.toml:5: service.0.tps: 5000/s is less than cps (20000/s), but each connection carries one transaction or more; correct one of them, or leave tps out"
    );
}

#[test]
fn wrong_keys_values_and_margins_are_named_with_what_is_allowed() {
    assert!(spoilt("cps =", "cpss =").starts_with("demand.toml:4: service.0.cpss: unknown field `cpss`"));
    assert!(spoilt("cps =", "cpss =").ends_with("did you mean `cps`?"));
    assert!(spoilt("\"20k/s\"", "0").contains("is not a rate"));
    assert!(
        spoilt("check = \"http\"", "bandwidth = \"12GB/s\"")
            .contains("bandwidth; expected a number greater than 0 with bit/s")
    );
    assert!(
        spoilt("check = \"http\"", "protocol = \"tcp\"\npersistence = \"cookie\"")
            .ends_with("\"cookie\" needs HTTP, but the protocol is \"tcp\"; expected \"none\" or \"source-ip\"")
    );
    for (extra, words) in [
        ("[planning]\ncpu_normal = \"120%\"\n", "planning.cpu_normal: 120%; expected more than 0% and at most 100%"),
        ("[planning]\nderate = 0.8\n", "planning.derate: given, but planning.differs says nothing differs"),
        ("[planning]\ndiffers = [\"tls\"]\nderate = 1.5\n", "planning.derate: 1.5; expected more than 0 and at most 1"),
        ("[planning]\nslo_p99 = \"0s\"\n", "planning.slo_p99: 0s; expected a time greater than 0"),
        ("[planning]\nworkers = 0\n", "planning.workers: 0; expected a whole number from 1"),
        ("[planning]\nscaling_workers = 0\n", "planning.scaling_workers: 0; expected a whole number from 1"),
        (
            "[redundancy]\ntolerated_failures = 101\n",
            "redundancy.tolerated_failures: 101; expected a whole number from 0 to 100",
        ),
        (
            "[price]\nper_node = { a = 1.0 }\n",
            "price.currency: missing beside prices; expected a currency such as \"EUR\"",
        ),
        ("[price]\ncurrency = \"EUR\"\nper_node = { a = -1.0 }\n", "price.per_node.a: -1; expected 0 or more"),
        ("[users]\nbehind_proxies = \"150%\"\n", "users.behind_proxies: more than 100% of the users"),
    ] {
        let error = with(extra).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(with("[planning]\ndiffers = [\"hardware\"]\n").unwrap().planning.derate, 0.8);
}

#[test]
fn the_pitfalls_of_a_demand_are_warned_of() {
    let warnings = |from: &str, to: &str| {
        assert!(SOUND.contains(from), "{from}");
        parse("demand.toml", &SOUND.replace(from, to)).unwrap().warnings.join("\n")
    };
    let source = "check = \"http\"\npersistence = \"source-ip\"";
    assert!(warnings("check = \"http\"", source).contains("users.behind_proxies is not stated"));
    let proxies = with("[users]\nbehind_proxies = \"30%\"\n").unwrap();
    assert_eq!(proxies.warnings, Vec::<String>::new());
    let both = format!("{}[users]\nbehind_proxies = \"30%\"\n", SOUND.replace("check = \"http\"", source));
    let skewed = parse("demand.toml", &both).unwrap().warnings.join("\n");
    assert!(skewed.contains("30 % of the users come through few addresses") && skewed.contains("prefer a cookie"));
    assert!(
        warnings("check = \"http\"", "check = \"ping\"")
            .contains("the check is ping; a ping or an open port does not show")
    );
    assert!(warnings("check = \"http\"\n", "").contains("the check is not stated"));
    assert!(
        warnings("check = \"http\"", "check = \"http\"\npersistence = \"cookie\"").contains("carries does not name it")
    );
    assert!(warnings("connection_lifetime = \"45s\"\n", "").contains("neither cc nor connection_lifetime is stated"));
    assert!(warnings("monitoring = [\"snmp\"]\n", "").contains("operation.monitoring is empty"));
    let alone = with("[redundancy]\ntolerated_failures = 0\n").unwrap().warnings.join("\n");
    assert!(alone.contains("no failure is tolerated"), "{alone}");
}
