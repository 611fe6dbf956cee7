//! What every test stands on: a fresh database, a server with a test clock on a port of its own,
//! and people and apps that talk to it.

mod database;
mod server;

pub use database::{Database, TestDatabase};
pub use server::TestServer;

/// `T0` of the release cases, 2026-11-10T15:00:00Z.
pub const T0: i64 = 1_794_322_800_000;

/// Runs a test body on a fresh SQLite file and on a fresh PostgreSQL database, as two tests.
///
/// ```ignore
/// each_database! {
///     async fn a_patient_is_read(server: TestServer) {
///         …
///     }
/// }
/// ```
macro_rules! each_database {
    ($($(#[$meta:meta])* async fn $name:ident($server:ident: TestServer) $body:block)+) => {$(
        $(#[$meta])*
        async fn $name($server: &$crate::support::TestServer) $body

        mod $name {
            use $crate::support::{Database, TestServer};

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let server = TestServer::start(Database::Sqlite).await;
                super::$name(&server).await;
                server.stop().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if !Database::Postgres.is_there() {
                    return;
                }
                let server = TestServer::start(Database::Postgres).await;
                super::$name(&server).await;
                server.stop().await;
            }
        }
    )+};
}
pub(crate) use each_database;

/// A path in `../shared`, which a newcomer does not have: None, said loudly, where it is absent.
/// Where the folder is there, what it should hold must be there too.
pub fn shared(path: &str) -> Option<std::path::PathBuf> {
    let folder = std::env::var_os("CANDOR_TEST_SHARED").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        Into::into,
    );
    if !folder.is_dir() {
        skipped(&format!("{path} of ../shared is not there"));
        return None;
    }
    let path = folder.join(path);
    assert!(path.exists(), "{} is missing", path.display());
    Some(path)
}

/// The program itself. `CANDOR_TEST_BINARY` names another build of it.
pub fn candor() -> std::process::Command {
    let own = env!("CARGO_BIN_EXE_candor").into();
    std::process::Command::new(std::env::var_os("CANDOR_TEST_BINARY").unwrap_or(own))
}

/// Says that a test could not run.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
pub fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}
