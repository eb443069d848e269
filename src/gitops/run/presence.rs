//! One process follows a source: the others stand by until that one has ended, or is not heard of any more.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Follower;
use crate::client::Told;
use crate::gitops::applyset::NAMESPACE;
use crate::gitops::error::Error;
use crate::gitops::inventory::Inventory;
use crate::gitops::lease::{self, Held, Rival, Sight, UNTOLD};
use crate::gitops::quiet::Quiet;
use crate::gitops::report::Report;

/// Between looks at whether the other process is still there, at the most.
const LOOK: Duration = Duration::from_secs(5);

/// How often it is decided anew who follows, while others decide it too.
const MAX_DECISIONS: usize = 5;

/// How long the end may be held up by saying so in the cluster.
const END_TIMEOUT: Duration = Duration::from_secs(2);

impl Follower {
    /// Whether another process follows the source; takes it where none does.
    pub(super) async fn stands_by(&mut self, inventory: &mut Inventory) -> Result<bool, Error> {
        if let Held::Refused(news) = self.membership.hold().await? {
            return self.follow_untold(inventory, news).await.map(|()| false);
        }
        for _ in 0..MAX_DECISIONS {
            let mine = self.membership.lease().to_owned();
            let mut over = None;
            match inventory.followed_by().map(str::to_owned) {
                Some(theirs) if theirs != mine && theirs != UNTOLD => {
                    match Rival::look(self.rival.take(), &self.engine.client, &theirs).await? {
                        Sight::There(rival) => {
                            self.stand_by(rival);
                            return Ok(true);
                        }
                        Sight::Over(lease) => over = lease,
                    }
                }
                Some(theirs) if theirs == mine => {
                    self.follows();
                    return Ok(false);
                }
                _ => {}
            }
            let (client, set) = (self.engine.client.clone(), self.engine.set.clone());
            if inventory.follow(&client, &set, &mine).await? {
                if let Some(lease) = over
                    && let Err(error) = lease::remove(&client, &lease).await
                {
                    tracing::debug!(error = %Told(&error), "a lease that is over stays");
                }
                self.follows();
                return Ok(false);
            }
            *inventory = self.engine.inventory().await?;
        }
        Err(Error::Source(format!(
            "others decide at the same time who follows this source (ConfigMap {NAMESPACE}/{})",
            self.engine.set.name
        )))
    }

    /// Without a right to leases nobody can be told, and nobody is waited for.
    async fn follow_untold(&mut self, inventory: &mut Inventory, news: Option<String>) -> Result<(), Error> {
        if let Some(reason) = news {
            let text = format!(
                "no Lease can be written in {NAMESPACE}, so `reconcile status` cannot tell who follows, and another \
                 reconciler would not stand by: {reason}"
            );
            self.reporter.report(Report::Notice { text });
        }
        self.engine.claim = None;
        inventory.claim = None;
        if inventory.followed_by().is_none() {
            let (client, set) = (self.engine.client.clone(), self.engine.set.clone());
            if !inventory.follow(&client, &set, UNTOLD).await? {
                *inventory = self.engine.inventory().await?;
            }
            inventory.claim = None;
        }
        self.follows();
        Ok(())
    }

    fn stand_by(&mut self, rival: Rival) {
        self.retry = Some(rival.ends().min(Instant::now() + LOOK));
        self.is_following = false;
        if self.told.rival.as_ref() != Some(&rival.holder) {
            let text = format!("{} follows it; standing by until that one ends", rival.holder);
            self.reporter.report(Report::Notice { text });
            self.told.rival = Some(rival.holder.clone());
        }
        self.rival = Some(rival);
    }

    fn follows(&mut self) {
        if self.is_following {
            return;
        }
        self.is_following = true;
        self.rival = None;
        self.retry = None;
        self.quiet = Quiet::default();
        if let Some(holder) = self.told.rival.take() {
            let text = format!("{holder} does not follow it any more; this one does");
            self.reporter.report(Report::Notice { text });
            self.read_again = true;
        }
        self.start_fetch();
        self.plan_poll();
    }

    /// Says in the cluster that this process does not follow the source any more.
    pub(super) async fn end(self) {
        let Self {
            engine,
            membership,
            drift,
            watch,
            ..
        } = self;
        // They would see the API server end.
        drop((drift, watch));
        let claim = engine.claim.clone().unwrap_or_else(|| UNTOLD.to_owned());
        let say = async {
            let mut inventory = engine.inventory().await?;
            inventory.claim = Some(claim);
            inventory.unfollow(&engine.client, &engine.set).await
        };
        match timeout(END_TIMEOUT, say).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the end was not recorded"),
            Err(_) => tracing::debug!("the end was not recorded in time"),
        }
        membership.leave().await;
    }
}
