//! Keys of a test's own, made with the real ssh-keygen and gpg, and commits and tags signed with them by the real git.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::git::Repository;
use super::{process, tools};

/// How long a program may take; making an RSA key takes a while.
const PATIENCE: Duration = Duration::from_secs(60);

/// A key that git signs with.
pub struct Signer {
    options: Vec<String>,
}

impl Signer {
    /// An SSH key of that kind (`ed25519`, `ecdsa:384`, `rsa:3072`); returns its public line as well.
    #[track_caller]
    pub fn ssh(directory: &Path, name: &str, kind: &str) -> (Signer, String) {
        let file = directory.join(name);
        let (kind, bits) = kind.split_once(':').unwrap_or((kind, "0"));
        let mut command = Command::new(tools::installed("ssh-keygen", "openssh-client"));
        command.args(["-q", "-N", "", "-C", name, "-t", kind, "-f"]).arg(&file);
        if bits != "0" {
            command.args(["-b", bits]);
        }
        process::run(&mut command, PATIENCE).ok();
        let public = std::fs::read_to_string(file.with_extension("pub")).expect("a public key");
        let options = [
            "gpg.format=ssh".to_owned(),
            format!("user.signingkey={}", file.display()),
        ];
        (
            Signer {
                options: options.into(),
            },
            public.trim().to_owned(),
        )
    }

    /// Commits everything as it lies in the work tree, signed; returns the commit's id.
    #[track_caller]
    pub fn commit(&self, repository: &Repository, message: &str) -> String {
        repository.git(&["add", "-A"]);
        self.git(repository, &["commit", "-q", "-S", "--allow-empty", "-m", message]);
        repository.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Makes a signed tag at HEAD.
    #[track_caller]
    pub fn tag(&self, repository: &Repository, name: &str) {
        self.git(repository, &["tag", "-f", "-s", "-m", "a tag", name]);
    }

    /// Runs git so that it signs with this key.
    #[track_caller]
    pub fn git(&self, repository: &Repository, arguments: &[&str]) -> String {
        let options = self.options.iter().flat_map(|option| ["-c", option.as_str()]);
        repository.git(&options.chain(arguments.iter().copied()).collect::<Vec<_>>())
    }
}

/// A home of gpg with keys of its own. Its agent ends with it.
pub struct Gpg {
    home: PathBuf,
}

impl Gpg {
    #[track_caller]
    pub fn new(home: &Path) -> Gpg {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::create_dir(home).expect("made");
        std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700)).expect("private");
        Gpg { home: home.to_owned() }
    }

    /// Runs gpg there.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(tools::installed("gpg", "gnupg"));
        command
            .env("GNUPGHOME", &self.home)
            .args([
                "--batch",
                "--yes",
                "--quiet",
                "--pinentry-mode",
                "loopback",
                "--passphrase",
                "",
            ])
            .args(arguments);
        process::run(&mut command, PATIENCE).ok()
    }

    /// A new key; returns its fingerprint. `options` come first, `uses` and `expires` are as gpg takes them.
    #[track_caller]
    pub fn key(&self, name: &str, options: &[&str], [kind, uses, expires]: [&str; 3]) -> String {
        let user = format!("{name} <{name}@example.com>");
        let make = ["--quick-generate-key", &user, kind, uses, expires];
        self.run(&[options, &make[..]].concat());
        self.fingerprints(name).swap_remove(0)
    }

    /// The fingerprints of a key and its subkeys.
    #[track_caller]
    pub fn fingerprints(&self, name: &str) -> Vec<String> {
        let listed = self.run(&["--with-colons", "--list-keys", name]);
        let lines = listed.lines().filter(|line| line.starts_with("fpr:"));
        lines
            .filter_map(|line| line.split(':').nth(9).map(str::to_owned))
            .collect()
    }

    /// The public key in armour.
    #[track_caller]
    pub fn export(&self, name: &str) -> String {
        self.run(&["--armor", "--export", name])
    }

    /// Revokes a key with the certificate that was made with it.
    #[track_caller]
    pub fn revoke(&self, fingerprint: &str) {
        let prepared = self.home.join(format!("openpgp-revocs.d/{fingerprint}.rev"));
        // A colon keeps it from being used by accident.
        let text = std::fs::read_to_string(prepared).expect("a revocation certificate");
        let file = self.home.join("revocation");
        std::fs::write(&file, text.replace("\n:-----BEGIN", "\n-----BEGIN")).expect("written");
        self.run(&["--import", file.to_str().expect("text")]);
    }

    /// Signs with a key, which gpg chooses among the key's own and its subkeys; `options` are gpg's.
    #[track_caller]
    pub fn signer(&self, key: &str, options: &str) -> Signer {
        use std::os::unix::fs::PermissionsExt as _;
        let program = self.home.join(format!("sign-{}", key.trim_end_matches('!')));
        let gpg = tools::installed("gpg", "gnupg");
        let (home, gpg) = (self.home.display(), gpg.display());
        let script = format!(
            "#!/bin/sh\nGNUPGHOME='{home}' exec '{gpg}' --batch --pinentry-mode loopback --passphrase '' {options} \"$@\"\n"
        );
        std::fs::write(&program, script).expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).expect("executable");
        let options = [
            "gpg.format=openpgp".to_owned(),
            format!("gpg.program={}", program.display()),
            format!("user.signingkey={key}"),
        ];
        Signer {
            options: options.into(),
        }
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let ended = Command::new(tools::installed("gpgconf", "gnupg"))
            .env("GNUPGHOME", &self.home)
            .args(["--kill", "gpg-agent"])
            .status();
        // Without its home the agent ends by itself, somewhat later.
        if !ended.is_ok_and(|status| status.success()) {
            eprintln!("the gpg-agent of {} could not be ended", self.home.display());
        }
    }
}
