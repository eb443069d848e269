//! A real web server of a test's own: `git http-backend` behind lighttpd, over TLS, with a login.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::process::{self, Process};
use super::{eventually, free_port, tools};

/// How often other ports are tried where another process took one between choosing it and lighttpd's start.
const ATTEMPTS: usize = 5;

pub const USER: &str = "ann";
pub const PASSWORD: &str = "s3cret-p@ss:w0rd";
pub const TOKEN: &str = "tok3n.of.the-server";

/// An authority that signs servers' certificates.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// An authority that this one signed.
    pub fn below(&self, name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        Authority { pem, issuer }
    }

    /// A certificate and its key for that host, good in the years given.
    pub fn certificate(&self, host: &str, years: std::ops::Range<i32>) -> String {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("parameters");
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        certificate.pem() + &key.serialize_pem()
    }
}

/// A certificate that no authority signed, with its key.
pub fn self_signed(host: &str) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![host.to_owned()]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    (certificate.clone(), certificate + &key.serialize_pem())
}

/// A running server. Dropping it ends it.
pub struct Web {
    directory: tempfile::TempDir,
    pub port: u16,
    process: Option<Process>,
}

impl Web {
    /// Serves the repositories of a folder: under `/git/` with a login, under `/token/` with a token, under `/open/`
    /// to everybody, and `/moved/` sends them on to another host.
    #[track_caller]
    pub fn start(repositories: &Path, certificate: &str) -> Web {
        let mut outputs = Vec::new();
        for _ in 0..ATTEMPTS {
            let mut web = Web {
                directory: tempfile::tempdir().expect("a temporary directory"),
                port: free_port(),
                process: None,
            };
            match web.try_serve(repositories, certificate) {
                Ok(()) => return web,
                Err(output) => outputs.push(output),
            }
        }
        panic!(
            "lighttpd did not start on any of {ATTEMPTS} ports:\n{}",
            outputs.join("\n")
        );
    }

    /// The URL of a repository below one of the places.
    pub fn url(&self, place: &str, repository: &str) -> String {
        format!("https://localhost:{}/{place}/{repository}", self.port)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn try_serve(&mut self, repositories: &Path, certificate: &str) -> Result<(), String> {
        let programs = process::run(
            Command::new(tools::installed("git", "git")).arg("--exec-path"),
            Duration::from_secs(10),
        )
        .ok();
        let backend = Path::new(programs.trim()).join("git-http-backend");
        assert!(
            backend.is_file(),
            "{} is missing; run: apt-get install git",
            backend.display()
        );
        std::fs::write(self.path("certificate"), certificate).expect("written");
        std::fs::write(self.path("users"), format!("{USER}:{PASSWORD}\n")).expect("written");
        let text = format!(
            r#"
server.document-root = "{directory}"
server.bind = "127.0.0.1"
server.port = {port}
server.modules = ("mod_openssl", "mod_alias", "mod_setenv", "mod_auth", "mod_authn_file", "mod_access", "mod_redirect", "mod_cgi")
ssl.engine = "enable"
ssl.pemfile = "{directory}/certificate"
auth.backend = "plain"
auth.backend.plain.userfile = "{directory}/users"
auth.require = ("/git/" => ("method" => "basic", "realm" => "git", "require" => "valid-user"))
$HTTP["url"] =~ "^/token/" {{
  $REQUEST_HEADER["Authorization"] != "Bearer {TOKEN}" {{ url.access-deny = ("") }}
}}
url.redirect = ("^/moved/(.*)" => "https://127.0.0.1:{port}/open/$1")
url.redirect-code = 302
alias.url = ("/git/" => "{backend}/", "/token/" => "{backend}/", "/open/" => "{backend}/")
$HTTP["url"] =~ "^/(git|token|open)/" {{
  cgi.assign = ("" => "")
  setenv.add-environment = (
    "GIT_PROJECT_ROOT" => "{repositories}", "GIT_HTTP_EXPORT_ALL" => "1",
    "GIT_CONFIG_GLOBAL" => "/dev/null", "GIT_CONFIG_SYSTEM" => "/dev/null"
  )
}}
"#,
            directory = self.directory.path().display(),
            port = self.port,
            backend = backend.display(),
            repositories = repositories.display(),
        );
        std::fs::write(self.path("config"), text).expect("written");
        let mut command = Command::new(tools::unpacked("lighttpd"));
        command.arg("-D").arg("-f").arg(self.path("config"));
        command.arg("-m").arg(tools::unpacked_root().join("usr/lib/lighttpd"));
        let mut process = Process::start(tools::with_libraries(&mut command));
        let address = format!("127.0.0.1:{}", self.port);
        let outcome = eventually("lighttpd listens or ended", Duration::from_secs(20), || {
            if !process.is_running() {
                return Ok(Err(process.output()));
            }
            std::net::TcpStream::connect(&address)
                .map(|_| Ok(()))
                .map_err(|error| error.to_string())
        });
        self.process = Some(process);
        outcome
    }
}
