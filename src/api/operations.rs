//! Every operation of the Docker Engine API from 1.24 to 1.55, documented or not.
//!
//! The engine serves a few routes that its API documents never mention. Their ids are ours, and `about` says so. Two
//! kinds of request that the engine answers are left out on purpose, so every client is refused them: `OPTIONS` on any
//! path, and gRPC over HTTP/2, which bypasses the engine's router.
//!
//! Sources: the [API documents](https://docs.docker.com/reference/api/engine/version-history/) and the routers in
//! <https://github.com/moby/moby>.

use super::queries::is_true;
use super::{ApiVersion, Method};
use crate::yaml::unknown_or;

/// One operation of the API: a row of [`OPERATIONS`].
#[derive(Debug, PartialEq, Eq)]
pub struct Operation {
    /// The `operationId` in the API documents, or an id of ours if they have none.
    pub id: &'static str,
    /// The request method.
    pub method: Method,
    /// The path without the version. `{reference}` may contain slashes; every other placeholder is one segment.
    pub template: &'static str,
    /// The versions that have the operation. No decision depends on them: an engine serves an operation under every
    /// version prefix that it accepts.
    pub versions: Versions,
    /// The body of a successful response.
    pub response: ResponseKind,
    /// Whether the operation changes anything, on the engine or inside a container.
    pub mutating: bool,
    /// The query parameters of all versions. No other parameter reaches the engine.
    pub query: &'static [Parameter],
    /// The body that a request may have.
    pub body: RequestBody,
    /// Whether a request of a known client has no body, although it may have one.
    pub body_is_rare: bool,
    /// Whether the engine calls a registry with credentials from the request header `X-Registry-Auth` or
    /// `X-Registry-Config`.
    pub calls_registry: bool,
    /// Whether the response has the header `X-Docker-Container-Path-Stat`, which describes a file of the container.
    pub path_stat: bool,
    /// The parts of documents that clients read, change in some places, and send back whole. A profile that hides anything in
    /// them would make such a client erase it. Empty if the request says only what is to change.
    ///
    /// The privileges of a plugin are read and sent back, too, but the engine compares them and stores its own.
    pub writes_back: &'static [DocumentPart],
    /// Why no built-in profile allows the operation; of logs, why few do. Printed by `dockveil explain`. Empty if a
    /// built-in profile allows it, or if being `mutating` is the whole reason.
    pub about: &'static str,
}

/// A part of the documents of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentPart {
    /// The schema.
    pub schema: &'static str,
    /// The names of the members on the way to the part, the outer one first.
    pub path: &'static [&'static str],
}

