//! TLS modes and ways to log in, against a server of our own with certificates made on the spot.
//!
//! Runs with the other tests that need services (`RIVERRUN_TEST_POSTGRES` is set), where
//! PostgreSQL's `initdb` and `openssl` are installed. As root it runs the server as user postgres.

use super::super::{
    Error, Replication, Settings,
    settings::{Ssl, SslMode},
    sql,
    tls::server_end_point,
};
use model::{config::Secret, error::Kind};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

struct Server {
    directory: PathBuf,
    programs: PathBuf,
    port: u16,
    /// Whom the server runs as, if not as ourselves.
    owner: Option<(u32, u32)>,
}

impl Server {
    /// None, and a line that says so, where the programs are missing.
    fn start() -> Option<Server> {
        let skip = |why: &str| {
            println!("skipped: the TLS tests need {why}");
            None
        };
        if std::env::var_os("RIVERRUN_TEST_POSTGRES").is_none() {
            return skip("RIVERRUN_TEST_POSTGRES, as other tests that start services");
        }
        let Some(programs) = programs() else { return skip("PostgreSQL's initdb") };
        if Command::new("openssl").arg("version").output().is_err() {
            return skip("openssl");
        }
        let number = |arguments: &[&str]| {
            let output = Command::new("id").args(arguments).output().unwrap().stdout;
            String::from_utf8(output).unwrap().trim().parse::<u32>().ok()
        };
        let mut owner = None;
        if number(&["-u"]) == Some(0) {
            let (Some(user), Some(group)) =
                (number(&["-u", "postgres"]), number(&["-g", "postgres"]))
            else {
                return skip("a user postgres to run the server as, when run as root");
            };
            owner = Some((user, group));
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = std::env::temp_dir().join(format!("riverrun-wire-tls-{port}"));
        fs::create_dir_all(&directory).unwrap();
        let server = Server { directory, programs, port, owner };
        server.own(&server.directory);
        server.certificates();
        server.run("initdb", &["-D", "data", "-A", "trust", "-N", "-U", "postgres"]);
        server.configure(
            "ssl = on\nssl_cert_file = '../server.crt'\nssl_key_file = '../server.key'\n",
        );
        fs::write(server.directory.join("data/pg_hba.conf"), HBA).unwrap();
        server.own(&server.directory.join("data/pg_hba.conf"));
        server.control(&["start"]);
        Some(server)
    }

    fn own(&self, path: &Path) {
        if let Some((user, group)) = self.owner {
            chown(path, Some(user), Some(group)).unwrap();
        }
    }

    fn configure(&self, ssl: &str) {
        let path = self.directory.join("data/postgresql.conf");
        let text = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n\
             wal_level = logical\nfsync = off\nssl_ca_file = '../ca.crt'\n{ssl}",
            self.port
        );
        fs::write(&path, text).unwrap();
        self.own(&path);
    }

    fn restart(&self, ssl: &str) {
        self.configure(ssl);
        self.control(&["-m", "fast", "restart"]);
    }

    fn control(&self, arguments: &[&str]) {
        self.run("pg_ctl", &[&["-w", "-D", "data", "-l", "log"], arguments].concat());
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.programs.join(program));
        // To a file: the server would keep a pipe open.
        let out = fs::File::create(self.directory.join("out")).unwrap();
        command.args(arguments).current_dir(&self.directory);
        command.stdout(out.try_clone().unwrap()).stderr(out);
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        let status = command.status().unwrap();
        let read = |name| fs::read_to_string(self.directory.join(name)).unwrap_or_default();
        assert!(status.success(), "{program} {arguments:?}: {}{}", read("out"), read("log"));
    }

    fn openssl(&self, arguments: &str) -> Vec<u8> {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(&self.directory)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {errors}");
        output.stdout
    }

    /// An authority and another; the server's certificate for `localhost`, and one of its own
    /// making with a common name only; the client's.
    fn certificates(&self) {
        fs::write(self.directory.join("server.ext"), "subjectAltName=DNS:localhost\n").unwrap();
        fs::write(self.directory.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
        const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        for (name, subject) in [("ca", "Test CA"), ("other", "Other CA"), ("own", "localhost")] {
            let subject = subject.replace(' ', "-");
            self.openssl(&format!(
                "req -x509 {KEY} -days 2 -subj /CN={subject} -keyout {name}.key -out {name}.crt"
            ));
        }
        for (name, subject, hash) in
            [("server", "ignored", "sha384"), ("client", "certified", "sha256")]
        {
            self.openssl(&format!(
                "req {KEY} -subj /CN={subject} -keyout {name}.key -out {name}.csr"
            ));
            self.openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -{hash} \
                 -extfile {name}.ext -out {name}.crt"
            ));
        }
        self.openssl("pkcs8 -topk8 -nocrypt -outform DER -in client.key -out client.pk8");
        self.openssl("pkcs8 -topk8 -passout pass:x -in client.key -out locked.key");
        self.openssl("pkcs8 -topk8 -passout pass:x -outform DER -in client.key -out locked.pk8");
        for key in ["server.key", "own.key"] {
            self.own(&self.directory.join(key));
        }
    }

    fn settings(&self, mode: SslMode, user: &str) -> Settings {
        Settings {
            host: "localhost".into(),
            port: self.port,
            user: user.into(),
            password: None,
            dbname: "postgres".into(),
            application_name: "tls".into(),
            ssl: Ssl { mode, root_cert: None, cert: None, key: None, key_password: None },
            tcp_keepalive: true,
            connect_timeout: Duration::from_secs(30),
            query_timeout: None,
        }
    }

    fn trusting(&self, mode: SslMode, root: &str) -> Settings {
        let mut settings = self.settings(mode, "anyone");
        settings.ssl.root_cert = Some(self.directory.join(root));
        settings
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Not asserted: a panic while panicking would hide the first one.
        let mut command = Command::new(self.programs.join("pg_ctl"));
        command.args(["-w", "-D", "data", "-m", "immediate", "stop"]).current_dir(&self.directory);
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        if command.output().is_ok_and(|output| output.status.success())
            && let Err(error) = fs::remove_dir_all(&self.directory)
        {
            println!("{} is left over: {error}", self.directory.display());
        }
    }
}

