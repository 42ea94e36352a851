//! The largest file that is read at all, filled with what costs a reader most: it is read or refused, and soon.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use haipmgr::config::Source;
use haipmgr::fuzzing::configuration;

/// As large as a configuration may be.
const LARGEST: usize = 256 << 10;
/// Far more than a good reader needs, in an unoptimised build on a busy machine; far less than a bad one.
const SOON: Duration = Duration::from_secs(60);

/// `begin`, then as many different `row`s as there is room for, then `end`.
fn filled(begin: &str, row: impl Fn(usize) -> String, end: &str) -> String {
    let mut text = begin.to_owned();
    for number in 0.. {
        let row = row(number);
        if text.len() + row.len() + end.len() > LARGEST {
            break;
        }
        text += &row;
    }
    text + end
}

fn is_refused_soon(source: Source, text: &str) {
    let started = Instant::now();
    let refused = configuration(source, text.as_bytes());
    let took = started.elapsed();
    let shown: String = text.chars().take(60).collect();
    println!("{took:?} {shown:?}");
    assert!(refused.is_err(), "{shown}");
    assert!(took < SOON, "{took:?} for {shown}");
}

#[test]
fn a_large_toml_file_is_refused_soon() {
    for text in [
        filled("", |at| format!("k{at}=1\n"), ""),
        filled("[[cluster]]\n", |at| format!("k{at}=1\n"), ""),
        filled("cluster=[{", |at| format!("k{at}=1,"), "k=1}]"),
        filled("[[cluster]]\nmembers={", |at| format!("k{at}=1,"), "k=1}"),
        filled(
            "[[cluster]]\n[cluster.members]\n",
            |at| format!("\"10.{}.{}.{}\"=\"e\"\n", at >> 16, at >> 8 & 255, at & 255),
            "",
        ),
        filled("", |_| "[[cluster]]\n".to_owned(), ""),
        filled("", |at| format!("[[cluster]]\nmysql_port={}\nname=\"{at}\"\n", at + 1), ""),
        filled("a=", |_| "[".to_owned(), ""),
        filled("a=", |_| "{a=".to_owned(), ""),
        filled("a", |_| ".a".to_owned(), "=1"),
        filled("[a", |_| ".a".to_owned(), "]"),
        filled("[[cluster]]\nname=\"", |_| "\\u0041".to_owned(), "\""),
        filled("[[cluster]]\nname=", |_| "9".to_owned(), ""),
        filled("[[cluster]]\nsleeptime=\"", |_| "9".to_owned(), "\""),
        filled("\"", |_| "a".to_owned(), ""),
        filled("", |_| "\"\n".to_owned(), ""),
        filled("", |_| "=\n".to_owned(), ""),
    ] {
        is_refused_soon(Source::Toml, &text);
    }
}

#[test]
fn a_large_parameter_py_is_refused_soon() {
    for text in [
        filled("par_var = {", |at| format!("'k{at}':1,"), "}"),
        filled("par_var = {", |at| format!("'k{at}':1,\n"), "}"),
        filled("par_var = {'cluser_ip':{", |at| format!("'{at}':1,"), "}}"),
        filled("par_var = {'cluser_ip':{", |_| "'10.0.0.1':'e',".to_owned(), "}}"),
        filled("par_var = ", |_| "{'':".to_owned(), ""),
        filled("par_var = {'vip':", |_| "''".to_owned(), "}"),
        filled("par_var = {'vip':", |_| "'' ".to_owned(), "}"),
        filled("par_var = {'vip':'", |_| "\\101".to_owned(), "'}"),
        filled("par_var = {'vip':", |_| "9".to_owned(), "}"),
        filled("par_var = {'vip':", |_| "\\\n".to_owned(), "}"),
        filled("par_var = {'vip':", |_| "#\n".to_owned(), "}"),
        filled("", |_| "a".to_owned(), ""),
    ] {
        is_refused_soon(Source::ParameterPy, &text);
    }
}