/// An object that clients edit: they read it, change some places of a part of it, and send that part back whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EditedObject {
    /// The part that is the body of the request.
    pub part: DocumentPart,
    /// The operation that returns the object.
    pub inspect: &'static Operation,
    /// The places in the part, each as the members on the way to it, at and below which the engine fills in templates: with labels
    /// of the object, among others.
    pub templates: &'static [&'static [&'static str]],
    /// The places in the part at and below which a text says where the engine sends what containers write, with their variables
    /// and labels, or where their files go.
    pub destinations: &'static [&'static [&'static str]],
    /// The places in the part at and below which a text asks for something about nodes, and where containers run answers.
    pub questions: &'static [&'static [&'static str]],
    /// The places of values that say what is beside them, each as the members on the way to it: the type of a mount, the name of a
    /// driver, what the engine tries with a path and complains of.
    pub kinds: &'static [&'static [&'static str]],
}

/// Where a node of a swarm fills in templates of a service. Of a log driver, the engine does: with variables and arguments.
const SERVICE_TEMPLATES: &[&[&str]] = &[
    &["TaskTemplate", "LogDriver", "Options"],
    &["TaskTemplate", "ContainerSpec", "Env"],
    &["TaskTemplate", "ContainerSpec", "Hostname"],
    &["TaskTemplate", "ContainerSpec", "Mounts"],
];

/// Where an engine fills in templates of a swarm.
const SWARM_TEMPLATES: &[&[&str]] = &[&["TaskDefaults", "LogDriver", "Options"]];

/// What in a service says where its output and its files go.
const SERVICE_DESTINATIONS: &[&[&str]] = &[
    &["TaskTemplate", "LogDriver"],
    &["TaskTemplate", "ContainerSpec", "Mounts", "VolumeOptions", "DriverConfig", "Options"],
];
/// The same in a swarm, and the authority that it asks for certificates.
const SWARM_DESTINATIONS: &[&[&str]] = &[&["TaskDefaults", "LogDriver"], &["CAConfig", "ExternalCAs"]];

/// Where a service asks about nodes.
const SERVICE_QUESTIONS: &[&[&str]] =
    &[&["TaskTemplate", "Placement", "Constraints"], &["TaskTemplate", "Placement", "Preferences"]];

/// What in a service says what is beside it.
const SERVICE_KINDS: &[&[&str]] = &[
    &["TaskTemplate", "ContainerSpec", "Mounts", "Type"],
    &["TaskTemplate", "ContainerSpec", "Mounts", "BindOptions"],
    &["TaskTemplate", "ContainerSpec", "Mounts", "TmpfsOptions"],
    &["TaskTemplate", "ContainerSpec", "Mounts", "VolumeOptions", "DriverConfig", "Name"],
    &["TaskTemplate", "LogDriver", "Name"],
];
/// The same in a swarm.
const SWARM_KINDS: &[&[&str]] = &[&["TaskDefaults", "LogDriver", "Name"], &["CAConfig", "ExternalCAs", "Protocol"]];

impl EditedObject {
    /// The member of an object that holds its id.
    pub const ID: &'static str = "ID";
    /// The members on the way to the version of an object, which an edit names in the parameter [`Self::VERSION_PARAMETER`].
    pub const VERSION: [&'static str; 2] = ["Version", "Index"];
    /// The parameter by which an edit names the version that the client has read. The engine takes the edit only if the object
    /// still has that version.
    pub const VERSION_PARAMETER: &'static str = "version";
}

/// The API versions that have an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The first version that has it, or [`ApiVersion::MIN`] if it is older than that.
    pub first: ApiVersion,
    /// The last version that had it; `None` if it is still there.
    pub last: Option<ApiVersion>,
}

/// The body of a successful response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// One JSON document of this schema.
    Document(&'static str),
    /// A JSON array, or `null`, with elements of this schema.
    Array(&'static str),
    /// The text `OK`.
    Ping,
    /// Other plain text: pages for debugging the engine.
    Text,
    /// No body.
    Empty,
    /// A stream of records.
    Stream(StreamKind),
    /// Raw bytes in both directions.
    Hijack,
    /// HTTP/2 in both directions: gRPC of BuildKit.
    Http2,
    /// WebSocket frames in both directions.
    WebSocket,
    /// A tar archive.
    Tar,
    /// Other binary data.
    Octets,
}

/// The records of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// Output of a container: raw, or in frames that name stdout and stderr.
    Logs,
    /// One `Event` per line.
    Events,
    /// One `ContainerStats` per second; with `stream=0` a single document.
    Stats,
    /// One `Progress` for each step of the work.
    Progress,
    /// One `ContainerWait`, sent when the container stops.
    Wait,
}

impl ResponseKind {
    /// The protocol to which the engine upgrades the connection; `None` if it is an ordinary answer.
    pub const fn upgrade(self) -> Option<Upgrade> {
        match self {
            Self::Hijack => Some(Upgrade::Tcp),
            Self::Http2 => Some(Upgrade::H2c),
            Self::WebSocket => Some(Upgrade::WebSocket),
            Self::Document(_)
            | Self::Array(_)
            | Self::Ping
            | Self::Text
            | Self::Empty
            | Self::Stream(_)
            | Self::Tar
            | Self::Octets => None,
        }
    }
}

/// A protocol to which the engine upgrades a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// Docker's own: raw bytes. The engine hijacks the connection with or without a request for an upgrade.
    Tcp,
    /// HTTP/2 in clear text.
    H2c,
    /// WebSocket (RFC 6455).
    WebSocket,
}

impl Upgrade {
    /// Its name in the header field `Upgrade`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::H2c => "h2c",
            Self::WebSocket => "websocket",
        }
    }
}

impl StreamKind {
    /// The schema of each record; `None` if the records are not JSON.
    const fn schema(self) -> Option<&'static str> {
        match self {
            Self::Logs => None,
            Self::Events => Some("Event"),
            Self::Stats => Some("ContainerStats"),
            Self::Progress => Some("Progress"),
            Self::Wait => Some("ContainerWait"),
        }
    }

    /// Whether the records can be filtered one by one.
    const fn can_be_filtered(self) -> bool {
        match self {
            Self::Events | Self::Stats | Self::Wait => true,
            Self::Logs | Self::Progress => false,
        }
    }
}

/// The body that a request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// No body.
    None,
    /// A JSON document.
    Json,
    /// A JSON document or no body.
    OptionalJson,
    /// A tar archive.
    Tar,
    /// A tar archive or no body.
    OptionalTar,
    /// Raw bytes, sent over a hijacked connection.
    Raw,
}

impl RequestBody {
    /// Whether the operation cannot do without a body.
    pub const fn is_required(self) -> bool {
        match self {
            Self::Json | Self::Tar | Self::Raw => true,
            Self::None | Self::OptionalJson | Self::OptionalTar => false,
        }
    }
}

/// A query parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The name. The case must match.
    pub name: &'static str,
    /// How the engine reads its values.
    pub kind: ParameterKind,
    /// Whether no known client needs it. Then a request may have it only if the profile names it.
    pub rare: bool,
    /// Whether it only adds to the answer. Where the profile does not allow it, the request passes without it, and the client
    /// gets less.
    pub adds: bool,
}

/// How the engine reads the values of a query parameter.
///
/// Of a list it reads every value, of all others the first one. Docker reads `r.Form.Get`, `r.FormValue` or `r.Form`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// A text or a number. An empty value means the same as none.
    Text,
    /// A boolean that is false by default.
    Flag,
    /// A boolean that is true by default.
    Switch,
    /// A list: the parameter may be there more than once.
    List,
}

impl Parameter {
    /// Whether the engine reads every value.
    pub fn repeats(&self) -> bool {
        self.kind == ParameterKind::List
    }

    /// Whether a value asks for nothing but what the engine does without the parameter.
    pub fn is_default(&self, value: &str) -> bool {
        match self.kind {
            ParameterKind::Text => value.is_empty(),
            ParameterKind::Flag => !is_true(value),
            ParameterKind::Switch => is_true(value),
            ParameterKind::List => false,
        }
    }
}