fn programs() -> Option<PathBuf> {
    let installed = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = installed
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|path| path.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}

const HBA: &str = "
hostnossl all plain_only 127.0.0.1/32 trust
hostssl all tls_only 127.0.0.1/32 trust
host all scram 127.0.0.1/32 scram-sha-256
host all md5 127.0.0.1/32 md5
host all clear 127.0.0.1/32 password
hostssl all certified 127.0.0.1/32 cert
host all anyone,postgres 127.0.0.1/32 trust
";

const USERS: &str = "
SET password_encryption = 'scram-sha-256';
CREATE ROLE scram LOGIN REPLICATION PASSWORD 'right';
CREATE ROLE clear LOGIN REPLICATION PASSWORD 'right';
SET password_encryption = 'md5';
CREATE ROLE md5 LOGIN REPLICATION PASSWORD 'right';
CREATE ROLE plain_only LOGIN REPLICATION;
CREATE ROLE tls_only LOGIN REPLICATION;
CREATE ROLE certified LOGIN REPLICATION;
CREATE ROLE anyone LOGIN REPLICATION;
";

const ENCRYPTED: &str = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

/// Whether both kinds of connection are encrypted; they must agree, in failure too.
async fn encrypted(settings: &Settings) -> Result<bool, Error> {
    let by_sql = match sql::connect(settings).await {
        Ok((client, _handle)) => {
            Ok(client.query_one(ENCRYPTED, &[]).await.unwrap().get::<_, &str>(0) == "true")
        }
        Err(error) => Err(error),
    };
    let by_replication = match Replication::connect(settings).await {
        Ok(mut replication) => {
            let rows = replication.simple_query(ENCRYPTED).await?.rows;
            replication.close().await;
            Ok(rows[0][0].as_deref() == Some("true"))
        }
        Err(error) => Err(error),
    };
    match (&by_sql, &by_replication) {
        (Ok(sql), Ok(replication)) => assert_eq!(sql, replication, "{settings}"),
        (Err(sql), Err(replication)) => {
            assert_eq!(sql.code(), replication.code(), "{sql}\n{replication}");
            assert_eq!(sql.classify(), replication.classify(), "{sql}\n{replication}");
        }
        (sql, replication) => panic!("{settings}: {sql:?} but {replication:?}"),
    }
    by_replication
}

async fn works(settings: &Settings, expected: bool) {
    match encrypted(settings).await {
        Ok(found) => assert_eq!(found, expected, "{settings} with {:?}", settings.ssl),
        Err(error) => panic!("{error} with {:?}", settings.ssl),
    }
}

async fn fails(settings: &Settings, part: &str) {
    match encrypted(settings).await {
        Ok(_) => panic!("{settings} with {:?} connects", settings.ssl),
        Err(error) => {
            assert!(error.to_string().contains(part), "{part} in: {error}");
            assert_eq!(error.classify(), Kind::Fatal, "{error}");
        }
    }
}

