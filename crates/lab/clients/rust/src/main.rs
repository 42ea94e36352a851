//! One Rust library through a move of the VIP: the same questions and answers as probe.py.

use std::error::Error;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable as _;
use mysql_async::prelude::Queryable as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const AGAIN_AFTER: Duration = Duration::from_millis(100);
const GIVES_UP_AFTER: Duration = Duration::from_secs(20);
/// After the move: whoever has not failed until then does not.
const UNHARMED: Duration = Duration::from_secs(3);

/// Whether there was a row, or the error's number or name.
type Outcome = Result<bool, String>;

/// A pool of one connection.
enum Client<'a> {
    Mysql(mysql::Pool),
    Async(mysql_async::Pool, &'a Runtime),
    Sqlx(sqlx::MySqlPool, &'a Runtime),
}

impl Client<'_> {
    fn run(&self, statement: &str) -> Outcome {
        match self {
            Self::Mysql(pool) => with_mysql(pool, statement).map_err(|error| mysql_number(&error)),
            Self::Async(pool, runtime) => {
                runtime.block_on(with_mysql_async(pool, statement)).map_err(|error| match error {
                    mysql_async::Error::Server(error) => error.code.to_string(),
                    error => name(&error),
                })
            }
            Self::Sqlx(pool, runtime) => {
                runtime.block_on(with_sqlx(pool, statement)).map_err(|error| sqlx_number(&error))
            }
        }
    }
}

fn with_mysql(pool: &mysql::Pool, statement: &str) -> mysql::Result<bool> {
    let row: Option<mysql::Row> = pool.get_conn()?.query_first(statement)?;
    Ok(row.is_some())
}

async fn with_mysql_async(pool: &mysql_async::Pool, statement: &str) -> mysql_async::Result<bool> {
    let row: Option<mysql_async::Row> = pool.get_conn().await?.query_first(statement).await?;
    Ok(row.is_some())
}

async fn with_sqlx(pool: &sqlx::MySqlPool, statement: &str) -> sqlx::Result<bool> {
    let statement = sqlx::AssertSqlSafe(statement.to_owned());
    Ok(sqlx::query(statement).fetch_optional(pool).await?.is_some())
}

/// It hides the operating system's errors in three of its own.
fn mysql_number(error: &mysql::Error) -> String {
    use mysql::{DriverError, Error};
    use mysql_common::proto::codec::error::PacketCodecError;
    match error {
        Error::MySqlError(error) => error.code.to_string(),
        Error::CodecError(PacketCodecError::Io(error)) => format!("{:?}", error.kind()),
        Error::DriverError(DriverError::CouldNotConnect(Some((_, _, kind)))) => format!("{kind:?}"),
        error => name(error),
    }
}

fn sqlx_number(error: &sqlx::Error) -> String {
    let server = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>());
    match error {
        sqlx::Error::PoolTimedOut => "PoolTimedOut".to_owned(),
        sqlx::Error::Configuration(_) => "Configuration".to_owned(),
        error => server.map_or_else(|| name(error), |server| server.number().to_string()),
    }
}

/// The kind of the operating system's error behind it, or its first words.
fn name(error: &(dyn Error + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(found) = cause {
        if let Some(error) = found.downcast_ref::<std::io::Error>() {
            return format!("{:?}", error.kind());
        }
        cause = found.source();
    }
    error.to_string().chars().take(60).collect()
}

/// Where the library is to go, and by which account.
struct Wanted {
    library: String,
    host: String,
    port: u16,
    user: String,
    password: String,
}

impl Wanted {
    /// A new client of the library: its connections are shared with no other.
    fn client<'a>(&self, runtime: &'a Runtime) -> Result<Client<'a>, String> {
        let Self { library, host, port, user, password } = self;
        let url = format!("mysql://{user}:{password}@{host}:{port}");
        match library.split(',').next() {
            Some("mysql (Rust)") => {
                let one = mysql::PoolConstraints::new(1, 1).ok_or("no pool of one")?;
                let options = mysql::Opts::from_url(&url).map_err(|error| error.to_string())?;
                let options = mysql::OptsBuilder::from_opts(options)
                    .pool_opts(mysql::PoolOpts::default().with_constraints(one));
                mysql::Pool::new(options).map(Client::Mysql).map_err(|error| mysql_number(&error))
            }
            Some("mysql_async") => {
                let one = mysql_async::PoolConstraints::new(1, 1).ok_or("no pool of one")?;
                let options = mysql_async::Opts::from_url(&url).map_err(|error| error.to_string())?;
                let options = mysql_async::OptsBuilder::from_opts(options)
                    .pool_opts(mysql_async::PoolOpts::default().with_constraints(one));
                let _inside = runtime.enter();
                Ok(Client::Async(mysql_async::Pool::new(options), runtime))
            }
            Some("sqlx") => {
                let _inside = runtime.enter();
                let pool = sqlx::mysql::MySqlPoolOptions::new().max_connections(1).connect_lazy(&url);
                pool.map(|pool| Client::Sqlx(pool, runtime)).map_err(|error| sqlx_number(&error))
            }
            _ => Err(format!("no library {library}")),
        }
    }
}