/// Parameters that clients send and that no engine reads, each with the operations that have it; of none, all have it. They
/// are dropped even where an unknown parameter is refused.
const UNREAD: &[(&str, &[&str])] = &[
    // dockerode sends all its options. This one is for itself, and arrives as `{}`.
    ("abortSignal", &[]),
    // A client of API 1.56 asks for the progress. Engines up to 1.55 send the report, which is what can be filtered.
    ("stream", &["ContainerPrune", "ImagePrune", "VolumePrune", "NetworkPrune", "BuildPrune"]),
];

/// Finds an operation by its id. `Ping` and `Version` are short for `SystemPing` and `SystemVersion`.
pub fn operation(id: &str) -> Option<&'static Operation> {
    operations_named(id).next()
}

/// Finds the operations that a name in a profile stands for: `SystemPing` also allows `SystemPingHead`; any other name
/// stands for at most one operation.
pub fn operations_named(name: &str) -> impl Iterator<Item = &'static Operation> {
    let (id, also) = match name {
        "Ping" | "SystemPing" => ("SystemPing", "SystemPingHead"),
        "Version" => ("SystemVersion", ""),
        id => (id, ""),
    };
    OPERATIONS.iter().filter(move |operation| operation.id == id || operation.id == also)
}

impl Operation {
    /// Whether a parameter that the operation does not have is dropped. If not, it is refused.
    ///
    /// A read without it shows what the client may see, and a write with a body says in the body what it does: clients of
    /// dockerode repeat the body in the query. A write without a body says it in the path and the query alone, so a
    /// parameter that a newer engine reads could change what it does.
    pub fn drops_parameter(&self, name: &str) -> bool {
        let is_unread = |(unread, operations): &(&str, &[&str])| {
            *unread == name && (operations.is_empty() || operations.contains(&self.id))
        };
        !self.mutating || self.body != RequestBody::None || UNREAD.iter().any(is_unread)
    }

    /// Whether the path contains the reference of an image or a plugin, which may contain slashes.
    pub fn takes_reference(&self) -> bool {
        self.template.contains("{reference}")
    }

    /// Whether the path contains the name of an object.
    pub fn takes_name(&self) -> bool {
        self.template.contains('{')
    }

    /// The schema of the document, of each element of the array, or of each record of the stream. `None` if the response
    /// is not JSON.
    pub const fn schema(&self) -> Option<&'static str> {
        match self.response {
            ResponseKind::Document(schema) | ResponseKind::Array(schema) => Some(schema),
            ResponseKind::Stream(kind) => kind.schema(),
            ResponseKind::Ping
            | ResponseKind::Text
            | ResponseKind::Empty
            | ResponseKind::Hijack
            | ResponseKind::Http2
            | ResponseKind::WebSocket
            | ResponseKind::Tar
            | ResponseKind::Octets => None,
        }
    }

    /// The same as [`Operation::schema`] if the response can be filtered: a document, an array, events or stats.
    pub const fn filtered_schema(&self) -> Option<&'static str> {
        if let ResponseKind::Stream(kind) = self.response
            && !kind.can_be_filtered()
        {
            return None;
        }
        self.schema()
    }

    /// Whether it is a `GET` or a `HEAD` that changes nothing.
    pub fn is_read(&self) -> bool {
        !self.mutating && matches!(self.method, Method::Get | Method::Head)
    }

    /// Whether the engine may work for long before it answers: a stop waits, and an image is gathered before it is sent.
    pub fn takes_long(&self) -> bool {
        self.mutating || self.response == ResponseKind::Tar
    }

    /// Whether it only asks whether the engine is there.
    pub fn is_ping(&self) -> bool {
        self.template == "/_ping"
    }

    /// Whether it is a debug page of the daemon, which shows its arguments and its memory.
    pub fn is_debug_page(&self) -> bool {
        ["/debug/", "/vars", "/pprof/"].iter().any(|prefix| self.template.starts_with(prefix))
    }

    /// Whether the response shows containers, or tells that they exist.
    pub fn shows_containers(&self) -> bool {
        ["/containers", "/exec", "/events", "/system", "/networks", "/tasks", "/services"]
            .iter()
            .any(|prefix| self.template.starts_with(prefix))
    }

    /// Whether the request makes the engine send requests to a host that it names.
    pub fn calls_out(&self) -> bool {
        self.calls_registry || ["GetPluginPrivileges", "SystemAuth"].contains(&self.id)
    }

    /// Whether the answer to the request has warnings about what the request asks for.
    pub fn gives_warnings(&self) -> bool {
        let schemas = ["ContainerCreated", "ContainerUpdated", "NetworkCreated", "ServiceCreated", "ServiceUpdated"];
        self.schema().is_some_and(|schema| schemas.contains(&schema))
    }

    /// The object that a client edits with the request. `None` if it edits none, or if the body is not the part that was read:
    /// that of a volume of a cluster stands inside another object.
    pub fn edits(&self) -> Option<EditedObject> {
        let (inspect, templates, destinations, questions, kinds) = match self.id {
            "ServiceUpdate" => {
                ("ServiceInspect", SERVICE_TEMPLATES, SERVICE_DESTINATIONS, SERVICE_QUESTIONS, SERVICE_KINDS)
            }
            "NodeUpdate" => ("NodeInspect", &[][..], &[][..], &[][..], &[][..]),
            "SwarmUpdate" => ("SwarmInspect", SWARM_TEMPLATES, SWARM_DESTINATIONS, &[][..], SWARM_KINDS),
            "SecretUpdate" => ("SecretInspect", &[][..], &[][..], &[][..], &[][..]),
            "ConfigUpdate" => ("ConfigInspect", &[][..], &[][..], &[][..], &[][..]),
            _ => return None,
        };
        let (part, inspect) = (*self.writes_back.first()?, operation(inspect)?);
        Some(EditedObject { part, inspect, templates, destinations, questions, kinds })
    }

    /// Whether the request says which command new containers run.
    pub fn creates_containers(&self) -> bool {
        ["ContainerCreate", "ServiceCreate", "ServiceUpdate"].contains(&self.id)
    }

    /// Whether the request can make the daemon mount a path of the host.
    pub fn can_mount_host_paths(&self) -> bool {
        ["ContainerCreate", "ContainerUpdate", "ServiceCreate", "ServiceUpdate", "VolumeCreate"].contains(&self.id)
    }
}

