//! One line for each member, for `cut`, `awk` and spreadsheets. Columns are added at the end, and never moved. Pure.

use super::member_row::member_rows;
use super::picture::Picture;
use super::table::{agent_configuration, agent_version, role, said_by, vips};
use super::words::{NOT_KNOWN, or_not_known};

/// The first line.
const HEADER: [&str; 13] = [
    "cluster",
    "member",
    "host",
    "role",
    "state",
    "queue",
    "version",
    "vips",
    "age_ms",
    "said_by",
    "silent",
    "agent_version",
    "configuration",
];

/// All members of all clusters.
pub(crate) fn tsv(pictures: &[Picture]) -> String {
    let mut lines = vec![HEADER.join("\t")];
    for picture in pictures {
        lines.extend(member_rows(picture).into_iter().map(|row| {
            let number =
                |value: Option<u128>| value.map_or_else(|| NOT_KNOWN.to_owned(), |value| value.to_string());
            [
                or_not_known(Some(&picture.cluster)),
                or_not_known(row.name.as_deref()),
                row.address.to_string(),
                role(row.role),
                or_not_known(row.state.as_deref()),
                number(row.queue.map(u128::from)),
                or_not_known(row.version.as_deref()),
                vips(&row),
                number(row.age.map(|age| age.as_millis())),
                said_by(row.said_by),
                row.silent.as_deref().map_or_else(|| "no".to_owned(), |why| or_not_known(Some(why))),
                agent_version(&row),
                agent_configuration(&row),
            ]
            .join("\t")
        }));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::sample::{hangs, ip, shown, well, well_from_db3};
    use super::*;

    #[test]
    fn the_header_is_stable_and_each_line_has_each_column() {
        let text = tsv(&[well()]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "cluster\tmember\thost\trole\tstate\tqueue\tversion\tvips\tage_ms\tsaid_by\tsilent\tagent_version\tconfiguration"
        );
        assert_eq!(
            lines[1],
            "orders\tdb1\t10.77.0.11\tPrimary\tONLINE\t1\t9.7.4\t10.77.0.100\t20\titself\tno\t0.1.0\t"
                .to_owned()
                + &shown("0.1.0", 7).configuration.short()
        );
        assert!(lines.iter().all(|line| line.split('\t').count() == HEADER.len()));
    }

    #[test]
    fn what_is_not_known_is_not_known_and_an_old_word_has_its_age() {
        let mut picture = well_from_db3();
        hangs(&mut picture, 1, Some(12), "ONLINE");
        for server in picture.servers.iter_mut().filter(|server| server.address != ip(11)) {
            (server.said, server.silent) = (None, Some("a tab\there".to_owned()));
        }
        picture.segment = Err("needs root".to_owned());
        let text = tsv(&[picture]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "orders\tdb1\t10.77.0.11\tPrimary\tONLINE\t1\t9.7.4\tnot known\t12000\titself\tno answer within 200 ms\tnot known\tnot known"
        );
        assert_eq!(
            lines[2],
            "orders\tnot known\t10.77.0.12\tnot known\tnot known\tnot known\tnot known\tnot known\tnot known\tnobody\ta tab here\tnot known\tnot known"
        );
    }
}
