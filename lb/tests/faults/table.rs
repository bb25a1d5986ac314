//! The table of faults in the documentation is written from the rows.
//!
//! `UPDATE=1` writes it; otherwise it is compared.

use std::path::Path;

use crate::row::{Bound, Content, End, Mode, Row, Sees, all};

const BEGIN: &str = "<!-- faults: written by lb/tests/faults with UPDATE=1 -->\n";
const END: &str = "<!-- end of faults -->\n";

fn table() -> String {
    let mut text = "| Phase | Fault | By | Mode | In detail | Client sees | Server sees | Bound | Counted |\n\
                    |---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for row in all() {
        let side = format!("{:?}", row.side).to_lowercase();
        let phase = format!("{:?}", row.phase).to_lowercase();
        let mode = if row.mode == Mode::Http { "HTTP" } else { "TCP" };
        let fault = format!("{:?}", row.fault).to_lowercase().replace("halfclose", "half-close");
        let (client, servers, bound, counted) = (client(row.client_sees), servers(row), bound(row), counted(row));
        text.push_str(&format!(
            "| {phase} | {fault} | {side} | {mode} | {} | {client} | {servers} | {bound} | {counted} |\n",
            row.how
        ));
    }
    text
}

fn client(Sees(content, end): Sees) -> String {
    let content = match content {
        _ if end == End::Gone => return "–".to_owned(),
        Content::Nothing => String::new(),
        Content::Status(status) => format!("{status}, "),
        Content::Part(status) => format!("part of {status}, "),
        Content::Bytes(_) => "all bytes, ".to_owned(),
        Content::Some => "some bytes, ".to_owned(),
        Content::All => "all bytes, ".to_owned(),
    };
    format!("{content}{}", word(end))
}

fn word(end: End) -> &'static str {
    match end {
        End::Gone => "–",
        End::Fin => "FIN",
        End::Reset => "RST",
        End::Closed => "FIN or RST",
        End::Kept => "kept",
    }
}

fn servers(row: &Row) -> String {
    match row.server_sees {
        [] => "no connection".to_owned(),
        ends => ends.iter().map(|end| word(*end)).collect::<Vec<_>>().join("; fresh: "),
    }
}

fn bound(row: &Row) -> String {
    match row.bound {
        Bound::AtOnce => "at once".to_owned(),
        Bound::After(timeout) => format!("`{}`", timeout.key()),
        Bound::Outlasts(timeout) => format!("outlasts `{}`", timeout.key()),
        Bound::Between(_, _, text) => text.to_owned(),
    }
}

fn counted(row: &Row) -> String {
    // The same failure, booked for the service and for the server.
    let names = row.counted.iter().filter(|name| !row.counted.contains(&"response_errors") || !name.contains(" of "));
    let names: Vec<_> = names.copied().collect();
    if names.is_empty() { "–".to_owned() } else { names.join(", ") }
}

#[test]
fn the_documentation_has_exactly_these_rows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the mark where the table begins");
    let (written, after) = rest.split_once(END).expect("the mark where the table ends");
    let table = table();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert_eq!(
            written, table,
            "lb/README.md is not what the rows say: run `UPDATE=1 cargo test -p lb --test faults`"
        );
    }
}