/// Error text for an unknown operation id.
pub fn unknown_operation(id: &str) -> String {
    let known = OPERATIONS.iter().map(|operation| operation.id);
    unknown_or("operation", id, known, "an operation id of the Docker API such as ContainerList")
}

/// Makes a list of parameters from their names. After a name, `many` says that it is a list, `flag` and `on` that it is a
/// boolean, false or true by default, and `adds` that it only adds to the answer. `rare` says that no known
/// client needs it: none of those in `docs/clients.md`, which the tests run or replay, nor the docker command (20.10 to
/// 28.5), Compose (1.29 and 2.40), docker-py, dockerode and bollard.
macro_rules! parameters {
    ($($name:literal $($mark:ident)*),*) => {
        &[$(Parameter {
            name: $name,
            kind: ParameterKind::Text,
            rare: false,
            adds: false,
        }$(.$mark())*),*]
    };
}

impl Parameter {
    /// A list.
    const fn many(self) -> Self {
        Self { kind: ParameterKind::List, ..self }
    }

    /// A boolean that is false by default.
    const fn flag(self) -> Self {
        Self { kind: ParameterKind::Flag, ..self }
    }

    /// A boolean that is true by default.
    const fn on(self) -> Self {
        Self { kind: ParameterKind::Switch, ..self }
    }

    /// No known client needs it.
    const fn rare(self) -> Self {
        Self { rare: true, ..self }
    }

    /// It only adds to the answer.
    const fn adds(self) -> Self {
        Self { adds: true, ..self }
    }
}

use ResponseKind::{Array, Document, Empty, Hijack, Http2, Octets, Ping, Tar, Text, WebSocket};

/// The progress of a pull, push, load or build.
const PROGRESS: ResponseKind = ResponseKind::Stream(StreamKind::Progress);
/// The output of a container.
const LOGS: ResponseKind = ResponseKind::Stream(StreamKind::Logs);
/// The parameters of a list that has only filters.
const FILTERS: &[Parameter] = parameters!["filters"];
/// The parameters of an update that names the version of the object.
const OF_VERSION: &[Parameter] = parameters!["version"];
/// The parameters of attaching to a container.
const ATTACH: &[Parameter] =
    parameters!["detachKeys", "logs" flag, "stream" flag, "stdin" flag, "stdout" flag, "stderr" flag];
/// The parameters of the logs of a service or task.
const SWARM_LOGS: &[Parameter] = parameters!["details" flag adds, "follow" flag, "stdout" flag, "stderr" flag, "since", "timestamps" flag, "tail", "until"];

/// What an update of a service sends back. Docker 1.12 has the command send the earlier specification to go back to it.
const SERVICE_SPEC: &[DocumentPart] = &[part("Service", &["Spec"]), part("Service", &["PreviousSpec"])];
/// What an update of a node sends back.
const NODE_SPEC: &[DocumentPart] = &[part("Node", &["Spec"])];
/// What an update of a swarm sends back, a new token to join it included.
const SWARM_SPEC: &[DocumentPart] = &[part("Swarm", &["Spec"])];
/// What an update of a secret sends back: its labels are all that can change.
const SECRET_SPEC: &[DocumentPart] = &[part("Secret", &["Spec"])];
/// What an update of a config sends back: its labels are all that can change.
const CONFIG_SPEC: &[DocumentPart] = &[part("Config", &["Spec"])];
/// What an update of a volume of a cluster sends back.
const VOLUME_SPEC: &[DocumentPart] = &[part("Volume", &["ClusterVolume", "Spec"])];

/// Why no built-in profile allows Go's profiler.
const PROFILER: &str =
    "Exposes the memory, arguments and traffic of the engine. Undocumented: the id is dockveil's own.";
/// Why no built-in profile allows the debug data at paths without `/debug`.
const STRAY: &str = "Exposes debug data of the engine, which Docker 17.07 to 23.0 serves here unintentionally. The id is dockveil's own.";
/// Why no built-in profile allows checkpoints.
const CHECKPOINT: &str =
    "Reads or writes process memory in any directory of the host. Undocumented: the id is dockveil's own.";
