//! Flags that contradict each other and sources that cannot work.

use std::path::Path;

use reconcile::gitops;

use super::harness::World;

#[tokio::test]
async fn flags_and_sources_that_cannot_work_are_refused_at_once() {
    let world = World::new().await;
    world.write("file.yaml", "x");
    type Change = fn(&mut gitops::Config, &Path);
    let cases: [(&str, Change, &str); 8] = [
        (
            "no such source",
            |config, _| config.source = "/no/such/place".into(),
            "no such file or directory",
        ),
        (
            "a file",
            |config, root| config.source = root.join("source/file.yaml").display().to_string(),
            "is a file",
        ),
        (
            "a reference without git",
            |config, _| config.reference = Some("main".into()),
            "needs a git repository",
        ),
        (
            "five cron fields",
            |config, _| config.schedules = vec!["* * * * *".into()],
            "seconds",
        ),
        (
            "a way out",
            |config, _| config.path = Some("../x".into()),
            "must lie below",
        ),
        (
            "absolute",
            |config, _| config.path = Some("/etc".into()),
            "must lie below",
        ),
        (
            "no interval",
            |config, _| config.interval = std::time::Duration::ZERO,
            "--interval",
        ),
        (
            "an unknown scheme",
            |config, _| config.source = "ftp://example.com/x".into(),
            "no such file",
        ),
    ];
    for (case, change, expected) in cases {
        let mut config = world.config();
        change(&mut config, &world.path(""));
        let error = gitops::check(&config).expect_err(case).to_string();
        assert!(error.contains(expected), "{case}: {error}");
    }
    gitops::check(&world.config()).expect("fine");
}
