//! Single rounds: a dry run, and a sync that waits until what it applied is healthy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::agreed::{self, Agreed};
use super::apply::Patience;
use super::config::Config;
use super::diff::diff;
use super::error::Error;
use super::health::{self, Health};
use super::lease::{self, FollowedBy};
use super::on_drift;
use super::plan::Step;
use super::report::{Action, ObjectKey, Outcome, PlanEntry, PlanReport, Problem, Report, Reporter};
use super::rollback::{Rollback, Tools};
use super::source::{Source, View};
use super::sync::{Engine, Prepared, Wish};
use super::window;

/// Between looks at the health of what was applied.
const HEALTH_POLL: Duration = Duration::from_millis(200);

/// What a sync would change.
pub(super) async fn dry_run(client: Client, config: &Config) -> Result<PlanReport, Error> {
    let source = Source::open(config)?;
    source.refresh().await?;
    let head = source.read(View::OnDisk).await?;
    let described = source.describe();
    let mut engine = Engine::new(client, &source, config);
    engine.view = View::OnDisk;
    let inventory = engine.inventory().await?;
    let snapshot = Rollback::preview(&source, &inventory, head).await?;
    let prepared = engine.prepare(snapshot, inventory, Wish::default()).await?;
    let entries = prepared
        .plan
        .steps
        .iter()
        .filter(|step| step.action != Action::Unchanged)
        .map(entry)
        .collect();
    Ok(PlanReport {
        source: described,
        revision: prepared.revision,
        counts: prepared.plan.counts(),
        entries,
        problems: prepared.problems,
        notices: prepared.notices,
    })
}

fn entry(step: &Step) -> PlanEntry {
    let lines = match step.action {
        Action::Delete | Action::Blocked => diff(step.live.as_deref(), None, None),
        Action::Create | Action::Update | Action::Replace | Action::Drifted => {
            diff(step.live.as_deref(), step.predicted.as_ref(), step.manifest.as_ref())
        }
        Action::Keep | Action::Unchanged => Vec::new(),
    };
    PlanEntry {
        action: step.action,
        object: step.key.clone(),
        name: step.resource.name_of(&step.key.name),
        place: step.place.clone(),
        reasons: step.reasons.clone(),
        predicted: step.predicted.clone(),
        mark: agreed::mark(step),
        diff: lines,
    }
}

/// Syncs and waits for health; only what was agreed to, if anything was.
pub(super) async fn sync(
    client: Client,
    config: &Config,
    agreed: Option<&Agreed>,
    reporter: &dyn Reporter,
    timeout: Duration,
    shutdown: &CancellationToken,
) -> Result<Outcome, Error> {
    let started = Instant::now();
    let work = async {
        let source = Source::open(config)?;
        reporter.report(Report::Following {
            source: source.describe(),
        });
        source.refresh().await?;
        let head = source.read(View::Committed).await?;
        let mut engine = Engine::new(client, &source, config);
        let mut inventory = engine.inventory().await?;
        let name = engine.set.short_name();
        let claim = inventory.followed_by();
        if let FollowedBy::Process(holder) = lease::followed_by(&engine.client, claim, Timestamp::now()).await? {
            let text = format!("{holder} follows {name} as well, and may sync it at the same time");
            reporter.report(Report::Notice { text });
        }
        if inventory.controls.suspended {
            return Err(Error::Suspended(name.to_owned()));
        }
        if config.suspended {
            return Err(Error::SuspendedBySpec(name.to_owned()));
        }
        if let Some(closed) = window::closed(&config.windows, Timestamp::now()) {
            let name = engine.set.short_name().to_owned();
            return Err(Error::Closed { name, closed });
        }
        let tools = Tools {
            engine: &engine,
            source: &source,
            reporter,
        };
        let snapshot = Rollback::by_hand().choose(tools, &mut inventory, head).await?;
        let mut prepared = engine.prepare(snapshot, inventory, Wish::default()).await?;
        if let Some(agreed) = agreed {
            agreed.check(&source.describe(), &prepared)?;
        }
        tell(&prepared, reporter);
        let applied = engine
            .carry_out(
                &mut prepared,
                Patience::Until(started + timeout),
                &CancellationToken::new(),
                reporter,
            )
            .await?;
        for problem in &applied.problems {
            reporter.report(Report::Problem(problem.clone()));
        }
        let problems = engine.conclude(&mut prepared, &applied, false).await?;
        let mut problems: Vec<Problem> = problems.into_iter().collect();
        let waits = prepared.plan.approval.as_ref().map(ToString::to_string);
        let quarantine = prepared.inventory.record.quarantine.as_ref();
        let elsewhere =
            quarantine.map(|quarantine| format!("the source's own revision is not applied: rolled back {quarantine}"));
        problems.extend(waits.into_iter().chain(elsewhere).map(|reason| Problem {
            place: None,
            object: None,
            reason,
        }));
        reporter.report(Report::Synced {
            revision: prepared.revision.clone(),
            counts: applied.counts,
            problems: problems.len(),
            waiting: applied.pending.len(),
            elapsed: started.elapsed(),
        });
        let failed: BTreeSet<&ObjectKey> = problems.iter().filter_map(|problem| problem.object.as_ref()).collect();
        let deadline = started + timeout;
        let unhealthy = wait(&engine, &prepared, &failed, deadline, reporter).await?;
        for problem in &unhealthy {
            reporter.report(Report::Problem(problem.clone()));
        }
        problems.extend(unhealthy);
        Ok(Outcome {
            revision: prepared.revision,
            counts: applied.counts,
            problems,
        })
    };
    shutdown.run_until_cancelled(work).await.unwrap_or(Err(Error::Stopped))
}

