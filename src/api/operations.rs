//! Every operation of the Docker Engine API, 1.24 to 1.55: documented or not, allowed by some profile or by none.
//!
//! The daemon has a handful of routes that its API documents never named; their ids are ours and `about` says so.
//! Two things the daemon answers are no operations here and therefore always refused: `OPTIONS` on any path, and gRPC
//! over HTTP/2, which never meets the daemon's router.

use super::{ApiVersion, Method};
use crate::yaml::unknown_or;

/// One operation: a row of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Operation {
    /// The `operationId` of the API documents, or ours where they have none.
    pub id: &'static str,
    /// The one method it answers.
    pub method: Method,
    /// The path without a version. `{reference}` may hold slashes, every other placeholder is one segment.
    pub template: &'static str,
    /// The versions whose daemons have it. For the reader: daemons serve it under every version prefix they accept.
    pub versions: Versions,
    /// What comes back.
    pub response: Response,
    /// Whether it changes something that a profile could mean to protect.
    pub mutating: bool,
    /// The query parameters, of all versions together.
    pub query: &'static [Parameter],
    /// What the client may send along.
    pub body: RequestBody,
    /// Whether the engine calls a registry for the client, with the credentials in the request's header.
    pub calls_registry: bool,
    /// Whether the head of the answer describes a file of a container, in `X-Docker-Container-Path-Stat`.
    pub path_stat: bool,
    /// Why no built-in profile allows it, or, of logs, why few do; empty where one does, or where changing things says
    /// enough.
    pub about: &'static str,
}

/// From when to when daemons had an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The version that brought it; [`ApiVersion::MIN`] for everything older.
    pub first: ApiVersion,
    /// The last version that had it, if that is past.
    pub last: Option<ApiVersion>,
}

/// What a successful response is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// One JSON document of this schema.
    Document(&'static str),
    /// A JSON array, or `null`, with elements of this schema.
    Array(&'static str),
    /// The text `OK`.
    Ping,
    /// Text that is no JSON: pages for those who debug the daemon.
    Text,
    /// Nothing but a head.
    Empty,
    /// Parts that arrive one by one.
    Stream(Stream),
    /// Raw bytes in both directions.
    Hijack,
    /// WebSocket frames in both directions.
    WebSocket,
    /// An archive.
    Tar,
    /// Binary data.
    Octets,
}

/// What a stream consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Frames or raw output of a container.
    Logs,
    /// One `Event` per line.
    Events,
    /// One `ContainerStats` per second; with `stream=0` a single document.
    Stats,
    /// One `Progress` after another.
    Progress,
    /// One `ContainerWait` after minutes or days.
    Wait,
}

/// What a request may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// Nothing.
    None,
    /// A JSON document.
    Json,
    /// A JSON document or nothing.
    OptionalJson,
    /// An archive.
    Tar,
    /// An archive or nothing.
    OptionalTar,
    /// Bytes for whatever listens at the other end of a hijacked connection.
    Raw,
}

/// A query parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, in the one case that is accepted.
    pub name: &'static str,
    /// Whether it may be there more than once.
    pub repeats: bool,
}

/// The operation with this id. `Ping` and `Version` are `SystemPing` and `SystemVersion`.
pub fn operation(id: &str) -> Option<&'static Operation> {
    operations_named(id).next()
}

/// The operations that a profile means by a name: one, or none, except that whoever may ping may ping with HEAD.
pub fn operations_named(name: &str) -> impl Iterator<Item = &'static Operation> {
    let (id, also) = match name {
        "Ping" | "SystemPing" => ("SystemPing", "SystemPingHead"),
        "Version" => ("SystemVersion", ""),
        id => (id, ""),
    };
    OPERATIONS.iter().filter(move |operation| operation.id == id || operation.id == also)
}

impl Operation {
    /// Whether the name in the path is an image, plugin or distribution reference, which may hold slashes.
    pub fn takes_reference(&self) -> bool {
        self.template.contains("{reference}")
    }

    /// Whether the path names an object.
    pub fn takes_name(&self) -> bool {
        self.template.contains('{')
    }

