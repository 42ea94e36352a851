//! Whether a new account is one: before an agent goes over to another user, password or certificate, its own server is asked.

use std::thread;

use decide::input::{Fact, Why};

use crate::commands::check::local_access;
use crate::config::Cluster;
use crate::observe::group_settings::{self, GroupSettings};

/// So many servers are asked at the same time.
const ASKERS: usize = 8;

/// Whether an agent would log in otherwise than now.
pub(super) fn differs(old: &Cluster, new: &Cluster) -> bool {
    let of = |cluster: &Cluster| {
        let Cluster { user, password, socket, tls_ca, tls_client, .. } = cluster.clone();
        (user, password, socket, tls_ca, tls_client)
    };
    of(old) != of(new)
}

/// A sentence for each cluster whose own server turns it away. One that does not answer says nothing.
pub(super) fn turned_away(clusters: &[&Cluster]) -> Vec<String> {
    let mut sentences = Vec::new();
    for some in clusters.chunks(ASKERS) {
        let answers = thread::scope(|scope| {
            let asked: Vec<_> = some
                .iter()
                .map(|cluster| (cluster, thread::Builder::new().spawn_scoped(scope, || ask(cluster))))
                .collect();
            // Where there is no thread to be had, the answer stays out, as a silent server's.
            let answers = asked
                .into_iter()
                .map(|(cluster, asked)| (cluster, asked.ok().and_then(|asked| asked.join().ok())));
            answers.collect::<Vec<_>>()
        });
        for (cluster, answer) in answers {
            if let Some(Some(Fact::Unknown(why @ (Why::WrongPassword(_) | Why::Tls(_))))) = answer {
                sentences.push(sentence(cluster, &why));
            }
        }
    }
    sentences
}

/// `None` where this host is no member as far as can be seen.
fn ask(cluster: &Cluster) -> Option<Fact<GroupSettings>> {
    Some(group_settings::ask(local_access(cluster)?))
}

fn sentence(cluster: &Cluster, why: &Why) -> String {
    format!(
        "cluster {}: this host's server turns the new account away: {why}. Change the account first, on the primary (with another password: ALTER USER … RETAIN CURRENT PASSWORD), \
         and reload once the group has carried that here",
        cluster.name
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{Password, Source};
    use crate::fuzzing::configuration;

    #[test]
    fn only_another_way_to_log_in_is_asked_about_and_the_sentence_says_what_to_do() {
        let text = "[[cluster]]\nvip=\"10.7.0.1\"\ngateway=\"10.0.0.1\"\nmysql_port=3306\nuser=\"u\"\npassword=\"p\"\ninstall_path=\"/\"\n\
             [cluster.members]\n\"10.0.0.2\"=\"e\"\n";
        let old = configuration(Source::Toml, text.as_bytes()).unwrap().remove(0);
        let other_name = Cluster { name: "other".to_owned(), ..old.clone() };
        assert!(!differs(&old, &other_name));
        let new = Cluster { password: Password::new("very secret"), ..old.clone() };
        assert!(differs(&old, &new));
        let said = sentence(&new, &Why::WrongPassword("Access denied".to_owned()));
        assert!(said.contains("cluster 3306") && said.contains("RETAIN CURRENT PASSWORD"), "{said}");
        assert!(!said.contains("very secret") && !said.to_lowercase().contains("warn"), "{said}");
    }
}
