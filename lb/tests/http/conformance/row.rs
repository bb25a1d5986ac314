//! Rows as they are written, and the steps they mean.
//!
//! `[[request]]` and `[[response]]` are short forms for the usual exchange; `[[exchange]]` spells its
//! steps out. All end up as steps, so that nothing is judged in two ways.

use serde::Deserialize;

use super::step::{Act, Bytes, Reply, Step, Who};

/// What a server answers when a row is about the request only.
const ANSWER: &str = r"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// The request when a row is about the response only, and what the server sees of it.
const ASKED: &str = r"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const SEEN: &str = r"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\r\n";
/// Follows every request that is to be refused: nobody may answer it.
const AFTER: &str = r"GET /after HTTP/1.1\r\nHost: h\r\n\r\n";
/// The service of a row that says nothing else: whatever can be kept is used again at once.
const SERVICE: &str = "reuse = 'always'";

/// One row, ready to be played.
pub(crate) struct Row {
    pub(crate) name: String,
    /// The section it stands on, and what that says.
    pub(crate) rule: String,
    /// Keys of the virtual service.
    pub(crate) service: String,
    /// Whether it also holds when every message comes byte by byte.
    pub(crate) split: bool,
    pub(crate) steps: Vec<Step>,
}

/// Reads one file.
pub(crate) fn read(text: &str) -> Result<Vec<Row>, String> {
    let file: TableFile = toml::from_str(text).map_err(|error| error.to_string())?;
    let requests = file.request.into_iter().map(|row| (row.name.clone(), row.into_row()));
    let responses = file.response.into_iter().map(|row| (row.name.clone(), row.into_row()));
    let exchanges = file.exchange.into_iter().map(|row| (row.name.clone(), row.into_row()));
    let rows = requests.chain(responses).chain(exchanges);
    rows.map(|(name, row)| row.map_err(|error| format!("{name}: {error}"))).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableFile {
    #[serde(default)]
    request: Vec<RequestFile>,
    #[serde(default)]
    response: Vec<ResponseFile>,
    #[serde(default)]
    exchange: Vec<ExchangeFile>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Fate {
    Kept,
    Closed,
    Reset,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestFile {
    name: String,
    rule: String,
    sends: String,
    refused: Option<String>,
    server: Option<String>,
    answer: Option<String>,
    client: Option<String>,
    then: Option<Fate>,
    server_then: Option<Fate>,
    service: Option<String>,
    split: Option<bool>,
}

impl RequestFile {
    fn into_row(self) -> Result<Row, String> {
        let steps = match (&self.refused, &self.server) {
            (Some(refused), None) => vec![
                Step::new(Who::Client(1), Act::Sends(Bytes::read(&(self.sends.clone() + AFTER))?)),
                Step::new(Who::Client(1), Act::Refused(Reply::read(refused)?)),
            ],
            (None, Some(server)) => self.served(server)?,
            _ => return Err("a request is either refused or seen by the server".to_owned()),
        };
        Ok(Row {
            name: self.name,
            rule: self.rule,
            service: self.service.unwrap_or_else(|| SERVICE.to_owned()),
            split: self.split.unwrap_or(true),
            steps,
        })
    }

    fn served(&self, server: &str) -> Result<Vec<Step>, String> {
        let then = self.then.ok_or("then is missing")?;
        let answer = self.answer.as_deref().unwrap_or(ANSWER);
        let got = match (&self.client, then) {
            (Some(client), _) => client.clone(),
            (None, Fate::Kept) => answer.to_owned(),
            (None, _) => answer.replacen(r"\r\n\r\n", r"\r\nConnection: close\r\n\r\n", 1),
        };
        let mut steps = vec![
            Step::new(Who::Client(1), Act::Sends(Bytes::read(&self.sends)?)),
            Step::new(Who::Server(1), Act::Gets(Bytes::read(server)?)),
            Step::new(Who::Server(1), Act::Sends(Bytes::read(answer)?)),
            Step::new(Who::Client(1), Act::Gets(Bytes::read(&got)?)),
        ];
        steps.extend(fates(then, self.server_then.unwrap_or(Fate::Kept)));
        Ok(steps)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseFile {
    name: String,
    rule: String,
    asks: Option<String>,
    server: Option<String>,
    says: String,
    #[serde(default)]
    ends: bool,
    client: Option<String>,
    refused: Option<String>,
    then: Fate,
    server_then: Fate,
    split: Option<bool>,
}

impl ResponseFile {
    fn into_row(self) -> Result<Row, String> {
        if self.asks.is_some() != self.server.is_some() {
            return Err("asks and server go together".to_owned());
        }
        let mut steps = vec![
            Step::new(Who::Client(1), Act::Sends(Bytes::read(self.asks.as_deref().unwrap_or(ASKED))?)),
            Step::new(Who::Server(1), Act::Gets(Bytes::read(self.server.as_deref().unwrap_or(SEEN))?)),
            Step::new(Who::Server(1), Act::Sends(Bytes::read(&self.says)?)),
        ];
        if self.ends {
            steps.push(Step::new(Who::Server(1), Act::Ends));
        }
        steps.push(match (&self.client, &self.refused) {
            (Some(client), None) => Step::new(Who::Client(1), Act::Gets(Bytes::read(client)?)),
            (None, Some(refused)) => {
                let mut reply = Reply::read(refused)?;
                reply.close = self.then != Fate::Kept;
                Step::new(Who::Client(1), Act::Told(reply))
            }
            _ => return Err("a response either reaches the client or is refused".to_owned()),
        });
        steps.extend(fates(self.then, self.server_then));
        let service = SERVICE.to_owned();
        Ok(Row { name: self.name, rule: self.rule, service, split: self.split.unwrap_or(true), steps })
    }
}

/// What has become of both connections, proved by one more request: over the same server connection if
/// that was kept, from the same client if that was.
fn fates(client: Fate, server: Fate) -> Vec<Step> {
    let mut steps = Vec::new();
    match client {
        Fate::Kept => {}
        Fate::Closed => steps.push(Step::new(Who::Client(1), Act::SeesEnd)),
        Fate::Reset => steps.push(Step::new(Who::Client(1), Act::SeesReset)),
    }
    if server != Fate::Kept {
        steps.push(Step::new(Who::Server(1), Act::SeesClose));
    }
    let from = if client == Fate::Kept { 1 } else { 2 };
    let over = if server == Fate::Kept { 1 } else { 2 };
    steps.push(Step::new(Who::Client(from), Act::Stays { over }));
    steps
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExchangeFile {
    name: String,
    rule: String,
    service: Option<String>,
    split: Option<bool>,
    steps: Vec<String>,
}

impl ExchangeFile {
    fn into_row(self) -> Result<Row, String> {
        let steps = self.steps.iter().map(|step| Step::read(step).map_err(|error| format!("{error} in {step:?}")));
        Ok(Row {
            steps: steps.collect::<Result<_, _>>()?,
            name: self.name,
            rule: self.rule,
            service: self.service.unwrap_or_else(|| SERVICE.to_owned()),
            split: self.split.unwrap_or(true),
        })
    }
}
