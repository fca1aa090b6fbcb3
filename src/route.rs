//! Request line → operation.
//!
//! [`find`] parses the client's target once, strictly, into a [`Route`]: an operation of the table, an API version, names
//! and query parameters, all decoded. The target for the engine is written anew from the route, so the engine cannot read
//! a request differently from us. An ambiguous request is refused.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

use fnv::FnvHashMap;

use crate::api::{ApiVersion, Method, OPERATIONS, Operation, RequestBody, ResponseKind, StreamKind, operation};
use crate::stream::requests::{RequestError, RequestFraming};
use crate::stream::target::RequestTarget;

mod host;
mod images;
mod percent;
mod query;
mod target;

pub use host::{NO_SUCH_HOST, answers_to, without_port};
pub use query::{Dropped, Query, UnknownName};
pub use target::{Target, TargetError};

/// A parsed request line: the operation and its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The operation.
    pub operation: &'static Operation,
    /// The version that the client asked for; `None` if it leaves the choice to the engine.
    pub version: Option<ApiVersion>,
    /// The decoded name of the object in the path: a container, an image, a network. Empty if the path has none.
    pub name: String,
    /// The decoded second name in the path, which is that of a checkpoint. Empty for every other operation.
    pub second_name: String,
    /// The query parameters.
    pub query: Query,
}

/// Finds the operation that a request line asks for.
///
/// Returns `Ok(None)` if there is no such operation. The client gets a 404.
///
/// # Errors
/// A [`TargetError`] if the target is malformed or ambiguous. The client gets its status.
pub fn find(method: &str, raw_target: &str) -> Result<Option<Route>, TargetError> {
    let read = RequestTarget::parse(raw_target.as_bytes())?;
    let target = Target::parse(&read)?;
    let Ok(method) = method.parse::<Method>() else { return Ok(None) };
    let Some((pattern, names)) = find_pattern(method, &target) else {
        if let Some(route) = find_link(method, &target)? {
            return Ok(Some(route));
        }
        // Only references contain slashes. In any other place an escaped slash is there to be read in two ways.
        return if target.has_encoded_slash() { Err(TargetError::EncodedSlash) } else { Ok(None) };
    };
    let query = Query::parse(target.query(), pattern.operation)?;
    let name = names.first.join("/");
    if !images::are_no_places(pattern.operation, &name, &query) {
        return Err(TargetError::Reference);
    }
    Ok(Some(Route {
        operation: pattern.operation,
        version: target.version(),
        name,
        second_name: names.second.join("/"),
        query,
    }))
}

/// The status and the text of the answer to a request line that makes any head longer than `limit` bytes. `None` if it is shorter.
pub fn refused_head(method: &str, raw_target: &str, limit: usize) -> Option<(u16, String)> {
    RequestFraming::exceeds(limit, method, raw_target)
        .then(|| (RequestError::TooLarge.status(), RequestError::too_large(limit)))
}

/// The parameters of a target that are left out of its route, by their names, and why.
pub fn dropped(raw_target: &str, operation: &'static Operation) -> Vec<(String, Dropped)> {
    let read = RequestTarget::parse(raw_target.as_bytes());
    let dropped = read.ok().and_then(|read| Some(Query::dropped(Target::parse(&read).ok()?.query(), operation)));
    dropped.unwrap_or_default()
}

/// The host that a target in absolute form names, without its port.
pub fn host(raw_target: &str) -> Option<String> {
    RequestTarget::parse(raw_target.as_bytes()).ok()?.host.map(str::to_owned)
}

/// The route of a request that removes a link: its name is that of a container and the alias in it, with a slash between
/// them. Without the parameter, the engine would remove the container that the link leads to.
fn find_link(method: Method, target: &Target<'_>) -> Result<Option<Route>, TargetError> {
    let Some((first, rest)) = target.segments().split_first() else { return Ok(None) };
    let name = rest.join("/");
    let is_link = method == Method::Delete && first == "containers" && name.split('/').count() == 2;
    let operation = operation("ContainerDelete").filter(|_| is_link && !target.has_trailing_slash());
    let Some(operation) = operation else { return Ok(None) };
    let query = Query::parse(target.query(), operation)?;
    let is_asked = query.flag("link") == Some(true);
    Ok(is_asked.then(|| Route { operation, version: target.version(), name, second_name: String::new(), query }))
}