    /// The schema of the document, of each element, or of each part of the stream.
    pub const fn schema(&self) -> Option<&'static str> {
        match self.response {
            Response::Document(schema) | Response::Array(schema) => Some(schema),
            Response::Stream(Stream::Events) => Some("Event"),
            Response::Stream(Stream::Stats) => Some("ContainerStats"),
            Response::Stream(Stream::Progress) => Some("Progress"),
            Response::Stream(Stream::Wait) => Some("ContainerWait"),
            Response::Stream(Stream::Logs)
            | Response::Ping
            | Response::Text
            | Response::Empty
            | Response::Hijack
            | Response::WebSocket
            | Response::Tar
            | Response::Octets => None,
        }
    }

    /// [`Operation::schema`], if a plan can filter the response: a document, an array, events or stats.
    pub const fn filtered_schema(&self) -> Option<&'static str> {
        match self.response {
            Response::Stream(Stream::Progress | Stream::Wait) => None,
            Response::Document(_)
            | Response::Array(_)
            | Response::Stream(Stream::Logs | Stream::Events | Stream::Stats)
            | Response::Ping
            | Response::Text
            | Response::Empty
            | Response::Hijack
            | Response::WebSocket
            | Response::Tar
            | Response::Octets => self.schema(),
        }
    }
}

/// Error text for an unknown operation id.
pub fn unknown_operation(id: &str) -> String {
    let known = OPERATIONS.iter().map(|operation| operation.id);
    unknown_or("operation", id, known, "an operation id of the Docker API such as ContainerList")
}

/// The names of parameters; `many` after one says that it repeats.
macro_rules! names {
    ($($name:literal $($many:ident)?),*) => { &[$(Parameter { name: $name, repeats: names!(@ $($many)?) }),*] };
    (@) => { false };
    (@ many) => { true };
}

use Response::{Array, Document, Empty, Hijack, Octets, Ping, Tar, Text, WebSocket};

/// Progress of a pull, push, load or build.
const PROGRESS: Response = Response::Stream(Stream::Progress);
/// Output of a container.
const LOGS: Response = Response::Stream(Stream::Logs);
/// All parameters of a list that has only filters.
const FILTERS: &[Parameter] = names!["filters"];
/// All parameters of a change to one version of an object.
const OF_VERSION: &[Parameter] = names!["version"];
/// All parameters of attaching.
const ATTACH: &[Parameter] = names!["detachKeys", "logs", "stream", "stdin", "stdout", "stderr"];
/// All parameters of swarm logs.
const SWARM_LOGS: &[Parameter] =
    names!["details", "follow", "stdout", "stderr", "since", "timestamps", "tail", "until"];

/// Why Go's profiler is never allowed.
const PROFILER: &str = "The daemon's profiler shows its memory, arguments and traffic. Undocumented; the id is ours.";
/// Why the stray profiler is never allowed.
const STRAY: &str = "The daemon's debug data, by accident also here on listeners of 17.07 to 23.0. The id is ours.";
/// Why checkpoints are never allowed.
const CHECKPOINT: &str = "Reads or writes process memory below any host directory. Undocumented; the id is ours.";
/// Why attaching is never allowed.
const ATTACHED: &str = "Gives the raw output, and writes to the process.";
/// Why archives of containers are never allowed.
const ARCHIVE: &str = "Reaches any file of the container, its volumes and bind mounts.";
/// Why archives of images are never allowed.
const IMAGE_TAR: &str = "Holds the image whole: environment, history and files.";
/// Why operations that take an address are never allowed.
const CALLS_OUT: &str = "Makes the daemon call a registry of the client's choice.";
/// Why BuildKit is never allowed.
const BUILDKIT: &str = "A tunnel to BuildKit, past every rule: secrets, ssh agents, content of images.";
/// Why builds are never allowed.
const BUILD: &str = "Runs commands of the client's choice.";
/// Why logs need an explicit decision.
const OUTPUT: &str = "Output is text that no rule can clean.";

