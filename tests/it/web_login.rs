//! `examples/web-login`: a Flask app signs tokens for its users, and they talk under their names.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use hubbub::names::UserName;
use hubbub::server::auth::credentials::Bearer;
use hubbub::server::auth::jwt::{Jwt, JwtSettings};
use hubbub::server::auth::login::LoginError;
use hubbub::server::auth::principal::{Role, Via};
use tempfile::TempDir;

use super::support::process::{ServerProcess, command};

const ISSUER: &str = "https://shop.example";
const AUDIENCE: &str = "hubbub";

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn python() -> Command {
    Command::new(std::env::var("HUBBUB_TEST_PYTHON").expect(
        "HUBBUB_TEST_PYTHON names a Python with the packages of examples/web-login: run the tests with `make test`",
    ))
}

/// The app, as its README starts it. Killed when dropped.
struct WebApp {
    child: Child,
    url: String,
    folder: TempDir,
}

impl WebApp {
    fn start() -> Self {
        let folder = TempDir::new().expect("a folder can be created");
        let mut flask = python();
        flask.args(["-m", "flask", "--app"]).arg(project("examples/web-login/app.py")).args(["run", "--port", "0"]);
        flask.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = flask.spawn().expect("HUBBUB_TEST_PYTHON can be run");
        let mut lines = BufReader::new(child.stderr.take().expect("standard error is piped")).lines();
        let mut log = Vec::new();
        let url = loop {
            let line = lines.next().unwrap_or_else(|| panic!("the app does not start: {log:?}")).expect("it is text");
            if let Some((_, url)) = line.split_once("Running on ") {
                break url.trim().to_owned();
            }
            log.push(line);
        };
        // It logs each request, and would block.
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, url, folder }
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("hubbub-key.pem")
    }
}

impl Drop for WebApp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command of Python prints. It must succeed.
fn output(mut command: Command) -> String {
    let output = command.output().expect("HUBBUB_TEST_PYTHON can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

fn check(app: &WebApp) -> Command {
    let mut check = python();
    check.arg(project("tests/compatible/web_login.py")).arg(&app.url);
    check
}

/// The server's half alone, with a token of another library.
#[test]
fn a_token_of_the_app_is_for_its_user() {
    let app = WebApp::start();
    let token = Bearer::new(output(check(&app)));
    let settings = JwtSettings { keys: vec![app.key()], ..JwtSettings::new(ISSUER, AUDIENCE) };
    let jwt = Jwt::open(&settings).expect("the app has written its public key");
    let now = SystemTime::now();
    let principal = jwt.verify(&token, now).expect("the token is right");
    assert_eq!(principal.name, UserName::new("ann").ok());
    assert_eq!(principal.role, Role::Member);
    assert!(matches!(principal.via, Via::Jwt(_)));
    assert!(principal.until.is_some_and(|until| until > now && until <= now + Duration::from_secs(300)));
    assert_eq!(jwt.verify(&token, now + Duration::from_secs(301)), Err(LoginError::Expired));
    // The app has another key after a restart.
    let restarted = WebApp::start();
    let other = Jwt::open(&JwtSettings { keys: vec![restarted.key()], ..settings }).expect("it has a key");
    assert_eq!(other.verify(&token, now), Err(LoginError::Invalid));
}

#[test]
fn a_user_of_the_app_posts_under_its_name() {
    let app = WebApp::start();
    let mut server = command();
    server.args(["--listen", "127.0.0.1:0", "--ephemeral", "--auth", "jwt", "--jwt-key"]).arg(app.key());
    server.args(["--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE]);
    let server = ServerProcess::listening(server);
    let mut post = python();
    post.arg(project("examples/web-login/post.py")).args([&app.url, server.target(), "hello from the web"]);
    assert_eq!(output(post), "ann: hello from the web\n");
    let mut strangers = check(&app);
    strangers.arg(server.target()).arg(project("proto"));
    output(strangers);
}
