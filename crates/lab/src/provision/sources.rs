//! Which Debian archive this machine takes its packages from, in both forms of apt's lists.

/// The archive of a source list: the first `deb` source that offers `codename` itself (not its security updates) with
/// the component `main`. Understands one-line lists and deb822 ones; comments are no sources.
pub(super) fn archive(list: &str, codename: &str) -> Option<String> {
    one_line(list, codename).or_else(|| deb822(list, codename))
}

/// `deb [options] URI suite component…`
fn one_line(list: &str, codename: &str) -> Option<String> {
    list.lines().find_map(|line| {
        let line = line.split('#').next()?.trim();
        let mut rest = line.strip_prefix("deb ")?.trim_start();
        if rest.starts_with('[') {
            rest = rest.split_once(']')?.1;
        }
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        (suite == codename && words.any(|component| component == "main")).then(|| uri.to_owned())
    })
}

/// Paragraphs of `Types:`, `URIs:`, `Suites:`, `Components:`.
fn deb822(list: &str, codename: &str) -> Option<String> {
    let text: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    text.split(|line| line.trim().is_empty()).find_map(|paragraph| {
        let field = |name: &str| {
            paragraph.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.trim().eq_ignore_ascii_case(name).then(|| value.split_whitespace())
            })
        };
        let has =
            |name: &str, wanted: &str| field(name).is_some_and(|mut words| words.any(|word| word == wanted));
        let usable = has("Types", "deb")
            && has("Suites", codename)
            && has("Components", "main")
            && !has("Enabled", "no");
        if usable { field("URIs")?.next().map(str::to_owned) } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::archive;

    #[test]
    fn a_deb822_list_gives_its_archive_and_not_a_comment_nor_security() {
        let list = "\
Types: deb
URIs: http://archive.invalid/security
Suites: bookworm-security
Components: main

# A comment before a paragraph
Types: deb
# URIs: http://snapshot.invalid/debian/2025
URIs: http://archive.invalid/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/some.gpg
";
        assert_eq!(archive(list, "bookworm").as_deref(), Some("http://archive.invalid/debian"));
        assert_eq!(archive(list, "trixie"), None);
    }

    #[test]
    fn a_one_line_list_gives_its_archive_past_options() {
        let list = "\
# deb http://commented.invalid/debian bookworm main
deb-src http://source.invalid/debian bookworm main
deb https://other.invalid/tool tool-bookworm main
deb [arch=amd64 signed-by=/a/b.gpg] https://archive.invalid/debian/ bookworm main contrib # ours
";
        assert_eq!(archive(list, "bookworm").as_deref(), Some("https://archive.invalid/debian/"));
    }

    #[test]
    fn a_list_that_is_switched_off_or_garbage_gives_nothing() {
        assert_eq!(archive("Enabled: no\nTypes: deb\nURIs: x\nSuites: a\nComponents: main\n", "a"), None);
        assert_eq!(archive("deb [broken http://x a main\nTypes\n:\n", "a"), None);
    }
}
