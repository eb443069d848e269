//! The file with which `kubectl` and components find and enter the cluster.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Credentials;

/// A kubeconfig for that server URL, with everything in it. The names in it are this project's.
pub fn kubeconfig(server: &str, ca_certificate: &str, user: &str, credentials: &Credentials) -> String {
    let ca = STANDARD.encode(ca_certificate);
    let certificate = STANDARD.encode(&credentials.certificate);
    let key = STANDARD.encode(&credentials.key);
    // Names come from us and base64 needs no quoting, so that no YAML writer is needed; JSON strings quote the rest.
    let (server, user) = (serde_json::Value::from(server), serde_json::Value::from(user));
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: reconcile\n  \
           cluster:\n    \
             server: {server}\n    \
             certificate-authority-data: {ca}\n\
         users:\n\
         - name: {user}\n  \
           user:\n    \
             client-certificate-data: {certificate}\n    \
             client-key-data: {key}\n\
         contexts:\n\
         - name: reconcile\n  \
           context:\n    \
             cluster: reconcile\n    \
             user: {user}\n    \
             namespace: default\n\
         current-context: reconcile\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_yaml_with_everything_in_it() {
        let credentials = Credentials {
            certificate: "CERT".into(),
            key: "KEY".into(),
        };
        let text = kubeconfig("https://127.0.0.1:6443", "CA", "reconcile-admin", &credentials);
        let value: serde_json::Value = serde_yaml::from_str(&text).expect("yaml");
        assert_eq!(value["clusters"][0]["cluster"]["server"], "https://127.0.0.1:6443");
        assert_eq!(
            value["clusters"][0]["cluster"]["certificate-authority-data"],
            STANDARD.encode("CA")
        );
        assert_eq!(value["users"][0]["user"]["client-key-data"], STANDARD.encode("KEY"));
        assert_eq!(value["contexts"][0]["context"]["user"], "reconcile-admin");
    }
}