/// Reports what was found out before anything is written.
fn tell(prepared: &Prepared, reporter: &dyn Reporter) {
    for text in &prepared.notices {
        reporter.report(Report::Notice { text: text.clone() });
    }
    for problem in &prepared.problems {
        reporter.report(Report::Problem(problem.clone()));
    }
    for step in prepared.plan.steps.iter().filter(|step| step.action == Action::Keep) {
        reporter.report(Report::Kept {
            object: step.key.clone(),
            reason: step.reasons.join("; "),
        });
    }
    for drifted in on_drift::drifted(&prepared.plan.steps) {
        reporter.report(Report::Drifted(drifted));
    }
}

/// Waits until every intended object is healthy or cannot become so; what is not healthy in the end is a problem.
async fn wait(
    engine: &Engine,
    prepared: &Prepared,
    failed: &BTreeSet<&ObjectKey>,
    deadline: Instant,
    reporter: &dyn Reporter,
) -> Result<Vec<Problem>, Error> {
    let mut told: Vec<(ObjectKey, String)> = Vec::new();
    loop {
        let live = engine.members(&prepared.kinds).await?;
        let mut waiting = Vec::new();
        let mut hopeless = Vec::new();
        for key in prepared.awaited().filter(|key| !failed.contains(key)) {
            match live.get(key).map(health::of) {
                Some(Health::Healthy) => {}
                Some(Health::Progressing(lacks)) => waiting.push((key.clone(), lacks)),
                Some(Health::Failed(reason)) => hopeless.push((key.clone(), reason)),
                None => waiting.push((key.clone(), "it is gone".into())),
            }
        }
        if waiting.is_empty() || Instant::now() >= deadline {
            let late = waiting
                .into_iter()
                .map(|(key, lacks)| (key, format!("not healthy in time: {lacks}")));
            let places: BTreeMap<&ObjectKey, _> = prepared
                .manifests
                .objects
                .iter()
                .map(|(key, intended)| (key, intended.place.clone()))
                .collect();
            return Ok(hopeless
                .into_iter()
                .chain(late)
                .map(|(key, reason)| Problem {
                    place: places.get(&key).cloned(),
                    object: Some(key),
                    reason,
                })
                .collect());
        }
        if waiting != told {
            reporter.report(Report::Waiting {
                objects: waiting.clone(),
            });
            told = waiting;
        }
        sleep(HEALTH_POLL).await;
    }
}
