//! Calls every method of bollard at DOCKER_HOST, and prints what each call returned, one JSON document a line. Two runs at the
//! same kind of engine print the same, but for ids, times and figures.
//!
//! The methods are taken from bollard's source: each one must be called, or be in `NOT_CALLED` with a reason. The engine must
//! have the image `base:1`, and nothing else. Arguments: bollard's source, a registry with a plugin `shop/plugin:1`, and an
//! archive of that plugin.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::error::Error as StdError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::auth::DockerCredentials;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::models::{
    BuildInfo, ConfigSpec, ContainerCreateBody, ContainerUpdateBody, NetworkConnectRequest, NetworkCreateRequest,
    NetworkDisconnectRequest, SecretSpec, ServiceSpec, SwarmInitRequest, SwarmJoinRequest, VolumeCreateRequest,
};
use bollard::query_parameters::*;
use bollard::{Docker, body_full, body_stream, body_try_stream};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

/// Methods that send the engine nothing, or that this engine cannot serve, with the reason.
const NOT_CALLED: [(&str, &str); 26] = [
    ("client_version", "sends nothing"),
    ("timeout", "sends nothing"),
    ("set_timeout", "sends nothing"),
    ("with_timeout", "sends nothing"),
    ("with_request_modifier", "sends nothing"),
    ("connect_with_mock", "sends nothing"),
    ("connect_with_custom_transport", "a connection of the program's own"),
    ("connect_with_host", "what connect_with_defaults does"),
    ("connect_with_http", "dockveil's listener is a Unix socket here"),
    ("connect_with_http_defaults", "dockveil's listener is a Unix socket here"),
    ("connect_with_local", "what connect_with_defaults does"),
    ("connect_with_local_defaults", "what connect_with_defaults does"),
    ("connect_with_named_pipe", "only on Windows"),
    ("connect_with_named_pipe_defaults", "only on Windows"),
    ("connect_with_podman_defaults", "looks for the socket of Podman"),
    ("connect_with_socket", "what connect_with_defaults does"),
    ("connect_with_socket_defaults", "what connect_with_defaults does"),
    ("connect_with_ssh", "dockveil has no SSH"),
    ("connect_with_ssh_defaults", "dockveil has no SSH"),
    ("connect_with_ssl", "the test has no TLS"),
    ("connect_with_ssl_defaults", "the test has no TLS"),
    ("connect_with_unix", "what connect_with_defaults does"),
    ("connect_with_unix_defaults", "what connect_with_defaults does"),
    ("create_checkpoint", "needs an experimental engine with CRIU"),
    ("delete_checkpoint", "needs an experimental engine with CRIU"),
    ("delete_node", "a swarm of one node cannot lose it: called by no test of bollard either"),
];

