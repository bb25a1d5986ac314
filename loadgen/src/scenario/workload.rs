//! `[workload]`: what one operation is, and what makes its answer right.

use std::num::NonZeroU32;

use super::error::{Origin, ScenarioError};
use super::file::WorkloadFile;
use super::frames::{self, Sizes};
use super::plan::{BodyCheck, CloseMode, HttpPlan, SuitePlan, TestbedPlan, Unit, Workload, WorkloadKind};

const REQUEST_MAX: usize = 8 * 1024;
/// Headers that the generator writes itself.
const OWN_HEADERS: [&str; 6] =
    ["host", "connection", "content-length", "transfer-encoding", "user-agent", wire::identity::NONCE];

#[derive(Clone, Copy, Eq, PartialEq)]
enum KindWord {
    Tcp,
    Http,
    Udp,
}

pub(super) fn resolve(
    file: &WorkloadFile,
    unit: Unit,
    testbed: &TestbedPlan,
    suite: Option<&SuitePlan>,
    origin: &Origin,
) -> Result<Workload, ScenarioError> {
    let Some(word) = file.kind.as_deref() else {
        return Err(origin.error("workload.kind", "missing; expected \"tcp\", \"http\" or \"udp\""));
    };
    let built = [("tcp", KindWord::Tcp), ("http", KindWord::Http), ("udp", KindWord::Udp)];
    let kind = origin.choose("workload.kind", word, &built, &["journey"])?;
    let reader = Reader { file, unit, origin };
    reader.check_kind(kind)?;
    if kind == KindWord::Udp {
        let udp = frames::resolve(file, Sizes::of(testbed), suite, origin)?;
        let kind = WorkloadKind::Udp(udp);
        return Ok(Workload { kind, requests_per_connection: None, close: CloseMode::default() });
    }
    let built = [
        ("client-fin", CloseMode::ClientFin),
        ("server-fin", CloseMode::ServerFin),
        ("client-rst", CloseMode::ClientRst),
    ];
    let close = origin.choose("workload.close", file.close.as_deref().unwrap_or("client-fin"), &built, &[])?;
    let requests_per_connection = reader.requests_per_connection(kind)?;
    reader.check_close(kind, close, requests_per_connection)?;
    let kind = if kind == KindWord::Tcp { reader.tcp()? } else { WorkloadKind::Http(reader.http(testbed)?) };
    Ok(Workload { kind, requests_per_connection, close })
}

struct Reader<'a> {
    file: &'a WorkloadFile,
    unit: Unit,
    origin: &'a Origin,
}