fn insert(row: u64) -> String {
    format!("INSERT INTO lab.ledger (id, note) VALUES ({row}, 'a library')")
}

/// Errors until then, and seconds; none where it was given up.
fn until_it_succeeds(mut what: impl FnMut() -> Outcome) -> (Vec<String>, Option<f64>) {
    let (began, mut errors) = (Instant::now(), Vec::new());
    loop {
        match what() {
            Ok(_) => return (errors, Some(began.elapsed().as_secs_f64())),
            Err(error) => errors.push(error),
        }
        if began.elapsed() > GIVES_UP_AFTER {
            return (errors, None);
        }
        sleep(AGAIN_AFTER);
    }
}

fn tell(what: &str, (errors, seconds): (Vec<String>, Option<f64>), written: Option<bool>) {
    let mut line = json!({ "what": what, "errors": errors, "seconds": seconds });
    if let Some(written) = written {
        line["written"] = Value::Bool(written);
    }
    println!("{line}");
}

/// Inserts until an error is over, and tells it; and whether the row that failed first is there all the same.
fn insert_for_ever(busy: &Client, over: &Mutex<Option<Instant>>, mut row: u64) -> Result<(), String> {
    let mut since = Instant::now();
    let is_over = || over.lock().is_ok_and(|over| over.is_some_and(|over| over.elapsed() > UNHARMED));
    while !is_over() {
        let Err(error) = busy.run(&insert(row)) else {
            since = Instant::now();
            row += 1;
            continue;
        };
        let (again, recovered) = until_it_succeeds(|| busy.run(&insert(row + 1)));
        let errors = std::iter::once(error).chain(again).collect();
        if recovered.is_none() {
            tell("busy", (errors, None), None);
            return Ok(());
        }
        let seconds = since.elapsed().as_secs_f64();
        let written = busy.run(&format!("SELECT id FROM lab.ledger WHERE id = {row}"))?;
        tell("busy", (errors, Some(seconds)), Some(written));
        return Ok(());
    }
    tell("busy", (Vec::new(), Some(0.0)), None);
    Ok(())
}

fn heard() -> Result<(), Box<dyn Error>> {
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, host, port, user, password, first] =
        arguments.try_into().map_err(|_| "six arguments are wanted")?;
    let wanted = Wanted { library, host, port: port.parse()?, user, password };
    let row: u64 = first.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (idle, busy) = (wanted.client(&runtime)?, wanted.client(&runtime)?);
    idle.run(&insert(row))?;
    busy.run(&insert(row + 1))?;
    let over = Mutex::new(None);
    std::thread::scope(|scope| {
        let inserting = scope.spawn(|| insert_for_ever(&busy, &over, row + 10));
        println!("ready");
        heard()?;
        tell("connect", until_it_succeeds(|| wanted.client(&runtime)?.run("SELECT 1")), None);
        heard()?;
        *over.lock().map_err(|_| "no lock")? = Some(Instant::now());
        tell("idle", until_it_succeeds(|| idle.run(&insert(row + 2))), None);
        inserting.join().map_err(|_| "the inserting thread panicked")??;
        // A pool that is dropped may wait for its connections.
        std::process::exit(0)
    })
}
