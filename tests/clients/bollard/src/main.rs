//! Reads the engine at DOCKER_HOST with bollard, and prints what it shows as JSON: the containers named as arguments, other
//! objects, and the outcomes of calls that a profile may deny.
//!
//! Bollard's types are strict: one unknown value of an enumeration makes it reject the whole response.

use std::collections::HashMap;
use std::error::Error;

use bollard::Docker;
use bollard::exec::CreateExecOptions;
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptions, ListImagesOptions, ListNetworksOptions, ListVolumesOptions,
    LogsOptions, StatsOptions, TopOptions,
};
use futures_util::StreamExt;
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let docker = Docker::connect_with_defaults()?.negotiate_version().await?;
    let names: Vec<String> = std::env::args().skip(1).collect();
    let mut containers = Vec::new();
    for name in &names {
        let found = docker.inspect_container(name, None::<InspectContainerOptions>).await?;
        containers.push(json!({
            "id": found.id, "name": found.name, "image": found.config.and_then(|config| config.image),
            "status": found.state.as_ref().and_then(|state| state.status),
            "health": found.state.and_then(|state| state.health).and_then(|health| health.status),
            "ports": found.network_settings.and_then(|network| network.ports),
        }));
    }
    let listed = ListContainersOptions {
        all: true,
        filters: Some(HashMap::from([("name".to_owned(), vec!["web".to_owned()])])),
        ..Default::default()
    };
    let mut list = docker.list_containers(Some(listed)).await?;
    list.iter_mut().for_each(|row| row.status = None);
    let sampled = StatsOptions { stream: false, ..Default::default() };
    let sample = docker.stats("web", Some(sampled)).next().await.ok_or("no sample")??;
    let top = docker.top_processes("web", None::<TopOptions>).await?;
    let first = top.processes.and_then(|rows| rows.into_iter().next()).ok_or("no process")?;
    let written = LogsOptions { stdout: true, stderr: true, ..Default::default() };
    let mut logs = String::new();
    let mut lines = docker.logs("story", Some(written));
    while let Some(line) = lines.next().await {
        logs.push_str(&line?.to_string());
    }
    let exec = CreateExecOptions { cmd: Some(vec!["true"]), ..Default::default() };
    let images = docker.list_images(None::<ListImagesOptions>).await?;
    let shown = json!({
        "version": docker.version().await?.api_version,
        "ping": docker.ping().await?,
        "cpus": docker.info().await?.ncpu,
        "containers": containers,
        "list": list,
        "inspect": docker.inspect_container("web", None::<InspectContainerOptions>).await?,
        "usage": {"name": sample.name, "limit": sample.memory_stats.and_then(|memory| memory.limit)},
        "top": {"titles": top.titles, "user": first.first(), "pid": first.get(1), "command": first.get(7)},
        "logs": logs,
        "images": sorted(images.into_iter().flat_map(|image| image.repo_tags)),
        "image": docker.inspect_image("shop/web:1").await?,
        "networks": sorted(docker.list_networks(None::<ListNetworksOptions>).await?.into_iter().filter_map(|one| one.name)),
        "volumes": sorted(
            docker.list_volumes(None::<ListVolumesOptions>).await?.volumes.unwrap_or_default().into_iter().map(|one| one.name)
        ),
        "denied": {
            "exec": outcome(docker.create_exec("web", exec).await),
        },
    });
    println!("{shown}");
    Ok(())
}

/// Names in alphabetical order.
fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// The outcome of a call that a profile may deny.
fn outcome<T>(result: Result<T, bollard::errors::Error>) -> Value {
    match result {
        Ok(_) => json!("done"),
        Err(bollard::errors::Error::DockerResponseServerError { status_code, message }) => {
            json!(format!("{status_code}: {message}"))
        }
        Err(other) => json!(other.to_string()),
    }
}