impl Reader<'_> {
    fn refuse<T>(&self, key: &str, message: impl Into<String>) -> Result<T, ScenarioError> {
        Err(self.origin.error(&format!("workload.{key}"), message))
    }

    /// Keys and units of datagrams go with each other and with nothing else.
    fn check_kind(&self, kind: KindWord) -> Result<(), ScenarioError> {
        let file = self.file;
        let of_frames = [
            ("streams", file.streams.is_some()),
            ("tuples", file.tuples.is_some()),
            ("burst", file.burst.is_some()),
            ("frames", file.frames.is_some()),
        ];
        let of_connections = [
            ("request", file.request.is_some()),
            ("host", file.host.is_some()),
            ("headers", file.headers.is_some()),
            ("status", file.status.is_some()),
            ("requests_per_connection", file.requests_per_connection.is_some()),
            ("close", file.close.is_some()),
        ];
        let written = |keys: &[(&'static str, bool)]| keys.iter().find(|(_, written)| *written).map(|(key, _)| *key);
        let is_frames = self.unit == Unit::FramesPerSecond;
        if kind != KindWord::Udp {
            return match written(&of_frames) {
                Some(key) => self.refuse(key, "belongs to kind = \"udp\""),
                None if is_frames => {
                    Err(self.origin.error("load.unit", "frames are counted for workload.kind = \"udp\" only"))
                }
                None => Ok(()),
            };
        }
        if let Some(key) = written(&of_connections) {
            return self
                .refuse(key, "has no meaning for kind = \"udp\", whose datagrams carry a signature; leave it out");
        }
        if !is_frames {
            let message =
                format!("\"{}\" are none of kind = \"udp\"; expected \"frames/s\" or \"bandwidth\"", self.unit.name());
            return Err(self.origin.error("load.unit", message));
        }
        Ok(())
    }

    fn requests_per_connection(&self, kind: KindWord) -> Result<Option<NonZeroU32>, ScenarioError> {
        let key = "requests_per_connection";
        let written = match self.file.requests_per_connection {
            Some(0) => return self.refuse(key, "0 is no request at all; expected 1 or more"),
            written => written.and_then(NonZeroU32::new),
        };
        match (kind, self.unit) {
            (KindWord::Tcp, _) if written.is_some() => {
                self.refuse(key, "has no meaning for kind = \"tcp\", which sends no bytes; leave it out")
            }
            (_, Unit::Connections) if written.is_some() => self.refuse(
                key,
                "contradicts unit = \"connections\": a held connection carries a request every load.hold_interval",
            ),
            (KindWord::Http, Unit::ConnectionsPerSecond) => Ok(Some(written.unwrap_or(NonZeroU32::MIN))),
            _ => Ok(written),
        }
    }

    fn check_close(&self, kind: KindWord, close: CloseMode, requests: Option<NonZeroU32>) -> Result<(), ScenarioError> {
        if close != CloseMode::ServerFin {
            return Ok(());
        }
        if kind == KindWord::Tcp {
            return self.refuse(
                "close",
                "\"server-fin\" contradicts kind = \"tcp\": without a request no server knows when to close",
            );
        }
        if requests.is_none() {
            return self.refuse(
                "close",
                "\"server-fin\" needs workload.requests_per_connection: the last request asks the server to close",
            );
        }
        Ok(())
    }

    fn tcp(&self) -> Result<WorkloadKind, ScenarioError> {
        let file = self.file;
        let written = [
            ("request", file.request.is_some()),
            ("host", file.host.is_some()),
            ("headers", file.headers.is_some()),
            ("status", file.status.is_some()),
        ];
        if let Some((key, _)) = written.iter().find(|(_, written)| *written) {
            return self
                .refuse(key, "has no meaning for kind = \"tcp\", which sends no bytes; expected kind = \"http\"");
        }
        if matches!(self.unit, Unit::TransactionsPerSecond | Unit::Transactions) {
            let message = format!(
                "\"tcp\" has no transactions, but load.unit is \"{}\"; expected \"http\", or unit = \"connections/s\"",
                self.unit.name()
            );
            return self.refuse("kind", message);
        }
        Ok(WorkloadKind::Tcp)
    }

    fn http(&self, testbed: &TestbedPlan) -> Result<HttpPlan, ScenarioError> {
        let request = self.file.request.clone().unwrap_or_else(|| "/".to_owned());
        let sound = request.starts_with('/') && request.bytes().all(|byte| byte.is_ascii_graphic());
        if !sound || request.len() > REQUEST_MAX {
            let message =
                format!("{request:?} is not a path; expected / and up to 8 KiB of printable ASCII, no blanks");
            return self.refuse("request", message);
        }
        let status = self.file.status.unwrap_or(200);
        if !(200..=599).contains(&status) {
            return self.refuse("status", format!("{status} is not a final status; expected 200 to 599"));
        }
        let host = self.file.host.clone().unwrap_or_default();
        if !host.bytes().all(|byte| byte.is_ascii_graphic()) {
            return self.refuse("host", format!("{host:?} is not a host; expected such as \"www.example.com\""));
        }
        let body = self.body(&request, testbed)?;
        Ok(HttpPlan { request, host, headers: self.headers()?, status, body })
    }

    fn headers(&self) -> Result<Vec<(String, String)>, ScenarioError> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let mut headers = Vec::new();
        for (name, value) in self.file.headers.iter().flatten() {
            let key = format!("headers.{name}");
            if name.is_empty() || !name.bytes().all(token) {
                return self.refuse(&key, format!("{name:?} is not a header name (RFC 9110, 5.1)"));
            }
            if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                return self.refuse(&key, format!("{name} is written by the generator itself; leave it out"));
            }
            if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
                return self.refuse(&key, format!("{value:?} has control characters"));
            }
            headers.push((name.clone(), value.clone()));
        }
        Ok(headers)
    }

    /// Reflectors send the bytes of the table that the request asks for; about any other server only
    /// the length of its first right answer is known.
    fn body(&self, request: &str, testbed: &TestbedPlan) -> Result<BodyCheck, ScenarioError> {
        let ours = testbed.reflectors > 0 || !testbed.remote_reflectors.is_empty();
        let Some(size) = size_parameter(request).filter(|_| ours) else { return Ok(BodyCheck::LengthOfFirst) };
        match binary_size(size) {
            Some(length) => Ok(BodyCheck::Table { length }),
            None => self.refuse(
                "request",
                format!(
                    "s={size} is not a size that can be verified; expected whole bytes with k, m or g for 1,024: s=20k"
                ),
            ),
        }
    }
}

/// The last `s=` of the query, as a reflector reads it.
fn size_parameter(request: &str) -> Option<&str> {
    let (_, query) = request.split_once('?')?;
    query.split(['&', '?', ',', ';', '/']).filter_map(|part| part.strip_prefix("s=")).next_back()
}

/// Digits, then k, m or g for 1,024 each, in any number; at most 1 TiB.
fn binary_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..digits].parse::<u64>().ok()?;
    let size = text[digits..].bytes().try_fold(number, |value, suffix| match suffix {
        b'k' | b'K' => value.checked_mul(1 << 10),
        b'm' | b'M' => value.checked_mul(1 << 20),
        b'g' | b'G' => value.checked_mul(1 << 30),
        _ => None,
    })?;
    (size <= 1 << 40).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_as_a_reflector_reads_it() {
        assert_eq!(size_parameter("/?s=1k"), Some("1k"));
        assert_eq!(size_parameter("/x?t=5&s=2&s=20k"), Some("20k"));
        assert_eq!(size_parameter("/?r=500?s=0?c=0"), Some("0"));
        assert_eq!(size_parameter("/s=1k"), None);
        assert_eq!(size_parameter("/?as=1"), None);
        assert_eq!(
            ["0", "64", "1k", "20K", "1m", "1kk"].map(binary_size),
            [Some(0), Some(64), Some(1024), Some(20_480), Some(1 << 20), Some(1 << 20)]
        );
        assert_eq!(["", "k", "30r", "-1", "1.5k", "9999g"].map(binary_size), [None; 6]);
    }
}