/// The table. An operation that is not here does not exist for any client.
#[rustfmt::skip]
pub static OPERATIONS: &[Operation] = &[
    get("SystemPing", "/_ping", Ping),
    head("SystemPingHead", "/_ping").since(40),
    get("SystemVersion", "/version", Document("SystemVersion")),
    get("SystemInfo", "/info", Document("SystemInfo")),
    get("SystemDataUsage", "/system/df", Document("SystemDataUsage")).query(names!["type" many, "verbose"]).since(25),
    get("SystemEvents", "/events", Response::Stream(Stream::Events)).query(names!["since", "until", "filters", "stream"]),
    post("SystemAuth", "/auth", Document("SystemAuth")).json().reads().about("Carries credentials, and makes the daemon call the registry they are for."),

    get("ContainerList", "/containers/json", Array("ContainerSummary")).query(names!["all", "limit", "size", "filters", "since", "before", "trunc_cmd"]),
    get("ContainerInspect", "/containers/{id}/json", Document("ContainerInspect")).query(names!["size"]),
    get("ContainerTop", "/containers/{id}/top", Document("ContainerTop")).query(names!["ps_args", "stream"]),
    get("ContainerLogs", "/containers/{id}/logs", LOGS).query(names!["details", "follow", "stdout", "stderr", "since", "until", "timestamps", "tail", "format"]).about(OUTPUT),
    get("ContainerChanges", "/containers/{id}/changes", Array("ContainerChange")),
    get("ContainerExport", "/containers/{id}/export", Tar).about("The whole root file system."),
    get("ContainerStats", "/containers/{id}/stats", Response::Stream(Stream::Stats)).query(names!["stream", "one-shot"]),
    get("ContainerArchive", "/containers/{id}/archive", Tar).query(names!["path"]).with_path_stat().about(ARCHIVE),
    head("ContainerArchiveInfo", "/containers/{id}/archive").query(names!["path"]).with_path_stat().about("Tells whether any file exists, its size and where a link leads."),
    put("PutContainerArchive", "/containers/{id}/archive", Empty).query(names!["path", "noOverwriteDirNonDir", "copyUIDGID"]).tar().about(ARCHIVE),
    post("ContainerCopy", "/containers/{id}/copy", Tar).json().reads().until(24).about("Reads files, on daemons up to 24. Long undocumented; the id is ours."),
    get("ContainerAttachWebsocket", "/containers/{id}/attach/ws", WebSocket).query(ATTACH).raw().writes().about("A GET that writes to the process, open to any web page below an unprotected listener."),
    post("ContainerAttach", "/containers/{id}/attach", Hijack).query(ATTACH).raw().about(ATTACHED),
    post("ContainerCreate", "/containers/create", Document("ContainerCreated")).query(names!["name", "platform"]).json(),
    post("ContainerStart", "/containers/{id}/start", Empty).query(names!["detachKeys", "checkpoint", "checkpoint-dir"]),
    post("ContainerStop", "/containers/{id}/stop", Empty).query(names!["t", "signal"]),
    post("ContainerRestart", "/containers/{id}/restart", Empty).query(names!["t", "signal"]),
    post("ContainerKill", "/containers/{id}/kill", Empty).query(names!["signal"]),
    post("ContainerPause", "/containers/{id}/pause", Empty),
    post("ContainerUnpause", "/containers/{id}/unpause", Empty),
    post("ContainerRename", "/containers/{id}/rename", Empty).query(names!["name"]),
    post("ContainerResize", "/containers/{id}/resize", Empty).query(names!["h", "w"]),
    post("ContainerUpdate", "/containers/{id}/update", Document("ContainerUpdated")).json(),
    post("ContainerWait", "/containers/{id}/wait", Response::Stream(Stream::Wait)).query(names!["condition"]).reads().about("Answers when the container ends, with an error text that is relayed as it comes."),
    post("ContainerExec", "/containers/{id}/exec", Document("ExecCreated")).json(),
    post("ContainerPrune", "/containers/prune", Document("ContainerPrune")).query(FILTERS).since(25),
    delete("ContainerDelete", "/containers/{id}", Empty).query(names!["v", "force", "link"]),

    get("CheckpointList", "/containers/{id}/checkpoints", Array("Checkpoint")).query(names!["dir"]).since(25).about(CHECKPOINT),
    post("CheckpointCreate", "/containers/{id}/checkpoints", Empty).json().since(25).about(CHECKPOINT),
    delete("CheckpointDelete", "/containers/{id}/checkpoints/{checkpoint}", Empty).query(names!["dir"]).since(25).about(CHECKPOINT),

    get("ExecInspect", "/exec/{id}/json", Document("ExecInspect")),
    post("ExecStart", "/exec/{id}/start", Hijack).json().about(ATTACHED),
    post("ExecResize", "/exec/{id}/resize", Empty).query(names!["h", "w"]),

    get("ImageList", "/images/json", Array("ImageSummary")).query(names!["all", "filters", "filter", "digests", "shared-size", "manifests", "identity", "only_ids"]),
    get("ImageInspect", "/images/{reference}/json", Document("ImageInspect")).query(names!["manifests", "platform"]),
    get("ImageHistory", "/images/{reference}/history", Array("ImageHistory")).query(names!["platform"]),
    get("ImageAttestations", "/images/{reference}/attestations", Array("ImageAttestation")).query(names!["platform" many, "type" many, "statement"]).since(55),
    get("ImageGet", "/images/{reference}/get", Tar).query(names!["platform" many]).about(IMAGE_TAR),
    get("ImageGetAll", "/images/get", Tar).query(names!["names" many, "platform" many]).about(IMAGE_TAR),
    get("ImageSearch", "/images/search", Array("ImageSearch")).query(names!["term", "limit", "filters"]).with_registry().about(CALLS_OUT),
    post("ImageCreate", "/images/create", PROGRESS).query(names!["fromImage", "fromSrc", "repo", "tag", "message", "changes" many, "platform", "registry"]).optional_tar().with_registry().about(CALLS_OUT),
    post("ImageLoad", "/images/load", PROGRESS).query(names!["quiet", "platform" many]).tar(),
    post("ImagePush", "/images/{reference}/push", PROGRESS).query(names!["tag", "platform"]).with_registry().about(CALLS_OUT),
    post("ImageTag", "/images/{reference}/tag", Empty).query(names!["repo", "tag", "force"]),
    post("ImagePrune", "/images/prune", Document("ImagePrune")).query(FILTERS).since(25),
    delete("ImageDelete", "/images/{reference}", Array("ImageDeleted")).query(names!["force", "noprune", "platforms" many]),
    post("ImageCommit", "/commit", Document("ImageCommitted")).query(names!["container", "repo", "tag", "comment", "author", "pause", "changes" many]).optional_json(),

    post("ImageBuild", "/build", PROGRESS).query(names![
        "dockerfile", "t" many, "remote", "q", "nocache", "cachefrom" many, "pull", "rm", "forcerm", "memory", "memswap", "cpushares",
        "cpusetcpus", "cpusetmems", "cpuperiod", "cpuquota", "cgroupparent", "buildargs", "shmsize", "ulimits", "squash", "labels",
        "networkmode", "extrahosts" many, "securityopt" many, "isolation", "platform", "target", "version", "outputs" many,
        "session", "buildid"
    ]).optional_tar().with_registry().about(BUILD),
    post("BuildCancel", "/build/cancel", Empty).query(names!["id"]).since(38).about("Ends a build. Undocumented; the id is ours."),
    post("BuildPrune", "/build/prune", Document("BuildPrune")).query(names!["keep-storage", "reserved-space", "max-used-space", "min-free-space", "all", "filters"]).since(31),
    post("Session", "/session", Hijack).raw().since(31).about(BUILDKIT),
    post("Grpc", "/grpc", Hijack).raw().since(40).about("A tunnel to BuildKit, past every rule: secrets, ssh agents, content of images. Undocumented; the id is ours."),

    get("DistributionInspect", "/distribution/{reference}/json", Document("Distribution")).since(30).with_registry().about(CALLS_OUT),

    get("VolumeList", "/volumes", Document("VolumeList")).query(FILTERS),
    get("VolumeInspect", "/volumes/{name}", Document("Volume")),
    post("VolumeCreate", "/volumes/create", Document("Volume")).optional_json(),
    post("VolumePrune", "/volumes/prune", Document("VolumePrune")).query(FILTERS).since(25),
    put("VolumeUpdate", "/volumes/{name}", Empty).query(OF_VERSION).json().since(42),
    delete("VolumeDelete", "/volumes/{name}", Empty).query(names!["force"]),

    get("NetworkList", "/networks", Array("NetworkSummary")).query(FILTERS),
    get("NetworkInspect", "/networks/{id}", Document("NetworkInspect")).query(names!["verbose", "scope"]),
    post("NetworkCreate", "/networks/create", Document("NetworkCreated")).json(),
    post("NetworkConnect", "/networks/{id}/connect", Empty).json(),
    post("NetworkDisconnect", "/networks/{id}/disconnect", Empty).json(),
    post("NetworkPrune", "/networks/prune", Document("NetworkPrune")).query(FILTERS).since(25),
    delete("NetworkDelete", "/networks/{id}", Empty),

    get("PluginList", "/plugins", Array("Plugin")).query(FILTERS),
    get("PluginInspect", "/plugins/{reference}/json", Document("Plugin")).since(25),
    get("PluginInspectEarly", "/plugins/{name}", Document("Plugin")).until(24).about("Plugins of experimental builds of 1.12, whose answers nobody has recorded. The id is ours."),
    get("GetPluginPrivileges", "/plugins/privileges", Array("PluginPrivilege")).query(names!["name", "remote"]).since(25).about(CALLS_OUT),
    post("PluginPull", "/plugins/pull", PROGRESS).query(names!["remote", "name"]).json().with_registry().about(CALLS_OUT),
    post("PluginCreate", "/plugins/create", Empty).query(names!["name"]).tar().since(25),
    post("PluginEnable", "/plugins/{reference}/enable", Empty).query(names!["timeout"]),
    post("PluginDisable", "/plugins/{reference}/disable", Empty).query(names!["force"]),
    post("PluginUpgrade", "/plugins/{reference}/upgrade", PROGRESS).query(names!["remote"]).json().since(26).with_registry().about(CALLS_OUT),
    post("PluginPush", "/plugins/{reference}/push", PROGRESS).with_registry().about(CALLS_OUT),
    post("PluginSet", "/plugins/{reference}/set", Empty).json(),
    delete("PluginDelete", "/plugins/{reference}", Empty).query(names!["force"]),

    get("SwarmInspect", "/swarm", Document("Swarm")),
    get("SwarmUnlockkey", "/swarm/unlockkey", Document("SwarmUnlockKey")).since(25).about("Is nothing but the key to the swarm's stored state."),
    post("SwarmInit", "/swarm/init", Document("SwarmInit")).json(),
    post("SwarmJoin", "/swarm/join", Empty).json(),
    post("SwarmLeave", "/swarm/leave", Empty).query(names!["force"]),
    post("SwarmUpdate", "/swarm/update", Empty).query(names!["version", "rotateWorkerToken", "rotateManagerToken", "rotateManagerUnlockKey"]).json(),
    post("SwarmUnlock", "/swarm/unlock", Empty).json().since(25),

    get("NodeList", "/nodes", Array("Node")).query(FILTERS),
    get("NodeInspect", "/nodes/{id}", Document("Node")),
    post("NodeUpdate", "/nodes/{id}/update", Empty).query(OF_VERSION).json(),
    delete("NodeDelete", "/nodes/{id}", Empty).query(names!["force"]),

    get("ServiceList", "/services", Array("Service")).query(names!["filters", "status"]),
    get("ServiceInspect", "/services/{id}", Document("Service")).query(names!["insertDefaults"]),
    get("ServiceLogs", "/services/{id}/logs", LOGS).query(SWARM_LOGS).since(25).about(OUTPUT),
    post("ServiceCreate", "/services/create", Document("ServiceCreated")).json().with_registry(),
    post("ServiceUpdate", "/services/{id}/update", Document("ServiceUpdated")).query(names!["version", "registryAuthFrom", "rollback"]).json().with_registry(),
    delete("ServiceDelete", "/services/{id}", Empty),

    get("TaskList", "/tasks", Array("Task")).query(FILTERS),
    get("TaskInspect", "/tasks/{id}", Document("Task")),
    get("TaskLogs", "/tasks/{id}/logs", LOGS).query(SWARM_LOGS).since(29).about(OUTPUT),

    get("SecretList", "/secrets", Array("Secret")).query(FILTERS).since(25),
    get("SecretInspect", "/secrets/{id}", Document("Secret")).since(25),
    post("SecretCreate", "/secrets/create", Document("SecretCreated")).json().since(25),
    post("SecretUpdate", "/secrets/{id}/update", Empty).query(OF_VERSION).json().since(25),
    delete("SecretDelete", "/secrets/{id}", Empty).since(25),

    get("ConfigList", "/configs", Array("Config")).query(FILTERS).since(30),
    get("ConfigInspect", "/configs/{id}", Document("Config")).since(30),
    post("ConfigCreate", "/configs/create", Document("ConfigCreated")).json().since(30),
    post("ConfigUpdate", "/configs/{id}/update", Empty).query(OF_VERSION).json().since(30),
    delete("ConfigDelete", "/configs/{id}", Empty).since(30),

    get("DebugVars", "/debug/vars", Document("DebugVars")).about("The daemon's arguments and memory figures. Undocumented; the id is ours."),
    get("DebugPprof", "/debug/pprof/", Text).about(PROFILER),
    get("DebugPprofCmdline", "/debug/pprof/cmdline", Text).about(PROFILER),
    get("DebugPprofProfile", "/debug/pprof/profile", Octets).query(names!["seconds"]).about(PROFILER),
    get("DebugPprofSymbol", "/debug/pprof/symbol", Text).about(PROFILER),
    get("DebugPprofTrace", "/debug/pprof/trace", Octets).query(names!["seconds"]).about(PROFILER),
    get("DebugPprofNamed", "/debug/pprof/{name}", Text).query(names!["debug", "gc", "seconds"]).about(PROFILER),
    get("StrayVars", "/vars", Document("DebugVars")).since(31).until(42).about(STRAY),
    get("StrayPprof", "/pprof/", Text).since(31).until(42).about(STRAY),
    get("StrayPprofCmdline", "/pprof/cmdline", Text).since(31).until(42).about(STRAY),
    get("StrayPprofNamed", "/pprof/{name}", Text).query(names!["debug", "gc", "seconds"]).since(31).until(42).about(STRAY),
];

