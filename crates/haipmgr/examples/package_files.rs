//! `package_files FOLDER`: what a package holds beside the program and is made from the program's own words: man pages of the
//! commands and of the configuration file, completions for shells.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::roff::{Inline, Roff, bold, roman};
use haipmgr::commands::CommandLine;
use haipmgr::config::{Documented, keys_of_a_cluster, keys_of_the_file};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).ok_or("which folder? package_files FOLDER")?;
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    let mut command = CommandLine::command();
    // The commit is no part of a page: a page that has not changed stays as it is.
    command = command.version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    clap_mangen::generate_to(command.clone(), &man)?;
    fs::write(man.join("haipmgr.toml.5"), page_of_the_file())?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "haipmgr", &completions)?;
    }
    say_what_is_there(&folder)
}

fn say_what_is_there(folder: &Path) -> Result<(), Box<dyn Error>> {
    for part in ["man", "completions"] {
        for entry in fs::read_dir(folder.join(part))? {
            println!("{}", entry?.path().display());
        }
    }
    Ok(())
}

/// `haipmgr.toml(5)`
fn page_of_the_file() -> String {
    let mut page = Roff::new();
    page.control(
        "TH",
        ["haipmgr.toml", "5", "", concat!("haipmgr ", env!("CARGO_PKG_VERSION")), "File Formats"],
    );
    page.control("SH", ["NAME"]);
    page.text([roman("haipmgr.toml - the configuration of haipmgr, the same on every host of a group")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text(marked(
        "`/etc/haipmgr/haipmgr.toml` is read by `haipmgr run` at its start. `haipmgr init` writes it; `haipmgr check --config FILE` \
         prints every problem with its line, and starts nothing. A file with any problem is refused: nothing is started, nothing \
         is stopped. `haipmgr reload` has a running agent follow it: all keys but `lock`, and `install_path` and `mysql_port` of a cluster that \
         keeps its name. A length of time is a number with a unit, in quotes: `\"100ms\"`, `\"7s\"`, `\"1m\"`, `\"2h\"`. A plain number is \
         seconds. Each `[[cluster]]` is a table of its own; one agent serves them all.",
    ));
    page.control("SH", ["KEYS OF THE WHOLE FILE"]);
    keys_of_the_file().for_each(|key| describe(&mut page, &key));
    page.control("SH", ["KEYS OF A CLUSTER"]);
    keys_of_a_cluster().for_each(|key| describe(&mut page, &key));
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("haipmgr"), roman("(1), "), bold("haipmgr-check"), roman("(1), /usr/share/doc/haipmgr")]);
    page.render()
}

fn describe(page: &mut Roff, key: &Documented) {
    page.control("TP", []);
    page.text([bold(key.name)]);
    page.text(marked(&format!("{} Takes {}; default: {}.", key.about, key.takes, key.default)));
}

/// What stands between backticks is bold.
fn marked(text: &str) -> Vec<Inline> {
    text.split('`')
        .enumerate()
        .map(|(place, part)| if place % 2 == 1 { bold(part) } else { roman(part) })
        .collect()
}
