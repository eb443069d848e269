//! Starts containers: volumes, then the sandbox, and while Docker starts it, images and the containers themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Container as Spec, Pod};
use kube::ResourceExt;

use super::{Error, Worker, files};
use crate::kubelet::create_spec::{CreateSpec, Mount, MountSource};
use crate::kubelet::docker::{DockerError, Image};
use crate::kubelet::events::Kind;
use crate::kubelet::images;
use crate::kubelet::make::{self, ConfigError, Material};
use crate::kubelet::observed::Observed;
use crate::kubelet::plan::Launch;
use crate::kubelet::pod;
use crate::kubelet::volumes::{self, Prepared};

/// How far a launch got.
pub(super) enum Step {
    /// Created and ready to start.
    Created { id: String, spec: Box<CreateSpec> },
    /// Its image has to be pulled first.
    Pull,
    /// It needs to know the pod's address.
    NeedsAddress,
    /// It cannot be made as things are.
    Failed { reason: &'static str, message: String },
}

/// What all launches of one round share.
pub(super) struct Round<'a> {
    pub(super) pod: &'a Arc<Pod>,
    volumes: BTreeMap<String, Prepared>,
    sandbox: String,
}

impl Worker {
    /// Makes the sandbox if one is asked for, and starts these containers in it.
    pub(super) async fn start(
        &mut self,
        pod: &Arc<Pod>,
        observed: &Observed,
        sandbox: Option<u32>,
        launches: Vec<Launch>,
    ) -> Result<(), Error> {
        let mut ips = self.pod_ips(pod, observed);
        let Some(volumes) = self.prepare_volumes(pod, &ips).await? else {
            return Ok(());
        };
        let existing = observed.ready_sandbox().map(|sandbox| sandbox.id.clone());
        let id = match (sandbox, existing) {
            (Some(attempt), _) => match self.create_sandbox(pod, attempt, &volumes).await? {
                Some(id) => id,
                None => return Ok(()),
            },
            (None, Some(id)) => id,
            (None, None) => return Ok(()),
        };
        let round = Round {
            pod,
            volumes,
            sandbox: id,
        };
        let known = ips.clone();
        let making = join_all(launches.iter().map(|launch| self.make(&round, launch, &known)));
        let mut steps = if sandbox.is_some() {
            let (started, steps) = tokio::join!(self.context.engine.start(&round.sandbox), making);
            if let Err(error) = started {
                self.undo_sandbox(pod, &round, steps, error).await?;
                return Ok(());
            }
            if !pod::host_network(pod) {
                let found = self.context.engine.sandbox(&round.sandbox).await?;
                ips = found
                    .into_iter()
                    .flat_map(|sandbox| sandbox.ips)
                    .map(|ip| ip.to_string())
                    .collect();
            }
            self.write_hosts(pod, &ips).await?;
            steps
        } else {
            making.await
        };
        self.local.pod_hold = None;
        for (launch, step) in launches.iter().zip(&mut steps) {
            if matches!(step, Step::NeedsAddress) {
                *step = self.make(&round, launch, &ips).await;
            }
        }
        self.finish(&round, launches, steps, &ips).await
    }

    /// `None` where that failed and is to be tried later.
    async fn prepare_volumes(
        &mut self,
        pod: &Arc<Pod>,
        ips: &[String],
    ) -> Result<Option<BTreeMap<String, Prepared>>, Error> {
        let config = &self.context.config;
        files::make(config, &self.uid).await.map_err(Error::Files)?;
        if !files::hosts(config, &self.uid).exists() {
            files::write_hosts(config, &self.uid, &make::hosts_file(pod, ips))
                .await
                .map_err(Error::Files)?;
        }
        match volumes::prepare(self.tools(), pod, &self.context.facts(ips.to_vec())).await {
            Ok(volumes) => Ok(Some(volumes)),
            Err(error) => {
                self.context
                    .events
                    .pod(pod, None, Kind::Warning, "FailedMount", error.to_string());
                self.hold_pod(error.to_string());
                Ok(None)
            }
        }
    }

    async fn write_hosts(&self, pod: &Pod, ips: &[String]) -> Result<(), Error> {
        let text = make::hosts_file(pod, ips);
        files::write_hosts(&self.context.config, &self.uid, &text)
            .await
            .map_err(Error::Files)
    }

    /// `None` where that failed and is to be tried later.
    async fn create_sandbox(
        &mut self,
        pod: &Arc<Pod>,
        attempt: u32,
        volumes: &BTreeMap<String, Prepared>,
    ) -> Result<Option<String>, Error> {
        let created = async {
            let image = self.context.pause_image().await?;
            let held = volumes::held_by_sandbox(volumes);
            let spec = make::sandbox(&self.context.config, pod, attempt, &image, held);
            self.context.engine.create(&spec).await
        };
        match created.await {
            Ok(id) => Ok(Some(id)),
            Err(error @ DockerError::Unavailable(_)) => Err(error.into()),
            Err(error) => {
                self.sandbox_failed(pod, &error);
                Ok(None)
            }
        }
    }