impl Route {
    /// Appends the target to send upstream. It is canonical: it does not depend on how the client wrote its own.
    pub fn upstream_target(&self, version: ApiVersion, out: &mut String) {
        let _ = write!(out, "/v{version}");
        let mut names = [&self.name, &self.second_name].into_iter();
        for piece in self.operation.template.split('/').skip(1).map(Piece::of) {
            out.push('/');
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Name | Piece::Reference => {
                    if let Some(name) = names.next() {
                        percent::encode(name, out);
                    }
                }
            }
        }
        self.query.write(out);
    }

    /// The body that the engine reads. Of a request that pulls an image, it reads none.
    pub fn body(&self) -> RequestBody {
        let is_pull = || {
            let has_image = self.query.get("fromImage").is_some_and(|image| !image.is_empty());
            has_image || self.query.get("fromSrc") != Some("-")
        };
        match self.operation.id {
            "ImageCreate" if is_pull() => RequestBody::None,
            _ => self.operation.body,
        }
    }

    /// Whether the response is passed on as it arrives and never read whole. For stats, that depends on a parameter.
    pub fn streams(&self) -> bool {
        match self.operation.response {
            // Without the parameter the engine streams.
            ResponseKind::Stream(StreamKind::Stats) => self.query.flag("stream").unwrap_or(true),
            ResponseKind::Stream(StreamKind::Logs | StreamKind::Events | StreamKind::Progress | StreamKind::Wait)
            | ResponseKind::Hijack
            | ResponseKind::Http2
            | ResponseKind::WebSocket
            | ResponseKind::Tar
            | ResponseKind::Octets => true,
            ResponseKind::Document(_)
            | ResponseKind::Array(_)
            | ResponseKind::Ping
            | ResponseKind::Text
            | ResponseKind::Empty => false,
        }
    }
}

/// One part of a template, between two slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// Matches a segment with this text.
    Literal(&'static str),
    /// Matches any segment that contains no slash.
    Name,
    /// Matches one segment or more: the reference of an image or a plugin.
    Reference,
}

impl Piece {
    /// Parses one part of a template.
    fn of(text: &'static str) -> Self {
        match text {
            "{reference}" => Self::Reference,
            placeholder if placeholder.starts_with('{') => Self::Name,
            literal => Self::Literal(literal),
        }
    }
}

/// A template, parsed for matching.
struct PathPattern {
    /// The operation that the template belongs to.
    operation: &'static Operation,
    /// The parts after the first one, which is the key of [`PATTERNS`].
    pieces: Vec<Piece>,
    /// Whether the template ends with a slash.
    trailing_slash: bool,
}

/// The segments of a path that match the placeholders of a template.
#[derive(Clone, Copy, Default)]
struct PathNames<'t> {
    /// The segments for the first placeholder; empty if the template has none.
    first: &'t [Cow<'t, str>],
    /// The segments for the second placeholder; empty if the template has fewer than two.
    second: &'t [Cow<'t, str>],
}

/// Second paths of operations, as operation id and template. The engine serves them too.
const ALIASES: &[(&str, &str)] = &[("NetworkList", "/networks/")];

/// All patterns, by the first part of their templates. If two match, the one that the engine prefers comes first.
static PATTERNS: LazyLock<FnvHashMap<&'static str, Vec<PathPattern>>> = LazyLock::new(|| {
    let rows = OPERATIONS.iter().map(|operation| (operation, operation.template));
    let aliases = ALIASES.iter().filter_map(|(id, template)| Some((operation(id)?, *template)));
    let mut patterns: FnvHashMap<_, Vec<PathPattern>> = FnvHashMap::default();
    for (operation, template) in rows.chain(aliases) {
        let (first, pattern) = PathPattern::of(operation, template);
        let family = patterns.entry(first).or_default();
        let at = family.partition_point(|known| known.rank() <= pattern.rank());
        family.insert(at, pattern);
    }
    patterns
});

/// Finds the pattern that the engine would choose, and the names in the path.
fn find_pattern<'t>(method: Method, target: &'t Target<'_>) -> Option<(&'static PathPattern, PathNames<'t>)> {
    let (first, rest) = target.segments().split_first()?;
    let family = PATTERNS.get(first.as_ref())?;
    family
        .iter()
        .filter(|pattern| pattern.operation.method == method && pattern.trailing_slash == target.has_trailing_slash())
        .find_map(|pattern| Some((pattern, pattern.names(rest)?)))
}

impl PathPattern {
    /// Splits a template into its first part and the pattern of the rest.
    fn of(operation: &'static Operation, template: &'static str) -> (&'static str, Self) {
        let path = template.strip_prefix('/').unwrap_or(template);
        let (path, trailing_slash) = path.strip_suffix('/').map_or((path, false), |shorter| (shorter, true));
        let mut parts = path.split('/');
        let first = parts.next().unwrap_or_default();
        (first, Self { operation, pieces: parts.map(Piece::of).collect(), trailing_slash })
    }

