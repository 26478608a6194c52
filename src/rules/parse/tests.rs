use super::*;

const HEAD: &str = r#"[document]
id = "x@2020-01-01"
short = "x"
title = "X"
products = ["x"]
source = "somewhere"
retrieved = 2026-11-20

[[table]]
id = "t"
title = "T"
kind = "endpoint"
cloud = "public"
"#;

/// Parses `rows` after [`HEAD`] and compares the errors, as `line: message`.
fn check(rows: &str, expected: &[&str]) {
    let errors = match read("x.toml", &format!("{HEAD}{rows}")) {
        Ok(_) => Vec::new(),
        Err(errors) => errors,
    };
    let shown: Vec<String> = errors.iter().map(|p| format!("{}: {}", p.line, p.message)).collect();
    assert_eq!(shown, expected, "{rows}");
}

fn row(number: u32, rest: &str) -> String {
    format!("[[table.row]]\nnumber = {number}\nprinted = \"p\"\n{rest}\n")
}

#[test]
fn a_correct_file_has_no_error() {
    check(&row(1, "urls = [\"https://a.example.com\", \"http://b.example.com/x\"]"), &[]);
}

#[test]
fn ties_in_one_document_are_errors() {
    let twice = |more: &str| {
        row(1, "urls = [\"https://a.example.com\"]")
            + &row(2, &format!("urls = [\"https://A.example.com/x\"]\n{more}"))
    };
    check(
        &twice(""),
        &[
            "18: `a.example.com` repeats `a.example.com` of t/1: add `repeats = \"t/1\"` if the document repeats it",
        ],
    );
    check(&twice("repeats = \"t/1\""), &[]);
    check(
        &twice("repeats = \"t/9\""),
        &[
            "18: no row `t/9` in this document",
            "18: `a.example.com` repeats `a.example.com` of t/1: add `repeats = \"t/1\"` if the document repeats it",
        ],
    );
    let globs = "ports = \"443\"\nurls = [\"a*.example.com\", \"*a.example.com\"]";
    check(
        &row(1, globs),
        &[
            "14: `*a.example.com` is as specific as `a*.example.com` of t/1: add `repeats = \"t/1\"` if the document repeats it",
        ],
    );
    let http = "urls = [\"https://a.example.com\", \"http://a.example.com\"]";
    check(&row(1, http), &[]);
}

#[test]
fn errors_have_their_line() {
    check(&row(2, "urls = [\"https://a.example.com\"]"), &["15: row 2 of table `t` is in position 1"]);
    check(&row(1, "urls = [\"a.example.com\"]"), &["17: no port for `a.example.com`: give `ports`"]);
    check(&row(1, ""), &["14: the row needs a URL"]);
    check(
        &row(1, "urls = [\"https://*.com\"]"),
        &["17: not a host pattern: `*.com`: a wildcard needs two labels after it"],
    );
    check(
        &row(1, "ports = \"443\"\nurls = [\"http://a.example.com\"]"),
        &["18: http is port 80: give `http://a.example.com` its `corrected-ports`"],
    );
    check(
        &row(1, "urls = [{ url = \"https://*.example.com\", broad = true }]"),
        &["17: `https://*.example.com` is broad: name the statement that proves it in `see`"],
    );
    check(
        &row(1, "urls = [{ ulr = \"https://a.example.com\" }]"),
        &["17: unknown key `ulr`, did you mean `url`?"],
    );
}

#[test]
fn typing_errors_are_rejected() {
    let url = |text: &str| row(1, &format!("ports = \"443\"\nurls = [{text}]"));
    check(&url("\"htps://a.example.com\""), &["18: unknown scheme `htps` in `htps://a.example.com`"]);
    check(&url("\"https://a.example.com:99999\""), &["18: not a port in `https://a.example.com:99999`"]);
    check(
        &url("{ url = \"a.example.com\", alias = \"b.example.com\" }"),
        &["18: a correction needs a `note` with the reason"],
    );
    check(
        &row(1, "corrected-ports = \"80\"\nurls = [\"https://a.example.com\"]"),
        &["17: a correction needs a `note` with the reason"],
    );
    check(
        &url("{ url = \"my.example.com\", placeholders = { my = \"storrage-account\" } }"),
        &["18: no value of a site file is called `storrage-account`, did you mean `storage-account`?"],
    );
    check(
        "[[table]]\nid = \"u\"\ntitle = \"U\"\nkind = \"endpoint\"\n",
        &["10: table `t` has no row", "15: table `u` has no row"],
    );
}

#[test]
fn a_wrong_port_is_reported_once() {
    check(
        &row(1, "ports = \"70000\"\nurls = [\"a.example.com\", \"http://b.example.com\"]"),
        &["17: not a port: `70000`"],
    );
}

#[test]
fn a_document_needs_dates_and_tables() {
    let text = HEAD.split("[[table]]").next().unwrap();
    let text = text.replace("retrieved = 2026-11-20", "retrieved = 07:30:00");
    let errors = read("x.toml", &text).map(|_| ()).unwrap_err();
    let shown: Vec<String> = errors.iter().map(|p| format!("{}: {}", p.line, p.message)).collect();
    assert_eq!(shown, ["7: not a date: `07:30:00`", "1: the document has no table",]);
}

#[test]
fn a_document_needs_a_source() {
    let text = HEAD.replace("source = \"somewhere\"\nretrieved = 2026-11-20\n", "")
        + &row(1, "urls = [\"https://a.example.com\"]");
    let errors = read("x.toml", &text).map(|_| ()).unwrap_err();
    let messages: Vec<_> = errors.iter().map(|p| p.to_string()).collect();
    assert_eq!(
        messages,
        [
            "cannot read rules: x.toml:1: the document has no `source`, the place where it was retrieved",
            "cannot read rules: x.toml:1: the document has no `retrieved`, the date on which it was retrieved",
        ]
    );
}