/// A row that only reads.
const fn get(id: &'static str, template: &'static str, response: Response) -> Operation {
    row(id, Method::Get, template, response, false)
}

/// A row that has only a head.
const fn head(id: &'static str, template: &'static str) -> Operation {
    row(id, Method::Head, template, Empty, false)
}

/// A row that changes something.
const fn post(id: &'static str, template: &'static str, response: Response) -> Operation {
    row(id, Method::Post, template, response, true)
}

/// A row that changes something.
const fn put(id: &'static str, template: &'static str, response: Response) -> Operation {
    row(id, Method::Put, template, response, true)
}

/// A row that changes something.
const fn delete(id: &'static str, template: &'static str, response: Response) -> Operation {
    row(id, Method::Delete, template, response, true)
}

/// A row without parameters and body, as old as the API.
const fn row(
    id: &'static str,
    method: Method,
    template: &'static str,
    response: Response,
    mutating: bool,
) -> Operation {
    let versions = Versions { first: ApiVersion::MIN, last: None };
    Operation {
        id,
        method,
        template,
        versions,
        response,
        mutating,
        query: &[],
        body: RequestBody::None,
        calls_registry: false,
        path_stat: false,
        about: "",
    }
}

impl Operation {
    /// With these parameters.
    const fn query(mut self, query: &'static [Parameter]) -> Self {
        self.query = query;
        self
    }