/// Why no built-in profile allows attaching.
const ATTACHED: &str = "Returns raw output and lets the client write to the process.";
/// Why no built-in profile allows archives of containers.
const ARCHIVE: &str = "Reaches any file of the container, its volumes and its bind mounts.";
/// Why no built-in profile allows archives of images.
const IMAGE_TAR: &str = "Returns the whole image: environment, history and files.";
/// Why no built-in profile allows operations that take the address of a registry.
const CALLS_OUT: &str = "Makes the engine call a registry that the client chooses.";
/// Why no built-in profile allows BuildKit.
const BUILDKIT: &str = "Opens a tunnel to BuildKit that bypasses every rule: secrets, SSH agents, contents of images.";
/// Why no built-in profile allows builds.
const BUILD: &str = "Runs commands that the client chooses.";
/// Why few built-in profiles allow logs.
const OUTPUT: &str = "Returns program output, which no rule can clean.";

/// Every operation. A request for any other operation is refused.
#[rustfmt::skip]
pub static OPERATIONS: &[Operation] = &[
    get("SystemPing", "/_ping", Ping),
    head("SystemPingHead", "/_ping").since(40),
    get("SystemVersion", "/version", Document("SystemVersion")),
    get("SystemInfo", "/info", Document("SystemInfo")),
    get("SystemDataUsage", "/system/df", Document("SystemDataUsage")).query(parameters!["type" many, "verbose" flag adds]).since(25),
    get("SystemEvents", "/events", ResponseKind::Stream(StreamKind::Events)).query(parameters!["since", "until", "filters", "stream" on]),
    post("SystemAuth", "/auth", Document("SystemAuth")).json().reads().about("Carries credentials, which the engine sends to a registry."),

    get("ContainerList", "/containers/json", Array("ContainerSummary")).query(parameters!["all" flag, "limit", "size" flag adds, "filters", "since" rare, "before" rare, "trunc_cmd" flag]),
    get("ContainerInspect", "/containers/{id}/json", Document("ContainerInspect")).query(parameters!["size" flag adds]),
    get("ContainerTop", "/containers/{id}/top", Document("ContainerTop")).query(parameters!["ps_args", "stream" flag rare]),
    get("ContainerLogs", "/containers/{id}/logs", LOGS).query(parameters!["details" flag adds, "follow" flag, "stdout" flag, "stderr" flag, "since", "until", "timestamps" flag, "tail", "format" rare]).about(OUTPUT),
    get("ContainerChanges", "/containers/{id}/changes", Array("ContainerChange")),
    get("ContainerExport", "/containers/{id}/export", Tar).about("Returns the whole root file system."),
    get("ContainerStats", "/containers/{id}/stats", ResponseKind::Stream(StreamKind::Stats)).query(parameters!["stream" on, "one-shot" flag]),
    get("ContainerArchive", "/containers/{id}/archive", Tar).query(parameters!["path"]).with_path_stat().about(ARCHIVE),
    head("ContainerArchiveInfo", "/containers/{id}/archive").query(parameters!["path"]).with_path_stat().about("Tells whether any file exists, how large it is and where a link points."),
    put("PutContainerArchive", "/containers/{id}/archive", Empty).query(parameters!["path", "noOverwriteDirNonDir" flag, "copyUIDGID" flag]).tar().about(ARCHIVE),
    post("ContainerCopy", "/containers/{id}/copy", Tar).json().reads().until(24).about("Reads any file of the container, on Docker up to 24. No longer documented: the id is dockveil's own."),
    get("ContainerAttachWebsocket", "/containers/{id}/attach/ws", WebSocket).query(ATTACH).writes().about("Lets the client write to the process. It is a GET, so any web page can open it on an unprotected listener."),
    post("ContainerAttach", "/containers/{id}/attach", Hijack).query(ATTACH).raw().about(ATTACHED),
    post("ContainerCreate", "/containers/create", Document("ContainerCreated")).query(parameters!["name", "platform"]).json(),
    post("ContainerStart", "/containers/{id}/start", Empty).query(parameters!["detachKeys", "checkpoint" rare, "checkpoint-dir" rare]),
    post("ContainerStop", "/containers/{id}/stop", Empty).query(parameters!["t", "signal"]),
    post("ContainerRestart", "/containers/{id}/restart", Empty).query(parameters!["t", "signal"]),
    post("ContainerKill", "/containers/{id}/kill", Empty).query(parameters!["signal"]),
    post("ContainerPause", "/containers/{id}/pause", Empty),
    post("ContainerUnpause", "/containers/{id}/unpause", Empty),
    post("ContainerRename", "/containers/{id}/rename", Empty).query(parameters!["name"]),
    post("ContainerResize", "/containers/{id}/resize", Empty).query(parameters!["h", "w"]),
    post("ContainerUpdate", "/containers/{id}/update", Document("ContainerUpdated")).json(),
    post("ContainerWait", "/containers/{id}/wait", ResponseKind::Stream(StreamKind::Wait)).query(parameters!["condition"]).reads().about("Returns when the container stops."),
    post("ContainerExec", "/containers/{id}/exec", Document("ExecCreated")).json(),
    post("ContainerPrune", "/containers/prune", Document("ContainerPrune")).query(FILTERS).since(25),
    delete("ContainerDelete", "/containers/{id}", Empty).query(parameters!["v" flag, "force" flag, "link" flag]),

    get("CheckpointList", "/containers/{id}/checkpoints", Array("Checkpoint")).query(parameters!["dir" rare]).since(25).about(CHECKPOINT),
    post("CheckpointCreate", "/containers/{id}/checkpoints", Empty).json().since(25).about(CHECKPOINT),
    delete("CheckpointDelete", "/containers/{id}/checkpoints/{checkpoint}", Empty).query(parameters!["dir" rare]).since(25).about(CHECKPOINT),

    get("ExecInspect", "/exec/{id}/json", Document("ExecInspect")),
    post("ExecStart", "/exec/{id}/start", Hijack).json().about(ATTACHED),
    post("ExecResize", "/exec/{id}/resize", Empty).query(parameters!["h", "w"]),

    get("ImageList", "/images/json", Array("ImageSummary")).query(parameters!["all" flag, "filters", "filter" rare, "digests" flag adds, "shared-size" flag adds, "manifests" flag adds, "identity" flag adds rare, "only_ids" flag]),
    get("ImageInspect", "/images/{reference}/json", Document("ImageInspect")).query(parameters!["manifests" flag adds, "platform"]),
    get("ImageHistory", "/images/{reference}/history", Array("ImageHistory")).query(parameters!["platform"]),
    get("ImageAttestations", "/images/{reference}/attestations", Array("ImageAttestation")).query(parameters!["platform" many rare, "type" many rare, "statement" flag adds rare]).since(55),
    get("ImageGet", "/images/{reference}/get", Tar).query(parameters!["platform" many]).about(IMAGE_TAR),
    get("ImageGetAll", "/images/get", Tar).query(parameters!["names" many, "platform" many]).about(IMAGE_TAR),
    get("ImageSearch", "/images/search", Array("ImageSearch")).query(parameters!["term", "limit", "filters"]).with_registry().about(CALLS_OUT),
    post("ImageCreate", "/images/create", PROGRESS).query(parameters!["fromImage", "fromSrc" rare, "repo" rare, "tag", "message" rare, "changes" many rare, "platform", "registry" rare]).optional_tar().rarely().with_registry().about(CALLS_OUT),
    post("ImageLoad", "/images/load", PROGRESS).query(parameters!["quiet" on, "platform" many]).tar(),
    post("ImagePush", "/images/{reference}/push", PROGRESS).query(parameters!["tag", "platform"]).with_registry().about(CALLS_OUT),
    post("ImageTag", "/images/{reference}/tag", Empty).query(parameters!["repo", "tag", "force" flag]),
    post("ImagePrune", "/images/prune", Document("ImagePrune")).query(FILTERS).since(25),
    delete("ImageDelete", "/images/{reference}", Array("ImageDeleted")).query(parameters!["force" flag, "noprune" flag, "platforms" many]),
    post("ImageCommit", "/commit", Document("ImageCommitted")).query(parameters!["container", "repo", "tag", "comment", "author", "pause" on, "changes" many]).optional_json(),

    post("ImageBuild", "/build", PROGRESS).query(parameters![
        "dockerfile", "t" many, "remote", "q" flag, "nocache" flag, "cachefrom", "pull" flag, "rm" on, "forcerm" flag, "memory", "memswap", "cpushares",
        "cpusetcpus", "cpusetmems", "cpuperiod", "cpuquota", "cgroupparent", "buildargs", "shmsize", "ulimits", "squash" flag, "labels",
        "networkmode", "extrahosts" many, "securityopt" many, "isolation", "platform" many, "target", "version", "outputs",
        "session", "buildid"
    ]).optional_tar().with_registry().about(BUILD),
    post("BuildCancel", "/build/cancel", Empty).query(parameters!["id"]).since(38).about("Cancels a build. Undocumented: the id is dockveil's own."),
    post("BuildPrune", "/build/prune", Document("BuildPrune")).query(parameters!["keep-storage", "reserved-space", "max-used-space", "min-free-space", "all" flag, "filters"]).since(31),
    post("Session", "/session", Http2).since(31).about(BUILDKIT),
    post("Grpc", "/grpc", Http2).since(40).about("Opens a tunnel to BuildKit that bypasses every rule: secrets, SSH agents, contents of images. Undocumented: the id is dockveil's own."),

    get("DistributionInspect", "/distribution/{reference}/json", Document("Distribution")).since(30).with_registry().about(CALLS_OUT),

    get("VolumeList", "/volumes", Document("VolumeList")).query(FILTERS),
    get("VolumeInspect", "/volumes/{name}", Document("Volume")),
    post("VolumeCreate", "/volumes/create", Document("Volume")).optional_json(),
    post("VolumePrune", "/volumes/prune", Document("VolumePrune")).query(FILTERS).since(25),
    put("VolumeUpdate", "/volumes/{name}", Empty).query(OF_VERSION).json().writing_back(VOLUME_SPEC).since(42),
    delete("VolumeDelete", "/volumes/{name}", Empty).query(parameters!["force" flag]),

    get("NetworkList", "/networks", Array("NetworkSummary")).query(FILTERS),
    get("NetworkInspect", "/networks/{id}", Document("NetworkInspect")).query(parameters!["verbose" flag adds, "scope"]),
    post("NetworkCreate", "/networks/create", Document("NetworkCreated")).json(),
    post("NetworkConnect", "/networks/{id}/connect", Empty).json(),
    post("NetworkDisconnect", "/networks/{id}/disconnect", Empty).json(),
    post("NetworkPrune", "/networks/prune", Document("NetworkPrune")).query(FILTERS).since(25),
    delete("NetworkDelete", "/networks/{id}", Empty),

    get("PluginList", "/plugins", Array("Plugin")).query(FILTERS),
    get("PluginInspect", "/plugins/{reference}/json", Document("Plugin")).since(25),
    get("PluginInspectEarly", "/plugins/{name}", Document("Plugin")).until(24).about("Exists only in experimental builds of Docker 1.12, and no response was ever recorded. The id is dockveil's own."),
    get("GetPluginPrivileges", "/plugins/privileges", Array("PluginPrivilege")).query(parameters!["name" rare, "remote"]).since(25).about(CALLS_OUT),
    post("PluginPull", "/plugins/pull", PROGRESS).query(parameters!["remote", "name"]).json().with_registry().about(CALLS_OUT),
    post("PluginCreate", "/plugins/create", Empty).query(parameters!["name"]).tar().since(25),
    post("PluginEnable", "/plugins/{reference}/enable", Empty).query(parameters!["timeout"]),
    post("PluginDisable", "/plugins/{reference}/disable", Empty).query(parameters!["force" flag]),
    post("PluginUpgrade", "/plugins/{reference}/upgrade", PROGRESS).query(parameters!["remote"]).json().since(26).with_registry().about(CALLS_OUT),
    post("PluginPush", "/plugins/{reference}/push", PROGRESS).with_registry().about(CALLS_OUT),
    post("PluginSet", "/plugins/{reference}/set", Empty).json(),
    delete("PluginDelete", "/plugins/{reference}", Empty).query(parameters!["force" flag]),

    get("SwarmInspect", "/swarm", Document("Swarm")),
    get("SwarmUnlockkey", "/swarm/unlockkey", Document("SwarmUnlockKey")).since(25).about("Returns the key that decrypts the stored state of the swarm."),
    post("SwarmInit", "/swarm/init", Document("SwarmInit")).json(),
    post("SwarmJoin", "/swarm/join", Empty).json(),
    post("SwarmLeave", "/swarm/leave", Empty).query(parameters!["force" flag]),
    post("SwarmUpdate", "/swarm/update", Empty).query(parameters!["version", "rotateWorkerToken" flag, "rotateManagerToken" flag, "rotateManagerUnlockKey" flag]).json().writing_back(SWARM_SPEC),
    post("SwarmUnlock", "/swarm/unlock", Empty).json().since(25),

    get("NodeList", "/nodes", Array("Node")).query(FILTERS),
    get("NodeInspect", "/nodes/{id}", Document("Node")),
    post("NodeUpdate", "/nodes/{id}/update", Empty).query(OF_VERSION).json().writing_back(NODE_SPEC),
    delete("NodeDelete", "/nodes/{id}", Empty).query(parameters!["force" flag]),

    get("ServiceList", "/services", Array("Service")).query(parameters!["filters", "status" flag adds]),
    get("ServiceInspect", "/services/{id}", Document("Service")).query(parameters!["insertDefaults" flag adds]),
    get("ServiceLogs", "/services/{id}/logs", LOGS).query(SWARM_LOGS).since(25).about(OUTPUT),
    post("ServiceCreate", "/services/create", Document("ServiceCreated")).json().with_registry(),
    post("ServiceUpdate", "/services/{id}/update", Document("ServiceUpdated")).query(parameters!["version", "registryAuthFrom", "rollback"]).json().writing_back(SERVICE_SPEC).with_registry(),
    delete("ServiceDelete", "/services/{id}", Empty),

    get("TaskList", "/tasks", Array("Task")).query(FILTERS),
    get("TaskInspect", "/tasks/{id}", Document("Task")),
    get("TaskLogs", "/tasks/{id}/logs", LOGS).query(SWARM_LOGS).since(29).about(OUTPUT),

    get("SecretList", "/secrets", Array("Secret")).query(FILTERS).since(25),
    get("SecretInspect", "/secrets/{id}", Document("Secret")).since(25),
    post("SecretCreate", "/secrets/create", Document("SecretCreated")).json().since(25),
    post("SecretUpdate", "/secrets/{id}/update", Empty).query(OF_VERSION).json().writing_back(SECRET_SPEC).since(25),
    delete("SecretDelete", "/secrets/{id}", Empty).since(25),

    get("ConfigList", "/configs", Array("Config")).query(FILTERS).since(30),
    get("ConfigInspect", "/configs/{id}", Document("Config")).since(30),
    post("ConfigCreate", "/configs/create", Document("ConfigCreated")).json().since(30),
    post("ConfigUpdate", "/configs/{id}/update", Empty).query(OF_VERSION).json().writing_back(CONFIG_SPEC).since(30),
    delete("ConfigDelete", "/configs/{id}", Empty).since(30),

    get("DebugVars", "/debug/vars", Document("DebugVars")).about("Exposes the arguments and memory figures of the engine. Undocumented: the id is dockveil's own."),
    get("DebugPprof", "/debug/pprof/", Text).about(PROFILER),
    get("DebugPprofCmdline", "/debug/pprof/cmdline", Text).about(PROFILER),
    get("DebugPprofProfile", "/debug/pprof/profile", Octets).query(parameters!["seconds"]).about(PROFILER),
    get("DebugPprofSymbol", "/debug/pprof/symbol", Text).about(PROFILER),
    get("DebugPprofTrace", "/debug/pprof/trace", Octets).query(parameters!["seconds"]).about(PROFILER),
    get("DebugPprofNamed", "/debug/pprof/{name}", Text).query(parameters!["debug", "gc", "seconds"]).about(PROFILER),
    get("StrayVars", "/vars", Document("DebugVars")).since(31).until(42).about(STRAY),
    get("StrayPprof", "/pprof/", Text).since(31).until(42).about(STRAY),
    get("StrayPprofCmdline", "/pprof/cmdline", Text).since(31).until(42).about(STRAY),
    get("StrayPprofNamed", "/pprof/{name}", Text).query(parameters!["debug", "gc", "seconds"]).since(31).until(42).about(STRAY),
];

