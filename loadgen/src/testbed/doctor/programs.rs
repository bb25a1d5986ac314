//! Which programs that dut files start are installed, in which version, and which files lack one.
//!
//! [`look`] reads the host: it finds programs and asks each known one for its version, which takes at
//! most [`VERSION_BOUND`] each. The judgement is pure. That a program really serves with a dut file is
//! found out by running `smoke.toml` with it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Finding, advice, good};
use crate::scenario::plan::{Dut, DutKind};
use crate::testbed::dut::find_program;

/// Programs that dut files may start, and how each is asked for its version.
const KNOWN: [(&str, &str); 8] = [
    ("haproxy", "-v"),
    ("nginx", "-V"),
    ("envoy", "--version"),
    ("traefik", "version"),
    ("varnishd", "-V"),
    ("caddy", "version"),
    ("lighttpd", "-v"),
    ("nft", "--version"),
];
/// How long a program may take to say its version.
const VERSION_BOUND: Duration = Duration::from_secs(2);
/// Most of what it says that is read.
const TEXT_MAX: u64 = 64 * 1024;

/// A DUT file by its name.
pub type DutFile = (String, Dut);

/// An installed program.
#[derive(Clone, Debug, Default)]
pub(super) struct Program {
    path: PathBuf,
    /// As it says itself, if it is a known one and does.
    version: Option<String>,
    /// Whether it can proxy TCP: nginx has a module for that.
    has_streams: bool,
}

/// The known programs and those of the files that are installed, by name.
pub(super) fn look(files: &[DutFile]) -> BTreeMap<String, Program> {
    let needed = files.iter().filter_map(|(_, dut)| program(dut));
    let names = KNOWN.iter().map(|(name, _)| *name).chain(needed);
    names.filter_map(|name| Some((name.to_owned(), look_at(name, find_program(name)?)))).collect()
}

fn look_at(name: &str, path: PathBuf) -> Program {
    let text = KNOWN.iter().find(|(known, _)| *known == name).and_then(|(_, flag)| said(&path, flag));
    let text = text.unwrap_or_default();
    let has_streams = name != "nginx" || nginx_has_streams(&text, &|path| path.exists());
    Program { path, version: version(&text), has_streams }
}

