//! The libraries: which, and the program that takes each through a move.

use super::install::Part;

/// One way of using a library.
#[derive(Clone, Copy, Debug)]
pub(super) struct Library {
    /// What its program knows it by.
    pub(super) name: &'static str,
    /// With what it is installed.
    pub(super) part: Part,
}

const fn library(part: Part, name: &'static str) -> Library {
    Library { name, part }
}

pub(super) const LIBRARIES: [Library; 21] = [
    library(Part::Python, "PyMySQL"),
    library(Part::Mysqlclient, "mysqlclient"),
    library(Part::Python, "mysql-connector-python"),
    library(Part::Python, "mysql-connector-python, ssl_disabled"),
    library(Part::Python, "mysql-connector-python, pool"),
    library(Part::Python, "SQLAlchemy"),
    library(Part::Python, "SQLAlchemy, pool_pre_ping"),
    library(Part::Python, "aiomysql, pool"),
    library(Part::Python, "asyncmy, pool"),
    library(Part::Node, "mysql2"),
    library(Part::Node, "mysql2, pool"),
    library(Part::Node, "mariadb"),
    library(Part::Node, "mariadb, pool"),
    library(Part::Rust, "mysql_async, pool"),
    library(Part::Rust, "mysql (Rust), pool"),
    library(Part::Rust, "sqlx, pool"),
    library(Part::Rust, "sqlx, pool, TLS"),
    library(Part::Go, "go-sql-driver/mysql"),
    library(Part::Java, "MariaDB Connector/J"),
    library(Part::Java, "MariaDB Connector/J, HikariCP"),
    library(Part::Java, "MariaDB Connector/J, HikariCP, allowPublicKeyRetrieval"),
];