    /// Not before this minor version.
    const fn since(mut self, minor: u16) -> Self {
        self.versions.first = ApiVersion::new(minor);
        self
    }

    /// Gone after this minor version.
    const fn until(mut self, minor: u16) -> Self {
        self.versions.last = Some(ApiVersion::new(minor));
        self
    }

    /// Changes something, whatever the method says.
    const fn writes(mut self) -> Self {
        self.mutating = true;
        self
    }

    /// Changes nothing, whatever the method says.
    const fn reads(mut self) -> Self {
        self.mutating = false;
        self
    }

    /// With a JSON body.
    const fn json(mut self) -> Self {
        self.body = RequestBody::Json;
        self
    }

    /// With a JSON body or none.
    const fn optional_json(mut self) -> Self {
        self.body = RequestBody::OptionalJson;
        self
    }

    /// With an archive.
    const fn tar(mut self) -> Self {
        self.body = RequestBody::Tar;
        self
    }

    /// With an archive or none.
    const fn optional_tar(mut self) -> Self {
        self.body = RequestBody::OptionalTar;
        self
    }

    /// With bytes for the other end.
    const fn raw(mut self) -> Self {
        self.body = RequestBody::Raw;
        self
    }

    /// The engine calls a registry with the client's credentials.
    const fn with_registry(mut self) -> Self {
        self.calls_registry = true;
        self
    }