#[tokio::test]
async fn every_mode_encrypts_and_verifies_as_it_should() {
    use SslMode::{Allow, Disable, Prefer, Require, VerifyCa, VerifyFull};
    let Some(server) = Server::start() else { return };
    let (client, handle) = sql::connect(&server.settings(Prefer, "postgres")).await.unwrap();
    client.batch_execute(USERS).await.unwrap();
    drop((client, handle));

    for (mode, expected) in [(Disable, false), (Allow, false), (Prefer, true), (Require, true)] {
        works(&server.settings(mode, "anyone"), expected).await;
    }
    // What pg_hba.conf refuses one way is tried the other way, where the mode says so.
    works(&server.settings(Allow, "tls_only"), true).await;
    works(&server.settings(Prefer, "plain_only"), false).await;
    fails(&server.settings(Disable, "tls_only"), "no pg_hba.conf entry").await;
    fails(&server.settings(Require, "plain_only"), "no pg_hba.conf entry").await;

    for mode in [Require, VerifyCa, VerifyFull] {
        works(&server.trusting(mode, "ca.crt"), true).await;
        fails(&server.trusting(mode, "other.crt"), "UnknownIssuer").await;
        fails(&server.trusting(mode, "missing.crt"), "missing.crt cannot be read").await;
        fails(&server.trusting(mode, "ca.key"), "it holds no PEM certificate").await;
    }
    // The certificate is for localhost, not for the address.
    let by_address =
        |mode| Settings { host: "127.0.0.1".into(), ..server.trusting(mode, "ca.crt") };
    works(&by_address(VerifyCa), true).await;
    fails(&by_address(VerifyFull), "certificate not valid for name").await;

    passwords(&server).await;
    client_certificates(&server).await;

    // The login is bound to the hash that openssl computes of the same certificate.
    let file = server.directory.join("server.crt");
    let certificate = CertificateDer::from_pem_file(file).unwrap();
    let bound = server_end_point(&certificate).unwrap();
    let shown = server.openssl("x509 -in server.crt -noout -fingerprint -sha384");
    let shown = String::from_utf8(shown).unwrap().to_lowercase().replace(':', "");
    let bound: String = bound.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(shown.contains(&bound), "{bound} in {shown}");

    // A certificate of the server's own making, trusted as it is, with a common name only.
    server.restart("ssl = on\nssl_cert_file = '../own.crt'\nssl_key_file = '../own.key'\n");
    works(&server.trusting(VerifyFull, "own.crt"), true).await;
    let by_address =
        |mode| Settings { host: "127.0.0.1".into(), ..server.trusting(mode, "own.crt") };
    works(&by_address(VerifyCa), true).await;
    fails(&by_address(VerifyFull), "certificate not valid for name").await;
    fails(&server.trusting(VerifyCa, "ca.crt"), "certificate").await;

    // A handshake that fails: prefer goes on in plain text, require does not.
    server.restart(
        "ssl = on\nssl_cert_file = '../own.crt'\nssl_key_file = '../own.key'\n\
         ssl_min_protocol_version = 'TLSv1'\nssl_max_protocol_version = 'TLSv1.1'\n",
    );
    works(&server.settings(Prefer, "anyone"), false).await;
    fails(&server.settings(Prefer, "tls_only"), "the TLS handshake failed").await;
    fails(&server.settings(Require, "anyone"), "the TLS handshake failed").await;

    server.restart("ssl = off\n");
    for mode in [Disable, Allow, Prefer] {
        works(&server.settings(mode, "anyone"), false).await;
    }
    fails(&server.settings(Require, "anyone"), "the server does not offer TLS").await;
    fails(&server.settings(Allow, "tls_only"), "no pg_hba.conf entry").await;
}

async fn passwords(server: &Server) {
    for mode in [SslMode::Disable, SslMode::Require] {
        for user in ["scram", "md5", "clear"] {
            let settings = server.settings(mode, user);
            let with = |password: &str| Settings {
                password: Some(Secret::new(password)),
                ..settings.clone()
            };
            works(&with("right"), mode == SslMode::Require).await;
            fails(&with("wrong"), "28P01: password authentication failed").await;
            fails(&settings, "password").await;
        }
    }
}

async fn client_certificates(server: &Server) {
    let with = |cert: &str, key: &str| {
        let mut settings = server.settings(SslMode::Require, "certified");
        settings.ssl.cert = Some(server.directory.join(cert));
        settings.ssl.key = Some(server.directory.join(key));
        settings
    };
    works(&with("client.crt", "client.key"), true).await;
    works(&with("client.crt", "client.pk8"), true).await;
    for (cert, key, part) in [
        ("client.crt", "locked.key", "locked.key is encrypted, which is not supported"),
        ("client.crt", "locked.pk8", "locked.pk8 is encrypted, which is not supported"),
        ("client.crt", "store.p12", "store.p12 is a PKCS#12 store, which is not supported"),
        ("client.crt", "missing.key", "missing.key cannot be read"),
        ("client.crt", "ca.crt", "it holds no PEM private key"),
        ("client.crt", "server.key", "client.crt and its key cannot be used"),
        ("missing.crt", "client.key", "missing.crt cannot be read"),
    ] {
        fails(&with(cert, key), part).await;
    }
    fails(&server.settings(SslMode::Require, "certified"), "28000").await;
}