    fn sandbox_failed(&mut self, pod: &Pod, error: &DockerError) {
        let message = format!("Failed to create pod sandbox: {error}");
        self.context
            .events
            .pod(pod, None, Kind::Warning, "FailedCreatePodSandBox", message.clone());
        self.hold_pod(message);
    }

    async fn undo_sandbox(
        &mut self,
        pod: &Pod,
        round: &Round<'_>,
        steps: Vec<Step>,
        error: DockerError,
    ) -> Result<(), Error> {
        for step in steps {
            if let Step::Created { id, .. } = step {
                self.context.engine.remove(&id).await?;
            }
        }
        self.context.engine.remove(&round.sandbox).await?;
        self.sandbox_failed(pod, &error);
        Ok(())
    }

    /// Brings a launch as far as a created container.
    async fn make(&self, round: &Round<'_>, launch: &Launch, ips: &[String]) -> Step {
        let Some(spec) = pod::container(round.pod, &launch.container) else {
            return failed(
                "CreateContainerConfigError",
                format!("the pod has no container {}", launch.container),
            );
        };
        let image = match self.image(spec).await {
            Ok(image) => image,
            Err(step) => return step,
        };
        let made = self.create_spec(round, spec, launch, &image, ips).await;
        let spec = match made {
            Ok(Some(spec)) => spec,
            Ok(None) => return Step::NeedsAddress,
            Err(error) => return failed("CreateContainerConfigError", error.0),
        };
        match self.context.engine.create(&spec).await {
            Ok(id) => Step::Created {
                id,
                spec: Box::new(spec),
            },
            Err(error) => failed("CreateContainerError", error.to_string()),
        }
    }

    /// The image if it is there and may be used as it is.
    async fn image(&self, spec: &Spec) -> Result<Image, Step> {
        let reference = spec.image.as_deref().unwrap_or_default();
        if !images::is_valid_reference(reference) {
            let reason = "couldn't parse image name: invalid reference format";
            let message = format!("Failed to apply default image tag {reference:?}: {reason}");
            return Err(failed("InvalidImageName", message));
        }
        let pulled = self.pulled.contains(&(spec.name.clone(), reference.to_owned()));
        let policy = spec.image_pull_policy.as_deref();
        if policy == Some("Always") && !pulled {
            return Err(Step::Pull);
        }
        match self.context.images.present(reference).await {
            Ok(Some(image)) => Ok(image),
            Ok(None) if policy == Some("Never") => {
                let message = format!("Container image {reference:?} is not present with pull policy of Never");
                Err(failed("ErrImageNeverPull", message))
            }
            Ok(None) => Err(Step::Pull),
            Err(error) => Err(failed("ImageInspectError", error.to_string())),
        }
    }

    /// `None` where the pod's address is needed and not known yet.
    async fn create_spec(
        &self,
        round: &Round<'_>,
        spec: &Spec,
        launch: &Launch,
        image: &Image,
        ips: &[String],
    ) -> Result<Option<CreateSpec>, ConfigError> {
        let context = &self.context;
        let mut references = make::references(spec);
        if references.pod_ip && ips.is_empty() {
            return Ok(None);
        }
        let namespace = round.pod.namespace().unwrap_or_default();
        let filled = context.sources.fill(&namespace, &mut references).await;
        filled.map_err(|error| ConfigError(error.to_string()))?;
        let env = make::environment(round.pod, spec, &references, &context.facts(ips.to_vec()))?;
        let mut mounts = volumes::mounts(spec, &round.volumes, &env).await?;
        let message_file = files::message(&context.config, &self.uid, &spec.name, launch.attempt);
        let written = files::make_message(&message_file).await;
        written.map_err(|error| ConfigError(format!("{}: {error}", message_file.display())))?;
        let message_file = message_file.to_string_lossy().into_owned();
        let message_path = spec.termination_message_path.as_deref().filter(|path| !path.is_empty());
        add(
            &mut mounts,
            message_file.clone(),
            message_path.unwrap_or("/dev/termination-log"),
        );
        let aliases = round.pod.spec.as_ref().is_some_and(|spec| spec.host_aliases.is_some());
        if !pod::host_network(round.pod) || aliases {
            let hosts = files::hosts(&context.config, &self.uid).to_string_lossy().into_owned();
            add(&mut mounts, hosts, "/etc/hosts");
        }
        let material = Material {
            config: &context.config,
            pod: round.pod,
            spec,
            launch,
            image,
            env: &env,
            mounts,
            sandbox: &round.sandbox,
            message_file,
            node_memory_bytes: context.memory_bytes,
            may_lower_oom_score: context.may_lower_oom_score.load(Ordering::Relaxed),
        };
        make::container(material).map(Some)
    }
}

fn failed(reason: &'static str, message: String) -> Step {
    Step::Failed { reason, message }
}

/// Mounts a file of ours, unless the pod mounts something of its own there.
fn add(mounts: &mut Vec<Mount>, source: String, target: &str) {
    if mounts.iter().all(|mount| mount.target != target) {
        mounts.push(Mount {
            source: MountSource::Path(source),
            target: target.to_owned(),
            read_only: false,
            propagation: "rprivate",
        });
    }
}