thread_local! {
    /// The methods that were called.
    static CALLED: RefCell<BTreeSet<&'static str>> = RefCell::default();
    /// Whether calls leave no trace.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Prints a document.
fn emit(document: Value) {
    if !QUIET.get() {
        println!("{document}");
    }
}

/// Prints what a method returned.
fn tell<T>(method: &'static str, result: &Result<T, Error>, shown: impl FnOnce(&T) -> Value) {
    CALLED.with_borrow_mut(|called| called.insert(method));
    match result {
        Ok(value) => emit(json!({"call": method, "returned": shown(value)})),
        Err(error) => emit(json!({"call": method, "raised": failure(error)})),
    }
}

/// An error as JSON.
fn failure(error: &Error) -> Value {
    match error {
        Error::DockerResponseServerError { status_code, message } => json!({"status": status_code, "text": message}),
        error => json!({"class": format!("{error:?}").split(['(', ' ']).next(), "text": error.to_string()}),
    }
}

/// Calls a method, and prints what it returned.
macro_rules! call {
    ($docker:ident.$method:ident($($argument:expr),* $(,)?)) => {{
        let result = $docker.$method($($argument),*).await;
        tell(stringify!($method), &result, |value| json!(value));
        result
    }};
}

/// Calls a method, and prints what it returned, which is no JSON.
macro_rules! debug {
    ($docker:ident.$method:ident($($argument:expr),* $(,)?)) => {{
        let result = $docker.$method($($argument),*).await;
        tell(stringify!($method), &result, |value| json!(format!("{value:?}")));
        result
    }};
}

/// Calls a method that returns a stream, and prints what came: JSON, output or bytes.
macro_rules! stream {
    ($docker:ident.$method:ident($($argument:expr),* $(,)?)) => {{
        let items = collect($docker.$method($($argument),*)).await;
        tell(stringify!($method), &Ok(&items), |items| json!(items));
        items
    }};
}
macro_rules! build {
    ($docker:ident.$method:ident($($argument:expr),* $(,)?)) => {{
        let items = collect($docker.$method($($argument),*).map(|item| item.map(build_info))).await;
        tell(stringify!($method), &Ok(&items), |items| json!(items));
    }};
}
macro_rules! output {
    ($docker:ident.$method:ident($($argument:expr),* $(,)?)) => {{
        let text = text($docker.$method($($argument),*)).await;
        tell(stringify!($method), &Ok(&text), |text| json!(text));
        text
    }};
}
macro_rules! archive {
    ($docker:ident.$method:ident($($argument:expr),* $(,)?)) => {{
        let archive = bytes($docker.$method($($argument),*)).await;
        tell(stringify!($method), &archive, |archive| json!(names(archive)));
        archive
    }};
}

/// The items of a stream until it ends or fails.
async fn collect<T: Serialize>(stream: impl Stream<Item = Result<T, Error>>) -> Vec<Value> {
    stream.map(|item| item.map_or_else(|error| failure(&error), |item| json!(item))).collect().await
}

/// What a build says. It can only be read, not written.
fn build_info(info: BuildInfo) -> Value {
    let aux = info.aux.map(|aux| format!("{aux:?}"));
    let error = info.error_detail.map(|detail| json!([detail.code, detail.message]));
    let progress = info.progress_detail.map(|detail| json!({"current": detail.current}));
    json!({"id": info.id, "stream": info.stream, "status": info.status, "aux": aux, "error": error, "progressDetail": progress})
}

/// The output of a container, each stream for itself.
async fn text(stream: impl Stream<Item = Result<LogOutput, Error>>) -> Value {
    let mut outputs = [String::new(), String::new(), String::new()];
    let mut stream = std::pin::pin!(stream);
    while let Some(item) = stream.next().await {
        match item {
            Ok(LogOutput::StdErr { message }) => outputs[1].push_str(&String::from_utf8_lossy(&message)),
            Ok(LogOutput::Console { message }) => outputs[2].push_str(&String::from_utf8_lossy(&message)),
            Ok(LogOutput::StdOut { message } | LogOutput::StdIn { message }) => {
                outputs[0].push_str(&String::from_utf8_lossy(&message));
            }
            Err(error) => return failure(&error),
        }
    }
    json!(outputs)
}

/// The bytes of a stream.
async fn bytes(stream: impl Stream<Item = Result<Bytes, Error>>) -> Result<Vec<u8>, Error> {
    let chunks: Vec<Result<Bytes, Error>> = stream.collect().await;
    Ok(chunks.into_iter().collect::<Result<Vec<Bytes>, Error>>()?.concat())
}

/// A tar archive (POSIX ustar) with these files.
fn tar(files: &[(&str, &str)]) -> Bytes {
    let mut archive = Vec::new();
    for (name, text) in files {
        let mut head = [0_u8; 512];
        let mut put = |at: usize, value: &str| head[at..at + value.len()].copy_from_slice(value.as_bytes());
        put(0, name);
        put(100, "0000755\0");
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{:011o}\0", text.len()));
        put(136, "00000000000\0");
        put(148, "        0");
        put(257, "ustar\x0000");
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&head);
        archive.extend_from_slice(text.as_bytes());
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive.into()
}

/// The names in a tar archive, in alphabetical order. Those of blobs are digests.
fn names(archive: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut at = 0;
    while archive.get(at).is_some_and(|byte| *byte != 0) {
        let field = |start: usize, length: usize| {
            let field = &archive[at + start..at + start + length];
            String::from_utf8_lossy(field).split('\0').next().unwrap_or_default().to_owned()
        };
        let name = field(0, 100);
        names.push(if name.starts_with("blobs/sha256/") { "blobs/sha256/*".to_owned() } else { name });
        let size = usize::from_str_radix(field(124, 12).trim(), 8).unwrap_or_default();
        at += 512 + size.next_multiple_of(512);
    }
    names.sort();
    names
}

/// Something of the API, written as JSON.
fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A filter with one value.
fn filter(name: &str, value: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([(name.to_owned(), vec![value.to_owned()])])
}

/// Tries without a trace until a condition is true: nobody knows how often it asks.
async fn until(condition: impl AsyncFn() -> bool) {
    QUIET.set(true);
    for _ in 0..400 {
        if condition().await {
            return QUIET.set(false);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a condition that never becomes true");
}

/// The registry, with credentials that it does not ask for.
fn credentials() -> Option<DockerCredentials> {
    Some(DockerCredentials {
        username: Some("somebody".to_owned()),
        password: Some("secret".to_owned()),
        ..Default::default()
    })
}

type Outcome = Result<(), Box<dyn StdError>>;

async fn system(docker: &Docker) -> Outcome {
    call!(docker.version())?;
    call!(docker.info())?;
    call!(docker.ping())?;
    call!(docker.df(None::<DataUsageOptions>))?;
    Ok(())
}

async fn images(docker: &Docker, registry: &str) -> Outcome {
    let build = |tag: &str| BuildImageOptionsBuilder::new().t(tag).networkmode("none").rm(true).build();
    let context = tar(&[("Dockerfile", "FROM base:1\nENV A=1\nRUN sleep 0.3; echo built; sleep 0.3\n")]);
    build!(docker.build_image(build("built:1"), None, Some(body_full(context))));
    let failing = tar(&[("Dockerfile", "FROM base:1\nRUN exit 3\n")]);
    build!(docker.build_image(build("built:2"), None, Some(body_full(failing))));
    build!(docker.build_image(build("built:2"), None, Some(body_full(tar(&[("Dockerfile", "NONSENSE\n")])))));
    let imported = CreateImageOptionsBuilder::new().from_src("-").repo("imported").tag("1").build();
    stream!(docker.create_image(Some(imported), Some(body_full(tar(&[("file", "content")]))), None));
    let repository = format!("{registry}/shop/base");
    let tagged = |repository: &str| Some(TagImageOptionsBuilder::new().repo(repository).tag("1").build());
    call!(docker.tag_image("base:1", tagged(&repository)))?;
    let _ = call!(docker.tag_image("base:1", tagged("Not A Repository")));
    let _ = call!(docker.tag_image("absent:1", tagged("more")));
    let push = PushImageOptionsBuilder::new().tag("1").build();
    stream!(docker.push_image(&repository, Some(push), credentials()));
    let image = format!("{repository}:1");
    call!(docker.inspect_registry_image(&image, credentials()))?;
    let _ = call!(docker.inspect_registry_image(&format!("{registry}/absent:1"), None));
    call!(docker.remove_image(&image, None::<RemoveImageOptions>, None))?;
    let pull = |image: &str| Some(CreateImageOptionsBuilder::new().from_image(image).tag("1").build());
    stream!(docker.create_image(pull(&repository), None, credentials()));
    stream!(docker.create_image(pull(&format!("{registry}/absent")), None, None));
    let _ = call!(docker.search_images(SearchImagesOptionsBuilder::new().term(&format!("{registry}/base")).build()));
    call!(docker.list_images(Some(ListImagesOptionsBuilder::new().all(true).digests(true).build())))?;
    call!(docker.inspect_image("built:1"))?;
    let _ = call!(docker.inspect_image("absent:1"));
    call!(docker.image_history("built:1"))?;
    let _ = archive!(docker.export_image("absent:1"));
    archive!(docker.export_image("built:1"))?;
    let saved = Bytes::from(archive!(docker.export_images(&["built:1", "imported:1"]))?);
    call!(docker.remove_image("built:1", None::<RemoveImageOptions>, None))?;
    let quiet = || ImportImageOptionsBuilder::new().quiet(true).build();
    build!(docker.import_image(quiet(), body_full(saved.clone()), None));
    build!(docker.import_image(quiet(), body_full(Bytes::from_static(b"no archive")), None));
    let chunks: Vec<Result<Bytes, std::io::Error>> =
        saved.chunks(100_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    build!(docker.import_image_stream(quiet(), stream::iter(chunks), None));
    let _ = call!(docker.remove_image("absent:1", None::<RemoveImageOptions>, None));
    for name in ["built:1", "imported:1"] {
        call!(docker.remove_image(name, None::<RemoveImageOptions>, None))?;
    }
    let dangling = PruneImagesOptionsBuilder::new().filters(&filter("dangling", "true")).build();
    call!(docker.prune_images(Some(dangling)))?;
    call!(docker.prune_build(None::<PruneBuildOptions>))?;
    Ok(())
}

/// A command that waits until it is stopped.
const IDLE: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & until read name </proc/$!/comm && [ x$name = xsleep ]; do :; done; echo ready; wait; done";

/// A container of the base image.
fn container(body: Value) -> ContainerCreateBody {
    ContainerCreateBody { image: Some("base:1".to_owned()), ..of(body) }
}

/// The options that name a container.
fn named(name: &str) -> Option<CreateContainerOptions> {
    Some(CreateContainerOptionsBuilder::new().name(name).build())
}

async fn containers(docker: &Docker) -> Outcome {
    let idle = || container(json!({"Cmd": ["sh", "-c", IDLE], "Env": ["TOKEN=secret"], "Labels": {"a": "1"}}));
    call!(docker.create_container(named("one"), idle()))?;
    let _ = call!(docker.create_container(named("one"), idle()));
    let _ = call!(docker.create_container(named("not a name"), idle()));
    let absent = ContainerCreateBody { image: Some("absent:1".to_owned()), ..Default::default() };
    let _ = call!(docker.create_container(None, absent));
    let _ = call!(docker.kill_container("one", None));
    call!(docker.start_container("one", None))?;
    call!(docker.start_container("one", None))?;
    let _ = call!(docker.start_container("absent", None));
    let both = |follow: bool| Some(LogsOptionsBuilder::new().stdout(true).stderr(true).follow(follow).build());
    until(async || text(docker.logs("one", both(false))).await.to_string().contains("ready")).await;
    call!(docker.inspect_container("one", Some(InspectContainerOptionsBuilder::new().size(true).build())))?;
    let _ = call!(docker.inspect_container("absent", None));
    // Without its ends it is a part of names that the engine chooses, too: `naughty_jones`.
    let all = ListContainersOptionsBuilder::new().all(true).filters(&filter("name", "^/one$")).build();
    call!(docker.list_containers(Some(all)))?;
    call!(docker.top_processes("one", Some(TopOptionsBuilder::new().ps_args("-o pid,args").build())))?;
    execs(docker).await?;
    archives(docker).await?;
    call!(docker.container_changes("one"))?;
    let commit = CommitContainerOptionsBuilder::new()
        .container("one")
        .repo("committed")
        .tag("1")
        .comment("why")
        .pause(true)
        .build();
    call!(docker.commit_container(commit, bollard::models::ContainerConfig::default()))?;
    stream!(docker.stats("one", Some(StatsOptionsBuilder::new().stream(false).one_shot(true).build())));
    call!(docker.pause_container("one"))?;
    let _ = call!(docker.pause_container("one"));
    call!(docker.unpause_container("one"))?;
    call!(
        docker.update_container(
            "one",
            of::<ContainerUpdateBody>(json!({"Memory": 67_108_864, "MemorySwap": 67_108_864}))
        )
    )?;
    let _ = call!(docker.update_container("one", of::<ContainerUpdateBody>(json!({"Memory": 1}))));
    let rename = |name: &str| RenameContainerOptionsBuilder::new().name(name).build();
    call!(docker.rename_container("one", rename("other")))?;
    call!(docker.rename_container("other", rename("one")))?;
    call!(docker.resize_container_tty("one", ResizeContainerTTYOptionsBuilder::new().h(33).w(99).build()))?;
    let _ = debug!(docker.list_checkpoints("one", None));
    let _ = call!(docker.remove_container("one", None));
    call!(docker.restart_container("one", Some(RestartContainerOptionsBuilder::new().t(0).build())))?;
    // A signal that comes before the shell has its trap is lost.
    until(async || text(docker.logs("one", both(false))).await.to_string().matches("ready").count() == 2).await;
    let _ = call!(docker.kill_container("one", Some(KillContainerOptionsBuilder::new().signal("NONSENSE").build())));
    call!(docker.kill_container("one", Some(KillContainerOptionsBuilder::new().signal("USR1").build())))?;
    call!(docker.stop_container("one", Some(StopContainerOptionsBuilder::new().t(20).build())))?;
    stream!(docker.wait_container("one", None::<WaitContainerOptions>));
    stream!(docker.wait_container("absent", None::<WaitContainerOptions>));
    attached(docker).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 1;
    let events = EventsOptionsBuilder::new().since(&(now - 60).to_string()).until(&now.to_string());
    let events = collect(docker.events(Some(events.filters(&filter("container", "echo")).build()))).await;
    let parts: Vec<Value> =
        events.iter().map(|event| json!([event["Type"], event["Action"], event["Actor"]])).collect();
    tell("events", &Ok(parts), |parts| json!(parts));
    call!(docker.remove_container("one", Some(RemoveContainerOptionsBuilder::new().v(true).build())))?;
    let _ = call!(docker.remove_container("one", None));
    call!(docker.prune_containers(None))?;
    call!(docker.remove_image("committed:1", None::<RemoveImageOptions>, None))?;
    Ok(())
}

async fn execs(docker: &Docker) -> Outcome {
    let options = |command: &[&str], tty: bool| CreateExecOptions {
        cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(tty),
        ..Default::default()
    };
    let both = call!(docker.create_exec("one", options(&["sh", "-c", "cat; echo error >&2; exit 3"], false)))?.id;
    if let StartExecResults::Attached { output, mut input } = debug!(docker.start_exec(&both, None))? {
        input.write_all(b"typed\n").await?;
        input.shutdown().await?;
        emit(json!({"note": "exec", "value": text(output).await}));
    }
    until(async || docker.inspect_exec(&both).await.is_ok_and(|exec| exec.running == Some(false))).await;
    call!(docker.inspect_exec(&both))?;
    let terminal = call!(docker.create_exec("one", options(&["sh", "-c", "read line; stty size"], true)))?.id;
    let started = StartExecOptions { tty: true, ..Default::default() };
    if let StartExecResults::Attached { output, mut input } = debug!(docker.start_exec(&terminal, Some(started)))? {
        call!(docker.resize_exec(&terminal, ResizeExecOptionsBuilder::new().h(33).w(99).build()))?;
        input.write_all(b"typed\n").await?;
        emit(json!({"note": "exec", "value": text(output).await}));
    }
    let detached = call!(docker.create_exec("one", options(&["true"], false)))?.id;
    debug!(docker.start_exec(&detached, Some(StartExecOptions { detach: true, ..Default::default() })))?;
    let _ = call!(docker.inspect_exec("absent"));
    let _ = debug!(docker.start_exec("absent", None));
    Ok(())
}

async fn archives(docker: &Docker) -> Outcome {
    let into = |path: &str| Some(UploadToContainerOptionsBuilder::new().path(path).build());
    call!(docker.upload_to_container("one", into("/tmp"), body_full(tar(&[("put", "content")]))))?;
    let stream = || body_try_stream(stream::iter([Ok(tar(&[("put", "content")]))]));
    call!(docker.upload_to_container("one", into("/tmp"), stream()))?;
    call!(docker.upload_to_container("one", into("/tmp"), body_stream(stream::iter([tar(&[("put", "content")])]))))?;
    #[expect(deprecated, reason = "every method is called")]
    let streamed =
        docker.upload_to_container_streaming("one", into("/absent"), stream::iter([tar(&[("put", "content")])])).await;
    tell("upload_to_container_streaming", &streamed, |value| json!(value));
    let from = |path: &str| Some(DownloadFromContainerOptionsBuilder::new().path(path).build());
    archive!(docker.download_from_container("one", from("/tmp/put")))?;
    let _ = archive!(docker.download_from_container("one", from("/absent")));
    let info = |path: &str| Some(ContainerArchiveInfoOptionsBuilder::new().path(path).build());
    debug!(docker.get_container_archive_info("one", info("/tmp/put")))?;
    let _ = debug!(docker.get_container_archive_info("one", info("/absent")));
    let exported = bytes(docker.export_container("one")).await;
    tell("export_container", &exported, |archive| json!(names(archive).len() > 5));
    Ok(())
}

async fn attached(docker: &Docker) -> Outcome {
    let everything =
        || AttachContainerOptionsBuilder::new().stream(true).stdin(true).stdout(true).stderr(true).logs(true).build();
    let echo = json!({"Cmd": ["sh", "-c", "cat; echo error >&2"], "OpenStdin": true, "StdinOnce": true});
    call!(docker.create_container(named("echo"), container(echo)))?;
    let mut attached = debug!(docker.attach_container("echo", Some(everything())))?;
    call!(docker.start_container("echo", None))?;
    attached.input.write_all(b"typed\n").await?;
    attached.input.shutdown().await?;
    emit(json!({"note": "attached", "value": text(attached.output).await}));
    let follow = LogsOptionsBuilder::new().stdout(true).stderr(true).follow(true).build();
    output!(docker.logs("echo", Some(follow)));
    output!(docker.logs("absent", None));
    call!(docker.remove_container("echo", None))?;
    let line = json!({"Cmd": ["sh", "-c", "read line; echo read-$line"], "OpenStdin": true, "Tty": true});
    call!(docker.create_container(named("line"), container(line)))?;
    call!(docker.start_container("line", None))?;
    let mut socket = debug!(docker.attach_container_websocket("line", Some(everything())))?;
    socket.input.write_all(b"typed\n").await?;
    socket.input.flush().await?;
    emit(json!({"note": "WebSocket", "value": text(socket.output).await}));
    call!(docker.remove_container("line", Some(RemoveContainerOptionsBuilder::new().force(true).build())))?;
    let _ = debug!(docker.attach_container_websocket("absent", Some(everything())));
    Ok(())
}

async fn networks(docker: &Docker) -> Outcome {
    let shop = || -> NetworkCreateRequest {
        of(
            json!({"Name": "shop", "Labels": {"a": "1"}, "Options": {"b": "2"}, "IPAM": {"Config": [{"Subnet": "172.31.77.0/24"}]}}),
        )
    };
    call!(docker.create_network(shop()))?;
    let _ = call!(docker.create_network(shop()));
    let custom = ListNetworksOptionsBuilder::new().filters(&filter("type", "custom")).build();
    call!(docker.list_networks(Some(custom)))?;
    call!(docker.create_container(named("member"), container(json!({"Cmd": ["sleep", "1000"]}))))?;
    call!(docker.start_container("member", None))?;
    let connect = || -> NetworkConnectRequest {
        of(
            json!({"Container": "member", "EndpointConfig": {"Aliases": ["a"], "IPAMConfig": {"IPv4Address": "172.31.77.7"}}}),
        )
    };
    call!(docker.connect_network("shop", connect()))?;
    let _ = call!(docker.connect_network("shop", connect()));
    call!(docker.inspect_network("shop", Some(InspectNetworkOptionsBuilder::new().verbose(true).build())))?;
    let _ = call!(docker.inspect_network("absent", None::<InspectNetworkOptions>));
    let _ = call!(docker.remove_network("shop"));
    let disconnect = || -> NetworkDisconnectRequest { of(json!({"Container": "member", "Force": true})) };
    call!(docker.disconnect_network("shop", disconnect()))?;
    let _ = call!(docker.disconnect_network("shop", disconnect()));
    call!(docker.remove_container("member", Some(RemoveContainerOptionsBuilder::new().force(true).build())))?;
    call!(docker.remove_network("shop"))?;
    call!(docker.create_network(of::<NetworkCreateRequest>(json!({"Name": "unused"}))))?;
    call!(docker.prune_networks(None::<PruneNetworksOptions>))?;
    Ok(())
}

async fn volumes(docker: &Docker) -> Outcome {
    let data = json!({"Name": "data", "Labels": {"a": "1"}, "DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}});
    call!(docker.create_volume(of::<VolumeCreateRequest>(data)))?;
    call!(docker.list_volumes(Some(ListVolumesOptionsBuilder::new().filters(&filter("name", "data")).build())))?;
    call!(docker.inspect_volume("data"))?;
    let _ = call!(docker.inspect_volume("absent"));
    call!(docker.create_container(
        named("user"),
        container(json!({"Cmd": ["true"], "HostConfig": {"Binds": ["data:/data"]}}))
    ))?;
    let _ = call!(docker.remove_volume("data", None::<RemoveVolumeOptions>));
    call!(docker.remove_container("user", None))?;
    call!(docker.remove_volume("data", None::<RemoveVolumeOptions>))?;
    let _ = call!(docker.remove_volume("data", None::<RemoveVolumeOptions>));
    call!(docker.create_volume(of::<VolumeCreateRequest>(json!({"Name": "unused"}))))?;
    call!(docker.prune_volumes(Some(PruneVolumesOptionsBuilder::new().filters(&filter("all", "true")).build())))?;
    Ok(())
}

async fn plugins(docker: &Docker, registry: &str, archive: &str) -> Outcome {
    let remote = format!("{registry}/shop/plugin:1");
    let made = format!("{registry}/shop/made:1");
    let create = CreatePluginOptionsBuilder::new().name(&made).build();
    call!(docker.create_plugin(create, body_full(std::fs::read(archive)?.into())))?;
    call!(docker.push_plugin(&made, credentials()))?;
    call!(docker.set_plugin_config(&made, vec!["DEBUG=1".to_owned()]))?;
    let _ = call!(docker.set_plugin_config(&made, vec!["ABSENT=1".to_owned()]));
    let enable = || Some(EnablePluginOptionsBuilder::new().timeout(10).build());
    call!(docker.enable_plugin(&made, enable()))?;
    let _ = call!(docker.enable_plugin(&made, enable()));
    call!(docker.list_plugins(None::<ListPluginsOptions>))?;
    call!(docker.inspect_plugin(&made))?;
    let _ = call!(docker.inspect_plugin("absent"));
    let _ = call!(docker.remove_plugin(&made, None::<RemovePluginOptions>));
    call!(docker.disable_plugin(&made, None::<DisablePluginOptions>))?;
    let _ = call!(docker.disable_plugin(&made, None::<DisablePluginOptions>));
    let privileges =
        call!(docker.get_plugin_privileges(GetPluginPrivilegesOptionsBuilder::new().remote(&remote).build()))?;
    let upgrade = UpgradePluginOptionsBuilder::new().remote(&remote).build();
    call!(docker.upgrade_plugin(&made, upgrade, privileges.clone(), credentials()))?;
    // bollard expects a plugin, and the engine sends nothing.
    let _ = call!(docker.remove_plugin(&made, None::<RemovePluginOptions>));
    let install = InstallPluginOptionsBuilder::new().remote(&remote).name("local:1").build();
    stream!(docker.install_plugin(install, privileges, credentials()));
    let _ = call!(docker.remove_plugin("local:1", None::<RemovePluginOptions>));
    Ok(())
}

async fn swarm(docker: &Docker) -> Outcome {
    let _ = call!(docker.inspect_swarm());
    let _ = call!(docker.list_services(None));
    let _ = call!(docker.leave_swarm(None::<LeaveSwarmOptions>));
    let join = || -> SwarmJoinRequest {
        of(
            json!({"RemoteAddrs": ["127.0.0.1:9"], "ListenAddr": "127.0.0.1:2377", "JoinToken": "SWMTKN-1-nonsense-nonsense"}),
        )
    };
    let _ = call!(docker.join_swarm(join()));
    let init = || -> SwarmInitRequest { of(json!({"ListenAddr": "127.0.0.1:2377", "AdvertiseAddr": "127.0.0.1"})) };
    call!(docker.init_swarm(init()))?;
    let _ = call!(docker.init_swarm(init()));
    let _ = call!(docker.join_swarm(join()));
    let swarm = call!(docker.inspect_swarm())?;
    let index = swarm.version.and_then(|version| version.index).unwrap_or_default();
    let spec = swarm.spec.unwrap_or_default();
    let at = |version: u64| UpdateSwarmOptionsBuilder::new().version(version as i64).rotate_worker_token(true).build();
    call!(docker.update_swarm(spec.clone(), at(index)))?;
    let _ = call!(docker.update_swarm(spec, at(1)));
    nodes(docker).await?;
    secrets(docker).await?;
    configs(docker).await?;
    services(docker).await?;
    let _ = call!(docker.leave_swarm(None::<LeaveSwarmOptions>));
    call!(docker.leave_swarm(Some(LeaveSwarmOptionsBuilder::new().force(true).build())))?;
    Ok(())
}

async fn nodes(docker: &Docker) -> Outcome {
    let id = call!(docker.list_nodes(None))?.remove(0).id.unwrap_or_default();
    let update = async || {
        let node = docker.inspect_node(&id).await?;
        let version = node.version.and_then(|version| version.index).unwrap_or_default();
        docker
            .update_node(
                &id,
                node.spec.unwrap_or_default(),
                UpdateNodeOptionsBuilder::new().version(version as i64).build(),
            )
            .await
    };
    // The engine updates nodes too.
    until(async || update().await.is_ok()).await;
    let node = call!(docker.inspect_node(&id))?;
    let _ = call!(docker.inspect_node("absent"));
    let _ = call!(docker.update_node(
        &id,
        node.spec.unwrap_or_default(),
        UpdateNodeOptionsBuilder::new().version(1).build()
    ));
    Ok(())
}

async fn secrets(docker: &Docker) -> Outcome {
    let spec = || -> SecretSpec { of(json!({"Name": "made", "Labels": {"a": "1"}, "Data": "Y29udGVudA=="})) };
    let id = call!(docker.create_secret(spec()))?.id;
    let _ = call!(docker.create_secret(spec()));
    call!(docker.list_secrets(None))?;
    let made = call!(docker.inspect_secret(&id))?;
    let version = made.version.and_then(|version| version.index).unwrap_or_default();
    let at = |version: u64| UpdateSecretOptionsBuilder::new().version(version as i64).build();
    let labelled =
        SecretSpec { labels: Some(HashMap::from([("b".to_owned(), "2".to_owned())])), ..made.spec.unwrap_or_default() };
    call!(docker.update_secret(&id, labelled.clone(), at(version)))?;
    let _ = call!(docker.update_secret(&id, labelled, at(1)));
    let _ = call!(docker.inspect_secret("absent"));
    call!(docker.delete_secret(&id))?;
    let _ = call!(docker.delete_secret(&id));
    Ok(())
}

async fn configs(docker: &Docker) -> Outcome {
    let spec = || -> ConfigSpec { of(json!({"Name": "made", "Labels": {"a": "1"}, "Data": "Y29udGVudA=="})) };
    let id = call!(docker.create_config(spec()))?.id;
    let _ = call!(docker.create_config(spec()));
    call!(docker.list_configs(None))?;
    let made = call!(docker.inspect_config(&id))?;
    let version = made.version.and_then(|version| version.index).unwrap_or_default();
    let at = |version: u64| UpdateConfigOptionsBuilder::new().version(version as i64).build();
    let labelled =
        ConfigSpec { labels: Some(HashMap::from([("b".to_owned(), "2".to_owned())])), ..made.spec.unwrap_or_default() };
    call!(docker.update_config(&id, labelled.clone(), at(version)))?;
    let _ = call!(docker.update_config(&id, labelled, at(1)));
    let _ = call!(docker.inspect_config("absent"));
    call!(docker.delete_config(&id))?;
    let _ = call!(docker.delete_config(&id));
    Ok(())
}

async fn services(docker: &Docker) -> Outcome {
    let spec = |label: &str| -> ServiceSpec {
        of(json!({
            "Name": "web", "Labels": {"a": label}, "Mode": {"Replicated": {"Replicas": 1}},
            "TaskTemplate": {"ContainerSpec": {"Image": "base:1", "Command": ["sh", "-c", IDLE], "Env": ["TOKEN=secret"]}},
        }))
    };
    call!(docker.create_service(spec("1"), credentials()))?;
    let _ = call!(docker.create_service(spec("1"), None));
    let _ = call!(docker.inspect_service("absent", None));
    let of_web = || Some(ListTasksOptionsBuilder::new().filters(&filter("service", "web")).build());
    until(async || {
        let tasks = docker.list_tasks(of_web()).await.unwrap_or_default();
        tasks.iter().any(|task| json!(task)["Status"]["State"] == "running")
    })
    .await;
    call!(docker.list_services(None))?;
    let task = call!(docker.list_tasks(of_web()))?.remove(0).id.unwrap_or_default();
    call!(docker.inspect_task(&task))?;
    let _ = call!(docker.inspect_task("absent"));
    let both = || Some(LogsOptionsBuilder::new().stdout(true).stderr(true).build());
    until(async || text(docker.service_logs("web", both())).await.to_string().contains("ready")).await;
    output!(docker.service_logs("web", both()));
    output!(docker.service_logs("absent", both()));
    output!(docker.task_logs(&task, both()));
    let at = |version: u64| UpdateServiceOptionsBuilder::new().version(version as i32).build();
    let web = call!(docker.inspect_service("web", None))?;
    let version = web.version.and_then(|version| version.index).unwrap_or_default();
    call!(docker.update_service("web", spec("2"), at(version), credentials()))?;
    let _ = call!(docker.update_service("web", spec("2"), at(1), None));
    call!(docker.delete_service("web"))?;
    let _ = call!(docker.delete_service("web"));
    Ok(())
}

/// The public methods of `Docker` in bollard's source.
fn methods(source: &str) -> std::io::Result<BTreeSet<String>> {
    let mut methods = BTreeSet::new();
    for entry in std::fs::read_dir(source)? {
        let path = entry?.path();
        let text = if path.is_file() { std::fs::read_to_string(path)? } else { String::new() };
        let mut inside = false;
        for line in text.lines() {
            inside = line == "impl Docker {" || (inside && line != "}");
            let name = ["    pub fn ", "    pub async fn "].iter().find_map(|start| line.strip_prefix(start));
            if let Some(name) = name.filter(|_| inside) {
                methods.insert(name.split(['(', '<']).next().unwrap_or_default().to_owned());
            }
        }
    }
    Ok(methods)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, registry, archive] = &arguments[..] else { return Err("expected three arguments".into()) };
    let connected = Docker::connect_with_defaults();
    tell("connect_with_defaults", &connected, |_| json!(null));
    let connected = connected?;
    let negotiated = connected.negotiate_version().await;
    tell("negotiate_version", &negotiated, |docker| json!(docker.client_version().to_string()));
    let docker = &negotiated?;
    let mut failed = Vec::new();
    macro_rules! part {
        ($part:ident($($argument:expr),*)) => {{
            emit(json!({"part": stringify!($part)}));
            if let Err(error) = $part($($argument),*).await {
                failed.push(format!("{}: {error}", stringify!($part)));
            }
        }};
    }
    part!(system(docker));
    part!(images(docker, registry));
    part!(containers(docker));
    part!(networks(docker));
    part!(volumes(docker));
    part!(plugins(docker, registry, archive));
    part!(swarm(docker));
    let methods = methods(source)?;
    let called = CALLED.take();
    let excluded = |name: &str| NOT_CALLED.iter().any(|(excluded, _)| *excluded == name);
    let missing: Vec<_> = methods.iter().filter(|name| !called.contains(name.as_str()) && !excluded(name)).collect();
    let stale: Vec<_> =
        NOT_CALLED.iter().filter(|(name, _)| called.contains(name) || !methods.contains(*name)).collect();
    emit(json!({"methods": methods.len(), "excluded": NOT_CALLED.len()}));
    if failed.is_empty() && missing.is_empty() && stale.is_empty() && methods.len() > NOT_CALLED.len() {
        return Ok(());
    }
    let text = format!(
        "failed: {failed:?}; not called, and without a reason: {missing:?}; with a reason, but called or unknown: {stale:?}"
    );
    Err(text.into())
}