/// A row for `GET`, which reads.
const fn get(id: &'static str, template: &'static str, response: ResponseKind) -> Operation {
    row(id, Method::Get, template, response)
}

/// A row for `HEAD`, which reads and has no response body.
const fn head(id: &'static str, template: &'static str) -> Operation {
    row(id, Method::Head, template, Empty)
}

/// A row for `POST`, which writes.
const fn post(id: &'static str, template: &'static str, response: ResponseKind) -> Operation {
    row(id, Method::Post, template, response).writes()
}

/// A row for `PUT`, which writes.
const fn put(id: &'static str, template: &'static str, response: ResponseKind) -> Operation {
    row(id, Method::Put, template, response).writes()
}

/// A row for `DELETE`, which writes.
const fn delete(id: &'static str, template: &'static str, response: ResponseKind) -> Operation {
    row(id, Method::Delete, template, response).writes()
}

/// A row that reads, in every version, without parameters and without a request body.
const fn row(id: &'static str, method: Method, template: &'static str, response: ResponseKind) -> Operation {
    let versions = Versions { first: ApiVersion::MIN, last: None };
    Operation {
        id,
        method,
        template,
        versions,
        response,
        mutating: false,
        query: &[],
        body: RequestBody::None,
        body_is_rare: false,
        calls_registry: false,
        path_stat: false,
        writes_back: &[],
        about: "",
    }
}

