//! Fills in the templates and command lines of dut files.
//!
//! Pure. What a placeholder is, `scenario::placeholder` says. A line with `{index}`, `{name}` or
//! `{address}` is repeated for each reflector; without reflectors it is left out.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use super::error::TestbedError;
use crate::scenario::network::host_text;
use crate::scenario::placeholder::{fill_line, placeholders};
use crate::scenario::plan::{Dut, DutKind, Template};

/// What placeholders stand for. An absent value is refused like an unknown word.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    /// `{vip}`: the DUT's address towards the clients; `{family}` is `ip` or `ip6` after it.
    pub(super) vip: Option<IpAddr>,
    /// `{port}`: where clients connect.
    pub(super) port: Option<u16>,
    /// `{admin}`: a free port for administration.
    pub(super) admin: Option<u16>,
    /// `{run}`: the run folder.
    pub(super) run: Option<String>,
    /// `{config}`: the filled-in configuration file.
    pub(super) config: Option<String>,
    /// `{workers}`: threads or processes of the program.
    pub(super) workers: Option<NonZeroU32>,
    /// `{index}`, `{name}` and `{address}` line by line; `{reflectors}`: all addresses, separated by commas;
    /// `{count}`: how many.
    pub(super) reflectors: Vec<(String, SocketAddr)>,
}

impl Values {
    fn get(&self, word: &str, reflector: Option<(usize, &(String, SocketAddr))>) -> Option<String> {
        match word {
            "family" => self.vip.map(|vip| if vip.is_ipv4() { "ip" } else { "ip6" }.to_owned()),
            "count" => Some(self.reflectors.len().to_string()),
            "vip" => self.vip.map(host_text),
            "port" => self.port.map(|port| port.to_string()),
            "admin" => self.admin.map(|port| port.to_string()),
            "run" => self.run.clone(),
            "config" => self.config.clone(),
            "workers" => self.workers.map(|workers| workers.to_string()),
            "reflectors" => {
                let addresses: Vec<_> = self.reflectors.iter().map(|(_, address)| address.to_string()).collect();
                Some(addresses.join(","))
            }
            "index" => reflector.map(|(index, _)| index.to_string()),
            "name" => reflector.map(|(_, (name, _))| name.clone()),
            "address" => reflector.map(|(_, (_, address))| address.to_string()),
            _ => None,
        }
    }

    fn known(&self, is_template: bool) -> String {
        let per_reflector = if is_template { &["index", "name", "address"][..] } else { &[] };
        let words = ["vip", "family", "port", "admin", "run", "config", "workers", "reflectors", "count"];
        let known = words.iter().filter(|word| self.get(word, None).is_some()).chain(per_reflector);
        known.map(|word| format!("{{{word}}}")).collect::<Vec<_>>().join(", ")
    }
}

/// Fills in a configuration template; `place` is its file name, for messages.
pub(super) fn render(place: &str, text: &str, values: &Values) -> Result<String, TestbedError> {
    let mut rendered = String::with_capacity(text.len());
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let refused = |found| TestbedError::Placeholder {
            place: format!("{place}:{}", number + 1),
            found,
            known: values.known(true),
        };
        let words = placeholders(line);
        let is_repeated = words.iter().any(|word| matches!(word.as_str(), "index" | "name" | "address"));
        if is_repeated {
            for reflector in values.reflectors.iter().enumerate() {
                rendered.push_str(&fill_line(line, |word| values.get(word, Some(reflector))).map_err(refused)?);
                if !line.ends_with('\n') {
                    rendered.push('\n');
                }
            }
        } else {
            rendered.push_str(&fill_line(line, |word| values.get(word, None)).map_err(refused)?);
        }
    }
    Ok(rendered)
}

/// Fills in one value of a dut file; `key` names it in messages.
pub(super) fn fill(key: &str, text: &str, values: &Values) -> Result<String, TestbedError> {
    let refused = |found| TestbedError::Placeholder { place: key.to_owned(), found, known: values.known(false) };
    fill_line(text, |word| values.get(word, None)).map_err(refused)
}

/// Whether every placeholder of a DUT's file and template can be filled in, before anything starts.
///
/// # Errors
/// [`TestbedError::Placeholder`] with its place and what is known.
pub fn check(dut: &Dut) -> Result<(), TestbedError> {
    let sample = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut values = Values { vip: Some(sample.ip()), port: Some(1), admin: Some(1), ..Values::default() };
    values.run = Some(String::new());
    values.reflectors = vec![(String::new(), sample)];
    values.workers = workers(dut);
    let template = match &dut.kind {
        DutKind::Reference { config, .. } => Some(config),
        DutKind::Command { config, .. } | DutKind::Kernel { config, .. } => config.as_ref(),
        DutKind::External { .. } | DutKind::None => None,
    };
    let place = |key: &str| format!("{}.toml: {key}", dut.name);
    fill(&place("service"), &dut.service, &values)?;
    if let Some(Template { path, text }) = template {
        render(&path.display().to_string(), text, &values)?;
        values.config = Some(String::new());
    }
    if let DutKind::Command { start, ready, admin, .. } = &dut.kind {
        let places = admin.iter().map(|(_, place)| ("admin", place));
        let texts = start.iter().map(|word| ("start", word)).chain(places);
        let (key, address) = (ready.check.key(), ready.check.address());
        fill(&place(key), address, &values)?;
        for (key, text) in texts {
            fill(&place(key), text, &values)?;
        }
    }
    if let DutKind::Kernel { setup, .. } = &dut.kind {
        for word in setup.iter().flatten() {
            fill(&place("setup"), word, &values)?;
        }
    }
    Ok(())
}