    /// A sort key for the engine's precedence: fewer placeholders first, then more literals.
    fn rank(&self) -> (usize, usize) {
        let literals = self.pieces.iter().filter(|piece| matches!(piece, Piece::Literal(_))).count();
        let names = self.pieces.len().saturating_sub(literals);
        (names, usize::MAX.saturating_sub(literals))
    }

    /// Matches the segments after the first one. Returns the names in them, or `None` if they do not match.
    fn names<'t>(&self, segments: &'t [Cow<'t, str>]) -> Option<PathNames<'t>> {
        let mut names = PathNames::default();
        let mut rest = segments;
        let mut pieces = self.pieces.iter();
        while let Some(piece) = pieces.next() {
            let length = match piece {
                Piece::Literal(_) | Piece::Name => 1,
                Piece::Reference => rest.len().checked_sub(pieces.len())?.max(1),
            };
            let (taken, left) = rest.split_at_checked(length)?;
            rest = left;
            match piece {
                Piece::Literal(text) => {
                    if taken.iter().any(|segment| segment != text) {
                        return None;
                    }
                    continue;
                }
                Piece::Name => {
                    if taken.iter().any(|segment| segment.contains('/')) {
                        return None;
                    }
                }
                Piece::Reference => {}
            }
            if names.first.is_empty() {
                names.first = taken;
            } else {
                names.second = taken;
            }
        }
        rest.is_empty().then_some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `find` returns for a request line: the operation and its upstream target, `404`, or `400` and the error.
    fn outcome(line: &str) -> String {
        let (method, target) = line.split_once(' ').unwrap();
        match find(method, target) {
            Ok(Some(route)) => format!("{} {}", route.operation.id, rewritten(&route)),
            Ok(None) => "404".into(),
            Err(error) => format!("400 {error:?}"),
        }
    }

    fn rewritten(route: &Route) -> String {
        let mut target = String::new();
        route.upstream_target(ApiVersion::NEWEST, &mut target);
        target.split_off("/v1.55".len())
    }

    #[track_caller]
    fn check(lines: &[&str], expected: &str) {
        for line in lines {
            assert_eq!(outcome(line), expected, "{line}");
        }
    }

    #[test]
    fn every_spelling_of_a_target_has_one_canonical_form() {
        check(
            &[
                "GET /containers/json",
                "GET /%63ontainers/json",
                "GET /containers/%6A%73on",
                "GET /v1.44/containers/json",
                "GET /v1.24/containers/json",
                "GET /v1.55/%63ontainers/json?",
                "GET /containers/json?&",
            ],
            "ContainerList /containers/json",
        );
        check(&["GET /networks", "GET /networks/", "GET /v1.44/networks/"], "NetworkList /networks");
        check(
            &["GET /containers/a%3Ab/json", "GET /containers/a:b/json", "GET /containers/%61:%62/json"],
            "ContainerInspect /containers/a:b/json",
        );
        check(&["GET /networks/a%20b", "GET /v1.30/networks/%61%20b"], "NetworkInspect /networks/a%20b");
        check(&["GET /networks/%C3%A9"], "NetworkInspect /networks/%C3%A9");
        check(&["GET /networks/a+b", "GET /networks/a%2Bb"], "NetworkInspect /networks/a%2Bb");
        check(&["GET /networks/a%3Fb%23c;d"], "NetworkInspect /networks/a%3Fb%23c%3Bd");
        check(
            &["GET /containers/json?all=1&filters={%22label%22:[%22a=b%22]}"],
            "ContainerList /containers/json?all=1&filters=%7B%22label%22:%5B%22a%3Db%22%5D%7D",
        );
    }

    #[test]
    fn a_target_is_read_as_the_engine_reads_it() {
        check(
            &[
                r#"GET /containers/json?filters={"health":["unhealthy"],"label":["autoheal=true"]}"#,
                "GET /containers/json?filters=%7B%22health%22%3A%5B%22unhealthy%22%5D%2C%22label%22%3A%5B%22autoheal%3Dtrue%22%5D%7D",
            ],
            "ContainerList /containers/json?filters=%7B%22health%22:%5B%22unhealthy%22%5D%2C%22label%22:%5B%22autoheal%3Dtrue%22%5D%7D",
        );
        check(
            &["GET /containers/json?filters=|^`<>\\é"],
            "ContainerList /containers/json?filters=%7C%5E%60%3C%3E%5C%C3%A9",
        );
        check(&["GET /networks/é", "GET /networks/%c3%a9", "GET http:/networks/é"], "NetworkInspect /networks/%C3%A9");
        check(
            &[
                "GET http:/info",
                "GET http://evil/info",
                "GET https://h:99/v1.44/info",
                "GET x:/info",
                "GET http:///info",
            ],
            "SystemInfo /info",
        );
    }

    #[test]
    fn literals_are_preferred_to_names() {
        check(&["GET /containers/json/json"], "ContainerInspect /containers/json/json");
        check(&["GET /containers/prune/json"], "ContainerInspect /containers/prune/json");
        check(&["GET /images/json/json"], "ImageInspect /images/json/json");
        check(&["GET /images/get/json"], "ImageInspect /images/get/json");
        check(&["GET /images/get/get"], "ImageGet /images/get/get");
        check(&["GET /images/get"], "ImageGetAll /images/get");
        check(&["GET /images/x/history/json"], "ImageInspect /images/x/history/json");
        check(&["GET /images/x/json/history"], "ImageHistory /images/x/json/history");
        check(&["GET /networks/create"], "NetworkInspect /networks/create");
        check(&["GET /networks/prune"], "NetworkInspect /networks/prune");
        check(&["POST /networks/create"], "NetworkCreate /networks/create");
        check(&["POST /networks/create/connect"], "NetworkConnect /networks/create/connect");
        check(&["GET /volumes/create"], "VolumeInspect /volumes/create");
        check(&["DELETE /containers/json"], "ContainerDelete /containers/json");
        check(&["DELETE /images/prune"], "ImageDelete /images/prune");
        check(&["DELETE /images/a/b/json"], "ImageDelete /images/a/b/json");
        check(&["GET /plugins/privileges"], "GetPluginPrivileges /plugins/privileges");
        check(&["GET /plugins/privileges/json"], "PluginInspect /plugins/privileges/json");
        check(&["GET /plugins/other"], "PluginInspectEarly /plugins/other");
        check(&["GET /containers/a/attach/ws"], "ContainerAttachWebsocket /containers/a/attach/ws");
        check(&["DELETE /containers/a/checkpoints/b"], "CheckpointDelete /containers/a/checkpoints/b");
        check(&["GET /swarm/unlockkey"], "SwarmUnlockkey /swarm/unlockkey");
        check(&["GET /debug/pprof/cmdline"], "DebugPprofCmdline /debug/pprof/cmdline");
        check(&["GET /debug/pprof/heap"], "DebugPprofNamed /debug/pprof/heap");
        check(&["GET /debug/pprof/"], "DebugPprof /debug/pprof/");
        check(&["HEAD /_ping"], "SystemPingHead /_ping");
        check(&["HEAD /containers/a/archive?path=/etc"], "ContainerArchiveInfo /containers/a/archive?path=/etc");
    }

    #[test]
    fn a_reference_may_contain_slashes() {
        check(
            &["GET /images/r.io:5000/a/b:1/json", "GET /images/r.io%3A5000%2Fa%2fb%3A1/json"],
            "ImageInspect /images/r.io:5000/a/b:1/json",
        );
        check(&["GET /images/a%40sha256%3A00/json"], "ImageInspect /images/a@sha256:00/json");
        check(&["POST /images/a/b/push?tag=1"], "ImagePush /images/a/b/push?tag=1");
        check(&["GET /distribution/r.io/a/json"], "DistributionInspect /distribution/r.io/a/json");
        check(&["POST /plugins/vieux/sshfs:latest/enable"], "PluginEnable /plugins/vieux/sshfs:latest/enable");
        check(&["GET /plugins/vieux%2Fsshfs/json"], "PluginInspect /plugins/vieux/sshfs/json");
    }

    #[test]
    fn a_name_cannot_contain_a_slash() {
        check(
            &[
                "GET /containers/a/logs/json",
                "GET /containers/a/b/json",
                "GET /exec/a/b/json",
                "GET /volumes/a/b",
                "GET /networks/a/b",
                "GET /plugins/a/b",
                "DELETE /containers/a/json",
                "DELETE /containers/a/checkpoints/b/c",
                "GET /services/a/b",
                "GET /debug/pprof/a/b",
            ],
            "404",
        );
        check(
            &[
                "GET /containers/%2Fweb/json",
                "GET /containers//web/json",
                "GET /images/a%2F/json",
                "GET /images/a%2F..%2Fb/json",
                "GET /images/a/../b/json",
                "GET /images/%2E/json",
            ],
            "400 Segment",
        );
        check(
            &[
                "GET /containers%2Fjson",
                "GET /containers%2fa/json",
                "GET /containers/a%2Fb/json",
                "GET /containers/a%2Fjson",
                "GET /services/a%2Fb",
                "GET /networks/a%2Fb",
                "GET /volumes/a%2Fb",
                "GET /images%2Fjson",
                "GET /images/a%2Fjson",
                "GET /plugins/a%2Fjson",
                "POST /images/a%2Fpush",
            ],
            "400 EncodedSlash",
        );
    }

    #[test]
    fn an_ambiguous_target_is_refused() {
        check(
            &[
                "GET //containers/json",
                "GET //",
                "GET /containers//json",
                "GET /containers/json//",
                "GET /x/../containers/json",
                "GET /./containers/json",
                "GET /containers/..",
                "GET /containers/.",
                "GET /../../v1.44/info",
                "GET /%2e%2e/info",
                "GET /containers/%2e%2e/containers/json",
                "GET /containers/.%2e/json",
                "GET /containers/%2E/json",
                "GET /containers/a%2F..%2Fb/json",
                "GET /%2F/info",
                "GET /%2Finfo",
                "GET http:////info",
                "GET http://h//info",
                "GET http://h/../info",
                "GET http:/%2e%2e/info",
            ],
            "400 Segment",
        );
        check(
            &[
                "GET x:containers/json",
                "GET *",
                "OPTIONS *",
                "CONNECT h:80",
                "GET containers/json",
                "GET ",
                "GET ?all=1",
                "GET %2Finfo",
                "GET user@host/info",
                "GET http://evil",
                "GET http://evil?/info",
            ],
            "400 Unreadable(Path)",
        );
        check(
            &["GET http://user@evil/info", "GET http://a:b@c/info", "GET unix://%2Frun/info"],
            "400 Unreadable(Authority)",
        );
        check(&["GET /info#x", "GET /info?#", "GET /#/info", "GET #"], "400 Unreadable(Fragment)");
        check(
            &["GET /containers/a%/json", "GET /%zz", "GET /info%", "GET /info%2", "GET /%u0041", "GET /%%36%31"],
            "400 Escape",
        );
        check(
            &["GET /%2563ontainers/json", "GET /containers/%252e%252e/json", "GET /images/a%25/json", "GET /a%2525"],
            "400 DoubleEscape",
        );
        check(&["GET /containers\\json", "GET /containers/..%5Cx/json", "GET /%5c"], "400 Backslash");
        check(
            &[
                "GET /containers/a%0Ab/json",
                "GET /info%00",
                "GET /info%0a",
                "GET /%7F",
                "GET /info%0D%0A",
                "GET /%C2%85",
            ],
            "400 Control",
        );
        check(&["GET /containers/%ff/json", "GET /%c0%af/json", "GET /%C0%AE%C0%AE/info"], "400 NotUtf8");
        check(
            &[
                "GET /info\n",
                "GET /info\r\n",
                "GET /in fo",
                "GET  /info",
                "GET /\u{7f}",
                "GET /info\0",
                "GET /info?a\tb",
                "GET http://a b/info",
            ],
            "400 Unreadable(Byte)",
        );
        check(&["GET /info\u{85}", "GET /networks/a\u{80}"], "400 Control");
    }

    #[test]
    fn a_version_has_one_form() {
        check(
            &[
                "GET /v1.44./containers/json",
                "GET /v1.44.0/containers/json",
                "GET /v1.44.9999/info",
                "GET /v01.044/containers/json",
                "GET /v1.044/info",
                "GET /v1.00/info",
                "GET /v1/info",
                "GET /v2/info",
                "GET /v2.44/info",
                "GET /v9.99/info",
                "GET /v1..44/info",
                "GET /v.44/info",
                "GET /v1./info",
                "GET /v1.x/info",
                "GET /v1.44-dev/info",
                "GET /v1.40abc/info",
                "GET /v1.+44/info",
                "GET /v4.0.0-dev/info",
                "GET /V1.44/info",
                "GET /v1%2E44/info",
                "GET /%76%31.44/info",
                "GET /v1.4%34/info",
                "GET /v1.44%2Finfo",
                "GET /v1.44%20/info",
                "GET /v1.%D9%A4%D9%A4/info",
            ],
            "400 Version",
        );
        check(&["GET /v1.23/info", "POST /v1.23/containers/a/copy", "GET /v1.23/x"], "400 TooOld(ApiVersion(23))");
        check(&["GET /v1.0/info"], "400 TooOld(ApiVersion(0))");
        assert_eq!(
            find("GET", "/v1.23/info").map_err(|error| error.public().into_owned()),
            Err("client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer \
                 version"
                .to_owned())
        );
        check(&["GET /v1.99999999999999999999/info"], "400 TooNew");
        check(
            &["GET /v1.44/v1.43/info", "GET /v1.44", "GET /v1.44/", "GET /", "GET /?", "GET /version1", "GET /vinfo"],
            "404",
        );
        check(&["GET /version", "GET /v1.41/version"], "SystemVersion /version");
        let version = |target| find("GET", target).map(|route| route.unwrap().version);
        assert_eq!(version("/info"), Ok(None));
        assert_eq!(version("/v1.44/info"), Ok("1.44".parse().ok()));
    }

    #[test]
    fn podmans_own_api_is_refused_under_every_version() {
        for target in [
            "/libpod/info",
            "/v4.3.1/libpod/info",
            "/v1.41/libpod/secrets/a/json?showsecret=true",
            "/libpod",
            "/v5/libpod/",
            "/v9/%6cibpod/info",
            "/v1.41abc/libpod/generate/kube?names=a",
        ] {
            for method in ["GET", "HEAD", "POST", "PATCH"] {
                assert_eq!(find(method, target), Err(TargetError::Libpod), "{method} {target}");
            }
        }
        for (target, error) in [("/v4.3.1/info", TargetError::Version), ("/v4/%00/libpod", TargetError::Control)] {
            assert_eq!(find("GET", target), Err(error), "{target}");
        }
        assert!(find("GET", "/images/libpod/json").is_ok_and(|route| route.is_some()));
    }

    #[test]
    fn an_unknown_operation_is_not_found() {
        check(
            &[
                "GET /Containers/json",
                "GET /containers/json/",
                "GET /containers/",
                "GET /containers",
                "GET /info/",
                "GET /_ping/",
                "GET /services/x/",
                "GET /networks/x/",
                "GET /volumes/",
                "GET /debug/pprof",
                "GET /containers/attach/ws",
                "GET /images/push",
                "HEAD /info",
                "HEAD /containers/json",
                "HEAD /containers/a/json",
                "POST /containers/json",
                "PUT /containers/a/json",
                "get /info",
                "Get /info",
                "OPTIONS /info",
                "OPTIONS /containers/json",
                "PATCH /info",
                "TRACE /info",
                "PRI /info",
                "GET /moby.buildkit.v1.Control/Solve",
                "POST /moby.buildkit.v1.Control/Solve",
            ],
            "404",
        );
    }

    #[test]
    fn a_query_is_parsed_as_strictly_as_a_path() {
        check(&["GET /info?a;b=1", "GET /containers/json?all=1;size=1"], "400 Semicolon");
        check(&["GET /info?all=1", "GET /info?%FF"], "SystemInfo /info");
        check(&["GET /secrets/a?showsecret=true"], "SecretInspect /secrets/a");
        check(
            &["GET /containers/json?all=0&all=1", "GET /containers/json?All=1&all=0&%61ll=1"],
            "ContainerList /containers/json?all=0",
        );
        check(&["DELETE /secrets/a?force=1"], "400 UnknownParameter(UnknownName)");
        check(&["GET /containers/json?all=%zz"], "400 Escape");
        check(&["GET /nothing?a;b=%zz"], "404");
        check(
            &["GET /containers/json?limit=-1&all=1&size=0&trunc_cmd=0"],
            "ContainerList /containers/json?limit=-1&all=1&size=0&trunc_cmd=0",
        );
        check(&["GET /images/json?only_ids=0&all=0"], "ImageList /images/json?only_ids=0&all=0");
        check(
            &["GET /system/df?type=image&type=volume&verbose=1"],
            "SystemDataUsage /system/df?type=image&type=volume&verbose=1",
        );
    }

    #[test]
    fn a_path_over_8_kib_and_a_target_over_64_kib_are_refused() {
        let target = |length: usize| format!("/images/{}/json", "a".repeat(length - "/images//json".len()));
        assert!(matches!(find("GET", &target(8192)), Ok(Some(_))));
        assert_eq!(find("GET", &target(8193)), Err(TargetError::TooLong));
        let target = |length: usize| format!("/info?{}", "a".repeat(length - "/info?".len()));
        assert!(matches!(find("GET", &target(65_534)), Ok(Some(_))));
        assert!(find("GET", &target(65_535)).is_err());
    }

    #[test]
    fn a_link_of_a_container_is_removed_only_as_a_link() {
        check(
            &[
                "DELETE /containers/web/db?link=1",
                "DELETE /v1.44/containers/%77eb/db?%6Cink=1",
                "DELETE /containers/web%2Fdb?link=1",
                "DELETE /containers/web/db?link=1&link=0",
            ],
            "ContainerDelete /containers/web/db?link=1",
        );
        check(&["DELETE /containers/web/db?force=1&link=true"], "ContainerDelete /containers/web/db?force=1&link=true");
        check(
            &[
                "DELETE /containers/web/db",
                "DELETE /containers/web/db?link=0",
                "DELETE /containers/web/db?link=0&link=1",
                "DELETE /containers/web/db?link",
                "DELETE /containers/web/db/?link=1",
                "DELETE /containers/web/db/c?link=1",
                "DELETE /images?link=1",
                "POST /containers/web/db?link=1",
            ],
            "404",
        );
        check(&["DELETE /containers/web%2Fdb", "DELETE /containers/web/a%2Fb?link=1"], "400 EncodedSlash");
        check(&["DELETE /containers/web/db?Link=1&x=1"], "400 UnknownParameter(UnknownName)");
    }

    /// A client repeats the whole body in the query.
    #[test]
    fn a_pull_has_no_body() {
        let body = |target: &str| find("POST", target).unwrap().unwrap().body();
        for pull in [
            "fromImage=a",
            "fromImage=a&fromSrc=-",
            "fromImage=a&fromImage=",
            "",
            "fromImage=",
            "fromSrc=http://a",
            "fromSrc=",
            "fromSrc=http://a&fromSrc=-",
        ] {
            assert_eq!(body(&format!("/images/create?{pull}")), RequestBody::None, "{pull}");
        }
        for import in ["fromSrc=-", "fromImage=&fromSrc=-", "fromImage=&fromImage=a&fromSrc=-", "FromImage=a&fromSrc=-"]
        {
            assert_eq!(body(&format!("/images/create?{import}")), RequestBody::OptionalTar, "{import}");
        }
        assert_eq!(body("/images/load"), RequestBody::Tar);
        assert_eq!(body("/containers/a/start"), RequestBody::None);
    }

    #[test]
    fn stats_stream_unless_a_parameter_says_otherwise() {
        let streams = |method, target: &str| find(method, target).map(|route| route.unwrap().streams());
        for raw in [
            "/containers/a/stats",
            "/containers/a/stats?stream=1",
            "/containers/a/stats?stream=off",
            "/containers/a/logs",
            "/events?until=1",
            "/containers/a/export",
            "/containers/a/attach/ws",
        ] {
            assert_eq!(streams("GET", raw), Ok(true), "{raw}");
        }
        for raw in
            ["/containers/a/stats?stream=0", "/containers/a/stats?stream=FALSE", "/containers/a/stats?stream", "/info"]
        {
            assert_eq!(streams("GET", raw), Ok(false), "{raw}");
        }
        for raw in ["/containers/a/wait", "/images/create", "/containers/a/attach", "/exec/a/start"] {
            assert_eq!(streams("POST", raw), Ok(true), "{raw}");
        }
    }

    /// Fills the placeholders of an operation's template with `name`.
    fn sample(operation: &Operation, name: &str) -> String {
        let reference = if name.contains(':') { format!("r.io:5000/{name}") } else { format!("{name}/{name}") };
        let path = operation.template.replace("{reference}", &reference).replace("{checkpoint}", "b");
        path.replace("{id}", name).replace("{name}", name)
    }

    #[test]
    fn every_operation_is_found_by_its_own_template() {
        for operation in OPERATIONS {
            for name in ["web", "a:1", "json", "create", "prune", "get", "update", "ws", "attach"] {
                let target = sample(operation, name);
                let route = find(operation.method.as_str(), &target).unwrap().unwrap();
                let shadowed = ["DebugPprofNamed", "StrayPprofNamed"].contains(&operation.id) && name == "cmdline";
                assert!(route.operation.id == operation.id || shadowed, "{target}: {}", route.operation.id);
                assert_eq!(rewritten(&route), target);
                assert!(operation.takes_name() != route.name.is_empty(), "{target}");
            }
        }
    }

    #[test]
    fn every_parameter_of_every_operation_goes_upstream() {
        for operation in OPERATIONS {
            let mut query: Vec<String> = operation.query.iter().map(|known| format!("{}=1", known.name)).collect();
            query.extend(
                operation.query.iter().filter(|known| known.repeats()).map(|known| format!("{}=2", known.name)),
            );
            let mark = if query.is_empty() { "" } else { "?" };
            let target = format!("{}{mark}{}", sample(operation, "web"), query.join("&"));
            let route = find(operation.method.as_str(), &target).unwrap().unwrap();
            assert_eq!(rewritten(&route), target);
        }
    }

    /// Whether the engine's own pattern for a template matches. A placeholder there is greedy or one segment.
    fn engine_matches(template: &str, path: &str) -> bool {
        let Some((before, rest)) = template.split_once('{') else { return template == path };
        let (_, after) = rest.split_once('}').unwrap();
        let Some(rest) = path.strip_prefix(before) else { return false };
        let families = ["/containers/", "/images/", "/exec/", "/volumes/", "/plugins/", "/distribution/", "/networks/"];
        let greedy = families.contains(&before) && !after.contains('{');
        (0..=rest.len()).filter(|&end| rest.is_char_boundary(end)).any(|end| {
            let (name, rest) = rest.split_at(end);
            (greedy || (!name.is_empty() && !name.contains('/'))) && engine_matches(after, rest)
        })
    }

    /// Pseudo-random numbers (xorshift), the same in every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, end: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 33).unwrap() % end
        }

        fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
            choices[self.below(choices.len())]
        }
    }

    /// Texts that a mutation inserts, separated by spaces.
    const PARTS: &str = "/ // . .. %2F %2e %25 % ? & = ; # + %20 %C3%A9 %FF %00 a A : @ v1.44 v1.44/ /json /get /history \
                         json prune create /checkpoints/ /attach/ws containers images networks plugins ?all=1 \
                         &filters={} stream=0 \\ %5C ~ %7E %3F /push %2Fjson %2fget";

    /// Inserts parts into a target, or deletes characters, at up to three places.
    fn mutate(target: &mut String, random: &mut Random) {
        let parts: Vec<&str> = PARTS.split(' ').collect();
        for _ in 0..random.below(4) {
            let mut at = random.below(target.len() + 1);
            while !target.is_char_boundary(at) {
                at -= 1;
            }
            if random.below(3) == 0 {
                let tail = target.split_off(at);
                target.extend(tail.chars().skip(1));
            } else {
                target.insert_str(at, random.one_of(&parts));
            }
        }
    }

    /// Checks that the engine cannot take the upstream target of `route` for another operation.
    fn check_engine_agrees(route: &Route) {
        // One pair where the engine tries the longer template first, and two where no engine has both operations.
        const PREFERRED: &[(&str, &str)] = &[
            ("CheckpointDelete", "ContainerDelete"),
            ("PluginInspect", "PluginInspectEarly"),
            ("GetPluginPrivileges", "PluginInspectEarly"),
        ];
        let operation = route.operation;
        let target = rewritten(route);
        let path = percent::decode_path(target.split('?').next().unwrap()).unwrap().into_owned();
        for other in OPERATIONS.iter().filter(|other| other.method == operation.method && **other != *operation) {
            if engine_matches(other.template, &path) {
                let preferred = PREFERRED.contains(&(operation.id, other.id));
                let literal = other.template.contains("/pprof/{") && path.ends_with("cmdline");
                let literal = literal || operation.template.starts_with("/debug/pprof/");
                let (ours, theirs) = (operation.id, other.id);
                assert!(preferred || literal, "{path} is {ours} to us and could be {theirs} to the engine");
            }
        }
    }

    #[test]
    fn the_upstream_target_means_the_same_to_us_and_to_the_engine() {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let mut found = 0_u32;
        for round in 0..60_000 {
            let operation = &OPERATIONS[random.below(OPERATIONS.len())];
            let mut target = sample(operation, random.one_of(&["web", "a:1", "json", "create"]));
            if let Some(parameter) = operation.query.first().filter(|_| round % 2 == 0) {
                target.push_str(&format!("?{}=a%20+b", parameter.name));
            }
            mutate(&mut target, &mut random);
            let Ok(Some(mut route)) = find(operation.method.as_str(), &target) else { continue };
            found += 1;
            let mut written = String::new();
            route.upstream_target(ApiVersion::NEWEST, &mut written);
            let again = find(operation.method.as_str(), &written).unwrap().unwrap();
            route.version = Some(ApiVersion::NEWEST);
            assert_eq!(again, route, "{target} became {written}");
            check_engine_agrees(&route);
        }
        assert!(found > 10_000, "only {found} of the mutated targets were found");
    }

    #[test]
    fn an_error_quotes_nothing_from_the_request() {
        let error = find("GET", "/containers/json?token=canary;").unwrap_err();
        assert_eq!(error.to_string(), error.public());
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