/// A part of the documents of a schema.
const fn part(schema: &'static str, path: &'static [&'static str]) -> DocumentPart {
    DocumentPart { schema, path }
}

impl Operation {
    /// Takes these parameters.
    const fn query(mut self, query: &'static [Parameter]) -> Self {
        self.query = query;
        self
    }

    /// Has a body only in requests of no known client.
    const fn rarely(mut self) -> Self {
        self.body_is_rare = true;
        self
    }

    /// New in this minor version.
    const fn since(mut self, minor: u16) -> Self {
        self.versions.first = ApiVersion::new(minor);
        self
    }

    /// Gone after this minor version.
    const fn until(mut self, minor: u16) -> Self {
        self.versions.last = Some(ApiVersion::new(minor));
        self
    }

    /// Changes something, whatever the method.
    const fn writes(mut self) -> Self {
        self.mutating = true;
        self
    }

    /// Changes nothing, whatever the method.
    const fn reads(mut self) -> Self {
        self.mutating = false;
        self
    }

    /// Takes a JSON body.
    const fn json(mut self) -> Self {
        self.body = RequestBody::Json;
        self
    }

    /// Takes a JSON body or none.
    const fn optional_json(mut self) -> Self {
        self.body = RequestBody::OptionalJson;
        self
    }

    /// Takes a tar archive.
    const fn tar(mut self) -> Self {
        self.body = RequestBody::Tar;
        self
    }

    /// Takes a tar archive or none.
    const fn optional_tar(mut self) -> Self {
        self.body = RequestBody::OptionalTar;
        self
    }

    /// Takes raw bytes over a hijacked connection.
    const fn raw(mut self) -> Self {
        self.body = RequestBody::Raw;
        self
    }

    /// Makes the engine call a registry with the client's credentials.
    const fn with_registry(mut self) -> Self {
        self.calls_registry = true;
        self
    }

    /// Has a response header that describes a file.
    const fn with_path_stat(mut self) -> Self {
        self.path_stat = true;
        self
    }

    /// Takes a body in which clients send back what they have read.
    const fn writing_back(mut self, parts: &'static [DocumentPart]) -> Self {
        self.writes_back = parts;
        self
    }

    /// Says why no built-in profile allows it.
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
    fn ids_and_paths_are_unique() {
        assert_eq!(OPERATIONS.len(), 126);
        let ids: HashSet<_> = OPERATIONS.iter().map(|operation| operation.id).collect();
        assert_eq!(ids.len(), OPERATIONS.len());
        let shape = |template: &str| {
            let parts = template.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
            parts.collect::<Vec<_>>().join("/")
        };
        let paths: HashSet<_> =
            OPERATIONS.iter().map(|operation| (operation.method, shape(operation.template))).collect();
        assert_eq!(paths.len(), OPERATIONS.len());
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
    fn every_raw_response_has_a_reason_against_it() {
        for operation in OPERATIONS {
            if matches!(operation.response, Hijack | Http2 | WebSocket | Tar | Octets | LOGS) {
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
    fn ping_and_version_are_short_names() {
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