    /// The head of the answer describes a file.
    const fn with_path_stat(mut self) -> Self {
        self.path_stat = true;
        self
    }

    /// With a word on why no built-in profile allows it.
    const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn table_is_whole_and_unambiguous() {
        assert_eq!(OPERATIONS.len(), 126);
        let ids: HashSet<_> = OPERATIONS.iter().map(|operation| operation.id).collect();
        assert_eq!(ids.len(), OPERATIONS.len());
        let shape = |template: &str| {
            let parts = template.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
            parts.collect::<Vec<_>>().join("/")
        };
        let places: HashSet<_> =
            OPERATIONS.iter().map(|operation| (operation.method, shape(operation.template))).collect();
        assert_eq!(places.len(), OPERATIONS.len());
    }

    #[test]
    fn rows_are_well_formed() {
        for operation in OPERATIONS {
            let Operation { id, template, versions, query, about, .. } = operation;
            assert!(template.starts_with('/') && !template.contains("//"), "{id}");
            assert!(id.chars().all(|letter| letter.is_ascii_alphanumeric()), "{id}");
            assert!(versions.first >= ApiVersion::MIN && versions.first <= ApiVersion::NEWEST, "{id}");
            assert!(versions.last.is_none_or(|last| last >= versions.first), "{id}");
            assert!(about.is_empty() || about.ends_with('.'), "{id}");
            let names: HashSet<_> = query.iter().map(|parameter| parameter.name).collect();
            assert_eq!(names.len(), query.len(), "{id}");
            if matches!(operation.method, Method::Get | Method::Head) && operation.response != WebSocket {
                assert!(!operation.mutating && operation.body == RequestBody::None, "{id}");
            }
        }
    }

    #[test]
    fn raw_responses_say_why_they_are_dangerous() {
        for operation in OPERATIONS {
            if matches!(operation.response, Hijack | WebSocket | Tar | Octets | LOGS) {
                assert!(!operation.about.is_empty(), "{}", operation.id);
            }
        }
    }

    #[track_caller]
    fn check(name: &str, expected: &[&str]) {
        let ids: Vec<_> = operations_named(name).map(|operation| operation.id).collect();
        assert_eq!(ids, expected, "{name}");
        assert_eq!(operation(name).map(|operation| operation.id), expected.first().copied());
    }

    #[test]
    fn short_names_stand_for_operations() {
        check("Ping", &["SystemPing", "SystemPingHead"]);
        check("SystemPing", &["SystemPing", "SystemPingHead"]);
        check("SystemPingHead", &["SystemPingHead"]);
        check("Version", &["SystemVersion"]);
        check("ContainerArchive", &["ContainerArchive"]);
        for name in ["", "ping", "containerlist", "Options"] {
            check(name, &[]);
        }
    }
}