/// How many workers a DUT has, if that is known.
pub(super) fn workers(dut: &Dut) -> Option<NonZeroU32> {
    match &dut.kind {
        DutKind::Reference { workers, .. } => Some(*workers),
        DutKind::Command { workers, .. } => *workers,
        DutKind::Kernel { .. } | DutKind::External { .. } | DutKind::None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::plan::{Ready, ReadyCheck};

    fn values() -> Values {
        let reflector = |name: &str, address: &str| (name.to_owned(), address.parse().unwrap());
        Values {
            port: Some(8080),
            run: Some("/tmp/run".to_owned()),
            reflectors: vec![reflector("r0", "127.0.0.1:4000"), reflector("r1", "[::1]:4001")],
            ..Values::default()
        }
    }

    #[test]
    fn a_line_that_names_a_reflector_is_repeated_for_each() {
        let template = "bind :{port}\n  server {name} {address} check\nend";
        let text = render("x.cfg", template, &values()).unwrap();
        assert_eq!(text, "bind :8080\n  server r0 127.0.0.1:4000 check\n  server r1 [::1]:4001 check\nend");
        assert_eq!(fill("start", "--to={reflectors}", &values()).unwrap(), "--to=127.0.0.1:4000,[::1]:4001");
    }

    #[test]
    fn braces_of_other_languages_stay() {
        for kept in
            ["server { listen 1; }", "acl a { path /x }", "%{+Q}o {}", "${PORT} \\d{3}", "{ \"a\":{\"b\":1}}", "{"]
        {
            assert_eq!(render("x", kept, &values()).unwrap(), kept);
        }
        assert_eq!(fill("x", "{{port}} {{}}", &values()).unwrap(), "{port} {{}}");
    }

    #[test]
    fn a_dut_is_checked_before_it_is_started() {
        let template = |text: &str| Template { path: "x.cfg".into(), text: text.to_owned() };
        let dut = |word: &str, config: Option<Template>| Dut {
            name: "mine".to_owned(),
            kind: DutKind::Command {
                start: vec!["lb".to_owned(), word.to_owned()],
                config,
                ready: Ready { check: ReadyCheck::Tcp("{vip}:{port}".to_owned()), within: Default::default() },
                admin: None,
                package: None,
                workers: NonZeroU32::new(3),
            },
            service: "http://127.0.0.1:{port}".to_owned(),
            cores: vec![],
            cpu_quota: None,
            file_text: String::new(),
        };
        check(&dut("{config}", Some(template("{port} {name} {address} {admin} {reflectors} {run} {workers}"))))
            .unwrap();
        let refused = |dut: &Dut| check(dut).unwrap_err().to_string();
        assert!(refused(&dut("{prot}", None)).starts_with("mine.toml: start: {prot} cannot be filled in"));
        assert!(refused(&dut("{config}", None)).contains("{config}"), "there is none");
        assert!(refused(&dut("x", Some(template("a\n{b}")))).starts_with("x.cfg:2: {b} cannot be filled in"));
    }

    #[test]
    fn a_vip_of_either_version_can_stand_before_a_port() {
        let with = |vip: &str| Values { vip: Some(vip.parse().unwrap()), ..values() };
        assert_eq!(fill("x", "{vip}:{port}", &with("127.0.0.1")).unwrap(), "127.0.0.1:8080");
        assert_eq!(fill("x", "{vip}:{port}", &with("2001:2::1")).unwrap(), "[2001:2::1]:8080");
        assert_eq!(fill("x", "{family}", &with("2001:2::1")).unwrap(), "ip6");
        let map = render("x", "mod {count} {\n  {index} : {name},\n}\n", &with("127.0.0.1")).unwrap();
        assert_eq!(map, "mod 2 {\n  0 : r0,\n  1 : r1,\n}\n");
    }

    #[test]
    fn unknown_placeholders_are_refused_with_file_line_and_what_is_known() {
        let error = render("x.cfg", "a\nb {prot}\n", &values()).unwrap_err().to_string();
        assert!(
            error.contains("x.cfg:2")
                && error.contains("{prot}")
                && error.contains("{port}, {run}, {reflectors}, {count}"),
            "{error}"
        );
        // Not chosen in this run: refused as well, instead of an empty text in a configuration.
        assert!(render("x.cfg", "{admin}", &values()).is_err());
        assert!(fill("start", "{name}", &values()).is_err());
    }
}
