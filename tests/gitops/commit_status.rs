//! Statuses of commits as GitHub, GitLab and Gitea are sent them.

use std::time::Duration;

use http::HeaderMap;
use reconcile::gitops::telling::CommitStatus;
use reconcile::gitops::webhook::Secret;
use reconcile::object::source::CommitStatus as Spec;
use serde_json::json;

use super::harness::{World, config_map};
use super::receiver::Receiving;
use crate::support::git::Repository;

fn spec(type_: &str, url: String, repository: &str) -> Spec {
    Spec {
        type_: type_.into(),
        url: Some(url),
        repository: repository.into(),
        ..Spec::default()
    }
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers[name].to_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_commit_is_pending_then_applied_or_wrong() {
    for (type_, base, repository, path, failure) in [
        ("github", "", "o/n", "/repos/o/n/statuses/", "failure"),
        (
            "gitlab",
            "/api/v4",
            "group/sub/n",
            "/api/v4/projects/group%2Fsub%2Fn/statuses/",
            "failed",
        ),
        ("gitea", "/api/v1/", "o/n", "/api/v1/repos/o/n/statuses/", "failure"),
    ] {
        let world = World::new().await;
        let work = Repository::init(&world.path("apps"));
        let save = |name: &str, text: &str| std::fs::write(work.path.join(name), text).expect("written");
        save("a.yaml", &config_map("a", "1"));
        work.commit("first");
        let first = work.git(&["rev-parse", "HEAD"]).trim().to_owned();
        let receiving = Receiving::start().await;
        let mut config = world.config();
        config.source = work.path.to_str().expect("text").to_owned();
        config.telling.patience.first = Duration::from_millis(10);
        let token = Secret::new("sesame").expect("not empty");
        let to = CommitStatus::new(
            "commitStatus",
            "apps",
            &spec(type_, receiving.url(base), repository),
            &token,
        );
        config.commit_status = Some(to.expect("valid"));
        let following = world.follow_with(config.clone());
        let came = receiving.count(2).await;
        for (status, state, description) in [
            (&came[0], "pending", "being applied"),
            (&came[1], "success", "1 created"),
        ] {
            assert_eq!(status.path, format!("{path}{first}"));
            let body = json!({"state": state, "context": "reconcile/apps", "description": description});
            assert_eq!(status.body, body, "{type_}");
        }
        let headers = &came[0].headers;
        match type_ {
            "github" => {
                assert_eq!(header(headers, "authorization"), "Bearer sesame");
                assert_eq!(header(headers, "accept"), "application/vnd.github+json");
                assert_eq!(header(headers, "x-github-api-version"), "2022-11-28");
                assert!(header(headers, "user-agent").starts_with("reconcile/"));
            }
            "gitlab" => assert_eq!(header(headers, "private-token"), "sesame"),
            _ => assert_eq!(header(headers, "authorization"), "token sesame"),
        }
        // What another hand does is no news of the commit.
        world.merge("ConfigMap", "a", json!({"data": {"key": "other"}})).await;
        following.said("drift").await;
        save("bad.yaml", &format!("{}: [\n", "x".repeat(300)));
        work.commit("second");
        let second = work.git(&["rev-parse", "HEAD"]).trim().to_owned();
        let came = receiving.count(4).await;
        assert_eq!(
            [came[2].path.as_str(), came[3].path.as_str()],
            [format!("{path}{second}"), format!("{path}{second}")]
        );
        assert_eq!(
            (&came[2].body["state"], &came[3].body["state"]),
            (&json!("pending"), &json!(failure))
        );
        let description = came[3].body["description"].as_str().expect("text");
        assert!(description.starts_with("1 wrong: bad.yaml:"), "{description}");
        assert!(description.chars().count() <= 140, "{description}");
        following.stop().await;
        // A restart says how it stands, and not that it begins again.
        let following = world.follow_with(config);
        let came = receiving.count(5).await;
        assert_eq!(came[4].body["state"], failure);
        following.stop().await;
        assert_eq!(receiving.came().len(), 5);
    }
}
