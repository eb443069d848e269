//! Networks, ports, users, rights and limits.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::harness::{Cluster, PATIENCE, container, phase, shell};
use crate::support::{docker, eventually, free_port, images};

fn log(pod: &k8s_openapi::api::core::v1::Pod, index: usize) -> String {
    let shown = container(pod, index);
    let id = shown["containerID"].as_str().expect("an id");
    docker::docker(&["logs", id.trim_start_matches("docker://")])
}

async fn output(cluster: &Cluster, name: &str, spec: Value) -> String {
    let mut spec = spec;
    spec["restartPolicy"] = json!("Never");
    cluster.create(name, spec).await;
    let pod = cluster
        .until(name, "it ended", |pod| matches!(phase(pod), "Succeeded" | "Failed"))
        .await;
    log(&pod, 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pods_containers_share_their_network_and_a_port_of_the_host() {
    let cluster = Cluster::start().await;
    let port = free_port();
    let mut server = shell("a", "mkdir /www; echo hello > /www/x; httpd -f -p 8080 -h /www");
    server["ports"] = json!([{"containerPort": 8080, "hostPort": port, "hostIP": "127.0.0.1"}]);
    let client = shell(
        "b",
        "until wget -q -O- http://127.0.0.1:8080/x; do sleep 0.1; done; sleep 1000",
    );
    let spec = json!({"containers": [server, client], "terminationGracePeriodSeconds": 1});
    cluster.create("web", spec).await;
    let pod = cluster.until_ready("web").await;
    eventually("the neighbour reaches it", PATIENCE, || match log(&pod, 1) {
        text if text == "hello\n" => Ok(()),
        text => Err(text),
    });
    eventually("the host reaches it", PATIENCE, || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
        stream
            .write_all(b"GET /x HTTP/1.0\r\n\r\n")
            .map_err(|error| error.to_string())?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map_err(|error| error.to_string())?;
        if text.ends_with("hello\n") { Ok(()) } else { Err(text) }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_addresses() {
    let cluster = Cluster::start().await;
    let spec = json!({
        "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["db", "db.example"]}],
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["192.0.2.53"], "searches": ["example.com"], "options": [{"name": "ndots", "value": "2"}]},
        "hostname": "box",
        "containers": [shell("c", "hostname; cat /etc/hosts /etc/resolv.conf; hostname -i")],
    });
    let printed = output(&cluster, "names", spec).await;
    let lines = printed
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>();
    for line in [
        "box",
        "10.1.2.3 db db.example",
        "nameserver 192.0.2.53",
        "search example.com",
        "options ndots:2",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line} in\n{printed}");
    }
    let ip = lines.last().expect("an address");
    assert!(
        lines.contains(&format!("{ip} box")),
        "its own name is in its hosts file:\n{printed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_network_and_a_shared_pid_namespace() {
    let cluster = Cluster::start().await;
    let host = output(
        &cluster,
        "host",
        json!({"hostNetwork": true, "containers": [shell("c", "ls /sys/class/net")]}),
    )
    .await;
    assert!(host.contains("docker0"), "the host's interfaces: {host}");
    let pod = cluster.get("host").await;
    assert_eq!(pod.status.expect("a status").pod_ip.as_deref(), Some("127.0.0.1"));
    let shared = json!({"shareProcessNamespace": true, "containers": [shell("c", "ps -o pid,args")]});
    let printed = output(&cluster, "pids", shared).await;
    assert!(
        printed
            .lines()
            .any(|line| line.split_whitespace().collect::<Vec<_>>() == ["1", "/pause"]),
        "{printed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn users_rights_and_limits() {
    let cluster = Cluster::start().await;
    let mut confined = shell(
        "c",
        "id -u; id -g; if touch /x; then echo written; else echo refused; fi; grep -E 'NoNewPrivs|CapEff' /proc/self/status",
    );
    confined["securityContext"] = json!({
        "runAsUser": 1000, "runAsGroup": 2000, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
    });
    confined["resources"] = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "500m", "memory": "64Mi"}});
    let printed = output(&cluster, "confined", json!({"containers": [confined]})).await;
    for line in ["1000", "2000", "refused", "NoNewPrivs:\t1", "CapEff:\t0000000000000000"] {
        assert!(printed.lines().any(|found| found == line), "{line} in\n{printed}");
    }
    let made = docker::containers(cluster.node());
    let format = "{{.HostConfig.CpuShares}} {{.HostConfig.CpuQuota}} {{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}";
    let limits = docker::docker(&["inspect", "--format", format, &made[0].id]);
    assert_eq!(limits.trim(), "102 50000 67108864 67108864");

    let mut root = json!({"name": "c", "image": images::BUSYBOX, "command": ["true"]});
    root["securityContext"] = json!({"runAsNonRoot": true});
    cluster.create("root", json!({"containers": [root]})).await;
    let reason = "CreateContainerConfigError";
    let pod = cluster
        .until("root", reason, |pod| {
            container(pod, 0)["state"]["waiting"]["reason"] == reason
        })
        .await;
    let message = container(&pod, 0)["state"]["waiting"]["message"].clone();
    assert!(
        message
            .as_str()
            .is_some_and(|text| text.contains("image will run as root")),
        "{message}"
    );
}
