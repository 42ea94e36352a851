#![allow(clippy::unwrap_used)]

use super::*;

fn text(source: &str) -> Result<String, NotALiteral> {
    match assignment(&format!("x = {source}\n"), "x")?.value {
        Value::Text(text) => Ok(text.to_string()),
        other => panic_with(&other),
    }
}

#[allow(clippy::panic)]
fn panic_with(value: &Value) -> ! {
    panic!("{value:?}")
}

#[test]
fn text_is_read_as_python_reads_it() {
    for (source, meaning) in [
        (r#""KRj$r748Lf""#, "KRj$r748Lf"),
        ("'it\"s'", "it\"s"),
        (r"'a\'b\\c\n\x41\101\u00e9'", "a'b\\c\nAA\u{e9}"),
        (r"r'a\d\'b'", r"a\d\'b"),
        (r"'\d'", r"\d"),
        ("u'x'", "x"),
        ("'''a\n'b'''", "a\n'b"),
        (r#""""a"b""""#, "a\"b"),
        ("'a' \"b\" r'\\c'", "ab\\c"),
        ("'a\\\nb'", "ab"),
        ("'#no comment'", "#no comment"),
        ("''", ""),
    ] {
        assert_eq!(text(source).unwrap(), meaning, "{source}");
    }
}

#[test]
fn whatever_would_have_to_be_executed_is_refused_with_its_line() {
    for source in [
        "x = {'a': open('f')}",
        "x = {'a': name}",
        "x = {'a': f'{b}'}",
        "x = {'a': b'c'}",
        "x = {'a': 'b' + 'c'}",
        "x = {'a': -1}",
        "x = {'a': 007}",
        "x = {'a': 1.5}",
        "x = {'a': 0x10}",
        "x = {'a': [1]}",
        "x = {'a': True}",
        "x = {**y}",
        "x = {'a': 1}; import os",
        "x = {'a': 1}\nimport os",
        "import os\nx = {'a': 1}",
        "x = {'a': 1",
        "x = {'a: 1}",
        "x = {'a' 1}",
        "x = {'a': 1 \\ }",
        "x += {}",
        "x == {}",
        "x = dict(a=1)",
        "x",
        "",
        "x = ",
        "x = '\\x4'",
        "x = '\\ud800'",
        "x = '\\",
    ] {
        let refused = assignment(source, "x").unwrap_err();
        assert!(refused.at.line >= 1 && !refused.text.is_empty(), "{source}: {refused:?}");
    }
    assert_eq!(
        assignment("# one\nx = {'a': 1,\n 'b': c}\n", "x").unwrap_err().at,
        Position { line: 3, column: 7 }
    );
}

#[test]
fn a_deep_nest_is_refused_and_exhausts_nothing() {
    let deep = format!("x = {}", "{'a':".repeat(100_000));
    assert!(assignment(&deep, "x").unwrap_err().text.contains("nested"));
}

#[test]
fn continuations_comments_and_trailing_commas_are_python_s() {
    let source = "\n# one\nx \\\n = {  # two\n 'a' : 1, \\\n 'b' : { 'c' : '2' , } ,\n}  # three\n\n# four";
    let Value::Table(entries) = assignment(source, "x").unwrap().value else { unreachable!() };
    assert_eq!(entries.len(), 2);
    assert_eq!(entries.first().unwrap().value, Value::Whole(1));
}