/// What a program says when it is given one argument; `None` if it cannot be started or does not end.
fn said(path: &Path, argument: &str) -> Option<String> {
    let mut command = Command::new(path);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    if !host::process::ended_within(child.id(), VERSION_BOUND) {
        // Its end is all that is wanted.
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    let mut text = String::new();
    // What a descendant keeps open would be waited for: there is none in a program that tells its version.
    child.stdout.take()?.take(TEXT_MAX).read_to_string(&mut text).ok()?;
    child.stderr.take()?.take(TEXT_MAX).read_to_string(&mut text).ok()?;
    child.wait().ok()?;
    Some(text)
}

/// The first word that looks like a version: `2.6.12-1+deb12u4`, `v1.30.1`.
fn version(text: &str) -> Option<String> {
    let words = text.split(|character: char| character.is_whitespace() || "/,()".contains(character));
    let is_version = |word: &&str| {
        let digits = word.strip_prefix('v').unwrap_or(word);
        digits.starts_with(|first: char| first.is_ascii_digit()) && digits.contains('.')
    };
    words.into_iter().find(is_version).map(str::to_owned)
}

/// Whether nginx has its stream module, built in or as a file, by what `nginx -V` says.
fn nginx_has_streams(text: &str, exists: &dyn Fn(&Path) -> bool) -> bool {
    let mut words = text.split_whitespace();
    let folder = text.split_whitespace().find_map(|word| word.strip_prefix("--modules-path="));
    words.any(|word| match word {
        "--with-stream" => true,
        "--with-stream=dynamic" => folder.is_some_and(|folder| exists(&Path::new(folder).join("ngx_stream_module.so"))),
        _ => false,
    })
}

/// The program that a DUT is started with, if it is not ours.
fn program(dut: &Dut) -> Option<&str> {
    match &dut.kind {
        DutKind::Command { start, .. } => start.first().map(String::as_str),
        DutKind::Kernel { setup, .. } => setup.first()?.first().map(String::as_str),
        DutKind::Reference { .. } | DutKind::External { .. } | DutKind::None => None,
    }
}

fn uses_streams(dut: &Dut) -> bool {
    let DutKind::Command { config: Some(config), .. } = &dut.kind else { return false };
    program(dut).is_some_and(|name| name.ends_with("nginx"))
        && config.text.lines().any(|line| line.trim_start().starts_with("stream"))
}

/// One finding for each program: installed and for which files, or missing and for which.
pub(super) fn judge(programs: &BTreeMap<String, Program>, files: &[DutFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let built_in = names(files, |dut| matches!(dut.kind, DutKind::Reference { .. }));
    if !built_in.is_empty() {
        findings.push(good("DUT program", format!("the reference LB is built in, for {built_in}")));
    }
    for (name, program_found) in programs {
        let version = program_found.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
        let is_its = |dut: &Dut| program(dut) == Some(name);
        let used = names(files, |dut| is_its(dut) && (program_found.has_streams || !uses_streams(dut)));
        let used = if used.is_empty() { String::new() } else { format!(", for {used}") };
        findings.push(good("DUT program", format!("{name}{version} ({}){used}", program_found.path.display())));
        let lacking = names(files, |dut| is_its(dut) && uses_streams(dut) && !program_found.has_streams);
        if !lacking.is_empty() {
            let found = format!("{name}{version} has no stream module, which {lacking} need(s)");
            findings.push(advice("DUT program", found, &install(files, |dut| is_its(dut) && uses_streams(dut))));
        }
    }
    let mut missing: Vec<_> = files.iter().filter_map(|(_, dut)| program(dut)).collect();
    missing.sort_unstable();
    missing.dedup();
    for name in missing.into_iter().filter(|name| !programs.contains_key(*name)) {
        let is_its = |dut: &Dut| program(dut) == Some(name);
        let found = format!("{name} is not installed, which {} need(s)", names(files, is_its));
        findings.push(advice("DUT program", found, &install(files, is_its)));
    }
    if findings.is_empty() {
        let hint = "the reference LB is built in; others: apt install haproxy nginx";
        findings.push(advice("DUT program", "none of the known ones".to_owned(), hint));
    }
    findings
}

fn names(files: &[DutFile], wanted: impl Fn(&Dut) -> bool) -> String {
    let names: Vec<_> = files.iter().filter(|(_, dut)| wanted(dut)).map(|(name, _)| name.as_str()).collect();
    names.join(", ")
}

/// How to get what these files need, as they say.
fn install(files: &[DutFile], wanted: impl Fn(&Dut) -> bool) -> String {
    let package = files.iter().filter(|(_, dut)| wanted(dut)).find_map(|(_, dut)| match &dut.kind {
        DutKind::Command { package, .. } | DutKind::Kernel { package, .. } => package.clone(),
        _ => None,
    });
    package.map_or_else(|| "install it".to_owned(), |name| format!("apt install {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::plan::{Ready, ReadyCheck, Template};
    use crate::testbed::doctor::Level;

    fn file(name: &str, program: &str, text: &str, package: &str) -> DutFile {
        let kind = DutKind::Command {
            start: vec![program.to_owned()],
            config: Some(Template { path: name.into(), text: text.to_owned() }),
            ready: Ready { check: ReadyCheck::Tcp("127.0.0.1:{port}".to_owned()), within: Duration::from_secs(1) },
            admin: None,
            package: Some(package.to_owned()),
            workers: None,
        };
        let service = "http://127.0.0.1:{port}".to_owned();
        let dut = Dut { name: name.into(), kind, service, cores: vec![], cpu_quota: None, file_text: String::new() };
        (format!("{name}.toml"), dut)
    }

    fn files() -> Vec<DutFile> {
        vec![
            file("haproxy-http", "haproxy", "", "haproxy"),
            file("nginx-http", "nginx", "http {\n}", "nginx"),
            file("nginx-tcp", "nginx", "stream {\n}", "nginx libnginx-mod-stream"),
        ]
    }

    fn told(programs: &[(&str, Program)]) -> Vec<(Level, String, String)> {
        let programs = programs.iter().map(|(name, program)| ((*name).to_owned(), program.clone())).collect();
        judge(&programs, &files()).into_iter().map(|finding| (finding.level, finding.found, finding.advice)).collect()
    }

    #[test]
    fn versions_are_found_in_what_programs_say() {
        let haproxy = "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nStatus: long-term\n";
        assert_eq!(version(haproxy).as_deref(), Some("2.6.12-1+deb12u4"));
        assert_eq!(version("nginx version: nginx/1.22.1\nbuilt with OpenSSL 3.0.8\n").as_deref(), Some("1.22.1"));
        assert_eq!(version("v2.7.6 h1:w0NymbG2m9PcvKWsrXO6EEkY9Ru4FJK8uQbYcev1p3A=").as_deref(), Some("v2.7.6"));
        assert_eq!(version("command not found"), None);
    }

    #[test]
    fn streams_are_built_in_or_a_file() {
        let with = |option: &str| format!("configure arguments: --modules-path=/m {option} --with-stream_ssl_module");
        assert!(nginx_has_streams(&with("--with-stream"), &|_| false));
        assert!(nginx_has_streams(&with("--with-stream=dynamic"), &|path| path == Path::new("/m/ngx_stream_module.so")));
        assert!(!nginx_has_streams(&with("--with-stream=dynamic"), &|_| false));
        assert!(!nginx_has_streams(&with(""), &|_| true));
    }

    #[test]
    fn installed_programs_are_told_with_version_and_files() {
        let found = |version: &str| Program { path: "/x".into(), version: Some(version.to_owned()), has_streams: true };
        let expected = [
            "haproxy 2.6 (/x), for haproxy-http.toml".to_owned(),
            "nginx 1.22 (/x), for nginx-http.toml, nginx-tcp.toml".to_owned(),
        ];
        let told = told(&[("haproxy", found("2.6")), ("nginx", found("1.22"))]);
        assert_eq!(told, expected.map(|text| (Level::Good, text, String::new())));
    }

    #[test]
    fn what_is_missing_is_told_with_the_files_that_need_it_and_the_package() {
        let nginx = Program { path: "/x".into(), version: None, has_streams: false };
        let expected = [
            (Level::Good, "nginx (/x), for nginx-http.toml", ""),
            (
                Level::Advice,
                "nginx has no stream module, which nginx-tcp.toml need(s)",
                "apt install nginx libnginx-mod-stream",
            ),
            (Level::Advice, "haproxy is not installed, which haproxy-http.toml need(s)", "apt install haproxy"),
        ];
        assert_eq!(told(&[("nginx", nginx)]), expected.map(|(level, a, b)| (level, a.to_owned(), b.to_owned())));
        assert_eq!(judge(&BTreeMap::new(), &[])[0].level, Level::Advice);
    }

    #[test]
    fn a_program_that_says_nothing_or_does_not_end_has_no_version() {
        assert_eq!(said(Path::new("/bin/echo"), "v1.2").as_deref(), Some("v1.2\n"));
        assert_eq!(said(Path::new("/bin/sleep"), "60"), None);
        assert_eq!(said(Path::new("/no/such/program"), "-v"), None);
    }
}
